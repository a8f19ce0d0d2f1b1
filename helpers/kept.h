/// \file kept.h
/// What stays until a process ends, found by a key.
#ifndef M3L_KEPT_H
#define M3L_KEPT_H

#include <atomic>
#include <mutex>
#include <utility>

namespace m3l
{

/// Values by key. A list that only grows, so that threads read it without waiting for each other.
template <typename Key, typename Value>
class Kept
{
public:
   /// The value of a key, null where there is none.
   const Value *find(const Key &key) const
   {
      const Entry *entry = fLast.load(std::memory_order_acquire);
      while (entry && entry->key != key)
         entry = entry->before;
      return entry ? &entry->value : nullptr;
   }

   /// Keeps a value for good; whether the key is new.
   bool add(const Key &key, Value value)
   {
      const std::lock_guard<std::mutex> lock(fGrowing);
      if (find(key))
         return false;
      fLast.store(new Entry{key, std::move(value), fLast.load()}, std::memory_order_release);
      return true;
   }

private:
   struct Entry {
      Key key;
      Value value;
      const Entry *before; ///< the one that was added before
   };

   std::atomic<const Entry *> fLast{nullptr};
   std::mutex fGrowing;
};

} // namespace m3l

#endif
