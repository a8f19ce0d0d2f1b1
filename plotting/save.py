"""Pictures as files: complete or not there, and the same bytes for the same picture."""

import io
import os
import tempfile
from contextlib import contextmanager
from pathlib import Path

from matplotlib import rc_context

from analysis.errors import OutputError
from plotting.style import DPI, STYLE

# Without the time and the version of matplotlib.
METADATA = {
    "png": {"Software": None},
    "pdf": {"Creator": None, "Producer": None, "CreationDate": None},
    "svg": {"Date": None, "Creator": None},
}
FORMATS = ("pdf", "png")


def save(figure, path, formats=FORMATS):
    """Write a figure as `path` plus the ending of each format; returns the files.

    Raises OutputError where a file cannot be written.
    """
    written = []
    for ending in formats:
        buffer = io.BytesIO()
        with rc_context(STYLE):
            more = {"pil_kwargs": {"compress_level": 3}} if ending == "png" else {}
            figure.savefig(buffer, format=ending, dpi=DPI, metadata=METADATA[ending], **more)
        target = Path(f"{path}.{ending}")
        write(target, buffer.getvalue())
        written.append(target)
    return written


def write(path, content):
    """Write text or bytes to a file that appears under its name only when complete."""
    if isinstance(content, str):
        content = content.encode()
    with output_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(prefix=".", suffix=path.suffix, dir=path.parent)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
            os.chmod(temporary, 0o644)
            os.replace(temporary, path)
        except BaseException:
            os.unlink(temporary)
            raise


@contextmanager
def output_errors(path):
    """Turn a failure to write `path` into OutputError."""
    try:
        yield
    except OSError as error:
        raise OutputError(
            f"{path} cannot be written ({error.strerror}): free space or choose another folder"
        ) from None
