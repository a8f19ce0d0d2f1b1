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

/// Adds n values to a histogram as TH1::Fill does, but for all of them at once.
template <typename T>
void fillMany(TH1D &histogram, const T *values, std::size_t stride, const double *weights,
              std::size_t n)
{
   const TAxis &axis = *histogram.GetXaxis();
   const int bins = axis.GetNbins();
   const double low = axis.GetXmin(), high = axis.GetXmax(), width = high - low;
   double *const sumw = histogram.GetArray();
   double *const sumw2 = histogram.GetSumw2()->GetArray();

   double stats[TH1::kNstat] = {};
   histogram.GetStats(stats); // sum of w, w^2, w x, w x^2 of the values inside the range
   for (std::size_t i = 0; i < n; ++i) {
      const double x = values[i * stride], w = weights[i];
      // The formula of TAxis::FindFixBin; NaN counts as overflow, as there.
      const int bin = x < low ? 0 : !(x < high) ? bins + 1 : 1 + int(bins * (x - low) / width);
      sumw[bin] += w;
      sumw2[bin] += w * w;
      if (bin >= 1 && bin <= bins) {
         stats[0] += w;
         stats[1] += w * w;
         stats[2] += w * x;
         stats[3] += w * x * x;
      }
   }
   const double entries = histogram.GetEntries() + double(n);
   histogram.PutStats(stats);
   histogram.SetEntries(entries);
}

} // namespace

/// The rows that one thread holds in memory, unsorted until `order` is made.
struct RowStore::Slot {
   std::vector<char> rows;
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
         fRow = fNext < fSlot->size ? &fSlot->rows[fSlot->order[fNext++] * fRowSize] : nullptr;
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

RowStore::~RowStore() = default;

RowStore::Writer RowStore::add(unsigned slotNumber)
{
   Slot &slot = *fSlots[slotNumber];
   if (slot.size == fRowsPerSlot)
      spill(slot);
   const std::size_t begin = slot.size++ * fRowSize;
   if (slot.rows.size() < begin + fRowSize) {
      // Grown by hand: doubling would exceed the budget by up to two.
      const std::size_t step = std::min(fRowsPerSlot, std::max<std::size_t>(1024, slot.size / 2));
      slot.rows.resize(std::min(fRowsPerSlot, slot.size + step) * fRowSize);
   }
   return Writer(&slot.rows[begin]);
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
   const char *rows = slot.rows.data();
   std::sort(slot.order.begin(), slot.order.end(), [&](std::uint32_t a, std::uint32_t b) {
      return rowLess(rows + a * fRowSize, rows + b * fRowSize, fRowSize);
   });
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
      good = good && std::fwrite(&slot.rows[row * fRowSize], fRowSize, 1, file) == 1;
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

void RowStore::startReading()
{
   fReading = true;
   for (auto &slot : fSlots) {
      sort(*slot);
      fRuns.push_back(std::make_unique<Run>(*slot, fRowSize));
   }
   fRuns.erase(std::remove_if(fRuns.begin(), fRuns.end(), [](auto &run) { return !run->row(); }),
               fRuns.end());
}

std::size_t RowStore::next(std::size_t n)
{
   // A heap gives the greatest first, hence the exchanged arguments.
   const auto later = [this](const auto &a, const auto &b) {
      return rowLess(b->row(), a->row(), fRowSize);
   };
   if (!fReading) {
      startReading();
      std::make_heap(fRuns.begin(), fRuns.end(), later);
   }
   fIdentities.resize(3 * n);
   fWeights.resize(n);
   fFeatures.resize(fFloats * n);
   fIntegers.resize(fInts * n);
   for (fTaken = 0; fTaken < n && !fRuns.empty(); ++fTaken) {
      std::pop_heap(fRuns.begin(), fRuns.end(), later);
      Run &run = *fRuns.back();
      const char *row = run.row();
      std::memcpy(&fIdentities[3 * fTaken], row, kIdentitySize);
      std::memcpy(&fWeights[fTaken], row + kIdentitySize, sizeof(double));
      std::memcpy(&fFeatures[fFloats * fTaken], row + kFeatureOffset, fFloats * sizeof(float));
      std::memcpy(fIntegers.data() + fInts * fTaken, row + kFeatureOffset + fFloats * sizeof(float),
                  fInts * sizeof(std::int32_t));
      run.advance();
      if (run.row())
         std::push_heap(fRuns.begin(), fRuns.end(), later);
      else
         fRuns.pop_back();
   }
   return fTaken;
}

void RowStore::fillFeature(TH1D &histogram, unsigned column) const
{
   fillMany(histogram, fFeatures.data() + column, fFloats, fWeights.data(), fTaken);
}

void RowStore::fillInteger(TH1D &histogram, unsigned column) const
{
   fillMany(histogram, fIntegers.data() + column, fInts, fWeights.data(), fTaken);
}

} // namespace m3l
