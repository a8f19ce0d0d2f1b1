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
#include <TH1.h>
#include <TKey.h>
#include <TLeaf.h>
#include <TObjString.h>
#include <TTree.h>
#include <TUUID.h>

#include <algorithm>
#include <cmath>
#include <fnmatch.h>
#include <functional>
#include <iterator>
#include <map>
#include <memory>
#include <mutex>
#include <set>
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

/// What is called with each number of some metadata.
using Taker = std::function<void(double)>;

/// Where metadata lack something, in words that follow the name of the file.
class Lacking : public std::runtime_error
{
   using std::runtime_error::runtime_error;
};

void eachOfBranch(TTree &tree, const std::string &branch, const Taker &take)
{
   TLeaf *leaf = tree.GetLeaf(branch.c_str());
   if (!leaf)
      throw Lacking("has no branch '" + branch + "' in '" + tree.GetName() + "'");
   if (leaf->GetLenStatic() != 1 || leaf->GetLeafCount() || numberName(leaf->GetTypeName()).empty())
      throw std::runtime_error("it holds something else than a number per entry");
   for (long long entry = 0; entry < tree.GetEntries(); ++entry) {
      if (leaf->GetBranch()->GetEntry(entry) <= 0)
         throw std::runtime_error("entry " + std::to_string(entry) + " cannot be read");
      take(leaf->GetValue());
   }
}

template <typename T>
void eachOfView(ROOT::RNTupleReader &reader, const std::string &field, const Taker &take)
{
   auto view = reader.GetView<T>(field);
   for (auto entry : reader.GetEntryRange())
      take(view(entry));
}

void eachOfField(ROOT::RNTupleReader &reader, const std::string &field, const Taker &take)
{
   const auto &descriptor = reader.GetDescriptor();
   const auto id = descriptor.FindFieldId(field);
   if (id == ROOT::kInvalidDescriptorId)
      throw Lacking("has no branch '" + field + "' in '" + descriptor.GetName() + "'");
   const std::string type = descriptor.GetFieldDescriptor(id).GetTypeName();
   if (type == "float" || type == "double")
      eachOfView<double>(reader, field, take);
   else if (type.find("std::uint") == 0)
      eachOfView<std::uint64_t>(reader, field, take);
   else
      eachOfView<std::int64_t>(reader, field, take);
}

/// Content of a bin, by its number or its label.
double contentOfBin(const TH1 &histogram, const std::string &bin)
{
   if (histogram.GetDimension() != 1 || histogram.InheritsFrom("TProfile"))
      throw std::runtime_error("it is no histogram of one dimension with a sum in each bin");
   const bool isNumber = bin.find_first_not_of("0123456789") == std::string::npos;
   const int bins = histogram.GetNbinsX();
   for (int number = 1; number <= bins; ++number)
      if (isNumber ? std::to_string(number) == bin
                   : histogram.GetXaxis()->GetBinLabel(number) == bin)
         return histogram.GetBinContent(number);
   throw Lacking("has no bin '" + bin + "' in '" + histogram.GetName() + "' (it has " +
                 std::to_string(bins) + ")");
}

/// The objects in a file that a name with * in it stands for, each in its last version, by name.
std::map<std::string, const TKey *> objectsOf(TFile &file, const std::string &name)
{
   const auto slash = name.rfind('/');
   const std::string folder = slash == std::string::npos ? "" : name.substr(0, slash + 1);
   std::map<std::string, const TKey *> objects;
   if (TDirectory *directory = folder.empty() ? &file : file.GetDirectory(folder.c_str()))
      for (TObject *key : *directory->GetListOfKeys())
         if (fnmatch(name.c_str(), (folder + key->GetName()).c_str(), 0) == 0)
            objects[folder + key->GetName()] = directory->GetKey(key->GetName());
   return objects;
}

/// Calls a function with each number of an object of the metadata.
/// \throws std::runtime_error
void eachOfObject(TFile &file, const std::string &name, const TKey &key, const std::string &part,
                  bool isSum, const Taker &take)
{
   const TClass *type = TClass::GetClass(key.GetClassName());
   if (isRNTuple(key)) {
      eachOfField(*ROOT::RNTupleReader::Open(name, file.GetName()), part, take);
   } else if (isTree(key)) {
      auto *tree = file.Get<TTree>(name.c_str());
      if (!tree)
         throw std::runtime_error("tree '" + name + "' is damaged");
      eachOfBranch(*tree, part, take);
   } else if (type && type->InheritsFrom(TH1::Class()) && isSum) {
      const std::unique_ptr<TH1> histogram(file.Get<TH1>(name.c_str()));
      if (!histogram)
         throw std::runtime_error("histogram '" + name + "' is damaged");
      histogram->SetDirectory(nullptr);
      take(contentOfBin(*histogram, part));
   } else {
      throw Lacking("has '" + name + "', which is no tree" +
                    (isSum ? " and no histogram" : ", and histograms are added where files are"));
   }
}

/// The number at a place of the metadata, see `inspectDataset`.
/// \throws std::runtime_error if it cannot be read
MetaNumber numberOfMetadata(TFile &file, const std::string &place, bool isSum)
{
   MetaNumber number;
   if (place.empty())
      return number;
   const auto colon = place.find(':');
   const std::string name = place.substr(0, colon);
   const std::string part = colon == std::string::npos ? "" : place.substr(colon + 1);
   double sum = 0.;
   std::size_t numbers = 0;
   try {
      const auto objects = objectsOf(file, name);
      if (objects.empty())
         throw Lacking("has no '" + name + "'");
      for (const auto &[object, key] : objects)
         eachOfObject(file, object, *key, part, isSum, [&](double value) {
            if (!isSum && numbers > 0 && value != sum)
               throw std::runtime_error("it should be the same everywhere, but entry " +
                                        std::to_string(numbers) + " differs");
            sum = isSum ? sum + value : value;
            ++numbers;
         });
      if (numbers == 0 && !isSum)
         throw Lacking("has no entry in '" + name + "'");
   } catch (const Lacking &lacking) {
      number.lacking = lacking.what();
      return number;
   } catch (const std::exception &error) {
      throw std::runtime_error("'" + part + "' of '" + name + "': " + firstLine(error));
   }
   if (!std::isfinite(sum))
      throw std::runtime_error("'" + part + "' of '" + name + "': " + (isSum ? "its sum" : "it") +
                               " is infinite or not a number");
   number.value = sum;
   return number;
}

/// Luminosity blocks by run.
using Blocks = std::map<long long, std::set<long long>>;

void addBlock(Blocks &blocks, long long run, long long block)
{
   if (run >= 0 && block >= 0) // others are in no list
      blocks[run].insert(block);
}

/// A branch of one whole number per entry; null where there is none of that name.
TLeaf *wholeNumber(TTree &tree, const std::string &name)
{
   TLeaf *leaf = tree.GetLeaf(name.c_str());
   if (leaf && (leaf->GetLenStatic() != 1 || leaf->GetLeafCount() ||
                numberName(leaf->GetTypeName()).empty() || leaf->GetBranch()->GetTree() != &tree))
      throw std::runtime_error("'" + name + "' is no number per entry of the tree itself");
   return leaf;
}

/// The blocks of all events of a tree, none where it lacks a branch.
Blocks blocksOfTree(TTree &tree, const std::string &run, const std::string &block)
{
   Blocks blocks;
   TLeaf *runs = wholeNumber(tree, run), *numbers = wholeNumber(tree, block);
   if (!runs || !numbers)
      return blocks;
   for (long long entry = 0; entry < tree.GetEntries(); ++entry) {
      if (runs->GetBranch()->GetEntry(entry) <= 0 || numbers->GetBranch()->GetEntry(entry) <= 0)
         throw std::runtime_error("'" + block + "' of entry " + std::to_string(entry) +
                                  " cannot be read");
      addBlock(blocks, runs->GetValueLong64(), numbers->GetValueLong64());
   }
   return blocks;
}

/// The same of an RNTuple.
Blocks blocksOfRNTuple(ROOT::RNTupleReader &reader, const std::string &run,
                       const std::string &block)
{
   const auto numbers = [&reader](const std::string &field) {
      std::vector<long long> values;
      eachOfField(reader, field, [&](double value) { values.push_back((long long)value); });
      return values;
   };
   Blocks blocks;
   const auto &descriptor = reader.GetDescriptor();
   for (const auto &field : {run, block})
      if (descriptor.FindFieldId(field) == ROOT::kInvalidDescriptorId)
         return blocks;
   const auto runs = numbers(run), of = numbers(block);
   for (std::size_t entry = 0; entry < runs.size(); ++entry)
      addBlock(blocks, runs[entry], of[entry]);
   return blocks;
}

/// The blocks as text for GoodRuns.
std::string written(const Blocks &blocks)
{
   std::string text;
   for (const auto &[run, numbers] : blocks) {
      text += (text.empty() ? "" : ";") + std::to_string(run) + ":";
      for (auto first = numbers.begin(); first != numbers.end();) {
         auto next = std::next(first);
         long long last = *first;
         for (; next != numbers.end() && *next == last + 1; ++next)
            last = *next;
         text += (first == numbers.begin() ? "" : ",") + std::to_string(*first);
         if (last > *first)
            text += "-" + std::to_string(last);
         first = next;
      }
   }
   return text;
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

DatasetInfo inspectDataset(const std::string &path, const std::string &tree, const std::string &sum,
                           const std::string &constant, const std::string &run,
                           const std::string &block)
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
      info.sum = numberOfMetadata(*file, sum, true);
      info.constant = numberOfMetadata(*file, constant, false);
      if (!block.empty())
         info.blocks = written(
            isTree(*dataset) ? blocksOfTree(openTree(*file, *dataset), run, block)
                             : blocksOfRNTuple(*ROOT::RNTupleReader::Open(tree, path), run, block));
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
