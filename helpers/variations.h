/// \file variations.h
/// Momenta that are changed, for systematic uncertainties. Units: GeV and radians.
///
/// A factor or width is one number, or an array with one for each object.
#ifndef M3L_VARIATIONS_H
#define M3L_VARIATIONS_H

#include "arrays.h"
#include "hash.h"

#include <ROOT/RVec.hxx>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace m3l
{

/// Missing transverse momentum.
struct MissingMomentum {
   float et;  ///< magnitude in GeV
   float phi; ///< azimuth in radians
};

/// The missing transverse momentum after the momenta of objects are multiplied by factors: what
/// they gain, it loses.
///
/// With doubles x = met cos(metPhi), y = met sin(metPhi), for one object after the other
/// d = (pt * factor) - pt, where the product has the type of the array pt, x -= d cos(phi),
/// y -= d sin(phi); then sqrt(x * x + y * y) and atan2(y, x). Nothing is rounded where no momentum
/// changes.
/// \throws std::invalid_argument if arrays differ in length
/// ~~~{.cpp}
/// root [0] m3l::balancedMet(50.f, 0.f, ROOT::RVecF{100, 30}, ROOT::RVecF{M_PI, 0}, 1.5f).et
/// (float) 85.0000f
/// root [1] m3l::balancedMet(50.f, 0.f, ROOT::RVecF{40}, ROOT::RVecF{0}, ROOT::RVecF{1.5}).et
/// (float) 30.0000f
/// ~~~
template <typename T, typename Factor>
MissingMomentum balancedMet(float met, float metPhi, const ROOT::RVec<T> &pt,
                            const ROOT::RVec<T> &phi, const Factor &factor)
{
   if constexpr (isOnePerObject<Factor>)
      requireOneLength("balancedMet", pt, phi, factor);
   else
      requireOneLength("balancedMet", pt, phi);
   double x = met * std::cos(double(metPhi)), y = met * std::sin(double(metPhi));
   bool same = true;
   for (std::size_t i = 0; i < pt.size(); ++i) {
      const T scaled = pt[i] * ofObject(factor, i);
      const double gain = double(scaled) - double(pt[i]);
      same &= gain == 0.;
      x -= gain * std::cos(double(phi[i]));
      y -= gain * std::sin(double(phi[i]));
   }
   if (same)
      return {met, metPhi};
   return {float(std::sqrt(x * x + y * y)), float(std::atan2(y, x))};
}

/// A number of a normal distribution: the one at `index` of the sequence that belongs to `seed`.
///
/// The numbers 2 index and 2 index + 1 that SplitMix64 gives for the seed become, by their 53 upper
/// bits, u in (0, 1] and v in [0, 1): sqrt(-2 log(u)) cos(2 pi v) (Box and Muller 1958).
double gaussian(std::uint64_t seed, std::uint64_t index);

/// Factors 1 + width * gaussian, one for each object, which smear momenta. They depend on nothing
/// but the event and the place of the object in the array, so that an event has the same in every
/// run; no factor is below 0.
///
/// The seed of `gaussian` is splitMix64(splitMix64(runNumber) ^ eventNumber), for the numbers as 64
/// bit integers; computed in double and rounded.
/// \param pt     of the objects
/// \param width  relative
/// \throws std::invalid_argument if arrays differ in length
/// ~~~{.cpp}
/// root [0] m3l::smearing(ROOT::RVecF{50, 40}, 0.f, 1, 2)
/// (ROOT::RVecF) { 1.00000f, 1.00000f }
/// ~~~
template <typename T, typename Width, typename Run, typename Event>
ROOT::RVecF smearing(const ROOT::RVec<T> &pt, const Width &width, Run runNumber, Event eventNumber)
{
   static_assert(std::is_integral_v<Run> && std::is_integral_v<Event>,
                 "run and event numbers are integers");
   if constexpr (isOnePerObject<Width>)
      requireOneLength("smearing", pt, width);
   const std::uint64_t seed =
      splitMix64(splitMix64(std::uint64_t(runNumber)) ^ std::uint64_t(eventNumber));
   ROOT::RVecF factors(pt.size());
   for (std::size_t i = 0; i < pt.size(); ++i)
      factors[i] = std::max(0., 1. + double(ofObject(width, i)) * gaussian(seed, i));
   return factors;
}

} // namespace m3l

#endif
