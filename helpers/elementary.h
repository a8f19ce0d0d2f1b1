/// \file elementary.h
/// Sine, cosine and exponential in plain arithmetic, from the Taylor series of a reduced argument.
///
/// In a loop they become vector instructions and they round alike on every processor, which those
/// of the C library do not. They are right to 5e-16 of the value, two units in the last place.
#ifndef M3L_ELEMENTARY_H
#define M3L_ELEMENTARY_H

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>

namespace m3l
{

/// Added to a number of less than 2^51 it leaves no digits after the point, and the lowest bits of
/// the sum are the whole number.
constexpr double kToWhole = 6755399441055744.; // 1.5 * 2^52

inline std::uint64_t bitsOf(double x)
{
   std::uint64_t bits;
   std::memcpy(&bits, &x, sizeof bits);
   return bits;
}

inline double fromBits(std::uint64_t bits)
{
   double x;
   std::memcpy(&x, &bits, sizeof x);
   return x;
}

/// The angle that `sinCos` can take: itself, or one of the same direction where it is very large.
inline double sensibleAngle(double x)
{
   return std::abs(x) < 1e5 ? x : std::remainder(x, 2. * M_PI);
}

/// Sine and cosine of an angle in radians between -1e5 and 1e5.
inline void sinCos(double x, double &sine, double &cosine)
{
   const double sum = x * M_2_PI + kToWhole, quarters = sum - kToWhole;
   const std::uint64_t quadrant = bitsOf(sum);
   // pi / 2 in three parts: the products with the first two are exact
   const double r = x - quarters * 0x1.921fb544p+0 - quarters * 0x1.0b4611a6p-34 -
                    quarters * 0x1.3198a2e037073p-69;
   const double r2 = r * r;
   double s = 1., c = 1.;
#pragma GCC unroll 8
   for (int n = 16; n > 0; n -= 2) {
      s = 1. - r2 * (1. / (n * (n + 1))) * s;
      c = 1. - r2 * (1. / (n * (n - 1))) * c;
   }
   s *= r;
   const double half = quarters / 2.;
   const bool odd = half + kToWhole - kToWhole != half;
   sine = fromBits(bitsOf(odd ? c : s) ^ (quadrant & 2) << 62);
   cosine = fromBits(bitsOf(odd ? s : c) ^ ((quadrant + 1) & 2) << 62);
}

/// Exponential of a number that is not below -700; for numbers above 700 that of 700.
inline double exponential(double x)
{
   x = std::min(x, 700.);
   const double sum = x * M_LOG2E + kToWhole, twos = sum - kToWhole;
   // ln(2) in two parts
   const double r = x - twos * 0x1.62e42feep-1 - twos * 0x1.a39ef35793c76p-33;
   double e = 1.;
#pragma GCC unroll 13
   for (int n = 13; n > 0; --n)
      e = 1. + r * (1. / n) * e;
   return e * fromBits((bitsOf(sum) + 1023) << 52);
}

} // namespace m3l

#endif
