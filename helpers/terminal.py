"""Keeping what C++ prints off the terminal."""

import contextlib
import os
import sys
import tempfile


class Captured:
    """What was written to stderr while it was captured."""

    def __init__(self, terminal):
        self.terminal = terminal  # the real stderr, for what shall be seen at once
        self.text = ""  # complete after the `with` block


@contextlib.contextmanager
def captured_stderr():
    """Redirect stderr, also that of C++; yields a Captured."""
    sys.stderr.flush()
    saved = os.dup(2)
    with (
        tempfile.TemporaryFile() as file,
        open(saved, "w", buffering=1, closefd=False) as terminal,
    ):
        captured = Captured(terminal)
        os.dup2(file.fileno(), 2)
        try:
            yield captured
        finally:
            sys.stderr.flush()
            os.dup2(saved, 2)
            file.seek(0)
            captured.text = file.read().decode(errors="replace")
    os.close(saved)
