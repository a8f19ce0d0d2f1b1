/// \file arrays.h
/// What must be true of the numbers and arrays of an event before anything is computed from them.
#ifndef M3L_ARRAYS_H
#define M3L_ARRAYS_H

#include <ROOT/RVec.hxx>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <string>
#include <type_traits>

namespace m3l
{

/// Positions in an event's arrays, as ROOT's `Take` wants them.
using Indices = ROOT::RVec<std::size_t>;

/// Whether a number is finite, as all are that are no floating-point numbers.
/// ~~~{.cpp}
/// root [0] m3l::isSound(1.5f)
/// (bool) true
/// root [1] m3l::isSound(NAN)
/// (bool) false
/// ~~~
template <typename T>
bool isSound(const T &value)
{
   if constexpr (std::is_floating_point_v<T>)
      return std::isfinite(value);
   else
      return true;
}

/// Whether neighbouring numbers are all finite.
template <typename T>
bool areFinite(const T *values, std::size_t size)
{
   static_assert(std::is_same_v<T, float> || std::is_same_v<T, double>);
   using Bits = std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>;
   // An exponent of ones, that of NaN and infinity, overflows into the sign if one is added to it.
   constexpr Bits one = Bits(1) << (sizeof(T) == 4 ? 23 : 52);
   constexpr Bits sign = Bits(1) << (8 * sizeof(T) - 1);
   Bits any = 0;
   for (std::size_t i = 0; i < size; ++i) {
      Bits bits;
      std::memcpy(&bits, values + i, sizeof bits);
      any |= (bits & (sign - one)) + one;
   }
   return !(any & sign);
}

/// Whether all numbers of an array are finite.
/// ~~~{.cpp}
/// root [0] m3l::isSound(ROOT::RVecF{1, 2, INFINITY})
/// (bool) false
/// ~~~
template <typename T>
bool isSound(const ROOT::RVec<T> &values)
{
   if constexpr (std::is_same_v<T, float> || std::is_same_v<T, double>)
      return areFinite(values.data(), values.size());
   bool good = true;
   if constexpr (!std::is_arithmetic_v<T>)
      for (const T &value : values)
         good &= isSound(value);
   return good;
}

/// Whether all numbers of an array are finite, one for each object that `reference` has one for.
/// ~~~{.cpp}
/// root [0] m3l::isSound(ROOT::RVecF{0.1, 0.2}, ROOT::RVecF{50, 40, 30})
/// (bool) false
/// ~~~
template <typename T, typename U>
bool isSound(const ROOT::RVec<T> &values, const ROOT::RVec<U> &reference)
{
   return values.size() == reference.size() && isSound(values);
}

// Not inlined, so that what seldom happens takes no room where branches are read.
[[noreturn, gnu::cold, gnu::noinline]] inline void throwBadEvent()
{
   throw std::domain_error("an event has bad values");
}

/// Ends the event loop at an event whose branches are not sound.
/// \return true, so that it can be a column
/// \throws std::domain_error if `sound` is not true
inline bool requireSound(bool sound)
{
   if (!sound)
      throwBadEvent();
   return true;
}

// What a function says that was given arrays which do not fit each other.
template <typename... Sizes>
[[noreturn, gnu::cold, gnu::noinline]] void throwLengths(const char *function, std::size_t first,
                                                         Sizes... others)
{
   throw std::invalid_argument(std::string(function) + ": arrays of different lengths (" +
                               (std::to_string(first) + ... + (", " + std::to_string(others))) +
                               ")");
}

[[noreturn, gnu::cold, gnu::noinline]] inline void throwOutside(const char *function,
                                                                std::size_t index, std::size_t size)
{
   throw std::invalid_argument(std::string(function) + ": no entry " + std::to_string(index) +
                               " in arrays of length " + std::to_string(size));
}

/// Makes sure that arrays of the same objects can be indexed alike.
/// \throws std::invalid_argument, in the name of a function, if they differ in length
template <typename First, typename... Others>
void requireOneLength(const char *function, const First &first, const Others &...others)
{
   if ((... || (others.size() != first.size())))
      throwLengths(function, first.size(), others.size()...);
}

// Whether a value is an array with one number for each object: it is neither a number nor a text.
template <typename T>
constexpr bool isOnePerObject =
   !std::is_arithmetic_v<T> && !std::is_convertible_v<const T &, std::string>;

// The value for an object: of an array its entry.
template <typename T>
const auto &ofObject(const T &value, [[maybe_unused]] std::size_t i)
{
   if constexpr (isOnePerObject<T>)
      return value[i];
   else
      return value;
}

/// Makes sure that a position is that of an entry.
/// \throws std::invalid_argument, in the name of a function, if it is outside
inline void requireInside(const char *function, std::size_t index, std::size_t size)
{
   if (index >= size)
      throwOutside(function, index, size);
}

/// The same for several positions.
inline void requireInside(const char *function, const Indices &indices, std::size_t size)
{
   for (const std::size_t index : indices)
      requireInside(function, index, size);
}

[[noreturn, gnu::cold, gnu::noinline]] inline void throwNoElement(const std::string &index,
                                                                  std::size_t size)
{
   throw std::invalid_argument("an expression asks for [" + index + "] of an array that has " +
                               std::to_string(size) + " entries in an event, where " +
                               "ranked(values, positions, rank) gives 0");
}

/// An element of an array, or those that a mask chooses. Expressions have it for `values[index]`.
/// \throws std::invalid_argument if there is no element at that position
/// ~~~{.cpp}
/// root [0] m3l::element(ROOT::RVecF{50, 40}, 1)
/// (const float) 40.0000f
/// ~~~
template <typename Values, typename Index>
decltype(auto) element(const Values &values, const Index &index)
{
   if constexpr (std::is_integral_v<Index>)
      if (index < Index(0) || std::size_t(index) >= values.size())
         throwNoElement(std::to_string(index), values.size());
   return values[index];
}

/// What a column becomes in systematic variations, all of the type that it has without.
/// ~~~{.cpp}
/// root [0] m3l::alternatives(10.f, 11., 9.)
/// (ROOT::RVec<float>) { 11.0000f, 9.00000f }
/// ~~~
template <typename T, typename... Values>
ROOT::RVec<T> alternatives(const T &, const Values &...values)
{
   return ROOT::RVec<T>{static_cast<T>(values)...};
}

} // namespace m3l

#endif
