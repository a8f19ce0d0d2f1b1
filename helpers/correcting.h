/// \file correcting.h
/// Corrections of correctionlib, such as scale factors: functions of numbers and texts that stand
/// in a JSON file.
///
/// Which file it is, is known at run time: analysis/scale_factors.py reads it, and nothing here
/// needs correctionlib. An expression has the checksum of what it was written for.
#ifndef M3L_CORRECTING_H
#define M3L_CORRECTING_H

#include "arrays.h"

#include <ROOT/RVec.hxx>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <type_traits>
#include <variant>
#include <vector>

namespace m3l
{

/// What a correction depends on, the same as in correctionlib.
using CorrectionInput = std::variant<std::int64_t, double, std::string>;
using CorrectionInputs = std::vector<CorrectionInput>;

/// A function of an event or an object.
class Correction
{
public:
   virtual ~Correction() = default;

   /// \param inputs  numbers may get the type that the correction wants
   /// \throws std::exception where it has no value
   virtual double operator()(CorrectionInputs &inputs) const = 0;
};

using CorrectionPtr = std::shared_ptr<const Correction>;

/// Makes a correction known to all threads of this process, for good.
/// \param key  that only equal corrections share; one that is known already stays
void keepCorrection(std::uint64_t key, const CorrectionPtr &correction);

/// Whether a correction is known.
bool hasCorrection(std::uint64_t key);

/// The value of a correction that is known, see `correctionFactor`.
double correctionValue(std::string_view file, std::string_view name, std::uint64_t key,
                       CorrectionInputs inputs);

// A number or text as an input.
template <typename T>
CorrectionInput correctionInput(const T &value)
{
   if constexpr (std::is_floating_point_v<T>)
      return double(value);
   else if constexpr (std::is_arithmetic_v<T>)
      return std::int64_t(value);
   else
      return std::string(value);
}

/// The value of a correction that is known, or an array with that of each object.
/// \param file    where it is, for messages
/// \param name    its name there, for messages
/// \param key     see `keepCorrection`
/// \param inputs  numbers and texts in the order of the file; arrays have one for each object
/// \throws std::invalid_argument for a correction that is unknown, and if arrays differ in length
/// \throws std::runtime_error where the correction has no value
template <typename... Inputs>
std::conditional_t<(... || isOnePerObject<Inputs>), ROOT::RVecD, double>
correctionFactor(std::string_view file, std::string_view name, std::uint64_t key,
                 const Inputs &...inputs)
{
   if constexpr ((... || isOnePerObject<Inputs>)) {
      std::vector<std::size_t> sizes;
      const auto look = [&sizes](const auto &input) {
         if constexpr (isOnePerObject<std::decay_t<decltype(input)>>)
            sizes.push_back(input.size());
      };
      (look(inputs), ...);
      for (const std::size_t size : sizes)
         if (size != sizes[0])
            throwLengths("correctionFactor", sizes[0], size);
      ROOT::RVecD values(sizes[0]);
      for (std::size_t i = 0; i < values.size(); ++i)
         values[i] = correctionValue(file, name, key, {correctionInput(ofObject(inputs, i))...});
      return values;
   } else {
      return correctionValue(file, name, key, {correctionInput(inputs)...});
   }
}

} // namespace m3l

#endif
