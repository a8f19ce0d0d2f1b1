/// \file running.h
/// What Python uses of the engine where all chains are compiled, quick to read by the interpreter.
#ifndef M3L_RUNNING_H
#define M3L_RUNNING_H

#include "engine/blosc.h"
#include "engine/histograms.h"
#include "engine/inspection.h"
#include "engine/sampleloop.h"

#endif
