#include "rows.h"

#include <TH1.h>

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <numeric>
#include <stdexcept>

namespace m3l
{

namespace
{

constexpr std::size_t kIdentitySize = 3 * sizeof(std::int64_t);
constexpr std::size_t kFeatureOffset = kIdentitySize + sizeof(double);

/// Order of rows: identity first, then content.
bool rowLess(const char *a, const char *b, std::size_t size)
{
   std::int64_t idA[3], idB[3];
   std::memcpy(idA, a, kIdentitySize);
   std::memcpy(idB, b, kIdentitySize);
   for (int i = 0; i < 3; ++i)
      if (idA[i] != idB[i])
         return idA[i] < idB[i];
   return std::memcmp(a + kIdentitySize, b + kIdentitySize, size - kIdentitySize) < 0;
}

} // namespace

/// A histogram's content, reached without a call per value.
class RowStore::Filler
{
public:
   explicit Filler(TH1D &histogram)
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

   template <typename T>
   void fill(const T *values, std::size_t stride, const double *weights, std::size_t n)
   {
      double zeros = 0., zeros2 = 0.; // most cells of most events are zero
      for (std::size_t i = 0; i < n; ++i) {
         const double x = values[i * stride], w = weights[i];
         if (x == 0.) {
            zeros += w;
            zeros2 += w * w;
         } else {
            add(bin(x), x, w, w * w);
         }
      }
      if (zeros2 > 0.)
         add(fZeroBin, 0., zeros, zeros2);
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

/// The rows that one thread holds in memory, unsorted until `order` is made.
struct RowStore::Slot {
   /// Rows of a piece of memory. Pieces are neither copied nor cleared, and used again.
   static constexpr std::size_t kRows = 1024;

   char *row(std::size_t i, std::size_t rowSize) const
   {
      return pieces[i / kRows].get() + i % kRows * rowSize;
   }

   std::vector<std::unique_ptr<char[]>> pieces;
   std::size_t size = 0;
   std::uint64_t spilled = 0;
   std::vector<std::uint32_t> order;
};

/// Sorted rows from memory or from a file.
class RowStore::Run
{
public:
   Run(const Slot &slot, std::size_t rowSize)
      : fSlot(&slot),
        fRowSize(rowSize)
   {
      advance();
   }
   Run(std::FILE *file, std::size_t rowSize)
      : fFile(file),
        fRowSize(rowSize),
        fBuffer(rowSize)
   {
      std::rewind(fFile);
      advance();
   }
   ~Run()
   {
      if (fFile)
         std::fclose(fFile);
   }

   /// The current row, null after the last one.
   const char *row() const { return fRow; }

   void advance()
   {
      if (fSlot) {
         fRow = fNext < fSlot->size ? fSlot->row(fSlot->order[fNext++], fRowSize) : nullptr;
      } else {
         fRow = std::fread(fBuffer.data(), fRowSize, 1, fFile) == 1 ? fBuffer.data() : nullptr;
         if (!fRow && std::ferror(fFile))
            throw std::runtime_error("cannot read back rows from a temporary file");
      }
   }

private:
   const Slot *fSlot = nullptr;
   std::size_t fNext = 0;
   std::FILE *fFile = nullptr;
   std::size_t fRowSize;
   std::vector<char> fBuffer;
   const char *fRow = nullptr;
};

/// Order of the heap of runs, which gives the greatest first: the run with the smallest row.
struct Later {
   std::size_t rowSize;
   template <typename Run>
   bool operator()(const Run &a, const Run &b) const
   {
      return rowLess(b->row(), a->row(), rowSize);
   }
};

RowStore::RowStore(unsigned floats, unsigned ints, unsigned slots, std::size_t memory,
                   std::string folder)
   : fFloats(floats),
     fInts(ints),
     fRowSize(kFeatureOffset + floats * sizeof(float) + ints * sizeof(std::int32_t)),
     fRowsPerSlot(std::max<std::size_t>(1, memory / slots / fRowSize)),
     fFolder(std::move(folder))
{
   for (unsigned i = 0; i < slots; ++i)
      fSlots.push_back(std::make_unique<Slot>());
}

RowStore::~RowStore()
{
   if (fWorker.joinable())
      fWorker.join();
}

RowStore::Writer RowStore::add(unsigned slotNumber)
{
   Slot &slot = *fSlots[slotNumber];
   if (slot.size == fRowsPerSlot)
      spill(slot);
   if (slot.size == slot.pieces.size() * Slot::kRows)
      slot.pieces.emplace_back(new char[Slot::kRows * fRowSize]);
   return Writer(slot.row(slot.size++, fRowSize));
}

std::uint64_t RowStore::size() const
{
   std::uint64_t size = 0;
   for (const auto &slot : fSlots)
      size += slot->spilled + slot->size;
   return size;
}

void RowStore::sort(Slot &slot) const
{
   slot.order.resize(slot.size);
   std::iota(slot.order.begin(), slot.order.end(), 0u);
   const auto less = [&](std::uint32_t a, std::uint32_t b) {
      return rowLess(slot.row(a, fRowSize), slot.row(b, fRowSize), fRowSize);
   };
   if (!std::is_sorted(slot.order.begin(), slot.order.end(), less))
      std::sort(slot.order.begin(), slot.order.end(), less);
}

void RowStore::spill(Slot &slot)
{
   std::string path = fFolder + "/rows-XXXXXX";
   const int descriptor = mkstemp(path.data());
   std::FILE *file = descriptor < 0 ? nullptr : fdopen(descriptor, "w+b");
   if (!file)
      throw std::runtime_error("cannot make a temporary file in " + fFolder + ": " +
                               std::strerror(errno));
   unlink(path.c_str()); // gone with the process, however it ends
   std::setvbuf(file, nullptr, _IOFBF, 1 << 18);

   sort(slot);
   bool good = true;
   for (const auto row : slot.order)
      good = good && std::fwrite(slot.row(row, fRowSize), fRowSize, 1, file) == 1;
   good = std::fflush(file) == 0 && good;
   if (!good) {
      const int error = errno;
      std::fclose(file);
      throw std::runtime_error("cannot write rows to a temporary file in " + fFolder + ": " +
                               std::strerror(error));
   }
   slot.spilled += slot.size;
   slot.size = 0;
   auto run = std::make_unique<Run>(file, fRowSize);
   const std::lock_guard<std::mutex> lock(fRunsMutex);
   fRuns.push_back(std::move(run));
}

void RowStore::startReading(std::size_t n, const std::vector<TH1D *> &histograms)
{
   fBatchSize = n;
   fFillers.reserve(histograms.size());
   for (TH1D *histogram : histograms)
      fFillers.emplace_back(*histogram);
   for (auto &slot : fSlots) {
      sort(*slot);
      fRuns.push_back(std::make_unique<Run>(*slot, fRowSize));
   }
   fRuns.erase(std::remove_if(fRuns.begin(), fRuns.end(), [](auto &run) { return !run->row(); }),
               fRuns.end());
   std::make_heap(fRuns.begin(), fRuns.end(), Later{fRowSize});
   startMerging();
}

void RowStore::startMerging()
{
   fWorker = std::thread([this] {
      try {
         fNextBatch = merge();
      } catch (...) {
         fProblem = std::current_exception();
      }
   });
}

std::size_t RowStore::next()
{
   fWorker.join();
   if (fProblem)
      std::rethrow_exception(fProblem);
   std::swap(fBatch, fNextBatch);
   startMerging();
   return fBatch.size;
}

RowStore::Batch RowStore::merge()
{
   Batch batch;
   const std::size_t n = std::min<std::uint64_t>(fBatchSize, size() - fGiven);
   batch.identities.resize(3 * n);
   batch.weights.resize(n);
   batch.features.resize(fFloats * n);
   batch.integers.resize(fInts * n);
   for (; batch.size < n; ++batch.size) {
      std::pop_heap(fRuns.begin(), fRuns.end(), Later{fRowSize});
      Run &run = *fRuns.back();
      const char *row = run.row();
      const char *features = row + kFeatureOffset;
      const char *integers = features + fFloats * sizeof(float);
      std::memcpy(&batch.identities[3 * batch.size], row, kIdentitySize);
      std::memcpy(&batch.weights[batch.size], row + kIdentitySize, sizeof(double));
      std::copy(features, integers,
                reinterpret_cast<char *>(&batch.features[fFloats * batch.size]));
      std::copy(integers, row + fRowSize,
                reinterpret_cast<char *>(batch.integers.data() + fInts * batch.size));
      run.advance();
      if (run.row())
         std::push_heap(fRuns.begin(), fRuns.end(), Later{fRowSize});
      else
         fRuns.pop_back();
   }
   fGiven += n;
   fill(batch);
   return batch;
}

void RowStore::fill(const Batch &batch)
{
   if (fFillers.empty())
      return;
   // Blocks of rows that stay in the cache while all columns are read.
   constexpr std::size_t block = 128;
   for (std::size_t first = 0; first < batch.size; first += block) {
      const std::size_t n = std::min(block, batch.size - first);
      const double *weights = &batch.weights[first];
      for (unsigned i = 0; i < fFloats; ++i)
         fFillers[i].fill(&batch.features[first * fFloats + i], fFloats, weights, n);
      for (unsigned i = 0; i < fInts; ++i)
         fFillers[fFloats + i].fill(&batch.integers[first * fInts + i], fInts, weights, n);
   }
   for (Filler &filler : fFillers)
      filler.finish(batch.size);
}

} // namespace m3l
