"""Changed momenta, against a second computation in Python, to the bit."""

import math

import numpy as np
import pytest

MASK = 2**64 - 1


@pytest.fixture(scope="module")
def m3l(ROOT):
    return ROOT.m3l


@pytest.fixture(scope="module")
def evaluated(ROOT):
    """The value of an expression of the analysis in an event with two leptons and three jets."""
    df = ROOT.RDataFrame(1)
    for name, value in EVENT.items():
        df = df.Define(name, value)
    columns = {}

    def value(expression):
        name = columns.setdefault(expression, f"x{len(columns)}")
        made = df.Define(name, expression)
        return made.GetColumnType(name), made.Take[made.GetColumnType(name)](name).GetValue()[0]

    return value


EVENT = {
    "lepFlavor": "ROOT::RVecI{1, 2}",
    "lepPt": "ROOT::RVecF{60, 30}",
    "lepPhi": "ROOT::RVecF{0.3, -2}",
    "jetPt": "ROOT::RVecF{80, 50, 25}",
    "jetPhi": "ROOT::RVecF{3, 1, -1}",
    "met_Et": "40.f",
    "met_Phi": "0.5f",
    "RunNumber": "284500u",
    "EventNumber": "123456789ull",
}


def split_mix(z):
    z = (z + 0x9E3779B97F4A7C15) & MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)


def gaussian(run, event, index):
    """As documented in helpers/variations.h."""
    seed = split_mix(split_mix(run & MASK) ^ (event & MASK))
    u, v = (
        split_mix((seed + n * 0x9E3779B97F4A7C15) & MASK) >> 11 for n in (2 * index, 2 * index + 1)
    )
    return math.sqrt(-2 * math.log((u + 1) * 2.0**-53)) * math.cos(2 * math.pi * (v * 2.0**-53))


def balanced(met, met_phi, pt, phi, scaled):
    """As documented in helpers/variations.h; arrays of float32, those of scaled momenta too."""
    met, met_phi, pt, phi, scaled = (
        np.asarray(x, np.float32).astype(float).tolist() for x in (met, met_phi, pt, phi, scaled)
    )
    x, y = met * math.cos(met_phi), met * math.sin(met_phi)
    for before, after, angle in zip(pt, scaled, phi, strict=True):
        x -= (after - before) * math.cos(angle)
        y -= (after - before) * math.sin(angle)
    return np.float32(math.sqrt(x * x + y * y)), np.float32(math.atan2(y, x))


def test_the_numbers_are_those_of_splitmix64():
    """The published first outputs for the seed 1234567."""
    stream = [split_mix((1234567 + k * 0x9E3779B97F4A7C15) & MASK) for k in range(3)]
    assert stream == [6457827717110365317, 3203168211198807973, 9817491932198370423]


def test_missing_momentum_loses_what_an_object_gains(ROOT, m3l):
    one = m3l.balancedMet(50.0, 0.0, ROOT.RVecF([100, 30]), ROOT.RVecF([math.pi, 0]), 1.5)
    assert (one.et, one.phi) == pytest.approx((85, 0), abs=1e-5)
    # The first alone: 50 + 50 along x; by an array of factors.
    factors = ROOT.RVecF([1.5, 1])
    one = m3l.balancedMet(50.0, 0.0, ROOT.RVecF([100, 30]), ROOT.RVecF([math.pi, 0]), factors)
    assert (one.et, one.phi) == pytest.approx((100, 0), abs=1e-5)
    across = m3l.balancedMet(30.0, 0.0, ROOT.RVecF([40]), ROOT.RVecF([-math.pi / 2]), 2.0)
    assert (across.et, across.phi) == pytest.approx((50, math.atan2(4, 3)), rel=1e-6)


@pytest.mark.parametrize("seed", range(10))
def test_missing_momentum_is_that_of_the_documented_formula_to_the_bit(ROOT, m3l, seed):
    rng = np.random.default_rng(seed)
    for objects in range(8):
        pt = rng.exponential(60, objects).astype(np.float32)
        phi = rng.uniform(-np.pi, np.pi, objects).astype(np.float32)
        factors = rng.normal(1, 0.2, objects).astype(np.float32)
        met, met_phi = np.float32(rng.exponential(50)), np.float32(rng.uniform(-np.pi, np.pi))
        for factor in (factors, np.float32(1.03)):
            given = ROOT.RVecF(factor) if factor.shape else ROOT.float(factor)
            made = m3l.balancedMet(met, met_phi, ROOT.RVecF(pt), ROOT.RVecF(phi), given)
            expected = balanced(met, met_phi, pt, phi, pt * factor) if objects else (met, met_phi)
            assert (np.float32(made.et), np.float32(made.phi)) == expected


def test_product_has_the_type_of_the_momenta(ROOT, m3l):
    """A factor of double precision gives what a float32 column of the product would."""
    pt, phi = np.float32([33.3, 77.7]), np.float32([1, 2])
    made = m3l.balancedMet(40.0, 0.0, ROOT.RVecF(pt), ROOT.RVecF(phi), 1.0123456789)
    scaled = (pt.astype(float) * 1.0123456789).astype(np.float32)
    assert (np.float32(made.et), np.float32(made.phi)) == balanced(40, 0, pt, phi, scaled)


@pytest.mark.parametrize("met", [0.0, 12.345, 1e-30])
@pytest.mark.parametrize("phi", [0.0, -3.0, 3.1415927])
def test_missing_momentum_stays_as_it_is_where_nothing_changes(ROOT, m3l, met, phi):
    some = ROOT.RVecF([50, 40])
    unchanged = [(some, some, 1.0), (some, some, ROOT.RVecF([1, 1])), (ROOT.RVecF(),) * 3]
    for arguments in (*unchanged, (ROOT.RVecF(), ROOT.RVecF(), 1.5)):
        made = m3l.balancedMet(met, phi, *arguments)
        assert (made.et, made.phi) == (np.float32(met), np.float32(phi))


def test_missing_momentum_turns_with_the_event(ROOT, m3l):
    pt, phi = ROOT.RVecF([80, 50]), np.array([0.5, -1.0])
    one = m3l.balancedMet(40.0, 0.2, pt, ROOT.RVecF(phi), 1.1)
    other = m3l.balancedMet(40.0, 0.2 + 1.3, pt, ROOT.RVecF(phi + 1.3), 1.1)
    assert (other.et, other.phi) == pytest.approx((one.et, one.phi + 1.3), rel=1e-5)


@pytest.mark.parametrize("bad", range(3))
def test_arrays_of_different_lengths_are_refused(ROOT, m3l, bad):
    arrays = [ROOT.RVecF([1.0] * (2 + (n == bad))) for n in range(3)]
    message = r"invalid_argument: balancedMet: arrays of different lengths \("
    with pytest.raises(Exception, match=message):
        m3l.balancedMet(40.0, 0.0, *arrays)
    if bad < 2:
        with pytest.raises(Exception, match=message):
            m3l.balancedMet(40.0, 0.0, *arrays[:2], 1.1)
    with pytest.raises(Exception, match="invalid_argument: smearing: arrays of different lengths"):
        m3l.smearing(ROOT.RVecF([50, 40]), ROOT.RVecF([0.1]), 1, 2)


@pytest.mark.parametrize("run, event", [(1, 2), (284500, 2**40 + 7), (-1, 0), (0, 2**64 - 1)])
def test_smearing_is_that_of_the_documented_formula_to_the_bit(ROOT, m3l, run, event):
    pt = ROOT.RVecF([50, 40, 30, 20])
    expected = [np.float32(1 + 0.125 * gaussian(run, event, n)) for n in range(4)]
    assert list(m3l.smearing(pt, 0.125, run, event)) == expected
    widths = np.float32([0.1, 0, 0.3, 0.05])
    expected = [np.float32(1 + float(w) * gaussian(run, event, n)) for n, w in enumerate(widths)]
    assert list(m3l.smearing(pt, ROOT.RVecF(widths), run, event)) == expected
    assert list(m3l.smearing(ROOT.RVecF(), 0.1, run, event)) == []


def test_smearing_depends_on_the_numbers_and_not_on_their_types(evaluated):
    pt, numbers = "ROOT::RVecF{50, 40}", ("7, 9", "7u, 9ull", "Short_t(7), 9l", "7ll, 9u")
    made = [list(evaluated(f"smearing({pt}, 0.5f, {each})")[1]) for each in numbers]
    assert all(each == made[0] for each in made)


def test_no_factor_is_below_zero(ROOT, m3l):
    factors = [f for n in range(200) for f in m3l.smearing(ROOT.RVecF([50]), 3.0, 1, n)]
    assert min(factors) == 0 and 20 < factors.count(0) < 120  # 37% of a normal distribution


def test_gaussians_are_independent_and_normal(ROOT, m3l):
    assert ROOT.gInterpreter.Declare("""
        // out: (events, objects) numbers of events that follow each other
        void fillGaussians(int events, int objects, double *out) {
           const ROOT::RVecF pt(objects, 50.f);
           for (int e = 0; e < events; ++e)
              for (const float factor : m3l::smearing(pt, 0.0625, 300000, e))
                 *out++ = (factor - 1.) / 0.0625;
        }
    """)
    events, objects = 100_000, 4
    x = np.empty((events, objects))
    ROOT.fillGaussians(events, objects, x)
    n = x.size
    assert abs(x.mean()) < 4 / math.sqrt(n)
    assert abs(x.std() - 1) < 4 / math.sqrt(2 * n)
    assert abs((x**3).mean()) < 4 * math.sqrt(15 / n)
    assert abs((x**4).mean() - 3) < 4 * math.sqrt(96 / n)
    pairs = {
        "objects of an event": (x[:, :-1], x[:, 1:]),
        "neighbouring events": (x[:-1], x[1:]),
        "shifted": (x[:-1, 1:], x[1:, :-1]),
        "squares": (x[:, 0] ** 2, x[:, 1] ** 2),
    }
    for what, (a, b) in pairs.items():
        assert abs(np.corrcoef(a.ravel(), b.ravel())[0, 1]) < 4 / math.sqrt(a.size), what
    below = [(x < cut).mean() for cut in (-2, -1, 0, 1, 2)]
    normal = [(1 + math.erf(cut / math.sqrt(2))) / 2 for cut in (-2, -1, 0, 1, 2)]
    np.testing.assert_allclose(below, normal, atol=4 * 0.5 / math.sqrt(n))


@pytest.mark.parametrize(
    "of, factor",
    [
        ("lep", "1 + 0.005f * (lepFlavor == 1)"),
        ("lep", "1 - 0.005 * (lepFlavor == 1)"),
        ("jet", "1.03f"),
        ("jet", "0.97"),
        ("jet", "2"),
    ],
)
def test_expressions_of_scales(evaluated, of, factor):
    _, pt = evaluated(f"{of}Pt * ({factor})")
    _, before = evaluated(f"{of}Pt * 1")
    _, phi = evaluated(f"{of}Phi * 1")
    met = f"balancedMet(met_Et, met_Phi, {of}Pt, {of}Phi, {factor})"
    made = [evaluated(f"{met}.{member}") for member in ("et", "phi")]
    assert [kind for kind, _ in made] == ["float", "float"]
    assert tuple(np.float32(x) for _, x in made) == balanced(40, 0.5, *map(list, (before, phi, pt)))


def test_expressions_of_resolutions(evaluated):
    factor = "smearing(jetPt, 0.1f, RunNumber, EventNumber)"
    kind, pt = evaluated(f"jetPt * ({factor})")
    assert "float" in kind
    width = float(np.float32(0.1))
    factors = [np.float32(1 + width * gaussian(284500, 123456789, n)) for n in range(3)]
    assert list(pt) == [np.float32(p) * f for p, f in zip((80, 50, 25), factors, strict=True)]
    _, et = evaluated(f"balancedMet(met_Et, met_Phi, jetPt, jetPhi, {factor}).et")
    assert np.float32(et) == balanced(40, 0.5, (80, 50, 25), (3, 1, -1), list(pt))[0]
