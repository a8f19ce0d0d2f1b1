"""Where the engine does not read as ROOT does, which is found out when it is built, ROOT reads."""

import shutil
import subprocess
import sys

import pytest
from conftest import REPOSITORY, read_table, slow

import helpers

WRONG = {
    "does not compile": ("engine/eventsource.cxx", "EventSource::SetNSlots(", "EventSource::Gone("),
    "reads otherwise": ("engine/basket.h", "return bits != 0;", "return bits == 0;"),
}


@pytest.mark.slow
def test_script_that_compares(tmp_path):
    """It finds nothing in the engine of these tests, and says where a library is none."""
    script = REPOSITORY / "helpers" / "reading.py"
    library = helpers.engine_library()
    (tmp_path / "none.so").write_bytes(b"")
    for path, status in ((library, 0), (tmp_path / "none.so", 1)):
        words = [sys.executable, "-W", "ignore", str(script), str(path)]
        done = subprocess.run(words, capture_output=True, text=True, timeout=300)
        assert done.returncode == status, done.stderr
    assert "cannot be loaded" in done.stderr


@pytest.mark.parametrize("fault", [slow(f) for f in WRONG])
def test_root_reads_where_own_reading_does_not_work(fault, demo_output, tmp_path, monkeypatch):
    """A checkout whose engine is no good gives the same tables, with one line."""
    name, old, new = WRONG[fault]
    checkout = tmp_path / "checkout"
    ignored = shutil.ignore_patterns(".*", "build", "docs", "tests", "__pycache__")
    shutil.copytree(REPOSITORY, checkout, ignore=ignored)
    source = checkout / "helpers" / name
    text = source.read_text()
    assert text.count(old) == 1
    source.write_text(text.replace(old, new))
    monkeypatch.setenv("M3L_CACHE", str(tmp_path / "cache"))
    words = [
        sys.executable,
        "-W",
        "ignore:.*alpha",
        "run_rdf.py",
        "-s",
        "WZ",
        "-o",
        "out",
        "--force",
    ]
    for _ in range(2):  # compiling, then from the cache
        done = subprocess.run(words, cwd=checkout, capture_output=True, text=True, timeout=600)
        assert done.returncode == 0, done.stderr
        warnings = [line for line in done.stderr.splitlines() if "m3l" in line]
        assert len(warnings) == 1 and "ROOT reads the files, which is slower" in warnings[0]
        assert read_table(checkout / "out", "WZ").equals(read_table(demo_output, "WZ"))
