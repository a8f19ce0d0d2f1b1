/// \file evaluator.h
/// What correctionlib reads, as corrections of ours. For the interpreter, where correctionlib is
/// loaded.
#ifndef M3L_EVALUATOR_H
#define M3L_EVALUATOR_H

#include "correcting.h"

#include <correction.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>

namespace m3l
{

/// A correction, or several that are applied after each other.
template <typename Ref>
class Evaluator final : public Correction
{
public:
   explicit Evaluator(const Ref &correction)
      : fCorrection(correction)
   {
   }

   double operator()(CorrectionInputs &inputs) const override
   {
      using Type = correction::Variable::VarType;
      const auto &declared = fCorrection->inputs();
      for (std::size_t i = 0; i < inputs.size() && i < declared.size(); ++i) {
         const auto *whole = std::get_if<std::int64_t>(&inputs[i]);
         const auto *number = std::get_if<double>(&inputs[i]);
         if (whole && declared[i].type() == Type::real)
            inputs[i] = double(*whole);
         else if (number && declared[i].type() == Type::integer && *number == std::rint(*number))
            inputs[i] = std::int64_t(*number);
      }
      return fCorrection->evaluate(inputs);
   }

private:
   Ref fCorrection;
};

/// Makes a correction of a file known.
/// \param json  content of the file
/// \param name  of the correction in it
/// \throws std::exception if it is none
inline void readCorrection(const std::string &json, const std::string &name, std::uint64_t key)
{
   const auto all = correction::CorrectionSet::from_string(json.c_str());
   const auto compound = all->compound().find(name);
   if (compound != all->compound().end())
      keepCorrection(
         key, std::make_shared<Evaluator<correction::CompoundCorrection::Ref>>(compound->second));
   else
      keepCorrection(key, std::make_shared<Evaluator<correction::Correction::Ref>>(all->at(name)));
}

} // namespace m3l

#endif
