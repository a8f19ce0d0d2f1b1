#include "rmm.h"
#include "elementary.h"
#include "wide.h"

#include <cmath>
#include <iterator>
#include <set>
#include <stdexcept>

namespace m3l
{

namespace
{

constexpr unsigned kLanes = 8;

/// Eight objects side by side and all that the cells need of them.
struct Lanes {
   unsigned index[kLanes]; ///< row and column in the matrix
   bool leading[kLanes];   ///< whether it is the first of its type
   double pt[kLanes], eta[kLanes], phi[kLanes], m[kLanes];
   double px[kLanes], py[kLanes], pz[kLanes], e[kLanes], et[kLanes], m2[kLanes];
   double a[kLanes], b[kLanes]; ///< exp(+k y) and exp(-k y), see `fillPairs`
   float mT[kLanes], hL[kLanes];

   void put(unsigned k, const Particle &object)
   {
      pt[k] = object.pt;
      eta[k] = object.eta;
      phi[k] = sensibleAngle(object.phi);
      m[k] = object.m;
   }
};

/// f(0) ... f(kLanes - 1), which become vector instructions where f has no branches.
template <typename F>
void forLanes(F &&f)
{
#pragma GCC unroll 1 // short loops would be unrolled before they could become vectors
   for (unsigned k = 0; k < kLanes; ++k)
      f(k);
}

double square(double x)
{
   return x * x;
}

/// Square root for a cell, in its precision, which is several times as fast; 0 below 0.
float root(double x)
{
   return std::sqrt(float(std::max(0., x)));
}

/// Everything of the objects that follows from pt, eta, phi and m.
M3L_WIDE("avx2")
void complete(Lanes &o, double met, double metX, double metY, bool published)
{
   forLanes([&](unsigned k) {
      double sine, cosine;
      sinCos(o.phi[k], sine, cosine);
      const double px = o.pt[k] * cosine, py = o.pt[k] * sine;
      const double expEta = exponential(std::abs(o.eta[k]));
      const double z = o.pt[k] * (expEta - 1. / expEta) / 2.; // |pz|
      const double m2 = square(o.m[k]), et2 = m2 + square(o.pt[k]);
      const double et = std::sqrt(et2), e = std::sqrt(et2 + square(z));
      // exp(|y|) = (E + |pz|) / e_T
      const double expHalfY = et > 0. ? std::sqrt((e + z) / et) : 1., inverse = 1. / expHalfY;
      const bool backward = o.eta[k] < 0.;
      o.px[k] = px;
      o.py[k] = py;
      o.pz[k] = backward ? -z : z;
      o.e[k] = e;
      o.et[k] = et;
      o.m2[k] = m2;
      o.a[k] = backward ? inverse : expHalfY;
      o.b[k] = backward ? expHalfY : inverse;
      o.mT[k] = root(m2 + 2. * (et * met - px * metX - py * metY));
      o.hL[k] = kLongitudinalScale * square(expHalfY - inverse) / 2.;
   });
   if (published)
      forLanes([&](unsigned k) {
         o.a[k] = std::sqrt(o.a[k]);
         o.b[k] = std::sqrt(o.b[k]);
      });
}

/// The cells of all pairs of `count` objects.
M3L_WIDE("avx2")
void fillPairs(const Lanes *objects, unsigned count, float *cells, unsigned size)
{
   for (unsigned i = 0; i < count; ++i) {
      const Lanes &p = objects[i / kLanes];
      const unsigned k = i % kLanes;
      const double px = p.px[k], py = p.py[k], pz = p.pz[k], e = p.e[k], m2 = p.m2[k];
      const double a = p.a[k], b = p.b[k];
      float *const row = cells + p.index[k] * size;
      for (unsigned first = 0; first < count; first += kLanes) {
         const Lanes &q = objects[first / kLanes];
         const unsigned end = std::min(kLanes, count - first);
         const unsigned below = std::min(end, i - std::min(i, first)); // of them left of column i
         float h[kLanes], mass[kLanes];
         // cosh(d) - 1 = 2 sinh^2(d / 2) = (a_i b_j - a_j b_i)^2 / 2 with a = exp(k y), b = 1 / a:
         // one exponential an object instead of a cosh a pair, and no cancellation at small dy.
         if (below > 0)
            forLanes([&](unsigned j) {
               h[j] = kLongitudinalScale * square(a * q.b[j] - q.a[j] * b) / 2.;
            });
         if (below < end)
            forLanes([&](unsigned j) {
               mass[j] = root(m2 + q.m2[j] +
                              2. * (e * q.e[j] - px * q.px[j] - py * q.py[j] - pz * q.pz[j]));
            });
         for (unsigned j = 0; j < below; ++j)
            row[q.index[j]] = h[j];
         for (unsigned j = below; j < end; ++j)
            row[q.index[j]] = mass[j];
      }
   }
}

} // namespace

RMM::RMM(std::vector<RMM::Type> types, double energyScale, H h)
   : fTypes(std::move(types)),
     fInverseScale(1. / energyScale),
     fH(h)
{
   if (fTypes.empty())
      throw std::invalid_argument("RMM: the layout has no object types");
   if (!(energyScale > 0.) || !std::isfinite(energyScale))
      throw std::invalid_argument("RMM: the energy scale must be positive, not " +
                                  std::to_string(energyScale));
   std::set<std::string> names;
   for (const auto &type : fTypes) {
      if (type.name.empty() || type.multiplicity == 0)
         throw std::invalid_argument("RMM: type '" + type.name + "' needs a name and objects");
      if (!names.insert(type.name).second)
         throw std::invalid_argument("RMM: type '" + type.name + "' appears twice");
      fSize += type.multiplicity;
   }
}

std::vector<std::string> RMM::labels() const
{
   std::vector<std::string> objects{""};
   for (const auto &type : fTypes)
      for (unsigned rank = 0; rank < type.multiplicity; ++rank)
         objects.push_back(type.name + "_" + std::to_string(rank));

   std::vector<std::string> cells;
   cells.reserve(fSize * fSize);
   for (unsigned i = 0; i < fSize; ++i) {
      for (unsigned j = 0; j < fSize; ++j) {
         if (i == 0)
            cells.push_back(j == 0 ? "e_T_miss" : "m_T_" + objects[j]);
         else if (j == 0)
            cells.push_back("h_L_" + objects[i]);
         else if (i == j)
            cells.push_back(
               (objects[i].substr(objects[i].rfind('_')) == "_0" ? "e_T_" : "delta_e_t_") +
               objects[i]);
         else
            cells.push_back((i < j ? "m_" : "h_") + objects[i] + "_" + objects[j]);
      }
   }
   return cells;
}

ROOT::RVecF RMM::operator()(double met, double metPhi, const std::vector<Objects> &types) const
{
   ROOT::VecOps::RVecN<const Objects *, 8> all;
   for (const auto &type : types)
      all.push_back(&type);
   return fill(met, metPhi, all.data(), all.size());
}

ROOT::RVecF RMM::fill(double met, double metPhi, const Objects *const *types, std::size_t n) const
{
   if (n != fTypes.size())
      throw std::invalid_argument("RMM: the layout has " + std::to_string(fTypes.size()) +
                                  " object types, but " + std::to_string(n) + " were given");

   const auto present = [&](std::size_t t) {
      return std::min<std::size_t>(fTypes[t].multiplicity, types[t]->size());
   };
   unsigned count = 0;
   for (std::size_t t = 0; t < n; ++t)
      count += present(t);

   // Those of the usual layouts live without a memory allocation.
   Lanes few[5];
   const unsigned groups = (count + kLanes - 1) / kLanes;
   std::vector<Lanes> many(groups > std::size(few) ? groups : 0);
   Lanes *const objects = many.empty() ? few : many.data();
   unsigned next = 0, first = 1;
   for (std::size_t t = 0; t < n; ++t) {
      for (unsigned rank = 0; rank < present(t); ++rank, ++next) {
         const Particle &object = (*types[t])[rank];
         Lanes &o = objects[next / kLanes];
         const unsigned k = next % kLanes;
         o.index[k] = first + rank;
         o.leading[k] = rank == 0;
         o.put(k, {object.pt * fInverseScale, object.eta, object.phi, object.m * fInverseScale});
      }
      first += fTypes[t].multiplicity;
   }
   for (; next % kLanes != 0; ++next)
      objects[next / kLanes].put(next % kLanes, {}); // not used; what lies there could be slow

   met *= fInverseScale;
   double sine, cosine;
   sinCos(sensibleAngle(metPhi), sine, cosine);
   for (unsigned group = 0; group < groups; ++group)
      complete(objects[group], met, met * cosine, met * sine, fH == H::kPublished);

   ROOT::RVecF cells(fSize * fSize);
   fillPairs(objects, count, cells.data(), fSize);
   cells[0] = met;
   double previousEt = 0.;
   for (unsigned i = 0; i < count; ++i) {
      const Lanes &o = objects[i / kLanes];
      const unsigned k = i % kLanes, index = o.index[k];
      const double et = o.et[k];
      cells[index] = o.mT[k];
      cells[index * fSize] = o.hL[k];
      cells[index * fSize + index] = o.leading[k] ? et : deltaTransverseEnergy(previousEt, et);
      previousEt = et;
   }
   return cells;
}

} // namespace m3l
