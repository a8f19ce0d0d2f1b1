"""What the records must be that the parts of the program leave for each other, and samples files.

A record may come from someone else. So names become paths and columns only if they are names, and
nothing is computed with numbers that are not finite or make no sense.
"""

import re
from contextlib import contextmanager

from analysis.content import (
    ABOVE_0,
    ANYTHING,
    FLAG,
    FROM_0,
    NUMBER,
    Fields,
    ListOf,
    MapOf,
    Maybe,
    OneOf,
    Value,
    is_text,
    line,
    matching,
    shown,
    text,
    whole,
)
from analysis.errors import InputError
from analysis.good_runs import LONGEST, is_list

FORMAT = 2  # of run.json as it is written
FORMATS = (1, 2)  # that are read; 1 has the binning of a feature as "bins": [number, low, high]
AGAIN = "write it again with run_rdf.py"

# --- names ------------------------------------------------------------------------------------

# Of samples, processes, regions, folders: part of file names, of which none may be hidden, lead
# elsewhere, or be longer than a file system allows.
NAME = matching(
    r"(?=.{1,100}\Z)\w[\w.+-]*",
    "a name of at most 100 letters, digits and _ . + -, the first no sign",
)
FILE = matching(r"(?=.{1,240}\Z)\w[\w.+-]*", "the name of a file")
COLUMN = matching(r"(?=.{1,200}\Z)[A-Za-z_][A-Za-z0-9_]*", "a name that C++ can have")
CATEGORY = whole(-999_999_999, 999_999_999)  # of a code
NETWORK_INPUT = matching(  # see `input_name`
    r"(?=.{1,200}\Z)[A-Za-z_][A-Za-z0-9_]*(=(0|-?[1-9][0-9]{0,8}))?",
    "the name of a column, alone or with = and a whole number",
)
TABLE = matching(r"hdf5/(?=.{1,240}\Z)\w[\w.+-]*", "the name of a file in hdf5/")
PARQUET_TABLE = matching(
    r"parquet/(?=.{1,240}\Z)\w[\w.+-]*\.parquet", "the name of a file in parquet/"
)
SHA256 = matching(r"[0-9a-f]{64}", "64 hexadecimal digits")
CHECKSUM = matching(
    r"adler32:[0-9a-f]{8}|md5:[0-9a-f]{32}|sha256:[0-9a-f]{64}", "a checksum, see checksums.py"
)
PATH = line(4096, least=1)
LABEL = line(500)
WORDS = text(100_000)  # that are shown only

WEIGHT = "wgt_SG"  # column of the event weight
IDENTITY = ("DatasetNumber", "RunNumber", "EventNumber")

KINDS = ("data", "background", "signal")
ACTIVATIONS = ("linear", "relu", "tanh", "sigmoid", "leaky_relu")
OTHER_ACTIVATION = "other"  # of a network that a child class made itself
SCALERS = ("standard", "minmax", "robust", "log")


def input_name(column, category=None):
    """Name of a network's input: a column, or whether the code in it is a category."""
    return column if category is None else f"{column}={category}"


def column_of(name):
    """The column of an input, and the category or None."""
    column, _, category = name.partition("=")
    return column, int(category) if category else None


# --- samples ----------------------------------------------------------------------------------

RUN2 = "run2"  # as luminosity: that of the campaign of each event
# Of the campaigns mc16a, mc16d and mc16e, in pb^-1 as helpers/weights.h has them.
CAMPAIGNS = (36207.65, 44307.4, 58450.1)
LUMINOSITY = Value(
    f'a number or "{RUN2}"', lambda value: value == RUN2 or not any(FROM_0.problems(value, ""))
)

# Where the metadata of files hold a number, see `Schema`.
PLACE = r"[^:]+:[^:]+"


def or_place(number, what):
    """The rule for a number that keeps another rule, or is a place in the files."""
    return Value(
        f'{what} or its place in the files, such as "meta:sumw"',
        lambda value: (
            not any(number.problems(value, ""))
            or (is_text(value, 500) and bool(re.fullmatch(PLACE, value)))
        ),
    )


FRACTION = Value(
    "a number above 0, at most 1",
    lambda value: not any(ABOVE_0.problems(value, "")) and value <= 1,
)

SAMPLE = Fields(
    {
        "name": NAME,
        "process": NAME,
        "kind": OneOf(KINDS),
        "schema": NAME,
        "files": ListOf(PATH, least=1, what="a list of strings"),
        "tree": line(500, least=1, without="\"'\\"),
        "xsec_pb": Maybe(or_place(ABOVE_0, "a number above 0")),
        "k_factor": ABOVE_0,
        "filter_efficiency": FRACTION,
        "sum_of_weights": Maybe(or_place(NUMBER, "a finite number")),
        "normalised": FLAG,
    },
    needed=("name", "process", "kind", "schema", "files"),
)

# --- run.json ---------------------------------------------------------------------------------

EXPRESSION = text(20_000)
DEFINITION = text(LONGEST + 20_000)  # that of the good runs holds the list
CUT_NAME = line(200, least=1, without='"\\')

INPUT = Fields(
    {
        "path": PATH,
        "size": Maybe(whole()),
        "entries": whole(),
        "sum_of_weights": Maybe(NUMBER),
        "cross_section": Maybe(NUMBER),
        "checksum": Maybe(CHECKSUM),
        "modified": Maybe(whole()),
    },
    needed=("path", "size", "entries"),
    others=True,
)

SKIPPED = Fields({"path": PATH, "reason": WORDS, "entries": Maybe(whole())})

NORMALISATION = Fields(
    {"constant": NUMBER, "from_ntuple": FLAG, "by_campaign": FLAG, "factors": WORDS},
    needed=("constant", "from_ntuple", "by_campaign"),
)

HEXADECIMAL = matching(r"-?[0-9a-f]{1,520}", "a hexadecimal number")  # at most 2^1006 when divided
# {region: rows} with exact sums, see `loops.count_json`.
COUNTED = MapOf(
    NAME,
    ListOf(
        Fields({"cut": CUT_NAME, "entries": whole(), "sumw": HEXADECIMAL, "sumw2": HEXADECIMAL}),
        least=1,
    ),
)
# Of events that are not in a skim.
REJECTED = Fields(
    {"cutflow": COUNTED, "variations": MapOf(COLUMN, Fields({"cutflow": COUNTED}))},
)

VARIATION_KINDS = ("weight", "object")
VARIED = Fields(
    {
        "kind": OneOf(VARIATION_KINDS),
        "tables": MapOf(NAME, TABLE),
        "rows": MapOf(NAME, whole()),
        "checksums": MapOf(NAME, SHA256),
    },
)

GOOD_RUN_FILES = ListOf(PATH, least=1, what="the name of a file or a list of such")
GOOD_RUNS = Value("a good-run list such as 284500:1-20,25", is_list)
RUN_SAMPLE = Fields(
    {
        **SAMPLE.known,
        "good_runs": GOOD_RUNS,
        "inputs": ListOf(INPUT),
        "promised": ListOf(PATH),  # on the grid, instead of the inputs
        "skipped": ListOf(SKIPPED),
        "rejected_events": whole(),
        "rejected": REJECTED,  # in a submission
        "entries_read": whole(),
        "normalisation": Maybe(NORMALISATION),
        "left_out": ListOf(WORDS),
        "tables": MapOf(NAME, TABLE),
        "rows": MapOf(NAME, whole()),
        "checksums": MapOf(NAME, SHA256),
        "variations": MapOf(COLUMN, VARIED),
    },
    needed=("name", "process", "kind"),
    others=True,
)

PROCESS = Fields({"name": NAME, "label": LABEL, "colour": line(50, least=1), "kind": OneOf(KINDS)})
OBJECT = Fields({"name": COLUMN, "of": COLUMN, "cuts": ListOf(EXPRESSION, least=1)})
VARIABLE = Fields({"name": COLUMN, "expression": EXPRESSION})
CUT = Fields({"name": CUT_NAME, "expression": EXPRESSION})
ROLES = ("signal", "control", "validation")
REGION = Fields(
    {"name": NAME, "cuts": ListOf(CUT), "tag": NAME, "blind": FLAG, "role": OneOf(ROLES)},
    needed=("name", "cuts", "tag", "blind"),
)

OBJECT_TYPE = Fields(
    {
        "name": COLUMN,
        "multiplicity": whole(1, 200),
        "of": COLUMN,
        "mask": COLUMN,
        "label": LABEL,
    },
    needed=("name", "multiplicity"),
)
LAYOUT = Fields(
    {
        "name": NAME,
        "types": ListOf(OBJECT_TYPE, least=1, most=50, by="name"),
        "energy_scale": ABOVE_0,
        "h": OneOf(("published", "thesis")),
    }
)

BINNING = Fields({"bins": whole(1, 100_000), "low": NUMBER, "high": NUMBER})
FEATURE = Fields(
    {
        "name": COLUMN,
        "expression": EXPRESSION,
        "label": LABEL,
        "unit": line(50),
        "binning": Maybe(BINNING),
        "integer": FLAG,
        "network": FLAG,
        "cell": Maybe(ListOf(whole(0, 200), least=2, most=2)),
        "needs": ListOf(COLUMN),
        "otherwise": EXPRESSION,
        "categories": ListOf(CATEGORY, most=1000),
    },
    needed=("name",),
)

SYSTEMATIC = Fields(
    {
        "name": COLUMN,
        "label": LABEL,
        "up": MapOf(COLUMN, EXPRESSION),
        "down": MapOf(COLUMN, EXPRESSION),
        "size": FROM_0,
        "processes": ListOf(NAME),
    }
)

RECORD = Fields(
    {
        "format": whole(),
        "command": ListOf(WORDS),
        "versions": MapOf(WORDS, WORDS),
        "git": Maybe(WORDS),
        "helpers": WORDS,
        "luminosity_ifb": LUMINOSITY,
        "good_runs": Maybe(
            Fields(
                {
                    "runs": whole(),
                    "blocks": whole(),
                    "runs_seen": whole(),
                    "blocks_seen": whole(),
                    "missing": GOOD_RUNS,
                }
            )
        ),
        "source": WORDS,
        "threads": Maybe(whole(1, 4096)),
        "cluster": Maybe(WORDS),
        "entries": Maybe(whole(1)),
        "model": Maybe(PATH),
        "unblind": FLAG,
        "plain": FLAG,
        "skip_bad_files": FLAG,
        "drop_bad_events": FLAG,
        "vary_tables": FLAG,
        "failed": MapOf(NAME, WORDS),
        "checksums": MapOf(FILE, SHA256),
        "parquet": MapOf(PARQUET_TABLE, SHA256),
        "interpret": FLAG,  # in format 1, for plain
        "samples": ListOf(RUN_SAMPLE, by="name"),
        "processes": ListOf(PROCESS),
        "objects": ListOf(OBJECT, by="name"),
        "variables": ListOf(VARIABLE, by="name"),
        "regions": ListOf(REGION, least=1, by="name"),
        "layout": LAYOUT,
        "features": ListOf(FEATURE, by="name"),
        "scalars": ListOf(FEATURE, by="name"),
        "systematics": ListOf(SYSTEMATIC, by="name"),
        "timings_s": MapOf(WORDS, NUMBER),
        "bytes_read": whole(),
        "submission": Fields({"id": WORDS, "pieces": whole()}),
    },
    needed=("format", "samples", "layout", "features"),
    others=True,
)


def feature_contradictions(feature):
    """Yield what does not fit together in a feature that keeps the rule FEATURE."""
    binning = feature.get("binning") or {"low": 0, "high": 1}
    if not binning["low"] < binning["high"]:
        yield f"the binning of feature '{feature['name']}' ends before it begins"
    categories = feature.get("categories", ())
    if len(set(categories)) < len(categories):
        yield f"a category of feature '{feature['name']}' stands twice"


def contradictions(record):
    """Yield what does not fit together in a record that keeps the rule RECORD."""
    size = 1 + sum(kind["multiplicity"] for kind in record["layout"]["types"])
    if size > 201:
        yield f"layout has a matrix of {size} rows, at most 201 are possible"
    for name in ("features", "scalars"):
        for feature in record.get(name, ()):
            yield from feature_contradictions(feature)
            if max(feature.get("cell") or [0]) >= size:
                yield f"feature '{feature['name']}' is no cell of the layout"
    cells = [tuple(f["cell"]) for f in record["features"] if f.get("cell")]
    if len(set(cells)) < len(cells):
        yield "two features are the same cell of the layout"
    regions = {region["name"] for region in record.get("regions", ())}
    if len({region["tag"] for region in record.get("regions", ())}) < len(regions):
        yield "two regions have the same tag"
    processes = {process["name"] for process in record.get("processes", ())}
    tables = [t for sample in record["samples"] for t in sample.get("tables", {}).values()]
    if len(set(tables)) < len(tables):
        yield "two samples have the same table"
    for sample in record["samples"]:
        if processes and sample["process"] not in processes:
            yield f"sample '{sample['name']}' is of the missing process '{sample['process']}'"
        for region in sample.get("tables", ()):
            if regions and region not in regions:
                yield f"sample '{sample['name']}' has a table of the missing region '{region}'"


def latest_format(record, path):
    """A record of a run that was read from `path`, as the latest format has it.

    Raises InputError for a format that this version does not know, and where a name, a number or a
    path in it cannot be.
    """
    with record_errors(path):
        found = record["format"]
        if isinstance(found, bool) or found not in FORMATS:
            known = " and ".join(map(str, FORMATS))
            raise InputError(
                f"{path} has format {shown(found)}, this version reads {known}: {AGAIN}"
            )
        features = [dict(feature) for feature in record["features"]]
        for feature in features:
            if "bins" in feature:
                feature["binning"] = dict(
                    zip(("bins", "low", "high"), feature.pop("bins"), strict=True)
                )
        record = {**record, "features": features}
        for problem in RECORD.problems(record, ""):
            raise ValueError(problem)
        for problem in contradictions(record):
            raise ValueError(problem)
        return record


@contextmanager
def record_errors(path):
    """Around code that takes a record apart: what is missing or wrong becomes an InputError."""
    try:
        yield
    except KeyError as error:
        reason = f"{error} is missing"
    except (TypeError, ValueError, AttributeError, IndexError, OverflowError) as error:
        reason = str(error)
    else:
        return
    raise InputError(
        f"{path} is not a run.json of this program, or not complete ({reason}): {AGAIN}"
    )


# --- cutflow.json -----------------------------------------------------------------------------

CUTFLOW_ROW = Fields(
    {"cut": line(200, least=1), "entries": whole(), "sumw": NUMBER, "sumw2": FROM_0}
)
CUTFLOW = MapOf(NAME, MapOf(NAME, ListOf(CUTFLOW_ROW, least=1)))


# --- models -----------------------------------------------------------------------------------

UNITS = whole(1, 100_000)  # of a layer
FLOAT32 = Value(
    "a finite number of 32 bits",
    lambda value: not any(NUMBER.problems(value, "")) and abs(value) < 2**127,
)

FOLDS = Fields(
    {"format": whole(1, 1), "models": ListOf(NAME, least=1, most=100)}, needed=("models",)
)

NETWORK = Fields(
    {
        "format": whole(1, 1),
        "features": ListOf(NETWORK_INPUT, least=1, most=10_000),
        "log": ListOf(whole(0, 1)),
        "types": ListOf(COLUMN, most=50),
        "mask_absent": FLAG,
        "least": ListOf(ListOf(whole(0, 1000))),
        "layers": ListOf(
            Fields(
                {
                    "inputs": UNITS,
                    "units": UNITS,
                    "activation": OneOf(ACTIVATIONS),
                    "slope": Value(
                        "a number from -1000 to 1000",
                        lambda value: not any(NUMBER.problems(value, "")) and abs(value) <= 1000,
                    ),
                }
            ),
            least=1,
            most=100,
        ),
        "latent_layer": whole(0, 99),
        "smallest_error": Value(
            "a number above 0, at most 1",
            lambda value: not any(ABOVE_0.problems(value, "")) and value <= 1,
        ),
        "sha256": SHA256,
    }
)

MOST_NUMBERS = 100_000_000  # of a network


def network_numbers(network):
    """How many numbers belong to the content of a network.json."""
    layers = sum((layer["inputs"] + 1) * layer["units"] for layer in network["layers"])
    return 2 * len(network["features"]) + layers


def network_contradictions(network):
    """Yield what does not fit together in a network.json that keeps the rule NETWORK."""
    number, layers = len(network["features"]), network["layers"]
    if len(set(network["features"])) < number or len(set(network["types"])) < len(network["types"]):
        yield "a feature or a type stands twice"
    for key in ("log", "least"):
        if len(network[key]) != number:
            yield f"{key} has {len(network[key])} entries for {number} features"
    if any(len(row) != len(network["types"]) for row in network["least"]):
        yield f"least has rows of another length than {len(network['types'])} types"
    sizes = [number, *(layer["units"] for layer in layers)]
    if [layer["inputs"] for layer in layers] != sizes[:-1] or sizes[-1] != number:
        yield "the layers do not fit each other"
    if network["latent_layer"] >= len(layers):
        yield f"latent_layer is {network['latent_layer']} of {len(layers)} layers"
    if network_numbers(network) > MOST_NUMBERS:
        yield f"it has {network_numbers(network)} numbers, more than {MOST_NUMBERS}"


DESCRIBED = OneOf((*ACTIVATIONS, OTHER_ACTIVATION))
LAYER = Fields({"units": whole(0, 100_000), "activation": DESCRIBED})
PART = Fields({"events": whole(), "sum_of_weights": NUMBER})

AUTOENCODER = Fields(
    {
        "name": line(100, least=1),
        "encoder": ListOf(LAYER, most=50),
        "latent": LAYER,
        "decoder": ListOf(LAYER, most=50),
        "output": DESCRIBED,
        "made_for": whole(1, 100_000),
        "scaler": OneOf(SCALERS),
        "learning_rate": ABOVE_0,
        "slope": NUMBER,
        "kernel_l1": FROM_0,
        "activity_l2": FROM_0,
        "variational": FLAG,
        "sigma": ABOVE_0,
        "penalty": OneOf(("mean", "sum")),
        "likelihood": FLAG,
        "categories": whole(0, 100_000),
    },
    needed=tuple(
        "name encoder latent decoder output made_for scaler learning_rate slope kernel_l1 "
        "activity_l2 variational sigma".split()
    ),
)

SPLIT = Fields({"folds": whole(1, 100), "validation": whole(0, 99), "test": Maybe(whole(0, 99))})
MODEL = Fields(
    {
        "format": whole(1, 1),
        "network": AUTOENCODER,
        "training": Fields(
            {
                "epochs": whole(1),
                "batch": whole(1),
                "patience": whole(1),
                "plateau": whole(1),
                "least_gain": FROM_0,
                "weights": OneOf(("keep", "absolute", "zero")),
                "mask_absent": FLAG,
                "folds": whole(1, 100),
                "seed": whole(-(2**62)),
                "precision": OneOf(("float32", "mixed_bfloat16")),
                "jit": Maybe(FLAG),
                "steps_per_call": Maybe(whole(1)),
                "memory_gib": FROM_0,
                "tensorboard": FLAG,
            },
            needed=tuple(
                "epochs batch patience plateau weights mask_absent folds seed precision jit "
                "steps_per_call memory_gib tensorboard".split()
            ),
        ),
        "split": SPLIT,
        "region": NAME,
        "features": ListOf(
            Fields(
                {
                    "name": NETWORK_INPUT,
                    "unit": line(50),
                    "objects": ListOf(ListOf(whole(0, 1000), least=2, most=2), most=2),
                    "log": FLAG,
                    "shift": FLOAT32,
                    "factor": FLOAT32,
                },
                needed=("name", "log", "shift", "factor"),
            ),
            least=1,
            most=10_000,
            by="name",
        ),
        "types": ListOf(COLUMN, most=50),
        "dropped": ListOf(NETWORK_INPUT),
        "scaler": OneOf(SCALERS),
        "train": PART,
        "validation": PART,
        "inputs": MapOf(NAME, Fields({"process": NAME, "rows": whole(), "sha256": SHA256})),
        "history": MapOf(COLUMN, ListOf(NUMBER, least=1)),
        "best_epoch": whole(1),
        "versions": MapOf(line(100), line(100)),
        "signature": SHA256,
        "search": Maybe(ANYTHING),
        "own": Maybe(line(100, least=1)),
        "capped": FLAG,
        "files": MapOf(FILE, SHA256),
    },
    needed=("format", "region", "features", "history", "best_epoch"),
)


# Of a portfolio: what part of the background some detectors may let pass in some topologies.
PART_OF_BUDGET = Fields(
    {
        "members": ListOf(NAME, least=1, most=100),
        "topologies": ListOf(NAME, least=1, most=100),
        "share": ABOVE_0,
    },
    others=True,
)
DETECTOR = Fields(
    {
        "format": whole(1, 1),
        "kind": COLUMN,
        "config": Fields({"parts": ListOf(PART_OF_BUDGET, most=100)}, needed=(), others=True),
        "seed": whole(-(2**62)),
        "weights": OneOf(("keep", "absolute", "zero")),
        "split": SPLIT,
        "region": NAME,
        "names": ListOf(NETWORK_INPUT, least=1, most=10_000),
        "inputs": MapOf(NAME, Fields({"process": NAME, "rows": whole(), "sha256": SHA256})),
        "versions": MapOf(line(100), line(100)),
        "signature": SHA256,
        "numbers": SHA256,
    }
)


def model_contradictions(model):
    """Yield what does not fit together in a model.json that keeps the rule MODEL."""
    history = model["history"]
    if not {"loss", "val_loss"} <= set(history):
        yield "history has no loss and val_loss"
    elif {len(values) for values in history.values()} != {len(history["loss"])}:
        yield "history has curves of different lengths"
    elif model["best_epoch"] > len(history["loss"]):
        yield f"best_epoch is {model['best_epoch']} of {len(history['loss'])}"
    types = len(model.get("types", ()))
    for feature in model["features"]:
        if any(kind >= types for kind, _ in feature.get("objects", ())):
            yield f"feature '{feature['name']}' is made of an object of an unknown type"
    split = model.get("split")
    if split and max(split["validation"], split["test"] or 0) >= split["folds"]:
        yield "split has a fold that is not there"
    network = model.get("network")
    if network and not network["latent"]["units"]:
        yield "network.latent has no units"


ORIGIN = Fields(
    {"sample": NAME, "region": NAME, "model": NAME}, needed=("region", "model"), others=True
)


def plain_name(value):
    """Whether a word can be the name of a folder or a file."""
    return is_text(value, 100) and not any(NAME.problems(value, ""))
