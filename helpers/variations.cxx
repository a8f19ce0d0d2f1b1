#include "variations.h"

namespace m3l
{

double gaussian(std::uint64_t seed, std::uint64_t index)
{
   const auto number = [seed](std::uint64_t n) { return splitMix64(seed + n * kSplitMix64) >> 11; };
   constexpr double unit = 0x1p-53;
   const double u = (number(2 * index) + 1) * unit, v = number(2 * index + 1) * unit;
   return std::sqrt(-2. * std::log(u)) * std::cos(2. * M_PI * v);
}

} // namespace m3l
