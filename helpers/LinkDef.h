#ifdef __CLING__
#pragma link C++ nestedclasses;
#pragma link C++ namespace m3l;
#pragma link C++ struct m3l::Particle + ;
#pragma link C++ struct m3l::SfosPair + ;
#pragma link C++ struct m3l::MissingMomentum + ;
#pragma link C++ class m3l::RMM + ;
#endif
