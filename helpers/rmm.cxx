#include "rmm.h"

#include <cmath>
#include <set>
#include <stdexcept>

namespace m3l
{

namespace
{

/// Everything the cells need of one object, made once.
struct Momenta {
   explicit Momenta(unsigned size)
      : fData(7 * size),
        fSize(size)
   {
   }

   double *px() { return &fData[0 * fSize]; }
   double *py() { return &fData[1 * fSize]; }
   double *pz() { return &fData[2 * fSize]; }
   double *e() { return &fData[3 * fSize]; }
   double *m2() { return &fData[4 * fSize]; }
   double *a() { return &fData[5 * fSize]; } ///< exp(+k y), see `fill`
   double *b() { return &fData[6 * fSize]; } ///< exp(-k y)

private:
   // One allocation-free array for the usual layouts: structure of arrays, so that the pair loops
   // become vector instructions.
   ROOT::VecOps::RVecN<double, 7 * 40> fData;
   unsigned fSize;
};

double square(double x)
{
   return x * x;
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
   std::vector<const Objects *> all;
   for (const auto &type : types)
      all.push_back(&type);
   return fill(met, metPhi, all.data(), all.size());
}

ROOT::RVecF RMM::fill(double met, double metPhi, const Objects *const *types, std::size_t n) const
{
   if (n != fTypes.size())
      throw std::invalid_argument("RMM: the layout has " + std::to_string(fTypes.size()) +
                                  " object types, but " + std::to_string(n) + " were given");

   ROOT::RVecF cells(fSize * fSize);
   Momenta p(fSize);
   double *const px = p.px(), *const py = p.py(), *const pz = p.pz(), *const e = p.e(),
                 *const m2 = p.m2(), *const a = p.a(), *const b = p.b();
   const double metX = met * std::cos(metPhi), metY = met * std::sin(metPhi);
   const double scale = fInverseScale, c = kLongitudinalScale;
   // cosh(d) - 1 = 2 sinh^2(d / 2) = (a_i b_j - a_j b_i)^2 / 2 with a = exp(k y), b = 1 / a:
   // one exponential an object instead of a cosh a pair, and no cancellation at small dy.
   const bool published = fH == H::kPublished;

   struct Block {
      unsigned begin, end;
   };
   ROOT::VecOps::RVecN<Block, 8> blocks;

   cells[0] = met * scale;
   unsigned first = 1;
   for (std::size_t t = 0; t < n; ++t) {
      const Objects &objects = *types[t];
      const unsigned count = std::min<std::size_t>(fTypes[t].multiplicity, objects.size());
      double previousEt = 0.;
      for (unsigned rank = 0; rank < count; ++rank) {
         const unsigned i = first + rank;
         const Particle &object = objects[rank];
         const FourMomentum q = fourMomentum(object);
         const double et = transverseEnergy(object.pt, object.m);
         px[i] = q.px;
         py[i] = q.py;
         pz[i] = q.pz;
         e[i] = q.e;
         m2[i] = square(object.m);
         // exp(|y|) = (E + |pz|) / e_T
         const double expHalfY = et > 0. ? std::sqrt((q.e + std::abs(q.pz)) / et) : 1.;
         const double grow = published ? std::sqrt(expHalfY) : expHalfY;
         a[i] = q.pz < 0. ? 1. / grow : grow;
         b[i] = q.pz < 0. ? grow : 1. / grow;

         cells[i] =
            std::sqrt(std::max(0., m2[i] + 2. * (et * met - q.px * metX - q.py * metY))) * scale;
         cells[i * fSize] = c * square(expHalfY - 1. / expHalfY) / 2.;
         cells[i * fSize + i] = rank == 0 ? et * scale : deltaTransverseEnergy(previousEt, et);
         previousEt = et;
      }
      if (!blocks.empty() && blocks.back().end == first)
         blocks.back().end += count; // a long loop is faster than two short ones
      else if (count > 0)
         blocks.push_back({first, first + count});
      first += fTypes[t].multiplicity;
   }

   for (const Block &rows : blocks) {
      for (unsigned i = rows.begin; i < rows.end; ++i) {
         float *const row = &cells[i * fSize];
         for (const Block &columns : blocks) {
            for (unsigned j = columns.begin; j < std::min(columns.end, i); ++j)
               row[j] = c * square(a[i] * b[j] - a[j] * b[i]) / 2.;
            for (unsigned j = std::max(columns.begin, i + 1); j < columns.end; ++j)
               row[j] = std::sqrt(std::max(0., m2[i] + m2[j] +
                                                  2. * (e[i] * e[j] - px[i] * px[j] -
                                                        py[i] * py[j] - pz[i] * pz[j]))) *
                        scale;
         }
      }
   }
   return cells;
}

} // namespace m3l
