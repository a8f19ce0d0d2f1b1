#include "engine/histograms.h"

#include <TFile.h>
#include <TH1.h>
#include <TKey.h>

#include <algorithm>
#include <memory>

namespace m3l
{

// These classes are not in an anonymous namespace, since the interpreter could not link what
// the standard library makes of them.

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
   /// The formula of TAxis::FindFixBin; NaN counts as overflow, as there.
   int bin(double x) const
   {
      return x < fLow ? 0 : !(x < fHigh) ? fBins + 1 : 1 + int(fBins * (x - fLow) / (fHigh - fLow));
   }

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

/// Fills all histograms from a batch of rows.
class HistogramFiller
{
public:
   explicit HistogramFiller(const std::vector<TH1D *> &histograms)
   {
      for (std::size_t column = 0; column < histograms.size(); ++column) {
         if (histograms[column]) {
            fContents.emplace_back(*histograms[column]);
            fColumns.push_back(column);
         }
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
         const double weight = rows.weights[row], weight2 = weight * weight;
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
   }

private:
   std::vector<HistogramContent> fContents;
   std::vector<std::size_t> fColumns; // of each in a row, floats before integers
};

void startFilling(RowStore &rows, std::size_t n, const std::vector<TH1D *> &histograms)
{
   rows.startReading(n, HistogramFiller(histograms));
}

bool copyHistograms(const std::string &path, const std::vector<std::string> &names, TDirectory &to)
{
   const std::unique_ptr<TFile> file(TFile::Open(path.c_str()));
   if (!file || file->IsZombie() || file->TestBit(TFile::kRecovered))
      return false;
   for (TObject *region : *file->GetListOfKeys()) {
      auto *from = file->GetDirectory(region->GetName());
      if (!from)
         return false;
      TDirectory *folder = to.mkdir(region->GetName(), region->GetName(), true);
      for (TObject *key : *from->GetListOfKeys()) {
         if (!names.empty() && std::find(names.begin(), names.end(), key->GetName()) == names.end())
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
