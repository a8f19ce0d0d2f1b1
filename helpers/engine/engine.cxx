// The event-loop engine as one unit, a library of its own.
#include "engine/blosc.cxx"
#include "engine/cutflow.cxx"
#include "engine/eventloop.cxx"
#include "engine/inspection.cxx"
#include "engine/rowstore.cxx"
#include "engine/treesource.cxx"
