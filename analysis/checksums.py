"""Checksums of input files: what others say of a file, and what it has.

A checksum is written METHOD:DIGITS, such as "sha256:9f86..." or "adler32:04a10c2b". ROOT files that
are compressed with zstd, or not at all, carry none of their own: a flipped bit is another number.
"""

import hashlib
import re
import shutil
import subprocess
import zlib
from pathlib import Path
from urllib.parse import urlsplit

from analysis.errors import InputError

METHODS = {"adler32": 8, "md5": 32, "sha256": 64}  # and their numbers of digits
OWN = "sha256"  # the method where none is known
SECONDS = 60  # to wait for a server's answer
BLOCK = 1 << 20


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
        for beside, whole in (
            (path.with_name(f"{path.name}.{method}"), True),
            (path.with_name(f"{method.upper()}SUMS"), False),
        ):
            if not beside.is_file():
                continue
            try:
                lines = beside.read_text().splitlines()
            except (OSError, UnicodeDecodeError):
                raise InputError(f"{beside} cannot be read: mend or remove it") from None
            for words in (line.split(maxsplit=1) for line in lines):
                of_this = whole if len(words) == 1 else len(words) and named(words[1]) == path.name
                if of_this and re.fullmatch(rf"[0-9a-fA-F]{{{digits}}}", words[0]):
                    return f"{method}:{words[0].lower()}"
            if whole:
                raise InputError(f"{beside} holds no {method} of {path.name}: mend or remove it")
    return None


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
