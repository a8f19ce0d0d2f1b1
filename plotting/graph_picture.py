"""`graph`: which column needs which, as a picture."""

from plotting.draw_graph import draw_graph
from plotting.graph import make_graph, places
from plotting.save import save


def save_graph(options):
    """Write the computation graph of the run; returns the files."""
    return save(graph_figure(options), options.folder / "graph", options.formats)


def graph_figure(options):
    """The Figure of the computation graph."""
    nodes = make_graph(options.results)
    return draw_graph(nodes, places(nodes), caption=options.caption)
