// The engine where its own reading does not work, see helpers/reading.py.
#define M3L_READ_BY_ROOT
#include "engine/engine.cxx"
