/// \file openfile.h
/// The file of a sample that is being read.
#ifndef M3L_OPENFILE_H
#define M3L_OPENFILE_H

#include "engine/basket.h"
#include "engine/branchcontent.h"
#include "engine/inputfiles.h"

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

class TFile;
class TTree;
namespace ROOT
{
class RNTupleReader;
}

namespace m3l
{

/// The file that a thread reads from.
class OpenFile
{
public:
   explicit OpenFile(const Dataset &dataset);
   ~OpenFile();

   /// Opens one of the files.
   /// \throws std::runtime_error if it is not as it was looked at
   void open(std::size_t number);

   unsigned generation() const { return fGeneration; } ///< changes with the file
   const std::string &path() const { return fDataset.files[fNumber].path; }
   TFile &file() const { return *fContent->file; }
   TTree *tree() const { return fContent->tree; } ///< null for an RNTuple

   /// Null for a TTree. Who reads from it shares it, since it must not end before its views.
   std::shared_ptr<ROOT::RNTupleReader> ntuple() const;

   /// The branches that can be decoded, and what they hold.
   std::map<std::string, BranchContent, std::less<>> branches() const;
   BranchContent contentOf(const std::string &branch) const;

   /// Ends of the clusters, in which entries are compressed together.
   std::vector<long long> clusterEnds() const;

   /// Announces a branch: all that are used are read together.
   void use(const std::string &branch) { fUsed.insert(branch); }

   /// Whether a number that is not finite was decoded, in this file or before.
   const bool &isSuspect() const { return fSuspect; }
   void suspect() { fSuspect = true; }

   Decompressor &decompressor() { return fDecompressor; }

private:
   struct Content {
      ~Content();

      std::unique_ptr<TFile> file;
      TTree *tree = nullptr; ///< which the file owns
      std::unique_ptr<ROOT::RNTupleReader> ntuple;
   };

   const Dataset &fDataset;
   std::set<std::string> fUsed;
   std::shared_ptr<Content> fContent;
   std::size_t fNumber = 0;
   unsigned fGeneration = 0;
   bool fSuspect = false;
   Decompressor fDecompressor;
};

} // namespace m3l

#endif
