"""Pictures and tables of a run in a notebook, where they show themselves.

from plotting.notebook import Run

run = Run("output")
run.hist("m_3l")
"""

import base64
import sys
from html import escape
from pathlib import Path

from matplotlib.figure import Figure

from analysis.errors import DeclarationError
from analysis.output import PLOTS
from analysis.shifts import background_shifts
from analysis.stats_files import DEFAULT_NAME, read_statistics
from plotting import (
    agreement,
    agreement_pictures,
    graph_picture,
    matrix_pictures,
    score_pictures,
    scores,
    stack_pictures,
    stat_pictures,
    yields,
)
from plotting.save import figure_as_png
from plotting.settings import Options, open_results
from plotting.style import Caption


class Run:
    """The output folder of a run.

    What it returns are pictures (`save.Drawn`), several of them (`Pictures`), and tables (pandas
    DataFrames, `yields.Cutflow`). All raise M3LError where the command of their name does.
    """

    def __init__(self, folder, experiment="", status="", energy=None, luminosity=None, **options):
        """folder: of run_rdf.py; options: fields of `settings.Options`, others as on the page"""
        self.results = open_results(str(folder))
        luminosity = luminosity or self.results.luminosity
        caption = Caption(experiment, status, energy, luminosity)
        where = Path(folder) / PLOTS
        self.options = Options(str(folder), where, caption=caption, **options)
        show_figures()

    def __repr__(self):
        return f"run in {self.results.folder}: regions {', '.join(self.results.regions)}"

    def region(self, name=None):
        """The name of a region, the first of the run for None. Raises DeclarationError."""
        return self.results.choose_regions([name] if name else [])[0]

    def hist(self, feature, region=None):
        """The picture of a feature."""
        region = self.region(region)
        (feature,) = self.results.choose_features([feature])
        histograms = self.results.histograms(region, feature)
        shifts = background_shifts(self.results, region, feature, histograms)
        return stack_pictures.draw_feature(self.options, region, feature, histograms, shifts)

    def cutflow(self, region=None, by_sample=False):
        """The table of a cutflow, with a row for each process, or for each sample."""
        return yields.make_cutflow(self.results, self.region(region), by_sample)

    def table(self, sample, region=None, columns=None):
        """A DataFrame of the selected events of a sample; columns: None: all."""
        sample, region = self.results.choose_sample(sample), self.region(region)
        if sample not in [visible.name for visible in self.results.visible(region)]:
            raise DeclarationError(f"region '{region}' is blind: '{sample}' may not be looked at")
        return self.results.table(region, sample, columns)

    def check(self, features=(), region=None):
        """A DataFrame with a row for each feature, the worst agreement first."""
        chosen = self.results.choose_features(features)
        found = agreement_pictures.compare_all(self.options, self.region(region), chosen)
        return agreement.as_frame(found)

    def matrix(self, process, region=None, units="gev"):
        """The Figure of the mean matrix of a process."""
        return matrix_pictures.Matrices(self.options, self.region(region)).mean(process, units)

    def scores(self, *detectors):
        """The pictures of what detectors found, the first of these beside the others."""
        chosen = scores.choose_detectors(self.results, detectors)
        made = score_pictures.score_pictures(self.options, chosen, lambda line: None)
        return Pictures(made)

    def statistics(self, name=DEFAULT_NAME):
        """The pictures of a statistical analysis."""
        contents, _ = read_statistics(self.results.folder, name)
        return Pictures(stat_pictures.stat_pictures(self.options, name, contents))

    def graph(self):
        """The picture of the computation graph."""
        return graph_picture.drawn_graph(self.options)


class Pictures(dict):
    """{name: Drawn}, all of which a notebook shows."""

    def __init__(self, drawn):
        super().__init__({one.name: one for one in drawn})

    def __repr__(self):
        return f"pictures: {', '.join(self)}"

    def _repr_html_(self):
        """What a notebook shows."""
        return "".join(map(as_image, self.values())) or "no pictures"


def as_image(drawn):
    """An HTML image of a Drawn, which needs no other file."""
    data = base64.b64encode(drawn._repr_png_()).decode()
    text = escape(str(drawn.text or drawn.title))
    return f'<img style="max-width: 45em" alt="{text}" src="data:image/png;base64,{data}">'


def show_figures():
    """In IPython, let Figures show themselves, as after `%matplotlib inline`."""
    shell = "IPython" in sys.modules and sys.modules["IPython"].get_ipython()
    if shell:
        shell.display_formatter.formatters["image/png"].for_type(Figure, figure_as_png)
