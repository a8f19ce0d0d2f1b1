#include "engine/eventsource.h"

#include "engine/branchreader.h"

#include <ROOT/RDF/RColumnReaderBase.hxx>

#include <algorithm>
#include <stdexcept>

namespace m3l
{

namespace
{

constexpr int kTasksPerSlot = 16;

} // namespace

/// What a thread has open.
struct EventSource::Slot {
   explicit Slot(const Dataset &dataset)
      : file(dataset)
   {
   }

   bool holds(long long entry) const { return entry >= first && entry < end; }

   OpenFile file;
   long long first = 0, end = 0; ///< entries of the file, counted over all files
};

/// Branches as a column: an EventRef to all of them, or the value of the only one.
template <bool isEvent>
class EventSource::Column final : public ROOT::Detail::RDF::RColumnReaderBase
{
public:
   explicit Column(const Slot &slot)
      : fSlot(slot),
        fEvent(slot.file.isSuspect())
   {
   }

   void add(std::unique_ptr<BranchReader> reader) { fEvent.readers.push_back(std::move(reader)); }

private:
   void *GetImpl(Long64_t entry) override
   {
      if (fGeneration != fSlot.file.generation()) {
         for (const auto &reader : fEvent.readers)
            reader->open();
         fGeneration = fSlot.file.generation();
      }
      fEvent.entry = entry - fSlot.first;
      if constexpr (isEvent)
         return &fRef;
      else
         return const_cast<void *>(fEvent.readers[0]->at(fEvent.entry));
   }

   const Slot &fSlot;
   Event fEvent;
   EventRef fRef{&fEvent};
   unsigned fGeneration = 0;
};

EventSource::EventSource(const Dataset &dataset, std::shared_ptr<const CompiledChain> chain)
   : fDataset(dataset),
     fChain(std::move(chain)),
     fOffsets(1, 0)
{
   for (const InputFile &file : fDataset.files)
      fOffsets.push_back(fOffsets.back() + file.entries);
   fBegin = std::max(0LL, fDataset.begin);
   fEnd = fDataset.end < 0 ? fOffsets.back() : std::min(fDataset.end, fOffsets.back());
   OpenFile first(fDataset);
   first.open(0);
   fIsTree = first.tree();
   fBranches = first.branches();
   for (const auto &[name, content] : fBranches)
      fColumns.push_back(name);
   if (fChain)
      fColumns.push_back(EventRef::kColumn);
}

EventSource::~EventSource() = default;

bool EventSource::isComplete() const
{
   std::vector<std::string> branches = fDataset.columns;
   for (const auto &branch : fChain->branches())
      branches.push_back(branch.name);
   return std::all_of(branches.begin(), branches.end(),
                      [this](const std::string &branch) { return HasColumn(branch); });
}

void EventSource::SetNSlots(unsigned slots)
{
   fNSlots = slots;
   fSlots.clear();
   for (unsigned slot = 0; slot < slots; ++slot)
      fSlots.push_back(std::make_unique<Slot>(fDataset));
}

bool EventSource::HasColumn(std::string_view column) const
{
   return fBranches.find(column) != fBranches.end() || (fChain && column == EventRef::kColumn);
}

std::string EventSource::GetTypeName(std::string_view column) const
{
   return column == EventRef::kColumn ? "m3l::EventRef" : fBranches.at(std::string(column)).type();
}

std::unique_ptr<ROOT::Detail::RDF::RColumnReaderBase>
EventSource::GetColumnReaders(unsigned slot, std::string_view column, const std::type_info &type)
{
   if (column == EventRef::kColumn && type == typeid(EventRef)) {
      auto event = std::make_unique<Column<true>>(*fSlots.at(slot));
      for (const auto &branch : fChain->branches())
         event->add(readerOf(slot, branch.name, *branch.type));
      return event;
   }
   auto branch = std::make_unique<Column<false>>(*fSlots.at(slot));
   branch->add(readerOf(slot, std::string(column), type));
   return branch;
}

std::unique_ptr<BranchReader> EventSource::readerOf(unsigned slot, const std::string &column,
                                                    const std::type_info &type)
{
   const BranchContent &content = fBranches.at(column);
   auto made = makeReader(fSlots.at(slot)->file, fIsTree, column, content, type);
   if (!made)
      throw std::runtime_error("column '" + column + "' is of type " + content.type());
   return made;
}

std::vector<std::pair<ULong64_t, ULong64_t>> EventSource::GetEntryRanges()
{
   std::vector<std::pair<ULong64_t, ULong64_t>> ranges;
   if (std::exchange(fGiven, true))
      return ranges;
   // Some tasks per slot, so that none has to wait long for the last one, each within a file.
   const long long task = (fEnd - fBegin) / (kTasksPerSlot * fNSlots) + 1;
   for (std::size_t number = 0; number < fDataset.files.size(); ++number) {
      const long long last = std::min(fEnd, fOffsets[number + 1]);
      long long begin = std::max(fBegin, fOffsets[number]);
      if (begin >= last)
         continue;
      if (fNSlots > 1 && last - begin > task) {
         // No two tasks should decompress the same cluster.
         OpenFile file(fDataset);
         file.open(number);
         for (const long long end : file.clusterEnds()) {
            const long long here = fOffsets[number] + end;
            if (here - begin >= task && here < last) {
               ranges.emplace_back(begin, here);
               begin = here;
            }
         }
      }
      ranges.emplace_back(begin, last);
   }
   return ranges;
}

bool EventSource::SetEntry(unsigned slot, ULong64_t entry)
{
   Slot &open = *fSlots[slot];
   if (!open.holds(entry)) {
      const auto next = std::upper_bound(fOffsets.begin(), fOffsets.end(), (long long)entry);
      open.file.open(next - fOffsets.begin() - 1);
      open.first = next[-1];
      open.end = *next;
   }
   return true;
}

} // namespace m3l
