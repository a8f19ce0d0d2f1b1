"""What all commands know."""

from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from matplotlib.colors import is_color_like

from analysis.output import RUN
from analysis.records import record_errors
from analysis.results import Results
from plotting.save import FORMATS
from plotting.style import NO_CAPTION, Caption


@cache
def open_results(folder):
    """The Results of a folder, read once per process; InputError also for unknown colours."""
    results = Results(folder)
    with record_errors(results.folder / RUN):
        for process in results.processes:
            if not is_color_like(process.colour):
                raise ValueError(f"process '{process.name}' has no colour '{process.colour}'")
    return results


@dataclass(frozen=True)
class Options:
    """What all commands know."""

    output: str  # folder of the run
    folder: Path  # for the pictures
    formats: tuple[str, ...] = FORMATS
    caption: Caption = NO_CAPTION
    processes: int = 1
    log: bool = True
    signal_scale: float | None = None
    relative_errors: dict[str, float] = field(default_factory=dict)

    @property
    def results(self):
        """The Results of the run, read once per process."""
        return open_results(self.output)
