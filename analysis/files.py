"""Files and folders that appear under their final name complete and on disk, or not at all.

Every `path` is a pathlib.Path.
"""

import errno
import fcntl
import hashlib
import json
import os
import shutil
import socket
from contextlib import contextmanager

from analysis.errors import InputError, OutputError

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def aside(path):
    """A hidden name beside `path`, of the same ending, that no other process takes."""
    return path.with_name(f".{socket.gethostname()}-{os.getpid()}-{path.name}")


def sync(path):
    """Wait until a file, or a folder with all it holds, is on disk."""
    for each in (*path.rglob("*"), path) if path.is_dir() else (path,):
        sync_one(each)


def sync_one(path):
    """Wait until the content of a file, or the names in a folder, are on disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def put_in_place(new, path):
    """Give the complete file or folder `new` the name `path`, in the same file system.

    Its content is on disk before the name appears, so that also a crash of the machine leaves what
    was there before or what is new, and nothing between. A folder must not exist at `path`.
    """
    sync(new)
    os.replace(new, path)
    sync_one(path.parent)


@contextmanager
def atomic_file(path):
    """Yield a name to write to; on success the file gets the name `path`, else it is removed.

    Raises OutputError for any OSError.
    """
    new = aside(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield new
        put_in_place(new, path)
    except OSError as error:
        advice = "; free disk space and run again" if error.errno in FULL else ""
        reason = error.strerror or error
        raise OutputError(f"{path} cannot be written: {reason}{advice}") from error
    finally:
        if new.exists():
            new.unlink()


@contextmanager
def atomic_folder(path):
    """Yield an empty folder to fill; on success it takes the place of `path`, else it is removed.

    Only one process at a time may do so, see `lock`.
    """
    restore_folder(path)
    new = path.with_name(f".{path.name}.new")
    shutil.rmtree(new, ignore_errors=True)  # of a process that was killed
    new.mkdir(parents=True)
    try:
        yield new
        replace_folder(new, path)
    finally:
        shutil.rmtree(new, ignore_errors=True)


def replace_folder(new, path):
    """Put the complete folder `new` in the place of `path`, which may or may not exist.

    Two renames, because a folder that is not empty cannot be replaced in one: a kill between them
    leaves the old folder as `.NAME.old`, from where `restore_folder` brings it back.
    """
    old = before(path)
    sync(new)  # before the old folder goes, so that the time between the renames is short
    shutil.rmtree(old, ignore_errors=True)
    if path.exists():
        os.replace(path, old)
    os.replace(new, path)
    sync_one(path.parent)
    shutil.rmtree(old, ignore_errors=True)


def restore_folder(path):
    """Undo a `replace_folder` that was killed half-way; returns `path`."""
    if before(path).exists() and not path.exists():
        os.replace(before(path), path)
    return path


def before(path):
    """Where `replace_folder` keeps what was at `path` before."""
    return path.with_name(f".{path.name}.old")


@contextmanager
def lock(path):
    """Keep other processes from writing `path`; raises OutputError if one is doing so."""
    path.parent.mkdir(parents=True, exist_ok=True)
    name = path.with_name(f".{path.name}.lock")
    with name.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise OutputError(f"{path} is being written by another process: wait for it") from None
        try:
            yield
        finally:
            name.unlink(missing_ok=True)


def write_file(path, content):
    """Write text or bytes."""
    with atomic_file(path) as new:
        new.write_bytes(content.encode() if isinstance(content, str) else content)


def write_json(path, content):
    """Write a JSON value for people to read."""
    write_file(path, json.dumps(content, indent=1, allow_nan=False) + "\n")


def read_json(path, advice):
    """Read a JSON object. Raises InputError, which says `advice`: what to do."""
    try:
        content = json.loads(path.read_text())
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(f"no {path.name} in {path.parent}: {advice}") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise InputError(f"{path} is not valid JSON ({error}): {advice}") from None
    if not isinstance(content, dict):
        raise InputError(f"{path} does not hold a JSON object: {advice}")
    return content


def checksum(path):
    """SHA-256 of a file, as `sha256sum` prints it."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest(content):
    """SHA-256 of a JSON value; equal values have equal ones."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
