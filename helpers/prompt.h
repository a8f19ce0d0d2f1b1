/// \file prompt.h
/// The helpers under their short names, for RDataFrame strings and the ROOT prompt. Included by
/// the interpreter only, never by compiled code. helpers.names() reads this list.
#ifndef M3L_PROMPT_H
#define M3L_PROMPT_H

#include "m3l.h"

using m3l::addedPt;
using m3l::alternatives;
using m3l::anomalyScore;
using m3l::balancedMet;
using m3l::campaignLuminosity;
using m3l::chargeSum;
using m3l::correctionFactor;
using m3l::deltaTransverseEnergy;
using m3l::distanceFromZ;
using m3l::element;
using m3l::flavourComp3L;
using m3l::foldOf;
using m3l::fourMomenta;
using m3l::getM;
using m3l::GoodRuns;
using m3l::h;
using m3l::hL;
using m3l::indicesByPt;
using m3l::isSound;
using m3l::leptonMass;
using m3l::leptonPairs;
using m3l::leptonSystem;
using m3l::leptonTransverseMasses;
using m3l::massFromEnergy;
using m3l::matchedTo;
using m3l::Objects;
using m3l::objects;
using m3l::ranked;
using m3l::rapidity;
using m3l::RMM;
using m3l::scaleFactorProduct;
using m3l::sfosClosestToZ;
using m3l::smearing;
using m3l::transverseEnergy;
using m3l::transverseMass;
using m3l::triggerMatched;
using m3l::trileptonMass;

// Sum, Take, Any, Argsort, ...
using namespace ROOT::VecOps;

#endif
