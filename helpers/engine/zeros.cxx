#include "engine/zeros.h"

#include "wide.h"

#include <algorithm>
#include <cstring>

namespace m3l
{

M3L_WIDE("avx2")
void findNonZeros(const void *numbers, std::size_t n, std::uint64_t *nonZeros)
{
   const char *next = static_cast<const char *>(numbers);
   for (std::size_t first = 0; first < n; first += 64) {
      std::uint8_t isSet[64] = {};
      const std::size_t here = std::min<std::size_t>(64, n - first);
      for (std::size_t i = 0; i < here; ++i, next += 4) {
         std::uint32_t number;
         std::memcpy(&number, next, sizeof number);
         isSet[i] = number != 0;
      }
      std::uint64_t bits = 0;
      for (unsigned byte = 0; byte < 8; ++byte) {
         std::uint64_t eight;
         std::memcpy(&eight, isSet + 8 * byte, sizeof eight);
         bits |= eight * 0x0102040810204080 >> 56 << 8 * byte; // the lowest bit of each
      }
      *nonZeros++ = bits;
   }
}

} // namespace m3l
