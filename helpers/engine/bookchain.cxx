#include "engine/bookchain.h"

// Where that does not work, see helpers/reading.py.
#ifndef M3L_READ_BY_ROOT
#include "engine/eventsource.h"
#endif

#include <ROOT/RDF/RDatasetSpec.hxx>
#include <ROOT/RDataFrame.hxx>
#include <TSystem.h>

#include <algorithm>
#include <cstdint>
#include <stdexcept>
#include <utility>

namespace m3l
{

namespace
{

/// Types of branches that can be handed to compiled code, and arrays of them.
template <typename... T>
struct Types {
};
using BranchTypes =
   Types<bool, char, signed char, unsigned char, short, unsigned short, int, unsigned int, long,
         unsigned long, long long, unsigned long long, float, double>;

/// Calls `visit` with a pointer to the type of a branch; returns false for one not among them.
template <typename Visit, typename... T>
bool withType(const std::type_info &type, const Visit &visit, Types<T...>)
{
   const auto tryType = [&](auto *none) {
      using Value = std::remove_pointer_t<decltype(none)>;
      if (type != typeid(Value))
         return false;
      visit(none);
      return true;
   };
   return (... ||
           (tryType(static_cast<T *>(nullptr)) || tryType(static_cast<ROOT::RVec<T> *>(nullptr))));
}

/// A branch that ROOT has read.
struct GivenBranch final : BranchReader {
   const void *value = nullptr;

   const void *at(long long) override { return value; }
};

/// Makes one column of all branches of a chain as ROOT reads them. A node for each branch, since
/// the types of all are known here only.
ROOT::RDF::RNode gather(ROOT::RDF::RNode rdf, const CompiledChain &chain)
{
   static constexpr bool isSuspect = true;
   const auto &branches = chain.branches();
   auto events = std::make_shared<std::vector<Event>>();
   for (unsigned slot = 0; slot < rdf.GetNSlots(); ++slot) {
      Event &event = events->emplace_back(isSuspect);
      for (std::size_t n = 0; n < branches.size(); ++n)
         event.readers.push_back(std::make_unique<GivenBranch>());
   }
   std::string column = "m3l_given";
   rdf = rdf.DefineSlot(column, [events](unsigned slot) { return EventRef{&(*events)[slot]}; });
   for (unsigned n = 0; n < branches.size(); ++n) {
      const std::string next =
         n + 1 < branches.size() ? "m3l_given_" + std::to_string(n) : EventRef::kColumn;
      const auto add = [&, n](auto *none) {
         using Value = std::remove_pointer_t<decltype(none)>;
         rdf = rdf.Define(next,
                          [n](const EventRef &event, const Value &value) {
                             static_cast<GivenBranch &>(*event.event->readers[n]).value = &value;
                             return event;
                          },
                          {column, branches[n].name});
      };
      withType(*branches[n].type, add, BranchTypes());
      column = next;
   }
   return rdf;
}

/// The events of a sample, in a column EventRef::kColumn.
ROOT::RDF::RNode open(const Dataset &dataset, std::shared_ptr<const CompiledChain> chain)
{
#ifndef M3L_READ_BY_ROOT
   auto source = std::make_unique<EventSource>(dataset, chain);
   if (source->isComplete())
      return ROOT::RDataFrame(std::move(source));
#endif
   std::vector<std::string> paths;
   for (const InputFile &part : dataset.files)
      paths.push_back(part.path);
   ROOT::RDF::Experimental::RDatasetSpec spec;
   spec.AddSample({"sample", dataset.tree, paths});
   if (dataset.end >= 0)
      spec.WithGlobalRange({dataset.begin, dataset.end});
   return gather(ROOT::RDataFrame(spec), *chain);
}

bool isGood(const CompiledChain &chain, const Event &event)
{
   try {
      chain.check(event);
      return true;
   } catch (const std::domain_error &) {
      return false;
   }
}

} // namespace

std::shared_ptr<const CompiledChain> loadChain(const std::string &library,
                                               const std::string &function)
{
   // Load returns -1 for a library that does not load.
   auto *make = gSystem->Load(library.c_str()) < 0
                   ? nullptr
                   : reinterpret_cast<CompiledChain *(*)()>(
                        gSystem->DynFindSymbol(library.c_str(), function.c_str()));
   if (!make)
      throw std::runtime_error(library + " cannot be loaded");
   return std::shared_ptr<const CompiledChain>(make());
}

std::string foreignBranch(const CompiledChain &chain)
{
   for (const auto &branch : chain.branches())
      if (!withType(*branch.type, [](auto *) {}, BranchTypes()))
         return branch.name;
   return "";
}

SelectedEvents bookChain(const Dataset &dataset, std::shared_ptr<const CompiledChain> chain,
                         const std::vector<double> &constants, const Cutflows &cutflows,
                         const RowStores &rows)
{
   for (const auto &cutflow : cutflows)
      cutflow->byLastCut = true;
   ROOT::RDF::RNode rdf = open(dataset, chain);
   using Flags = std::vector<char>; // for each store, whether it has the event
   auto flags = std::make_shared<std::vector<Flags>>(rdf.GetNSlots(), Flags(rows.size()));
   const auto process = [=, dropBad = dataset.dropBad](unsigned slot, const EventRef &ref) {
      Flags &in = (*flags)[slot];
      if (dropBad && !isGood(*chain, *ref.event)) {
         cutflows[0]->dropped.add(slot, 0.);
         std::fill(in.begin(), in.end(), 0);
      } else {
         chain->process(slot, *ref.event, constants, cutflows, in, rows);
      }
      return const_cast<const Flags *>(&in);
   };
   rdf = rdf.DefineSlot("m3l_regions", process, {EventRef::kColumn});
   const auto wanted = [](const Flags *in) {
      return std::find(in->begin(), in->end(), 1) != in->end();
   };
   // All events are to be processed, also those that no region wants.
   const auto any = [](const Flags *) { return true; };
   return {rdf.Filter(any, {"m3l_regions"}).Count(), rdf.Filter(wanted, {"m3l_regions"})};
}

} // namespace m3l
