"""From ntuples to selected events: samples, dataframe, selection, features, event loop, export."""

from analysis.mistakes import tell_mistakes

tell_mistakes()
