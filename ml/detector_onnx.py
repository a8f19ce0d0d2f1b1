"""A detector that is no network as ONNX: the parts of its score as one graph.

The parts are those of analysis/detector_scores.py, which says what each kind computes; numbers are
of double precision, but for sums of trees, which ONNX rounds to 32 bits. docs/detectors.md says how
to use the file.
"""

import numpy as np

from analysis.detector_scores import Inputs, score_of
from analysis.errors import InputError, M3LError, OutputError
from analysis.files import atomic_file
from analysis.output import RETRAIN
from analysis.records import column_of

FOLD, SCORE = "fold", "score"
OPSETS = {"": 13, "ai.onnx.ml": 3}
TOLERANCE = 1e-5  # of the score, relative where it is above 1
EVENTS = 2000  # that are compared
SMALLEST = 1e-30  # of what a logarithm is taken of, as in helpers/detectors.cxx


def write_detector(detectors, path):
    """Write trained detectors as ONNX and compare scores; return the largest difference.

    detectors: of ml.detectors, one, or that of each fold
    The file has an input of 32 bit floats (events,) for each column, of several detectors also
    `fold` (events,) of 64 bit integers, which chooses the detector; its output `score` is (events,)
    32 bit floats.
    Raises OutputError, and writes nothing, if scores differ, M3LError without ONNX, InputError for
    a detector of which ONNX has no parts.
    """
    try:
        import onnx
        import onnxruntime
    except ImportError as error:
        raise M3LError(f"ONNX export needs {error.name}: pip install '.[ml]'") from None
    graph = Graph(*map(parts_of, detectors))
    with atomic_file(path) as temporary:
        model = graph.model()
        onnx.checker.check_model(model)
        temporary.write_bytes(model.SerializeToString())
        session = onnxruntime.InferenceSession(str(temporary), providers=["CPUExecutionProvider"])
        given, expected = compared(detectors, graph)
        found = session.run([SCORE], given)[0]
        difference = float((np.abs(found - expected) / np.maximum(1, np.abs(expected))).max())
        if not difference <= TOLERANCE:
            raise OutputError(f"the ONNX scores differ from ours by {difference:.2g}: not written")
    return difference


def parts_of(detector):
    """The Part that is a detector's score, and its Inputs. Raises InputError."""
    record, inputs = detector.record_, Inputs()
    content = {"kind": record.kind, "config": record.config, "names": record.names}
    try:
        return score_of(content, detector.numbers_, inputs), inputs
    except (ValueError, KeyError) as error:
        raise InputError(
            f"{detector.path} holds no detector of this version ({error}): {RETRAIN}"
        ) from None


def columns_of(inputs):
    """Names of the columns that inputs are made of, in order; a code stands once."""
    return tuple(dict.fromkeys(column_of(name)[0] for name in inputs))


def compared(detectors, graph):
    """Random events on which scores are compared: {input: values}, and (events,) scores.

    A third of the values are thresholds of trees and knots, rounded up or down to 32 bits; others
    lie between these and beyond.
    """
    random = np.random.default_rng(0)
    given = {}
    for column in graph.columns:
        marks = np.unique(np.concatenate([*graph.marks.get(column, ()), [0.0, 1.0, 2.0]]))
        steps = np.float32(random.choice(marks, EVENTS))
        beside = np.nextafter(steps, np.float32(random.choice([-np.inf, np.inf], EVENTS)))
        span = marks[-1] - marks[0]
        between = np.float32(random.uniform(marks[0] - span / 10, marks[-1] + span / 10, EVENTS))
        which = random.integers(0, 3, EVENTS)
        given[column] = np.choose(which, (steps, beside, between)).astype(np.float32)
    fold = random.integers(0, len(detectors), EVENTS)
    expected = np.empty(EVENTS, np.float32)
    for number, detector in enumerate(detectors):
        rows = fold == number
        x = np.empty((rows.sum(), len(detector.record_.names)))
        for place, name in enumerate(detector.record_.names):
            column, category = column_of(name)
            values = given[column][rows]
            x[:, place] = values if category is None else values == category
        expected[rows] = detector.evaluate(x)
    return given | ({FOLD: fold} if len(detectors) > 1 else {}), expected


class Graph:
    """A graph that computes the score of one detector, or of that of each fold.

    Attributes:
        columns: names of its inputs
        marks: {column: list of arrays} where a score is not smooth
    """

    def __init__(self, *scores):
        """Scores: of each detector the Part and its Inputs"""
        from onnx import helper, numpy_helper

        self.helper, self.tensor = helper, numpy_helper.from_array
        self.nodes, self.tensors, self.marks = [], {}, {}
        self.columns = columns_of([name for _, inputs in scores for name in inputs.places])
        found = []
        for score, inputs in scores:
            self.inputs, self.made = [*inputs.places], {}
            self.x = self.matrix()
            found.append(self.value(score))
        shape = self.add("Shape", self.columns[0])
        found = [self.add("Expand", each, shape) for each in found]
        if len(found) > 1:
            rows = self.add("Concat", *(self.column(each) for each in found), axis=1)
            chosen = self.add("GatherElements", rows, self.column(FOLD), axis=1)
            found = [self.add("Squeeze", chosen, self.constant([1]))]
        self.folds = len(scores)
        self.add("Cast", found[0], to=1, name=SCORE)

    def model(self):
        """The onnx.ModelProto."""
        from onnx import TensorProto

        info = self.helper.make_tensor_value_info
        inputs = [info(name, TensorProto.FLOAT, ["events"]) for name in self.columns]
        if self.folds > 1:
            inputs.append(info(FOLD, TensorProto.INT64, ["events"]))
        graph = self.helper.make_graph(
            self.nodes,
            "detector",
            inputs,
            [info(SCORE, TensorProto.FLOAT, ["events"])],
            [self.tensor(values, name) for name, values in self.tensors.items()],
        )
        opsets = [self.helper.make_opsetid(*each) for each in OPSETS.items()]
        return self.helper.make_model(
            graph, opset_imports=opsets, ir_version=8, producer_name="m3l"
        )

    # ---- pieces

    def add(self, operation, *inputs, domain="", name=None, **attributes):
        """Add a node and return the name of its output."""
        name = name or f"t{len(self.nodes)}"
        self.nodes.append(
            self.helper.make_node(operation, inputs, [name], domain=domain, **attributes)
        )
        return name

    def constant(self, values):
        """The name of a constant, doubles or 64 bit integers."""
        values = np.asarray(values)
        kind = np.int64 if values.dtype.kind in "iu" else np.float64
        name = f"c{len(self.tensors)}"
        self.tensors[name] = values.astype(kind)
        return name

    def double(self, name):
        """Numbers in double precision."""
        return self.add("Cast", name, to=11)

    def column(self, name):
        """(events, 1) of (events,)."""
        return self.add("Unsqueeze", name, self.constant([1]))

    def matrix(self):
        """(events, inputs) doubles."""
        columns = []
        for name in self.inputs:
            column, category = column_of(name)
            if category is not None:
                wanted = self.constant(float(category))
                column = self.add("Equal", self.double(column), wanted)
            columns.append(self.column(self.double(column)))
        return self.add("Concat", *columns, axis=1)

    def input(self, place):
        """(events,) of one input."""
        return self.add("Gather", self.x, self.constant(int(place)), axis=1)

    def chosen(self, places):
        """(events, places) of some inputs."""
        return self.add("Gather", self.x, self.constant(places), axis=1)

    def mark(self, place, values):
        """Remember where the score is not smooth in an input."""
        self.marks.setdefault(column_of(self.inputs[place])[0], []).append(np.asarray(values))

    def total(self, values):
        """(events,) sum of (events, n)."""
        return self.add("ReduceSum", values, self.constant([1]), keepdims=0)

    def trees(self, x, feature, threshold, left, right, value, roots, output, mode="BRANCH_LEQ"):
        """(events, outputs) sums of trees, which are arrays as in docs/formats.md.

        mode: what sends an event to the left
        """
        feature, left, right = (np.asarray(each) for each in (feature, left, right))
        count = len(feature)
        leaf = left == np.arange(count)
        tree = np.full(count, -1)
        tree[np.asarray(roots)] = np.arange(len(roots))
        for node in np.flatnonzero(~leaf):  # children stand behind their parents
            tree[[left[node], right[node]]] = tree[node]
        used = tree >= 0
        ends = np.flatnonzero(leaf & used)
        nodes = np.flatnonzero(used)
        found = self.add(
            "TreeEnsembleRegressor",
            x,
            domain="ai.onnx.ml",
            aggregate_function="SUM",
            n_targets=int(np.max(output)) + 1,
            nodes_treeids=tree[nodes].tolist(),
            nodes_nodeids=nodes.tolist(),
            nodes_featureids=np.where(leaf, 0, feature)[nodes].tolist(),
            nodes_modes=["LEAF" if leaf[node] else mode for node in nodes],
            nodes_truenodeids=np.where(leaf, 0, left)[nodes].tolist(),
            nodes_falsenodeids=np.where(leaf, 0, right)[nodes].tolist(),
            nodes_values_as_tensor=self.tensor(np.asarray(threshold, float)[nodes]),
            target_treeids=tree[ends].tolist(),
            target_nodeids=ends.tolist(),
            target_ids=np.asarray(output)[tree[ends]].tolist(),
            target_weights_as_tensor=self.tensor(np.asarray(value, float)[ends]),
        )
        return self.double(found)

    def interpolated(self, value, x, y):
        """(events,) between knots a line, beyond them the last value, of (events,)."""
        if len(x) == 1:
            return self.constant([float(y[0])])
        # The interval is found by a tree, which looks at a dozen of thousands of knots.
        found = self.trees(self.column(value), *search(x[1:-1]), mode="BRANCH_LT")
        place = self.add("Cast", self.add("Squeeze", found, self.constant([1])), to=7)
        inside = self.add("Clip", value, self.constant(float(x[0])), self.constant(float(x[-1])))
        start, height, slope = (
            self.add("Gather", self.constant(each), place)
            for each in (x[:-1], y[:-1], np.diff(y) / np.diff(x))
        )
        return self.add("Add", height, self.add("Mul", slope, self.add("Sub", inside, start)))

    # ---- the parts, with the names and arguments of helpers/detectors.h

    def value(self, part):
        """(events,) or (1,) doubles of a Part, made once."""
        if part not in self.made:
            function = getattr(self, part.function, None)
            if function is None:
                raise InputError(f"ONNX export knows no {part.function}")
            self.made[part] = function(*part.arguments)
        return self.made[part]

    def constantScore(self, value):  # noqa: N802
        """The same for every event."""
        return self.constant([float(value)])

    def inputScore(self, place):  # noqa: N802
        """An input itself."""
        return self.input(place)

    def sumScore(self, factor, parts):  # noqa: N802
        """A factor times a sum."""
        total = self.add("Sum", *map(self.value, parts))
        return self.add("Mul", self.constant(float(factor)), total)

    def largestScore(self, parts):  # noqa: N802
        """The largest of others."""
        return self.add("Max", *map(self.value, parts))

    def powerScore(self, exponent):  # noqa: N802
        """2 to the power of another."""
        return self.add("Pow", self.constant([2.0]), self.value(exponent))

    def roundedScore(self, score):  # noqa: N802
        """Another, rounded to 32 bits."""
        return self.double(self.add("Cast", self.value(score), to=1))

    def topologyScore(self, inputs, window, cases):  # noqa: N802
        """The score of the event's topology."""
        pairs, distance, jets = map(self.input, inputs)
        self.mark(inputs[1], [window])
        zero = self.constant([0.0])
        none, tagged = self.add("Equal", pairs, zero), self.add("Greater", jets, zero)
        at_z = self.add("Less", distance, self.constant([float(window)]))
        values = [*map(self.value, cases)]
        groups = [self.add("Where", tagged, values[n + 1], values[n]) for n in (0, 2, 4)]
        return self.add("Where", none, groups[0], self.add("Where", at_z, groups[2], groups[1]))

    def forestScore(  # noqa: N802
        self, feature, threshold, left, right, value, roots, output, factor
    ):
        """A factor times the largest sum of trees."""
        if not len(roots):
            return self.constant([0.0])
        inner = left != np.arange(len(left))
        for place in np.unique(feature[inner]):
            self.mark(place, threshold[inner & (feature == place)])
        sums = self.trees(self.x, feature, threshold, left, right, value, roots, output)
        largest = self.add("ReduceMax", sums, axes=[1], keepdims=0)
        return self.add("Mul", self.constant(float(factor)), largest)

    def survivalScore(self, x, y, tail, score):  # noqa: N802
        """Minus the logarithm of a share, with an exponential tail."""
        if score.function == "inputScore":
            self.mark(*score.arguments, x)
        start, at_start, slope = (self.constant(float(each)) for each in tail)
        value = self.value(score)
        above = self.add("Sub", value, start)
        beyond = self.add("Add", at_start, self.add("Mul", slope, above))
        inside = self.interpolated(value, x, y)
        return self.add("Where", self.add("Greater", value, start), beyond, inside)

    def mixtureScore(self, inputs, quantiles, knots, means, whitening, shares):  # noqa: N802
        """Minus the logarithm of the density of a Gaussian mixture."""
        number, columns = len(quantiles), []
        tenth = number // 10
        for place, at in zip(inputs, knots, strict=True):
            self.mark(place, at)
            value = self.input(place)
            up = (quantiles[-1] - quantiles[-1 - tenth]) / max(at[-1] - at[-1 - tenth], 1e-9)
            down = (quantiles[tenth] - quantiles[0]) / max(at[tenth] - at[0], 1e-9)
            parts = [self.interpolated(value, at, quantiles)]
            for limit, keep, slope in ((at[-1], "Max", up), (at[0], "Min", down)):
                beyond = self.add("Sub", value, self.constant([float(limit)]))
                beyond = self.add(keep, beyond, self.constant([0.0]))
                parts.append(self.add("Mul", beyond, self.constant(float(slope))))
            columns.append(self.column(self.add("Sum", *parts)))
        z, found = self.add("Concat", *columns, axis=1), []
        for mean, white, share in zip(means, whitening, shares, strict=True):
            offset = np.log(share) - 0.5 * len(mean) * np.log(2 * np.pi)
            offset += np.log(np.diagonal(white)).sum()
            away = self.add("Sub", z, self.constant(mean))
            away = self.add("MatMul", away, self.constant(white))
            square = self.total(self.add("Mul", away, away))
            half = self.add("Mul", square, self.constant(-0.5))
            found.append(self.add("Add", half, self.constant([float(offset)])))
        largest = self.add("Max", *found)
        shifted = [self.add("Exp", self.add("Sub", each, largest)) for each in found]
        logarithm = self.add("Log", self.add("Sum", *shifted))
        return self.add("Neg", self.add("Add", largest, logarithm))

    def principalScore(self, inputs, mean, factor, axes):  # noqa: N802
        """log10 of the mean squared error of what principal components rebuild."""
        for place, middle, share in zip(inputs, mean, factor, strict=True):
            self.mark(place, typical(middle, share))
        z = self.add("Sub", self.chosen(inputs), self.constant(mean))
        z = self.add("Mul", z, self.constant(factor))
        along = self.add("MatMul", z, self.constant(axes))
        rebuilt = self.add("MatMul", along, self.constant(axes.T))
        error = self.add("Sub", z, rebuilt)
        return self.log10(self.mean(self.add("Mul", error, error), len(inputs)))

    def distanceScore(  # noqa: N802
        self, inputs, mean, factor, sizes, depth, kernels, slope, target
    ):
        """log10 of the mean over networks of the mean squared distance from a target."""
        for place, middle, share in zip(inputs, mean, factor, strict=True):
            self.mark(place, np.expm1(typical(middle, share)))
        start = self.add("Abs", self.chosen(inputs))
        start = self.add("Log", self.add("Add", start, self.constant(1.0)))
        start = self.add("Sub", start, self.constant(mean))
        start = self.add("Mul", start, self.constant(factor))
        distances, next_kernel = [], 0
        for first in range(0, len(sizes), depth):
            y, width = start, len(inputs)
            for layer, size in enumerate(map(int, sizes[first : first + depth])):
                kernel = kernels[next_kernel : next_kernel + width * size].reshape(width, size)
                next_kernel, width = next_kernel + kernel.size, size
                y = self.add("MatMul", y, self.constant(kernel))
                if layer + 1 < depth:
                    steep = self.add("Mul", y, self.constant(float(slope)))
                    y = self.add("Where", self.add("Greater", y, self.constant(0.0)), y, steep)
            away = self.add("Sub", y, self.constant(float(target)))
            distances.append(self.mean(self.add("Mul", away, away), width))
        share = self.constant(float(depth / len(sizes)))
        return self.log10(self.add("Mul", self.add("Sum", *distances), share))

    def mean(self, values, number):
        """(events,) mean of (events, number)."""
        return self.add("Mul", self.total(values), self.constant(1 / number))

    def log10(self, value):
        """The logarithm of a number, which is raised to the smallest."""
        raised = self.add("Max", value, self.constant([SMALLEST]))
        return self.add("Mul", self.add("Log", raised), self.constant(float(1 / np.log(10))))


def typical(mean, factor):
    """Values of an input that is (value - mean) * factor to a score; its factor may be 0."""
    return mean + (np.arange(-3, 4) / factor if factor else np.zeros(1))


def search(steps):
    """A tree, as arrays, whose value is how many of rising steps a number has reached."""
    nodes = []  # [threshold, left, right, value]

    def grow(low, high):
        place, middle = len(nodes), (low + high) // 2
        nodes.append([0.0, place, place, float(low)])
        if low < high:
            nodes[place][0] = steps[middle]
            nodes[place][1] = grow(low, middle)
            nodes[place][2] = grow(middle + 1, high)
        return place

    grow(0, len(steps))
    threshold, left, right, value = map(np.array, zip(*nodes, strict=True))
    return np.zeros(len(nodes), int), threshold, left, right, value, [0], [0]
