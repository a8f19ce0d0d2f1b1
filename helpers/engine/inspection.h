/// \file inspection.h
/// Looking at ROOT files before the event loop, and running it.
#ifndef M3L_INSPECTION_H
#define M3L_INSPECTION_H

#include <limits>
#include <string>
#include <vector>

namespace ROOT::RDF
{
class RResultHandle;
}

namespace m3l
{

/// A number that the metadata of a file hold.
struct MetaNumber {
   double value = std::numeric_limits<double>::quiet_NaN(); ///< NaN where it is lacking
   std::string lacking; ///< what is not there, to be read after the name of the file
};

/// What a file holds under the name of a TTree or RNTuple.
struct DatasetInfo {
   std::string problem; ///< empty, or why the dataset cannot be read
   std::string uuid;    ///< that the file was given when it was made; zeros in reproducible files
   long long size = 0;  ///< of the file in bytes
   long long entries = 0;
   std::vector<std::string> columns; ///< names
   std::vector<std::string> types;   ///< C++ type of each column as RDataFrame gives it

   /// How each column is stored. "number", "array", "vector" and "RVec": branches that an
   /// EventSource reads, also where they are different ones of the last three in the files of a
   /// sample. Others are read by ROOT, which with one thread takes the first file's kind for that
   /// of all. All columns of an RNTuple are of the kind "RNTuple".
   std::vector<std::string> kinds;

   std::vector<std::string> keys; ///< names of all trees and RNTuples in the file
   MetaNumber sum;                ///< of all numbers at a place in the metadata
   MetaNumber constant;           ///< the number that stands at another, perhaps several times
   std::string blocks;            ///< the runs and luminosity blocks of its events, for GoodRuns
   std::string skim; ///< what a skim says of the events it lacks, see analysis/skimmed.py

   /// Whether the data carry checksums that are compared when they are read, and how the first part
   /// without is compressed, else all: "zlib", "lzma", "lz4", "zstd", "none", "RNTuple".
   bool isProtected = false;
   std::string compression;
};

/// Looks at one file, local or remote, without reading events but for two of their branches.
/// \param sum       place of numbers that are added: OBJECT:PART, where the object is a TTree or
///                  RNTuple and the part a branch, or a histogram and a bin by number or label. The
///                  name may have a * in it for several objects.
/// \param constant  place of one number, in a TTree or RNTuple, which all entries repeat
/// \param run, block  branches whose values are read of all events, for the `blocks`
DatasetInfo inspectDataset(const std::string &file, const std::string &tree,
                           const std::string &sum = "", const std::string &constant = "",
                           const std::string &run = "", const std::string &block = "");

/// Bytes that this process has read from ROOT files.
long long bytesRead();

/// Writes what a skim says of the events it lacks into its file.
/// \return why it cannot be written, empty if it is
std::string noteSkim(const std::string &file, const std::string &text);

/// Runs the event loop that `result` belongs to, with all that is booked on it. ROOT's error
/// messages do not reach the terminal; the first is returned, empty if there was none.
std::string runEventLoop(ROOT::RDF::RResultHandle &result);

} // namespace m3l

#endif
