/// \file histograms.h
/// Filling histograms with the rows of a store, and putting those of samples together.
#ifndef M3L_HISTOGRAMS_H
#define M3L_HISTOGRAMS_H

#include "engine/rowstore.h"

#include <cstddef>
#include <string>
#include <vector>

class TDirectory;
class TH1D;

namespace m3l
{

/// RowStore::startReading with rows that also fill histograms.
/// \param histograms  for each weight of a row: one for each feature, then one for each integer,
/// with
///                    Sumw2, or a null pointer for those that have none
void startFilling(RowStore &rows, std::size_t n, const std::vector<TH1D *> &histograms);

/// Copies the histograms of a sample, in the order in which they were written, with their folders.
/// \param path    of the file that has them, perhaps among those of others
/// \param names  of those that are wanted, in each folder; empty: all
/// \return whether all were read and written
bool copyHistograms(const std::string &path, const std::vector<std::string> &names, TDirectory &to);

} // namespace m3l

#endif
