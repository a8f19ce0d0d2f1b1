/// \file histograms.h
/// Filling histograms with the rows of a store, and putting those of samples together.
#ifndef M3L_HISTOGRAMS_H
#define M3L_HISTOGRAMS_H

#include "engine/rowstore.h"

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

class TH1D;
class TMemFile;

namespace m3l
{

/// RowStore::startReading with rows that also fill histograms.
/// \param histograms  for each weight of a row: one for each feature, then one for each integer,
/// with
///                    Sumw2, or a null pointer for those that have none
void startFilling(RowStore &rows, std::size_t n, const std::vector<TH1D *> &histograms);

/// The histograms of a sample in a region, for `startFilling`.
class HistogramSet
{
public:
   HistogramSet();
   ~HistogramSet();
   HistogramSet(const HistogramSet &) = delete;
   HistogramSet &operator=(const HistogramSet &) = delete;

   /// Adds an empty histogram with Sumw2.
   void add(const std::string &name, const std::string &title, int bins, double low, double high);

   /// Adds a place for a feature that has none.
   void addNone();

   /// As the function of that name.
   void startFilling(RowStore &rows, std::size_t n) const;

private:
   friend class HistogramFile;
   std::vector<std::unique_ptr<TH1D>> fHistograms;
};

/// A file of histograms made in memory, with a folder for each region. Equal histograms, added in
/// equal order, make equal files.
class HistogramFile
{
public:
   /// \param name  as in the file, whose content does not depend on where it will be
   explicit HistogramFile(const std::string &name);
   ~HistogramFile();
   HistogramFile(const HistogramFile &) = delete;
   HistogramFile &operator=(const HistogramFile &) = delete;

   /// Adds the histograms of a region; returns whether that worked.
   bool write(const std::string &region, const HistogramSet &histograms);

   /// Copies the histograms of a sample, in the order in which they were written, with their
   /// folders.
   /// \param path   of the file that has them, perhaps among those of others
   /// \param names  of those that are wanted, in each folder, a line for each; empty: all
   /// \return whether all were read and written
   bool add(const std::string &path, const std::string &names);

   /// Ends the file; returns its bytes.
   std::vector<unsigned char> content();

private:
   std::unique_ptr<TMemFile> fFile;
};

} // namespace m3l

#endif
