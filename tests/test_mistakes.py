"""Python's own errors in a file of declarations."""

import subprocess
import sys
from pathlib import Path

import pytest
from conftest import REPOSITORY

from analysis.mistakes import FILES


def stderr_of(code, path):
    """What Python says where a module at `path` with this code is imported; it must fail."""
    words = f"import analysis; exec(compile({code!r}, {str(path)!r}, 'exec'))"
    ran = subprocess.run(
        [sys.executable, "-c", words], cwd=REPOSITORY, capture_output=True, text=True
    )
    assert ran.returncode == 1
    return ran.stderr


def test_files_are_there():
    assert all(Path(path).is_file() for path in FILES)


@pytest.mark.parametrize(
    "code, line",
    [
        ("cuts = (1,\nOBJECTS = )", "line 2: SyntaxError: "),
        ("a = 1\nb = Region()", "line 2: NameError: name 'Region' is not defined"),
        ("f = len\nf(1)", "line 2: TypeError: object of type 'int' has no len()"),
        ("import json\n\njson.loads('')", "line 3: JSONDecodeError: Expecting value"),
    ],
)
def test_errors_of_declarations_are_one_line(code, line):
    (said,) = stderr_of(code, REPOSITORY / "analysis/selection.py").splitlines()
    assert said.startswith(f"m3l: analysis/selection.py, {line}")


def test_other_errors_have_their_traceback():
    said = stderr_of("b = Region()", REPOSITORY / "analysis/plan.py")
    assert said.startswith("Traceback") and "Region" in said
    called = "from analysis.selection import OBJECTS\nOBJECTS[999]"
    assert stderr_of(called, REPOSITORY / "mine.py").startswith("Traceback")
