#include "engine/treesource.h"

#include "arrays.h"
#include "engine/basket.h"
#include "engine/branchcontent.h"

#include <ROOT/RVec.hxx>
#include <TBranch.h>
#include <TFile.h>
#include <TTree.h>
#include <TUUID.h>

#include <algorithm>
#include <cstdint>
#include <set>
#include <stdexcept>
#include <tuple>

namespace m3l
{

namespace
{

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
      const bool isOther =
         fTree && ((!wanted.uuid.empty() && wanted.uuid != fFile->GetUUID().AsString()) ||
                   (wanted.size >= 0 && wanted.size != fFile->GetSize()));
      if (!fTree || fTree->GetEntries() != wanted.entries || isOther)
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

   /// Whether a number that is not finite was decoded, in this file or before.
   const bool &isSuspect() const { return fSuspect; }
   void suspect() { fSuspect = true; }

   TTree &tree() const { return *fTree; }
   TFile &file() const { return *fFile; }
   long long first() const { return fFirst; }
   unsigned generation() const { return fGeneration; } ///< changes with the file
   const std::string &path() const { return fSource.fFiles[fNumber].path; }
   RawMemory &compressed() { return fCompressed; } ///< for a basket that is being read

private:
   const TreeSource &fSource;
   std::set<std::string> fUsed;
   std::unique_ptr<TFile> fFile;
   TTree *fTree = nullptr;
   std::size_t fNumber = 0;
   long long fFirst = 0, fEnd = 0; ///< entries of the file
   unsigned fGeneration = 0;
   bool fSuspect = false;
   RawMemory fCompressed;
};

/// Decodes the baskets of a branch whose numbers are of type T.
template <typename T>
class TreeSource::Reader : public BranchReader
{
public:
   Reader(OpenFile &file, std::string_view column, const std::string &type)
      : fFile(file),
        fColumn(column),
        fType(type)
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
         openBranch();
         fGeneration = fFile.generation();
         good = openBasket(local);
      } else if (entry < fBegin || local >= fBasketEnd) {
         good = openBasket(local);
      }
      while (good && entry >= fEnd) {
         good = decodeBlock();
         if constexpr (std::is_floating_point_v<T>)
            if (good && !areFinite(fValues.get(), fDecoded))
               fFile.suspect();
      }
      if (!good) {
         fBegin = fEnd = fBasketEnd = 0;
         throw std::runtime_error("branch '" + fColumn + "' of " + fFile.path() +
                                  " cannot be read at entry " + std::to_string(local));
      }
   }

   /// Find the branch in the file, where it need not lie as it does in the first one.
   void openBranch()
   {
      fBegin = fEnd = fBasketEnd = 0;
      fBranch = findBranch(fFile.tree(), fColumn);
      if (!fBranch)
         throw std::runtime_error(fFile.path() + " has no branch '" + fColumn + "'");
      const BranchContent content = contentOf(*fBranch);
      if (content.type() != fType)
         throw std::runtime_error("branch '" + fColumn + "' of " + fFile.path() + " is of type " +
                                  (content.element.empty() ? content.kind : content.type()) +
                                  ", not " + fType);
      fShape = content.shape;
   }

   /// Decompress the basket that holds an entry of the file.
   bool openBasket(long long entry)
   {
      const Long64_t *starts = fBranch->GetBasketEntry();
      const int baskets = std::min(fBranch->GetWriteBasket() + 1, fBranch->GetMaxBaskets());
      const int number = std::upper_bound(starts, starts + baskets, entry) - starts - 1;
      if (number < 0)
         return false;
      const long long begin = starts[number];
      fBasketEnd = number + 1 < baskets ? starts[number + 1] : fBranch->GetEntries();
      fBegin = fEnd = begin + fFile.first();
      fFile.tree().LoadTree(entry); // tells the cache where we are
      if (entry < begin || entry >= fBasketEnd ||
          !fBasket.read(fFile.file(), *fBranch, number, fBasketEnd - begin, fFile.compressed()))
         return false;
      fNext = fBasket.begin();
      fNumber = 0;
      const std::size_t bytes = fBasket.end() - fBasket.begin();
      const std::size_t size = fShape == Shape::number ? kBlock : bytes / sizeof(T);
      if (size > fSize) {
         fValues.reset(new T[size]); // enough for all arrays, whatever else is between them
         fSize = size;
      }
      switch (fShape) {
      case Shape::number:
         return bytes == (fBasketEnd - begin) * sizeof(T);
      case Shape::array:
         return fBasket.hasStarts();
      default:
         return true;
      }
   }

   /// Decode the next entries; returns false if the basket does not have the expected form.
   bool decodeBlock()
   {
      fBegin = fEnd;
      const std::size_t entries = std::min<long long>(kBlock, fBasketEnd + fFile.first() - fBegin);
      fEnd = fBegin + entries;
      T *value = fValues.get();
      if (fShape == Shape::number) {
         for (std::size_t i = 0; i < entries; ++i, fNext += sizeof(T))
            value[i] = decoded<T>(fNext);
         fDecoded = entries;
         return true;
      }
      const char *last = fBasket.end();
      for (std::size_t i = 0; i < entries; ++i) {
         std::size_t n;
         if (fShape == Shape::vector) {
            // Number of bytes that follow, with a flag; version of the class; number of values.
            constexpr std::uint32_t flag = 0x40000000;
            constexpr std::size_t header = 10;
            if (std::size_t(last - fNext) < header)
               return false;
            n = decoded<std::uint32_t>(fNext + 6);
            if (decoded<std::uint32_t>(fNext) != flag + header - 4 + n * sizeof(T))
               return false;
            fNext += header;
            if (n * sizeof(T) > std::size_t(last - fNext))
               return false;
         } else {
            const std::size_t bytes = fBasket.start(fNumber + 1) - fNext;
            n = bytes / sizeof(T);
            if (bytes % sizeof(T) != 0)
               return false;
         }
         ++fNumber;
         fOffsets[i] = value - fValues.get();
         for (std::size_t k = 0; k < n; ++k, fNext += sizeof(T))
            *value++ = decoded<T>(fNext);
      }
      fDecoded = fOffsets[entries] = value - fValues.get();
      // The last entry ends where the basket does.
      return fEnd != fBasketEnd + fFile.first() || fNext == last;
   }

   OpenFile &fFile;
   std::string fColumn;
   std::string fType; ///< in RDataFrame
   TBranch *fBranch = nullptr;
   unsigned fGeneration = 0;
   Shape fShape = Shape::number;
   std::size_t fSize = 0;    ///< room for values
   std::size_t fDecoded = 0; ///< values of the block
   Basket fBasket;
   const char *fNext = nullptr;    ///< what is not decoded yet
   long long fNumber = 0;          ///< of the next entry in the basket
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
      : fEvent(source.fOpen.at(slot)->isSuspect())
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
      using Event::Event;

      std::vector<std::unique_ptr<BranchReader>> readers;
      Long64_t entry = 0;

   private:
      const void *address(unsigned branch) const override { return readers[branch]->at(entry); }
   };
   TreeEvent fEvent;
   EventRef fRef{&fEvent};
};

TreeSource::TreeSource(const std::string &name, TTree &first, std::vector<TreeFile> files,
                       long long begin, long long end, std::shared_ptr<const CompiledChain> chain)
   : fTree(name),
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
   return contentOf(branch).type();
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
      if (name == BranchContent{Shape::number, element, ""}.type() && type == typeid(T))
         made = std::make_unique<NumberReader<T>>(file, column, name);
      else if (name == BranchContent{Shape::vector, element, ""}.type() &&
               type == typeid(ROOT::RVec<T>))
         made = std::make_unique<ArrayReader<T>>(file, column, name);
   };
   std::apply(
      [&, i = 0](auto... numbers) mutable { (tryNumber(numbers, kNumberNames[i++].second), ...); },
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
