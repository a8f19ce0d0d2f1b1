#include "merging.h"

namespace m3l
{

void addRows(RowStore &rows, std::size_t n, const std::int64_t *identities, const double *weights,
             const float *features, const std::int32_t *integers)
{
   for (std::size_t i = 0; i < n; ++i) {
      RowStore::Writer row = rows.add(0);
      for (int j = 0; j < 3; ++j)
         row.put(identities[3 * i + j]);
      row.put(weights[i]);
      row.put(features + i * rows.floats(), rows.floats());
      for (unsigned j = 0; j < rows.ints(); ++j)
         row.put(integers[i * rows.ints() + j]);
   }
}

} // namespace m3l
