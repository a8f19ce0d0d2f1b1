"""The C++: analytic values first, then properties, then a second computation in numpy."""

import itertools
import math
import re

import numpy as np
import pytest
import reference
from conftest import REPOSITORY, add_row, at_prompt
from reference import Objects

ELECTRON_MASS = 0.000511


@pytest.fixture(scope="module")
def m3l(ROOT):
    return ROOT.m3l


@pytest.fixture(scope="module")
def many(ROOT):
    """C++ loops over many random objects, so that Python is not the slow part."""
    ROOT.gInterpreter.Declare(f'#include "{REPOSITORY / "helpers" / "elementary.h"}"')
    good = ROOT.gInterpreter.Declare("""
        namespace m3l_test {
        using namespace m3l;
        // objects: (events, types, slots, 4), counts: (events, types), cells: (events, size^2)
        void matrices(const RMM &rmm, const double *met, const double *phi, const double *objects,
                      const int *counts, int events, int types, int slots, float *cells) {
           for (int e = 0; e < events; ++e) {
              std::vector<Objects> all(types);
              for (int t = 0; t < types; ++t)
                 for (int k = 0; k < counts[e * types + t]; ++k) {
                    const double *o = objects + 4 * ((e * types + t) * slots + k);
                    all[t].push_back({o[0], o[1], o[2], o[3]});
                 }
              const ROOT::RVecF made = rmm(met[e], phi[e], all);
              std::copy(made.begin(), made.end(), cells + e * made.size());
           }
        }
        // a, b: (n, 4) objects; out: (n, 8)
        void pairs(const double *a, const double *b, int n, double *out) {
           for (int k = 0; k < n; ++k, a += 4, b += 4, out += 8) {
              const Particle p{a[0], a[1], a[2], a[3]}, q{b[0], b[1], b[2], b[3]};
              const double y1 = rapidity(p.pt, p.eta, p.m), y2 = rapidity(q.pt, q.eta, q.m);
              const double et1 = transverseEnergy(p.pt, p.m), et2 = transverseEnergy(q.pt, q.m);
              out[0] = transverseMass(p.pt, p.phi, p.m, q.pt, q.phi);
              out[1] = et1;
              out[2] = deltaTransverseEnergy(et1, et2);
              out[3] = y1;
              out[4] = hL(y1);
              out[5] = h(y1, y2);
              out[6] = mass(fourMomentum(p) + fourMomentum(q));
              out[7] = mass(fourMomentum(p));
           }
        }
        double exactSum(const double *terms, int n, int parts) {
           std::vector<ExactSum> sums(parts);
           for (int k = 0; k < n; ++k)
              sums[k % parts].add(terms[k]);
           ExactSum total;
           for (const auto &sum : sums)
              total.add(sum);
           return total.value();
        }
        // x: (n,); out: (n, 3)
        void elementary(const double *x, int n, double *out) {
           for (int k = 0; k < n; ++k, out += 3) {
              sinCos(x[k], out[0], out[1]);
              out[2] = exponential(x[k]);
           }
        }
        }
    """)
    assert good
    return ROOT.m3l_test


def random_objects(rng, shape, massless=False):
    """(…, 4): pt, eta, phi, m, hardest first along the last but one axis."""
    pt = np.sort(rng.exponential(60, shape) + 5, axis=-1)[..., ::-1]
    eta, phi = rng.uniform(-2.8, 2.8, shape), rng.uniform(-np.pi, np.pi, shape)
    m = np.zeros(shape) if massless else rng.exponential(8, shape)
    return np.ascontiguousarray(np.stack([pt, eta, phi, m], axis=-1))


# --- flavours and charges ---------------------------------------------------------------------


def test_every_ordered_triplet_of_flavours_has_its_code(ROOT):
    codes = {f: ROOT.flavourComp3L(ROOT.RVecI(f)) for f in itertools.product((1, 2), repeat=3)}
    assert codes == {
        (1, 1, 1): 0,
        (1, 1, 2): 1,
        (1, 2, 1): 1,
        (1, 2, 2): 2,
        (2, 2, 2): 3,
        (2, 2, 1): 4,
        (2, 1, 2): 4,
        (2, 1, 1): 5,
    }


@pytest.mark.parametrize("flavour", [(), (1,), (1, 2), (1, 1, 1, 1), (0, 1, 1), (1, 3, 1)])
def test_other_than_three_known_leptons_have_code_minus_one(ROOT, flavour):
    assert ROOT.flavourComp3L(ROOT.RVecI(flavour)) == -1


def test_charge_sum_takes_the_selected_leptons_only(ROOT, m3l):
    charge = ROOT.RVecI((1, -1, 1, -1))
    assert m3l.chargeSum(charge, m3l.Indices((0, 2))) == 2
    assert m3l.chargeSum(charge, m3l.Indices((1, 2, 3))) == -1
    assert m3l.chargeSum(charge, m3l.Indices(())) == 0


# --- kinematics -------------------------------------------------------------------------------


def test_transverse_energy_uses_the_mass(m3l):
    assert m3l.transverseEnergy(4.0, 3.0) == 5.0
    assert m3l.transverseEnergy(4.0, 0.0) == 4.0


def test_delta_transverse_energy_is_of_transverse_energies(m3l):
    assert m3l.deltaTransverseEnergy(30.0, 10.0) == 0.5
    assert m3l.deltaTransverseEnergy(10.0, 10.0) == 0.0
    assert m3l.deltaTransverseEnergy(0.0, 0.0) == 0.0


def test_rapidity_is_pseudorapidity_without_mass_and_smaller_with(m3l):
    assert m3l.rapidity(50.0, 1.5, 0.0) == pytest.approx(1.5, rel=1e-14)
    assert m3l.rapidity(50.0, -1.5, 0.0) == pytest.approx(-1.5, rel=1e-14)
    # pz = 30 sinh(1), e_T = 50: y = asinh(pz / e_T)
    assert m3l.rapidity(30.0, 1.0, 40.0) == pytest.approx(math.asinh(0.6 * math.sinh(1)))
    assert m3l.rapidity(0.0, 0.0, 0.0) == 0.0


def test_transverse_mass_is_with_the_missing_momentum(m3l):
    assert m3l.transverseMass(40.0, 0.0, 0.0, 40.0, math.pi) == pytest.approx(80.0)
    assert m3l.transverseMass(40.0, 0.0, 0.0, 40.0, 0.0) == pytest.approx(0.0, abs=1e-6)
    assert m3l.transverseMass(40.0, 1.0, 0.0, 10.0, 1.0 + math.pi / 2) == pytest.approx(
        math.sqrt(800)
    )
    # m = 3, pT = 4, e_T = 5, back to back with 10: 9 + 2 (50 + 40)
    assert m3l.transverseMass(4.0, 0.0, 3.0, 10.0, math.pi) == pytest.approx(math.sqrt(189))
    assert m3l.transverseMass(4.0, 0.0, 3.0, 0.0, 0.0) == pytest.approx(3.0)


def test_longitudinal_scale_is_a_real_number(m3l):
    assert m3l.kLongitudinalScale == 0.15
    assert m3l.hL(1.0) == pytest.approx(0.15 * (math.cosh(1) - 1), rel=1e-14)
    assert m3l.hL(0.0) == 0.0


def test_h_takes_half_the_rapidity_difference_as_published(m3l):
    assert m3l.h(1.5, -0.5) == pytest.approx(0.15 * (math.cosh(1) - 1), rel=1e-14)
    assert m3l.h(1.5, -0.5) != pytest.approx(0.15 * (math.cosh(2) - 1))


def test_h_keeps_its_digits_at_small_differences(m3l):
    assert m3l.hL(1e-6) == pytest.approx(0.15 * 0.5e-12, rel=1e-10)


def test_mass_of_a_pair_of_massless_objects_back_to_back(ROOT):
    one = [ROOT.RVecF([v]) for v in (50.0, 0.0, 0.0, 0.0)]
    other = [ROOT.RVecF([v]) for v in (50.0, 0.0, math.pi, 0.0)]
    assert ROOT.getM(*one, *other, 0, 0) == pytest.approx(100.0)


def test_the_fourth_argument_of_get_m_is_the_mass_not_the_energy(ROOT):
    # Two objects of mass 30 with pT 40 back to back have energy 50 each.
    one = [ROOT.RVecF([v]) for v in (40.0, 0.0, 0.0, 30.0)]
    other = [ROOT.RVecF([v]) for v in (40.0, 0.0, math.pi, 30.0)]
    assert ROOT.getM(*one, *other, 0, 0) == pytest.approx(100.0, rel=1e-6)


@pytest.mark.parametrize("i, j", [(-1, 0), (0, -1), (2, 0), (0, 3), (5, 5)])
def test_get_m_outside_of_a_collection_is_zero(ROOT, i, j):
    two = [ROOT.RVecF([v, v]) for v in (50.0, 0.0, 0.0, 1.0)]
    three = [ROOT.RVecF([v] * 3) for v in (50.0, 0.0, 1.0, 1.0)]
    assert ROOT.getM(*two, *three, i, j) == 0.0


@pytest.mark.parametrize("i, j", [(0, 0), (1, 2), (1, 0), (0, 2)])
def test_get_m_at_the_last_index_is_not_zero(ROOT, i, j):
    two = [ROOT.RVecF([v, v]) for v in (50.0, 0.0, 0.0, 1.0)]
    three = [ROOT.RVecF([v] * 3) for v in (50.0, 0.0, 1.0, 1.0)]
    assert ROOT.getM(*two, *three, i, j) > 40


def test_masses_from_energies_are_clamped_at_zero(ROOT, m3l):
    pt, eta = ROOT.RVecF((40.0, 40.0, 30.0)), ROOT.RVecF((0.0, 0.0, 1.0))
    energy = ROOT.RVecF((50.0, 39.999, 30.0 * math.cosh(1)))
    mass = m3l.massFromEnergy(pt, eta, energy)
    assert mass[0] == pytest.approx(30.0)
    assert mass[1] == 0.0
    assert mass[2] == pytest.approx(0.0, abs=0.05)


def test_kinematics_agree_with_numpy(many):
    rng = np.random.default_rng(1)
    a, b = random_objects(rng, 20000), random_objects(rng, 20000)
    out = np.empty((20000, 8))
    many.pairs(a, b, len(a), out)
    pt, eta, phi, m = a.T
    y1, y2 = reference.rapidity(*a[:, [0, 1, 3]].T), reference.rapidity(*b[:, [0, 1, 3]].T)
    et1 = reference.transverse_energy(pt, m)
    et2 = reference.transverse_energy(b[:, 0], b[:, 3])
    np.testing.assert_allclose(
        out[:, 0], reference.transverse_mass(pt, phi, m, b[:, 0], b[:, 2]), rtol=1e-9, atol=1e-5
    )
    np.testing.assert_allclose(out[:, 1], et1, rtol=1e-12)
    np.testing.assert_allclose(out[:, 2], (et1 - et2) / (et1 + et2), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(out[:, 3], y1, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(out[:, 4], 0.15 * (np.cosh(y1) - 1), rtol=1e-9, atol=1e-14)
    np.testing.assert_allclose(
        out[:, 5], 0.15 * (np.cosh((y1 - y2) / 2) - 1), rtol=1e-9, atol=1e-14
    )
    np.testing.assert_allclose(out[:, 6], reference.pair_mass(a.T, b.T), rtol=1e-9, atol=1e-5)
    np.testing.assert_allclose(out[:, 7], m, rtol=1e-6, atol=1e-4)


def test_pair_quantities_do_not_change_under_rotation_and_longitudinal_boost(many):
    rng = np.random.default_rng(2)
    a, b = random_objects(rng, 5000, massless=True), random_objects(rng, 5000, massless=True)
    before, after = np.empty((5000, 8)), np.empty((5000, 8))
    many.pairs(a, b, len(a), before)
    moved_a, moved_b = a.copy(), b.copy()
    for moved in (moved_a, moved_b):
        moved[:, 1] += 0.7  # a boost along the beam shifts the rapidity, eta = y without mass
        moved[:, 2] += 2.0
    many.pairs(moved_a, moved_b, len(a), after)
    for column, name in ((0, "m_T"), (1, "e_T"), (5, "h"), (6, "m")):
        np.testing.assert_allclose(
            after[:, column], before[:, column], rtol=1e-8, atol=1e-5, err_msg=name
        )
    assert not np.allclose(after[:, 4], before[:, 4])  # h_L is not boost invariant


# --- order, pairs, masses of leptons ----------------------------------------------------------


def test_indices_are_ordered_by_pt_whatever_the_order_of_the_input(ROOT, m3l):
    pt = ROOT.RVecF((10, 50, 30, 40, 50))
    assert list(m3l.indicesByPt(pt, ROOT.RVecI((1, 1, 1, 0, 1)))) == [1, 4, 2, 0]
    assert list(m3l.indicesByPt(pt, ROOT.RVecI((0, 0, 0, 0, 0)))) == []


def test_mask_of_another_length_is_refused(ROOT, m3l):
    with pytest.raises(Exception, match="invalid_argument: indicesByPt: .* different lengths"):
        m3l.indicesByPt(ROOT.RVecF((10, 50)), ROOT.RVecI((1,)))


SHORT, LONG = (50, 40), (1, 2, 3)


@pytest.mark.parametrize("bad", range(5))
def test_objects_of_arrays_of_different_lengths_are_refused(ROOT, m3l, bad):
    arrays = [ROOT.RVecF(LONG if n == bad else SHORT) for n in range(5)]
    with pytest.raises(Exception, match="invalid_argument: objects: arrays of different lengths"):
        m3l.objects(*arrays)


@pytest.mark.parametrize("bad", range(3))
def test_masses_from_energies_of_another_length_are_refused(ROOT, m3l, bad):
    arrays = [ROOT.RVecF(LONG if n == bad else SHORT) for n in range(3)]
    with pytest.raises(Exception, match=r"invalid_argument: massFromEnergy: .* lengths \("):
        m3l.massFromEnergy(*arrays)


@pytest.mark.parametrize("bad", range(8))
def test_mass_of_a_pair_of_arrays_of_different_lengths_is_refused(ROOT, m3l, bad):
    arrays = [ROOT.RVecF(LONG if n == bad else SHORT) for n in range(8)]
    with pytest.raises(Exception, match="invalid_argument: getM: arrays of different lengths"):
        m3l.getM(*arrays, 0, 1)


@pytest.mark.parametrize("bad", range(6))
def test_leptons_of_arrays_of_different_lengths_are_refused(ROOT, m3l, bad):
    arrays = [(ROOT.RVecF if n < 4 else ROOT.RVecI)(LONG if n == bad else SHORT) for n in range(6)]
    with pytest.raises(Exception, match="invalid_argument: sfosClosestToZ: arrays of different"):
        m3l.sfosClosestToZ(*arrays, m3l.Indices((0, 1)))
    with pytest.raises(Exception, match="invalid_argument: leptonPairs: arrays of different"):
        m3l.leptonPairs(*arrays, m3l.Indices((0, 1)))
    if bad < 4:
        with pytest.raises(Exception, match="invalid_argument: leptonSystem: arrays of different"):
            m3l.leptonSystem(*arrays[:4], m3l.Indices((0, 1)), 2)
        for function, *more in ((m3l.leptonMass, 2), (m3l.trileptonMass,)):
            with pytest.raises(
                Exception, match="invalid_argument: leptonMass: arrays of different"
            ):
                function(*arrays[:4], m3l.Indices((0, 1)), *more)


def test_positions_without_an_object_are_refused(ROOT, m3l):
    pt, charge, outside = ROOT.RVecF(SHORT), ROOT.RVecI((1, -1)), m3l.Indices((0, 2))
    calls = {
        "chargeSum": lambda: m3l.chargeSum(charge, outside),
        "fourMomenta": lambda: m3l.fourMomenta(pt, pt, pt, pt, outside),
        "leptonMass": lambda: m3l.leptonMass(pt, pt, pt, pt, outside, 2),
        "leptonPairs": lambda: m3l.leptonPairs(pt, pt, pt, pt, charge, charge, outside),
        "leptonSystem": lambda: m3l.leptonSystem(pt, pt, pt, pt, outside, 2),
        "leptonTransverseMasses": lambda: m3l.leptonTransverseMasses(
            pt, pt, pt, outside, m3l.SfosPair(), 0.0, 0.0, 3
        ),
        "sfosClosestToZ": lambda: m3l.sfosClosestToZ(pt, pt, pt, pt, charge, charge, outside),
        "ranked": lambda: m3l.ranked(pt, outside, 1),
    }
    for name, call in calls.items():
        message = f"{name}: no entry 2 in arrays of length 2"
        with pytest.raises(Exception, match=f"invalid_argument: {message}"):
            call()


def test_ranked_value_beyond_the_last_object_is_zero(ROOT, m3l):
    values, indices = ROOT.RVecF((10, 30, 20)), m3l.Indices((1, 0))
    assert [m3l.ranked(values, indices, rank) for rank in range(3)] == [30.0, 10.0, 0.0]


def leptons(ROOT, *rows):
    """RVecs of pt, eta, phi, m, flavour, charge."""
    columns = list(zip(*rows, strict=True)) or [()] * 6
    return [ROOT.RVecF(c) for c in columns[:4]] + [ROOT.RVecI(c) for c in columns[4:]]


def test_four_momenta_are_in_the_order_of_the_positions(ROOT, m3l):
    event = leptons(ROOT, (50.0, 0.5, 1.0, 0.1, 1, 1), (20.0, -2.0, -3.0, 5.0, 1, -1))
    made = [[p.px, p.py, p.pz, p.e] for p in m3l.fourMomenta(*event[:4], m3l.Indices((1, 0)))]
    pt, eta, phi, m = (np.array(column, "f4").astype(float)[::-1] for column in event[:4])
    momentum = pt * [np.cos(phi), np.sin(phi), np.sinh(eta)]
    expected = [*momentum, np.sqrt((momentum**2).sum(axis=0) + m**2)]
    np.testing.assert_allclose(made, np.transpose(expected), rtol=1e-14)


def test_masses_of_momenta_are_those_of_the_arrays(ROOT, m3l):
    event = leptons(ROOT, *((50.0 - 9 * k, k - 1.0, 2.0 * k, 0.1, 1, (-1) ** k) for k in range(4)))
    arrays, codes, indices = event[:4], event[4:], m3l.Indices((3, 0, 2))
    momenta = m3l.fourMomenta(*arrays, indices)
    for one, other in (
        (m3l.sfosClosestToZ(momenta, *codes, indices), m3l.sfosClosestToZ(*event, indices)),
        (m3l.leptonPairs(momenta, *codes, indices), m3l.leptonPairs(*event, indices)),
        (m3l.leptonSystem(momenta, 3), m3l.leptonSystem(*arrays, indices, 3)),
    ):
        fields = [name for name in dir(one) if not name.startswith("_")]
        assert fields and all(getattr(one, name) == getattr(other, name) for name in fields)
    assert m3l.leptonMass(momenta, 2) == m3l.leptonMass(*arrays, indices, 2) > 0
    with pytest.raises(Exception, match="sfosClosestToZ: arrays of different lengths"):
        m3l.sfosClosestToZ(momenta, *codes, m3l.Indices((3, 0)))


def test_sfos_pair_is_the_one_closest_to_the_z_not_the_leading_one(ROOT, m3l):
    # (0, 1) has mass 200, (0, 2) 2 sqrt(100 * 20.8) = 91.2.
    event = leptons(
        ROOT,
        (100.0, 0.0, 0.0, 0.0, 1, 1),
        (100.0, 0.0, math.pi, 0.0, 1, -1),
        (20.8, 0.0, math.pi, 0.0, 1, -1),
    )
    pair = m3l.sfosClosestToZ(*event, m3l.Indices((0, 1, 2)))
    assert (pair.first, pair.second) == (0, 2)
    assert pair.mass == pytest.approx(2 * math.sqrt(2080), rel=1e-6)


def test_pairs_of_one_charge_or_of_two_flavours_do_not_count(ROOT, m3l):
    event = leptons(
        ROOT,
        (50.0, 0.0, 0.0, 0.0, 1, 1),
        (45.0, 0.0, math.pi, 0.0, 2, -1),
        (40.0, 0.0, 3.0, 0.0, 1, 1),
    )
    pair = m3l.sfosClosestToZ(*event, m3l.Indices((0, 1, 2)))
    assert (pair.first, pair.second, pair.mass) == (-1, -1, 0.0)


def test_leptons_that_are_not_selected_form_no_pair(ROOT, m3l):
    event = leptons(ROOT, (50.0, 0.0, 0.0, 0.0, 1, 1), (45.0, 0.0, math.pi, 0.0, 1, -1))
    assert m3l.sfosClosestToZ(*event, m3l.Indices((0,))).first == -1


def test_three_lepton_mass_of_a_symmetric_star(ROOT, m3l):
    angle = 2 * math.pi / 3
    event = leptons(ROOT, *((50.0, 0.0, k * angle, 0.0, 1, 1) for k in range(3)))
    assert m3l.trileptonMass(*event[:4], m3l.Indices((0, 1, 2))) == pytest.approx(150.0)
    assert m3l.leptonMass(*event[:4], m3l.Indices((0, 1, 2)), 2) == pytest.approx(
        100 * math.sin(angle / 2)
    )


def test_third_lepton_of_a_two_lepton_event_is_not_read(ROOT, m3l):
    event = leptons(ROOT, *((50.0, 0.0, phi, 0.0, 1, 1) for phi in (0.0, 2.0, 3.0)))
    assert m3l.trileptonMass(*event[:4], m3l.Indices((0, 1))) == 0.0


def test_pairs_are_counted_and_weighed(ROOT, m3l):
    # Masses: (0, 1) 100, opposite; (0, 2) 2 sqrt(50 * 18) = 60, equal signs; (1, 2) 0, opposite.
    event = leptons(
        ROOT,
        (50.0, 0.0, 0.0, 0.0, 1, 1),
        (50.0, 0.0, math.pi, 0.0, 1, -1),
        (18.0, 0.0, math.pi, 0.0, 2, 1),
    )
    pairs = m3l.leptonPairs(*event, m3l.Indices((0, 1, 2)))
    found = (pairs.sfos, pairs.lightest, pairs.heaviest, pairs.sameSign)
    assert found == pytest.approx((1, 0, 100, 60), abs=1e-3)
    pairs = m3l.leptonPairs(*event, m3l.Indices((0, 2)))
    found = (pairs.sfos, pairs.lightest, pairs.heaviest, pairs.sameSign)
    assert found == pytest.approx((0, 60, 60, 60), rel=1e-6)
    pairs = m3l.leptonPairs(*event, m3l.Indices((1,)))
    assert (pairs.sfos, pairs.lightest, pairs.heaviest, pairs.sameSign) == (0, 0, 0, 0)


def test_two_pairs_of_three_alike(ROOT, m3l):
    event = leptons(ROOT, *((30.0, 0.0, phi, 0.0, 2, q) for phi, q in ((0, 1), (2, -1), (4, 1))))
    assert m3l.leptonPairs(*event, m3l.Indices((0, 1, 2))).sfos == 2


def test_distance_from_the_z_without_a_pair_is_its_mass(m3l):
    assert m3l.distanceFromZ(0.0) == 91.1876
    assert m3l.distanceFromZ(81.1876) == pytest.approx(10)


def test_leptons_as_one_object(ROOT, m3l):
    # Momenta (30, 0, 0), (0, 40, 0), (0, 0, 0 + mass 7).
    event = leptons(
        ROOT,
        (40.0, 0.0, math.pi / 2, 0.0, 1, 1),
        (30.0, 0.0, 0.0, 0.0, 1, 1),
        (0.0, 0.0, 0.0, 7.0, 1, 1),
    )[:4]
    made = m3l.leptonSystem(*event, m3l.Indices((0, 1, 2)), 3)
    assert (made.pt, made.eta) == pytest.approx((50, 0), abs=1e-5)
    assert made.phi == pytest.approx(math.atan2(40, 30), rel=1e-6)
    assert made.m == pytest.approx(math.sqrt(77**2 - 50**2), rel=1e-6)
    assert m3l.leptonSystem(*event, m3l.Indices((0, 1)), 3).pt == 0.0
    boosted = leptons(ROOT, *((20.0, 1.5, 0.3, 0.0, 1, 1) for _ in range(2)))[:4]
    made = m3l.leptonSystem(*boosted, m3l.Indices((0, 1)), 2)
    assert (made.pt, made.eta, made.phi) == pytest.approx((40, 1.5, 0.3), rel=1e-6)


def test_transverse_momenta_add_up_as_vectors(m3l):
    assert m3l.addedPt(3.0, 0.0, 4.0, math.pi / 2) == pytest.approx(5)
    assert m3l.addedPt(3.0, 1.0, 4.0, 1.0) == pytest.approx(7)
    assert m3l.addedPt(4.0, 1.0, 4.0, 1.0 + math.pi) == pytest.approx(0, abs=1e-12)


def test_transverse_masses_of_single_leptons(ROOT, m3l):
    # With E_T^miss 40 at pi: m_T^2 = 2 pT 40 (1 - cos(phi - pi)).
    pt, m = ROOT.RVecF((40, 20, 10, 90)), ROOT.RVecF((0, 0, 0, 0))
    phi = ROOT.RVecF((0, math.pi / 2, math.pi, 0))
    none, pair = m3l.SfosPair(), m3l.SfosPair(0, 2, 91.0)
    taken = m3l.Indices((0, 1, 2, 3))
    masses = m3l.leptonTransverseMasses(pt, phi, m, taken, pair, 40.0, math.pi, 3)
    found = (masses.least, masses.most, masses.unpaired)
    assert found == pytest.approx((0, 80, 40), abs=1e-4)
    masses = m3l.leptonTransverseMasses(pt, phi, m, taken, none, 40.0, math.pi, 4)
    assert (masses.most, masses.unpaired) == pytest.approx((120, 0), abs=1e-4)
    masses = m3l.leptonTransverseMasses(pt, phi, m, m3l.Indices(()), none, 40.0, math.pi, 3)
    assert (masses.least, masses.most, masses.unpaired) == (0, 0, 0)


# --- triggers and weights ---------------------------------------------------------------------


def test_object_is_matched_to_a_selected_one_nearby(ROOT, m3l):
    here, there = (
        (ROOT.RVecF((0, 1)), ROOT.RVecF((3.1, 0))),
        (ROOT.RVecF((0,)), ROOT.RVecF((-3.1,))),
    )
    # Across the seam of the azimuth: 2 pi - 6.2 = 0.083
    assert list(m3l.matchedTo(*here, *there, ROOT.RVecI((1,)), 0.09)) == [1, 0]
    assert list(m3l.matchedTo(*here, *there, ROOT.RVecI((1,)), 0.08)) == [0, 0]
    assert list(m3l.matchedTo(*here, *there, ROOT.RVecI((0,)), 0.09)) == [0, 0]
    # The distance is that of both: 0.3 and 0.4 are 0.5.
    both = ROOT.RVecF((0.3, 0.5)), ROOT.RVecF((0.4, 0))
    zero = ROOT.RVecF((0,)), ROOT.RVecF((0,)), ROOT.RVecI((1,))
    assert list(m3l.matchedTo(*both, *zero, 0.50001)) == [1, 1]
    assert list(m3l.matchedTo(*both, *zero, 0.49999)) == [0, 0]
    empty = ROOT.RVecF(), ROOT.RVecF()
    assert list(m3l.matchedTo(*both, *empty, ROOT.RVecI(), 9)) == [0, 0]
    assert list(m3l.matchedTo(*empty, *zero, 9)) == []
    with pytest.raises(Exception, match="matchedTo: arrays of different lengths"):
        m3l.matchedTo(*here, *there, ROOT.RVecI((1, 1)), 0.1)


def matched(ROOT, pt, legs, thresholds):
    legs = ROOT.std.vector["ROOT::RVecI"]([ROOT.RVecI(leg) for leg in legs])
    return ROOT.triggerMatched(ROOT.RVecF(pt), legs, ROOT.std.vector["double"](thresholds))


def test_each_trigger_leg_has_its_own_threshold(ROOT):
    both = [(1, 1), (1, 1)]
    assert matched(ROOT, (30, 10), both, (24, 8))
    assert not matched(ROOT, (30, 10), both, (24, 14))
    assert matched(ROOT, (30, 10), both, (8, 24))
    assert matched(ROOT, (30, 10), both, (30, 10))  # at the threshold
    assert not matched(ROOT, (23, 20), both, (24, 8))


def test_each_trigger_leg_needs_a_lepton_of_its_own(ROOT):
    assert not matched(ROOT, (30, 10), [(1, 0), (1, 0)], (24, 8))
    assert matched(ROOT, (30, 10), [(1, 0), (0, 1)], (24, 8))
    # The leading lepton fits both legs, but only the second leg can take it.
    assert matched(ROOT, (30, 26), [(1, 1), (1, 0)], (24, 8))
    assert matched(ROOT, (30, 26, 5), [(1, 1, 1), (1, 0, 1), (0, 1, 0)], (4, 4, 4))


def test_trigger_legs_thresholds_and_flags_must_fit(ROOT):
    with pytest.raises(Exception, match="2 legs but 1 thresholds"):
        matched(ROOT, (30,), [(1,), (1,)], (24,))
    with pytest.raises(Exception, match="2 leptons but a leg with 1 flags"):
        matched(ROOT, (30, 20), [(1,)], (24,))


def test_scale_factor_product_is_in_double_precision(ROOT, m3l):
    assert m3l.scaleFactorProduct(2.0, 0.5, -1) == -1.0
    assert m3l.scaleFactorProduct() == 1.0
    tiny = ROOT.std.vector["float"]([1e-30])[0]
    assert m3l.scaleFactorProduct["float", "float"](tiny, tiny) == pytest.approx(1e-60)


@pytest.mark.parametrize(
    "run, luminosity",
    [(284500, 36207.65), (320000, 36207.65), (320001, 44307.4), (348000, 44307.4)]
    + [(348001, 58450.1), (362000, 58450.1)],
)
def test_luminosity_of_the_campaign(m3l, run, luminosity):
    assert m3l.campaignLuminosity(run) == luminosity


# --- the matrix -------------------------------------------------------------------------------


def rmm(ROOT, types, scale=1.0, thesis=False):
    kinds = ROOT.std.vector["m3l::RMM::Type"]()
    for name, n in types:
        kinds.push_back(ROOT.m3l.RMM.Type(name, n))
    which = ROOT.m3l.RMM.H.kThesis if thesis else ROOT.m3l.RMM.H.kPublished
    return ROOT.m3l.RMM(kinds, scale, which)


def fill(ROOT, matrix, met, met_phi, *types):
    """The matrix as a square array; each type is a list of (pt, eta, phi, m)."""
    objects = ROOT.std.vector["m3l::Objects"]()
    for kind in types:
        made = ROOT.m3l.Objects()
        for values in kind:
            made.push_back(ROOT.m3l.Particle(*values))
        objects.push_back(made)
    return np.array(matrix(met, met_phi, objects)).reshape(matrix.size(), matrix.size())


def test_each_cell_has_its_analytic_value(ROOT):
    # Jets of (pT, m) = (40, 30) and (30, 40): e_T 50 each, so that delta e_T from pT is wrong.
    cells = fill(
        ROOT,
        rmm(ROOT, (("jet", 2), ("ele", 1))),
        10.0,
        math.pi,
        [(40.0, 0.0, 0.0, 30.0), (30.0, 0.0, math.pi, 40.0)],
        [(20.0, 1.0, 0.0, 0.0)],
    )
    # dimension 4: met, jet_0, jet_1, ele_0
    ele_energy = 20 * math.cosh(1)
    expected = np.array(
        [
            [10.0, math.sqrt(900 + 20 * 90), math.sqrt(1600 + 20 * 20), math.sqrt(20 * 40)],
            [0.0, 50.0, math.sqrt(100**2 - 10**2), 0.0],
            [0.0, 0.0, 0.0, 0.0],
            [0.15 * (math.cosh(1) - 1), *[0.15 * (math.cosh(0.5) - 1)] * 2, 20.0],
        ]
    )
    expected[1, 3] = math.sqrt(900 + 2 * (50 * ele_energy - 40 * 20))
    expected[2, 3] = math.sqrt(1600 + 2 * (50 * ele_energy + 30 * 20))
    np.testing.assert_allclose(cells, expected, rtol=1e-6, atol=1e-6)


def test_delta_transverse_energy_takes_the_object_before_in_its_type(ROOT):
    jets = [(pt, 0.0, 0.0, 0.0) for pt in (90.0, 30.0, 10.0)]
    cells = fill(ROOT, rmm(ROOT, (("jet", 3), ("ele", 2))), 0.0, 0.0, jets, [(5.0, 0.0, 0.0, 0.0)])
    assert list(np.diag(cells)) == [0.0, 90.0, 0.5, 0.5, 5.0, 0.0]


def test_thesis_definition_of_h_is_a_switch(ROOT):
    jets = [(50.0, 1.0, 0.0, 0.0), (40.0, -1.0, 0.0, 0.0)]
    cells = {t: fill(ROOT, rmm(ROOT, (("jet", 2),), thesis=t), 0.0, 0.0, jets) for t in (0, 1)}
    assert cells[0][2, 1] == pytest.approx(0.15 * (math.cosh(1) - 1), rel=1e-6)
    assert cells[1][2, 1] == pytest.approx(0.15 * (math.cosh(2) - 1), rel=1e-6)
    cells[0][2, 1] = cells[1][2, 1] = 0
    np.testing.assert_array_equal(cells[0], cells[1])  # h_L and all others stay


def test_energies_and_masses_are_divided_by_the_scale_and_nothing_else(ROOT):
    jets = [(50.0, 1.0, 0.3, 5.0), (40.0, -1.0, 2.0, 3.0)]
    one, thousand = (
        fill(ROOT, rmm(ROOT, (("jet", 2),), scale), 30.0, 0.0, jets) for scale in (1.0, 1000.0)
    )
    energies = np.triu(np.ones((3, 3), bool))
    energies[2, 2] = False  # delta e_T
    np.testing.assert_allclose(thousand, np.where(energies, one / 1000, one), rtol=1e-6)


def test_missing_objects_leave_zeros(ROOT):
    cells = fill(ROOT, rmm(ROOT, (("jet", 2), ("ele", 2))), 30.0, 0.0, [], [(20.0, 1.0, 1.0, 0.0)])
    filled = np.zeros((5, 5), bool)
    filled[0, 0] = filled[0, 3] = filled[3, 0] = filled[3, 3] = True
    np.testing.assert_array_equal(cells != 0, filled)


def test_objects_beyond_the_multiplicity_are_left_out(ROOT):
    jets = [(pt, 0.1, 0.0, 1.0) for pt in (90.0, 50.0, 30.0)]
    layout = rmm(ROOT, (("jet", 2), ("ele", 1)))
    electron = [(20.0, 1.0, 1.0, 0.0)]
    np.testing.assert_array_equal(
        fill(ROOT, layout, 30.0, 0.0, jets, electron),
        fill(ROOT, layout, 30.0, 0.0, jets[:2], electron),
    )


@pytest.mark.parametrize("layout", ["T3N5", "T4N5", "T5N10"])
def test_labels_name_the_cells_row_by_row(ROOT, layout):
    types = reference.LAYOUTS[layout]
    assert [str(name) for name in rmm(ROOT, types).labels()] == reference.labels(types)


def test_labels_are_those_that_other_programs_rely_on(ROOT):
    names = [str(n) for n in rmm(ROOT, (("jet", 2), ("ele", 2))).labels()]
    assert names[:5] == ["e_T_miss", "m_T_jet_0", "m_T_jet_1", "m_T_ele_0", "m_T_ele_1"]
    assert names[5:10] == ["h_L_jet_0", "e_T_jet_0", *(f"m_jet_0_{n}" for n in OTHERS)]
    assert names[10:15] == ["h_L_jet_1", "h_jet_1_jet_0", "delta_e_t_jet_1", *M_JET_1]
    assert names[-2:] == ["h_ele_1_ele_0", "delta_e_t_ele_1"]
    assert names[-4] == "h_ele_1_jet_0"


OTHERS = ("jet_1", "ele_0", "ele_1")
M_JET_1 = ("m_jet_1_ele_0", "m_jet_1_ele_1")


def test_leading_object_of_a_type_whose_name_ends_in_a_number(ROOT):
    names = [str(n) for n in rmm(ROOT, (("fat_0", 2), ("x", 11))).labels()]
    diagonal = [names[i * 14 + i] for i in range(14)]
    assert diagonal[1:4] == ["e_T_fat_0_0", "delta_e_t_fat_0_1", "e_T_x_0"]
    assert diagonal[13] == "delta_e_t_x_10"


@pytest.mark.parametrize(
    "types, scale, message",
    [
        ((), 1.0, "no object types"),
        ((("jet", 0),), 1.0, "needs a name and objects"),
        ((("", 2),), 1.0, "needs a name and objects"),
        ((("jet", 2), ("jet", 3)), 1.0, "'jet' appears twice"),
        ((("jet", 2),), 0.0, "energy scale must be positive"),
        ((("jet", 2),), -1.0, "energy scale must be positive"),
        ((("jet", 2),), math.inf, "energy scale must be positive"),
        ((("jet", 2),), math.nan, "energy scale must be positive"),
    ],
)
def test_wrong_layout_throws(ROOT, types, scale, message):
    with pytest.raises(Exception, match=message):
        rmm(ROOT, types, scale)


def test_wrong_number_of_types_throws(ROOT):
    with pytest.raises(Exception, match="has 2 object types, but 1 were given"):
        fill(ROOT, rmm(ROOT, (("jet", 2), ("ele", 2))), 30.0, 0.0, [])


def random_matrices(ROOT, many, layout, events, thesis=False, scale=1.0, full=False):
    """(met, met_phi, types as Objects, C++ matrices) of random events."""
    types = reference.LAYOUTS[layout]
    rng = np.random.default_rng(len(layout) + events)
    slots = max(n for _, n in types) + 2  # sometimes more than fit
    objects = random_objects(rng, (events, len(types), slots))
    counts = rng.integers(0, slots + 1, (events, len(types))).astype(np.int32)
    if full:
        counts[:] = slots
    met, phi = rng.exponential(50, events), rng.uniform(-np.pi, np.pi, events)
    matrix = rmm(ROOT, types, scale, thesis)
    cells = np.empty((events, matrix.size() ** 2), np.float32)
    many.matrices(matrix, met, phi, objects, counts, events, len(types), slots, cells)
    missing = np.arange(slots) >= counts[:, :, None]
    objects = np.where(missing[..., None], np.nan, objects)
    kinds = [Objects(*np.moveaxis(objects[:, t], -1, 0)) for t in range(len(types))]
    return met, phi, kinds, cells.reshape(events, matrix.size(), matrix.size())


@pytest.mark.parametrize("layout, size", [("T3N5", 15), ("T4N5", 23), ("T5N10", 36)])
@pytest.mark.parametrize("thesis", [False, True])
def test_matrix_agrees_cell_by_cell_with_numpy(ROOT, many, layout, size, thesis):
    met, phi, kinds, cells = random_matrices(ROOT, many, layout, 2000, thesis, scale=2.0)
    assert cells.shape == (2000, size, size)
    multiplicities = [n for _, n in reference.LAYOUTS[layout]]
    expected = reference.matrix(met, phi, kinds, multiplicities, 2.0, thesis)
    np.testing.assert_allclose(cells, expected, rtol=1e-4, atol=1e-6)
    present = np.concatenate(
        [~np.isnan(k.first(n).pt) for k, n in zip(kinds, multiplicities, strict=True)], 1
    )
    present = np.pad(present, ((0, 0), (1, 0)), constant_values=True)
    assert (cells[~(present[:, :, None] & present[:, None, :])] == 0).all()


def test_matrix_of_a_full_event_has_no_empty_cell(ROOT, many):
    *_, cells = random_matrices(ROOT, many, "T4N5", 200, full=True)
    assert (np.abs(cells) > 0).all()


def test_matrix_turns_with_the_event(ROOT):
    """A common rotation in phi changes nothing."""
    rng = np.random.default_rng(3)
    objects = [[tuple(o) for o in random_objects(rng, n)] for n in (4, 3, 2)]
    turned = [[(pt, eta, phi + 1.3, m) for pt, eta, phi, m in kind] for kind in objects]
    layout = rmm(ROOT, reference.LAYOUTS["T3N5"])
    np.testing.assert_allclose(
        fill(ROOT, layout, 40.0, 0.5 + 1.3, *turned),
        fill(ROOT, layout, 40.0, 0.5, *objects),
        rtol=1e-5,
        atol=1e-4,
    )


def test_mirrored_event_has_the_same_matrix(ROOT):
    """eta -> -eta: all cells are even in the rapidities."""
    rng = np.random.default_rng(4)
    objects = [[tuple(o) for o in random_objects(rng, n)] for n in (4, 3, 2)]
    mirrored = [[(pt, -eta, phi, m) for pt, eta, phi, m in kind] for kind in objects]
    layout = rmm(ROOT, reference.LAYOUTS["T3N5"])
    np.testing.assert_allclose(
        fill(ROOT, layout, 40.0, 0.5, *mirrored),
        fill(ROOT, layout, 40.0, 0.5, *objects),
        rtol=1e-5,
    )


def test_masses_and_h_do_not_depend_on_which_object_is_first(ROOT):
    """Exchanging two types exchanges rows and columns, and the pair cells stay."""
    rng = np.random.default_rng(5)
    jets = [tuple(o) for o in random_objects(rng, 2)]
    electrons = [tuple(o) for o in random_objects(rng, 2)]
    one = fill(ROOT, rmm(ROOT, (("jet", 2), ("ele", 2))), 40.0, 0.5, jets, electrons)
    other = fill(ROOT, rmm(ROOT, (("ele", 2), ("jet", 2))), 40.0, 0.5, electrons, jets)
    order = [0, 3, 4, 1, 2]
    for i, j in itertools.combinations(range(1, 5), 2):
        a, b = sorted((order[i], order[j]))
        assert other[i, j] == pytest.approx(one[a, b], rel=1e-6)  # m above the diagonal
        assert other[j, i] == pytest.approx(one[b, a], rel=1e-5)  # h below


def test_h_changes_and_h_only_under_a_boost_along_the_beam(ROOT):
    rng = np.random.default_rng(6)
    jets = random_objects(rng, 4, massless=True)
    boosted = jets.copy()
    boosted[:, 1] += 0.5
    layout = rmm(ROOT, (("jet", 4),))
    one, other = (fill(ROOT, layout, 40.0, 0.5, [tuple(o) for o in j]) for j in (jets, boosted))
    np.testing.assert_allclose(other[:, 1:], one[:, 1:], rtol=2e-5, atol=1e-6)
    assert not np.allclose(other[1:, 0], one[1:, 0])


def test_very_forward_and_very_soft_objects_give_finite_cells(ROOT):
    objects = [
        (1e4, 5.0, 0.0, 0.0),
        (1e-3, -5.0, 1.0, 0.1),
        (0.0, 0.0, 0.0, 0.0),
        (0.0, 1e11, 0.0, 0.0),  # along the beam, as TVector3 gives it
    ]
    cells = fill(ROOT, rmm(ROOT, (("jet", 4),)), 0.0, 0.0, objects)
    assert np.isfinite(cells).all()


@pytest.mark.parametrize("phi", [7.0, -999.0, 99999.0, 1e6, -1e18, 1e300])
def test_any_angle_is_an_azimuth(ROOT, phi):
    turned, plain = (
        fill(ROOT, rmm(ROOT, (("jet", 1),)), 40.0, 0.5, [(50.0, 1.0, angle, 0.0)])
        for angle in (phi, math.atan2(math.sin(phi), math.cos(phi)))
    )
    assert 0 <= turned[0, 1] <= math.sqrt(2 * 40 * 50 * 2)
    if abs(phi) < 1e7:  # after more turns, the rounding of 2 pi counts
        assert turned[0, 1] == pytest.approx(plain[0, 1], rel=1e-6)


def test_layout_of_many_objects(ROOT):
    """As in smaller ones: it holds the same cells where it has the same objects."""
    rng = np.random.default_rng(7)
    jets = [tuple(o) for o in random_objects(rng, 60)]
    cells = fill(ROOT, rmm(ROOT, (("jet", 60),)), 40.0, 0.5, jets)
    first = fill(ROOT, rmm(ROOT, (("jet", 20),)), 40.0, 0.5, jets)
    np.testing.assert_array_equal(cells[:21, :21], first)
    last = fill(ROOT, rmm(ROOT, (("jet", 20),)), 40.0, 0.5, jets[40:])
    np.testing.assert_array_equal(cells[42:, 42:], last[2:, 2:])
    np.testing.assert_array_equal(cells[0, 41:], last[0, 1:])


# --- sine, cosine, exponential ----------------------------------------------------------------


def elementary(many, x):
    x = np.ascontiguousarray(x, dtype=float)
    found = np.empty((len(x), 3))
    many.elementary(x, len(x), found)
    return found.T


def test_sine_cosine_and_exponential_of_simple_numbers(many):
    sine, cosine, exponential = elementary(many, [0.0, math.pi / 6, math.pi / 3, 1.0, -1.0])
    assert list(sine[:1]) == [0.0] and cosine[0] == exponential[0] == 1.0
    assert sine[1] == pytest.approx(0.5, rel=1e-15) == cosine[2]
    assert exponential[3] == pytest.approx(math.e, rel=1e-15) == 1 / exponential[4]


@pytest.mark.parametrize("largest", [1e-9, 0.1, 3.2, 30.0, 700.0, 99999.0])
def test_sine_cosine_and_exponential_agree_with_the_library(many, largest):
    x = np.random.default_rng(1).uniform(-largest, largest, 20_000)
    sine, cosine, exponential = elementary(many, x)
    # They miss by up to two units in the last place, and so may the others by one.
    np.testing.assert_allclose(sine, np.sin(x), rtol=7e-16)
    np.testing.assert_allclose(cosine, np.cos(x), rtol=7e-16)
    x = np.clip(x, -700, 700)
    np.testing.assert_allclose(elementary(many, x)[2], np.exp(x), rtol=7e-16)


def test_exponential_stays_finite(many):
    assert (
        list(elementary(many, [710.0, 1e4, 1e300, math.inf])[2])
        == [elementary(many, [700.0])[2]] * 4
    )


# --- exact sums -------------------------------------------------------------------------------


def exact(many, terms, parts=1):
    terms = np.asarray(terms, dtype=float)
    return many.exactSum(terms, len(terms), parts)


@pytest.mark.parametrize(
    "terms, total",
    [
        ([1e16, 1.0, -1e16], 1.0),
        ([1.0, 1e100, 1.0, -1e100], 2.0),
        ([5e-324] * 3, 15e-324),
        ([5e-324, -5e-324], 0.0),
        ([-1.5, -2.25], -3.75),
        ([-1e300, 1e-300], -1e300),
        ([0.0, -0.0], 0.0),
        ([1.7976931348623157e308, -1.7976931348623157e308, 2.0], 2.0),
    ],
)
def test_exact_sum_loses_nothing(many, terms, total):
    for order in itertools.permutations(terms):
        assert exact(many, order) == total


def awkward_terms(rng, n):
    """Numbers of all sizes, some of which cancel."""
    terms = rng.normal(0, 1, n) * 10.0 ** rng.integers(-320, 300, n)
    return np.concatenate([terms, -terms[: n // 2], [5e-324, -1e-310, 0.0, -0.0]])


@pytest.mark.parametrize("seed", range(20))
def test_exact_sum_is_rounded_once_whatever_the_order_and_the_parts(many, seed):
    rng = np.random.default_rng(seed)
    terms = awkward_terms(rng, int(rng.integers(1, 400)))
    total = math.fsum(terms)
    for parts in (1, 2, 7):
        assert exact(many, rng.permutation(terms), parts) == total


@pytest.mark.parametrize("seed", range(20))
def test_exact_sum_of_ordinary_weights_is_rounded_once(many, seed):
    rng = np.random.default_rng(100 + seed)
    terms = rng.normal(0.2, 1, 2000)
    assert exact(many, terms) == math.fsum(terms)
    assert exact(many, -terms) == -math.fsum(terms)


@pytest.mark.parametrize(
    "terms",
    [
        [1.0, 2.0**-53],  # a tie goes to the even neighbour
        [1.0 + 2.0**-52, 2.0**-53],
        [1.0, 2.0**-53, 5e-324],  # a little more than a tie
        [1.0, 2.0**-53, -5e-324],
        [2.0**53, 1.0],
        [2.0**53, 1.0, 5e-324],
        [2.0**-1022, -5e-324],
    ],
)
def test_exact_sum_rounds_ties_to_even(many, terms):
    for sign in (1, -1):
        signed = [sign * term for term in terms]
        assert exact(many, signed) == math.fsum(signed)


def test_cutflow_counter_keeps_weights_that_are_not_finite_out_of_the_sums(ROOT, m3l):
    counter = m3l.CutflowCounter(2)
    for slot, weight in ((0, 2.0), (1, -0.5), (0, math.nan), (1, math.inf)):
        counter.add(slot, weight)
    count = counter.count()
    assert (count.entries, count.sumw, count.sumw2, count.nonFinite) == (4, 1.5, 4.25, 2)


def test_lazy_value_is_made_once_and_only_if_asked_for(ROOT, m3l):
    ROOT.gInterpreter.Declare("""
        std::vector<int> lazyCalls()
        {
            int first = 0, second = 0, third = 0;
            {
                const m3l::Lazy a{[&] { ++first; return ROOT::RVecI(20, 7); }};
                const m3l::Lazy b{[&] { ++second; return Sum(a()); }};
                const m3l::Lazy c{[&] { ++third; return b(); }};
                if (b() + b() != 280)
                    return {};
            }
            return {first, second, third};
        }
    """)
    assert list(ROOT.lazyCalls()) == [1, 1, 0]


# --- the store of rows ------------------------------------------------------------------------


def store_rows(ROOT, rows, memory, folder, slots=1, batch=10):
    """Rows (dataset, run, event, weight, feature, count) as they come out of a RowStore."""
    store = ROOT.m3l.RowStore(1, 1, slots, memory, str(folder))
    for number, row in enumerate(rows):
        add_row(store, number % slots, row[:3], row[3], [row[4]], [], [row[5]])
    assert store.size() == len(rows)
    result = []
    histograms = [ROOT.TH1D(name, "", 10, 0.0, 10.0) for name in ("feature", "count")]
    for histogram in histograms:
        histogram.SetDirectory(ROOT.nullptr)
        histogram.Sumw2()
    ROOT.m3l.startFilling(store, batch, ROOT.std.vector["TH1D*"](histograms))
    while taken := store.next():
        identities = np.frombuffer(store.identities(), "i8", 3 * taken).reshape(taken, 3).copy()
        weights = np.frombuffer(store.weights(), "f8", taken).copy()
        features = np.frombuffer(store.features(), "f4", taken).copy()
        integers = np.frombuffer(store.integers(), "i4", taken).copy()
        result += zip(*identities.T.tolist(), weights, features, integers, strict=True)
    assert [histogram.GetEntries() for histogram in histograms] == [len(rows)] * 2
    return [tuple(map(float, row)) for row in result]


def shuffled_rows(n):
    rng = np.random.default_rng(9)
    rows = [(1 + k % 2, -3 + k % 5, k - n // 2, 0.5 * k, float(k % 13), k % 7) for k in range(n)]
    return [rows[k] for k in rng.permutation(n)]


@pytest.mark.parametrize("memory, slots", [(10**6, 1), (10**6, 3), (44 * 20, 1), (44 * 20, 3)])
def test_rows_come_back_sorted_by_dataset_run_and_event(ROOT, tmp_path, memory, slots):
    rows = shuffled_rows(200)
    expected = sorted(tuple(map(float, row)) for row in rows)
    assert store_rows(ROOT, rows, memory, tmp_path, slots) == expected
    assert list(tmp_path.iterdir()) == []


def test_rows_of_one_identity_have_one_order(ROOT, tmp_path):
    rows = [(1, 1, 1, w, f, 2) for w in (2.0, 1.0, -1.0) for f in (3.0, 1.0)] * 2
    orders = [
        store_rows(ROOT, rows[k:] + rows[:k], 10**6, tmp_path, slots)
        for k in (0, 5)
        for slots in (1, 2)
    ]
    assert len(orders[0]) == 12
    assert all(order == orders[0] for order in orders)


@pytest.mark.parametrize("floats, cells", [(1, 0), (63, 63), (64, 60), (65, 60), (236, 225)])
@pytest.mark.parametrize("memory", [10**7, 10**4])
def test_rows_keep_every_bit_of_their_floats(ROOT, tmp_path, floats, cells, memory):
    rng = np.random.default_rng(4)
    values = rng.normal(size=(100, floats)).astype("f4")
    values[rng.random(values.shape) < 0.8] = 0.0
    values[rng.random(values.shape) < 0.1] = -0.0
    values[1], values[2] = 1.0, 0.0
    values[3, 0], values[4, -1], values[5, 0] = -3e38, 3e38, 1e-45
    integers = rng.integers(-(2**31), 2**31, size=(100, 3))
    store = ROOT.m3l.RowStore(floats, 3, 1, memory, str(tmp_path))
    for number in rng.permutation(100):
        row = values[number]
        add_row(store, 0, (1, 1, number), 0.5, row[:cells], row[cells:], integers[number])
    store.startReading(100)
    assert store.next() == 100
    found = np.frombuffer(store.features(), "f4", 100 * floats)
    assert found.tobytes() == values.tobytes()
    assert np.frombuffer(store.integers(), "i4", 300).tolist() == integers.ravel().tolist()


def test_store_without_rows_gives_none(ROOT, tmp_path):
    assert store_rows(ROOT, [], 10**6, tmp_path) == []


def test_store_that_is_left_before_its_end_goes_quietly(ROOT, tmp_path):
    store = ROOT.m3l.RowStore(0, 0, 1, 10**6, str(tmp_path))
    for number in range(100):
        add_row(store, 0, (1, 1, number), 1.0, [], [], [])
    store.startReading(10)
    assert store.next() == 10
    del store


def test_rows_that_cannot_be_spilled_throw(ROOT, tmp_path):
    with pytest.raises(Exception, match="cannot make a temporary file"):
        store_rows(ROOT, shuffled_rows(50), 44 * 4, tmp_path / "missing")


# --- loading ----------------------------------------------------------------------------------


def test_rdataframe_strings_use_the_short_names(ROOT):
    df = ROOT.RDataFrame(1).Define("f", "ROOT::RVecI{2, 1, 2, 2}").Define("good", "f > 0")
    df = df.Define("selected", "ROOT::RVecI{1, 1, 0, 1}")
    df = df.Define("flcomp", "flavourComp3L(f[good && selected])")
    assert df.Take["int"]("flcomp").GetValue()[0] == 4


# --- the examples in the headers --------------------------------------------------------------

HELPERS = REPOSITORY / "helpers"
SESSION = re.compile(r"^/// ~~~\{\.cpp\}\n(.*?)^/// ~~~$", re.M | re.S)
LINE = re.compile(r"^/// root \[\d+\] (.*)\n((?:/// (?!root \[).*\n)*)", re.M)


def header_examples():
    """(header, what is typed, the answer) of each example."""
    for path in sorted(HELPERS.rglob("*.h")):
        for session in SESSION.findall(path.read_text()):
            for typed, answer in LINE.findall(session):
                yield path.name, typed, answer.replace("/// ", "")


EXAMPLES = list(header_examples())


@pytest.fixture(scope="module")
def answers(ROOT):
    """What ROOT answers to all examples, typed one after the other."""
    import helpers

    engine, _ = helpers.chosen_engine()
    lines = ['#include "engine/engine.h"', f'gSystem->Load("{engine}");']
    for _, typed, _ in EXAMPLES:
        lines += ['std::cout << "next" << std::endl;', typed]
    done = at_prompt(HELPERS / "rootlogon.C", *lines)
    assert done.stderr == ""
    return done.stdout.split("next\n")[1:]


def test_every_example_of_the_headers_is_found():
    text = "".join(path.read_text() for path in HELPERS.rglob("*.h"))
    assert len(EXAMPLES) == text.count("root [") > 10


@pytest.mark.parametrize(
    "number", range(len(EXAMPLES)), ids=[f"{header}-{typed}" for header, typed, _ in EXAMPLES]
)
def test_example_gives_the_answer_in_the_header(answers, number):
    assert answers[number] == EXAMPLES[number][2]
