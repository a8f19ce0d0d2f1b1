#include "engine/blosc.h"

#include "engine/zeros.h"

#include <RZip.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <memory>
#include <stdexcept>

namespace m3l
{

// Not in an anonymous namespace, since the interpreter could not link what is made of them.

/// LZ4's format of numbers of 32 bits of which many are zero: runs of zeros repeat an earlier run,
/// the numbers between them are copied. For the rows of a table, LZ4's own search for whatever
/// repeats takes ten times as long and saves a twelfth of the space.
/// Format: https://github.com/lz4/lz4/blob/dev/doc/lz4_Block_format.md
class ZeroRuns
{
public:
   /// \param into  room for the bytes, an eighth and 16 more
   ZeroRuns(const unsigned char *bytes, std::size_t size, unsigned char *into)
      : fBytes(bytes),
        fNext(into)
   {
      const std::size_t n = size / kWord, end = size < kTail ? 0 : n - kTail / kWord;
      fNonZeros.reset(new std::uint64_t[n / 64 + 2]);
      findNonZeros(bytes, n, fNonZeros.get());
      // What ends all searches: both values.
      fNonZeros[n / 64] = (n % 64 ? fNonZeros[n / 64] : 0) | kBoth << n % 64;
      fNonZeros[n / 64 + 1] = kBoth;
      std::size_t done = 0; // numbers
      for (std::size_t from = 0; (from = find(from, kZero)) < end;) {
         const std::size_t to = std::min(find(from, kNonZero), end);
         if (to - from >= kShortest) {
            addRun(done, from, to);
            done = to;
         }
         from = to;
      }
      addLiterals(done * kWord, size, 0);
   }

   const unsigned char *end() const { return fNext; }

private:
   static constexpr std::size_t kWord = 4, kShortest = 2, kMinMatch = 4;
   static constexpr std::size_t kTail = 12; ///< so many bytes at the end are never repeated
   static constexpr std::size_t kFarthest = 65535;
   static constexpr std::uint64_t kBoth = 0x5555555555555555;
   static constexpr std::uint64_t kNonZero = 0, kZero = ~kNonZero; ///< what `find` looks for

   /// The first number from one on that is zero, or is not.
   std::size_t find(std::size_t from, std::uint64_t flipped) const
   {
      std::size_t word = from / 64;
      std::uint64_t left = (fNonZeros[word] ^ flipped) >> from % 64 << from % 64;
      while (left == 0)
         left = fNonZeros[++word] ^ flipped;
      return 64 * word + __builtin_ctzll(left);
   }

   void addRun(std::size_t done, std::size_t from, std::size_t to)
   {
      std::size_t begin = from * kWord, size = (to - from) * kWord;
      if (size > fLongest || begin - fLongestBegin > kFarthest) {
         fLongestBegin = begin;
         fLongest = size;
         begin += kWord; // the rest repeats the first zero
         size -= kWord;
      }
      addLiterals(done * kWord, begin, size - kMinMatch);
      const std::uint16_t distance = begin - fLongestBegin;
      *fNext++ = distance & 255;
      *fNext++ = distance >> 8;
      addLength(size - kMinMatch);
   }

   /// Begins a sequence: what is copied, and how long a match will follow.
   void addLiterals(std::size_t from, std::size_t to, std::size_t match)
   {
      const std::size_t size = to - from;
      *fNext++ = std::min<std::size_t>(size, 15) << 4 | std::min<std::size_t>(match, 15);
      addLength(size);
      std::memcpy(fNext, fBytes + from, size);
      fNext += size;
   }

   /// What of a length does not fit into four bits.
   void addLength(std::size_t length)
   {
      if (length < 15)
         return;
      for (length -= 15; length >= 255; length -= 255)
         *fNext++ = 255;
      *fNext++ = length;
   }

   const unsigned char *fBytes;
   unsigned char *fNext;
   std::unique_ptr<std::uint64_t[]> fNonZeros;
   std::size_t fLongestBegin = 0, fLongest = 0; ///< the run that is repeated, in bytes
};

std::vector<unsigned char> bloscChunk(const unsigned char *bytes, std::size_t size, bool hasZeros)
{
   if (size > kMAXZIPBUF)
      throw std::invalid_argument("bloscChunk: more than 16 MB");
   constexpr std::size_t rootHeader = 9 + 8; // what ROOT writes before LZ4's bytes: and a checksum
   const std::unique_ptr<unsigned char[]> room(new unsigned char[size + size / 8 + rootHeader]);
   const unsigned char *packed = room.get(), *end;
   if (hasZeros) {
      end = ZeroRuns(bytes, size, room.get()).end();
   } else {
      int from = size, to = size + rootHeader, done = 0;
      auto *source = reinterpret_cast<char *>(const_cast<unsigned char *>(bytes));
      R__zipMultipleAlgorithm(1, &from, source, &to, reinterpret_cast<char *>(room.get()), &done,
                              ROOT::RCompressionSetting::EAlgorithm::kLZ4);
      packed += rootHeader;
      end = std::max(packed, packed - rootHeader + done); // nothing where ROOT gave up
   }
   const std::size_t length = end - packed;
   constexpr std::size_t header = 16;
   constexpr std::size_t blockStart = header + 2 * sizeof(std::uint32_t);
   // A block of its full size would be taken as stored.
   const bool isPacked = length > 0 && length < size;
   std::vector<unsigned char> chunk;
   chunk.reserve(blockStart + (isPacked ? length : size));
   const auto put = [&chunk](std::uint32_t value) {
      for (unsigned byte = 0; byte < sizeof value; ++byte)
         chunk.push_back(value >> 8 * byte & 255);
   };
   constexpr unsigned char formatVersion = 2, lz4Version = 1;
   constexpr unsigned char stored = 0x02, notSplit = 0x10, lz4 = 0x20;
   chunk = {formatVersion, lz4Version, lz4 | notSplit, 1}; // bytes of a value: nothing is shuffled
   put(size);
   put(size); // of a block
   if (isPacked) {
      put(blockStart + length);
      put(blockStart - sizeof(std::uint32_t)); // where the first block starts
      put(length);
      chunk.insert(chunk.end(), packed, end);
   } else {
      chunk[2] |= stored;
      put(header + size);
      chunk.insert(chunk.end(), bytes, bytes + size);
   }
   return chunk;
}

} // namespace m3l
