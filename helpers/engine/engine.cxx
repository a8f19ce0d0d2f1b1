// The event-loop engine as one unit, a library of its own.
#include "engine/blosc.cxx"
#include "engine/inputs.cxx"
#include "engine/rows.cxx"
#include "engine/treesource.cxx"
