/// \file cutflow.h
/// Counting the events that reach a cut, with sums that do not depend on the order of events.
#ifndef M3L_CUTFLOW_H
#define M3L_CUTFLOW_H

#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace m3l
{

/// Sum of doubles without rounding until it is read.
///
/// Floating-point sums depend on the order of their terms, and the order of events depends on the
/// number of threads. Here each term is added as an integer of 53 bits to one of 66 wide digits of
/// base 2^32, which is associative; 2^43 terms fit.
class ExactSum
{
public:
   /// `x` must be finite.
   void add(double x)
   {
      std::uint64_t bits;
      std::memcpy(&bits, &x, sizeof bits);
      const int exponent = bits >> 52 & 0x7ff; // 0 for zero and for denormal numbers
      const std::int64_t fraction = bits & 0xfffffffffffff;
      const std::int64_t mantissa = exponent == 0 ? fraction : fraction | 0x10000000000000;
      // x = +-mantissa * 2^(shift - kBias)
      const int shift = std::max(exponent, 1) - 1;
      const __int128 term = static_cast<__int128>(mantissa) << (shift % 32);
      fDigits[shift / 32] += bits >> 63 ? -term : term;
   }

   void add(const ExactSum &other)
   {
      for (std::size_t i = 0; i < fDigits.size(); ++i)
         fDigits[i] += other.fDigits[i];
   }

   /// The sum, rounded once.
   double value() const;

   /// The sum without rounding: a hexadecimal number, in units of 2^-1074.
   std::string hex() const;

private:
   using Digits = std::array<__int128, 66>;

   /// Whether the sum is negative, and its absolute value with digits from 0 to 2^32 - 1.
   std::pair<bool, Digits> absolute() const;

   static constexpr int kBias = 1074; ///< the smallest double is 2^-1074
   Digits fDigits{};
};

/// Events that reached one point of the selection.
struct CutflowCount {
   std::uint64_t entries = 0;
   double sumw = 0.;                  ///< sum of weights
   double sumw2 = 0.;                 ///< sum of squared weights
   std::uint64_t nonFinite = 0;       ///< events whose weight is NaN or infinite, not in the sums
   std::string exactSumw, exactSumw2; ///< the sums before rounding, see ExactSum::hex
};

/// Counts events in several threads; each slot is written by one thread at a time.
class CutflowCounter
{
public:
   explicit CutflowCounter(unsigned slots);

   void add(unsigned slot, double weight)
   {
      Slot &count = fSlots[slot];
      // Another thread may look at the entries while this one counts.
      count.entries.store(count.entries.load(std::memory_order_relaxed) + 1,
                          std::memory_order_relaxed);
      if (!std::isfinite(weight)) {
         ++count.nonFinite;
         return;
      }
      count.sumw.add(weight);
      count.sumw2.add(weight * weight);
   }

   /// Events counted so far; may be called during the event loop.
   std::uint64_t entries() const;

   /// The counts of all slots; to be called after the event loop.
   CutflowCount count() const { return count({this}); }

   /// The counts of several, added without rounding.
   static CutflowCount count(const std::vector<const CutflowCounter *> &counters);

private:
   struct alignas(64) Slot {
      std::atomic<std::uint64_t> entries{0};
      std::uint64_t nonFinite = 0;
      ExactSum sumw, sumw2;
   };
   std::vector<Slot> fSlots;
};

/// Counts the events of a sample that reach each cut of each region.
struct Cutflow {
   /// \param cuts  numbers of cuts of the regions
   Cutflow(unsigned slots, const std::vector<unsigned> &cuts);

   /// Counts an event at the last cut that it passes only, which is quicker than at each.
   /// \param passed  for each region, how many of its cuts the event passes
   void add(unsigned slot, const unsigned *passed, double weight)
   {
      for (std::size_t region = 0; region < regions.size(); ++region)
         if (passed[region] > 0)
            regions[region][passed[region] - 1].add(slot, weight);
      if (regions.empty() || passed[0] == 0)
         all.add(slot, weight);
   }

   /// Events read so far, counted or dropped; may be called during the event loop.
   std::uint64_t read() const;

   /// The events that passed a cut, to be called after the event loop.
   CutflowCount count(unsigned region, unsigned cut) const;

   /// All events that were not dropped.
   CutflowCount count() const;

   bool byLastCut = false; ///< whether events are counted by `add`, once in each region
   CutflowCounter all;     ///< by last cut: those that pass none of the first region
   CutflowCounter dropped; ///< events with bad values that were left out, not in `all`
   std::vector<std::vector<CutflowCounter>> regions; ///< one counter for each cut, in order
};

/// Those of a sample without variation, then in each systematic variation.
using Cutflows = std::vector<std::shared_ptr<Cutflow>>;

} // namespace m3l

#endif
