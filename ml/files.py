"""Files and folders that appear under their final name complete, or not at all."""

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ml.errors import MLError


@contextmanager
def replaced(path: Path) -> Iterator[Path]:
    """Yield a temporary name beside ``path``; on success move it there, on error delete it.

    Whatever was at ``path`` before stays until the new file is safely on disk.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.new{path.suffix}")
    try:
        yield temporary
        _sync(temporary)
        os.replace(temporary, path)
        _sync(path.parent)
    except OSError as error:  # often without the name of the file, which the user needs
        raise OSError(error.errno, error.strerror or str(error), str(path)) from error
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def replaced_folder(path: Path) -> Iterator[Path]:
    """Yield an empty folder beside ``path``; on success it takes the place of ``path``.

    Two renames, because a folder that is not empty cannot be replaced in one: a kill between them
    leaves the old folder as ``.NAME.old``, from where `recovered` brings it back.
    """
    recovered(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.new")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    try:
        yield temporary
        swap_folder(temporary, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def swap_folder(new: Path, path: Path) -> None:
    """Put the complete folder ``new`` in the place of ``path``, which may or may not exist."""
    for file in new.rglob("*"):
        _sync(file)
    old = _old(path)
    shutil.rmtree(old, ignore_errors=True)
    if path.exists():
        os.replace(path, old)
    os.replace(new, path)
    _sync(path.parent)
    shutil.rmtree(old, ignore_errors=True)


def recovered(path: Path) -> Path:
    """Return ``path``, after undoing a `swap_folder` that was killed half-way."""
    if _old(path).exists() and not path.exists():
        os.replace(_old(path), path)
    return path


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Keep other processes from writing ``path``; raises `MLError` if one is doing so."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = path.with_name(f".{path.name}.lock")
    with lock.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise MLError(f"{path} is being written by another process: wait for it") from None
        try:
            yield
        finally:
            lock.unlink(missing_ok=True)


def write_json(path: Path, content: dict) -> None:
    """Write ``content`` as readable JSON; the file appears complete or not at all."""
    with replaced(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n")


def read_json(path: Path, missing: str) -> dict:
    """Read a JSON object; ``missing`` says what to do when there is no such file."""
    try:
        content = json.loads(path.read_text())
    except (FileNotFoundError, NotADirectoryError):
        raise MLError(f"no {path.name} in {path.parent}: {missing}") from None
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise MLError(f"{path} is not valid JSON ({error}): {missing}") from None
    if not isinstance(content, dict):
        raise MLError(f"{path} does not hold a JSON object: {missing}")
    return content


def sha256(path: Path) -> str:
    """Checksum of a file, as ``sha256sum`` prints it."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest(content: object) -> str:
    """Checksum of a JSON-like value; equal values give equal digests."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _old(path: Path) -> Path:
    return path.with_name(f".{path.name}.old")


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
