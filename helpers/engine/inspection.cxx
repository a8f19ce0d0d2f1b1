#include "engine/inspection.h"

#include <ROOT/RDFHelpers.hxx>
#include <ROOT/RDataFrame.hxx>
#include <ROOT/RNTupleReader.hxx>
#include <TError.h>
#include <TFile.h>
#include <TKey.h>
#include <TLeaf.h>
#include <TTree.h>

#include <cmath>
#include <limits>
#include <mutex>

namespace m3l
{

namespace
{

/// Keeps the first error message of ROOT while it lives, and all of them off the terminal.
class ErrorCatcher
{
public:
   ErrorCatcher()
      : fPrevious(GetErrorHandler())
   {
      sFirst.clear();
      SetErrorHandler(handle);
   }
   ~ErrorCatcher() { SetErrorHandler(fPrevious); }

   static std::string first()
   {
      const std::lock_guard<std::mutex> lock(sMutex);
      return sFirst;
   }

private:
   static void handle(int level, Bool_t, const char *location, const char *message)
   {
      if (level < kError)
         return;
      const std::lock_guard<std::mutex> lock(sMutex);
      if (sFirst.empty())
         sFirst = std::string(location) + ": " + message;
   }

   ErrorHandlerFunc_t fPrevious;
   // ROOT's error handler is a plain function, so what it finds must be kept outside of objects.
   static inline std::mutex sMutex;
   static inline std::string sFirst;
};

bool isTree(const TKey &key)
{
   const std::string type = key.GetClassName();
   return type == "TTree" || type == "TNtuple";
}

/// Sum of a branch; NaN where it is missing or cannot be read.
double sumOfBranch(TFile &file, const std::string &treeName, const std::string &branch)
{
   constexpr double missing = std::numeric_limits<double>::quiet_NaN();
   auto *tree = treeName.empty() ? nullptr : file.Get<TTree>(treeName.c_str());
   TLeaf *leaf = tree ? tree->GetLeaf(branch.c_str()) : nullptr;
   if (!leaf)
      return missing;
   double sum = 0.;
   for (long long entry = 0; entry < tree->GetEntries(); ++entry) {
      if (tree->GetEntry(entry) <= 0)
         return missing;
      sum += leaf->GetValue();
   }
   return sum;
}

bool isDataset(const TKey &key)
{
   return isTree(key) || std::string(key.GetClassName()) == "ROOT::RNTuple";
}

} // namespace

DatasetInfo inspectDataset(const std::string &path, const std::string &tree,
                           const std::string &sumTree, const std::string &sumBranch)
{
   DatasetInfo info;
   const ErrorCatcher errors;
   std::unique_ptr<TFile> file(TFile::Open(path.c_str()));
   if (!file || file->IsZombie()) {
      info.problem = "cannot be opened (missing, not readable or not a ROOT file)";
      return info;
   }
   if (file->TestBit(TFile::kRecovered)) {
      info.problem = "was not closed by its writer and may hold a part of its events only";
      return info;
   }
   TKey *dataset = nullptr;
   for (TObject *object : *file->GetListOfKeys()) {
      auto *key = static_cast<TKey *>(object);
      if (!isDataset(*key))
         continue;
      info.keys.push_back(key->GetName());
      if (tree == key->GetName() && !dataset)
         dataset = key;
   }
   if (!dataset) {
      info.problem = "has no tree '" + tree + "'";
      return info;
   }
   try {
      const auto look = [&info](ROOT::RDataFrame frame) {
         for (const auto &column : frame.GetColumnNames()) {
            info.columns.push_back(column);
            info.types.push_back(frame.GetColumnType(column));
         }
      };
      // A remote file takes long to open, so that one opening has to do for a tree.
      if (isTree(*dataset)) {
         auto *opened = file->Get<TTree>(tree.c_str());
         info.entries = opened->GetEntries();
         look(ROOT::RDataFrame(*opened));
      } else {
         info.entries = ROOT::RNTupleReader::Open(tree, path)->GetNEntries();
         look(ROOT::RDataFrame(tree, path));
      }
      info.sum = sumOfBranch(*file, sumTree, sumBranch);
   } catch (const std::exception &error) {
      info.problem = std::string("cannot be read: ") + error.what();
   }
   if (info.problem.empty())
      info.problem = ErrorCatcher::first();
   return info;
}

std::string runEventLoop(ROOT::RDF::RResultHandle &result)
{
   const ErrorCatcher errors;
   try {
      ROOT::RDF::RunGraphs({result});
   } catch (const std::exception &error) {
      const std::string first = ErrorCatcher::first();
      return first.empty() ? error.what() : first;
   }
   return ErrorCatcher::first();
}

} // namespace m3l
