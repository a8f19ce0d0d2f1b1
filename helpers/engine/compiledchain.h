/// \file compiledchain.h
/// The chain of a sample made ahead of time: what the compiled expressions get and give.
///
/// analysis/compiled.py writes a C++ file with a CompiledChain for each kind of sample. That file
/// knows nothing of RDataFrame, whose headers take longer to compile than all expressions; what is
/// here books it on the graph of an RDataFrame.
#ifndef M3L_COMPILEDCHAIN_H
#define M3L_COMPILEDCHAIN_H

#include "engine/cutflow.h"
#include "engine/lazy.h"
#include "engine/rowstore.h"

#include <string>
#include <typeinfo>
#include <vector>

namespace m3l
{

/// The branches of one event, each read when it is asked for.
class Event
{
public:
   virtual ~Event() = default;

   /// The value of a branch, by its number in CompiledChain::branches.
   template <typename T>
   const T &get(unsigned branch) const
   {
      return *static_cast<const T *>(address(branch));
   }

private:
   virtual const void *address(unsigned branch) const = 0;
};

/// An event as the value of a column.
struct EventRef {
   const Event *event = nullptr;
};

/// A branch of an event, asked for at most once.
template <typename T>
class Branch
{
public:
   Branch(const Event &event, unsigned number)
      : fEvent(event),
        fNumber(number)
   {
   }

   const T &operator()() const
   {
      if (!fValue)
         fValue = &fEvent.get<T>(fNumber);
      return *fValue;
   }

private:
   const Event &fEvent;
   unsigned fNumber;
   mutable const T *fValue = nullptr;
};

/// The definitions and cuts of a plan as compiled functions of an event.
class CompiledChain
{
public:
   /// What is read from the files.
   struct Input {
      std::string name;
      const std::type_info *type;
      bool select; ///< whether `select` asks for it
      bool row;    ///< whether `addRow` asks for it
   };

   virtual ~CompiledChain() = default;

   virtual const std::vector<Input> &branches() const = 0;

   /// Counts an event at each cut of each region that it reaches.
   /// \param constants  of the sample, in the order of the plan
   /// \param in         becomes, for each region, whether the event is in it
   virtual void select(unsigned slot, const Event &event, const std::vector<double> &constants,
                       Cutflow &cutflow, std::vector<char> &in) const = 0;

   /// Adds the row of an event to a store.
   virtual void addRow(unsigned slot, const Event &event, const std::vector<double> &constants,
                       RowStore &rows) const = 0;
};

} // namespace m3l

#endif
