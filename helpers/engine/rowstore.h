/// \file rowstore.h
/// The selected events of a sample as rows, sorted by event identity, in bounded memory.
#ifndef M3L_ROWSTORE_H
#define M3L_ROWSTORE_H

#include <ROOT/RVec.hxx>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <type_traits>
#include <vector>

namespace m3l
{

/// Rows one after the other: an array for each type of number.
struct Rows {
   std::size_t size = 0;                 ///< number of rows
   unsigned floats = 0;                  ///< features of a row
   unsigned ints = 0;                    ///< integers of a row
   unsigned nWeights = 1;                ///< weights of a row
   std::vector<std::int64_t> identities; ///< rows x 3
   std::vector<double> weights;          ///< rows x nWeights
   std::vector<float> features;          ///< rows x floats
   std::vector<std::int32_t> integers;   ///< rows x ints
};

/// Why rows could not be stored: the first of them by identity, and of its values the first.
struct BadRows {
   std::uint64_t rows = 0;     ///< how many
   std::int64_t identity[3]{}; ///< of the first
   unsigned column = 0;        ///< counted over floats, then integers
   double value = 0.;

   /// Takes others into account.
   void add(const BadRows &other);
};

/// The integers of a row, from numbers of other types; fractions and more than 32 bits have no
/// place.
class Integers
{
public:
   /// \param values  room for all of them
   explicit Integers(std::int32_t *values)
      : fValues(values)
   {
   }

   template <typename T>
   void add(T value)
   {
      if (!fits(value)) {
         if (fBad < 0)
            fBad = int(fSize);
         if (fBad == int(fSize))
            fBadValue = double(value);
         value = T{};
      }
      fValues[fSize++] = static_cast<std::int32_t>(value);
   }

   const std::int32_t *values() const { return fValues; }
   int bad() const { return fBad; } ///< position of the first without a place, -1 if there is none
   double badValue() const { return fBadValue; }

private:
   template <typename T>
   static bool fits(T value)
   {
      if constexpr (std::is_integral_v<T> && (sizeof(T) < 4 || std::is_same_v<T, int>))
         return true;
      else
         return value >= -2147483648. && value <= 2147483647. && std::trunc(value) == value;
   }

   std::int32_t *fValues;
   unsigned fSize = 0;
   int fBad = -1;
   double fBadValue = 0.;
};

/// How many numbers of each type a row has.
struct RowShape {
   unsigned floats, ints, weights;
};

/// Collects rows from several threads and gives them back sorted.
///
/// A row is (DatasetNumber, RunNumber, EventNumber), the event weight and what it is in systematic
/// variations, `floats` features and `ints` integers. Rows are sorted by the three numbers, and
/// rows that share them by their content, so that the order does not depend on the number of
/// threads. Most cells of most events are zero and take one bit. What exceeds the memory budget
/// goes to sorted files in `folder`, which are removed with the store.
class RowStore
{
public:
   /// \param slots   number of threads that may add rows
   /// \param memory  bytes that the rows of all slots together may take
   RowStore(unsigned floats, unsigned ints, unsigned slots, std::size_t memory, std::string folder,
            unsigned weights = 1);
   ~RowStore();
   RowStore(const RowStore &) = delete;
   RowStore &operator=(const RowStore &) = delete;

   /// Adds a row to those of a slot, unless a float is not finite or an integer has no place: those
   /// are counted, see `bad`.
   /// \param identity  three numbers
   /// \param weights   as many as a row has
   /// \param cells     the first `nCells` of the floats; `scalars` are the others
   /// \throws std::runtime_error if rows cannot be written to `folder`
   void add(unsigned slot, const std::int64_t *identity, const double *weights, const float *cells,
            std::size_t nCells, const float *scalars, const Integers &integers);

   /// What was not added; to be called after the event loop.
   BadRows bad() const;

   unsigned floats() const { return fShape.floats; }
   unsigned ints() const { return fShape.ints; }
   unsigned nWeights() const { return fShape.weights; }
   std::uint64_t size() const;

   /// Ends the adding of rows and begins to give them back, `n` at a time, in sorted order.
   /// \param use  gets these rows too, in the thread that makes them ready
   void startReading(std::size_t n, std::function<void(const Rows &)> use);
   /// (Not a default argument: PyROOT has no call of a function that takes such a `use`.)
   void startReading(std::size_t n) { startReading(n, {}); }

   /// Takes the next rows into the arrays below; returns their number, 0 after the last. While the
   /// caller works on them, the rows after them are made ready in another thread, unless the store
   /// is for one thread only.
   std::size_t next();

   /// Waits for the other thread, after which `use` is not called any more.
   void stopReading();

   const std::int64_t *identities() const { return fBatch.identities.data(); } ///< rows x 3
   const double *weights() const { return fBatch.weights.data(); }             ///< rows x nWeights
   const float *features() const { return fBatch.features.data(); }            ///< rows x floats
   const std::int32_t *integers() const { return fBatch.integers.data(); }     ///< rows x ints

private:
   class Run;
   struct Slot;
   struct Less;
   struct Later;

   BadRows badRow(const std::int64_t *identity, const float *floats,
                  const Integers &integers) const;
   void sort(Slot &slot) const;
   void spill(Slot &slot);
   void startMerging();
   void merge(Rows &batch);

   RowShape fShape;
   std::size_t fMaxRowSize, fBytesPerSlot;
   std::string fFolder;
   std::vector<std::unique_ptr<Slot>> fSlots;
   std::vector<std::unique_ptr<Run>> fRuns; ///< sources of sorted rows; a heap once reading began
   std::mutex fRunsMutex;
   std::size_t fBatchSize = 0;
   std::uint64_t fGiven = 0; ///< rows that were put into batches
   std::function<void(const Rows &)> fUse;
   Rows fBatch;
   // The batch after it is made by a thread. (Not std::async, which the interpreter cannot link.)
   Rows fNextBatch;
   std::thread fWorker;
   std::exception_ptr fProblem;
};

using RowStores = std::vector<std::shared_ptr<RowStore>>;

/// Adds an event to those stores that want it.
/// \param wanted  for each store, whether it wants the event; all stores have rows of one shape
/// \param matrix  the first of the floats; `scalars` are the others
inline void addRow(const std::shared_ptr<RowStore> *stores, const char *wanted, std::size_t nStores,
                   unsigned slot, const std::int64_t *identity, const double *weights,
                   const ROOT::RVecF &matrix, const float *scalars, const Integers &integers)
{
   for (std::size_t i = 0; i < nStores; ++i)
      if (wanted[i])
         stores[i]->add(slot, identity, weights, matrix.data(), matrix.size(), scalars, integers);
}

/// Adds rows of tables to the first slot of a store.
/// \param identities  n x 3
/// \param weights     n x rows.nWeights()
/// \param features    n x rows.floats()
/// \param integers    n x rows.ints()
inline void addRows(RowStore &rows, std::size_t n, const std::int64_t *identities,
                    const double *weights, const float *features, const double *integers)
{
   const unsigned floats = rows.floats();
   std::vector<std::int32_t> values(rows.ints());
   for (std::size_t i = 0; i < n; ++i) {
      Integers ofRow(values.data());
      for (unsigned k = 0; k < rows.ints(); ++k)
         ofRow.add(integers[rows.ints() * i + k]);
      rows.add(0, identities + 3 * i, weights + rows.nWeights() * i, features + floats * i, floats,
               nullptr, ofRow);
   }
}

} // namespace m3l

#endif
