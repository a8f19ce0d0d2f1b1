#include "engine/rowstore.h"

#include "arrays.h"
#include "engine/zeros.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <stdexcept>
#include <tuple>
#include <utility>

namespace m3l
{

namespace
{

/// A row in memory: the identity, the weights, a bit for each float that is not +0, these floats,
/// the integers, and what fills up to eight bytes.
struct Row {
   explicit Row(const char *bytes)
      : bytes(bytes)
   {
   }

   using Identity = std::array<std::int64_t, 3>;

   static std::size_t maskOffset(const RowShape &shape)
   {
      return sizeof(Identity) + shape.weights * sizeof(double);
   }
   static std::size_t words(const RowShape &shape) { return (shape.floats + 63) / 64; }
   /// The size of all before the floats.
   static std::size_t headSize(const RowShape &shape)
   {
      return maskOffset(shape) + 8 * words(shape);
   }
   static std::size_t maxSize(const RowShape &shape)
   {
      return rounded(headSize(shape) + (shape.floats + shape.ints + 1) * 4);
   }
   static std::size_t rounded(std::size_t size) { return (size + 7) / 8 * 8; }

   Identity identity() const { return value<Identity>(0); }
   const char *weights() const { return bytes + sizeof(Identity); }
   std::size_t size(const RowShape &shape) const
   {
      std::size_t nonZero = 0;
      for (unsigned word = 0; word < words(shape); ++word)
         nonZero += __builtin_popcountll(mask(shape, word));
      return rounded(headSize(shape) + (nonZero + shape.ints) * 4);
   }

   void unpack(const RowShape &shape, float *toFloats, std::int32_t *toInts) const
   {
      std::memset(toFloats, 0, shape.floats * sizeof *toFloats);
      const char *next = bytes + headSize(shape);
      for (unsigned word = 0; word < words(shape); ++word) {
         for (std::uint64_t left = mask(shape, word); left; left &= left - 1, next += 4)
            std::memcpy(toFloats + 64 * word + __builtin_ctzll(left), next, 4);
      }
      std::memcpy(toInts, next, shape.ints * 4);
   }

   const char *bytes;

private:
   std::uint64_t mask(const RowShape &shape, unsigned word) const
   {
      return value<std::uint64_t>(maskOffset(shape) + 8 * word);
   }

   template <typename T>
   T value(std::size_t offset) const
   {
      T value;
      std::memcpy(&value, bytes + offset, sizeof value);
      return value;
   }
};

} // namespace

void BadRows::add(const BadRows &other)
{
   const auto place = [](const BadRows &bad) {
      return std::tuple(bad.identity[0], bad.identity[1], bad.identity[2], bad.column);
   };
   const std::uint64_t sum = rows + other.rows;
   if (other.rows > 0 && (rows == 0 || place(other) < place(*this)))
      *this = other;
   rows = sum;
}

/// The rows that one thread holds in memory.
struct RowStore::Slot {
   explicit Slot(unsigned floats)
      : floats(floats)
   {
   }

   /// Rows lie one after the other in pieces of memory, which are used again after a spill.
   static constexpr std::size_t kPiece = 1 << 20;

   /// Room for a row of at most `size` bytes.
   char *room(std::size_t size)
   {
      if (used > 0 && used + size > kPiece) {
         ++piece;
         used = 0;
      }
      if (piece == pieces.size())
         pieces.emplace_back(new char[std::max(kPiece, size)]);
      return pieces[piece].get() + used;
   }

   void clear()
   {
      spilled += rows.size();
      rows.clear();
      piece = used = 0;
   }

   std::size_t bytes() const { return piece * kPiece + used + rows.size() * sizeof(char *); }

   std::vector<const char *> rows;
   std::vector<std::unique_ptr<char[]>> pieces;
   std::size_t piece = 0, used = 0; ///< the piece that is being filled, and its bytes
   std::uint64_t spilled = 0;
   std::vector<float> floats; ///< of the row that is added
   BadRows bad;
};

/// Sorted rows from memory or from a file.
class RowStore::Run
{
public:
   Run(const Slot &slot)
      : fSlot(&slot)
   {
   }
   /// \param file    with the rows
   /// \param buffer  of the file
   Run(std::FILE *file, std::vector<char> buffer, const RowStore &store)
      : fFile(file),
        fFileBuffer(std::move(buffer)),
        fStore(&store),
        fBuffer(store.fMaxRowSize)
   {
      std::rewind(fFile);
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
         fRow = fNext < fSlot->rows.size() ? fSlot->rows[fNext++] : nullptr;
         return;
      }
      char *buffer = fBuffer.data();
      const std::size_t head = Row::headSize(fStore->fShape);
      fRow = std::fread(buffer, head, 1, fFile) == 1 ? buffer : nullptr;
      if (fRow) {
         const std::size_t size = Row(buffer).size(fStore->fShape);
         if (size > head && std::fread(buffer + head, size - head, 1, fFile) != 1)
            fRow = nullptr;
      }
      if (!fRow && std::ferror(fFile))
         throw std::runtime_error("cannot read back rows from a temporary file");
   }

private:
   const Slot *fSlot = nullptr;
   std::size_t fNext = 0;
   std::FILE *fFile = nullptr;
   std::vector<char> fFileBuffer;
   const RowStore *fStore = nullptr;
   std::vector<char> fBuffer; ///< of a row
   const char *fRow = nullptr;
};

/// Order of rows: identity first, then content.
struct RowStore::Less {
   bool operator()(const char *a, const char *b) const
   {
      const Row rowA(a), rowB(b);
      const auto ofA = rowA.identity(), ofB = rowB.identity();
      return ofA != ofB ? ofA < ofB : content(rowA) < content(rowB);
   }

   /// The bytes of a row after its identity, with all zeros. What the weight is in variations comes
   /// last, so that the order is the same without them.
   std::string content(const Row &row) const
   {
      std::vector<float> values(shape.floats);
      std::vector<std::int32_t> integers(shape.ints);
      row.unpack(shape, values.data(), integers.data());
      std::string bytes(row.weights(), sizeof(double));
      bytes.append(reinterpret_cast<const char *>(values.data()), shape.floats * sizeof(float));
      bytes.append(reinterpret_cast<const char *>(integers.data()), shape.ints * 4);
      return bytes.append(row.weights() + sizeof(double), (shape.weights - 1) * sizeof(double));
   }

   RowShape shape;
};

/// Order of the heap of runs, which gives the greatest first: the run with the smallest row.
struct RowStore::Later {
   bool operator()(const std::unique_ptr<Run> &a, const std::unique_ptr<Run> &b) const
   {
      return less(b->row(), a->row());
   }
   Less less;
};

RowStore::RowStore(unsigned floats, unsigned ints, unsigned slots, std::size_t memory,
                   std::string folder, unsigned weights)
   : fShape{floats, ints, weights},
     fMaxRowSize(Row::maxSize(fShape)),
     fBytesPerSlot(memory / slots),
     fFolder(std::move(folder))
{
   for (unsigned i = 0; i < slots; ++i)
      fSlots.push_back(std::make_unique<Slot>(floats));
}

RowStore::~RowStore()
{
   stopReading();
}

void RowStore::add(unsigned slotNumber, const std::int64_t *identity, const double *weights,
                   const float *cells, std::size_t nCells, const float *scalars,
                   const Integers &integers)
{
   Slot &slot = *fSlots[slotNumber];
   if (slot.bytes() > fBytesPerSlot && !slot.rows.empty())
      spill(slot);
   char *const row = slot.room(fMaxRowSize);
   std::memcpy(row, identity, sizeof(Row::Identity));
   std::memcpy(row + sizeof(Row::Identity), weights, fShape.weights * sizeof *weights);
   float *const floats = slot.floats.data();
   std::memcpy(floats, cells, nCells * sizeof *cells);
   std::memcpy(floats + nCells, scalars, (fShape.floats - nCells) * sizeof *scalars);
   auto *const mask = reinterpret_cast<std::uint64_t *>(row + Row::maskOffset(fShape));
   auto *const first = reinterpret_cast<float *>(row + Row::headSize(fShape));
   float *next = first;
   findNonZeros(floats, fShape.floats, mask);
   for (unsigned word = 0; word < Row::words(fShape); ++word)
      for (std::uint64_t left = mask[word]; left; left &= left - 1)
         *next++ = floats[64 * word + __builtin_ctzll(left)];
   if (!areFinite(first, next - first) || integers.bad() >= 0) {
      slot.bad.add(badRow(identity, floats, integers));
      return;
   }
   char *const end = reinterpret_cast<char *>(next) + fShape.ints * 4;
   std::memcpy(next, integers.values(), fShape.ints * 4);
   std::memset(end, 0, 4); // what may fill up to eight bytes
   slot.rows.push_back(row);
   slot.used += Row::rounded(end - row);
}

BadRows RowStore::badRow(const std::int64_t *identity, const float *floats,
                         const Integers &integers) const
{
   BadRows bad{1, {identity[0], identity[1], identity[2]}};
   for (; bad.column < fShape.floats; ++bad.column) {
      bad.value = floats[bad.column];
      if (!std::isfinite(bad.value))
         return bad;
   }
   bad.column += integers.bad();
   bad.value = integers.badValue();
   return bad;
}

BadRows RowStore::bad() const
{
   BadRows bad;
   for (const auto &slot : fSlots)
      bad.add(slot->bad);
   return bad;
}

std::uint64_t RowStore::size() const
{
   std::uint64_t size = 0;
   for (const auto &slot : fSlots)
      size += slot->spilled + slot->rows.size();
   return size;
}

void RowStore::sort(Slot &slot) const
{
   const Less less{fShape};
   if (std::is_sorted(slot.rows.begin(), slot.rows.end(), less))
      return;
   // What is compared most lies beside the pointers, not all over the memory.
   std::vector<std::pair<Row::Identity, const char *>> rows;
   rows.reserve(slot.rows.size());
   for (const char *row : slot.rows)
      rows.emplace_back(Row(row).identity(), row);
   std::sort(rows.begin(), rows.end(), [&less](const auto &a, const auto &b) {
      return a.first != b.first ? a.first < b.first : less(a.second, b.second);
   });
   std::transform(rows.begin(), rows.end(), slot.rows.begin(),
                  [](const auto &row) { return row.second; });
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
   std::vector<char> buffer(1 << 16);
   std::setvbuf(file, buffer.data(), _IOFBF, buffer.size());

   sort(slot);
   bool good = true;
   for (const char *row : slot.rows)
      good = good && std::fwrite(row, Row(row).size(fShape), 1, file) == 1;
   good = std::fflush(file) == 0 && good;
   if (!good) {
      const int error = errno;
      std::fclose(file);
      throw std::runtime_error("cannot write rows to a temporary file in " + fFolder + ": " +
                               std::strerror(error));
   }
   slot.clear();
   auto run = std::make_unique<Run>(file, std::move(buffer), *this);
   const std::lock_guard<std::mutex> lock(fRunsMutex);
   fRuns.push_back(std::move(run));
}

void RowStore::startReading(std::size_t n, std::function<void(const Rows &)> use)
{
   fBatchSize = n;
   fUse = std::move(use);
   for (auto &slot : fSlots) {
      sort(*slot);
      fRuns.push_back(std::make_unique<Run>(*slot));
   }
   for (auto &run : fRuns)
      run->advance();
   fRuns.erase(std::remove_if(fRuns.begin(), fRuns.end(), [](auto &run) { return !run->row(); }),
               fRuns.end());
   std::make_heap(fRuns.begin(), fRuns.end(), Later{{fShape}});
   startMerging();
}

void RowStore::startMerging()
{
   if (fGiven == size() || fSlots.size() == 1)
      return;
   fWorker = std::thread([this] {
      try {
         merge(fNextBatch);
      } catch (...) {
         fProblem = std::current_exception();
      }
   });
}

std::size_t RowStore::next()
{
   stopReading();
   if (fProblem)
      std::rethrow_exception(fProblem);
   if (fSlots.size() == 1) {
      merge(fBatch);
   } else {
      std::swap(fBatch, fNextBatch);
      fNextBatch.size = 0;
      startMerging();
   }
   return fBatch.size;
}

void RowStore::stopReading()
{
   if (fWorker.joinable())
      fWorker.join();
}

void RowStore::merge(Rows &batch)
{
   batch.size = 0;
   batch.floats = fShape.floats;
   batch.ints = fShape.ints;
   batch.nWeights = fShape.weights;
   const std::size_t n = std::min<std::uint64_t>(fBatchSize, size() - fGiven);
   batch.identities.resize(3 * n);
   batch.weights.resize(batch.nWeights * n);
   batch.features.resize(batch.floats * n);
   batch.integers.resize(batch.ints * n);
   for (; batch.size < n; ++batch.size) {
      std::pop_heap(fRuns.begin(), fRuns.end(), Later{{fShape}});
      Run &run = *fRuns.back();
      const Row row(run.row());
      const auto identity = row.identity();
      std::copy(identity.begin(), identity.end(), &batch.identities[3 * batch.size]);
      std::memcpy(&batch.weights[batch.nWeights * batch.size], row.weights(),
                  batch.nWeights * sizeof(double));
      row.unpack(fShape, batch.features.data() + batch.floats * batch.size,
                 batch.integers.data() + batch.ints * batch.size);
      run.advance();
      if (run.row())
         std::push_heap(fRuns.begin(), fRuns.end(), Later{{fShape}});
      else
         fRuns.pop_back();
   }
   fGiven += n;
   if (fUse)
      fUse(batch);
}

} // namespace m3l
