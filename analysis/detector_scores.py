"""What a model computes, as a tree of parts that C++ has (helpers/detectors.h, helpers/network.h).

Each function below says it for one kind, from its declaration and its arrays; `ml/detectors` has
the formulae, docs/formats.md the arrays. To add a kind, write one more and an entry of KINDS.
"""

from dataclasses import dataclass
from functools import partial
from statistics import NormalDist

import numpy as np

from analysis.content import ABOVE_0, NUMBER, Fields, ListOf, OneOf, whole
from analysis.detector_files import SVDD_SLOPE, trees_end
from analysis.records import NAME, NETWORK_INPUT
from analysis.topology import FEATURES, GROUPS, TOPOLOGIES, Z_WINDOW

UNSEEN = -50.0  # score of an event that no part of a portfolio sees


@dataclass(frozen=True, eq=False)
class Part:
    """A call of the C++ function that makes a part of a score."""

    function: str  # in the namespace m3l
    arguments: tuple  # arrays, numbers, texts, other Parts, and tuples of Parts or texts


class Inputs:
    """Names of a model's inputs; their order is that in which they are first asked for."""

    def __init__(self):
        self.places = {}

    def place(self, name):
        """The place of an input."""
        return self.places.setdefault(name, len(self.places))

    def all(self, names):
        """(names,) int32 places."""
        return np.array([self.place(name) for name in names], np.int32)


class Arrays:
    """The arrays of a detector, each of the shape that is asked for; raises ValueError else."""

    def __init__(self, numbers, prefix=""):
        self.numbers, self.prefix = numbers, prefix

    def __contains__(self, name):
        return self.prefix + name in self.numbers

    def below(self, prefix):
        """Those whose names go on like this."""
        return Arrays(self.numbers, self.prefix + prefix)

    def raw(self, name):
        """An array as it is."""
        if name not in self:
            raise ValueError(f"there is no array '{self.prefix}{name}'")
        return self.numbers[self.prefix + name]

    def take(self, name, *shape):
        """An array as float64; None in a shape: any size but 0."""
        found = self.raw(name)
        fits = len(found.shape) == len(shape) and all(
            size == wanted or (wanted is None and size)
            for size, wanted in zip(found.shape, shape, strict=True)
        )
        if not fits:
            raise ValueError(f"array '{self.prefix}{name}' has the shape {found.shape}")
        return np.array(found, np.float64, order="C")

    def rising(self, name, *shape):
        """The same, with values that rise along the last axis."""
        found = self.take(name, *shape)
        if not (np.diff(found) > 0).all():
            raise ValueError(f"array '{self.prefix}{name}' does not rise")
        return found


# ---- what several kinds have in common


def constant(value):
    """The same for every event."""
    return Part("constantScore", (float(value),))


def total(parts, factor=1.0):
    """A factor times a sum."""
    return Part("sumScore", (float(factor), tuple(parts)))


def by_topology(inputs, cases):
    """One of six parts, in the order of TOPOLOGIES."""
    return Part("topologyScore", (inputs.all(FEATURES), Z_WINDOW, tuple(cases)))


def by_group(inputs, cases):
    """One of three parts, in the order of GROUPS."""
    return by_topology(inputs, [case for case in cases for _ in range(2)])


def forest(arrays, features, inputs, factor=1.0):
    """A factor times the largest output of trees."""
    names = ("feature", "threshold", "left", "right", "value", "roots", "output")
    found = {name: arrays.raw(name) for name in names}
    if not trees_end(**found, features=len(features)):
        raise ValueError(f"a tree of '{arrays.prefix}' leads nowhere")
    for name in names:
        found[name] = found[name].astype(np.float64 if name in ("threshold", "value") else np.int32)
    found["feature"] = inputs.all(features)[found["feature"]]
    return Part("forestScore", (*found.values(), factor))


def survival(arrays, part):
    """Minus the logarithm of the share of the background that is as anomalous as a part says."""
    x = arrays.rising("x", None)
    return Part("survivalScore", (x, arrays.take("y", len(x)), arrays.take("tail", 3), part))


# ---- the kinds; arguments: configuration, Arrays, the record's names, Inputs


def twin(config, arrays, names, inputs):
    """Trees for each group; 0 in those without."""
    groups = [arrays.below(f"{group}.") for group in GROUPS]
    return by_group(
        inputs,
        [
            forest(group, config["features"], inputs) if "roots" in group else constant(0)
            for group in groups
        ],
    )


def tail(config, arrays, names, inputs):
    """Survival of one number in its topology."""
    value = Part("inputScore", (inputs.place(config["feature"]),))
    return by_topology(inputs, [survival(arrays.below(f"{t}."), value) for t in TOPOLOGIES])


def processes(config, arrays, names, inputs):
    """Minus the largest output."""
    return forest(arrays, config["features"], inputs, -1.0)


def weak(config, arrays, names, inputs):
    """Trees, whose only output is the score."""
    return forest(arrays, config["features"], inputs)


def isolation(config, arrays, names, inputs):
    """2 to the power of minus the mean depth over the normal one."""
    trees, normal = len(arrays.raw("roots")), float(arrays.take("normal"))
    if not trees or not normal > 0:
        raise ValueError("there are no trees, or no depth is normal")
    exponent = forest(arrays, config["features"], inputs, -1.0 / (trees * normal))
    return Part("powerScore", (exponent,))


def pca(config, arrays, names, inputs):
    """What components of all features rebuild."""
    n = len(names)
    numbers = (arrays.take("mean", n), arrays.take("factor", n), arrays.take("axes", n, None))
    return Part("principalScore", (inputs.all(names), *numbers))


def svdd(config, arrays, names, inputs):
    """Distance from the target."""
    features, depth = config["features"], len(config["hidden"]) + 1
    sizes, kernels = [], []
    for number, latent in enumerate(config["latent"]):
        widths = [len(features), *config["hidden"], latent]
        sizes += widths[1:]
        kernels += [
            arrays.take(f"kernel_{number}_{layer}", *widths[layer : layer + 2]).ravel()
            for layer in range(depth)
        ]
    n = len(features)
    return Part(
        "distanceScore",
        (
            inputs.all(features),
            arrays.take("mean", n),
            arrays.take("factor", n),
            np.array(sizes, np.int32),
            depth,
            np.concatenate(kernels),
            SVDD_SLOPE,
            float(config["target"]),
        ),
    )


def density(config, arrays, names, inputs):
    """Minus the logarithms of the share of the topology, and of the mixture in its group."""
    shares = arrays.take("share", len(TOPOLOGIES))
    if not (shares > 0).all():
        raise ValueError("a topology has no share")
    cases = []
    for number, share in enumerate(shares):
        group = arrays.below(f"{GROUPS[number // 2]}.")
        parts = [constant(-np.log(share))]
        if "means" in group:
            parts.append(mixture(config["features"], group, inputs))
        cases.append(total(parts))
    return by_topology(inputs, cases)


def mixture(features, arrays, inputs):
    """Minus the logarithm of the density of a Gaussian mixture."""
    n = len(features)
    knots = arrays.rising("knots", n, None)
    number = knots.shape[1]
    if number < 10:
        raise ValueError(f"array '{arrays.prefix}knots' has fewer than 10 knots")
    shares = arrays.take("shares", None)
    whitening = arrays.take("whitening", len(shares), n, n)
    if not (shares > 0).all() or not (np.diagonal(whitening, axis1=1, axis2=2) > 0).all():
        raise ValueError(f"the mixture of '{arrays.prefix}' is none")
    normal = NormalDist()
    quantiles = np.array([normal.inv_cdf((k + 0.5) / number) for k in range(number)])
    means = arrays.take("means", len(shares), n)
    return Part("mixtureScore", (inputs.all(features), quantiles, knots, means, whitening, shares))


def combined(config, arrays, names, inputs):
    """In each topology the most that a part of the portfolio says."""
    members = {}
    for member in config["members"]:
        check(member["kind"], member)
        part = KINDS[member["kind"]](member, arrays.below(f"{member['name']}/"), None, inputs)
        # Survival was learned of scores of 32 bits.
        members[member["name"]] = Part("roundedScore", (part,))
    parts = config["parts"]
    if unknown := {name for part in parts for name in part["members"]} - set(members):
        raise ValueError(f"{min(unknown)} is no member")
    offsets = [float(arrays.take(f"part_{k}.offset")) for k in range(len(parts))]
    cases = []
    for topology in TOPOLOGIES:
        heard = {
            name: survival(arrays.below(f"{name}@{topology}."), member)
            for name, member in members.items()
        }
        said = []
        for k, part in enumerate(parts):
            if topology in part["topologies"]:
                mean = total([heard[name] for name in part["members"]], 1 / len(part["members"]))
                passed = survival(arrays.below(f"part_{k}."), mean)
                said.append(total([passed, constant(offsets[k])]))
        cases.append(Part("largestScore", (tuple(said),)) if said else constant(UNSEEN))
    return by_topology(inputs, cases)


KINDS = {
    kind.__name__: kind
    for kind in (twin, tail, processes, isolation, weak, pca, svdd, density, combined)
}

# ---- what their declarations must be, of which only what decides on the score is looked at

FEATURE_NAMES = ListOf(NETWORK_INPUT, least=1, most=10_000)
at_least = partial(Fields, others=True)

CONFIGS = dict.fromkeys(KINDS, at_least({"features": FEATURE_NAMES})) | {
    "tail": at_least({"feature": NETWORK_INPUT}),
    "pca": at_least({}),
    "svdd": at_least(
        {
            "features": FEATURE_NAMES,
            "latent": ListOf(whole(1, 10_000), least=1, most=1000),
            "hidden": ListOf(whole(1, 10_000), most=100),
            "target": NUMBER,
        }
    ),
    "combined": at_least(
        {
            "members": ListOf(
                at_least(
                    {"name": NAME, "kind": OneOf(tuple(sorted({*KINDS} - {"combined", "pca"})))}
                ),
                least=1,
                most=100,
                by="name",
            ),
            "parts": ListOf(
                at_least(
                    {
                        "members": ListOf(NAME, least=1, most=100),
                        "topologies": ListOf(OneOf(TOPOLOGIES), most=len(TOPOLOGIES)),
                        "share": ABOVE_0,
                    }
                ),
                most=100,
            ),
        }
    ),
}


def check(kind, config):
    """Raise ValueError unless a declaration is one of its kind."""
    for problem in CONFIGS[kind].problems(config, "config"):
        raise ValueError(problem)


def score_of(content, numbers, inputs):
    """The Part that is a detector's score.

    content: of its detector.json; numbers: {name: array}; inputs: Inputs of the model
    Raises ValueError where they do not fit each other.
    """
    check(content["kind"], content["config"])
    return KINDS[content["kind"]](content["config"], Arrays(numbers), content["names"], inputs)


def network_score(content, numbers, inputs):
    """The Part that is a network's score.

    content: of its network.json, which keeps the rule records.NETWORK
    numbers: of its network.bin
    """
    layers, masked = content["layers"], content["mask_absent"]
    counts = [f"n_{kind}" for kind in content["types"]] if masked else []
    return Part(
        "networkScore",
        (
            inputs.all(content["features"]),
            inputs.all(counts),
            np.array(content["log"], np.int32),
            np.array([layer["units"] for layer in layers], np.int32),
            tuple(layer["activation"] for layer in layers),
            np.array([layer["slope"] for layer in layers], np.float64),
            np.array(content["least"] if counts else [], np.int32).ravel(),
            float(content["smallest_error"]),
            np.asarray(numbers, np.float64),
        ),
    )
