/// \file basket.h
/// The compressed blocks of a TTree.
#ifndef M3L_BASKET_H
#define M3L_BASKET_H

#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <type_traits>

class TBranch;
class TFile;
class TKey;

namespace m3l
{

template <std::size_t Size>
struct Bits;
template <>
struct Bits<1> {
   using Type = std::uint8_t;
   static Type swapped(Type bits) { return bits; }
};
template <>
struct Bits<2> {
   using Type = std::uint16_t;
   static Type swapped(Type bits) { return __builtin_bswap16(bits); }
};
template <>
struct Bits<4> {
   using Type = std::uint32_t;
   static Type swapped(Type bits) { return __builtin_bswap32(bits); }
};
template <>
struct Bits<8> {
   using Type = std::uint64_t;
   static Type swapped(Type bits) { return __builtin_bswap64(bits); }
};

/// A number as ROOT files hold it: big-endian, `bool` as a byte.
template <typename T>
T decoded(const char *bytes)
{
   typename Bits<sizeof(T)>::Type bits;
   std::memcpy(&bits, bytes, sizeof bits);
   bits = Bits<sizeof(T)>::swapped(bits);
   if constexpr (std::is_same_v<T, bool>)
      return bits != 0;
   T value;
   std::memcpy(&value, &bits, sizeof value);
   return value;
}

/// Numbers are decoded in chunks of so many bytes: a loop over as many as an event has objects
/// would end each time where the processor does not expect it. What is decoded or read beyond them
/// is not used, so that memory must be longer by a chunk.
constexpr std::size_t kChunk = 32;

template <typename T>
void decode(const char *bytes, std::size_t size, T *values)
{
   constexpr std::size_t step = kChunk / sizeof(T);
   for (std::size_t first = 0; first < size; first += step)
      for (std::size_t i = first; i < first + step; ++i)
         values[i] = decoded<T>(bytes + i * sizeof(T));
}

/// Memory that grows and is not initialised, longer than asked for by a chunk.
class RawMemory
{
public:
   /// The memory, of at least `size` bytes; what was in it is lost where it grows.
   char *get(std::size_t size);

private:
   std::unique_ptr<char[]> fBytes;
   std::size_t fSize = 0;
};

/// Decompresses the baskets that a thread reads.
class Decompressor
{
public:
   Decompressor();
   ~Decompressor();
   Decompressor(const Decompressor &) = delete;
   Decompressor &operator=(const Decompressor &) = delete;

   /// Memory for what is read from a file, of at least `size` bytes.
   char *room(std::size_t size) { return fRead.get(size); }

   /// Decompresses consecutive blocks; returns whether they are `size` bytes in the end.
   bool decompress(const char *begin, std::size_t left, RawMemory &memory, std::size_t size);

private:
   std::size_t decompressBlock(const char *begin, std::size_t bytes, char *to, std::size_t size);

   RawMemory fRead;
   void *fZstd; ///< its context, null where ROOT hides its functions
};

/// The bytes of some consecutive entries of a branch.
///
/// ROOT's TBasket believes the lengths in a file, and reads out of bounds where they are damaged.
/// Here all of them are compared with each other and with the tree.
class Basket
{
public:
   /// Reads and decompresses a basket.
   /// \param number   among those of the branch
   /// \param entries  that it holds
   /// \return whether it is as it should be
   bool read(TFile &file, TBranch &branch, int number, long long entries, Decompressor &by);

   const char *begin() const { return fBegin; } ///< of the values
   const char *end() const { return fEnd; }
   bool hasStarts() const { return fStarts != nullptr; }

   /// The bytes of an entry. Only for one that hasStarts.
   /// \return whether they lie between `begin` and `end`
   bool find(long long entry, const char *&first, const char *&last) const
   {
      first = start(entry);
      last = entry + 1 < fEntries ? start(entry + 1) : fEnd;
      return fBegin <= first && first <= last && last <= fEnd;
   }

private:
   const char *start(long long entry) const
   {
      return fBegin + (std::int64_t(decoded<std::int32_t>(fStarts + 4 * entry)) - fShift);
   }

   bool readFromFile(TFile &file, long long position, int bytes, Decompressor &by);
   bool takeFromTree(TBranch &branch, int number);
   bool divide(std::size_t values, std::size_t size);

   RawMemory fMemory;
   const char *fBegin = nullptr, *fEnd = nullptr;
   const char *fStarts = nullptr; ///< of the entries, as in the file, counted from the key's begin
   int fShift = 0;                ///< length of the key
   long long fEntries = 0;
};

/// How a basket is compressed: "zlib", "lzma", "lz4", "zstd" or, where it is too short or too
/// random, not at all: "none"; empty for one that cannot be read.
std::string compressionOf(TFile &file, TBranch &branch, int number);

} // namespace m3l

#endif
