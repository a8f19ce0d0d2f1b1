"""Looking at many input files before the event loops, the first time and when nothing changed."""

import tempfile
import time
from pathlib import Path

from tests.benchmarks.inputs import DEMO, SAMPLE
from tests.benchmarks.measure import REPOSITORY, python

CHECK = REPOSITORY / "run_rdf.py", "--check", "--samples"
PAUSE = 2  # seconds after which a file counts as settled and is remembered


def samples_of(folder, number):
    """A samples file of one sample with so many files, each with other bytes at its end."""
    content = (DEMO / "Ztt.root").read_bytes()
    paths = [folder / f"{number}-{n}.root" for n in range(number)]
    for n, path in enumerate(paths):
        path.write_bytes(content + bytes(n + 1))
    made = folder / f"{number}.toml"
    block = SAMPLE.format(number="", file='", "'.join(path.name for path in paths))
    made.write_text("luminosity_ifb = 1.0\n" + block)
    return made


def inspection_details(folder, number):
    """Milliseconds of a file, from checks of one file and of many; none was looked at before."""
    with tempfile.TemporaryDirectory(prefix="inspection-", dir=folder) as name:
        few, many = (samples_of(Path(name), n) for n in (1, number))
        time.sleep(PAUSE)
        python(*CHECK, few)
        start = python(*CHECK, few).wall
        for when in ("first look", "second look"):
            found = python(*CHECK, many).wall - start
            yield f"inspection of {number} files, {when}, ms a file", f"{1000 * found / number:.2f}"
