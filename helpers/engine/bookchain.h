/// \file bookchain.h
/// A compiled chain on the graph of an RDataFrame.
#ifndef M3L_BOOKCHAIN_H
#define M3L_BOOKCHAIN_H

#include "engine/compiledchain.h"

#include <ROOT/RDF/RInterface.hxx>
#include <ROOT/RResultHandle.hxx>

#include <memory>
#include <string>
#include <vector>

namespace m3l
{

/// A file of a sample.
struct TreeFile {
   std::string path;
   long long entries;
   // As in DatasetInfo, to be found again when the file is opened.
   std::string uuid = ""; ///< empty for any
   long long size = -1;   ///< in bytes, negative for any
};

/// The files of a sample, and which of their entries are read.
struct Dataset {
   std::string tree;
   std::vector<TreeFile> files;
   long long begin, end; ///< counted over all files; end < 0 reads all
   bool dropBad = false; ///< leave out events with bad values, which else end the event loop
   std::vector<std::string> columns{}; ///< branches that are read beside those of the chain

   void addColumn(const std::string &name) { columns.push_back(name); }

   void addFile(const std::string &path, long long entries, const std::string &uuid = "",
                long long size = -1)
   {
      files.push_back({path, entries, uuid, size});
   }
};

/// The chain in a library that analysis/compiled.py has made.
/// \param function  name of the C function that makes it
/// \throws std::runtime_error if the library cannot be loaded
std::shared_ptr<const CompiledChain> loadChain(const std::string &library,
                                               const std::string &function);

/// The first branch of a chain whose type cannot be handed to compiled code, empty if all can.
std::string foreignBranch(const CompiledChain &chain);

/// Books a chain on a new RDataFrame: all events are counted at each cut, those of each region
/// become rows. Where a TreeSource can read all branches, it does.
/// \param cutflows, rows  as CompiledChain takes them
/// \return handles that must live until `runEventLoop` has run one of them
/// \throws std::runtime_error if a branch is of another type than in the chain
std::vector<ROOT::RDF::RResultHandle> bookChain(const Dataset &dataset,
                                                std::shared_ptr<const CompiledChain> chain,
                                                const std::vector<double> &constants,
                                                const Cutflows &cutflows, const RowStores &rows);

/// A chain on a graph, and the events that are in a region, also in one variation only.
struct SelectedEvents {
   std::vector<ROOT::RDF::RResultHandle> handles; ///< as of bookChain
   ROOT::RDF::RNode events;
};

/// The same for somebody who books more on the selected events.
SelectedEvents bookSelected(const Dataset &dataset, std::shared_ptr<const CompiledChain> chain,
                            const std::vector<double> &constants, const Cutflows &cutflows,
                            const RowStores &rows);

} // namespace m3l

#endif
