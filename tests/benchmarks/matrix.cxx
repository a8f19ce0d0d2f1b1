// The matrix beside a straightforward implementation of it with TLorentzVector, see matrix.py.
#include "rmm.h"

#include <TLorentzVector.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <random>
#include <string>
#include <vector>

namespace matrix_benchmark
{

using Event = std::vector<m3l::Objects>;

/// Each vector is made once per event, each cell from its definition.
ROOT::RVecF withLorentzVectors(const std::vector<m3l::RMM::Type> &layout, double met, double metPhi,
                               const Event &event)
{
   std::vector<TLorentzVector> vectors;
   std::vector<std::size_t> rows; // of the vectors
   std::vector<bool> leading;
   std::size_t size = 1;
   for (std::size_t type = 0; type < layout.size(); ++type) {
      for (std::size_t rank = 0; rank < event[type].size(); ++rank) {
         const m3l::Particle &p = event[type][rank];
         TLorentzVector vector;
         vector.SetPtEtaPhiM(p.pt, p.eta, p.phi, p.m);
         vectors.push_back(vector);
         rows.push_back(size + rank);
         leading.push_back(rank == 0);
      }
      size += layout[type].multiplicity;
   }
   TLorentzVector missing;
   missing.SetPtEtaPhiM(met, 0., metPhi, 0.);
   const auto et = [](const TLorentzVector &p) { return std::sqrt(p.M2() + p.Perp2()); };

   ROOT::RVecF cells(size * size);
   cells[0] = met;
   for (std::size_t k = 0; k < vectors.size(); ++k) {
      const TLorentzVector &p = vectors[k];
      const std::size_t i = rows[k];
      const double product = p.Px() * missing.Px() + p.Py() * missing.Py();
      cells[i] = std::sqrt(std::max(0., p.M2() + 2. * (et(p) * met - product)));
      cells[i * size] = 0.15 * (std::cosh(p.Rapidity()) - 1.);
      if (leading[k]) {
         cells[i * size + i] = et(p);
      } else {
         const double before = et(vectors[k - 1]), here = et(p);
         cells[i * size + i] = (before - here) / (before + here);
      }
      for (std::size_t l = k + 1; l < vectors.size(); ++l) {
         const TLorentzVector &q = vectors[l];
         const std::size_t j = rows[l];
         cells[i * size + j] = (p + q).M();
         cells[j * size + i] = 0.15 * (std::cosh((q.Rapidity() - p.Rapidity()) / 2.) - 1.);
      }
   }
   return cells;
}

/// Events with so many objects of each type.
std::vector<Event> randomEvents(const std::vector<unsigned> &counts, unsigned n)
{
   std::mt19937 random(1);
   std::exponential_distribution<> pt(1. / 50.);
   std::uniform_real_distribution<> eta(-2.5, 2.5), phi(-M_PI, M_PI), m(0.1, 10.);
   std::vector<Event> events(n);
   for (Event &event : events) {
      for (const unsigned count : counts) {
         m3l::Objects objects;
         for (unsigned i = 0; i < count; ++i)
            objects.push_back({20. + pt(random), eta(random), phi(random), m(random)});
         std::sort(objects.begin(), objects.end(), [](auto &a, auto &b) { return a.pt > b.pt; });
         event.push_back(objects);
      }
   }
   return events;
}

/// Nanoseconds per event.
template <typename F>
double timed(const std::vector<Event> &events, F &&fill)
{
   using Clock = std::chrono::steady_clock;
   double sum = 0.;
   const auto begin = Clock::now();
   for (const Event &event : events)
      sum += fill(event)[1];
   const std::chrono::duration<double, std::nano> time = Clock::now() - begin;
   volatile double used = sum; // so that the compiler cannot leave the work out
   (void)used;
   return time.count() / double(events.size());
}

/// Returns ns per event of the matrix and of its rival, the best of several rounds, and the largest
/// difference between their cells, relative to max(1, cell).
std::vector<double> measure(const std::vector<unsigned> &multiplicities,
                            const std::vector<unsigned> &counts, unsigned n)
{
   std::vector<m3l::RMM::Type> types;
   for (const unsigned multiplicity : multiplicities)
      types.push_back({"type" + std::to_string(types.size()), multiplicity});
   const m3l::RMM rmm(types);
   const auto events = randomEvents(counts, n);
   const auto ours = [&](const Event &event) { return rmm(60., 1., event); };
   const auto theirs = [&](const Event &event) {
      return withLorentzVectors(types, 60., 1., event);
   };
   double difference = 0.;
   for (const Event &event : events) {
      const auto found = ours(event), expected = theirs(event);
      for (std::size_t k = 0; k < found.size(); ++k) {
         const double scale = std::max(1., std::abs(double(expected[k])));
         difference = std::max(difference, std::abs(double(found[k]) - expected[k]) / scale);
      }
   }
   double matrix = 1e99, lorentz = 1e99;
   for (int round = 0; round < 15; ++round) {
      matrix = std::min(matrix, timed(events, ours));
      lorentz = std::min(lorentz, timed(events, theirs));
   }
   return {matrix, lorentz, difference};
}

} // namespace matrix_benchmark
