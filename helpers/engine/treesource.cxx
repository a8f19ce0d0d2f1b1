#include "engine/treesource.h"

#include <ROOT/RVec.hxx>
#include <TBasket.h>
#include <TBranch.h>
#include <TBranchElement.h>
#include <TFile.h>
#include <TLeaf.h>
#include <TTree.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <set>
#include <stdexcept>
#include <tuple>
#include <type_traits>

namespace m3l
{

/// How the numbers of an entry lie in a basket.
enum class Shape { number, array, vector };

/// What a branch holds; `element` is empty for what cannot be decoded here.
struct Content {
   Shape shape = Shape::number;
   std::string element;
};

namespace
{

template <std::size_t Size>
struct Bits;
template <>
struct Bits<1> {
   using Type = std::uint8_t;
   static Type swapped(Type bits) { return bits; }
};
template <>
struct Bits<2> {
   using Type = std::uint16_t;
   static Type swapped(Type bits) { return __builtin_bswap16(bits); }
};
template <>
struct Bits<4> {
   using Type = std::uint32_t;
   static Type swapped(Type bits) { return __builtin_bswap32(bits); }
};
template <>
struct Bits<8> {
   using Type = std::uint64_t;
   static Type swapped(Type bits) { return __builtin_bswap64(bits); }
};

/// A number as baskets hold it: big-endian, `bool` as a byte.
template <typename T>
T decoded(const char *bytes)
{
   typename Bits<sizeof(T)>::Type bits;
   std::memcpy(&bits, bytes, sizeof bits);
   bits = Bits<sizeof(T)>::swapped(bits);
   if constexpr (std::is_same_v<T, bool>)
      return bits != 0;
   T value;
   std::memcpy(&value, &bits, sizeof value);
   return value;
}

/// Types of numbers that ROOT's leaves hold: C++ types, their names in ROOT and in C++. Others,
/// such as Double32_t, are stored otherwise.
using Numbers = std::tuple<bool, char, unsigned char, short, unsigned short, int, unsigned int,
                           Long64_t, ULong64_t, float, double>;
constexpr std::array<std::pair<const char *, const char *>, std::tuple_size_v<Numbers>> kNames = {{
   {"Bool_t", "bool"},
   {"Char_t", "char"},
   {"UChar_t", "unsigned char"},
   {"Short_t", "short"},
   {"UShort_t", "unsigned short"},
   {"Int_t", "int"},
   {"UInt_t", "unsigned int"},
   {"Long64_t", "Long64_t"},
   {"ULong64_t", "ULong64_t"},
   {"Float_t", "float"},
   {"Double_t", "double"},
}};

Content contentOf(TBranch &branch)
{
   const auto *leaves = branch.GetListOfLeaves();
   if (leaves->GetEntriesFast() != 1 || branch.GetListOfBranches()->GetEntriesFast() != 0)
      return {};
   auto *leaf = static_cast<TLeaf *>(leaves->UncheckedAt(0));
   std::string name = leaf->GetTypeName();
   Content content;
   if (branch.IsA() == TBranchElement::Class()) {
      const auto &element = static_cast<TBranchElement &>(branch);
      const std::string start = "vector<";
      // Members of classes have another type or streamer.
      if (element.GetType() != 0 || element.GetStreamerType() != -1 || name.find(start) != 0)
         return {};
      name = name.substr(start.size(), name.size() - start.size() - 1);
      content.shape = Shape::vector;
   } else if (branch.IsA() != TBranch::Class() || leaf->GetLenStatic() != 1) {
      return {}; // an object, or an array of fixed length
   } else if (leaf->GetLeafCount()) {
      content.shape = Shape::array;
   }
   for (const auto &[root, cpp] : kNames)
      if (name == root || name == cpp)
         content.element = cpp;
   return content;
}

std::string arrayOf(const std::string &element)
{
   return element.empty() ? "" : "ROOT::VecOps::RVec<" + element + ">";
}

constexpr int kTasksPerSlot = 16;

} // namespace

/// The file that a slot reads from.
class TreeSource::OpenFile
{
public:
   explicit OpenFile(const TreeSource &source)
      : fSource(source)
   {
   }

   bool holds(long long entry) const { return entry >= fFirst && entry < fEnd; }

   /// Open the file that holds an entry.
   void open(long long entry)
   {
      const auto &offsets = fSource.fOffsets;
      fNumber = std::upper_bound(offsets.begin(), offsets.end(), entry) - offsets.begin() - 1;
      const TreeFile &wanted = fSource.fFiles.at(fNumber);
      fFirst = fEnd = offsets[fNumber];
      ++fGeneration;
      fFile.reset(TFile::Open(wanted.path.c_str())); // deletes the tree of the last one
      fTree = fFile && !fFile->IsZombie() ? fFile->Get<TTree>(fSource.fTree.c_str()) : nullptr;
      if (!fTree || fTree->GetEntries() != wanted.entries)
         throw std::runtime_error("the file has changed while it was in use: " + wanted.path);
      fEnd = fFirst + wanted.entries;
      // All baskets of some thousand entries in few large reads, as remote files need them. A tree
      // that is small gets no cache.
      fTree->SetCacheSize();
      if (fTree->GetReadCache(fFile.get())) {
         fTree->SetCacheEntryRange(0, wanted.entries);
         for (const auto &column : fUsed)
            fTree->AddBranchToCache(column.c_str());
         fTree->StopCacheLearningPhase();
      }
   }

   void use(std::string_view column) { fUsed.emplace(column); }

   TTree &tree() const { return *fTree; }
   long long first() const { return fFirst; }
   unsigned generation() const { return fGeneration; } ///< changes with the file
   const std::string &path() const { return fSource.fFiles[fNumber].path; }

private:
   const TreeSource &fSource;
   std::set<std::string> fUsed;
   std::unique_ptr<TFile> fFile;
   TTree *fTree = nullptr;
   std::size_t fNumber = 0;
   long long fFirst = 0, fEnd = 0; ///< entries of the file
   unsigned fGeneration = 0;
};

/// Decodes the baskets of a branch whose numbers are of type T.
template <typename T>
class TreeSource::Reader : public BranchReader
{
public:
   Reader(OpenFile &file, std::string_view column)
      : fFile(file),
        fColumn(column)
   {
   }

protected:
   /// Decode the entries around an entry, unless they are at hand; returns its place among them.
   std::size_t find(long long entry)
   {
      if (entry < fBegin || entry >= fEnd || fGeneration != fFile.generation())
         load(entry);
      return entry - fBegin;
   }

   /// Entries that are decoded together: few enough to stay in the cache until they are used.
   static constexpr std::size_t kBlock = 256;

   std::unique_ptr<T[]> fValues;       ///< of all entries of the block
   std::uint32_t fOffsets[kBlock + 1]; ///< of the first value of each entry; unused for numbers

private:
   void load(long long entry)
   {
      const long long local = entry - fFile.first();
      bool good = true;
      if (fGeneration != fFile.generation()) {
         fGeneration = fFile.generation();
         fBranch = fFile.tree().GetBranch(fColumn.c_str());
         if (!fBranch)
            throw std::runtime_error(fFile.path() + " has no branch '" + fColumn + "'");
         fContent = contentOf(*fBranch);
         good = openBasket(local);
      } else if (entry < fBegin || local >= fBasketEnd) {
         good = openBasket(local);
      }
      while (good && entry >= fEnd)
         good = decodeBlock();
      if (!good) {
         fBegin = fEnd = fBasketEnd = 0;
         throw std::runtime_error("branch '" + fColumn + "' of " + fFile.path() +
                                  " cannot be read at entry " + std::to_string(local));
      }
   }

   /// Decompress the basket that holds an entry of the file.
   bool openBasket(long long entry)
   {
      const Long64_t *starts = fBranch->GetBasketEntry();
      const int baskets = fBranch->GetWriteBasket() + 1;
      const int number = std::upper_bound(starts, starts + baskets, entry) - starts - 1;
      if (number < 0)
         return false;
      fBasketEnd = number + 1 < baskets ? starts[number + 1] : fBranch->GetEntries();
      fBegin = fEnd = starts[number] + fFile.first();
      fBranch->DropBaskets("all");
      fFile.tree().LoadTree(entry); // tells the cache where we are
      TBasket *basket = fBranch->GetBasket(number);
      if (!basket || basket->GetNevBuf() != fBasketEnd - starts[number])
         return false;
      fBuffer = basket->GetBufferRef()->Buffer();
      fNext = fBuffer + basket->GetKeylen();
      fLast = fBuffer + basket->GetLast();
      fStarts = fContent.shape == Shape::array ? basket->GetEntryOffset() : nullptr;
      const std::size_t size =
         fContent.shape == Shape::number ? kBlock : (fLast - fNext) / sizeof(T);
      if (size > fSize) {
         fValues.reset(new T[size]); // enough for all arrays, whatever else is between them
         fSize = size;
      }
      return fStarts || fContent.shape != Shape::array;
   }

   /// Decode the next entries; returns false if the basket does not have the expected form.
   bool decodeBlock()
   {
      fBegin = fEnd;
      const std::size_t entries = std::min<long long>(kBlock, fBasketEnd + fFile.first() - fBegin);
      fEnd = fBegin + entries;
      T *value = fValues.get();
      if (fContent.shape == Shape::number) {
         if (std::size_t(fLast - fNext) < entries * sizeof(T))
            return false;
         for (std::size_t i = 0; i < entries; ++i, fNext += sizeof(T))
            value[i] = decoded<T>(fNext);
         return true;
      }
      for (std::size_t i = 0; i < entries; ++i) {
         std::size_t n;
         if (fContent.shape == Shape::vector) {
            // Number of bytes that follow, with a flag; version of the class; number of values.
            constexpr std::uint32_t flag = 0x40000000;
            constexpr std::size_t header = 10;
            if (fNext + header > fLast)
               return false;
            n = decoded<std::uint32_t>(fNext + 6);
            if (decoded<std::uint32_t>(fNext) != flag + header - 4 + n * sizeof(T))
               return false;
            fNext += header;
         } else {
            const bool last = fEnd == fBasketEnd + fFile.first() && i + 1 == entries;
            fNext = fBuffer + *fStarts++;
            const char *end = last ? fLast : fBuffer + *fStarts;
            n = end > fNext ? (end - fNext) / sizeof(T) : 0;
         }
         if (n * sizeof(T) > std::size_t(fLast - fNext))
            return false;
         fOffsets[i] = value - fValues.get();
         for (std::size_t k = 0; k < n; ++k, fNext += sizeof(T))
            *value++ = decoded<T>(fNext);
      }
      fOffsets[entries] = value - fValues.get();
      return true;
   }

   OpenFile &fFile;
   std::string fColumn;
   TBranch *fBranch = nullptr;
   unsigned fGeneration = 0;
   Content fContent;
   std::size_t fSize = 0;          ///< room for values
   const char *fBuffer = nullptr;  ///< the basket
   const char *fNext = nullptr;    ///< what is not decoded yet
   const char *fLast = nullptr;    ///< its end
   const int *fStarts = nullptr;   ///< of the next entries, in the buffer; only for arrays
   long long fBasketEnd = 0;       ///< number of its last entry + 1, in the file
   long long fBegin = 0, fEnd = 0; ///< entries of the block, in all files
};

/// A branch with one number per entry.
template <typename T>
class TreeSource::NumberReader final : public Reader<T>
{
public:
   using Reader<T>::Reader;

   const void *at(Long64_t entry) override { return &this->fValues[this->find(entry)]; }
};

/// A branch with several numbers per entry, which are seen where they were decoded.
template <typename T>
class TreeSource::ArrayReader final : public Reader<T>
{
public:
   using Reader<T>::Reader;

   const void *at(Long64_t entry) override
   {
      const std::size_t i = this->find(entry);
      const std::uint32_t first = this->fOffsets[i];
      // The view owns nothing, so that there is nothing to destroy before another one takes its
      // place.
      return new (&fView) ROOT::RVec<T>(this->fValues.get() + first, this->fOffsets[i + 1] - first);
   }

private:
   alignas(ROOT::RVec<T>) char fView[sizeof(ROOT::RVec<T>)];
};

/// The branches of a chain.
class TreeSource::EventReader final : public BranchReader
{
public:
   EventReader(TreeSource &source, unsigned slot)
   {
      for (const auto &branch : source.fChain->branches())
         fEvent.readers.push_back(source.makeReader(slot, branch.name, *branch.type));
   }

   const void *at(Long64_t entry) override
   {
      fEvent.entry = entry;
      return &fRef;
   }

private:
   class TreeEvent final : public Event
   {
   public:
      std::vector<std::unique_ptr<BranchReader>> readers;
      Long64_t entry = 0;

   private:
      const void *address(unsigned branch) const override { return readers[branch]->at(entry); }
   };
   TreeEvent fEvent;
   EventRef fRef{&fEvent};
};

TreeSource::TreeSource(TTree &first, std::vector<TreeFile> files, long long begin, long long end,
                       std::shared_ptr<const CompiledChain> chain)
   : fTree(first.GetName()),
     fChain(std::move(chain)),
     fFiles(std::move(files)),
     fOffsets(1, 0)
{
   for (const TreeFile &file : fFiles)
      fOffsets.push_back(fOffsets.back() + file.entries);
   fBegin = std::max(0LL, begin);
   fEnd = end < 0 ? fOffsets.back() : std::min(end, fOffsets.back());
   for (TObject *object : *first.GetListOfBranches()) {
      auto &branch = static_cast<TBranch &>(*object);
      const std::string type = typeOf(branch);
      if (type.empty())
         continue;
      fColumns.push_back(branch.GetName());
      fTypes[branch.GetName()] = type;
   }
   if (fChain) {
      fColumns.push_back(kEvent);
      fTypes[kEvent] = "m3l::EventRef";
   }
}

TreeSource::~TreeSource() = default;

std::string TreeSource::typeOf(TBranch &branch)
{
   const Content content = contentOf(branch);
   return content.shape == Shape::number ? content.element : arrayOf(content.element);
}

void TreeSource::SetNSlots(unsigned slots)
{
   fNSlots = slots;
   fOpen.clear();
   for (unsigned slot = 0; slot < slots; ++slot)
      fOpen.push_back(std::make_unique<OpenFile>(*this));
}

bool TreeSource::HasColumn(std::string_view column) const
{
   return fTypes.find(column) != fTypes.end();
}

std::string TreeSource::GetTypeName(std::string_view column) const
{
   return fTypes.at(std::string(column));
}

std::unique_ptr<ROOT::Detail::RDF::RColumnReaderBase>
TreeSource::GetColumnReaders(unsigned slot, std::string_view column, const std::type_info &type)
{
   if (column == kEvent && type == typeid(EventRef))
      return std::make_unique<EventReader>(*this, slot);
   return makeReader(slot, column, type);
}

std::unique_ptr<BranchReader> TreeSource::makeReader(unsigned slot, std::string_view column,
                                                     const std::type_info &type)
{
   OpenFile &file = *fOpen.at(slot);
   std::unique_ptr<BranchReader> made;
   const std::string name = GetTypeName(column);
   const auto tryNumber = [&](auto number, const char *element) {
      using T = decltype(number);
      if (name == element && type == typeid(T))
         made = std::make_unique<NumberReader<T>>(file, column);
      else if (name == arrayOf(element) && type == typeid(ROOT::RVec<T>))
         made = std::make_unique<ArrayReader<T>>(file, column);
   };
   std::apply(
      [&, i = 0](auto... numbers) mutable { (tryNumber(numbers, kNames[i++].second), ...); },
      Numbers());
   if (!made)
      throw std::runtime_error("column '" + std::string(column) + "' is of type " + name);
   file.use(column);
   return made;
}

std::vector<std::pair<ULong64_t, ULong64_t>> TreeSource::GetEntryRanges()
{
   std::vector<std::pair<ULong64_t, ULong64_t>> ranges;
   if (std::exchange(fGiven, true))
      return ranges;
   // Some tasks per slot, so that none has to wait long for the last one, each within a file.
   const long long task = (fEnd - fBegin) / (kTasksPerSlot * fNSlots) + 1;
   for (std::size_t number = 0; number < fFiles.size(); ++number) {
      const long long first = std::max(fBegin, fOffsets[number]);
      const long long last = std::min(fEnd, fOffsets[number + 1]);
      if (first >= last)
         continue;
      if (fNSlots == 1 || last - first <= task) {
         ranges.emplace_back(first, last);
         continue;
      }
      OpenFile file(*this);
      file.open(first);
      // Entries are compressed in clusters, and no two tasks should decompress the same one.
      auto cluster = file.tree().GetClusterIterator(first - file.first());
      for (long long begin = first, end; begin < last; begin = end) {
         end = begin;
         while (end < last && end - begin < task) {
            cluster.Next();
            end = std::min(last, file.first() + cluster.GetNextEntry());
         }
         ranges.emplace_back(begin, end);
      }
   }
   return ranges;
}

bool TreeSource::SetEntry(unsigned slot, ULong64_t entry)
{
   if (!fOpen[slot]->holds(entry))
      fOpen[slot]->open(entry);
   return true;
}

} // namespace m3l
