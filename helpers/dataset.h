/// \file dataset.h
/// Opening ROOT files for the event loop, and looking at them before.
#ifndef M3L_DATASET_H
#define M3L_DATASET_H

#include "cutflow.h"
#include "rows.h"

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
};

/// Looks at one file, local or remote, without reading events.
DatasetInfo inspectDataset(const std::string &file, const std::string &tree);

/// Sum of a numeric branch over a small metadata tree; NaN where tree or branch is missing.
double sumOfBranch(const std::string &file, const std::string &tree, const std::string &branch);

/// A dataframe over the entries [begin, end) of all files together; end = -1 reads all.
ROOT::RDF::RNode openDataset(const std::string &tree, const std::vector<std::string> &files,
                             long long begin, long long end);

/// A column that holds the same number for every event of the sample.
ROOT::RDF::RNode defineConstant(ROOT::RDF::RNode node, const std::string &name, double value);

/// Counts the events of `node` by the column `weight`.
ROOT::RDF::RResultHandle bookCutflow(ROOT::RDF::RNode node, const std::string &weight,
                                     std::shared_ptr<CutflowCounter> counter);

/// Runs the event loop that `result` belongs to, with all that is booked on it. ROOT's error
/// messages do not reach the terminal; the first is returned, empty if there was none.
std::string runEventLoop(ROOT::RDF::RResultHandle &result);

} // namespace m3l

#endif
