/// \file objects.h
/// Choosing objects of an event by a mask and ordering them by transverse momentum.
#ifndef M3L_OBJECTS_H
#define M3L_OBJECTS_H

#include "arrays.h"
#include "kinematics.h"

#include <ROOT/RVec.hxx>

namespace m3l
{

/// The objects of one type, ordered by pT. Up to eight live without a memory allocation.
using Objects = ROOT::VecOps::RVecN<Particle, 8>;

/// Positions of the objects that `mask` selects, highest pT first; equal pT keep their order.
/// \throws std::invalid_argument if pT and mask differ in length
/// ~~~{.cpp}
/// root [0] m3l::indicesByPt(ROOT::RVecF{10, 30, 20}, ROOT::RVecI{1, 1, 0})
/// (m3l::Indices) { 1, 0 }
/// ~~~
template <typename T, typename Mask>
Indices indicesByPt(const ROOT::RVec<T> &pt, const ROOT::RVec<Mask> &mask)
{
   requireOneLength("indicesByPt", pt, mask);
   Indices indices;
   for (std::size_t i = 0; i < pt.size(); ++i)
      if (mask[i])
         indices.push_back(i);
   // Ntuples are ordered already, so that this insertion sort only looks once at each object.
   for (std::size_t k = 1; k < indices.size(); ++k) {
      const std::size_t index = indices[k];
      std::size_t n = k;
      for (; n > 0 && pt[indices[n - 1]] < pt[index]; --n)
         indices[n] = indices[n - 1];
      indices[n] = index;
   }
   return indices;
}

/// The objects that `mask` selects, highest pT first.
/// \throws std::invalid_argument if the arrays differ in length
template <typename Pt, typename Eta, typename Phi, typename M, typename Mask>
Objects objects(const ROOT::RVec<Pt> &pt, const ROOT::RVec<Eta> &eta, const ROOT::RVec<Phi> &phi,
                const ROOT::RVec<M> &m, const ROOT::RVec<Mask> &mask)
{
   requireOneLength("objects", pt, eta, phi, m, mask);
   Objects selected;
   for (const std::size_t i : indicesByPt(pt, mask))
      selected.push_back({pt[i], eta[i], phi[i], m[i]});
   return selected;
}

/// Four-momenta of the leading objects. Up to four live without a memory allocation.
using FourMomenta = ROOT::VecOps::RVecN<FourMomentum, 4>;

/// The four-momenta of the objects at `indices`, in GeV and in that order.
/// \param function  in whose name it throws
/// \throws std::invalid_argument if arrays differ in length or there is no object at an index
/// ~~~{.cpp}
/// root [0] ROOT::RVecF zero{0};
/// root [1] m3l::fourMomenta(ROOT::RVecF{3}, zero, zero, ROOT::RVecF{4}, {0})[0].e
/// (double) 5.0000000
/// ~~~
template <typename Pt, typename Eta, typename Phi, typename M>
FourMomenta fourMomenta(const ROOT::RVec<Pt> &pt, const ROOT::RVec<Eta> &eta,
                        const ROOT::RVec<Phi> &phi, const ROOT::RVec<M> &m, const Indices &indices,
                        const char *function = "fourMomenta")
{
   requireOneLength(function, pt, eta, phi, m);
   requireInside(function, indices, pt.size());
   FourMomenta momenta;
   for (const std::size_t i : indices)
      momenta.push_back(fourMomentum({pt[i], eta[i], phi[i], m[i]}));
   return momenta;
}

/// `values[indices[rank]]`, or 0 where there is no object of this rank.
/// \throws std::invalid_argument if there is no entry at that index
/// ~~~{.cpp}
/// root [0] m3l::ranked(ROOT::RVecF{10, 30, 20}, m3l::Indices{1, 0}, 0)
/// (float) 30.0000f
/// root [1] m3l::ranked(ROOT::RVecF{10, 30, 20}, m3l::Indices{1, 0}, 2)
/// (float) 0.00000f
/// ~~~
template <typename T>
T ranked(const ROOT::RVec<T> &values, const Indices &indices, std::size_t rank)
{
   if (rank >= indices.size())
      return T{};
   requireInside("ranked", indices[rank], values.size());
   return values[indices[rank]];
}

/// For each object, whether one of the others that `mask` selects lies within a distance of it.
/// \param distance  \f$\sqrt{\Delta\eta^2 + \Delta\phi^2}\f$
/// \throws std::invalid_argument if arrays of the same objects differ in length
template <typename T, typename Mask>
ROOT::RVecI matchedTo(const ROOT::RVec<T> &eta, const ROOT::RVec<T> &phi,
                      const ROOT::RVec<T> &otherEta, const ROOT::RVec<T> &otherPhi,
                      const ROOT::RVec<Mask> &mask, double distance)
{
   requireOneLength("matchedTo", eta, phi);
   requireOneLength("matchedTo", otherEta, otherPhi, mask);
   ROOT::RVecI matched(eta.size(), 0);
   for (std::size_t i = 0; i < eta.size(); ++i)
      for (std::size_t k = 0; k < otherEta.size() && !matched[i]; ++k)
         matched[i] =
            mask[k] && ROOT::VecOps::DeltaR(double(eta[i]), double(otherEta[k]), double(phi[i]),
                                            double(otherPhi[k])) <= distance;
   return matched;
}

} // namespace m3l

#endif
