/// \file weights.h
/// Factors of the event weight.
#ifndef M3L_WEIGHTS_H
#define M3L_WEIGHTS_H

namespace m3l
{

/// Product of an event's weights and scale factors in double precision.
/// ~~~{.cpp}
/// root [0] m3l::scaleFactorProduct(2.f, 0.5f, -1)
/// (double) -1.0000000
/// ~~~
template <typename... T>
double scaleFactorProduct(T... factors)
{
   return (1. * ... * double(factors));
}

/// Luminosity in pb^-1 of the Run 2 campaign of a simulated event: mc16a up to run 320000,
/// mc16d up to 348000, mc16e above.
/// ~~~{.cpp}
/// root [0] m3l::campaignLuminosity(310000)
/// (double) 36207.650
/// ~~~
inline double campaignLuminosity(long long randomRunNumber)
{
   return randomRunNumber <= 320000 ? 36207.65 : randomRunNumber <= 348000 ? 44307.4 : 58450.1;
}

} // namespace m3l

#endif
