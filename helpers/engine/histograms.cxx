#include "engine/histograms.h"

#include <TFile.h>
#include <TH1.h>
#include <TKey.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <unordered_set>
#include <utility>

namespace m3l
{

// These classes are not in an anonymous namespace, since the interpreter could not link what
// the standard library makes of them.

/// The bin of a value by the formula of TAxis::FindFixBin; NaN counts as overflow, as there.
inline int binOf(double x, int bins, double low, double high)
{
   return x < low ? 0 : !(x < high) ? bins + 1 : 1 + int(bins * (x - low) / (high - low));
}

/// A histogram's content, reached without a call per value.
class HistogramContent
{
public:
   explicit HistogramContent(TH1D &histogram)
      : fHistogram(&histogram),
        fBins(histogram.GetXaxis()->GetNbins()),
        fLow(histogram.GetXaxis()->GetXmin()),
        fHigh(histogram.GetXaxis()->GetXmax()),
        fZeroBin(bin(0.)),
        fSumw(histogram.GetArray()),
        fSumw2(histogram.GetSumw2()->GetArray())
   {
      histogram.GetStats(fStats); // sums of w, w^2, w x, w x^2 of the values inside the range
   }

   /// Values that are zero are added up by the caller, since most cells of most events are.
   void fill(double x, double weight)
   {
      if (x != 0.)
         add(bin(x), x, weight, weight * weight);
   }

   void fillZeros(double sumw, double sumw2)
   {
      if (sumw2 > 0.)
         add(fZeroBin, 0., sumw, sumw2);
   }

   void finish(std::size_t n)
   {
      const double entries = fHistogram->GetEntries() + double(n);
      fHistogram->PutStats(fStats);
      fHistogram->SetEntries(entries);
   }

private:
   int bin(double x) const { return binOf(x, fBins, fLow, fHigh); }

   void add(int bin, double x, double w, double w2)
   {
      fSumw[bin] += w;
      fSumw2[bin] += w2;
      if (bin >= 1 && bin <= fBins) {
         fStats[0] += w;
         fStats[1] += w2;
         fStats[2] += w * x;
         fStats[3] += w * x * x;
      }
   }

   TH1D *fHistogram;
   int fBins;
   double fLow, fHigh;
   int fZeroBin;
   double *fSumw, *fSumw2;
   double fStats[TH1::kNstat] = {};
};

/// The content of the histograms of one column with several weights, filled side by side.
///
/// Each sum has its terms in the order of the rows, as with one weight, so that the sums are equal
/// to the last bit. Numbers of neighbouring weights are neighbours in memory, which lets the
/// compiler add several of them at once.
class SideBySide
{
public:
   /// \param histograms  of one column, with equal axes
   explicit SideBySide(std::vector<TH1D *> histograms)
      : fHistograms(std::move(histograms)),
        fBins(fHistograms[0]->GetXaxis()->GetNbins()),
        fLow(fHistograms[0]->GetXaxis()->GetXmin()),
        fHigh(fHistograms[0]->GetXaxis()->GetXmax()),
        fContents((fBins + 2) * 2 * fHistograms.size()),
        fStats(4 * fHistograms.size())
   {
   }

   /// \param value    of the column, by row
   /// \param weights  rows x weights, those of these histograms are the last
   template <typename Value>
   void fill(std::size_t rows, std::size_t nWeights, const Value &value, const double *weights)
   {
      const std::size_t n = fHistograms.size();
      std::vector<double> zeros(2 * n);
      double *const zero = zeros.data(), *const zero2 = zero + n;
      double *const stats = fStats.data();
      for (std::size_t row = 0; row < rows; ++row) {
         const double x = value(row);
         const double *const w = weights + (row + 1) * nWeights - n;
         if (x == 0.) {
            addSquares(n, w, zero, zero2);
            continue;
         }
         const int b = binOf(x, fBins, fLow, fHigh);
         double *const sums = &fContents[2 * n * b];
         addSquares(n, w, sums, sums + n);
         if (b >= 1 && b <= fBins) {
            addSquares(n, w, stats, stats + n);
            for (std::size_t i = 0; i < n; ++i) {
               const double wx = w[i] * x;
               stats[2 * n + i] += wx;
               stats[3 * n + i] += wx * x;
            }
         }
      }
      const int b = binOf(0., fBins, fLow, fHigh);
      double *const sums = &fContents[2 * n * b];
      for (std::size_t i = 0; i < n; ++i) {
         sums[i] += zero[i];
         sums[n + i] += zero2[i];
         if (b >= 1 && b <= fBins) {
            stats[i] += zero[i];
            stats[n + i] += zero2[i];
         }
      }
      fEntries += rows;
      copy();
   }

private:
   static void addSquares(std::size_t n, const double *__restrict w, double *__restrict sums,
                          double *__restrict squares)
   {
      for (std::size_t i = 0; i < n; ++i) {
         sums[i] += w[i];
         squares[i] += w[i] * w[i];
      }
   }

   /// Puts the sums into the histograms.
   void copy()
   {
      const std::size_t n = fHistograms.size();
      for (std::size_t i = 0; i < n; ++i) {
         double *const sumw = fHistograms[i]->GetArray();
         double *const sumw2 = fHistograms[i]->GetSumw2()->GetArray();
         for (int b = 0; b < fBins + 2; ++b) {
            sumw[b] = fContents[2 * n * b + i];
            sumw2[b] = fContents[2 * n * b + n + i];
         }
         double stats[TH1::kNstat] = {};
         for (std::size_t k = 0; k < 4; ++k)
            stats[k] = fStats[k * n + i];
         fHistograms[i]->PutStats(stats);
         fHistograms[i]->SetEntries(double(fEntries));
      }
   }

   std::vector<TH1D *> fHistograms;
   int fBins;
   double fLow, fHigh;
   std::vector<double> fContents; ///< of each bin the sums of all weights, then of their squares
   std::vector<double> fStats;    ///< sums of w, of w^2, of w x, of w x^2, of all weights each
   std::uint64_t fEntries = 0;
};

/// Fills all histograms from a batch of rows.
class HistogramFiller
{
public:
   HistogramFiller(const std::vector<TH1D *> &histograms, unsigned nWeights)
   {
      const std::size_t columns = histograms.size() / nWeights;
      for (std::size_t column = 0; column < columns; ++column) {
         if (!histograms[column])
            continue;
         fContents.emplace_back(*histograms[column]);
         fColumns.push_back(column);
         std::vector<TH1D *> others;
         for (unsigned i = 1; i < nWeights; ++i)
            others.push_back(histograms[i * columns + column]);
         if (!others.empty())
            fVaried.emplace_back(std::move(others));
      }
   }

   void operator()(const Rows &rows)
   {
      if (fContents.empty())
         return;
      std::vector<double> zeros(rows.floats + rows.ints), zeros2(rows.floats + rows.ints);
      const std::size_t ofFloats =
         std::lower_bound(fColumns.begin(), fColumns.end(), rows.floats) - fColumns.begin();
      for (std::size_t row = 0; row < rows.size; ++row) {
         const double weight = rows.weights[row * rows.nWeights], weight2 = weight * weight;
         const float *floats = rows.features.data() + row * rows.floats;
         const std::int32_t *ints = rows.integers.data() + row * rows.ints;
         for (unsigned i = 0; i < rows.floats; ++i) { // vector instructions
            zeros[i] += floats[i] == 0.f ? weight : 0.;
            zeros2[i] += floats[i] == 0.f ? weight2 : 0.;
         }
         for (std::size_t k = 0; k < ofFloats; ++k)
            fContents[k].fill(floats[fColumns[k]], weight);
         for (unsigned i = 0; i < rows.ints; ++i) {
            zeros[rows.floats + i] += ints[i] == 0 ? weight : 0.;
            zeros2[rows.floats + i] += ints[i] == 0 ? weight2 : 0.;
         }
         for (std::size_t k = ofFloats; k < fColumns.size(); ++k)
            fContents[k].fill(ints[fColumns[k] - rows.floats], weight);
      }
      for (std::size_t k = 0; k < fContents.size(); ++k) {
         fContents[k].fillZeros(zeros[fColumns[k]], zeros2[fColumns[k]]);
         fContents[k].finish(rows.size);
      }
      for (std::size_t k = 0; k < fVaried.size(); ++k) {
         const double *weights = rows.weights.data();
         if (const float *of = rows.features.data() + fColumns[k]; k < ofFloats) {
            const auto value = [&](std::size_t row) { return double(of[row * rows.floats]); };
            fVaried[k].fill(rows.size, rows.nWeights, value, weights);
         } else {
            const std::int32_t *ints = rows.integers.data() + fColumns[k] - rows.floats;
            const auto count = [&](std::size_t row) { return double(ints[row * rows.ints]); };
            fVaried[k].fill(rows.size, rows.nWeights, count, weights);
         }
      }
   }

private:
   std::vector<HistogramContent> fContents; // with the first weight
   std::vector<SideBySide> fVaried;         // with the others, if there are any
   std::vector<std::size_t> fColumns;       // of each in a row, floats before integers
};

void startFilling(RowStore &rows, std::size_t n, const std::vector<TH1D *> &histograms)
{
   rows.startReading(n, HistogramFiller(histograms, rows.nWeights()));
}

bool copyHistograms(const std::string &path, const std::vector<std::string> &names, TDirectory &to)
{
   const std::unordered_set<std::string> wanted(names.begin(), names.end());
   const std::unique_ptr<TFile> file(TFile::Open(path.c_str()));
   if (!file || file->IsZombie() || file->TestBit(TFile::kRecovered))
      return false;
   for (TObject *region : *file->GetListOfKeys()) {
      auto *from = file->GetDirectory(region->GetName());
      if (!from)
         return false;
      TDirectory *folder = to.mkdir(region->GetName(), region->GetName(), true);
      for (TObject *key : *from->GetListOfKeys()) {
         if (!wanted.empty() && wanted.count(key->GetName()) == 0)
            continue;
         const std::unique_ptr<TH1D> histogram(static_cast<TKey *>(key)->ReadObject<TH1D>());
         if (!histogram)
            return false;
         histogram->SetDirectory(nullptr);
         if (folder->WriteTObject(histogram.get()) <= 0)
            return false;
      }
   }
   return true;
}

} // namespace m3l
