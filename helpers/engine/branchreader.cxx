#include "engine/branchreader.h"

#include "arrays.h"

#include <ROOT/RNTupleReader.hxx>
#include <ROOT/RNTupleView.hxx>
#include <ROOT/RVec.hxx>
#include <TBranch.h>
#include <TTree.h>

#include <algorithm>
#include <cstdint>
#include <optional>
#include <stdexcept>
#include <tuple>

namespace m3l
{

namespace
{

/// Entries of a branch that were decoded together: few enough to stay in the processor's cache
/// until they are used.
template <typename T>
class Decoded
{
public:
   static constexpr std::size_t kEntries = 256;

   std::size_t entries = 0;
   std::size_t numbers = 0; ///< in all entries

   T *values() const { return fValues.get(); }
   std::size_t size(std::size_t entry) const { return fStarts[entry + 1] - fStarts[entry]; }
   T *array(std::size_t entry) const { return fValues.get() + fStarts[entry]; }

   void clear() { entries = numbers = 0; }

   /// Memory for the numbers of the next entries, and a chunk.
   T *room(std::size_t size)
   {
      if (numbers + size + kChunk / sizeof(T) > fRoom) {
         fRoom = 2 * (numbers + size) + kEntries;
         std::unique_ptr<T[]> larger(new T[fRoom]); // not initialised
         std::copy_n(fValues.get(), numbers, larger.get());
         fValues = std::move(larger);
      }
      return fValues.get() + numbers;
   }

   /// Takes an array that was put there.
   void addArray(std::size_t size) { fStarts[++entries] = numbers += size; }

   /// Takes entries of one number that were put there.
   void addNumbers(std::size_t n) { entries = numbers += n; }

private:
   std::unique_ptr<T[]> fValues;
   std::size_t fRoom = 0;
   std::size_t fStarts[kEntries + 1] = {}; ///< of the numbers of each entry
};

/// A branch of a TTree. Entries are those of its file.
template <typename T>
class BasketColumn
{
public:
   static bool isIn(const OpenFile &file) { return file.tree(); }

   void open(OpenFile &file, const std::string &name, Shape shape)
   {
      fFile = &file;
      fBranch = findBranch(*file.tree(), name);
      fShape = shape;
      fBegin = fEnd = 0;
   }

   /// Decode up to `n` entries from one on; fewer where its basket ends, none if it is damaged.
   void read(long long entry, std::size_t n, Decoded<T> &block)
   {
      if ((entry < fBegin || entry >= fEnd) && !openBasket(entry))
         return;
      n = std::min<std::size_t>(n, fEnd - entry);
      const std::size_t first = entry - fBegin;
      if (fShape == Shape::number) {
         decode(fBasket.begin() + first * sizeof(T), n, block.room(n));
         block.addNumbers(n);
         return;
      }
      const char *values, *end;
      for (std::size_t i = 0; i < n; ++i) {
         if (!fBasket.find(first + i, values, end) || !skipHeader(values, end))
            return;
         const std::size_t size = (end - values) / sizeof(T);
         decode(values, size, block.room(size));
         block.addArray(size);
      }
   }

private:
   /// Of an array whose bytes are given; returns whether they have the expected form.
   bool skipHeader(const char *&values, const char *end) const
   {
      if (fShape == Shape::array)
         return (end - values) % sizeof(T) == 0;
      // Number of bytes that follow, with a flag; version of the class; number of values.
      constexpr std::uint32_t flag = 0x40000000;
      constexpr std::ptrdiff_t header = 10;
      const std::ptrdiff_t size = end - values;
      if (size < header || decoded<std::uint32_t>(values) != flag + size - 4 ||
          decoded<std::uint32_t>(values + 6) * sizeof(T) != std::size_t(size - header))
         return false;
      values += header;
      return true;
   }

   /// Decompress the basket that holds an entry; returns false for one that is damaged.
   bool openBasket(long long entry)
   {
      const Long64_t *starts = fBranch->GetBasketEntry();
      const int baskets = std::min(fBranch->GetWriteBasket() + 1, fBranch->GetMaxBaskets());
      const int number = std::upper_bound(starts, starts + baskets, entry) - starts - 1;
      fBegin = fEnd = 0;
      if (number < 0)
         return false;
      const long long begin = starts[number];
      const long long end = number + 1 < baskets ? starts[number + 1] : fBranch->GetEntries();
      fFile->tree()->LoadTree(entry); // tells the cache where we are
      if (entry < begin || entry >= end ||
          !fBasket.read(fFile->file(), *fBranch, number, end - begin, fFile->decompressor()))
         return false;
      const bool fits = fShape == Shape::number
                           ? fBasket.end() - fBasket.begin() == (end - begin) * int(sizeof(T))
                           : fBasket.hasStarts();
      if (fits) {
         fBegin = begin;
         fEnd = end;
      }
      return fits;
   }

   OpenFile *fFile = nullptr;
   TBranch *fBranch = nullptr;
   Shape fShape = Shape::number;
   Basket fBasket;
   long long fBegin = 0, fEnd = 0; ///< entries of the basket
};

/// A field of an RNTuple, whose pages ROOT decodes.
template <typename T>
class PageColumn
{
public:
   static bool isIn(const OpenFile &file) { return !file.tree(); }

   void open(OpenFile &file, const std::string &name, Shape shape)
   {
      fPages.reset();
      fArrays.reset();
      fNTuple = file.ntuple();
      fEntries = fNTuple->GetNEntries();
      if (shape == Shape::number) {
         fPages.emplace(fNTuple->GetDirectAccessView<T>(name));
      } else {
         fArrays.emplace(fNTuple->GetCollectionView(name));
         fPages.emplace(fArrays->template GetDirectAccessView<T>("_0"));
      }
   }

   /// As that of a BasketColumn; ROOT throws where a page is damaged.
   void read(long long entry, std::size_t n, Decoded<T> &block)
   {
      n = std::min<std::size_t>(n, fEntries - entry);
      if (!fArrays) {
         fPages->copy(ROOT::NTupleSize_t(entry), n, block.room(n));
         block.addNumbers(n);
         return;
      }
      for (std::size_t i = 0; i < n; ++i) {
         const auto range = fArrays->GetCollectionRange(entry + i);
         fPages->copy(*range.begin(), range.size(), block.room(range.size()));
         block.addArray(range.size());
      }
   }

private:
   /// Gives access to the numbers of a page together.
   struct Pages : ROOT::RNTupleDirectAccessView<T> {
      explicit Pages(ROOT::RNTupleDirectAccessView<T> view)
         : ROOT::RNTupleDirectAccessView<T>(std::move(view))
      {
      }

      template <typename Index>
      void copy(Index first, ROOT::NTupleSize_t n, T *to)
      {
         for (ROOT::NTupleSize_t done = 0, here; done < n; done += here) {
            const T *const from = this->fField.MapV(first + done, here);
            here = std::min(here, n - done);
            std::copy_n(from, here, to + done);
         }
      }
   };

   std::shared_ptr<ROOT::RNTupleReader> fNTuple;
   std::optional<Pages> fPages;
   std::optional<ROOT::RNTupleCollectionView> fArrays;
   long long fEntries = 0;
};

/// A branch with one number per entry, or an array of them.
/// \tparam Column  BasketColumn or PageColumn
template <typename T, template <typename> class Column, bool isArray>
class Reader final : public BranchReader
{
public:
   Reader(OpenFile &file, const std::string &branch, const std::string &type)
      : fFile(file),
        fBranch(branch),
        fType(type)
   {
   }

   /// Find the branch in the file, where it need not lie as it does in the first one.
   void open() override
   {
      const BranchContent content = fFile.contentOf(fBranch);
      if (!Column<T>::isIn(fFile))
         throw std::runtime_error("the files before " + fFile.path() +
                                  " hold another kind of data");
      if (content.type() != fType)
         throw std::runtime_error("branch '" + fBranch + "' of " + fFile.path() + " is of type " +
                                  (content.element.empty() ? content.kind : content.type()) +
                                  ", not " + fType);
      fColumn.open(fFile, fBranch, content.shape);
      fBlock.clear();
   }

   const void *at(long long entry) override
   {
      std::size_t place = entry - fFirst;
      if (place >= fBlock.entries) {
         load(entry);
         place = 0;
      }
      ++fAsked;
      if constexpr (isArray)
         // The view owns nothing, so that there is nothing to destroy before another one takes its
         // place.
         return new (&fView) ROOT::RVec<T>(fBlock.array(place), fBlock.size(place));
      else
         return fBlock.values() + place;
   }

private:
   /// Decode an entry, and more after it if of the last ones most were asked for.
   [[gnu::noinline]] void load(long long entry)
   {
      const std::size_t last = fBlock.entries;
      const std::size_t n = 2 * fAsked < last ? 1 : std::min(2 * last, Decoded<T>::kEntries);
      fBlock.clear();
      fFirst = entry;
      fAsked = 0;
      std::string reason;
      try {
         fColumn.read(entry, std::max<std::size_t>(n, 1), fBlock);
      } catch (const std::exception &error) {
         reason = error.what();
         reason = ": " + reason.substr(0, reason.find('\n'));
      }
      if (fBlock.entries == 0)
         throw std::runtime_error("branch '" + fBranch + "' of " + fFile.path() +
                                  " cannot be read at entry " + std::to_string(entry) + reason);
      // Numbers that are not finite make what follows look at each event.
      if constexpr (std::is_floating_point_v<T>)
         if (!areFinite(fBlock.values(), fBlock.numbers))
            fFile.suspect();
   }

   OpenFile &fFile;
   std::string fBranch, fType;
   Column<T> fColumn;
   Decoded<T> fBlock;
   long long fFirst = 0; ///< entry of the block
   std::size_t fAsked = 0;
   alignas(ROOT::RVec<T>) char fView[sizeof(ROOT::RVec<T>)];
};

/// Whether numbers of type T are stored as those of a type that is given by its name in C++.
template <typename T>
bool isStoredAs(const std::string &element)
{
   bool isSame = false;
   forEachNumber([&](auto number, const char *name) {
      using U = decltype(number);
      isSame |= element == name && sizeof(T) == sizeof(U) &&
                std::is_signed_v<T> == std::is_signed_v<U> &&
                std::is_floating_point_v<T> == std::is_floating_point_v<U> &&
                std::is_same_v<T, bool> == std::is_same_v<U, bool>;
   });
   return isSame;
}

template <template <typename> class Column>
std::unique_ptr<BranchReader> readerOf(OpenFile &file, const std::string &branch,
                                       const BranchContent &content, const std::type_info &wanted)
{
   const bool isNumber = content.shape == Shape::number;
   std::unique_ptr<BranchReader> made;
   forEachNumber([&](auto number, const char *) {
      using T = decltype(number);
      if (!isStoredAs<T>(content.element))
         return;
      if (isNumber && wanted == typeid(T))
         made = std::make_unique<Reader<T, Column, false>>(file, branch, content.type());
      else if (!isNumber && wanted == typeid(ROOT::RVec<T>))
         made = std::make_unique<Reader<T, Column, true>>(file, branch, content.type());
   });
   return made;
}

} // namespace

std::unique_ptr<BranchReader> makeReader(OpenFile &file, bool isTree, const std::string &branch,
                                         const BranchContent &content, const std::type_info &wanted)
{
   file.use(branch);
   return isTree ? readerOf<BasketColumn>(file, branch, content, wanted)
                 : readerOf<PageColumn>(file, branch, content, wanted);
}

} // namespace m3l
