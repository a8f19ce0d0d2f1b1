/// \file goodruns.h
/// The runs and luminosity blocks of a good-run list.
#ifndef M3L_GOODRUNS_H
#define M3L_GOODRUNS_H

#include <algorithm>
#include <charconv>
#include <iterator>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace m3l
{

/// A good-run list: for each run the luminosity blocks in which data are good.
/// ~~~{.cpp}
/// root [0] m3l::GoodRuns("284500:1-20,25;284501:7").contains(284500, 25)
/// (bool) true
/// ~~~
class GoodRuns
{
public:
   /// \param text  run:first-last,first-last;run:..., rising, as analysis/good_runs.py writes it
   /// \throws std::invalid_argument
   explicit GoodRuns(std::string_view text)
   {
      while (!text.empty()) {
         const long long run = number(text);
         do {
            separator(text); // of the run or of the range before
            const long long first = number(text);
            const bool isRange = !text.empty() && text.front() == '-';
            if (isRange)
               separator(text);
            fRanges.push_back({run, first, isRange ? number(text) : first});
         } while (!text.empty() && text.front() == ',');
         if (!text.empty())
            separator(text);
      }
   }

   /// Whether a block of a run is good.
   bool contains(long long run, long long block) const
   {
      const auto isBefore = [](const std::pair<long long, long long> &wanted, const Range &range) {
         return wanted < std::make_pair(range.run, range.first);
      };
      const auto next =
         std::upper_bound(fRanges.begin(), fRanges.end(), std::make_pair(run, block), isBefore);
      if (next == fRanges.begin())
         return false;
      const Range &range = *std::prev(next);
      return range.run == run && block <= range.last;
   }

private:
   struct Range {
      long long run, first, last;
   };

   static long long number(std::string_view &text)
   {
      long long value = 0;
      const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
      if (error != std::errc())
         throw std::invalid_argument("no good-run list: " + std::string(text.substr(0, 50)));
      text.remove_prefix(end - text.data());
      return value;
   }

   static void separator(std::string_view &text)
   {
      if (text.empty() || std::string_view(":,;-").find(text.front()) == std::string_view::npos)
         throw std::invalid_argument("no good-run list: " + std::string(text.substr(0, 50)));
      text.remove_prefix(1);
   }

   std::vector<Range> fRanges; ///< rising
};

} // namespace m3l

#endif
