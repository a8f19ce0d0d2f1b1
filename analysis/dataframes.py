"""The dataframes of a run at the Python prompt and in notebooks."""

from collections.abc import Mapping
from contextlib import contextmanager

import numpy as np
import ROOT

import helpers
from analysis.chain import chain
from analysis.errors import DeclarationError, InputError, unknown

ENTRY = "rdfentry_"  # the position of an event in its sample, with one thread


class Dataframes(Mapping):
    """The chains of all samples, each made when it is first asked for.

    `dataframes["WZ"]["SR3L"]` is the RDataFrame of the selected events with all columns, and
    `dataframes["WZ"]["all"]` that of all events. They use one thread, so that `Display` and `Range`
    work; `ROOT.EnableImplicitMT()` before a sample is first asked for gives it more, then only
    `dataframes["WZ"].show(["lepPt"])` shows rows.
    """

    def __init__(self, makers):
        """makers: {sample: function that returns its dataframes by region}"""
        if helpers.has_pyroot() and ROOT.IsImplicitMTEnabled():
            ROOT.DisableImplicitMT()
        self.makers, self.made = makers, {}

    def __getitem__(self, sample):
        if sample not in self.makers:
            raise KeyError(unknown("sample", sample, self.makers))
        if sample not in self.made:
            self.made[sample] = self.makers[sample]()
        return self.made[sample]

    def __iter__(self):
        return iter(self.makers)

    def __len__(self):
        return len(self.makers)

    def __repr__(self):
        return f"dataframes of {', '.join(self)}"


class SampleFrames(dict):
    """The RDataFrames of a sample by region; "all" for all events.

    Attributes:
        item: run.Prepared of the sample
    """

    def __init__(self, item):
        self.item = item
        df, regions = chain(item.plan, dataframe(item))
        super().__init__({"all": df, **{region: nodes[-1] for region, nodes in regions.items()}})

    def __repr__(self):
        return f"dataframes of {self.item.sample.name}: {', '.join(self)}"

    def show(self, columns, rows=10, region="all"):
        """As the function `show`, whatever the number of threads."""
        if region not in self:
            raise DeclarationError(unknown("region", region, self))
        with one_thread():
            return show(SampleFrames(self.item)[region], columns, rows)


def show(df, columns, rows=10):
    """The first rows of an RDataFrame as a pandas DataFrame, in the order of the entries.

    columns: names; each array of an event is a cell
    Raises DeclarationError for an unknown column, InputError for a dataframe of several threads.
    """
    known = [str(name) for name in df.GetColumnNames()]
    missing = [name for name in columns if name not in known]
    if missing:
        listing = "df.GetColumnNames()"
        raise DeclarationError(*(unknown("column", name, known, listing) for name in missing))
    if df.GetNSlots() > 1:
        raise InputError(
            "the rows of a dataframe of several threads have no order: "
            "dataframes[SAMPLE].show(columns) shows them, and so does a dataframe that is made "
            "after ROOT.DisableImplicitMT()"
        )
    import pandas as pd  # takes a sixth of a second

    with one_thread():
        found = df.Range(rows).AsNumpy(list(columns))
    return pd.DataFrame({name: list(map(plain, found[name])) for name in columns})


def plain(value):
    """A value of a column, an array of ROOT as one of numpy."""
    return np.array(value) if hasattr(value, "size") and hasattr(value, "begin") else value


def dataframe(item):
    """An RDataFrame over the entries of a sample (run.Prepared).

    Raises InputError for files that ROOT would read wrongly as one chain.
    """
    end = item.begin + item.entries
    if not item.entries:
        raise InputError(f"sample '{item.sample.name}' has no events")
    parts = list(item.inputs.parts(item.begin, end))
    if len(parts) > 1:
        raise InputError(
            f"sample '{item.sample.name}': ROOT reads its files wrongly as one chain, since "
            f"branches of {parts[1][0][0].path} are of other kinds than in "
            f"{parts[0][0][0].path}; run_rdf.py reads them, the prompt, clusters and --event do not"
        )
    files = [file for file in item.inputs.files if file.entries]
    return dataframe_of(item.sample, files, item.begin, end)


def dataframe_of(sample, files, begin, end):
    """An RDataFrame over the entries from `begin` to `end` of some of a sample's files.

    Its strings may use the physics.
    """
    helpers.load_engine()  # of which compiled chains need a part only
    paths = [file.path for file in files]
    if (begin, end) == (0, sum(file.entries for file in files)):
        return ROOT.RDataFrame(sample.tree, paths)
    spec = ROOT.RDF.Experimental.RDatasetSpec()
    spec.AddSample(ROOT.RDF.Experimental.RSample(sample.name, sample.tree, paths))
    spec.WithGlobalRange((begin, end))
    return ROOT.RDataFrame(spec)


@contextmanager
def one_thread():
    """Only with one thread are the entries of a sample numbered."""
    threads = ROOT.GetThreadPoolSize()
    if threads:
        ROOT.DisableImplicitMT()
    try:
        yield
    finally:
        if threads:
            ROOT.EnableImplicitMT(threads)


def file_of(files, position):
    """The path of the file that an entry is in, and its number there; files: InputFiles."""
    for file in files:
        if position < file.entries:
            break
        position -= file.entries
    return file.path, position
