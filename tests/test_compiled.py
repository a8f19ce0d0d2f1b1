"""Expressions as compiled code: what is written, cached, shared and complained about."""

import re

import pytest

from analysis.errors import DeclarationError
from analysis.plan import Definition, Plan


@pytest.fixture
def graph(ROOT):
    from analysis import compiled

    return compiled


def simple_plan(*definitions, cut="x > 1", inputs=None, constant=1.0):
    """A Plan of one region with a cut; definitions are (name, expression, inputs)."""
    made = [
        Definition(n, e, f"feature '{n}' in analysis/features.py", i) for n, e, i in definitions
    ]
    where = "cut 'c' of region 'R' in analysis/selection.py"
    return Plan(
        inputs or {"x": "int"},
        {"normalisation": constant},
        tuple(made),
        {"R": (Definition("R: c", cut, where, ("x",)),)},
        (),
        (),
    )


def test_each_expression_is_a_function_that_says_where_it_is_declared(graph):
    source = graph.cpp_source(simple_plan(("y", "x * 2", ("x",))), 1)
    function = source[source.index("auto f_y(") :]
    assert function.startswith("auto f_y(const branch_x &x)")
    assert "#line 1 \"feature 'y' in analysis/features.py\"\nreturn x * 2;" in function
    assert "return node." not in function[: function.index("}")]


def test_columns_are_read_in_the_types_of_the_dataframe(graph):
    assert graph.cpp_type("std::vector<float>") == "ROOT::RVec<float>"
    assert graph.cpp_type("Float_t") == "Float_t"


def test_samples_that_differ_in_their_normalisation_share_one_library(graph):
    one, two = (simple_plan(("y", "x * 2", ("x",)), constant=c) for c in (1.0, 2.0))
    assert graph.cpp_source(one, 1) == graph.cpp_source(two, 1)
    other = simple_plan(("y", "x * 3", ("x",)))
    assert graph.cpp_source(one, 1) != graph.cpp_source(other, 1)


GCC = """In file included from input_line_9:1:
feature 'ht' in analysis/features.py: In function 'auto m3lgraph_1::f_ht(const branch_x&)':
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
def test_complaint_of_a_compiler_becomes_one_line(graph, output, message):
    with pytest.raises(DeclarationError, match=re.escape(message) + "$"):
        graph.raise_for_expression(output, ["lepPt", "lepEta"])


def test_complaint_about_something_else_is_no_declaration_error(graph):
    graph.raise_for_expression("/usr/include/x.h:3:1: error: 'y' was not declared", [])


def test_every_function_of_the_helpers_is_offered_as_a_near_miss(graph):
    import helpers

    assert {"flavourComp3L", "getM", "Network", "RMM", "Objects"} <= set(helpers.names())
    assert {*helpers.names(), "Sum"} <= set(graph.ROOT_FUNCTIONS)
