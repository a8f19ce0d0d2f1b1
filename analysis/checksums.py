"""Checksums of input files: what others say of a file, and what it has.

A checksum is written METHOD:DIGITS, such as "sha256:9f86..." or "adler32:04a10c2b". ROOT files that
are compressed with zstd, or not at all, carry none of their own: a flipped bit is another number.
"""

import hashlib
import re
import shutil
import subprocess
import zlib
from functools import lru_cache
from pathlib import Path
from urllib.parse import urlsplit

from analysis.errors import InputError

METHODS = {"adler32": 8, "md5": 32, "sha256": 64}  # and their numbers of digits
OWN = "sha256"  # the method where none is known
SECONDS = 60  # to wait for a server's answer
BLOCK = 1 << 20


def method_of(checksum):
    """The method of a checksum that a record holds, None for one that is not known here."""
    method = (checksum or "").partition(":")[0]
    return method if method in METHODS else None


def compute(path, method=OWN):
    """The checksum of a local file, which is read whole. Raises OSError."""
    with open(path, "rb") as file:
        if method != "adler32":
            return f"{method}:{hashlib.file_digest(file, method).hexdigest()}"
        value = 1
        while block := file.read(BLOCK):
            value = zlib.adler32(block, value)
        return f"adler32:{value:08x}"


def known(path):
    """What is said of a file, None if nothing: by a file beside it, or by its XRootD server.

    Beside `x.root` can be `x.root.sha256`, or `SHA256SUMS` with a line for it, as `sha256sum`
    writes them; the same with md5 and adler32. Raises InputError if that cannot be understood.
    """
    if "://" in str(path):
        return asked(str(path)) if str(path).startswith(("root://", "xroot://")) else None
    path = Path(path)
    for method, digits in METHODS.items():
        beside, listing = f"{path.name}.{method}", f"{method.upper()}SUMS"
        if (own := path.with_name(beside)).is_file():
            found = sums(own, digits)
            if not (value := found.get(path.name) or found.get("")):
                raise InputError(f"{own} holds no {method} of {path.name}: mend or remove it")
            return f"{method}:{value}"
        if (shared := path.with_name(listing)).is_file():
            if value := sums(shared, digits).get(path.name):
                return f"{method}:{value}"
    return None


def sums(path, digits):
    """{name of a file: its checksum} in a file of checksums; "" for one that stands alone.

    Raises InputError.
    """
    try:
        return parsed(path, digits, path.stat().st_mtime_ns)
    except (OSError, UnicodeDecodeError):
        raise InputError(f"{path} cannot be read: mend or remove it") from None


@lru_cache
def parsed(path, digits, modified):
    """The same; read once for all files of a folder. modified: time of modification"""
    found = {}
    for words in (line.split(maxsplit=1) for line in path.read_text().splitlines()):
        if words and re.fullmatch(rf"[0-9a-fA-F]{{{digits}}}", words[0]):
            found.setdefault(named(words[1]) if words[1:] else "", words[0].lower())
    return found


def named(words):
    """The name of a file as `sha256sum` writes it: after a star if it was read in binary mode."""
    return Path(words.strip().removeprefix("*")).name


def asked(url):
    """What an XRootD server says of a file, None if it does not."""
    if not shutil.which("xrdfs"):
        return None
    parts = urlsplit(url)
    words = ["xrdfs", parts.netloc, "query", "checksum", "/" + parts.path.lstrip("/")]
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=SECONDS)
    except (OSError, subprocess.TimeoutExpired):
        return None
    method, _, digits = done.stdout.strip().partition(" ")
    good = re.fullmatch(r"[0-9a-f]+", digits) and len(digits) == METHODS.get(method)
    return f"{method}:{digits}" if done.returncode == 0 and good else None


def shortened(checksum):
    """A checksum for people, long digits cut."""
    method, _, digits = checksum.partition(":")
    return f"{method} {digits[:12]}{'...' * (len(digits) > 12)}"
