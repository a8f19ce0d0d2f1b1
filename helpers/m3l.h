/// \file m3l.h
/// The physics that an expression of the analysis can use.
#ifndef M3L_H
#define M3L_H

#include "arrays.h"
#include "correcting.h"
#include "detectors.h"
#include "goodruns.h"
#include "kinematics.h"
#include "leptons.h"
#include "network.h"
#include "objects.h"
#include "rmm.h"
#include "score.h"
#include "variations.h"
#include "weights.h"

#endif
