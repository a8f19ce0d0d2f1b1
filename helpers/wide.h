/// \file wide.h
/// Vector instructions of processors that have longer ones.
#ifndef M3L_WIDE_H
#define M3L_WIDE_H

#include <cstddef>

/// Before a function: GCC compiles it also for processors with these instructions, and which of
/// them is called is found when the library is loaded. All round alike, see OPTIONS in build.py.
#if defined(__GNUC__) && !defined(__clang__) && defined(__x86_64__) && defined(__GLIBC__)
#define M3L_WIDE(...) __attribute__((target_clones(__VA_ARGS__, "default")))
#else
#define M3L_WIDE(...)
#endif

#endif
