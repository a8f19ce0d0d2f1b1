#ifdef __CLING__
#pragma link C++ nestedclasses;
#pragma link C++ struct m3l::CutflowCount + ;
#endif
