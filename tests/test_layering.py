"""Who may import whom."""

import ast
import sys
from collections import Counter

import pytest
from conftest import REPOSITORY, run_code

KERAS = {"keras", "tensorflow", "keras_tuner"}
DRAWING = {"matplotlib", "mplhep"}
NEVER = {
    "helpers": {"analysis", "ml", "plotting", *KERAS, *DRAWING},
    "analysis": {"ml", "plotting", *KERAS, *DRAWING},
    "analysis/stats": {"ROOT", "helpers", "ml", "plotting", *KERAS, *DRAWING},
    "ml": {"ROOT", "helpers", "plotting", *DRAWING},
    "plotting": {"ROOT", "helpers", "ml", *KERAS},
}

# Modules of analysis that work without ROOT and start in a fraction of a second.
SHARED = (
    "console",
    "content",
    "correlation",
    "detector_files",
    "detector_scores",
    "errors",
    "files",
    "good_runs",
    "hdf5",
    "hdf5_writer",
    "output",
    "performance",
    "places",
    "records",
    "rivals",
    "scored",
    "stats_files",
    "study_files",
    "topology",
)
DECLARATIONS = (
    "corrections",
    "features",
    "plan",
    "processes",
    "samples",
    "schemas",
    "selection",
    "systematics",
    "triggers",
)
# The part of analysis that the others may import.
OFFERED = {
    "analysis/stats": (*SHARED, *DECLARATIONS, "results", "shifts", "stats"),
    "ml": SHARED,
    "plotting": (*SHARED, *DECLARATIONS, "results", "shifts"),
}

SOURCES = (".py", ".cxx", ".h")
FILES = sorted({path for part in NEVER for path in (REPOSITORY / part).rglob("*.py")})


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
    parts = path.relative_to(REPOSITORY).parts
    part = "analysis/stats" if parts[:2] == ("analysis", "stats") else parts[0]
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
    # The plan asks the helpers for the names of their types, which takes no ROOT.
    allowed = {"analysis", "helpers"} if name == "plan" else {"analysis"}
    assert found - set(sys.stdlib_module_names) - {"numpy", "h5py", "blosc2"} <= allowed
    assert from_analysis(path) <= {*SHARED, *(DECLARATIONS if name in DECLARATIONS else ())}


def test_no_file_name_stands_twice():
    """A header and its source count as one."""
    files = [p for part in NEVER for p in (REPOSITORY / part).rglob("*") if p.suffix in SOURCES]
    names = Counter(path.stem for path in {path.with_suffix("") for path in files})
    twice = {name for name, number in names.items() if number > 1}
    assert twice <= {"__init__", "__main__", "LinkDef"}


def test_list_loads_neither_root_nor_numpy_nor_pandas():
    code = (
        "import sys, run_rdf; run_rdf.main(['--list']); "
        "print(*sorted({'ROOT', 'numpy', 'pandas', 'tables', 'matplotlib'} & set(sys.modules)))"
    )
    done = run_code(code)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == ""


def test_no_header_opens_a_namespace():
    for path in (REPOSITORY / "helpers").rglob("*.h"):
        # That of the prompt is for the interpreter only.
        assert path.name == "prompt.h" or "using namespace" not in path.read_text(), path.name
