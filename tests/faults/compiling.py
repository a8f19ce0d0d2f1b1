"""Compile a small library into the cache and load it: compiling SOURCE. Prints what it answers."""

import sys
from pathlib import Path

import ROOT

from helpers import build

if __name__ == "__main__":
    source = Path(sys.argv[1])
    try:
        path = build.library("tiny", source, [source])
        with build.loading(path):
            ROOT.gSystem.Load(str(path))
    except build.CompilerError as error:
        raise SystemExit(f"m3l: {' '.join(str(error).split())}") from None
    ROOT.gInterpreter.Declare("int tiny_answer();")
    print(ROOT.tiny_answer())
