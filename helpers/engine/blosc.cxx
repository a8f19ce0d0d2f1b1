#include "engine/blosc.h"

#include <RZip.h>

#include <cstdint>
#include <cstring>
#include <stdexcept>

namespace m3l
{

std::vector<unsigned char> bloscChunk(const unsigned char *bytes, std::size_t size)
{
   if (size > kMAXZIPBUF)
      throw std::invalid_argument("bloscChunk: more than 16 MB");
   constexpr std::size_t header = 16;
   constexpr std::size_t blockStart = header + 2 * sizeof(std::uint32_t);
   constexpr std::size_t rootHeader = 9 + 8; // what ROOT writes before LZ4's bytes: and a checksum
   std::vector<unsigned char> chunk(blockStart + size);
   std::vector<char> compressed(size + rootHeader);
   int from = size, to = compressed.size(), done = 0;
   auto *source = reinterpret_cast<char *>(const_cast<unsigned char *>(bytes));
   R__zipMultipleAlgorithm(1, &from, source, &to, compressed.data(), &done,
                           ROOT::RCompressionSetting::EAlgorithm::kLZ4);
   const auto put = [&chunk](std::size_t at, std::uint32_t value) {
      std::memcpy(&chunk[at], &value, sizeof value);
   };
   constexpr unsigned char formatVersion = 2, lz4Version = 1;
   constexpr unsigned char stored = 0x02, notSplit = 0x10, lz4 = 0x20;
   chunk[0] = formatVersion;
   chunk[1] = lz4Version;
   chunk[2] = lz4 | notSplit;
   chunk[3] = 1; // bytes of a value: nothing is shuffled
   put(4, size);
   put(8, size); // of a block
   const std::size_t length = done > int(rootHeader) ? done - rootHeader : 0;
   if (length > 0 && length < size) { // a block of its full size would be taken as stored
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
