/// \file histograms.h
/// Filling histograms with the rows of a store.
#ifndef M3L_HISTOGRAMS_H
#define M3L_HISTOGRAMS_H

#include "engine/rowstore.h"

#include <cstddef>
#include <vector>

class TH1D;

namespace m3l
{

/// RowStore::startReading with rows that also fill histograms.
/// \param histograms  one for each feature, then one for each integer, with Sumw2; or none
void startFilling(RowStore &rows, std::size_t n, const std::vector<TH1D *> &histograms);

} // namespace m3l

#endif
