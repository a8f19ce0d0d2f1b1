"""From ntuples to selected events: samples, dataframe, selection, features, event loop, export."""
