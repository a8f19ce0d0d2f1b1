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

OpenFile::Content::~Content() = default;

std::shared_ptr<ROOT::RNTupleReader> OpenFile::ntuple() const
{
   return {fContent, fContent->ntuple.get()};
}

void OpenFile::open(std::size_t number)
{
   const InputFile &wanted = fDataset.files.at(number);
   const char *const name = fDataset.tree.c_str();
   fNumber = number;
   ++fGeneration;
   fContent = std::make_shared<Content>();
   auto &[file, tree, ntuple] = *fContent;
   file.reset(TFile::Open(wanted.path.c_str()));
   long long entries = -1;
   if (file && !file->IsZombie()) {
      tree = file->Get<TTree>(name);
      const std::unique_ptr<ROOT::RNTuple> anchor(tree ? nullptr : file->Get<ROOT::RNTuple>(name));
      if (anchor) {
         ROOT::RNTupleReadOptions options; // threads have tasks of their own
         options.SetUseImplicitMT(ROOT::RNTupleReadOptions::EImplicitMT::kOff);
         ntuple = ROOT::RNTupleReader::Open(*anchor, options);
      }
      entries = tree ? tree->GetEntries() : ntuple ? (long long)(ntuple->GetNEntries()) : -1;
   }
   const bool isIt = entries == wanted.entries &&
                     (wanted.uuid.empty() || wanted.uuid == file->GetUUID().AsString()) &&
                     (wanted.size < 0 || wanted.size == file->GetSize());
   if (!isIt)
      throw std::runtime_error("the file has changed while it was in use: " + wanted.path);
   if (!tree)
      return;
   // All baskets of some thousand entries in few large reads, as remote files need them. A tree
   // that is small gets no cache.
   tree->SetCacheSize();
   if (tree->GetReadCache(file.get())) {
      tree->SetCacheEntryRange(0, entries);
      for (const auto &branch : fUsed)
         tree->AddBranchToCache(branch.c_str());
      tree->StopCacheLearningPhase();
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
   if (tree()) {
      for (TObject *branch : *tree()->GetListOfBranches())
         add(branch->GetName());
   } else {
      for (const auto &field : ntuple()->GetDescriptor().GetTopLevelFields())
         add(field.GetFieldName());
   }
   return found;
}

BranchContent OpenFile::contentOf(const std::string &name) const
{
   if (!tree())
      return m3l::contentOf(ntuple()->GetDescriptor(), name);
   TBranch *branch = findBranch(*tree(), name);
   if (!branch)
      throw std::runtime_error(path() + " has no branch '" + name + "'");
   return m3l::contentOf(*branch);
}

std::vector<long long> OpenFile::clusterEnds() const
{
   std::vector<long long> ends;
   if (tree()) {
      auto cluster = tree()->GetClusterIterator(0);
      while (cluster.Next() < tree()->GetEntries())
         ends.push_back(std::min(cluster.GetNextEntry(), tree()->GetEntries()));
   } else {
      for (const auto &cluster : ntuple()->GetDescriptor().GetClusterIterable())
         ends.push_back(cluster.GetFirstEntryIndex() + cluster.GetNEntries());
      std::sort(ends.begin(), ends.end());
   }
   return ends;
}

} // namespace m3l
