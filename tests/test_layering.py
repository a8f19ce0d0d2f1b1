"""Who may import whom."""

import ast
import subprocess
import sys

import pytest
from conftest import REPOSITORY

KERAS = {"keras", "tensorflow", "keras_tuner"}
DRAWING = {"matplotlib", "mplhep"}
NEVER = {
    "helpers": {"analysis", "ml", "plotting", *KERAS, *DRAWING},
    "analysis": {"ml", "plotting", *KERAS, *DRAWING},
    "ml": {"ROOT", "helpers", "plotting", *DRAWING},
    "plotting": {"ROOT", "helpers", "ml", *KERAS},
}

# Modules of analysis that work without ROOT and start in a fraction of a second.
SHARED = ("errors", "files", "output")
DECLARATIONS = ("processes", "samples", "schemas", "selection", "features", "plan")
# The part of analysis that the others may import.
OFFERED = {"ml": SHARED, "plotting": (*SHARED, *DECLARATIONS)}

FILES = sorted(path for part in NEVER for path in (REPOSITORY / part).rglob("*.py"))


def imported(path):
    """Modules that a file imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_part_imports_only_what_it_may(path):
    part = path.relative_to(REPOSITORY).parts[0]
    if path.name == "generate.py":
        pytest.skip("makes the demo, is no part of the program")
    found = {name.split(".")[0] for name in imported(path)}
    assert found & NEVER[part] == set()
    if part in OFFERED:
        assert from_analysis(path) <= set(OFFERED[part])


def from_analysis(path):
    """Modules of analysis that a file imports."""
    return {name.split(".")[1] for name in imported(path) if name.startswith("analysis.")}


@pytest.mark.parametrize("name", (*SHARED, *DECLARATIONS))
def test_declarations_import_the_standard_library_and_each_other(name):
    path = REPOSITORY / "analysis" / f"{name}.py"
    found = {module.split(".")[0] for module in imported(path)}
    assert found - set(sys.stdlib_module_names) - {"numpy", "tables"} <= {"analysis"}
    assert from_analysis(path) <= {*SHARED, *(DECLARATIONS if name in DECLARATIONS else ())}


def test_list_loads_neither_root_nor_numpy_nor_pandas():
    code = (
        "import sys, run_rdf; run_rdf.main(['--list']); "
        "print(*sorted({'ROOT', 'numpy', 'pandas', 'tables', 'matplotlib'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == ""


def test_no_header_opens_a_namespace():
    for path in (REPOSITORY / "helpers").glob("*.h"):
        assert "using namespace" not in path.read_text(), path.name
