/// \file eventsource.h
/// Reading the events of TTrees and RNTuples quickly.
#ifndef M3L_EVENTSOURCE_H
#define M3L_EVENTSOURCE_H

#include "engine/compiledchain.h"
#include "engine/openfile.h"

#include <ROOT/RDataSource.hxx>

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <typeinfo>
#include <utility>
#include <vector>

namespace m3l
{

/// Gives the files of a sample to RDataFrame: TTrees, or RNTuples.
///
/// Its columns are the branches of numbers and of arrays of numbers, as `std::vector`, `RVec` or C
/// array whose length is another branch; see makeReader. The files may hold arrays in different
/// ones of these ways.
class EventSource : public ROOT::RDF::RDataSource
{
public:
   /// \param chain  of the column with an EventRef
   /// \throws std::runtime_error if the first file is not as it was looked at
   explicit EventSource(const Dataset &dataset,
                        std::shared_ptr<const CompiledChain> chain = nullptr);
   ~EventSource() override;

   /// Whether all branches that are to be read are among the columns.
   bool isComplete() const;

   void SetNSlots(unsigned slots) override;
   std::size_t GetNFiles() const override { return fDataset.files.size(); }
   const std::vector<std::string> &GetColumnNames() const override { return fColumns; }
   bool HasColumn(std::string_view column) const override;
   std::string GetTypeName(std::string_view column) const override;
   std::unique_ptr<ROOT::Detail::RDF::RColumnReaderBase>
   GetColumnReaders(unsigned slot, std::string_view column, const std::type_info &type) override;
   std::vector<std::pair<ULong64_t, ULong64_t>> GetEntryRanges() override;
   void Initialize() override { fGiven = false; }
   bool SetEntry(unsigned slot, ULong64_t entry) override;
   std::string GetLabel() override { return fDataset.tree; }

protected:
   Record_t GetColumnReadersImpl(std::string_view, const std::type_info &) override { return {}; }

private:
   struct Slot;
   template <bool isEvent>
   class Column;

   std::unique_ptr<BranchReader> readerOf(unsigned slot, const std::string &column,
                                          const std::type_info &type);

   const Dataset fDataset;
   std::shared_ptr<const CompiledChain> fChain;
   std::vector<long long> fOffsets; ///< number of the first entry of each file, and of the end
   long long fBegin, fEnd;
   std::vector<std::string> fColumns;
   std::map<std::string, BranchContent, std::less<>> fBranches; ///< that can be decoded
   std::vector<std::unique_ptr<Slot>> fSlots;
   bool fIsTree = true; ///< else RNTuple
   bool fGiven = false; ///< the ranges of this event loop
};

} // namespace m3l

#endif
