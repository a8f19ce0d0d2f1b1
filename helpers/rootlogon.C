// The helpers at the ROOT prompt:
//    $ root -l helpers/rootlogon.C
//    root [1] flavourComp3L({1, 2, 2})
//    (int) 2
void rootlogon()
{
   const TString folder = gSystem->DirName(__FILE__);
   const TString sources = gSystem->IsAbsoluteFileName(folder)
                              ? folder
                              : TString(gSystem->WorkingDirectory()) + "/" + folder;
   gInterpreter->AddIncludePath(sources);
   // The Python side finds or builds the library, so that both share one.
   const TString library = gSystem->GetFromPipe(
      "cd '" + sources + "/..' && python3 -W ignore -m helpers 2>/dev/null || true");
   if (library.IsNull() || gSystem->Load(library) < 0) {
      Warning("rootlogon", "no compiled helpers, interpreting them");
      // ROOT has run this file already if it was started in this folder.
      gInterpreter->Declare("#ifndef M3L_INTERPRETED\n#define M3L_INTERPRETED\n"
                            "#include \"helpers.cxx\"\n#endif");
   }
   gInterpreter->Declare("#include \"prompt.h\"");
}
