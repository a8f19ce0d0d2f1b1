#include "engine/openfile.h"

#include <ROOT/RNTuple.hxx>
#include <ROOT/RNTupleDescriptor.hxx>
#include <ROOT/RNTupleReader.hxx>
#include <TBranch.h>
#include <TFile.h>
#include <TTree.h>
#include <TUUID.h>

#include <algorithm>
#include <stdexcept>

namespace m3l
{

OpenFile::OpenFile(const Dataset &dataset)
   : fDataset(dataset)
{
}

OpenFile::~OpenFile() = default;

void OpenFile::open(std::size_t number)
{
   const InputFile &wanted = fDataset.files.at(number);
   fNumber = number;
   ++fGeneration;
   fNTuple.reset();
   fFile.reset(TFile::Open(wanted.path.c_str())); // deletes the tree of the last one
   fTree = nullptr;
   long long entries = -1;
   if (fFile && !fFile->IsZombie()) {
      if ((fTree = fFile->Get<TTree>(fDataset.tree.c_str()))) {
         entries = fTree->GetEntries();
      } else if (const std::unique_ptr<ROOT::RNTuple> anchor{
                    fFile->Get<ROOT::RNTuple>(fDataset.tree.c_str())}) {
         ROOT::RNTupleReadOptions options;
         options.SetUseImplicitMT(ROOT::RNTupleReadOptions::EImplicitMT::kOff); // threads have tasks
         fNTuple = ROOT::RNTupleReader::Open(*anchor, options);
         entries = fNTuple->GetNEntries();
      }
   }
   const bool isIt = entries == wanted.entries &&
                     (wanted.uuid.empty() || wanted.uuid == fFile->GetUUID().AsString()) &&
                     (wanted.size < 0 || wanted.size == fFile->GetSize());
   if (!isIt)
      throw std::runtime_error("the file has changed while it was in use: " + wanted.path);
   if (!fTree)
      return;
   // All baskets of some thousand entries in few large reads, as remote files need them. A tree
   // that is small gets no cache.
   fTree->SetCacheSize();
   if (fTree->GetReadCache(fFile.get())) {
      fTree->SetCacheEntryRange(0, wanted.entries);
      for (const auto &branch : fUsed)
         fTree->AddBranchToCache(branch.c_str());
      fTree->StopCacheLearningPhase();
   }
}

std::map<std::string, BranchContent, std::less<>> OpenFile::branches() const
{
   std::map<std::string, BranchContent, std::less<>> found;
   const auto add = [&](const std::string &name) {
      BranchContent content = contentOf(name);
      if (!content.element.empty())
         found[name] = std::move(content);
   };
   if (fTree) {
      for (TObject *branch : *fTree->GetListOfBranches())
         add(branch->GetName());
   } else {
      for (const auto &field : fNTuple->GetDescriptor().GetTopLevelFields())
         add(field.GetFieldName());
   }
   return found;
}

BranchContent OpenFile::contentOf(const std::string &name) const
{
   if (fNTuple)
      return m3l::contentOf(fNTuple->GetDescriptor(), name);
   TBranch *branch = findBranch(*fTree, name);
   if (!branch)
      throw std::runtime_error(path() + " has no branch '" + name + "'");
   return m3l::contentOf(*branch);
}

std::vector<long long> OpenFile::clusterEnds() const
{
   std::vector<long long> ends;
   if (fTree) {
      auto cluster = fTree->GetClusterIterator(0);
      while (cluster.Next() < fTree->GetEntries())
         ends.push_back(std::min(cluster.GetNextEntry(), fTree->GetEntries()));
   } else {
      for (const auto &cluster : fNTuple->GetDescriptor().GetClusterIterable())
         ends.push_back(cluster.GetFirstEntryIndex() + cluster.GetNEntries());
      std::sort(ends.begin(), ends.end());
   }
   return ends;
}

} // namespace m3l
