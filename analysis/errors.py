"""What the program says when its input is wrong.

M3LError
├── DeclarationError  a samples file, a selection or a feature is wrong
├── InputError        a file, tree, branch or event is
├── OutputError       results cannot be written
├── BatchError        a batch system is missing or refuses
└── ClusterError      a cluster cannot be reached, or its workers fail
"""

import difflib


class M3LError(Exception):
    """One or several problems, a line each; each says what, where and what to do."""

    def __init__(self, *problems):
        super().__init__("\n".join(problems))
        self.problems = problems


class DeclarationError(M3LError):
    """A samples file, a selection or a feature is wrong."""


class InputError(M3LError):
    """A file, a tree, a branch or an event is wrong."""


class ClusterError(M3LError):
    """A cluster cannot be reached, or its workers fail."""


class OutputError(M3LError):
    """Results cannot be written."""


class BatchError(M3LError):
    """A batch system is missing or refuses."""


def near_miss(name, known):
    """Return ", did you mean 'x'?" for the known name closest to `name`, "" where none is close."""
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    return f", did you mean '{close[0]}'?" if close else ""
