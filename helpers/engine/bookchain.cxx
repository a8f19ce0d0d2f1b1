#include "engine/bookchain.h"

#include "engine/action.h"
#include "engine/branchcontent.h"
#include "engine/treesource.h"

#include <ROOT/RDF/RDatasetSpec.hxx>
#include <ROOT/RDataFrame.hxx>
#include <TFile.h>
#include <TSystem.h>
#include <TTree.h>

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

/// An event whose branches ROOT has read.
class GatheredEvent final : public Event
{
public:
   GatheredEvent()
      : Event(kSuspect)
   {
   }

   std::vector<const void *> addresses;

private:
   static constexpr bool kSuspect = true;

   const void *address(unsigned branch) const override { return addresses[branch]; }
};

struct Booking {
   ROOT::RDF::RNode rdf;
   std::string event; ///< name of the column with the event
};

/// Makes one column of those branches for which `wanted` is set, or of all if it is null. A node
/// for each branch, since the types of all are known here only.
Booking gather(ROOT::RDF::RNode rdf, const CompiledChain &chain, bool CompiledChain::Input::*wanted,
               const std::string &name)
{
   const auto &branches = chain.branches();
   GatheredEvent empty;
   empty.addresses.resize(branches.size());
   auto events = std::make_shared<std::vector<GatheredEvent>>(rdf.GetNSlots(), empty);
   std::string column = name;
   rdf = rdf.DefineSlot(column, [events](unsigned slot) { return &(*events)[slot]; });
   for (unsigned n = 0; n < branches.size(); ++n) {
      if (wanted && !(branches[n].*wanted))
         continue;
      const auto add = [&, n](auto *none) {
         using Value = std::remove_pointer_t<decltype(none)>;
         const std::string next = name + "_" + std::to_string(n);
         rdf = rdf.Define(next,
                          [n](GatheredEvent *event, const Value &value) {
                             event->addresses[n] = &value;
                             return event;
                          },
                          {column, branches[n].name});
         column = next;
      };
      withType(*branches[n].type, add, BranchTypes());
   }
   rdf =
      rdf.Define(name + "_event", [](GatheredEvent *event) { return EventRef{event}; }, {column});
   return {rdf, name + "_event"};
}

/// Whether a TreeSource can read all these branches from a tree.
bool isDecoded(TTree &tree, const std::vector<std::string> &branches)
{
   return std::all_of(branches.begin(), branches.end(), [&](const std::string &name) {
      TBranch *branch = findBranch(tree, name);
      return branch && !contentOf(*branch).element.empty();
   });
}

/// The tree of a file; null for one that has none.
struct OpenTree {
   explicit OpenTree(const Dataset &dataset, const TreeFile &of)
      : file(TFile::Open(of.path.c_str())),
        tree(file ? file->Get<TTree>(dataset.tree.c_str()) : nullptr)
   {
   }

   std::unique_ptr<TFile> file;
   TTree *tree;
};

/// Whether a TreeSource can read all branches of a chain, and all others that are read, from all
/// files.
bool isDecoded(const Dataset &dataset, const OpenTree &first, const CompiledChain &chain)
{
   std::vector<std::string> branches = dataset.columns;
   for (const CompiledChain::Input &input : chain.branches())
      branches.push_back(input.name);
   if (!first.tree || !isDecoded(*first.tree, branches))
      return false;
   return std::all_of(dataset.files.begin() + 1, dataset.files.end(), [&](const TreeFile &file) {
      const OpenTree next(dataset, file);
      // One that cannot be opened is left to the TreeSource, which names it.
      return !next.tree || isDecoded(*next.tree, branches);
   });
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

std::vector<ROOT::RDF::RResultHandle> bookChain(const Dataset &dataset,
                                                std::shared_ptr<const CompiledChain> chain,
                                                const std::vector<double> &constants,
                                                const Cutflows &cutflows, const RowStores &rows)
{
   return bookSelected(dataset, std::move(chain), constants, cutflows, rows).handles;
}

SelectedEvents bookSelected(const Dataset &dataset, std::shared_ptr<const CompiledChain> chain,
                            const std::vector<double> &constants, const Cutflows &cutflows,
                            const RowStores &rows)
{
   const OpenTree first(dataset, dataset.files.at(0));
   const bool decoded = isDecoded(dataset, first, *chain);
   const auto open = [&] {
      if (decoded)
         return ROOT::RDataFrame(std::make_unique<TreeSource>(
            dataset.tree, *first.tree, dataset.files, dataset.begin, dataset.end, chain));
      std::vector<std::string> paths;
      for (const TreeFile &part : dataset.files)
         paths.push_back(part.path);
      ROOT::RDF::Experimental::RDatasetSpec spec;
      spec.AddSample({"sample", dataset.tree, paths});
      if (dataset.end >= 0)
         spec.WithGlobalRange({dataset.begin, dataset.end});
      return ROOT::RDataFrame(spec);
   };
   const auto events = [&](ROOT::RDF::RNode rdf, bool CompiledChain::Input::*wanted,
                           const std::string &name) {
      return decoded ? Booking{rdf, TreeSource::kEvent} : gather(rdf, *chain, wanted, name);
   };

   for (const auto &cutflow : cutflows)
      cutflow->byLastCut = true;
   ROOT::RDF::RNode rdf = open();
   const bool dropBad = dataset.dropBad;
   Booking all = events(rdf, dropBad ? nullptr : &CompiledChain::Input::select, "m3l_select");
   using Flags = std::vector<char>; // for each store, whether it wants the event
   auto flags = std::make_shared<std::vector<Flags>>(rdf.GetNSlots(), Flags(rows.size()));
   const auto select = [=](unsigned slot, const EventRef &event) {
      Flags &in = (*flags)[slot];
      if (dropBad && !isGood(*chain, *event.event)) {
         cutflows[0]->dropped.add(slot, 0.);
         std::fill(in.begin(), in.end(), 0);
      } else {
         chain->select(slot, *event.event, constants, cutflows, in);
      }
      return const_cast<const Flags *>(&in);
   };
   rdf = all.rdf.DefineSlot("m3l_regions", select, {all.event});
   // All events are selected from, also where no region wants their rows.
   const auto any = [](const Flags *) { return true; };
   std::vector<ROOT::RDF::RResultHandle> handles{rdf.Filter(any, {"m3l_regions"}).Count()};
   const auto wanted = [](const Flags *in) {
      return std::find(in->begin(), in->end(), 1) != in->end();
   };
   ROOT::RDF::RNode selected = rdf.Filter(wanted, {"m3l_regions"});
   auto [in, event] = events(selected, &CompiledChain::Input::row, "m3l_row");
   const auto add = [=](const RowStores &stores, unsigned slot, const EventRef &entry) {
      chain->addRows(slot, *entry.event, constants, (*flags)[slot], stores);
   };
   const auto stores = std::make_shared<RowStores>(rows);
   handles.push_back(in.Book<EventRef>(Action<RowStores, decltype(add)>(stores, add), {event}));
   return {handles, selected};
}

} // namespace m3l
