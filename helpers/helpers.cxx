// All bodies as one unit: what is compiled, and what is interpreted without a compiler.
// A dictionary needs the declarations only; with the bodies in it, loading would take a second.
#if !defined(__CLING__) || defined(M3L_INTERPRETED)
#include "engine/blosc.cxx"
#include "engine/eventloop.cxx"
#include "engine/inputs.cxx"
#include "leptons.cxx"
#include "network.cxx"
#include "rmm.cxx"
#include "engine/rowstore.cxx"
#include "engine/treesource.cxx"
#include "engine/values.cxx"
#else
#include "m3l.h"
#endif
