/// \file inspection.h
/// Looking at ROOT files before the event loop, and running it.
#ifndef M3L_INSPECTION_H
#define M3L_INSPECTION_H

#include <ROOT/RResultHandle.hxx>

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

/// Runs the event loop that `result` belongs to, with all that is booked on it. ROOT's error
/// messages do not reach the terminal; the first is returned, empty if there was none.
std::string runEventLoop(ROOT::RDF::RResultHandle &result);

} // namespace m3l

#endif
