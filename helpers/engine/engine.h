/// \file engine.h
/// How events are read, counted and collected: what Python uses of the event-loop engine.
#ifndef M3L_ENGINE_H
#define M3L_ENGINE_H

#include "engine/blosc.h"
#include "engine/bookchain.h"
#include "engine/cutflow.h"
#include "engine/eventloop.h"
#include "engine/histograms.h"
#include "engine/inspection.h"
#include "engine/lazy.h"
#include "engine/rowstore.h"
#include "engine/sampleloop.h"

#endif
