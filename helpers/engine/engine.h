/// \file engine.h
/// How events are read, counted and collected: what Python uses of the event-loop engine.
#ifndef M3L_ENGINE_H
#define M3L_ENGINE_H

#include "engine/bookchain.h"
#include "engine/cutflow.h"
#include "engine/eventloop.h"
#include "engine/lazy.h"
#include "engine/rowstore.h"
#include "engine/running.h"

#endif
