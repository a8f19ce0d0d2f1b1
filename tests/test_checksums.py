"""Checksums of files, and what is said of them."""

import hashlib
import subprocess
import zlib

import pytest
from conftest import DEMO

from analysis import checksums
from analysis.errors import InputError

TEXT = b"some bytes" * 1000


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "x y.root"
    path.write_bytes(TEXT)
    return path


def test_methods(file):
    assert checksums.compute(file) == f"sha256:{hashlib.sha256(TEXT).hexdigest()}"
    assert checksums.compute(file, "md5") == f"md5:{hashlib.md5(TEXT).hexdigest()}"
    assert checksums.compute(file, "adler32") == f"adler32:{zlib.adler32(TEXT):08x}"


def test_nothing_is_known_without_a_word(file):
    assert checksums.known(file) is None


@pytest.mark.parametrize("options", [(), ("--binary",)])
def test_what_sha256sum_writes_is_understood(file, options):
    done = subprocess.run(
        ["sha256sum", *options, file.name], cwd=file.parent, capture_output=True, check=True
    )
    for name in ("SHA256SUMS", f"{file.name}.sha256"):
        path = file.with_name(name)
        others = b"0" * 64 + b"  other.root\n"
        path.write_bytes(others * (name == "SHA256SUMS") + done.stdout)
        assert checksums.known(file) == checksums.compute(file)
        path.unlink()


def test_checksum_alone_in_its_file(file):
    file.with_name(f"{file.name}.adler32").write_text("04A10C2B\n")
    assert checksums.known(file) == "adler32:04a10c2b"


def test_sums_of_other_files_say_nothing(file):
    file.with_name("MD5SUMS").write_text(f"{'0' * 32}  other.root\n")
    assert checksums.known(file) is None


def test_file_without_a_checksum_is_refused(file):
    file.with_name(f"{file.name}.sha256").write_text("nothing\n")
    with pytest.raises(InputError, match="holds no sha256"):
        checksums.known(file)


def test_the_demo_has_those_of_its_files():
    paths = sorted(DEMO.glob("*.root"))
    assert len(paths) > 5
    for path in paths:
        assert checksums.known(path) == checksums.compute(path)
