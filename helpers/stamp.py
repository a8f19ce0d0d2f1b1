"""Hash of the C++ files. CMake stores it in the library, so that a stale one is recognised."""

import hashlib
import sys
from pathlib import Path

SOURCES = Path(__file__).resolve().parent


def source_files():
    """Paths of all C++ files that the library is made of."""
    return sorted([*SOURCES.rglob("*.h"), *SOURCES.rglob("*.cxx")])


def fingerprint():
    """Hash of the C++ files."""
    key = hashlib.sha256()
    for path in source_files():
        key.update(path.name.encode() + path.read_bytes())
    return key.hexdigest()[:16]


def stamp(root_version):
    """What a library that fits these sources and this ROOT contains."""
    return f"m3l sources {fingerprint()} ROOT {root_version}"


if __name__ == "__main__":
    version, path = sys.argv[1:]
    Path(path).write_text(
        f'extern const char m3l_stamp[];\nconst char m3l_stamp[] = "{stamp(version)}";\n'
    )
