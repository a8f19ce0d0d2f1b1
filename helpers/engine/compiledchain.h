/// \file compiledchain.h
/// The chain of a sample made ahead of time: what the compiled expressions get and give.
///
/// analysis/compiled.py writes a C++ file with a CompiledChain for each kind of sample. That file
/// knows nothing of RDataFrame, whose headers take longer to compile than all expressions; what is
/// here books it on the graph of an RDataFrame.
#ifndef M3L_COMPILEDCHAIN_H
#define M3L_COMPILEDCHAIN_H

#include "arrays.h"
#include "engine/cutflow.h"
#include "engine/lazy.h"
#include "engine/rowstore.h"

#include <cstddef>
#include <memory>
#include <string>
#include <type_traits>
#include <typeinfo>
#include <vector>

namespace m3l
{

/// Reads a branch.
class BranchReader
{
public:
   virtual ~BranchReader() = default;

   /// To be called before the first entry of a file, and before that of another one.
   virtual void open() {}

   /// Address of the value of an entry of the file, which stays until the next call.
   virtual const void *at(long long entry) = 0;
};

/// The branches of one event, each read when it is asked for.
class Event
{
public:
   /// \param suspect  whether numbers may not be finite; it may become true when a branch is read
   explicit Event(const bool &suspect)
      : fSuspect(suspect)
   {
   }

   std::vector<std::unique_ptr<BranchReader>> readers; ///< as CompiledChain::branches has them
   long long entry = 0;

   bool isSuspect() const { return fSuspect; }

   /// The value of a branch, by its number.
   template <typename T>
   const T &get(unsigned branch) const
   {
      return *static_cast<const T *>(readers[branch]->at(entry));
   }

private:
   const bool &fSuspect;
};

/// An event as the value of a column.
struct EventRef {
   static constexpr const char *kColumn = "m3l_event"; ///< the name of the column

   const Event *event = nullptr;
};

/// The number of objects of a kind in an event: that of the first of their arrays that is read.
class Length
{
public:
   /// Whether an array has that length.
   bool is(std::size_t size)
   {
      if (fSize == kUnknown)
         fSize = size;
      return size == fSize;
   }

private:
   static constexpr std::size_t kUnknown = -1;
   std::size_t fSize = kUnknown;
};

/// A branch of an event, by its number, asked for at most once.
template <typename T, unsigned number>
class Branch
{
public:
   explicit Branch(const Event &event)
      : fEvent(event)
   {
   }

   const T &operator()() const
   {
      if (!fValue)
         fValue = &fEvent.get<T>(number);
      return *fValue;
   }

   /// The same for one of several arrays.
   /// \param length  of all arrays of the same objects
   /// \throws std::domain_error if that is not the length of this array
   const T &operator()(Length &length) const
   {
      if (!fValue) {
         fValue = &fEvent.get<T>(number);
         requireSound(length.is(fValue->size()));
      }
      return *fValue;
   }

   /// Looks at the numbers, if the branch was asked for.
   /// \throws std::domain_error if one is not finite
   void check() const { requireSound(!fValue || isSound(*fValue)); }

private:
   const Event &fEvent;
   mutable const T *fValue = nullptr;
};

/// Looks at the numbers of those branches of an event that were asked for. To be called once for an
/// event, since it takes time to ask each time.
/// \throws std::domain_error if one is not finite
template <typename... Branches>
void checkNumbers(const Event &event, const Branches &...branches)
{
   if (event.isSuspect())
      (branches.check(), ...);
}

/// The definitions and cuts of a plan as compiled functions of an event.
class CompiledChain
{
public:
   /// What is read from the files.
   struct Input {
      std::string name;
      const std::type_info *type;
   };

   virtual ~CompiledChain() = default;

   virtual const std::vector<Input> &branches() const = 0;

   /// Looks at all branches of an event.
   /// \throws std::domain_error if one is not sound
   virtual void check(const Event &event) const = 0;

   /// Counts an event at each cut of each region that it reaches, also in systematic variations,
   /// and adds it to the rows of those regions that it is in. A branch that only rows need is not
   /// asked for where there is no row.
   /// \param constants  of the sample, in the order of the plan
   /// \param cutflows   without variation, then of each variation
   /// \param in         becomes whether the event is in each region, without variation, then in
   ///                   each variation that changes more than weights
   /// \param rows       a store for each of these
   /// \throws std::domain_error if a branch that it asks for is not sound
   virtual void process(unsigned slot, const Event &event, const std::vector<double> &constants,
                        const Cutflows &cutflows, std::vector<char> &in,
                        const RowStores &rows) const = 0;
};

} // namespace m3l

#endif
