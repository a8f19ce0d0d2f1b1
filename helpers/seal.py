"""The checksums beside a compiled library, without which it is not loaded.

Loading a truncated library kills the process, a changed one may do anything. The checksums are
written last, when the library is complete; `sha256sum --check` can read them.
"""

import hashlib
import sys
from pathlib import Path

PLACES = slice(4, 6), slice(18, 20)  # in the header of ELF: size of words, byte order, processor


def seal(library, files):
    """Write the checksums of a library and of the files that belong to it, all in one folder."""
    lines = [f"{checksum(path)}  {path.name}\n" for path in (library, *files)]
    seal_of(library).write_text("".join(lines))


def seal_of(library):
    """Path of the file with the checksums."""
    return library.with_suffix(".sha256")


def sealed_files(library):
    """Paths of a library and of the files that belong to it, each with its checksum."""
    lines = (line.split("  ", 1) for line in seal_of(library).read_text().splitlines())
    return {library.parent / Path(name).name: expected for expected, name in lines}


def intact(library):
    """Whether a library and what belongs to it are as they were made, and for this processor."""
    try:
        files = sealed_files(library)
        as_made = library in files and all(checksum(path) == files[path] for path in files)
        return as_made and header(library) == header(sys.executable)
    except (OSError, ValueError):
        return False


def checksum(path):
    """SHA-256 of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def header(path):
    """What two programs for the same processor have in common."""
    with open(path, "rb") as file:
        begin = file.read(20)
    return [begin[place] for place in PLACES]


if __name__ == "__main__":
    made, *others = map(Path, sys.argv[1:])
    seal(made, others)
