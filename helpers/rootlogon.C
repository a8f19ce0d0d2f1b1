// The helpers at the ROOT prompt:
//    $ root -l helpers/rootlogon.C
//    root [1] flavourComp3L({1, 2, 2})
//    (int) 2
//    root [2] explain("WZ:12345")
//    root [3] explain("WZ@17", "--samples my.toml -r SR2L")
// In this folder `root -l` is enough: it runs this file, and forgets half of it when told to again.

/// Prints what happened to an event, as `python run_rdf.py --event` with these options.
void explain(const char *event, const char *options = "")
{
   const TString program = TString(gSystem->DirName(__FILE__)) + "/../run_rdf.py";
   gSystem->Exec("python3 -W ignore '" + program + "' " + options + " --event '" + event + "'");
}

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
      gInterpreter->Declare("#define M3L_INTERPRETED\n#include \"m3l.cxx\"");
   }
   gInterpreter->Declare("#include \"prompt.h\"");
}
