// The event-loop engine as one unit, a library of its own.
#include "engine/basket.cxx"
#include "engine/blosc.cxx"
#include "engine/branchcontent.cxx"
#include "engine/calls.cxx"
#include "engine/cutflow.cxx"
#include "engine/eventloop.cxx"
#include "engine/histograms.cxx"
#include "engine/inspection.cxx"
#include "engine/rowstore.cxx"
#include "engine/sampleloop.cxx"
#include "engine/zeros.cxx"
// Where there is no compiler, there are no compiled chains.
#ifndef M3L_INTERPRETED
#include "engine/bookchain.cxx"
#ifndef M3L_READ_BY_ROOT
#include "engine/branchreader.cxx"
#include "engine/eventsource.cxx"
#include "engine/openfile.cxx"
#endif
#endif
