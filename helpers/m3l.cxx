// The library that the program loads. It is helpers.cxx, which ROOT does not take for loaded then,
// so that `.L helpers/helpers.cxx+` works beside it.
#if !defined(__CLING__) || defined(M3L_INTERPRETED)
#include "helpers.cxx"
#else
#include "prompt.h"
#endif
