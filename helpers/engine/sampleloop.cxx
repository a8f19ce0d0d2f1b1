#include "engine/sampleloop.h"

#include "engine/bookchain.h"
#include "engine/cutflow.h"
#include "engine/inspection.h"
#include "engine/rowstore.h"

#include <ROOT/RResultHandle.hxx>

#include <cstdio>
#include <exception>
#include <utility>

namespace m3l
{

namespace
{

std::string line(const CutflowCount &count)
{
   char numbers[128];
   std::snprintf(numbers, sizeof numbers, "%llu %llu %a %a ",
                 static_cast<unsigned long long>(count.entries),
                 static_cast<unsigned long long>(count.nonFinite), count.sumw, count.sumw2);
   return numbers + count.exactSumw + " " + count.exactSumw2 + "\n";
}

} // namespace

struct SampleLoop::Content {
   unsigned slots;
   std::vector<unsigned> cuts; ///< numbers of those of the regions
   Cutflows cutflows;
   RowStores rows;
   std::vector<double> constants;
   std::vector<InputFile> files;
   std::vector<std::string> columns;
};

SampleLoop::SampleLoop(unsigned slots)
   : fContent(new Content{slots, {}, {}, {}, {}, {}, {}})
{
}

SampleLoop::~SampleLoop() = default;

void SampleLoop::addRegion(unsigned cuts)
{
   fContent->cuts.push_back(cuts);
}

void SampleLoop::addCutflow(bool own)
{
   auto &cutflows = fContent->cutflows;
   cutflows.push_back(own ? std::make_shared<Cutflow>(fContent->slots, fContent->cuts)
                          : cutflows.at(0));
}

RowStore *SampleLoop::addRows(unsigned floats, unsigned ints, std::size_t memory,
                              const std::string &folder, unsigned weights)
{
   fContent->rows.push_back(
      std::make_shared<RowStore>(floats, ints, fContent->slots, memory, folder, weights));
   return fContent->rows.back().get();
}

void SampleLoop::addConstant(double value)
{
   fContent->constants.push_back(value);
}

void SampleLoop::addFile(const std::string &path, long long entries, long long size)
{
   fContent->files.push_back({path, entries, "", size});
}

void SampleLoop::addColumn(const std::string &name)
{
   fContent->columns.push_back(name);
}

#ifndef M3L_INTERPRETED
std::string SampleLoop::read(const std::string &library, const std::string &function,
                             const std::string &tree, long long begin, long long end, bool dropBad)
{
   try {
      auto booked = book(library, function, tree, begin, end, dropBad);
      return runEventLoop(booked.handle);
   } catch (const std::exception &error) {
      const std::string text = error.what();
      return text.substr(text.find_last_of('\n', text.find_last_not_of('\n')) + 1);
   }
}

SelectedEvents SampleLoop::book(const std::string &library, const std::string &function,
                                const std::string &tree, long long begin, long long end,
                                bool dropBad)
{
   const Dataset dataset{tree,    std::exchange(fContent->files, {}),  begin, end,
                         dropBad, std::exchange(fContent->columns, {})};
   return bookChain(dataset, loadChain(library, function), fContent->constants, fContent->cutflows,
                    fContent->rows);
}

std::string foreignBranch(const std::string &library, const std::string &function)
{
   return foreignBranch(*loadChain(library, function));
}
#endif

std::uint64_t SampleLoop::entries() const
{
   return fContent->cutflows.at(0)->read();
}

std::uint64_t SampleLoop::dropped() const
{
   return fContent->cutflows.at(0)->dropped.entries();
}

std::string SampleLoop::counts(unsigned cutflow) const
{
   const Cutflow &of = *fContent->cutflows.at(cutflow);
   std::string lines = line(of.count());
   for (unsigned region = 0; region < fContent->cuts.size(); ++region)
      for (unsigned cut = 0; cut < fContent->cuts[region]; ++cut)
         lines += line(of.count(region, cut));
   return lines;
}

Cutflows SampleLoop::ownCutflows() const
{
   Cutflows own;
   for (const auto &cutflow : fContent->cutflows)
      if (own.empty() || cutflow != own[0])
         own.push_back(cutflow);
   return own;
}

void SampleLoop::release()
{
   fContent->rows.clear();
}

} // namespace m3l
