"""Expressions as compiled code: what is written, cached, shared and complained about."""

import re

import pytest

from analysis.errors import DeclarationError
from analysis.plan import IDENTITY, MATRIX, WEIGHT, Definition, Plan

ROW = (1, 1, 0)  # numbers of cells, floats and integers


@pytest.fixture
def source(ROOT):
    """Function that writes the C++ file of a Plan."""
    from analysis.compiled import Source

    return lambda plan: Source.of(plan, ROW).text


def simple_plan(*definitions, cut="x > 1", constant=1.0):
    """A Plan of one region with a cut; definitions are (name, expression, inputs)."""
    made = [
        Definition(n, e, f"feature '{n}' in analysis/features.py", i) for n, e, i in definitions
    ]
    where = "cut 'c' of region 'R' in analysis/selection.py"
    return Plan(
        {"x": "int", WEIGHT: "double", MATRIX: "ROOT::RVecF", **dict.fromkeys(IDENTITY, "int")},
        {"normalisation": constant},
        tuple(made),
        {"R": (Definition("c", cut, where, ("x",)),)},
        (*IDENTITY, WEIGHT, MATRIX),
        (),
    )


def test_each_expression_is_a_function_that_says_where_it_is_declared(source):
    text = source(simple_plan(("y", "x * 2", ("x",))))
    assert (
        "auto f_y(const branch_x &x)\n{\n"
        "#line 1 \"feature 'y' in analysis/features.py\"\nreturn x * 2;\n"
    ) in text


def test_file_includes_nothing_of_rdataframe(ROOT, tmp_path):
    """Whose headers take longer to compile than all expressions."""
    from analysis.compiled import Source
    from helpers.build import run_compiler

    path = tmp_path / "chain.cxx"
    path.write_text(
        Source.of(simple_plan(), ROW).text + "\n#ifdef ROOT_RDATAFRAME\n#error\n#endif\n"
    )
    run_compiler(path, "chain", tmp_path)
    assert (tmp_path / "libchain.so").exists()


def test_columns_are_read_in_the_types_of_the_dataframe(ROOT):
    from analysis.compiled import cpp_type

    assert cpp_type("std::vector<float>") == "ROOT::RVec<float>"
    assert cpp_type("Float_t") == "Float_t"


def test_samples_that_differ_in_their_normalisation_share_one_library(source):
    one, two = (simple_plan(("y", "x * 2", ("x",)), constant=c) for c in (1.0, 2.0))
    assert source(one) == source(two)
    other = simple_plan(("y", "x * 3", ("x",)))
    assert source(one) != source(other)


GCC = """In file included from input_line_9:1:
feature 'ht' in analysis/features.py: In function 'auto m3lchain_1::f_ht(const branch_x&)':
feature 'ht' in analysis/features.py:1:8: error: 'lepPtt' was not declared in this scope; did you \
mean 'lepPt'?
    1 | return Sum(lepPtt);
"""
CLANG = """feature 'ht' in analysis/features.py:1:8: error: use of undeclared \
identifier 'flavorComp3L'
return flavorComp3L(x);
       ^
"""
OTHER = "feature 'm' in analysis/features.py:1:30: error: no matching function for call to 'f'\n"


@pytest.mark.parametrize(
    "output, message",
    [
        (GCC, "feature 'ht' in analysis/features.py: unknown name 'lepPtt', did you mean 'lepPt'?"),
        (
            CLANG,
            "feature 'ht' in analysis/features.py: unknown name 'flavorComp3L', "
            "did you mean 'flavourComp3L'?",
        ),
        (OTHER, "feature 'm' in analysis/features.py: no matching function for call to 'f'"),
    ],
)
def test_complaint_of_a_compiler_becomes_one_line(ROOT, output, message):
    from analysis.complaints import blame_declaration

    with pytest.raises(DeclarationError, match=re.escape(message) + "$"):
        blame_declaration(output, ["lepPt", "lepEta"], {})


def test_complaint_about_something_else_is_no_declaration_error(ROOT):
    from analysis.complaints import blame_declaration

    blame_declaration("/usr/include/x.h:3:1: error: 'y' was not declared", [], {})


def test_every_function_of_the_helpers_is_offered_as_a_near_miss(ROOT):
    import helpers
    from analysis.complaints import FUNCTIONS

    assert {"flavourComp3L", "getM", "anomalyScore", "RMM", "Objects"} <= set(helpers.names())
    assert {*helpers.names(), "Sum"} <= set(FUNCTIONS)


def test_damaged_source_in_the_cache_is_written_anew(ROOT, tmp_path, monkeypatch):
    from analysis import compiled

    monkeypatch.setattr(compiled, "cache_folder", lambda: tmp_path)
    monkeypatch.setattr(compiled, "library", lambda name, path, inputs: path)
    source = compiled.Source.of(simple_plan(), ROW)
    path = compiled.compile_library(source)
    path.write_text(source.text[:100])
    assert compiled.compile_library(source).read_text() == source.text
