/// \file hash.h
/// Numbers that look random and are always the same.
#ifndef M3L_HASH_H
#define M3L_HASH_H

#include <cstdint>

namespace m3l
{

/// What SplitMix64 adds to its state for the next number.
constexpr std::uint64_t kSplitMix64 = 0x9E3779B97F4A7C15;

/// The number that SplitMix64 (Steele, Lea, Flood, OOPSLA 2014) gives in state `z`; also a
/// hash of `z`.
inline std::uint64_t splitMix64(std::uint64_t z)
{
   z += kSplitMix64;
   z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
   z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
   return z ^ (z >> 31);
}

} // namespace m3l

#endif
