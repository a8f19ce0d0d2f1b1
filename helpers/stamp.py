"""Hash of the C++ files. CMake stores it in the libraries, so that a stale one is recognised."""

import hashlib
import re
import sys
from pathlib import Path

SOURCES = Path(__file__).resolve().parent


def source_files(pattern="**/*"):
    """Paths of the C++ files that match, without those that ACLiC makes and removes."""
    files = (path for path in SOURCES.glob(pattern) if path.suffix in (".h", ".cxx"))
    return sorted(path for path in files if "_ACLiC_" not in path.name)


def files_with_headers(pattern):
    """The same, and the headers of other folders that they include."""
    files, new = set(), source_files(pattern)
    while new:
        files.update(new)
        included = {
            SOURCES / name
            for path in new
            for name in re.findall(r'^#include "(.+)"', path.read_text(), re.M)
        }
        new = sorted(included - files)
    return sorted(files)


def fingerprint():
    """Hash of the C++ files."""
    key = hashlib.sha256()
    for path in source_files():
        key.update(str(path.relative_to(SOURCES)).encode() + path.read_bytes())
    return key.hexdigest()[:16]


def stamp(root_version):
    """What a library that fits these sources and this ROOT contains."""
    return f"m3l sources {fingerprint()} ROOT {root_version}"


if __name__ == "__main__":
    version, path = sys.argv[1:]
    Path(path).write_text(
        f'extern const char m3l_stamp[];\nconst char m3l_stamp[] = "{stamp(version)}";\n'
    )
