"""Copies of files from web servers, which a kill does not spoil and the next try goes on with.

A copy gets its name when it is complete: of the length that the server says, of the checksum if the
server says one, and, for a ROOT file, of the length that stands in its head.
"""

import http.client
import os
import re
import shutil
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from analysis import checksums
from analysis.errors import InputError
from analysis.files import lock, make_folder, put_in_place, reason, reported, write_file
from analysis.headway import Progress

SECONDS = 60  # without a byte, after which a server is given up
TRIES = 4  # in a row that bring nothing
PAUSE = 1.0  # s before a further try, doubled each time
BLOCK = 1 << 20
MAGIC = b"root"  # what a ROOT file begins with


class LostError(Exception):
    """A server that hangs up or does not answer; another try may help."""


@dataclass(frozen=True)
class Answer:
    """What a server says of a file."""

    begin: int  # byte that the answer begins with
    size: int | None  # bytes of the whole file
    checksum: str | None


def partial(path):
    """Where a copy is while it is not complete."""
    return path.with_name(f".{path.name}.part")


def copy(url, path):
    """Copy a file, unless `path` is there; returns whether it was copied.

    url: http:// or https://; path: a pathlib.Path
    Raises InputError for the server's mistakes, OutputError for those of the disk.
    """
    if path.exists():
        problem = root_file_problem(path)
        if problem:
            raise InputError(f"{path} {problem}: remove it, and it will be copied again")
        return False
    with reported(path):
        make_folder(path.parent)
    with lock(path):
        if path.exists():  # another process has just done it
            return False
        fetch(url, path)
    return True


def fetch(url, path):
    """Copy a file, going on with what an earlier try has left."""
    part, fruitless, pause = partial(path), 0, PAUSE
    restarted = False
    while True:
        before = size_of(part)
        try:
            answer = receive(url, part)
            problem = wrong(part, answer)
            if not problem:
                break
            with reported(path):
                part.unlink()
            if restarted:  # what was there before it cannot be blamed
                raise InputError(f"{url}: the copy {problem}: try again later")
            restarted = True
            continue
        except LostError as lost:
            fruitless = 0 if size_of(part) > before else fruitless + 1
            if fruitless == TRIES:
                kept = f", {before} bytes are kept" * bool(before)
                raise InputError(f"{url}: {lost}{kept}: the same command goes on") from None
            if fruitless:
                time.sleep(pause)
                pause *= 2
    if answer.checksum:
        method, _, digits = answer.checksum.partition(":")
        write_file(path.with_name(f"{path.name}.{method}"), f"{digits}  {path.name}\n")
    with reported(path):
        put_in_place(part, path)


def receive(url, part):
    """Append what is missing in `part`; returns the Answer. Raises LostError, InputError."""
    have = size_of(part)
    request = urllib.request.Request(url, headers={"Want-Digest": "adler32"})
    if have:
        request.add_header("Range", f"bytes={have}-")
    try:
        with urllib.request.urlopen(request, timeout=SECONDS) as response:
            answer = understood(response, have)
            append(response, part, answer, Path(url).name)
    except urllib.error.HTTPError as error:
        if error.code == 416 and have:  # it has all of them, or the file has changed
            total = re.fullmatch(r"bytes \*/(\d+)", error.headers.get("Content-Range", ""))
            if total and int(total[1]) == have:
                return Answer(have, have, said(error.headers))
            with reported(part):
                part.unlink()
            raise LostError("the file is another one now") from None
        if error.code >= 500 or error.code == 429:
            raise LostError(f"the server says {error.code} {error.reason}") from None
        raise InputError(f"{url}: the server says {error.code} {error.reason}") from None
    except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError) as e:
        why = getattr(e, "reason", None) or e
        said_why = reason(why) if isinstance(why, OSError) else str(why)
        raise LostError(f"no answer ({said_why})") from None
    if answer.size is not None and size_of(part) < answer.size:
        raise LostError(f"hung up after {size_of(part)} of {answer.size} bytes")
    return answer


def understood(response, have):
    """The Answer of a response to a request for all bytes from `have`."""
    headers = response.headers
    if response.status == 206:
        found = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", headers.get("Content-Range", ""))
        if found and int(found[1]) == have:
            return Answer(have, int(found[2]), said(headers))
        raise LostError("it answers with other bytes than those asked for")
    length = headers.get("Content-Length", "")
    return Answer(0, int(length) if length.isdecimal() else None, said(headers))


def said(headers):
    """The checksum that a server says, None if it does not."""
    found = re.search(r"adler32=([0-9a-fA-F]{8})\b", headers.get("Digest", ""))
    return f"adler32:{found[1].lower()}" if found else None


def append(response, part, answer, name):
    """Write a response to the end of `part`, or to an empty one if it has the whole file."""
    done = answer.begin
    with (
        reported(part),
        open(part, "ab" if done else "wb") as file,
        Progress(name, answer.size, sys.stderr, "bytes", delay=1) as progress,
    ):
        left = (answer.size or 0) - done
        free = shutil.disk_usage(part.parent).free
        if left > free:
            raise InputError(f"{name} needs {left} bytes, {part.parent} has {free} left")
        while True:
            try:
                block = response.read(BLOCK)
            except (http.client.HTTPException, OSError) as error:
                raise LostError(f"hung up after {done} bytes ({error})") from None
            if not block:
                return
            file.write(block)
            done += len(block)
            if answer.size:
                progress(done)


def wrong(part, answer):
    """What is wrong with a copy that should be complete, "" if nothing is."""
    size = size_of(part)
    if answer.size is not None and size != answer.size:
        return f"has {size} bytes, not {answer.size}"
    if answer.checksum:
        method = checksums.method_of(answer.checksum)
        found = checksums.compute(part, method)
        if found != answer.checksum:
            return f"is damaged: {found}, the server says {answer.checksum}"
    return root_file_problem(part)


def root_file_problem(path):
    """Why a file is no whole ROOT file as far as its head tells, "" if it may be one."""
    with open(path, "rb") as file:
        head = file.read(20)
    if len(head) < 20 or not head.startswith(MAGIC):
        return "is no ROOT file"
    large = int.from_bytes(head[4:8], "big") >= 1_000_000  # then lengths have eight bytes
    end = int.from_bytes(head[12 : 20 if large else 16], "big")
    size = os.path.getsize(path)
    return "" if size >= end else f"has {size} bytes, in its head stands {end}"


def size_of(path):
    """Bytes of a file, 0 where there is none."""
    return path.stat().st_size if path.exists() else 0
