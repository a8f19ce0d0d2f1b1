"""How the code is written, and which of its names other people's scripts may use.

Types stand where values are kept: every field of a dataclass has one. A signature has names only;
the docstring says what they do not, such as shapes, units and errors. Everything public has a
docstring, but for methods of a class that has a base, which documents them.
"""

import ast

import pytest
from test_layering import FILES, REPOSITORY

# Names that other people's scripts may rely on.
PUBLIC = {
    "helpers": ("load", "load_engine"),
    "run_rdf": ("dataframes", "main"),
    "m3l": ("M3LError", "call", "dataframes", "explain", "results", "run", "show"),
    "analysis.explain": ("explain",),
    "analysis.errors": ("M3LError", "DeclarationError", "InputError", "OutputError"),
    "analysis.output": ("IDENTITY", "WEIGHT", "Table", "read_run"),
    "ml.dataset": ("Dataset", "Events"),
    "ml.recompute": ("read_objects", "recompute"),
    "ml.autoencoder": ("HyperParameterTuning", "RunAE", "RunVAE"),
    "analysis.results": ("Histogram", "Results"),
}

NAMES = {str(path.relative_to(REPOSITORY)): path for path in FILES if path.name != "generate.py"}


def public(node, prefix=""):
    """Yield (name, node) of the public functions, classes and methods in a module or class."""
    for inner in node.body:
        if isinstance(inner, ast.FunctionDef | ast.ClassDef) and not inner.name.startswith("_"):
            yield prefix + inner.name, inner
        if isinstance(inner, ast.ClassDef) and not inner.bases:
            yield from public(inner, f"{prefix}{inner.name}.")


@pytest.mark.parametrize("name", NAMES)
def test_what_is_public_has_a_docstring(name):
    module = ast.parse(NAMES[name].read_text())
    found = [("the module", module), *public(module)]
    assert not [each for each, node in found if not ast.get_docstring(node)]


@pytest.mark.parametrize("name", NAMES)
def test_types_stand_at_fields_and_not_in_signatures(name):
    nodes = list(ast.walk(ast.parse(NAMES[name].read_text())))
    arguments = {node.arg for node in nodes if isinstance(node, ast.arg) and node.annotation}
    returns = {node.name for node in nodes if isinstance(node, ast.FunctionDef) and node.returns}
    assert not arguments | returns
    for node in nodes:
        if isinstance(node, ast.ClassDef) and "dataclass" in map(called, node.decorator_list):
            bare = [ast.unparse(inner) for inner in node.body if isinstance(inner, ast.Assign)]
            assert not bare, f"fields of {node.name} without a type: {bare}"


def called(decorator):
    """The name of a decorator, with or without arguments."""
    return ast.unparse(decorator.func if isinstance(decorator, ast.Call) else decorator)


@pytest.mark.parametrize("module", PUBLIC)
def test_public_names_are_there(module):
    """Read, not imported: ROOT and TensorFlow do not go into one process."""
    path = REPOSITORY / module.replace(".", "/")
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    defined = set()
    for node in ast.parse(file.read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            defined.add(node.name)
        elif isinstance(node, ast.Assign):
            defined |= {ast.unparse(target) for target in node.targets}
        elif isinstance(node, ast.ImportFrom):
            defined |= {alias.asname or alias.name for alias in node.names}
    assert set(PUBLIC[module]) <= defined
