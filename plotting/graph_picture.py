"""`graph`: which column needs which, as a picture."""

from dataclasses import replace

import pandas as pd

from plotting.draw_graph import draw_graph
from plotting.graph import make_graph, places
from plotting.save import Drawn, save_drawn


def save_graph(options):
    """Write the computation graph of the run; returns the files."""
    return save_drawn(drawn_graph(options), options.folder, options.formats)


def drawn_graph(options):
    """The Drawn of the computation graph; its numbers are a row per node."""
    nodes = make_graph(options.results)
    rows = [(n.name, n.kind, n.text, n.level, " ".join(n.needs)) for n in nodes]
    numbers = pd.DataFrame(rows, columns=["name", "kind", "text", "level", "needs"])
    # What is computed does not depend on the luminosity.
    caption = replace(options.caption, luminosity_ifb=None)
    figure = draw_graph(nodes, places(nodes), caption=caption)
    text = "Which column needs which, from the ntuple to features and cuts"
    return Drawn("graph", "Computation graph", figure, text, numbers=numbers)
