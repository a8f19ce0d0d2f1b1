#include "leptons.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>

namespace m3l
{

int flavourComp3L(const ROOT::RVecI &flavour)
{
   if (flavour.size() != 3)
      return -1;
   int electrons = 0;
   for (const int f : flavour) {
      if (f != 1 && f != 2)
         return -1;
      electrons += f == 1;
   }
   return flavour[0] == 1 ? 3 - electrons : 3 + electrons;
}

int chargeSum(const ROOT::RVecI &charge, const Indices &indices)
{
   requireInside("chargeSum", indices, charge.size());
   int sum = 0;
   for (const std::size_t i : indices)
      sum += charge[i];
   return sum;
}

namespace
{

/// Calls f with the positions of each pair of the leptons at `indices`, and with its momentum.
/// \throws std::invalid_argument, in the name of a function, if arrays do not fit each other
template <typename F>
void forEachPair(const char *function, const FourMomenta &momenta, const ROOT::RVecI &flavour,
                 const ROOT::RVecI &charge, const Indices &indices, F &&f)
{
   requireOneLength(function, flavour, charge);
   requireOneLength(function, momenta, indices);
   requireInside(function, indices, flavour.size());
   for (std::size_t a = 0; a < indices.size(); ++a)
      for (std::size_t b = a + 1; b < indices.size(); ++b)
         f(int(indices[a]), int(indices[b]), momenta[a] + momenta[b]);
}

} // namespace

SfosPair sfosClosestToZ(const FourMomenta &momenta, const ROOT::RVecI &flavour,
                        const ROOT::RVecI &charge, const Indices &indices)
{
   SfosPair best;
   forEachPair("sfosClosestToZ", momenta, flavour, charge, indices,
               [&](int i, int j, const FourMomentum &p) {
                  if (flavour[i] != flavour[j] || charge[i] * charge[j] >= 0)
                     return;
                  const double m = mass(p);
                  if (best.first < 0 || std::abs(m - kZMass) < std::abs(best.mass - kZMass))
                     best = {i, j, m};
               });
   return best;
}

SfosPair sfosClosestToZ(const ROOT::RVecF &pt, const ROOT::RVecF &eta, const ROOT::RVecF &phi,
                        const ROOT::RVecF &m, const ROOT::RVecI &flavour, const ROOT::RVecI &charge,
                        const Indices &indices)
{
   requireOneLength("sfosClosestToZ", pt, flavour);
   return sfosClosestToZ(fourMomenta(pt, eta, phi, m, indices, "sfosClosestToZ"), flavour, charge,
                         indices);
}

LeptonPairs leptonPairs(const FourMomenta &momenta, const ROOT::RVecI &flavour,
                        const ROOT::RVecI &charge, const Indices &indices)
{
   LeptonPairs pairs;
   bool isFirst = true;
   forEachPair("leptonPairs", momenta, flavour, charge, indices,
               [&](int i, int j, const FourMomentum &p) {
                  const double m = mass(p);
                  const int signs = charge[i] * charge[j];
                  pairs.sfos += flavour[i] == flavour[j] && signs < 0;
                  pairs.lightest = isFirst ? m : std::min(pairs.lightest, m);
                  pairs.heaviest = std::max(pairs.heaviest, m);
                  if (signs > 0)
                     pairs.sameSign = std::max(pairs.sameSign, m);
                  isFirst = false;
               });
   return pairs;
}

LeptonPairs leptonPairs(const ROOT::RVecF &pt, const ROOT::RVecF &eta, const ROOT::RVecF &phi,
                        const ROOT::RVecF &m, const ROOT::RVecI &flavour, const ROOT::RVecI &charge,
                        const Indices &indices)
{
   requireOneLength("leptonPairs", pt, flavour);
   return leptonPairs(fourMomenta(pt, eta, phi, m, indices, "leptonPairs"), flavour, charge,
                      indices);
}

LeptonTransverseMasses leptonTransverseMasses(const ROOT::RVecF &pt, const ROOT::RVecF &phi,
                                              const ROOT::RVecF &m, const Indices &indices,
                                              const SfosPair &pair, double met, double metPhi,
                                              std::size_t n)
{
   requireOneLength("leptonTransverseMasses", pt, phi, m);
   requireInside("leptonTransverseMasses", indices, pt.size());
   LeptonTransverseMasses masses;
   bool found = pair.first < 0; // without a pair no lepton is unpaired
   for (std::size_t k = 0; k < indices.size(); ++k) {
      const std::size_t i = indices[k];
      const double mT = transverseMass(pt[i], phi[i], m[i], met, metPhi);
      if (k < n) {
         masses.least = k == 0 ? mT : std::min(masses.least, mT);
         masses.most = std::max(masses.most, mT);
      }
      if (!found && int(i) != pair.first && int(i) != pair.second) {
         masses.unpaired = mT;
         found = true;
      }
   }
   return masses;
}

namespace
{

/// Sum of the first `n` four-momenta.
FourMomentum sumOf(const FourMomenta &momenta, std::size_t n)
{
   FourMomentum sum{0., 0., 0., 0.};
   for (std::size_t k = 0; k < n; ++k)
      sum = sum + momenta[k];
   return sum;
}

} // namespace

Particle leptonSystem(const FourMomenta &momenta, std::size_t n)
{
   return momenta.size() < n ? Particle{0., 0., 0., 0.} : particle(sumOf(momenta, n));
}

Particle leptonSystem(const ROOT::RVecF &pt, const ROOT::RVecF &eta, const ROOT::RVecF &phi,
                      const ROOT::RVecF &m, const Indices &indices, std::size_t n)
{
   return leptonSystem(fourMomenta(pt, eta, phi, m, indices, "leptonSystem"), n);
}

double leptonMass(const FourMomenta &momenta, std::size_t n)
{
   return momenta.size() < n ? 0. : mass(sumOf(momenta, n));
}

double leptonMass(const ROOT::RVecF &pt, const ROOT::RVecF &eta, const ROOT::RVecF &phi,
                  const ROOT::RVecF &m, const Indices &indices, std::size_t n)
{
   return leptonMass(fourMomenta(pt, eta, phi, m, indices, "leptonMass"), n);
}

namespace
{

/// Gives leg `leg` and all after it a lepton of its own; triggers have two or three legs.
bool assignLegs(std::size_t leg, const ROOT::RVecF &pt, const std::vector<ROOT::RVecI> &legs,
                const std::vector<double> &thresholds, std::vector<bool> &used)
{
   if (leg == legs.size())
      return true;
   for (std::size_t i = 0; i < pt.size(); ++i) {
      if (used[i] || !legs[leg][i] || pt[i] < thresholds[leg])
         continue;
      used[i] = true;
      if (assignLegs(leg + 1, pt, legs, thresholds, used))
         return true;
      used[i] = false;
   }
   return false;
}

} // namespace

bool triggerMatched(const ROOT::RVecF &pt, const std::vector<ROOT::RVecI> &legs,
                    const std::vector<double> &thresholds)
{
   if (legs.size() != thresholds.size())
      throw std::invalid_argument("triggerMatched: " + std::to_string(legs.size()) + " legs but " +
                                  std::to_string(thresholds.size()) + " thresholds");
   for (const auto &leg : legs)
      if (leg.size() != pt.size())
         throw std::invalid_argument("triggerMatched: " + std::to_string(pt.size()) +
                                     " leptons but a leg with " + std::to_string(leg.size()) +
                                     " flags");
   std::vector<bool> used(pt.size(), false);
   return assignLegs(0, pt, legs, thresholds, used);
}

} // namespace m3l
