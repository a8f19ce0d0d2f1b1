/// \file bookchain.h
/// A compiled chain on the graph of an RDataFrame.
#ifndef M3L_BOOKCHAIN_H
#define M3L_BOOKCHAIN_H

#include "engine/compiledchain.h"
#include "engine/inputfiles.h"

#include <ROOT/RDF/RInterface.hxx>
#include <ROOT/RResultHandle.hxx>

#include <memory>
#include <string>
#include <vector>

namespace m3l
{

/// The chain in a library that analysis/compiled.py has made.
/// \param function  name of the C function that makes it
/// \throws std::runtime_error if the library cannot be loaded
std::shared_ptr<const CompiledChain> loadChain(const std::string &library,
                                               const std::string &function);

/// The first branch of a chain whose type cannot be handed to compiled code, empty if all can.
std::string foreignBranch(const CompiledChain &chain);

/// A chain on a graph, and the events that are in a region, also in one variation only.
struct SelectedEvents {
   ROOT::RDF::RResultHandle handle; ///< for `runEventLoop`
   ROOT::RDF::RNode events;
};

/// Books a chain on a new RDataFrame: all events are counted at each cut, those of each region
/// become rows. Where an EventSource can read all branches, it does.
/// \param cutflows, rows  as CompiledChain takes them
/// \throws std::runtime_error if a branch is of another type than in the chain
SelectedEvents bookChain(const Dataset &dataset, std::shared_ptr<const CompiledChain> chain,
                         const std::vector<double> &constants, const Cutflows &cutflows,
                         const RowStores &rows);

} // namespace m3l

#endif
