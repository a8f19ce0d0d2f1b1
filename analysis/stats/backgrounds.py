"""Backgrounds whose size is taken from control regions, one line each."""

from dataclasses import dataclass

from analysis.errors import DeclarationError, near_miss
from analysis.systematics import FAKES


@dataclass(frozen=True)
class Normalisation:
    """Processes that share a free factor, which a control region measures."""

    name: str
    processes: tuple[str, ...]
    region: str

    @property
    def parameter(self):
        """Name of the factor in a workspace."""
        return f"norm_{self.name}"


NORMALISATIONS = (
    Normalisation("WZ", ("diboson3L",), "CR_WZ"),
    Normalisation("ttbar", ("ttbar",), "CR_ttbar"),
    Normalisation("fakes", FAKES, "CR_fake"),
)


def choose_normalisations(words, regions, processes):
    """The Normalisations to be fitted: those declared, or of words PROCESS[,PROCESS...]=REGION.

    words: None: those declared whose control region and processes are there; (): none
    regions, processes: names of those of the model. Raises DeclarationError.
    """
    if words is None:
        return tuple(
            Normalisation(n.name, here, n.region)
            for n in NORMALISATIONS
            if n.region in regions and (here := tuple(p for p in n.processes if p in processes))
        )
    found = []
    for word in words:
        left, equals, region = word.partition("=")
        names = tuple(left.split(","))
        if not equals or not all(names):
            raise DeclarationError(f"--norm '{word}' is not PROCESS[,PROCESS...]=REGION")
        for what, name, known in (
            *(("background process", name, processes) for name in names),
            ("region", region, regions),
        ):
            if name not in known:
                raise DeclarationError(
                    f"--norm {word}: no {what} '{name}' in the model{near_miss(name, known)}"
                )
        declared = (n.name for n in NORMALISATIONS if set(names) <= set(n.processes))
        found.append(Normalisation(next(declared, names[0]), names, region))
    every = [name for normalisation in found for name in normalisation.processes]
    if twice := sorted({name for name in every if every.count(name) > 1}):
        raise DeclarationError(f"--norm: '{twice[0]}' has more than one factor: give it one")
    return tuple(found)
