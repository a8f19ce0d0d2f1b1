"""The events that are read: made from the demo, in a mixture of which a fifth is selected."""

import os

from tests.benchmarks.measure import REPOSITORY, python

DEMO = REPOSITORY / "analysis" / "demo"
KINDS = ("vector", "RVec", "array", "RNTuple")  # of files, see copies.py
RARE = 20  # events, of which one keeps its third lepton where a hundredth shall be selected
MIXTURE = ("Zee", "Zmm", "Ztt", "ttbar", "ttZ")  # 19 % of their events are in SR3L

WEIGHTS = tuple(
    "genWeight eventWeight jvtWeight bTagWeight leptonWeight globalDiLepTrigSF pileupWeight".split()
)
IDENTITY = ("DatasetNumber", "RunNumber", "EventNumber")
# What an analysis with all features of the default layout has to read.
BRANCHES = (
    *"lepPt lepEta lepPhi lepM lepFlavor lepCharge lepD0Sig lepZ0SinTheta".split(),
    *"lepPassOR lepLoose lepTight lepIsoLoose_VarRad".split(),
    *"jetPt jetEta jetPhi jetM jetJVT jetdl1r met_Et met_Phi met_Sign".split(),
    *WEIGHTS,
    *IDENTITY,
)


def events_file(folder, events, trilepton=1):
    """Return a file of so many events, made where the folder does not have it yet.

    trilepton: one of so many events keeps its third lepton
    """
    path = folder / f"{'-'.join(MIXTURE)}-{events}{f'-{trilepton}' * (trilepton > 1)}.root"
    files = [DEMO / f"{name}.root" for name in MIXTURE]
    generate = ("-m", "analysis.demo.generate", "benchmark", "--events", events)
    return made(path, *generate, "--trilepton", trilepton, "--from", *files, "--out")


def copy_of(events, kind, compression="zstd"):
    """Return a file with the same events, written in another way."""
    path = events.with_name(f"{events.stem}-{kind}-{compression}.root")
    return made(path, "-m", "tests.benchmarks.copies", events, kind, compression)


def made(path, *words):
    """A file that a command makes, whose last word is its name, where it is not there yet."""
    if not path.exists():
        unfinished = path.with_name(f"unfinished-{path.name}")
        python(*words, unfinished)
        os.replace(unfinished, path)
    return path


def another(events, number):
    """The file of events; for numbers from 1 a copy with another end."""
    if number == 0:
        return events
    path = events.with_name(f"{events.stem}-{number}.root")
    if not path.exists():
        path.write_bytes(events.read_bytes() + str(number).encode())
    return path


SAMPLE = """
[[sample]]
name = "benchmark{number}"
process = "ttbar"
kind = "background"
schema = "susy"
tree = "nominal"
files = ["{file}"]
xsec_pb = 1.0
"""


def samples_file(events, copies=1):
    """Return a samples file of so many samples with the same events."""
    path = events.with_name(f"{events.stem}-{copies}.toml")
    blocks = (
        SAMPLE.format(number=number, file=another(events, number).name) for number in range(copies)
    )
    path.write_text("luminosity_ifb = 1.0\n" + "".join(blocks))
    return path
