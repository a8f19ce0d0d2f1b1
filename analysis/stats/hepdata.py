"""Tables for HEPData, the archive of published numbers: written by hepdata_lib, then validated."""

import contextlib
import gzip
import io
import shutil
import sys
import tarfile
import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from analysis.errors import InputError, OutputError
from analysis.files import atomic_folder, lock

SUBMISSION = "submission.yaml"
ARCHIVE = "submission.tar.gz"
DIGITS = 7  # that are significant, of every number
MISSING = "-"  # HEPData's sign for a number that is not there
LONGEST = 64  # name of a table


@dataclass(frozen=True)
class Error:
    """An uncertainty of the values of a Column, with signs."""

    label: str
    minus: np.ndarray  # (rows,) change downwards, mostly negative
    plus: np.ndarray  # (rows,)


@dataclass(frozen=True)
class Column:
    """A variable of a table; an independent one has no errors."""

    name: str  # LaTeX
    values: list[object]  # numbers, words, None for what is missing, or (low, high) of bins
    unit: str = ""
    errors: tuple[Error, ...] = ()
    qualifiers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Table:
    """A table with what HEPData is told about it."""

    name: str
    description: str
    location: str
    axes: tuple[Column, ...]
    columns: tuple[Column, ...]
    observable: str = ""  # a keyword, such as DN/DX


@dataclass(frozen=True)
class Collisions:
    """What was collided, for the keywords and qualifiers of all tables."""

    reaction: str
    energy_tev: float
    luminosity_ifb: float | str  # or run2

    @property
    def qualifiers(self):
        """((name, value, unit), ...) of every column."""
        known = not isinstance(self.luminosity_ifb, str)
        value = f"{self.luminosity_ifb:g}" if known else "that of Run 2"
        return (
            ("RE", self.reaction, ""),
            ("SQRT(S)", f"{1000 * self.energy_tev:g}", "GEV"),
            ("LUMINOSITY", value, "fb$^{-1}$" if known else ""),
        )


def symmetric(label, size):
    """The Error of (rows,) sizes."""
    return Error(label, -np.asarray(size, float), np.asarray(size, float))


def import_library():
    """hepdata_lib without ROOT, which it would take along, and with warnings left as they are."""
    missing = object()
    before = sys.modules.get("ROOT", missing)
    if before is missing:
        sys.modules["ROOT"] = None  # an import of it fails, which hepdata_lib allows
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import hepdata_lib
    finally:
        if before is missing:
            del sys.modules["ROOT"]
    return hepdata_lib


def write_submission(folder, tables, comment, collisions, models=()):
    """Write a submission in the place of `folder`, a Path: its YAML files and their archive.

    models: [(description, Path)] of workspaces that go with it
    The same tables give the same bytes. Raises OutputError where the folder holds other things,
    and for what HEPData would refuse.
    """
    if folder.is_dir() and any(folder.iterdir()) and not (folder / SUBMISSION).is_file():
        raise OutputError(f"{folder} holds other files than a submission: choose another --into")
    with lock(folder), atomic_folder(folder) as new:
        with tempfile.TemporaryDirectory() as made:
            write_yaml(Path(made), tables, comment, collisions, models)
            validate(made)
            for path in sorted(Path(made).iterdir()):
                shutil.copyfile(path, new / path.name)
        names = sorted(path.name for path in new.iterdir())
        (new / ARCHIVE).write_bytes(archive(new, names))


def write_yaml(folder, tables, comment, collisions, models):
    """Let hepdata_lib write its files into a folder, which is empty."""
    library = import_library()
    submission = library.Submission()
    submission.comment = comment
    for description, path in models:
        submission.add_additional_resource(
            description, str(path.resolve()), copy_file=True, file_type="HistFactory"
        )
    taken = set()
    for table in tables:
        submission.add_table(library_table(library, table, collisions, taken))
    # Its own archive, with times in it, is left in the working directory.
    with tempfile.TemporaryDirectory() as elsewhere, contextlib.chdir(elsewhere):
        submission.create_files(str(folder), validate=False)


def library_table(library, table, collisions, taken):
    """The Table of hepdata_lib; `taken` are the names, in lower case, that others have."""
    name = table.name[:LONGEST]
    number = 2
    while name.lower() in taken:
        name = f"{table.name[: LONGEST - 4]} {number}"
        number += 1
    taken.add(name.lower())
    made = library.Table(name)
    made.description, made.location = table.description, table.location
    made.keywords = {
        "reactions": [collisions.reaction],
        "cmenergies": [1000 * collisions.energy_tev],
        **({"observables": [table.observable]} if table.observable else {}),
    }
    for columns, independent in ((table.axes, True), (table.columns, False)):
        for column in columns:
            variable = library_variable(library, column, independent)
            for qualifier in () if independent else collisions.qualifiers:
                variable.add_qualifier(*qualifier)
            for qualifier in column.qualifiers:
                variable.add_qualifier(*qualifier)
            made.add_variable(variable)
    return made


def library_variable(library, column, independent):
    """The Variable of hepdata_lib of a Column."""
    binned = bool(column.values) and isinstance(column.values[0], tuple)
    variable = library.Variable(
        column.name,
        is_independent=independent,
        is_binned=binned,
        units=column.unit,
        zero_uncertainties_warning=False,
    )
    variable.digits = DIGITS
    variable.values = [MISSING if value is None else value for value in column.values]
    for error in column.errors:
        same = np.array_equal(-np.asarray(error.minus), error.plus)
        made = library.Uncertainty(error.label, is_symmetric=same)
        pairs = zip(error.minus, error.plus, strict=True)
        made.values = list(error.plus) if same else list(pairs)
        variable.add_uncertainty(made)
    return variable


def validate(folder):
    """Raise OutputError unless a folder (a name) is a submission that HEPData takes."""
    from hepdata_validator.full_submission_validator import FullSubmissionValidator

    validator = FullSubmissionValidator()
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # it leaves files to be closed by others
        valid = validator.validate(directory=folder)
    if not valid:
        messages = [m.message for several in validator.get_messages().values() for m in several]
        first = messages[0].replace(f"{folder}/", "")
        raise OutputError(
            f"HEPData would not take what would be published ({first}), nothing is written: choose "
            "fewer regions or features"
        )


def archive(folder, names):
    """The bytes of a tar.gz of files, without times and owners."""
    bare, packed = io.BytesIO(), io.BytesIO()
    with tarfile.open(fileobj=bare, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name in names:
            content = (folder / name).read_bytes()
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    with gzip.GzipFile(filename="", fileobj=packed, mode="wb", mtime=0) as file:
        file.write(bare.getvalue())
    return packed.getvalue()


def read_tables(folder):
    """{name: content} of the tables of a submission in a folder, a Path. Raises InputError."""
    import yaml

    try:
        entries = list(yaml.safe_load_all((folder / SUBMISSION).read_text()))
        return {
            entry["name"]: yaml.safe_load((folder / entry["data_file"]).read_text())
            for entry in entries
            if "data_file" in entry
        }
    except (OSError, yaml.YAMLError, KeyError, TypeError) as error:
        raise InputError(f"{folder} holds no submission ({error}): publish again") from None
