/// \file lazy.h
/// A value that is computed when it is first asked for.
#ifndef M3L_LAZY_H
#define M3L_LAZY_H

#include <new>
#include <type_traits>
#include <utility>

namespace m3l
{

/// Calls a function at most once.
/// ~~~{.cpp}
/// root [0] m3l::Lazy three([] { return 3; });
/// root [1] three()
/// (const int) 3
/// ~~~
template <typename F>
class Lazy
{
public:
   explicit Lazy(F function)
      : fFunction(std::move(function))
   {
   }
   Lazy(const Lazy &) = delete;
   Lazy &operator=(const Lazy &) = delete;
   ~Lazy()
   {
      if (fMade)
         fValue.~Value();
   }

   const auto &operator()() const
   {
      if (!fMade) {
         new (&fValue) Value(fFunction()); // made in its place, where std::optional would move it
         fMade = true;
      }
      return fValue;
   }

private:
   using Value = std::invoke_result_t<const F &>;

   F fFunction;
   mutable bool fMade = false;
   union {
      mutable Value fValue;
   };
};

} // namespace m3l

#endif
