"""Python's own errors in a file of declarations, told as the line where they are."""

import sys
import traceback
from pathlib import Path

HERE = Path(__file__).parent
DECLARATIONS = (
    "selection",
    "features",
    "schemas",
    "processes",
    "systematics",
    "triggers",
    "rivals",
)
FILES = {str(HERE / f"{name}.py"): f"analysis/{name}.py" for name in DECLARATIONS}


def mistake(error):
    """What is wrong where in a file of declarations whose import raised an error, else None."""
    if isinstance(error, SyntaxError):
        places = [(error.filename, error.lineno)]
        what = error.msg
    else:
        places = [
            (frame.f_code.co_filename, line)
            for frame, line in traceback.walk_tb(error.__traceback__)
            if frame.f_code.co_name == "<module>"
        ]
        what = str(error)
    found = [(FILES[file], line) for file, line in places if file in FILES]
    if not found:
        return None
    file, line = found[-1]
    return f"{file}, line {line}: {type(error).__name__}: {what}"


def tell_mistakes():
    """Let Python print that line instead of a traceback; other errors as before."""
    before = sys.excepthook

    def tell(kind, error, trace):
        line = mistake(error)
        if line is None:
            before(kind, error, trace)
        else:
            print(f"m3l: {line}", file=sys.stderr)

    sys.excepthook = tell
