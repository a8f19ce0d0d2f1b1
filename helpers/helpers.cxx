// The physics as one unit: `root -l helpers/helpers.cxx+`.
// A dictionary needs the declarations only; with the bodies in it, loading would take longer.
#if !defined(__CLING__) || defined(M3L_INTERPRETED)
#include "correcting.cxx"
#include "detectors.cxx"
#include "leptons.cxx"
#include "network.cxx"
#include "rmm.cxx"
#include "score.cxx"
#include "variations.cxx"
#else
#include "prompt.h"
// ROOT calls the function with the name of the file that it is started with.
inline void helpers() {}
#endif
