#include "correcting.h"
#include "kept.h"

#include <exception>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

namespace m3l
{

namespace
{

Kept<std::uint64_t, CorrectionPtr> corrections;

std::string described(const CorrectionInput &input)
{
   if (const auto *text = std::get_if<std::string>(&input))
      return *text;
   const auto *number = std::get_if<double>(&input);
   return number ? std::to_string(*number) : std::to_string(std::get<std::int64_t>(input));
}

} // namespace

void keepCorrection(std::uint64_t key, const CorrectionPtr &correction)
{
   corrections.add(key, correction);
}

bool hasCorrection(std::uint64_t key)
{
   return corrections.find(key);
}

double correctionValue(std::string_view file, std::string_view name, std::uint64_t key,
                       CorrectionInputs inputs)
{
   const auto what = [&] {
      return "correction '" + std::string(name) + "' of " + std::string(file);
   };
   const CorrectionPtr *found = corrections.find(key);
   if (!found)
      throw std::invalid_argument(what() + " is not known to this process");
   try {
      return (**found)(inputs);
   } catch (const std::exception &error) {
      std::string all;
      for (const CorrectionInput &input : inputs)
         all += (all.empty() ? "" : ", ") + described(input);
      throw std::runtime_error(what() + " has no value for (" + all + "): " + error.what());
   }
}

} // namespace m3l
