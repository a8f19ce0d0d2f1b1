#include "engine/histograms.h"

#include "wide.h"

#include <Compression.h>
#include <TFile.h>
#include <TH1.h>
#include <TKey.h>
#include <TMemFile.h>

#include <algorithm>
#include <cstdint>
#include <sstream>
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

/// The bins of a histogram.
struct Axis {
   explicit Axis(const TAxis &axis)
      : bins(axis.GetNbins()),
        low(axis.GetXmin()),
        high(axis.GetXmax())
   {
   }

   int bin(double x) const { return binOf(x, bins, low, high); }
   bool isInside(int bin) const { return bin >= 1 && bin <= bins; }

   int bins;
   double low, high;
};

/// Adds n weights of each row to sums, of which those of neighbouring weights are neighbours. Most
/// time of many weights goes into it, and wide vector instructions halve that.
/// \param weights   those of row i begin at i * stride
/// \param contents  of each bin n sums of weights, then n of their squares
/// \param moments   n sums of w, of w^2, of w x, of w x^2, of values inside the range
/// \param zeros     as of a bin, for values that are zero, which are nowhere else
M3L_WIDE("avx2")
void addWeights(const std::vector<double> &values, const double *weights, std::size_t stride,
                std::size_t n, const Axis &axis, double *__restrict contents,
                double *__restrict moments, double *__restrict zeros)
{
   for (std::size_t row = 0; row < values.size(); ++row) {
      const double x = values[row];
      const double *const __restrict w = weights + row * stride;
      const int bin = x == 0. ? 0 : axis.bin(x);
      double *const __restrict sums = x == 0. ? zeros : contents + 2 * n * bin;
      for (std::size_t i = 0; i < n; ++i) {
         sums[i] += w[i];
         sums[n + i] += w[i] * w[i];
      }
      if (x == 0. || !axis.isInside(bin))
         continue;
      for (std::size_t i = 0; i < n; ++i) {
         const double wx = w[i] * x;
         moments[i] += w[i];
         moments[n + i] += w[i] * w[i];
         moments[2 * n + i] += wx;
         moments[3 * n + i] += wx * x;
      }
   }
}

/// The content of the histograms of one column with several weights, filled side by side.
///
/// Each sum has its terms in the order of the rows, as with one weight, so that the sums are equal
/// to the last bit.
class SideBySide
{
public:
   /// \param histograms  of one column, with equal axes
   explicit SideBySide(std::vector<TH1D *> histograms)
      : fHistograms(std::move(histograms)),
        fAxis(*fHistograms[0]->GetXaxis()),
        fContents((fAxis.bins + 2) * 2 * fHistograms.size()),
        fMoments(4 * fHistograms.size())
   {
   }

   /// \param values   of the column, by row
   /// \param weights  rows x stride, those of these histograms are the last
   /// \param all      what all rows together add to a bin
   void fill(const std::vector<double> &values, const double *weights, std::size_t stride,
             const std::vector<double> &all)
   {
      const std::size_t n = fHistograms.size();
      std::vector<double> zeros(2 * n);
      const auto isZero = [](double x) { return x == 0.; };
      if (std::all_of(values.begin(), values.end(), isZero)) // many cells, in all events
         zeros = all;
      else
         addWeights(values, weights + stride - n, stride, n, fAxis, fContents.data(),
                    fMoments.data(), zeros.data());
      const int bin = fAxis.bin(0.);
      for (std::size_t i = 0; i < 2 * n; ++i) {
         fContents[2 * n * bin + i] += zeros[i];
         if (fAxis.isInside(bin))
            fMoments[i] += zeros[i];
      }
      fEntries += values.size();
      copy();
   }

private:
   /// Puts the sums into the histograms.
   void copy()
   {
      const std::size_t n = fHistograms.size();
      for (std::size_t i = 0; i < n; ++i) {
         double *const sumw = fHistograms[i]->GetArray();
         double *const sumw2 = fHistograms[i]->GetSumw2()->GetArray();
         for (int bin = 0; bin < fAxis.bins + 2; ++bin) {
            sumw[bin] = fContents[2 * n * bin + i];
            sumw2[bin] = fContents[2 * n * bin + n + i];
         }
         double stats[TH1::kNstat] = {};
         for (std::size_t k = 0; k < 4; ++k)
            stats[k] = fMoments[k * n + i];
         fHistograms[i]->PutStats(stats);
         fHistograms[i]->SetEntries(double(fEntries));
      }
   }

   std::vector<TH1D *> fHistograms;
   Axis fAxis;
   std::vector<double> fContents, fMoments; ///< see addWeights
   std::uint64_t fEntries = 0;
};

/// Adds a weight and its square to the sums of those numbers that are zero.
M3L_WIDE("avx2")
void addZeros(const float *values, std::size_t n, double weight, double *__restrict sumw,
              double *__restrict sumw2)
{
   const double weight2 = weight * weight;
   for (std::size_t i = 0; i < n; ++i) {
      sumw[i] += values[i] == 0.f ? weight : 0.;
      sumw2[i] += values[i] == 0.f ? weight2 : 0.;
   }
}

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
         addZeros(floats, rows.floats, weight, zeros.data(), zeros2.data());
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
      if (!fVaried.empty())
         fillVaried(rows, ofFloats);
   }

private:
   void fillVaried(const Rows &rows, std::size_t ofFloats)
   {
      const std::size_t n = rows.nWeights - 1;
      std::vector<double> all(2 * n), values(rows.size);
      for (std::size_t row = 0; row < rows.size; ++row) {
         const double *const w = rows.weights.data() + row * rows.nWeights + 1;
         for (std::size_t i = 0; i < n; ++i) {
            all[i] += w[i];
            all[n + i] += w[i] * w[i];
         }
      }
      for (std::size_t k = 0; k < fVaried.size(); ++k) {
         const bool isFloat = k < ofFloats;
         const std::size_t column = fColumns[k] - (isFloat ? 0 : rows.floats);
         for (std::size_t row = 0; row < rows.size; ++row)
            values[row] = isFloat ? double(rows.features[row * rows.floats + column])
                                  : double(rows.integers[row * rows.ints + column]);
         fVaried[k].fill(values, rows.weights.data(), rows.nWeights, all);
      }
   }

   std::vector<HistogramContent> fContents; // with the first weight
   std::vector<SideBySide> fVaried;         // with the others, if there are any
   std::vector<std::size_t> fColumns;       // of each in a row, floats before integers
};

void startFilling(RowStore &rows, std::size_t n, const std::vector<TH1D *> &histograms)
{
   rows.startReading(n, HistogramFiller(histograms, rows.nWeights()));
}

HistogramSet::HistogramSet() = default;
HistogramSet::~HistogramSet() = default;

void HistogramSet::add(const std::string &name, const std::string &title, int bins, double low,
                       double high)
{
   auto &made = fHistograms.emplace_back(new TH1D(name.c_str(), title.c_str(), bins, low, high));
   made->SetDirectory(nullptr);
   made->Sumw2();
}

void HistogramSet::addNone()
{
   fHistograms.emplace_back();
}

void HistogramSet::startFilling(RowStore &rows, std::size_t n) const
{
   std::vector<TH1D *> histograms;
   for (const auto &histogram : fHistograms)
      histograms.push_back(histogram.get());
   m3l::startFilling(rows, n, histograms);
}

HistogramFile::HistogramFile(const std::string &name)
   // "reproducible" leaves out the time and the UUID. Thousands of small objects want a fast
   // algorithm.
   : fFile(new TMemFile((name + "?reproducible=histograms").c_str(), "RECREATE", "",
                        ROOT::CompressionSettings(ROOT::RCompressionSetting::EAlgorithm::kLZ4, 4)))
{
}

HistogramFile::~HistogramFile() = default;

bool HistogramFile::write(const std::string &region, const HistogramSet &histograms)
{
   TDirectory *folder = fFile->mkdir(region.c_str(), region.c_str(), true);
   for (const auto &histogram : histograms.fHistograms)
      if (histogram && folder->WriteTObject(histogram.get()) <= 0)
         return false;
   return true;
}

bool HistogramFile::add(const std::string &path, const std::string &names)
{
   std::unordered_set<std::string> wanted;
   std::istringstream lines(names);
   for (std::string name; std::getline(lines, name);)
      wanted.insert(name);
   const std::unique_ptr<TFile> file(TFile::Open(path.c_str()));
   if (!file || file->IsZombie() || file->TestBit(TFile::kRecovered))
      return false;
   for (TObject *region : *file->GetListOfKeys()) {
      auto *from = file->GetDirectory(region->GetName());
      if (!from)
         return false;
      TDirectory *folder = fFile->mkdir(region->GetName(), region->GetName(), true);
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

std::vector<unsigned char> HistogramFile::content()
{
   fFile->Write();
   std::vector<unsigned char> bytes(fFile->GetEND());
   fFile->CopyTo(bytes.data(), bytes.size());
   fFile->Close();
   // Between its header, which is longer where numbers have 8 bytes, and the first record, ROOT
   // leaves what was in the memory before.
   const bool isLong = bytes[32] != 4;
   const std::size_t first = bytes[8] << 24 | bytes[9] << 16 | bytes[10] << 8 | bytes[11];
   std::fill(bytes.begin() + (isLong ? 75 : 63), bytes.begin() + first, 0);
   return bytes;
}

} // namespace m3l
