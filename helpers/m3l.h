/// \file m3l.h
/// Everything an expression of the analysis can use.
#ifndef M3L_H
#define M3L_H

#include "engine/blosc.h"
#include "engine/inputs.h"
#include "engine/eventloop.h"
#include "kinematics.h"
#include "engine/lazy.h"
#include "leptons.h"
#include "network.h"
#include "objects.h"
#include "rmm.h"
#include "engine/values.h"
#include "weights.h"

#endif
