#include "engine/inspection.h"

#include "engine/basket.h"
#include "engine/branchcontent.h"

#include <ROOT/RDFHelpers.hxx>
#include <ROOT/RDataFrame.hxx>
#include <ROOT/RNTupleDescriptor.hxx>
#include <ROOT/RNTupleReader.hxx>
#include <ROOT/RResultHandle.hxx>
#include <TBranch.h>
#include <TChain.h>
#include <TClass.h>
#include <TError.h>
#include <TFile.h>
#include <TFriendElement.h>
#include <TKey.h>
#include <TLeaf.h>
#include <TObjString.h>
#include <TTree.h>
#include <TUUID.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <mutex>
#include <stdexcept>
#include <thread>

namespace m3l
{

namespace
{

/// Keeps the first error message of ROOT while it lives, and all of them off the terminal. What is
/// no error goes to the handler that was there before.
class ErrorCatcher
{
public:
   /// Whose messages count. Several may be caught at once.
   enum Threads {
      all,
      thisOne ///< what is no error waits for `release`
   };

   explicit ErrorCatcher(Threads threads)
      : fThreads(threads)
   {
      const std::lock_guard<std::mutex> lock(sMutex);
      if (sLiving.empty())
         sPrevious = SetErrorHandler(handle);
      sLiving.push_back(this);
   }

   ~ErrorCatcher()
   {
      const std::lock_guard<std::mutex> lock(sMutex);
      sLiving.erase(std::find(sLiving.begin(), sLiving.end(), this));
      if (sLiving.empty())
         SetErrorHandler(sPrevious);
   }

   ErrorCatcher(const ErrorCatcher &) = delete;
   ErrorCatcher &operator=(const ErrorCatcher &) = delete;

   /// The first error, empty if there was none.
   std::string first() const
   {
      const std::lock_guard<std::mutex> lock(sMutex);
      return fFirst;
   }

   /// Hand on what was no error.
   void release()
   {
      std::vector<Message> messages;
      {
         const std::lock_guard<std::mutex> lock(sMutex);
         messages.swap(fHeld);
      }
      for (const Message &message : messages)
         sPrevious(message.level, false, message.location.c_str(), message.text.c_str());
   }

private:
   struct Message {
      int level;
      std::string location, text;
   };

   static void handle(int level, Bool_t abort, const char *location, const char *text)
   {
      const Message message{level, location ? location : "ROOT", text};
      if (!keep(message))
         sPrevious(level, abort, location, text);
      if (abort) // the caller relies on not being returned to
         throw std::runtime_error(message.location + ": " + message.text);
   }

   /// Returns false for what the handler before has to see.
   static bool keep(const Message &message)
   {
      const std::lock_guard<std::mutex> lock(sMutex);
      bool isKept = message.level >= kError;
      for (ErrorCatcher *catcher : sLiving) {
         const bool isIts = catcher->fThread == std::this_thread::get_id();
         if (message.level < kError) {
            if (catcher->fThreads == thisOne && isIts) {
               catcher->fHeld.push_back(message);
               isKept = true;
            }
         } else if ((catcher->fThreads == all || isIts) && catcher->fFirst.empty()) {
            catcher->fFirst = message.location + ": " + message.text;
         }
      }
      return isKept;
   }

   const Threads fThreads;
   const std::thread::id fThread = std::this_thread::get_id();
   std::string fFirst;
   std::vector<Message> fHeld;
   // ROOT's error handler is a plain function, so what it needs must be kept outside of objects.
   static inline std::mutex sMutex;
   static inline std::vector<ErrorCatcher *> sLiving;
   static inline ErrorHandlerFunc_t sPrevious = nullptr;
};

/// What an exception says, without what ROOT knows about its own code.
std::string firstLine(const std::exception &error)
{
   const std::string text = error.what();
   return text.substr(0, text.find('\n'));
}

constexpr const char *kSkim = "m3l_skim"; ///< the text of `noteSkim`

bool isRNTuple(const TKey &key)
{
   return key.GetClassName() == std::string("ROOT::RNTuple");
}

bool isTree(const TKey &key)
{
   const TClass *type = TClass::GetClass(key.GetClassName());
   // A chain is a list of other files.
   return type && type->InheritsFrom(TTree::Class()) && !type->InheritsFrom(TChain::Class());
}

/// The dataset of that name; null where there is none. Of several versions the last one counts, as
/// it does for RDataFrame.
TKey *findDataset(TFile &file, const std::string &name)
{
   TKey *key = name.empty() ? nullptr : file.GetKey(name.c_str());
   return key && (isTree(*key) || isRNTuple(*key)) ? key : nullptr;
}

/// \throws std::runtime_error
TTree &openTree(TFile &file, const TKey &key)
{
   auto *tree = file.Get<TTree>(key.GetName());
   if (!tree)
      throw std::runtime_error("tree '" + std::string(key.GetName()) + "' is damaged");
   return *tree;
}

double finite(double sum)
{
   if (!std::isfinite(sum))
      throw std::runtime_error("its sum is infinite or not a number");
   return sum;
}

double sumOfBranch(TTree &tree, const std::string &branch)
{
   TLeaf *leaf = tree.GetLeaf(branch.c_str());
   if (!leaf)
      return std::numeric_limits<double>::quiet_NaN();
   if (leaf->GetLenStatic() != 1 || leaf->GetLeafCount() || numberName(leaf->GetTypeName()).empty())
      throw std::runtime_error("it holds something else than a number per entry");
   double sum = 0.;
   for (long long entry = 0; entry < tree.GetEntries(); ++entry) {
      if (leaf->GetBranch()->GetEntry(entry) <= 0)
         throw std::runtime_error("entry " + std::to_string(entry) + " cannot be read");
      sum += leaf->GetValue();
   }
   return finite(sum);
}

template <typename T>
double sumOfView(ROOT::RNTupleReader &reader, const std::string &field)
{
   auto view = reader.GetView<T>(field);
   double sum = 0.;
   for (auto entry : reader.GetEntryRange())
      sum += view(entry);
   return finite(sum);
}

double sumOfField(ROOT::RNTupleReader &reader, const std::string &field)
{
   const auto &descriptor = reader.GetDescriptor();
   const auto id = descriptor.FindFieldId(field);
   if (id == ROOT::kInvalidDescriptorId)
      return std::numeric_limits<double>::quiet_NaN();
   const std::string type = descriptor.GetFieldDescriptor(id).GetTypeName();
   if (type == "float" || type == "double")
      return sumOfView<double>(reader, field);
   return type.find("std::uint") == 0 ? sumOfView<std::uint64_t>(reader, field)
                                      : sumOfView<std::int64_t>(reader, field);
}

/// Sum of a branch or field of the metadata; NaN where it is missing.
/// \throws std::runtime_error if it cannot be read
double sumOfMetadata(TFile &file, const std::string &name, const std::string &branch)
{
   const TKey *key = findDataset(file, name);
   if (!key)
      return std::numeric_limits<double>::quiet_NaN();
   try {
      return isTree(*key) ? sumOfBranch(openTree(file, *key), branch)
                          : sumOfField(*ROOT::RNTupleReader::Open(name, file.GetName()), branch);
   } catch (const std::exception &error) {
      throw std::runtime_error("'" + branch + "' of '" + name + "': " + firstLine(error));
   }
}

/// Finds whether the tree and its baskets are compressed in a way that has a checksum.
void findProtection(TFile &file, const TKey &key, TTree &tree, DatasetInfo &info)
{
   const auto hasChecksum = [&info](const std::string &compression) {
      info.compression = compression;
      return compression == "zlib" || compression == "lzma" || compression == "lz4";
   };
   if (!hasChecksum(compressionOf(file, key)))
      return;
   for (TObject *object : *tree.GetListOfLeaves()) {
      TBranch &branch = *static_cast<TLeaf *>(object)->GetBranch();
      const int baskets = std::min(branch.GetWriteBasket() + 1, branch.GetMaxBaskets());
      for (int number = 0; number < baskets; ++number) {
         // A basket that is not in the file is empty or a part of the tree.
         if (branch.GetBasketSeek(number) != 0 && !hasChecksum(compressionOf(file, branch, number)))
            return;
      }
   }
   info.isProtected = true;
}

void look(ROOT::RDataFrame frame, DatasetInfo &info)
{
   for (const auto &column : frame.GetColumnNames()) {
      info.columns.push_back(column);
      info.types.push_back(frame.GetColumnType(column));
   }
}

void lookAtTree(TFile &file, const TKey &key, DatasetInfo &info)
{
   TTree &tree = openTree(file, key);
   info.entries = tree.GetEntries();
   look(ROOT::RDataFrame(tree), info);
   for (const auto &column : info.columns) {
      TBranch *branch = findBranch(tree, column);
      TLeaf *leaf = branch ? nullptr : tree.GetLeaf(column.c_str());
      info.kinds.push_back(branch ? contentOf(*branch).kind
                           : leaf && leaf->GetBranch()->GetTree() == &tree
                              ? std::string("part of ") + leaf->GetBranch()->ClassName()
                              : "other");
   }
   for (TObject *object : *tree.GetListOfBranches()) {
      const auto &branch = static_cast<TBranch &>(*object);
      if (branch.GetEntries() != info.entries)
         throw std::runtime_error("branch '" + std::string(branch.GetName()) + "' has " +
                                  std::to_string(branch.GetEntries()) + " of " +
                                  std::to_string(info.entries) + " entries");
   }
   if (tree.GetListOfFriends()) {
      for (TObject *object : *tree.GetListOfFriends()) {
         auto *other = static_cast<TFriendElement *>(object)->GetTree();
         const bool isComplete =
            other && (other->GetTreeIndex() || other->GetEntries() == info.entries);
         if (!isComplete)
            throw std::runtime_error("the entries of its friend '" +
                                     std::string(object->GetName()) +
                                     "' are not those of the tree");
      }
   }
   findProtection(file, key, tree, info);
}

void lookAtRNTuple(const std::string &path, const std::string &name, DatasetInfo &info)
{
   const auto reader = ROOT::RNTupleReader::Open(name, path);
   info.entries = reader->GetNEntries();
   look(ROOT::RDataFrame(name, path), info);
   info.kinds.assign(info.columns.size(), "RNTuple");
   info.isProtected = true;
   info.compression = "RNTuple";
   for (const auto &cluster : reader->GetDescriptor().GetClusterIterable())
      for (const auto &column : cluster.GetColumnRangeIterable())
         if (!column.IsSuppressed())
            for (const auto &page :
                 cluster.GetPageRange(column.GetPhysicalColumnId()).GetPageInfos())
               info.isProtected = info.isProtected && page.HasChecksum();
}

} // namespace

DatasetInfo inspectDataset(const std::string &path, const std::string &tree,
                           const std::string &sumTree, const std::string &sumBranch)
{
   DatasetInfo info;
   ErrorCatcher errors(ErrorCatcher::thisOne);
   try {
      std::unique_ptr<TFile> file(TFile::Open(path.c_str()));
      if (!file || file->IsZombie()) {
         info.problem = "cannot be opened (missing, not readable or not a ROOT file)";
         return info;
      }
      if (file->TestBit(TFile::kRecovered)) {
         info.problem = "was not closed by its writer and may hold a part of its events only";
         return info;
      }
      info.uuid = file->GetUUID().AsString();
      info.size = file->GetSize();
      for (TObject *object : *file->GetListOfKeys()) {
         const std::string name = object->GetName();
         if (std::find(info.keys.begin(), info.keys.end(), name) == info.keys.end() &&
             findDataset(*file, name))
            info.keys.push_back(name);
      }
      if (const auto *note = file->Get<TObjString>(kSkim))
         info.skim = note->GetName();
      const TKey *dataset = findDataset(*file, tree);
      if (!dataset) {
         info.problem = "has no tree '" + tree + "'";
         return info;
      }
      // A remote file takes long to open, so that one opening has to do for a tree.
      if (isTree(*dataset))
         lookAtTree(*file, *dataset, info);
      else
         lookAtRNTuple(path, tree, info);
      info.sum = sumOfMetadata(*file, sumTree, sumBranch);
   } catch (const std::exception &error) {
      info.problem = "cannot be read: " + firstLine(error);
   }
   if (info.problem.empty())
      info.problem = errors.first();
   if (info.problem.empty())
      errors.release();
   return info;
}

long long bytesRead()
{
   return TFile::GetFileBytesRead();
}

std::string noteSkim(const std::string &path, const std::string &text)
{
   const ErrorCatcher errors(ErrorCatcher::thisOne);
   const std::unique_ptr<TFile> file(TFile::Open(path.c_str(), "update"));
   const TObjString note(text.c_str());
   if (!file || file->WriteTObject(&note, kSkim) <= 0)
      return "its last part cannot be written: " + errors.first();
   file->Close();
   return errors.first();
}

std::string runEventLoop(ROOT::RDF::RResultHandle &result)
{
   const ErrorCatcher errors(ErrorCatcher::all);
   std::string thrown;
   try {
      ROOT::RDF::RunGraphs({result});
   } catch (const std::exception &error) {
      thrown = firstLine(error);
   }
   const std::string first = errors.first();
   return thrown.empty() || first.empty() ? thrown + first : thrown + " (" + first + ")";
}

} // namespace m3l
