// All bodies as one unit: what ACLiC compiles, and what is interpreted without a compiler.
#include "dataset.cxx"
#include "leptons.cxx"
#include "rmm.cxx"
#include "rows.cxx"
