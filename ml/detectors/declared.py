"""The detectors by name: an entry each. docs/detectors.md says how they were chosen.

The portfolio is the default. Its shares of the background that may pass follow from the
background's topologies:

- Events without an OSSF pair (0.8 % of the shared simulation's background, without b-jets) and
  those with pairs away from the Z (13 %) are where the Standard Model has little: 40 % and 35 %.
- Pairs at the Z (79 %) must not be given up, since a new particle may decay to a Z: 20 %.
- Events with b-jets, the realm of the top quark: 5 %, an insurance.

Within each the mean of two twins is taken, whose recipes differ in what they believe about the
unknown: it decays at once, or in steps. At the Z and with b-jets, where the twins know least of
pairs with the right mass and nothing of jets, the tail of LT + E_T^miss is a third voice.
"""

import dataclasses
import json
import types
import typing

from analysis.errors import DeclarationError, listed, near_miss
from ml.detectors.combined import Combined, CombinedDetector, Part
from ml.detectors.density import Density, DensityDetector
from ml.detectors.isolation import Isolation, IsolationDetector
from ml.detectors.logits import Processes, ProcessesDetector
from ml.detectors.pca import Pca, PcaDetector
from ml.detectors.svdd import Svdd, SvddDetector
from ml.detectors.tail import Tail, TailDetector
from ml.detectors.twin import Twin, TwinDetector
from ml.detectors.weak import Weak, WeakDetector

KINDS = {
    Twin: TwinDetector,
    Tail: TailDetector,
    Density: DensityDetector,
    Svdd: SvddDetector,
    Processes: ProcessesDetector,
    Isolation: IsolationDetector,
    Pca: PcaDetector,
    Weak: WeakDetector,
    Combined: CombinedDetector,
}

PHASE_SPACE = Twin("twin_phase_space", recipe="phase_space")
CASCADE = Twin("twin_cascade", recipe="cascade")
TAIL = Tail("tail")
TWINS = (PHASE_SPACE.name, CASCADE.name)

DETECTORS = {
    detector.name: detector
    for detector in (
        Combined(
            "portfolio",
            members=(PHASE_SPACE, CASCADE, TAIL),
            parts=(
                Part(TWINS, ("no_ossf",), 0.40),
                Part(TWINS, ("off_z",), 0.35),
                Part((*TWINS, TAIL.name), ("on_z",), 0.20),
                Part((*TWINS, TAIL.name), ("no_ossf_b", "off_z_b"), 0.03),
                Part((*TWINS, TAIL.name), ("on_z_b",), 0.02),
            ),
        ),
        PHASE_SPACE,
        CASCADE,
        Twin("twin_mixed", recipe="mixed"),
        Twin("twin_flavour", recipe="flavour"),
        TAIL,
        Density("density"),
        Svdd("svdd"),
        Processes("processes"),
        Weak("weak"),
        Isolation("isolation"),
        Pca("pca"),
    )
}


def find_detector(name):
    """The declared detector of this name; `DeclarationError` names the nearest for others."""
    if name in DETECTORS:
        return DETECTORS[name]
    hint = near_miss(name, DETECTORS) or f": choose from {listed(DETECTORS, 20)}"
    raise DeclarationError(f"unknown detector '{name}'{hint}")


def detector_for(config):
    """The class that a declaration is for."""
    return KINDS[type(config)]


def detector_of(record, data_structure, path, training):
    """The detector that a DetectorRecord describes. Raises ValueError or TypeError if none."""
    config = from_plain(declaration_of(record.kind), record.config)
    return detector_for(config)(data_structure, path, config, training, record.split.test)


def from_plain(cls, values):
    """The declaration of a class from the fields of its JSON form.

    Raises ValueError, TypeError or KeyError for what is none.
    """
    if not isinstance(values, dict):
        raise TypeError(f"{cls.__name__} is no object")
    hints = typing.get_type_hints(cls)
    known = {field.name for field in dataclasses.fields(cls)}
    if set(values) != known:
        raise ValueError(f"{cls.__name__} has fields {listed(sorted(set(values) ^ known))}")
    return cls(**{name: _value(hints[name], value) for name, value in values.items()})


def _value(hint, value):
    if hint is tuple:  # members of a portfolio
        return tuple(_member(each) for each in value)
    if isinstance(hint, types.GenericAlias):
        return tuple(_value(typing.get_args(hint)[0], each) for each in value)
    if dataclasses.is_dataclass(hint):
        return from_plain(hint, value)
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if type(value) is not hint:
        raise TypeError(f"{value!r} is no {hint.__name__}")
    return value


def _member(value):
    """The declaration that `json_form` has written, of a detector that is a member."""
    cls = declaration_of(value["kind"])
    if cls is Combined:
        raise ValueError("a portfolio is no member of another")
    return from_plain(cls, {name: each for name, each in value.items() if name != "kind"})


def declaration_of(kind):
    """The class of declarations of a kind. Raises KeyError."""
    return {cls.kind: config for config, cls in KINDS.items()}[kind]


def json_form(config):
    """The JSON form of a declaration; members of a portfolio say of which kind they are."""
    plain = json.loads(json.dumps(dataclasses.asdict(config)))
    if isinstance(config, Combined):
        plain["members"] = [
            {"kind": detector_for(member).kind, **json_form(member)} for member in config.members
        ]
    return plain
