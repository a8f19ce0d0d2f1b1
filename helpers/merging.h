/// \file merging.h
/// Rows that were written into tables go back into a store, which sorts them with others.
#ifndef M3L_MERGING_H
#define M3L_MERGING_H

#include "rows.h"

#include <cstddef>
#include <cstdint>

namespace m3l
{

/// Adds `n` rows to a store of one slot.
/// \param identities  n x 3
/// \param weights     n
/// \param features    n x rows.floats()
/// \param integers    n x rows.ints()
/// \throws std::runtime_error if rows cannot be written to the store's folder
void addRows(RowStore &rows, std::size_t n, const std::int64_t *identities, const double *weights,
             const float *features, const std::int32_t *integers);

} // namespace m3l

#endif
