/// \file treesource.h
/// Reading a TTree basket by basket instead of entry by entry.
#ifndef M3L_TREESOURCE_H
#define M3L_TREESOURCE_H

#include "engine/bookchain.h"

#include <ROOT/RDF/RColumnReaderBase.hxx>
#include <ROOT/RDataSource.hxx>

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <typeinfo>
#include <utility>
#include <vector>

class TBranch;
class TTree;

namespace m3l
{

/// Reads a branch.
class BranchReader : public ROOT::Detail::RDF::RColumnReaderBase
{
public:
   /// Address of the value of an entry, counted over all files.
   virtual const void *at(Long64_t entry) = 0;

private:
   void *GetImpl(Long64_t entry) final { return const_cast<void *>(at(entry)); }
};

/// Gives a TTree of one or several files to RDataFrame.
///
/// ROOT reads a branch with several function calls per entry, which takes longer than decompressing
/// it. Here a basket, the compressed block of some thousand entries, is decoded in one loop when
/// its first entry is asked for. That works for branches of numbers, of `std::vector`s and `RVec`s
/// of numbers and of arrays of numbers whose length is another branch. The files may hold arrays in
/// different ones of these ways.
class TreeSource : public ROOT::RDF::RDataSource
{
public:
   /// Column with an EventRef to the branches of a chain.
   static constexpr const char *kEvent = "m3l_event";

   /// \param name        of the tree in the files
   /// \param first       that of the first file
   /// \param begin, end  the entries to read, counted over all files; end < 0 reads all
   /// \param chain       of the column kEvent
   TreeSource(const std::string &name, TTree &first, std::vector<TreeFile> files, long long begin,
              long long end, std::shared_ptr<const CompiledChain> chain = nullptr);
   ~TreeSource() override;

   /// Type of a branch in RDataFrame, empty if its baskets cannot be decoded here.
   static std::string typeOf(TBranch &branch);

   void SetNSlots(unsigned slots) override;
   std::size_t GetNFiles() const override { return fFiles.size(); }
   const std::vector<std::string> &GetColumnNames() const override { return fColumns; }
   bool HasColumn(std::string_view column) const override;
   std::string GetTypeName(std::string_view column) const override;
   std::unique_ptr<ROOT::Detail::RDF::RColumnReaderBase>
   GetColumnReaders(unsigned slot, std::string_view column, const std::type_info &type) override;
   std::vector<std::pair<ULong64_t, ULong64_t>> GetEntryRanges() override;
   void Initialize() override { fGiven = false; }
   bool SetEntry(unsigned slot, ULong64_t entry) override;
   std::string GetLabel() override { return "TTree " + fTree; }

protected:
   Record_t GetColumnReadersImpl(std::string_view, const std::type_info &) override { return {}; }

private:
   class OpenFile;
   class EventReader;
   template <typename T>
   class Reader;
   template <typename T>
   class NumberReader;
   template <typename T>
   class ArrayReader;

   std::unique_ptr<BranchReader> makeReader(unsigned slot, std::string_view column,
                                            const std::type_info &type);

   std::string fTree;
   std::shared_ptr<const CompiledChain> fChain;
   std::vector<TreeFile> fFiles;
   std::vector<long long> fOffsets; ///< number of the first entry of each file, and of the end
   long long fBegin, fEnd;
   std::vector<std::string> fColumns;
   std::map<std::string, std::string, std::less<>> fTypes;
   std::vector<std::unique_ptr<OpenFile>> fOpen; ///< for each slot
   bool fGiven = false;                          ///< the ranges of this event loop
};

} // namespace m3l

#endif
