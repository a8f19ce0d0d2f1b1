"""Corrections of correctionlib made known to the C++ of this process."""

from functools import cache

import ROOT

import helpers
from analysis.corrections import mentioned, read_correction
from analysis.errors import InputError
from helpers.terminal import captured_stderr


def keep_corrections(*used):
    """Make the corrections known that are used, to this process and its later children.

    used: expressions, or plans of samples
    Files are read once. Raises InputError or DeclarationError for what cannot be read or is not as
    the expression says.
    """
    for path, name, key in mentioned(" ".join(map(repr, used))):
        if not hasattr(ROOT.m3l, "hasCorrection"):
            helpers.load()  # compiled chains do without
        if ROOT.m3l.hasCorrection(key):
            continue
        correction = read_correction(path, name)
        if correction.key != key:
            raise InputError(f"correction '{name}' of {path} has changed since it was declared")
        load_correctionlib(path)
        try:
            ROOT.m3l.readCorrection(correction.text, name, key)
        except Exception as error:  # C++ exceptions of whatever type
            reason = str(error).strip().splitlines()[-1]
            raise InputError(f"correction '{name}' of {path}: {reason}") from None


@cache
def load_correctionlib(path):
    """Make correctionlib callable from C++; path: what needs it. Raises InputError."""
    try:
        import correctionlib
    except ImportError:
        raise InputError(f"{path} needs correctionlib: pip install '.[stats]'") from None
    with captured_stderr() as output:
        correctionlib.register_pyroot_binding()
        good = ROOT.gInterpreter.Declare('#include "evaluator.h"')
    if not good:
        reason = (output.text.strip().splitlines() or ["no reason given"])[0]
        raise InputError(f"{path}: this correctionlib does not go with ROOT: {reason}")
