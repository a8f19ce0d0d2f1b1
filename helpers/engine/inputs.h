/// \file inputs.h
/// Opening ROOT files for the event loop, and looking at them before.
#ifndef M3L_INPUTS_H
#define M3L_INPUTS_H

#include "engine/cutflow.h"
#include "engine/rows.h"

#include <ROOT/RDF/InterfaceUtils.hxx>
#include <ROOT/RDF/RInterface.hxx>
#include <ROOT/RResultHandle.hxx>

#include <memory>
#include <string>
#include <vector>

namespace m3l
{

/// What a file holds under the name of a TTree or RNTuple.
struct DatasetInfo {
   std::string problem; ///< empty, or why the dataset cannot be read
   long long entries = 0;
   std::vector<std::string> columns; ///< names
   std::vector<std::string> types;   ///< C++ type of each column as RDataFrame gives it
   std::vector<std::string> keys;    ///< names of all trees and RNTuples in the file
   double sum = 0.;                  ///< of the metadata; NaN where tree or branch is missing
};

/// Looks at one file, local or remote, without reading events.
/// \param sumTree, sumBranch  a numeric branch of a small metadata tree, which is summed
DatasetInfo inspectDataset(const std::string &file, const std::string &tree,
                           const std::string &sumTree = "", const std::string &sumBranch = "");

/// A node of an RDataFrame. Python handles it much faster than the node itself, whose interface has
/// hundreds of functions.
struct Node {
   ROOT::RDF::RNode rdf;
};

/// A dataframe over the entries [begin, end) of all files together; end = -1 reads all.
/// \param entries  of each file
/// \param columns  that will be read; where a TreeSource can give them all, it does
Node openDataset(const std::string &tree, const std::vector<std::string> &files,
                 const std::vector<long long> &entries, const std::vector<std::string> &columns,
                 long long begin, long long end);

/// A column that holds the same number for every event of the sample.
Node defineConstant(const Node &node, const std::string &name, double value);

/// Counters and rows are made here, since the interpreter would take long over make_shared.
std::shared_ptr<CutflowCounter> makeCounter(unsigned slots);
std::shared_ptr<RowStore> makeRows(unsigned floats, unsigned ints, unsigned slots,
                                   std::size_t memory, const std::string &folder);

/// Runs the event loop that `result` belongs to, with all that is booked on it. ROOT's error
/// messages do not reach the terminal; the first is returned, empty if there was none.
std::string runEventLoop(ROOT::RDF::RResultHandle &result);

} // namespace m3l

#endif
