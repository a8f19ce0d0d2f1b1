"""What the files and folders of an output folder are called.

OUT/hdf5/<sample>_<tag>_df_forML_bkg_signal_fromRDF.hdf5    a table `mini`
OUT/parquet/<sample>_<tag>_df_forML_bkg_signal_fromRDF.parquet    the same, if it was asked for
OUT/histograms.root  cutflow.json  run.json
OUT/models  scores  latent  study  stats  plots  report     what the later steps make
"""

RUN = "run.json"
PARTIAL = ".partial"  # folder of what is being made
CUTFLOW = "cutflow.json"
HISTOGRAMS = "histograms.root"
TABLES = "hdf5"
PARQUET = "parquet"
MODELS, SCORES, LATENT, STUDY, STATS, PLOTS, REPORT = (
    "models scores latent study stats plots report".split()
)

# Shown where several have scored: chosen by the protocol, on background alone.
DEFAULT_DETECTOR = "portfolio"

# Of run.json: what differs between two runs with the same products.
CIRCUMSTANCES = set(
    "command git source threads plain cluster timings_s bytes_read checksums".split()
)
