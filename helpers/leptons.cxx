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

using Momenta = ROOT::VecOps::RVecN<FourMomentum, 4>; // for events with more they are allocated

Momenta momentaOf(const ROOT::RVecF &pt, const ROOT::RVecF &eta, const ROOT::RVecF &phi,
                  const ROOT::RVecF &m, const Indices &indices)
{
   Momenta momenta;
   for (const std::size_t i : indices)
      momenta.push_back(fourMomentum({pt[i], eta[i], phi[i], m[i]}));
   return momenta;
}

} // namespace

SfosPair sfosClosestToZ(const ROOT::RVecF &pt, const ROOT::RVecF &eta, const ROOT::RVecF &phi,
                        const ROOT::RVecF &m, const ROOT::RVecI &flavour, const ROOT::RVecI &charge,
                        const Indices &indices)
{
   requireOneLength("sfosClosestToZ", pt, eta, phi, m, flavour, charge);
   requireInside("sfosClosestToZ", indices, pt.size());
   const Momenta momenta = momentaOf(pt, eta, phi, m, indices);
   SfosPair best;
   for (std::size_t a = 0; a < indices.size(); ++a) {
      for (std::size_t b = a + 1; b < indices.size(); ++b) {
         const int i = int(indices[a]), j = int(indices[b]);
         if (flavour[i] != flavour[j] || charge[i] * charge[j] >= 0)
            continue;
         const double pairMass = mass(momenta[a] + momenta[b]);
         if (best.first < 0 || std::abs(pairMass - kZMass) < std::abs(best.mass - kZMass))
            best = {i, j, pairMass};
      }
   }
   return best;
}

LeptonPairs leptonPairs(const ROOT::RVecF &pt, const ROOT::RVecF &eta, const ROOT::RVecF &phi,
                        const ROOT::RVecF &m, const ROOT::RVecI &flavour, const ROOT::RVecI &charge,
                        const Indices &indices)
{
   requireOneLength("leptonPairs", pt, eta, phi, m, flavour, charge);
   requireInside("leptonPairs", indices, pt.size());
   const Momenta momenta = momentaOf(pt, eta, phi, m, indices);
   LeptonPairs pairs;
   for (std::size_t a = 0; a < indices.size(); ++a) {
      for (std::size_t b = a + 1; b < indices.size(); ++b) {
         const int i = int(indices[a]), j = int(indices[b]);
         const double pairMass = mass(momenta[a] + momenta[b]);
         const int signs = charge[i] * charge[j];
         pairs.sfos += flavour[i] == flavour[j] && signs < 0;
         pairs.lightest = a == 0 && b == 1 ? pairMass : std::min(pairs.lightest, pairMass);
         pairs.heaviest = std::max(pairs.heaviest, pairMass);
         if (signs > 0)
            pairs.sameSign = std::max(pairs.sameSign, pairMass);
      }
   }
   return pairs;
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

/// Sum of the first `n` four-momenta at `indices`.
FourMomentum sumOfLeptons(const ROOT::RVecF &pt, const ROOT::RVecF &eta, const ROOT::RVecF &phi,
                          const ROOT::RVecF &m, const Indices &indices, std::size_t n)
{
   FourMomentum sum{0., 0., 0., 0.};
   for (std::size_t k = 0; k < n; ++k) {
      const std::size_t i = indices[k];
      sum = sum + fourMomentum({pt[i], eta[i], phi[i], m[i]});
   }
   return sum;
}

} // namespace

Particle leptonSystem(const ROOT::RVecF &pt, const ROOT::RVecF &eta, const ROOT::RVecF &phi,
                      const ROOT::RVecF &m, const Indices &indices, std::size_t n)
{
   requireOneLength("leptonSystem", pt, eta, phi, m);
   requireInside("leptonSystem", indices, pt.size());
   if (indices.size() < n)
      return {0., 0., 0., 0.};
   return particle(sumOfLeptons(pt, eta, phi, m, indices, n));
}

double leptonMass(const ROOT::RVecF &pt, const ROOT::RVecF &eta, const ROOT::RVecF &phi,
                  const ROOT::RVecF &m, const Indices &indices, std::size_t n)
{
   requireOneLength("leptonMass", pt, eta, phi, m);
   requireInside("leptonMass", indices, pt.size());
   if (indices.size() < n)
      return 0.;
   return mass(sumOfLeptons(pt, eta, phi, m, indices, n));
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
