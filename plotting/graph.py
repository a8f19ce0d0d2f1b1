"""The computation graph of a run: which column needs which, from the declarations in its record."""

from dataclasses import dataclass

from analysis.errors import InputError
from analysis.output import RUN, WEIGHT
from analysis.plan import identifiers
from analysis.results import AGAIN
from analysis.schemas import SCHEMAS

KINDS = ("column", "object", "variable", "weight", "matrix", "feature", "cut")


@dataclass(frozen=True)
class Node:
    """A column, a feature or a cut."""

    name: str
    kind: str  # one of KINDS
    text: str
    level: int  # 0 for columns of the ntuple, otherwise after everything it needs
    needs: tuple[str, ...]  # names of nodes


def make_graph(results):
    """The nodes of a run in an order in which each comes after those it needs.

    Only what features, matrix, weight and cuts need is there. Cuts of a region come after each
    other, since a cut sees only the events that passed those before it. Raises InputError.
    """
    record = results.record
    try:
        declared = {d["name"]: ("object", " && ".join(d["cuts"])) for d in record["objects"]}
        declared |= {d["name"]: ("variable", d["expression"]) for d in record["variables"]}
        wanted = {}
        for feature in record["features"]:
            if feature["expression"] and feature["binning"]:
                name = feature["name"]
                wanted[f"feature {name}"] = ("feature", name, identifiers(feature["expression"]))
        layout = record["layout"]
        parts = ["met_Et", "met_Phi"]
        left_out = {text for sample in record["samples"] for text in sample["left_out"]}
        counted = {feature["name"] for feature in record["features"]}
        for kind in layout["types"]:
            if f"n_{kind['name']}" not in counted:
                continue  # objects that the input format does not carry
            parts += [f"{kind['of']}{part}" for part in ("Pt", "Eta", "Phi", "M")] + [kind["mask"]]
        text = f"{layout['name']} matrix, {len(results.cells)} x {len(results.cells)}"
        wanted["matrix"] = ("matrix", text, parts)
        schemas = dict.fromkeys(s["schema"] for s in record["samples"] if s["kind"] != "data")
        factors = dict.fromkeys(
            name
            for schema in schemas
            for name in SCHEMAS[schema].weights
            if f"{WEIGHT}: {name}" not in left_out
        )
        wanted["weight"] = ("weight", WEIGHT, list(factors))
        for region in record["regions"]:
            for cut in region["cuts"]:
                key = f"cut {region['name']} {cut['name']}"
                text = f"{region['name']}: {cut['name']}"
                wanted[key] = ("cut", text, identifiers(cut["expression"]))
        # Features that cuts or others are made of come where they are needed.
        needed = {name for *_, needs in wanted.values() for name in needs}
        for feature in record["features"]:
            name = feature["name"]
            expression = feature["expression"]
            if name in needed and expression not in (None, name) and name not in declared:
                declared[name] = ("feature", expression)
                wanted.pop(f"feature {name}", None)
    except (KeyError, TypeError, ValueError) as error:
        path = results.folder / RUN
        raise InputError(f"{path} lacks declarations ({error!r}): {AGAIN}") from None
    nodes = {}

    def add(name, kind, text, needs):
        for need in needs:
            if need not in nodes:
                below, expression = declared.get(need, ("column", ""))
                inputs = [n for n in identifiers(expression) if n != need]
                nodes[need] = None  # a definition that needs itself must not go on for ever
                add(need, below, need, inputs)
        needs = [need for need in dict.fromkeys(needs) if nodes[need] is not None]
        level = 1 + max((nodes[need].level for need in needs), default=-1)
        nodes.pop(name, None)  # after those it needs
        nodes[name] = Node(name, kind, text, level, tuple(needs))

    for name, (kind, text, needs) in wanted.items():
        add(name, kind, text, needs)
    last = max(node.level for node in nodes.values())
    return tuple(
        Node(n.name, n.kind, n.text, last if n.name in wanted else n.level, n.needs)
        for n in nodes.values()
    )


def places(nodes):
    """{name: (level, row)} of the nodes, rows centred around 0, so that few lines cross.

    In each level, nodes are sorted by the mean row of their neighbours, forth and back (the
    barycentre method of K. Sugiyama and others, IEEE Trans. Syst. Man Cybern. 11 (1981) 109);
    the last level keeps its order.
    """
    levels = {}
    for node in nodes:
        levels.setdefault(node.level, []).append(node.name)
    last = max(levels)
    levels[last].sort(key=lambda name: KINDS.index(next(n.kind for n in nodes if n.name == name)))
    before = {node.name: node.needs for node in nodes}
    after = {node.name: [n.name for n in nodes if node.name in n.needs] for node in nodes}
    row = {}

    def spread():
        for names in levels.values():
            for place, name in enumerate(names):
                row[name] = (place - (len(names) - 1) / 2) / max(len(names), 8)

    spread()
    for sweep in range(8):
        for level in sorted(levels, reverse=sweep % 2 == 0):
            if level == last:
                continue
            beside = after if sweep % 2 == 0 else before

            def mean(name, beside=beside):
                rows = [row[other] for other in beside[name]]
                return sum(rows) / len(rows) if rows else row[name]

            levels[level].sort(key=mean)
            spread()
    return {
        node.name: (node.level, levels[node.level].index(node.name) - len(levels[node.level]) / 2)
        for node in nodes
    }
