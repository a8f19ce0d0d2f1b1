"""The event loops on a cluster that is connected to: Dask or Spark."""
