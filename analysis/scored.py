"""Scores beside the tables that were scored: the same events at the same places, or an error."""

from dataclasses import dataclass

import numpy as np

from analysis.errors import InputError, listed
from analysis.hdf5 import Frame
from analysis.output import DEFAULT_DETECTOR, IDENTITY, SCORES, WEIGHT
from analysis.records import ORIGIN, plain_name

SCORE_AGAIN = "score again with python -m ml"


@dataclass(frozen=True)
class ScoredEvents:
    """The events of a sample that its detector has not been trained on."""

    score: np.ndarray  # (events,) float64, larger for what is more anomalous
    weight: np.ndarray  # (events,) scaled up to the yield of all events, trained on or not
    rows: np.ndarray  # (events,) positions in the tables of scores and features
    columns: dict[str, np.ndarray]  # (events,) each, those of the table that were asked for
    total: int  # events of the table
    about: dict  # what ml wrote about the file, see `origin`


def origin(path):
    """What ml wrote about a file of scores or latent vectors: sample, region, model."""
    with Frame(path, None, SCORE_AGAIN) as frame:
        return checked_origin(path, frame.about)


def checked_origin(path, about):
    """What ml wrote about a file, if it did. Raises InputError."""
    for problem in ORIGIN.problems(about, ""):
        raise InputError(f"{path} is not a file of python -m ml ({problem}): {SCORE_AGAIN}")
    return about


def detectors_in(folder):
    """Names of the detectors whose scores are in an output folder, a Path, by the alphabet."""
    scores = folder / SCORES
    found = sorted(p.name for p in scores.glob("[!.]*") if p.is_dir() and any(p.glob("*.hdf5")))
    return [name for name in found if plain_name(name)]


def detectors_shown(folder):
    """As `detectors_in`, but the one first that is shown where nobody asks for another.

    That is DEFAULT_DETECTOR if it is among them, else the one that scored last.
    """
    names = detectors_in(folder)

    def rank(name):
        newest = max(path.stat().st_mtime_ns for path in (folder / SCORES / name).glob("*.hdf5"))
        return name == DEFAULT_DETECTOR, newest

    shown = max(names, key=rank, default=None)
    return sorted(names, key=lambda name: name != shown)


def read_scored(path, table, names=(), again=SCORE_AGAIN):
    """The ScoredEvents of a file of scores and of the table, an open Frame, that was scored.

    names: columns of the table to keep
    again: what to do about scores that are missing or do not fit. Raises InputError.
    """
    if not path.is_file():
        raise InputError(f"no scores {path}: {again}")
    with Frame(path, None, again) as frame:
        scores, about = frame.read_columns([*IDENTITY, "score", "trained_on"]), frame.about
    columns = table.read_columns(dict.fromkeys([*IDENTITY, WEIGHT, *names]))
    if any(
        len(scores[name]) != len(columns[name]) or np.any(scores[name] != columns[name])
        for name in IDENTITY
    ):
        raise InputError(f"{path} holds other events than the table of the run: {again}")
    weight = columns[WEIGHT].astype(float)
    kept, scale = held_out(path, scores, weight, again)
    return ScoredEvents(
        scores["score"][kept].astype(float),
        weight[kept] * scale,
        np.flatnonzero(kept),
        {name: columns[name][kept] for name in (*IDENTITY, *names)},
        len(kept),
        about,
    )


def held_out(path, scores, weight, again=SCORE_AGAIN):
    """The events that their detector was not trained on, and what makes them count for all.

    scores: columns `score` and `trained_on` of the file of a sample, `path`
    weight: (events,)
    Returns ((events,) bool, factor of their weights). Raises InputError.
    """
    if bad := int(np.sum(~np.isfinite(scores["score"]))):
        raise InputError(f"{path} has {bad} scores that are not finite: {again}")
    kept = ~scores["trained_on"].astype(bool)
    if len(kept) and not kept.any():
        raise InputError(
            f"sample '{path.stem}': the network was trained on all its events, so their "
            "scores mean nothing: train with --folds"
        )
    return kept, scale_of(weight, kept)


def scale_of(weight, kept):
    """The factor that makes the (events,) weights of those `kept` count for all."""
    left = weight[kept].sum()
    return weight.sum() / left if left and not kept.all() else 1.0


def require_detectors(folder, names):
    """The detectors of these names, all where there are none. Raises InputError.

    folder: output folder, a Path
    """
    known = detectors_in(folder)
    if not known:
        raise InputError(f"no scores in {folder / SCORES}: python -m ml score {folder}")
    if missing := [name for name in names or () if name not in known]:
        raise InputError(
            f"no scores of {listed(missing)} in {folder / SCORES}: there are those of "
            f"{listed(known, 12)}"
        )
    return [name for name in known if name in names] if names else known
