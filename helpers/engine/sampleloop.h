/// \file sampleloop.h
/// The event loop of a sample as Python sees it.
#ifndef M3L_SAMPLELOOP_H
#define M3L_SAMPLELOOP_H

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace m3l
{

struct Cutflow;
struct SelectedEvents;
class RowStore;

/// What the event loop of a sample fills, and the loop itself where the chain is compiled.
///
/// Its calls take numbers and texts one by one, as those of calls.cxx do.
class SampleLoop
{
public:
   /// \param slots  number of threads that may fill
   explicit SampleLoop(unsigned slots);
   ~SampleLoop();
   SampleLoop(const SampleLoop &) = delete;
   SampleLoop &operator=(const SampleLoop &) = delete;

   /// Adds a region, before all cutflows.
   void addRegion(unsigned cuts);

   /// Adds the cutflow of a variation; the first one is that without.
   /// \param own  false: it counts what the first one does
   void addCutflow(bool own);

   /// Adds a store of rows, see RowStore; it lives as long as this, or until `release`.
   RowStore *addRows(unsigned floats, unsigned ints, std::size_t memory, const std::string &folder,
                     unsigned weights);

   /// Adds a constant column of the compiled chain.
   void addConstant(double value);

   /// Adds a file to those that `read` reads next.
   /// \param size  in bytes, negative if not known
   void addFile(const std::string &path, long long entries, long long size);

   /// Runs the event loop of a compiled chain over the files added since the last call.
   /// \param library, function  see loadChain
   /// \param begin, end, dropBad  see Dataset
   /// \return what went wrong, empty for nothing
   std::string read(const std::string &library, const std::string &function,
                    const std::string &tree, long long begin, long long end, bool dropBad);

   /// Adds a branch to those that `book` reads next beside those of the chain.
   void addColumn(const std::string &name);

   /// Books the same event loop, with the events that are in a region at hand.
   /// \throws std::runtime_error
   SelectedEvents book(const std::string &library, const std::string &function,
                       const std::string &tree, long long begin, long long end, bool dropBad);

   /// Events read so far, counted or dropped; may be called during the event loop.
   std::uint64_t entries() const;

   /// Events with bad values that were left out.
   std::uint64_t dropped() const;

   /// A line for all events and for each cut of each region: entries, those among them whose weight
   /// is not finite, sum of weights, of their squares, and both without rounding (ExactSum::hex).
   /// \param cutflow  its number in the order of `addCutflow`
   std::string counts(unsigned cutflow) const;

   /// The one that Python knows by its address.
   static SampleLoop &at(std::uintptr_t address)
   {
      return *reinterpret_cast<SampleLoop *>(address);
   }

   /// Those that count something of their own.
   std::vector<std::shared_ptr<Cutflow>> ownCutflows() const;

   /// Gives back the memory of the rows.
   void release();

private:
   struct Content;
   std::unique_ptr<Content> fContent;
};

/// The first branch of a chain whose type cannot be handed to compiled code, empty if all can.
/// \param library, function  see loadChain
std::string foreignBranch(const std::string &library, const std::string &function);

} // namespace m3l

#endif
