/// \file leptons.h
/// Properties of the leptons of an event. Flavour 1 is an electron, 2 a muon.
///
/// Functions of masses take the four-momenta that `fourMomenta` makes of the leptons at `indices`,
/// so that these are computed once for all; or the arrays themselves.
#ifndef M3L_LEPTONS_H
#define M3L_LEPTONS_H

#include "objects.h"

#include <ROOT/RVec.hxx>

#include <cmath>
#include <vector>

namespace m3l
{

/// Mass of the Z boson in GeV (Particle Data Group).
constexpr double kZMass = 91.1876;

/// Code of the flavours of three leptons ordered by pT:
/// 0 eee, 1 leading e with e and mu (eem, eme), 2 emm, 3 mmm, 4 leading mu with mu and e
/// (mme, mem), 5 mee. Not three leptons, or an unknown flavour: -1.
/// ~~~{.cpp}
/// root [0] flavourComp3L({1, 2, 2})
/// (int) 2
/// ~~~
int flavourComp3L(const ROOT::RVecI &flavour);

/// Sum of the charges of the leptons at `indices`.
/// \throws std::invalid_argument if there is no lepton at an index
/// ~~~{.cpp}
/// root [0] m3l::chargeSum({1, -1, 1}, {0, 2})
/// (int) 2
/// ~~~
int chargeSum(const ROOT::RVecI &charge, const Indices &indices);

/// A same-flavour opposite-sign (SFOS) pair.
struct SfosPair {
   int first = -1;   ///< position of the harder lepton, -1 where the event has no such pair
   int second = -1;  ///< position of the softer lepton
   double mass = 0.; ///< invariant mass of the pair in GeV, 0 where there is none
};

/// The SFOS pair whose mass is closest to the Z among the leptons at `indices`.
/// \throws std::invalid_argument if arrays differ in length or there is no lepton at an index
SfosPair sfosClosestToZ(const FourMomenta &momenta, const ROOT::RVecI &flavour,
                        const ROOT::RVecI &charge, const Indices &indices);
SfosPair sfosClosestToZ(const ROOT::RVecF &pt, const ROOT::RVecF &eta, const ROOT::RVecF &phi,
                        const ROOT::RVecF &m, const ROOT::RVecI &flavour, const ROOT::RVecI &charge,
                        const Indices &indices);

/// Distance in GeV of an invariant mass from the mass of the Z boson.
/// ~~~{.cpp}
/// root [0] m3l::distanceFromZ(81.1876)
/// (double) 10.000000
/// ~~~
inline double distanceFromZ(double mass)
{
   return std::abs(mass - kZMass);
}

/// The pairs of an event's leptons; masses are in GeV, and 0 where there is no such pair.
struct LeptonPairs {
   int sfos = 0;         ///< number of SFOS pairs
   double lightest = 0.; ///< smallest invariant mass of a pair
   double heaviest = 0.; ///< largest invariant mass of a pair
   double sameSign = 0.; ///< largest invariant mass of a pair of equal charges
};

/// The pairs of the leptons at `indices`.
/// \throws std::invalid_argument if arrays differ in length or there is no lepton at an index
LeptonPairs leptonPairs(const FourMomenta &momenta, const ROOT::RVecI &flavour,
                        const ROOT::RVecI &charge, const Indices &indices);
LeptonPairs leptonPairs(const ROOT::RVecF &pt, const ROOT::RVecF &eta, const ROOT::RVecF &phi,
                        const ROOT::RVecF &m, const ROOT::RVecI &flavour, const ROOT::RVecI &charge,
                        const Indices &indices);

/// The first `n` leptons as one object; without momentum and mass if they are fewer.
Particle leptonSystem(const FourMomenta &momenta, std::size_t n);
/// \throws std::invalid_argument if arrays differ in length or there is no lepton at an index
Particle leptonSystem(const ROOT::RVecF &pt, const ROOT::RVecF &eta, const ROOT::RVecF &phi,
                      const ROOT::RVecF &m, const Indices &indices, std::size_t n);

/// Transverse masses in GeV of single leptons and the missing transverse momentum.
struct LeptonTransverseMasses {
   double least = 0.;    ///< smallest of the first leptons, 0 where there is none
   double most = 0.;     ///< largest of the first leptons
   double unpaired = 0.; ///< that of the first lepton outside of the pair, 0 where there is none
};

/// The transverse masses of the leptons at `indices`.
/// \param pair  an SFOS pair of the event, see `sfosClosestToZ`
/// \param n     so many of the leptons have a part in `least` and `most`
/// \throws std::invalid_argument if arrays differ in length or there is no lepton at an index
LeptonTransverseMasses leptonTransverseMasses(const ROOT::RVecF &pt, const ROOT::RVecF &phi,
                                              const ROOT::RVecF &m, const Indices &indices,
                                              const SfosPair &pair, double met, double metPhi,
                                              std::size_t n);

/// Invariant mass in GeV of the first `n` leptons; fewer than `n` leptons give 0.
double leptonMass(const FourMomenta &momenta, std::size_t n);
/// \throws std::invalid_argument if arrays differ in length or there is no lepton at an index
double leptonMass(const ROOT::RVecF &pt, const ROOT::RVecF &eta, const ROOT::RVecF &phi,
                  const ROOT::RVecF &m, const Indices &indices, std::size_t n);

/// Invariant mass in GeV of the three leading leptons at `indices`; fewer than three give 0.
inline double trileptonMass(const ROOT::RVecF &pt, const ROOT::RVecF &eta, const ROOT::RVecF &phi,
                            const ROOT::RVecF &m, const Indices &indices)
{
   return leptonMass(pt, eta, phi, m, indices, 3);
}

/// Whether every leg of a trigger is matched by a lepton of its own above that leg's threshold.
/// \param pt          transverse momenta of the leptons in GeV
/// \param legs        for each leg, whether each lepton is matched to it
/// \param thresholds  for each leg, the smallest pT in GeV of a lepton that counts
/// \throws std::invalid_argument if legs and thresholds, or leptons and flags, differ in number
/// ~~~{.cpp}
/// root [0] m3l::triggerMatched({30, 10}, {{1, 1}, {1, 1}}, {24, 8})
/// (bool) true
/// root [1] m3l::triggerMatched({30, 10}, {{1, 1}, {1, 1}}, {24, 14})
/// (bool) false
/// ~~~
bool triggerMatched(const ROOT::RVecF &pt, const std::vector<ROOT::RVecI> &legs,
                    const std::vector<double> &thresholds);

} // namespace m3l

#endif
