"""What all commands know."""

from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from matplotlib.colors import is_color_like

from analysis.errors import DeclarationError
from analysis.results import Results
from plotting.save import FORMATS
from plotting.style import NO_CAPTION, Caption


@cache
def open_results(folder):
    """The Results of a folder, read once per process; DeclarationError for unknown colours."""
    results = Results(folder)
    for process in results.processes:
        if not is_color_like(process.colour):
            raise DeclarationError(
                f"process '{process.name}' has no colour '{process.colour}': see "
                "analysis/processes.py"
            )
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
    other: float = 0.0  # share of the background below which processes are drawn as one

    @property
    def results(self):
        """The Results of the run, read once per process."""
        return open_results(self.output)
