"""Files and folders that appear under their final name complete and on disk, or not at all.

Every `path` is a pathlib.Path.
"""

import errno
import fcntl
import hashlib
import json
import math
import os
import shutil
import socket
import stat
import time
from contextlib import contextmanager, suppress
from pathlib import Path

from analysis.errors import InputError, OutputError

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)  # of file systems without them
PATIENCE = 1.0  # s; what a process that was killed has locked is free then

BEFORE, JOURNAL = "before", "publishing.json"  # of put_all_in_place


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


def make_folder(path):
    """Make a folder, and those that it is in, on disk; it may exist already."""
    if not path.is_dir():
        if not path.parent.exists():
            make_folder(path.parent)
        path.mkdir(exist_ok=True)
        sync_one(path.parent)


@contextmanager
def reported(path):
    """Turn any OSError into an OutputError: that `path` cannot be written, and what to do."""
    try:
        yield
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {reason(error)}") from error


def reason(error):
    """What an OSError says, in one line without names of files, and what to do."""
    advice = "; free disk space and run again" if error.errno in FULL else ""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return (error.strerror or lines[-1]) + advice


@contextmanager
def atomic_file(path):
    """Yield a name to write to; on success the file gets the name `path`, else it is removed.

    Raises OutputError for any OSError.
    """
    new = aside(path)
    with reported(path):
        try:
            make_folder(path.parent)
            yield new
            put_in_place(new, path)
        finally:
            with suppress(OSError):
                new.unlink()


@contextmanager
def atomic_folder(path):
    """Yield an empty folder to fill; on success it takes the place of `path`, else it is removed.

    Only one process at a time may do so, see `lock`. Raises OutputError for any OSError.
    """
    new = path.with_name(f".{path.name}.new")
    with reported(path):
        restore_folder(path)
        shutil.rmtree(new, ignore_errors=True)  # of a process that was killed
        make_folder(path.parent)
        new.mkdir()
        try:
            yield new
            replace_folder(new, path)
        finally:
            shutil.rmtree(new, ignore_errors=True)


def replace_folder(new, path):
    """Put the complete folder `new` in the place of `path`, which may or may not exist.

    Two renames, because a folder that is not empty cannot be replaced in one: a kill between them
    leaves the old folder as `.NAME.old`, from where `restore_folder` brings it back, as here if the
    second fails.
    """
    old = before(path)
    sync(new)  # before the old folder goes, so that the time between the renames is short
    shutil.rmtree(old, ignore_errors=True)
    if path.exists():
        os.replace(path, old)
    try:
        os.replace(new, path)
    except OSError:
        restore_folder(path)
        raise
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
def lock(path, shared=False, shown=None):
    """Keep other processes from writing `path`; raises OutputError if one is doing so.

    shared: allow others that ask for the same
    shown: what the message calls it
    """
    name = path.with_name(f".{path.name}.lock")
    shown, file = shown or path, None
    try:
        if not shared:
            make_folder(path.parent)
        file = locked(name, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
    except BlockingIOError:
        raise OutputError(f"{shown} is in use by another process: wait for it") from None
    except OSError as error:
        if not shared:
            raise OutputError(f"{shown} cannot be written: {reason(error)}") from None
        # Nobody can write there.
    try:
        yield
    finally:
        if file:
            with suppress(OSError), file:  # others may share it
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                name.unlink()


def locked(name, how):
    """Open and lock a file; raises BlockingIOError if it is locked for longer than a moment."""
    until = time.monotonic() + PATIENCE
    while True:
        file = open(name, "a")
        try:
            fcntl.flock(file, how | fcntl.LOCK_NB)
            if os.path.exists(name) and os.path.samestat(os.fstat(file.fileno()), os.stat(name)):
                return file
        except FileNotFoundError:
            pass  # its last user has removed it just now
        except BlockingIOError:
            if time.monotonic() > until:
                file.close()
                raise
            time.sleep(0.05)
        except OSError as error:
            if error.errno in NO_LOCKS:
                return file
            file.close()
            raise
        file.close()


def put_all_in_place(new, folder, partial, gone=()):
    """Give files their names, all of them or none.

    new: {name below `folder`: complete file below `partial`}; while the last one has no name, none
        counts
    gone: other names below `folder`, whose files are removed
    partial: folder in the same file system, where `take_back` finds what was done
    Raises OSError, after which everything is as before.
    """
    try:
        for path in new.values():
            sync_one(path)
        before = partial / BEFORE
        before.mkdir()
        last = list(new)[-1]
        journal = {name: str(path.relative_to(partial)) for name, path in new.items()}
        sums = {"gone": list(gone), "last": checksum(new[last])}
        write_json(partial / JOURNAL, {"new": journal, **sums})
        folders = {folder}
        # What the last one describes is not whole any more.
        for name in (last, *list(new)[:-1], *gone):
            final = folder / name
            final.parent.mkdir(exist_ok=True)
            folders.add(final.parent)
            if final.exists():
                old = before / name
                old.parent.mkdir(parents=True, exist_ok=True)
                folders.add(old.parent)
                os.replace(final, old)
            if name in new and name != last:
                os.replace(new[name], final)
        for path in (*folders, before):
            sync_one(path)
        os.replace(new[last], folder / last)
        sync_one(folder)
    except BaseException:
        take_back(partial, folder)
        raise
    shutil.rmtree(before)
    (partial / JOURNAL).unlink()


def take_back(partial, folder):
    """Undo a `put_all_in_place` that did not come to its end. Raises OSError."""
    try:
        content = json.loads((partial / JOURNAL).read_text())
    except (FileNotFoundError, NotADirectoryError):
        return
    except ValueError:
        raise OutputError(f"{partial / JOURNAL} is damaged: remove {partial}") from None
    new, gone = content["new"], content.get("gone", [])
    for name in (*new, *new.values(), *gone):
        if Path(name).is_absolute() or ".." in Path(name).parts:
            raise OutputError(f"{partial / JOURNAL} names {name}: remove {partial}")
    last = list(new)[-1]
    if (folder / last).exists() and checksum(folder / last) == content["last"]:
        shutil.rmtree(partial)  # all was done
        return
    folders = set()
    for name in (*new, *gone):
        old, final = partial / BEFORE / name, folder / name
        if name in new:
            path = partial / new[name]
            if not path.exists() and final.exists():
                os.replace(final, path)
            folders.add(path.parent)
        if old.exists():
            os.replace(old, final)
        folders |= {old.parent, final.parent}
    for path in folders:  # before the journal goes, without which the rest would stay as it is
        if path.exists():
            sync_one(path)
    (partial / JOURNAL).unlink()


def write_file(path, content):
    """Write text or bytes."""
    with atomic_file(path) as new:
        new.write_bytes(content.encode() if isinstance(content, str) else content)


def write_json(path, content):
    """Write a JSON value for people to read."""
    write_file(path, json.dumps(content, indent=1, allow_nan=False) + "\n")


def irregular(path):
    """Why a file (a name or a Path) cannot be read as one, "" where it is a regular file."""
    try:
        mode = os.stat(path).st_mode
    except OSError as error:
        return error.strerror.lower()
    except ValueError:
        return "no name of a file"
    if stat.S_ISREG(mode):
        return ""
    return "is a directory" if stat.S_ISDIR(mode) else "is no regular file"


RECORD_SIZE = 1 << 30  # bytes of a JSON or TOML file at most


def read_regular(path, most=RECORD_SIZE):
    """The bytes of a regular file; raises OSError for others, such as a pipe, and larger ones."""
    # A pipe would block until somebody writes into it.
    with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
        status = os.fstat(file.fileno())
        if stat.S_ISDIR(status.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "is no regular file", str(path))
        if status.st_size > most:
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), str(path))
        return file.read(most)


def parse_json(text):
    """A JSON value. Raises ValueError also for NaN and infinity, which JSON does not have."""

    def refuse(word):
        raise ValueError(f"{word} is no number")

    def finite(word):
        value = float(word)
        return value if math.isfinite(value) else refuse(word)

    try:
        return json.loads(text, parse_constant=refuse, parse_float=finite)
    except RecursionError:
        raise ValueError("too deeply nested") from None


def read_json(path, advice):
    """Read a JSON object. Raises InputError, which says `advice`: what to do."""
    try:
        content = parse_json(read_regular(path))
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
