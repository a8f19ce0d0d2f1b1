#include "engine/blosc.h"

#include <RZip.h>

#include <cstdint>
#include <cstring>
#include <stdexcept>

namespace m3l
{

std::vector<unsigned char> bloscChunk(const float *values, std::size_t n)
{
   const auto *bytes = reinterpret_cast<const char *>(values);
   const std::size_t size = n * sizeof(float);
   if (size > kMAXZIPBUF)
      throw std::invalid_argument("bloscChunk: more than 16 MB");
   constexpr std::size_t header = 16;
   constexpr std::size_t blockStart = header + 2 * sizeof(std::uint32_t);
   constexpr std::size_t rootHeader = 9 + 8; // what ROOT writes before LZ4's bytes: and a checksum
   std::vector<unsigned char> chunk(blockStart + size);
   std::vector<char> compressed(size + rootHeader);
   int from = size, to = compressed.size(), done = 0;
   R__zipMultipleAlgorithm(1, &from, const_cast<char *>(bytes), &to, compressed.data(), &done,
                           ROOT::RCompressionSetting::EAlgorithm::kLZ4);
   const auto put = [&chunk](std::size_t at, std::uint32_t value) {
      std::memcpy(&chunk[at], &value, sizeof value);
   };
   constexpr unsigned char formatVersion = 2, lz4Version = 1;
   constexpr unsigned char stored = 0x02, notSplit = 0x10, lz4 = 0x20;
   chunk[0] = formatVersion;
   chunk[1] = lz4Version;
   chunk[2] = lz4 | notSplit;
   chunk[3] = sizeof(float);
   put(4, size);
   put(8, size); // of a block
   if (done > int(rootHeader)) {
      const std::size_t length = done - rootHeader;
      chunk.resize(blockStart + length);
      put(header, blockStart - sizeof(std::uint32_t)); // where the first block starts
      put(header + 4, length);
      std::memcpy(&chunk[blockStart], &compressed[rootHeader], length);
   } else {
      chunk[2] |= stored;
      chunk.resize(header + size);
      std::memcpy(&chunk[header], bytes, size);
   }
   put(12, chunk.size());
   return chunk;
}

} // namespace m3l
