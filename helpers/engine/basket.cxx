#include "engine/basket.h"

#include <RZip.h>
#include <TBasket.h>
#include <TBranch.h>
#include <TFile.h>
#include <TKey.h>

#include <dlfcn.h>

#include <algorithm>
#include <string>
#include <utility>

namespace m3l
{

namespace
{

/// Reads one value after the other, and only zeros beyond the end.
class Bytes
{
public:
   Bytes(const char *begin, std::size_t size)
      : fNext(begin),
        fLeft(size)
   {
   }

   template <typename T>
   T get()
   {
      const char *bytes = skip(sizeof(T));
      return bytes ? decoded<T>(bytes) : T{};
   }

   /// The next bytes, which are passed over; null where there are not so many.
   const char *skip(std::size_t size)
   {
      if (size > fLeft) {
         fGood = false;
         fLeft = 0;
         return nullptr;
      }
      fLeft -= size;
      return std::exchange(fNext, fNext + size);
   }

   void skipText()
   {
      constexpr std::uint8_t isLong = 255;
      const auto size = get<std::uint8_t>();
      skip(size == isLong ? get<std::uint32_t>() : size);
   }

   std::size_t left() const { return fLeft; }
   bool good() const { return fGood; }

private:
   const char *fNext;
   std::size_t fLeft;
   bool fGood = true;
};

/// The description at the begin of a basket.
struct Key {
   int bytes;  ///< of the basket in the file
   int size;   ///< of its data, decompressed
   int length; ///< of the description
   int entries;
   int last; ///< end of the values, counted from the begin of the description
   long long position;
};

/// Returns whether it is as it should be.
bool readKey(const char *begin, std::size_t size, Key &key)
{
   Bytes bytes(begin, size);
   key.bytes = bytes.get<std::int32_t>();
   const bool isBig = bytes.get<std::int16_t>() > 1000; // positions of 64 bits
   key.size = bytes.get<std::int32_t>();
   bytes.skip(4); // date
   key.length = bytes.get<std::int16_t>();
   bytes.skip(2); // cycle
   key.position = isBig ? bytes.get<std::int64_t>() : bytes.get<std::int32_t>();
   bytes.skip(isBig ? 8 : 4); // of the folder
   for (int text = 0; text < 3; ++text)
      bytes.skipText();                                    // class, name and title
   bytes.skip(2 + 4);                                      // version, size of a buffer
   const bool hasFeatures = bytes.get<std::int32_t>() < 0; // that contentOf has excluded
   key.entries = bytes.get<std::int32_t>();
   key.last = bytes.get<std::int32_t>();
   const auto flag = bytes.get<std::uint8_t>(); // whether data follow within the description
   return bytes.good() && !hasFeatures && flag == 0 && key.size >= 0 &&
          key.length == int(size - bytes.left()) && key.last >= key.length &&
          key.last - key.length <= key.size;
}

/// How a compressed block begins, and what that means. Not "CS", the method of the last century,
/// whose code trusts what it reads.
constexpr std::pair<const char *, const char *> kMethods[] = {
   {"ZL", "zlib"}, {"XZ", "lzma"}, {"L4", "lz4"}, {"ZS", "zstd"}};

/// Empty for an unknown one.
std::string methodName(const char *begin)
{
   for (const auto &[method, name] : kMethods)
      if (std::memcmp(begin, method, 2) == 0)
         return name;
   return "";
}

/// The description of a compressed block.
struct Block {
   int bytes; ///< in the file, with the description
   int size;  ///< decompressed
};

bool readBlock(const char *begin, std::size_t left, Block &block)
{
   if (left < std::size_t(ROOT::Internal::kZipHeaderSize))
      return false;
   return !methodName(begin).empty() &&
          R__unzip_header(&block.bytes, reinterpret_cast<const unsigned char *>(begin),
                          &block.size) == 0 &&
          block.bytes > ROOT::Internal::kZipHeaderSize && std::size_t(block.bytes) <= left &&
          block.size > 0;
}

/// A function of zstd, which ROOT brings; null where ROOT hides it.
template <typename Function>
Function *zstd(const char *name)
{
   return reinterpret_cast<Function *>(dlsym(RTLD_DEFAULT, name));
}

/// Where a basket lies in the file; returns false for one that is elsewhere.
bool place(TFile &file, TBranch &branch, int number, long long &position, int &bytes)
{
   position = branch.GetBasketSeek(number);
   bytes = branch.GetBasketBytes()[number];
   return position > 0 && bytes > 0 && position <= file.GetSize() - bytes;
}

} // namespace

char *RawMemory::get(std::size_t size)
{
   if (size > fSize) {
      fBytes.reset(new char[size + kChunk]);
      fSize = size;
   }
   return fBytes.get();
}

Decompressor::Decompressor()
{
   const auto create = zstd<void *()>("ZSTD_createDCtx");
   fZstd = create ? create() : nullptr;
}

Decompressor::~Decompressor()
{
   if (fZstd)
      zstd<std::size_t(void *)>("ZSTD_freeDCtx")(fZstd);
}

bool Decompressor::decompress(const char *begin, std::size_t left, RawMemory &memory,
                              std::size_t size)
{
   Block block;
   std::size_t total = 0;
   for (std::size_t done = 0; done < left; done += block.bytes, total += block.size)
      if (!readBlock(begin + done, left - done, block))
         return false;
   if (total != size)
      return false;
   char *to = memory.get(size);
   for (; left; begin += block.bytes, left -= block.bytes, to += block.size) {
      readBlock(begin, left, block);
      if (decompressBlock(begin, block.bytes, to, block.size) != std::size_t(block.size))
         return false;
   }
   return true;
}

/// Returns the size of what was made.
std::size_t Decompressor::decompressBlock(const char *begin, std::size_t bytes, char *to,
                                          std::size_t size)
{
   // ROOT makes a context for each block, for which zstd asks the processor what it can: in a
   // virtual machine that takes a tenth of the time of decompressing.
   using Function = std::size_t(void *, void *, std::size_t, const void *, std::size_t);
   static Function *const byZstd = zstd<Function>("ZSTD_decompressDCtx");
   if (fZstd && byZstd && methodName(begin) == "zstd") {
      constexpr std::size_t header = ROOT::Internal::kZipHeaderSize;
      return byZstd(fZstd, to, size, begin + header, bytes - header);
   }
   int from = bytes, room = size, made = 0;
   R__unzip(&from, reinterpret_cast<unsigned char *>(const_cast<char *>(begin)), &room,
            reinterpret_cast<unsigned char *>(to), &made);
   return made;
}

bool Basket::read(TFile &file, TBranch &branch, int number, long long entries, Decompressor &by)
{
   fEntries = entries;
   fStarts = nullptr;
   // A tree that was not closed properly keeps its last baskets itself.
   if (branch.GetBasketSeek(number) == 0)
      return takeFromTree(branch, number);
   long long position;
   int bytes;
   return place(file, branch, number, position, bytes) && readFromFile(file, position, bytes, by);
}

bool Basket::readFromFile(TFile &file, long long position, int bytes, Decompressor &by)
{
   char *read = by.room(bytes);
   Key key;
   // Goes through the cache of the tree.
   if (file.ReadBuffer(read, position, bytes) || !readKey(read, bytes, key) || key.bytes != bytes ||
       key.position != position || key.entries != fEntries)
      return false;
   const char *data = read + key.length;
   const int left = bytes - key.length;
   if (key.size > left) {
      if (!by.decompress(data, left, fMemory, key.size))
         return false;
   } else if (key.size == left) {
      std::memcpy(fMemory.get(left), data, left);
   } else {
      return false;
   }
   fShift = key.length;
   return divide(key.last - key.length, key.size);
}

/// Finds values and starts in the decompressed data.
/// \param values  bytes of the values
/// \param size    of all
bool Basket::divide(std::size_t values, std::size_t size)
{
   fBegin = fMemory.get(0);
   fEnd = fBegin + values;
   if (values == size)
      return true;
   // The number of starts, which is one more than entries, and the starts.
   Bytes bytes(fEnd, size - values);
   if (bytes.get<std::int32_t>() != fEntries + 1 || bytes.left() != 4 * std::size_t(fEntries + 1))
      return false;
   fStarts = bytes.skip(0);
   return true;
}

bool Basket::takeFromTree(TBranch &branch, int number)
{
   TBasket *basket = branch.GetBasket(number);
   if (!basket || basket->GetNevBuf() != fEntries || !basket->GetBufferRef())
      return false;
   const int length = basket->GetKeylen(), last = basket->GetLast();
   const int *starts = basket->GetEntryOffset();
   if (length < 0 || last < length || last > basket->GetBufferRef()->BufferSize() ||
       (starts && basket->GetNevBufSize() < fEntries))
      return false;
   // As it would be in the file.
   const std::size_t values = last - length;
   const std::size_t size = values + (starts ? 4 * (fEntries + 2) : 0);
   char *copy = fMemory.get(size);
   std::memcpy(copy, basket->GetBufferRef()->Buffer() + length, values);
   if (starts) {
      char *next = copy + values;
      const auto put = [&next](std::int32_t number) {
         const auto bits = Bits<4>::swapped(number);
         std::memcpy(std::exchange(next, next + 4), &bits, 4);
      };
      put(fEntries + 1);
      for (long long entry = 0; entry < fEntries; ++entry)
         put(starts[entry]);
      put(last);
   }
   fShift = length;
   return divide(values, size);
}

std::string compressionOf(TFile &file, TBranch &branch, int number)
{
   long long position;
   int bytes;
   if (!place(file, branch, number, position, bytes))
      return "";
   constexpr int longest = 512; // of a description
   char read[longest];
   Key key;
   const int size = std::min(bytes, longest);
   if (file.ReadBuffer(read, position, size) || !readKey(read, size, key))
      return "";
   if (key.size == bytes - key.length)
      return "none";
   return size - key.length < 2 ? "" : methodName(read + key.length);
}

std::string compressionOf(TFile &file, const TKey &key)
{
   if (key.GetObjlen() == key.GetNbytes() - key.GetKeylen())
      return "none";
   char read[2];
   return file.ReadBuffer(read, key.GetSeekKey() + key.GetKeylen(), 2) ? "" : methodName(read);
}

} // namespace m3l
