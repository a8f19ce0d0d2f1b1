"""The batch systems by name; a new one is a module with a class, and a word here."""

from analysis.batch.condor import Condor
from analysis.batch.grid import Grid
from analysis.batch.local import Local
from analysis.batch.slurm import Slurm

BACKENDS = {"local": Local, "slurm": Slurm, "condor": Condor, "grid": Grid}
