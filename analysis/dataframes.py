"""The dataframes of a run at the Python prompt and in notebooks."""

from collections.abc import Mapping

import ROOT

from analysis.chain import chain
from analysis.errors import near_miss


class Dataframes(Mapping):
    """The chains of all samples, each made when it is first asked for.

    `dataframes["WZ"]["SR3L"]` is the RDataFrame of the selected events with all columns, and
    `dataframes["WZ"]["all"]` that of all events. They use one thread, so that `Display` and `Range`
    work; `ROOT.EnableImplicitMT()` before a sample is first asked for gives it more.
    """

    def __init__(self, makers):
        """makers: {sample: function that returns its dataframes by region}"""
        if ROOT.IsImplicitMTEnabled():
            ROOT.DisableImplicitMT()
        self.makers, self.made = makers, {}

    def __getitem__(self, sample):
        if sample not in self.makers:
            raise KeyError(f"no sample is called '{sample}'{near_miss(sample, self.makers)}")
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


def dataframe(item, begin=None, end=None):
    """An RDataFrame over the entries of a sample (run.Prepared), or over a range of them."""
    begin = item.begin if begin is None else begin
    end = item.begin + item.entries if end is None else end
    if (begin, end) == (0, item.inputs.entries):
        return ROOT.RDataFrame(item.sample.tree, item.inputs.paths)
    sample = ROOT.RDF.Experimental.RSample(item.sample.name, item.sample.tree, item.inputs.paths)
    spec = ROOT.RDF.Experimental.RDatasetSpec()
    spec.AddSample(sample)
    spec.WithGlobalRange((begin, end))
    return ROOT.RDataFrame(spec)
