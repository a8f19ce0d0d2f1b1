/// \file eventloop.h
/// A compiled chain on the graph of an RDataFrame.
#ifndef M3L_EVENTLOOP_H
#define M3L_EVENTLOOP_H

#include "engine/compiledchain.h"

#include <ROOT/RDF/RInterface.hxx>
#include <ROOT/RResultHandle.hxx>
#include <ROOT/RResultPtr.hxx>
#include <ROOT/RVec.hxx>

#include <memory>
#include <string>
#include <type_traits>
#include <vector>

namespace m3l
{

/// A file of a sample.
struct TreeFile {
   std::string path;
   long long entries;
};

/// The files of a sample, and which of their entries are read.
struct Dataset {
   std::string tree;
   std::vector<TreeFile> files;
   long long begin, end; ///< counted over all files; end < 0 reads all

   void addFile(const std::string &path, long long entries) { files.push_back({path, entries}); }
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
/// \param rows  a store for each region
/// \return handles that must live until `runEventLoop` has run one of them
/// \throws std::runtime_error if a branch is of another type than in the chain
std::vector<ROOT::RDF::RResultHandle> bookChain(const Dataset &dataset,
                                                std::shared_ptr<const CompiledChain> chain,
                                                const std::vector<double> &constants,
                                                std::shared_ptr<Cutflow> cutflow,
                                                const std::vector<std::shared_ptr<RowStore>> &rows);

/// Counts the events that reach a node of a graph, with the weight in a column.
ROOT::RDF::RResultHandle bookCounter(ROOT::RDF::RNode node, std::shared_ptr<Cutflow> cutflow,
                                     CutflowCounter &counter, const std::string &weight);

// Made here, since the interpreter would take long over std::make_shared.
std::shared_ptr<Cutflow> makeCutflow(unsigned slots, const std::vector<unsigned> &cuts);
std::shared_ptr<RowStore> makeRows(unsigned floats, unsigned ints, unsigned slots,
                                   std::size_t memory, const std::string &folder);

/// A column of any type in an event, so that many are read without compiling much.
struct Value {
   bool isList = true;   ///< an array, or not made of numbers; else one number
   long long whole = 0;  ///< one whole number, exactly
   ROOT::RVecD values{}; ///< the number or those of the array
};
using EventValues = std::vector<Value>;

template <typename T>
Value valueOf(const T &value)
{
   if constexpr (std::is_arithmetic_v<T>)
      return {false, static_cast<long long>(std::is_integral_v<T> ? value : T{}), {double(value)}};
   else
      return {};
}

template <typename T>
Value valueOf(const ROOT::RVec<T> &values)
{
   if constexpr (std::is_arithmetic_v<T>)
      return {true, 0, ROOT::RVecD(values.begin(), values.end())};
   else
      return {};
}

/// The values of a column of EventValues in all events that reach a node of a graph.
ROOT::RDF::RResultPtr<std::vector<EventValues>> takeValues(ROOT::RDF::RNode node,
                                                           const std::string &column);

/// The values of all matrices, one after the other.
std::vector<float> flattened(const std::vector<ROOT::RVecF> &matrices);

} // namespace m3l

#endif
