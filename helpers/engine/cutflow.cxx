#include "engine/cutflow.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

namespace m3l
{

namespace
{

/// The same number with digits from 0 to 2^32 - 1; the last one carries the sign.
template <typename Digits>
Digits carried(Digits digits)
{
   for (std::size_t i = 0; i + 1 < digits.size(); ++i) {
      digits[i + 1] += digits[i] >> 32;
      digits[i] &= 0xffffffff;
   }
   return digits;
}

} // namespace

double ExactSum::value() const
{
   const auto [negative, digits] = absolute();
   int top = int(digits.size()) - 1;
   while (top > 2 && digits[top] == 0)
      --top;
   __int128 leading = (digits[top] << 64) + (digits[top - 1] << 32) + digits[top - 2];
   // What is below decides between two doubles only if it is not zero.
   for (int i = 0; i < top - 2; ++i)
      leading |= digits[i] != 0;
   const double sum = std::ldexp(static_cast<double>(leading), 32 * (top - 2) - kBias);
   return negative ? -sum : sum;
}

std::string ExactSum::hex() const
{
   const auto [negative, digits] = absolute();
   std::string text;
   for (auto digit = digits.rbegin(); digit != digits.rend(); ++digit) {
      char part[40];
      std::snprintf(part, sizeof part, "%08llx", static_cast<unsigned long long>(*digit));
      text += part;
   }
   text.erase(0, std::min(text.find_first_not_of('0'), text.size() - 1));
   return negative ? "-" + text : text;
}

auto ExactSum::absolute() const -> std::pair<bool, Digits>
{
   Digits digits = carried(fDigits);
   const bool negative = digits.back() < 0;
   if (negative) {
      for (std::size_t i = 0; i < digits.size(); ++i)
         digits[i] = -fDigits[i];
      digits = carried(digits);
   }
   return {negative, digits};
}

CutflowCounter::CutflowCounter(unsigned slots)
   : fSlots(slots)
{
}

std::uint64_t CutflowCounter::entries() const
{
   std::uint64_t sum = 0;
   for (const auto &count : fSlots)
      sum += count.entries.load(std::memory_order_relaxed);
   return sum;
}

CutflowCount CutflowCounter::count(const std::vector<const CutflowCounter *> &counters)
{
   CutflowCount total;
   ExactSum sumw, sumw2;
   for (const CutflowCounter *counter : counters) {
      for (const auto &count : counter->fSlots) {
         total.nonFinite += count.nonFinite;
         sumw.add(count.sumw);
         sumw2.add(count.sumw2);
      }
      total.entries += counter->entries();
   }
   total.sumw = sumw.value();
   total.sumw2 = sumw2.value();
   total.exactSumw = sumw.hex();
   total.exactSumw2 = sumw2.hex();
   return total;
}

Cutflow::Cutflow(unsigned slots, const std::vector<unsigned> &cuts)
   : all(slots),
     dropped(slots)
{
   for (const unsigned n : cuts) {
      auto &counters = regions.emplace_back();
      for (unsigned i = 0; i < n; ++i)
         counters.emplace_back(slots);
   }
}

std::uint64_t Cutflow::read() const
{
   std::uint64_t entries = all.entries() + dropped.entries();
   if (byLastCut && !regions.empty())
      for (const auto &counter : regions[0])
         entries += counter.entries();
   return entries;
}

CutflowCount Cutflow::count(unsigned region, unsigned cut) const
{
   std::vector<const CutflowCounter *> counters{&regions[region][cut]};
   if (byLastCut)
      for (std::size_t later = cut + 1; later < regions[region].size(); ++later)
         counters.push_back(&regions[region][later]);
   return CutflowCounter::count(counters);
}

CutflowCount Cutflow::count() const
{
   std::vector<const CutflowCounter *> counters{&all};
   if (byLastCut && !regions.empty())
      for (const auto &counter : regions[0])
         counters.push_back(&counter);
   return CutflowCounter::count(counters);
}

} // namespace m3l
