"""Planes that fit: search, step profiles, cation continuity, registry, and their recipes."""

from __future__ import annotations

import json
import re
import tomllib
from collections import Counter
from dataclasses import replace
from fractions import Fraction
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from conftest import load
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.analysis.ewald import EwaldSummation
from pymatgen.analysis.interfaces.zsl import ZSLGenerator
from pymatgen.core import Lattice, Structure
from scipy.spatial.distance import cdist
from test_cli import run

from hetbuild.arrays import Plane
from hetbuild.crystal import lattice
from hetbuild.crystal.layers import stacking
from hetbuild.crystal.planes import distinct_pairs, plane_net
from hetbuild.crystal.terminations import terminations
from hetbuild.crystal.vicinal import step_profile
from hetbuild.elements import counts, parse_formula
from hetbuild.errors import ImpossibleError, InputError
from hetbuild.geometry.electrostatics import COULOMB, SHANNON_RADII, SOFTNESS, radii
from hetbuild.matching.bicrystal import bicrystal
from hetbuild.matching.continuation import cation_fit
from hetbuild.matching.energy_map import common_displacements, energy_maps
from hetbuild.matching.nets import (
    coincidence_cells,
    reduced_supercells,
    strained_supercells,
    stretches,
)
from hetbuild.matching.proposal import morphology, propose, recipe_text
from hetbuild.matching.registry import registries, scan, terminations_of
from hetbuild.matching.search import Match, match, nearest_miss
from hetbuild.recipe.read import read_recipe
from hetbuild.recipe.run import stages

MAIN = ((-2, 1, 0), (-4, -4, 2))


def main_match() -> Match:
    (found,) = match(load("CsPbCl3"), load("PbS"), planes=MAIN)
    return found


# Search


def test_interface_of_the_paper() -> None:
    found = main_match()
    b, a = found.cell
    assert a.labels == ("[1 2 0]", "1/2[1 1 4]")
    assert a.lengths == pytest.approx((12.533, 12.592), abs=1e-3)
    assert 100 * a.mismatch == pytest.approx(0.47, abs=0.005)
    assert b.labels == ("3[0 0 1]", "4 x 1/2[1 -1 0]")
    assert b.lengths == pytest.approx((16.815, 16.790), abs=1e-3)
    assert 100 * b.mismatch == pytest.approx(-0.15, abs=0.005)
    assert found.area == pytest.approx((210.7, 211.4), abs=0.06)
    assert found.shear == pytest.approx(0.0, abs=1e-9)
    assert found.planes[1].text == "(-4 -4 2), reduced (-2 -2 1), form {4 4 2}"


def test_interface_of_the_paper_is_found_unasked() -> None:
    found = match(load("CsPbCl3"), load("PbS"), max_index=4, max_strain=0.005, max_area=400.0)
    by_area = sorted(found, key=lambda m: m.area)[:10]
    asked = main_match()
    forms = [tuple(p.representative for p in m.planes) for m in by_area]
    same = by_area[forms.index(tuple(p.representative for p in asked.planes))]
    assert same.area == pytest.approx(asked.area)
    assert same.principal == pytest.approx(asked.principal)


def zsl_matches(limit: float) -> tuple[set[tuple[object, ...]], int]:
    """Distinct primitive cells that pymatgen finds on the same primitive nets, by plane pair."""
    a, b = load("CsPbCl3"), load("PbS")
    search = ZSLGenerator(
        max_area_ratio_tol=3 * limit, max_area=400, max_length_tol=limit, max_angle_tol=0.01
    )
    found = set()
    pairs = distinct_pairs(a, b, 2)
    for p, q in pairs:
        nets = [plane_net(a, p).flat, plane_net(b, q).flat]
        for m in search(*(np.hstack([n, np.zeros((2, 1))]) for n in nets)):
            cells = [np.array(m.film_sl_vectors)[:, :2], np.array(m.substrate_sl_vectors)[:, :2]]
            i, j = (np.rint(c @ np.linalg.inv(n)) for c, n in zip(cells, nets, strict=True))
            minors = [np.linalg.det(i), np.linalg.det(j)]
            minors += [i[0, k] * j[1, w] - i[1, k] * j[0, w] for k in (0, 1) for w in (0, 1)]
            if np.gcd.reduce(np.rint(minors).astype(int)) > 1:
                continue  # a multiple of a smaller cell
            stretch = np.linalg.svd(np.linalg.solve(*cells), compute_uv=False)
            area = abs(np.linalg.det(cells[0]))
            found.add((p, q, round(area, 2), *np.round(np.sort(stretch) - 1, 4)))
    return found, len(pairs)


def test_agrees_with_zsl_pair_by_pair() -> None:
    theirs, pairs = zsl_matches(0.03)
    assert pairs == 36
    assert len(theirs) == 21
    found = match(load("CsPbCl3"), load("PbS"), max_index=2, max_strain=0.03)
    mine = {
        (*(p.reduced for p in m.planes), round(m.area[0], 2), *np.round(m.principal, 4))
        for m in found
    }
    assert theirs <= mine
    unsheared = {
        (*(p.reduced for p in m.planes), round(m.area[0], 2), *np.round(m.principal, 4))
        for m in found
        if abs(m.shear) < 0.5 and all(abs(c.mismatch) < 0.0299 for c in m.cell)
    }
    assert unsheared <= theirs


@given(
    st.integers(0, 35),
    st.floats(-0.02, 0.02),
    st.floats(-0.02, 0.02),
    st.floats(-0.01, 0.01),
)
def test_strained_copy_is_found(k: int, xx: float, yy: float, xy: float) -> None:
    """A net and its strained image must match at the smallest cell with just that strain."""
    _, q = distinct_pairs(load("CsPbCl3"), load("PbS"), 2)[k]
    net = plane_net(load("PbS"), q)
    deformation = np.eye(2) + np.array([[xx, xy], [xy, yy]])
    other = replace(net, flat=net.flat @ deformation)
    low, high = np.linalg.svd(deformation, compute_uv=False)[::-1]
    limit = max(abs(low - 1), abs(high - 1)) + 1e-6
    area = 4 * net.area
    cells = (reduced_supercells(net, area), strained_supercells(other, area, limit))
    found = coincidence_cells((net, other), cells, limit)
    first = np.stack(stretches(found.deformation), axis=1)
    assert (np.abs(first - [low, high]) < 1e-9).all(axis=1).any()
    assert (first >= 1 - limit - 1e-9).all()
    assert (first <= 1 + limit + 1e-9).all()


def test_order_of_the_crystals_does_not_matter() -> None:
    a, b = load("CsPbCl3"), load("PbS")
    there = match(a, b, max_index=1, max_strain=0.02)
    back = match(b, a, max_index=1, max_strain=0.0205)
    for m in there:
        inverse = sorted(1 / (1 + p) - 1 for p in m.principal)
        assert any(
            n.planes[::-1] == m.planes and np.allclose(n.principal, inverse, atol=1e-9)
            for n in back
        )


@settings(max_examples=5)
@given(st.integers(0, 2**31))
def test_no_cell_is_missed(seed: int) -> None:
    """Every pair of sublattices in every basis, by brute force, near the strain limit."""
    rng = np.random.default_rng(seed)
    limit = 0.12
    template = plane_net(load("PbS"), (1, 0, 0))
    flats = [np.array([[4.0, 0.0], [rng.uniform(-2, 2), rng.uniform(3.6, 6)]]) for _ in range(2)]
    nets = [replace(template, flat=f, symmetries=np.eye(2, dtype=int)[None],
                    handed=np.array([1])) for f in flats]  # fmt: skip
    most = 2.6 * max(n.area for n in nets)
    cells = reduced_supercells(nets[0], most), strained_supercells(nets[1], most, limit)
    found = coincidence_cells((nets[0], nets[1]), cells, limit)
    mine = {_key(m, n) for m, n in zip(found.first, found.second, strict=True) for n in (n, -n)}
    forms = [
        np.array([[p, q], [0, r]])
        for p in range(1, 13) for r in range(1, 13) for q in range(r)
    ]  # fmt: skip
    turns = [np.array(t).reshape(2, 2) for t in product(range(-2, 3), repeat=4)]
    turns = [t for t in turns if round(np.linalg.det(t)) == 1]
    brute = set()
    for a in (f for f in forms if np.linalg.det(f) * nets[0].area <= most):
        left = np.linalg.inv(a @ flats[0])
        for b in (f for f in forms if np.linalg.det(f) * nets[1].area <= most):
            for t in turns:
                stretch = np.linalg.svd(left @ t @ b @ flats[1], compute_uv=False)
                if np.abs(stretch - 1).max() <= limit and _primitive(a, t @ b):
                    brute.add(_key(a, t @ b))
    assert brute <= mine


def _minors(m: np.ndarray, n: np.ndarray) -> list[int]:
    both = np.hstack([m, n]).astype(int)
    return [
        int(both[0, i] * both[1, j] - both[0, j] * both[1, i]) for i in range(4) for j in range(i)
    ]


def _key(m: np.ndarray, n: np.ndarray) -> tuple[int, ...]:
    """The coincidence lattice whatever its basis."""
    return tuple(_minors(m, n))


def _primitive(m: np.ndarray, n: np.ndarray) -> bool:
    return np.gcd.reduce(_minors(m, n)) == 1


def test_strain_and_misorientation_of_a_match() -> None:
    crystals = load("CsPbBr3"), load("Cs4PbBr6")
    for found in (*match(*crystals, max_index=3), main_match()):
        assert np.linalg.eigvalsh(found.strain) == pytest.approx(found.principal, abs=1e-9)
        (xx, xy), (_, yy) = found.strain
        stretch = np.array([[1 + xx, xy], [xy, 1 + yy]])
        lengths, ends = found.cell[0].lengths, found.cell[1].lengths
        angle = np.radians(found.angle[0])
        first = stretch @ [lengths[0], 0.0]
        second = stretch @ (ends[0] * np.array([np.cos(angle), np.sin(angle)]))
        assert np.linalg.norm(first) == pytest.approx(lengths[1])
        assert np.linalg.norm(second) == pytest.approx(ends[1])
    crystals = load("CsPbCl3"), load("PbS")
    found = main_match()
    sides = bicrystal(found, crystals)
    angles = []
    for turn in (np.eye(3), np.diag([-1.0, -1.0, 1.0])):
        rotation = np.linalg.inv(crystals[0].vectors) @ sides[0].frame
        other = np.linalg.inv(crystals[1].vectors) @ sides[1].frame @ turn
        u, _, vt = np.linalg.svd(rotation @ np.linalg.inv(other))
        relative = u @ vt
        proper = [r for r in crystals[0].rotations if np.linalg.det(r) > 0]
        traces = [np.trace(p @ relative @ q) for p in proper for q in proper]
        angles.append(np.degrees(np.arccos((max(traces) - 1) / 2)))
    assert found.misorientation == pytest.approx(min(angles), abs=1e-3)
    assert found.turned_misorientation == pytest.approx(max(angles), abs=1e-3)
    other = found.turned()
    assert other.turned() == found
    vectors = [s.frame for s in bicrystal(other, crystals)]
    assert vectors[1] == pytest.approx(sides[1].frame @ np.diag([-1.0, -1.0, 1.0]))
    assert found.half_turn
    assert not match(load("PbS"), load("PbSe"), planes=((1, 0, 0), (1, 0, 0)))[0].half_turn


@given(st.integers(0, 47), st.integers(0, 47))
def test_equivalent_planes_fit_alike(i: int, j: int) -> None:
    a, b = load("CsPbCl3"), load("PbS")
    planes = tuple(
        tuple((np.array(h) @ c.rotations[k]).tolist())
        for h, c, k in zip(MAIN, (a, b), (i, j), strict=True)
    )
    (found,) = match(a, b, planes=planes)  # type: ignore[arg-type]
    assert found.area == pytest.approx(main_match().area)
    assert found.principal == pytest.approx(main_match().principal)
    fit = cation_fit(found, (a, b))
    assert (fit.count, fit.total, fit.rows) == (3, 3, True)
    assert fit.rms == pytest.approx(0.31, abs=0.005)


def test_directions_lie_in_the_planes_and_are_right_handed() -> None:
    a, b = load("CsPbBr3"), load("Cs4PbBr6")
    for m in match(a, b, max_index=2):
        for i, crystal in enumerate((a, b)):
            vectors = [
                p.counts[i] * (p.first, p.second)[i].vector @ crystal.vectors for p in m.cell
            ]
            lengths = [p.lengths[i] for p in m.cell]
            assert np.linalg.norm(vectors, axis=1) == pytest.approx(lengths)
            normal = np.array(m.planes[i].asked) @ np.linalg.inv(crystal.vectors).T
            normal /= np.linalg.norm(normal)
            assert np.abs(np.array(vectors) @ normal).max() < 1e-9
            assert np.cross(*vectors) @ normal == pytest.approx(m.area[i])
            # A lattice vector of the centred lattice, not only of the conventional cell.
            cells = np.linalg.solve(
                crystal.primitive.T, vectors[0] @ np.linalg.inv(crystal.vectors)
            )
            assert np.abs(cells - np.rint(cells)).max() < 1e-9


@pytest.mark.parametrize(
    ("first", "second", "forms", "along"),
    [
        # Toso et al., Nat. Commun. 13, 3976 (2022), doi 10.1038/s41467-022-31699-1
        ("CsPbCl3", "Pb4S3Cl2", ((1, 0, 0), (0, 1, 0)), ("[0 1 1]", "[1 0 0]")),
        ("PbS", "PbSe", ((2, 0, 0), (2, 0, 0)), ("1/2[0 1 1]", "1/2[0 1 1]")),
        # Wang et al., Adv. Funct. Mater. 26, 8435 (2016): CsPbBr3 in CsPb2Br5
        ("CsPbBr3", "CsPb2Br5", ((1, 0, 0), (0, 0, 2)), ("[0 1 1]", "[0 1 0]")),
        # zinc blende and wurtzite CdS: polytypes that differ in stacking only
        ("CdS", "CdS-wurtzite", ((1, 1, 1), (0, 0, 1)), ("1/2[1 -1 0]", "[1 0 0]")),
        # Shin, Hilliard, Ketterson, J. Vac. Sci. Technol. A 2, 296 (1984): PbTe/Bi superlattices
        ("Bi", "PbTe", ((0, 0, 3), (1, 1, 1)), ("[1 0 0]", "1/2[1 -1 0]")),
    ],
)
def test_known_epitaxies(
    first: str,
    second: str,
    forms: tuple[tuple[int, ...], tuple[int, ...]],
    along: tuple[str, str],
) -> None:
    best = match(load(first), load(second))[:3]
    hits = [m for m in best if tuple(p.asked for p in m.planes) == forms]
    assert hits
    assert along in [c.labels for c in hits[0].cell]


def test_cspbbr3_cs4pbbr6_fit_within_the_default_limits() -> None:
    found = match(load("CsPbBr3"), load("Cs4PbBr6"))
    assert found[0].planes[0].asked == (1, 1, 1)
    assert found[0].largest_strain < 0.033


def test_bad_searches() -> None:
    a, b = load("CsPbCl3"), load("PbS")
    with pytest.raises(InputError, match="above 0 and at most 15 %; given 40 %"):
        match(a, b, max_strain=0.4)
    with pytest.raises(InputError, match="at least 1; given 0"):
        match(a, b, max_index=0)
    with pytest.raises(InputError, match="largest area"):
        match(a, b, max_area=-1.0)
    with pytest.raises(InputError, match="no lattice plane"):
        match(a, b, planes=((0, 0, 0), (1, 0, 0)))
    with pytest.raises(ImpossibleError, match=r"would take (about \d+|thousands of) hours"):
        match(a, b, max_index=12, max_area=20000.0, max_strain=0.15)
    near = nearest_miss(a, b, planes=((1, 0, 0), (1, 0, 0)), max_area=50.0, max_strain=0.01)
    assert near is not None
    assert near.largest_strain > 0.01


# Step profiles and cation continuity


@pytest.mark.parametrize(
    ("crystal", "plane", "cation", "terrace", "step", "period"),
    [
        ("CsPbCl3", (-2, 1, 0), "Pb", "[0 1 0]", "[1 1 0]", "[1 2 0]"),
        ("CsPbCl3", (-2, 1, 0), "Cs", "[0 1 0]", "[1 1 0]", "[1 2 0]"),
        ("PbS", (-4, -4, 2), None, "1/2[1 1 2]", "[0 0 1]", "1/2[1 1 4]"),
    ],
)
def test_step_profiles(
    crystal: str, plane: Plane, cation: str | None, terrace: str, step: str,
    period: str,
) -> None:  # fmt: skip
    found = step_profile(load(crystal), plane, cation)
    assert found.step is not None
    assert (str(found.terrace.vector), str(found.step.vector)) == (terrace, step)
    assert str(found.period) == period
    total = found.terrace.vector.vector + found.step.vector.vector
    assert total == pytest.approx(found.period.vector)
    # Terrace and step lie in their facets, and the period in the plane.
    assert np.dot(found.terrace.plane, found.terrace.vector.vector) == pytest.approx(0)
    assert np.dot(found.step.plane, found.step.vector.vector) == pytest.approx(0)
    assert np.dot(plane, total) == pytest.approx(0)


def test_low_planes_are_flat() -> None:
    assert step_profile(load("PbS"), (1, 0, 0)).step is None
    assert step_profile(load("PbS"), (1, 1, 1)).step is None
    with pytest.raises(InputError, match="S is no cation of PbS; it has Pb"):
        step_profile(load("PbS"), (1, 0, 0), "S")


@pytest.mark.parametrize("plane", [(1, 0, 0), (1, 1, 0), (1, 1, 1), (2, 1, 0), (2, 2, 1)])
def test_a_crystal_continues_itself(plane: Plane) -> None:
    crystal = load("PbS")
    found = match(crystal, crystal, planes=(plane, plane), max_area=60.0)
    same = [m for m in found if m.misorientation < 1e-3 and m.largest_strain < 1e-9]
    fit = cation_fit(same[0], (crystal, crystal))
    assert fit.count == fit.total
    assert fit.rms < 1e-3


def test_continuity_singles_out_the_interface_of_the_paper() -> None:
    """Of all that fit within 0.5 %, only the stepped planes continue each other's cation rows."""
    crystals = load("CsPbCl3"), load("PbS")
    found = match(*crystals, max_strain=0.005)
    fits = {tuple(p.representative for p in m.planes): cation_fit(m, crystals) for m in found}
    best = max(fits, key=lambda k: fits[k].score)
    assert best == tuple(p.representative for p in main_match().planes)
    assert fits[best].rows
    assert fits[best].score > 0.9
    assert sorted(f.score for f in fits.values())[-2] < 0.4


def test_continuity_of_known_interfaces() -> None:
    for first, second, score in (("CsPbCl3", "Pb4S3Cl2", 0.8), ("CsPbBr3", "CsPb2Br5", 0.999)):
        crystals = load(first), load(second)
        fit = cation_fit(match(*crystals)[0], crystals)
        assert (fit.layer_of, fit.count, fit.total) == (second, 2, 2)
        assert fit.score > score


# Registry


def test_terminations_of_polar_and_neutral_planes() -> None:
    neutral = terminations(load("CsPbCl3"), (1, 0, 0), upward=True)
    assert [(t.formula, t.polar) for t in neutral] == [("PbCl2", False), ("CsCl", False)]
    polar = terminations(load("PbS"), (1, 1, 1), upward=True)
    assert [(t.formula, t.charge, t.polar) for t in polar] == [("Pb", 2, True), ("S", -2, True)]
    # A compensated (111) face carries half of its charge: dipole = charge x spacing / 2.
    assert polar[0].dipole == pytest.approx(load("PbS").spacing((1, 1, 1)))
    down = terminations(load("PbS"), (1, 1, 1), upward=False)
    assert [t.dipole for t in down] == pytest.approx([t.dipole for t in polar])


def test_terminations_of_a_polar_axis_differ_up_and_down() -> None:
    """CdS wurtzite along c: Cd at 0 and 1/2, S 0.377 c above each; by hand."""
    crystal = load("CdS-wurtzite")
    c = crystal.cell_parameters[2]
    up, down = (terminations(crystal, (0, 0, 1), upward=u) for u in (True, False))
    assert [t.formula for t in up] == ["Cd", "S", "Cd", "S"]
    assert up[0].dipole == pytest.approx(2 * c * (0.623 - 0.5 + 0.123), rel=1e-3)
    assert down[0].dipole == pytest.approx(2 * c * (0.377 - 0.5 + 0.877), rel=1e-3)
    assert up[1].dipole == pytest.approx(-down[0].dipole, rel=1e-3)
    # The first crystal lies above, so its face looks down.
    found = match(crystal, crystal, planes=((0, 0, 1), (0, 0, 1)), max_area=30)[0]
    assert terminations_of(found, (crystal, crystal)) == (down, up)


def test_layers_hold_the_whole_crystal() -> None:
    """Also where heights lie on the edge of any rounding, as in Cs4PbBr6."""
    for name in ("Cs4PbBr6", "Pb3S2Cl2", "CsPb2Cl5"):
        crystal = load(name)
        formula_units = counts(crystal.numbers)
        centring = round(1 / abs(np.linalg.det(crystal.primitive)))
        for plane in product(range(-3, 4), repeat=3):
            if np.gcd.reduce(plane) != 1:
                continue
            hkl = lattice.primitive_plane(crystal.primitive, plane)
            layers = stacking(crystal, hkl).layers
            assert sum(layer.charge for layer in layers) == 0
            total = Counter()
            for layer in layers:
                total.update(parse_formula(layer.formula))
                assert 0 <= layer.index < 1
            assert total == {e: n // centring for e, n in formula_units.items()}


@pytest.mark.parametrize(
    ("name", "plane", "gap"), [("PbS", (1, 0, 0), 2.968), ("PbS", (1, 1, 1), 1.714),
                               ("PbS", (1, 1, 0), 2.099), ("CsPbCl3", (1, 0, 0), 2.803)],
)  # fmt: skip
def test_a_crystal_lies_on_itself_as_in_bulk(name: str, plane: Plane, gap: float) -> None:
    crystal = load(name)
    found = match(crystal, crystal, planes=(plane, plane), max_area=40.0)
    same = next(m for m in found if m.misorientation < 1e-3 and m.largest_strain < 1e-9)
    ends = terminations_of(same, (crystal, crystal))
    first = ends[0][0]
    second = next(t for t in ends[1] if t.index != first.index or len(ends[1]) == 1)
    result = registries(same, (crystal, crystal), (first, second))
    best = result.minima[0]
    assert best.gap == pytest.approx(gap, rel=0.12)
    # Where the upper crystal goes on with the lower one, sites differ by a lattice vector.
    sides = bicrystal(same, (crystal, crystal))
    rise = (first.index - second.index) * sides[0].repeat
    lattice_rise = np.ceil(rise / sides[0].repeat - 1e-6) * sides[0].repeat
    vector = np.array([*best.shift, 0.0]) - [0.0, 0.0, lattice_rise or sides[0].repeat]
    cells = np.linalg.solve(crystal.primitive.T, vector @ np.linalg.inv(sides[0].frame))
    assert np.abs(cells - np.rint(cells)).max() < 0.03


@pytest.mark.parametrize(
    ("first", "second"), [((1, 0, 0), (1, 0, 0)), ((2, 1, 0), (2, 1, 0)), ((1, 1, 0), (1, 1, 0))]
)
def test_energy_against_ewald_and_a_direct_sum(first: Plane, second: Plane) -> None:
    """Two slabs in vacuum by pymatgen's Ewald sum, repulsion atom by atom.

    The lattice planes of (2 1 0) and (1 1 0) follow each other at a slant.
    """
    crystals = load("PbS"), load("PbSe")
    found = match(*crystals, planes=(first, second))[0]
    sides = bicrystal(found, crystals)
    pair = tuple(t[0] for t in terminations_of(found, crystals))
    gap = 2.6
    (energy,) = energy_maps(sides, pair, np.array([gap]))  # type: ignore[arg-type]
    cell2 = sides[0].flat(sides[0].cell)
    thick = [(np.ceil(13 / s.repeat) + 0.5) * s.repeat for s in sides]
    upper = sides[0].sites(0.0, thick[0])
    lower = sides[1].sites(-thick[1], 0.0)
    steps = np.array([(i, j) for i in range(-6, 7) for j in range(-6, 7)]) @ cell2
    for i, j in [(0, 0), (10, 4), (21, 21), (30, 7)]:
        shift = np.array([i, j]) / energy.shape @ common_displacements(sides)
        below = lower.positions + np.array([*shift, -gap])
        numbers = np.concatenate([upper.numbers, lower.numbers])
        charges = np.concatenate([upper.charges, lower.charges])
        positions = np.vstack([upper.positions, below])
        coulomb = sum(
            sign * ewald(positions[part], numbers[part], charges[part], cell2)
            for part, sign in (
                (slice(None), 1), (slice(0, len(upper.numbers)), -1),
                (slice(len(upper.numbers), None), -1),
            )
        )  # fmt: skip
        images = (upper.positions[None] + np.pad(steps, ((0, 0), (0, 1)))[:, None]).reshape(-1, 3)
        radius = {82: SHANNON_RADII["Pb"], 16: SHANNON_RADII["S"], 34: SHANNON_RADII["Se"]}
        contact = np.add.outer(
            np.tile([radius[z] for z in upper.numbers], len(steps)),
            [radius[z] for z in lower.numbers],
        )
        strength = 1.74756 / 6 * SOFTNESS * COULOMB * 4 / contact**2
        repulsion = (strength * np.exp((contact - cdist(images, below)) / SOFTNESS)).sum()
        area = abs(np.linalg.det(cell2))
        assert energy[i, j] == pytest.approx((coulomb + repulsion) / area, abs=2e-5)


def ewald(
    positions: np.ndarray, numbers: np.ndarray, charges: np.ndarray, net: np.ndarray
) -> float:
    cell = np.zeros((3, 3))
    cell[:2, :2] = net
    cell[2, 2] = 90.0
    structure = Structure(
        Lattice(cell), numbers.tolist(), positions, coords_are_cartesian=True,
        site_properties={"charge": charges.tolist()},
    )  # fmt: skip
    structure.add_oxidation_state_by_site([int(q) for q in charges])
    return float(EwaldSummation(structure, acc_factor=14).total_energy)


def test_a_recipe_keeps_the_contacts_of_its_crystals() -> None:
    """Zinc blendes have bonds below the floors of lead halides; those have none to state."""
    for first, second, stated in (("CdS", "CdS-wurtzite", True), ("CsPbBr3", "PbS", False)):
        crystals = load(first), load(second)
        text = recipe_text(propose(match(*crystals)[0], crystals, (first, second)))
        assert ("floors = " in text) is stated
        if stated:
            own = tomllib.loads(text)["join"]["floors"]
            bond = min(c.bonds.length.min() for c in crystals)
            assert own["cation_anion"] == pytest.approx(0.95 * bond, abs=0.01)


def test_built_model_has_the_registry_of_the_scan(tmp_path: Path) -> None:
    """The datum sites of both crystals lie in the model as the scan says."""
    for first, second, row in (("CsPbBr3", "CsPb2Br5", 1), ("CdS", "CdS-wurtzite", 1)):
        crystals = load(first), load(second)
        found = match(*crystals)[row - 1]
        proposal = propose(found, crystals, (first, second), sizes=(18.0, 18.0))
        text = re.sub(
            r"registry\.window = .*",
            f"registry = {{ shift = [0, 0], gap = {proposal.registry.gap} }}",
            recipe_text(proposal),
        )
        floors = "floors = { anion_anion = 1, cation_anion = 1, cation_cation = 1 }"
        text = re.sub(r"^floors = .*\n", "", text, flags=re.M)
        (tmp_path / "r.toml").write_text(text.replace("[join]", f"[join]\n{floors}"))
        joined = dict(stages(read_recipe(tmp_path / "r.toml")))["joined"]
        a, b = joined.domains
        levels = [
            t[k].index * s.repeat
            for t, k, s in zip(
                proposal.terminations, proposal.chosen, bicrystal(found, crystals), strict=True
            )
        ]
        apart = b.origin - a.origin
        expected = [*proposal.registry.shift, levels[0] - levels[1] - proposal.registry.gap]
        # Modulo the nets; the second crystal is not strained in the model.
        off = (apart - expected)[:2] @ np.linalg.inv(
            common_displacements(bicrystal(found, crystals))
        )
        assert np.abs(off - np.rint(off)).max() < 0.05
        assert apart[2] == pytest.approx(expected[2], abs=1e-3)


def test_no_radius_no_registry() -> None:
    with pytest.raises(InputError, match="No ionic radius is tabulated for P"):
        radii(np.array([15, 82]))


def test_registry_of_the_main_pair() -> None:
    crystals = load("CsPbCl3"), load("PbS")
    both, found = scan(main_match(), crystals)
    assert [len(side) for side in both] == [2, 1]
    # Shifts repeat after what both nets generate: a third of 4.203 Å along, once 12.53 Å across.
    assert np.linalg.norm(found.cell, axis=1) == pytest.approx([5.605 / 4, 12.533], abs=1e-3)
    contacts = {c.kind: c.distance for c in found.minima[0].contacts}
    assert contacts["cation-anion"] > 2.6
    assert contacts["anion-anion"] > 3.0
    assert found.minima[0].energy < 0


def test_no_registry_without_ions() -> None:
    crystals = load("Bi"), load("PbTe")
    found = match(*crystals)[0]
    with pytest.raises(ImpossibleError, match="Bi has no formal charges"):
        scan(found, crystals)


# Recipes


def test_morphology_is_that_of_the_crystal() -> None:
    assert [h for h, _ in morphology(load("CsPbCl3"), 30.0)] == [(1, 0, 0)]
    assert morphology(load("CsPbCl3"), 30.0)[0][1] == pytest.approx(15.0)
    assert [h for h, _ in morphology(load("PbS"), 30.0)] == [(1, 1, 1), (1, 0, 0)]
    # A screw axis halves d(010) of Pnma: the plates are not as thin as the cell is long.
    crystal = load("Pb4S3Cl2")
    found = dict(morphology(crystal, 30.0))
    thickness = found[(0, 1, 0)] * crystal.spacing((0, 2, 0))
    for h in found:
        reflecting = {1: h, 2: tuple(2 * i for i in h)}
        order = 2 if sum(map(abs, h)) == 1 else 1
        assert found[h] * crystal.spacing(reflecting[order]) == pytest.approx(thickness)


@pytest.mark.parametrize(
    ("first", "second", "row", "size"),
    [("CsPbCl3", "PbS", 4, "24"), ("CsPbCl3", "Pb4S3Cl2", 1, "28"),
     ("CsPbBr3", "Cs4PbBr6", 1, "28"), ("CdS", "CdS-wurtzite", 1, "22,20")],
)  # fmt: skip
def test_recipe_builds_a_neutral_particle(
    first: str, second: str, row: int, size: str, tmp_path: Path
) -> None:
    """Cubic, orthorhombic, trigonal and hexagonal: no editing between the two commands."""
    text = run("match", first, second, "--recipe", str(row), "--size", size, cwd=tmp_path)
    assert text.returncode == 0, text.stderr
    assert text.stdout.count("\n# >") == 2  # the chosen terminations are marked
    (tmp_path / "new.toml").write_text(text.stdout)
    built = run("build", "new.toml", "-o", "out", "--json", cwd=tmp_path)
    assert built.returncode == 0, built.stderr
    report = json.loads(built.stdout)["report"]
    assert report["charge"] == 0
    floors = {"anion-anion": 3.0, "cation-anion": 2.6, "cation-cation": 3.3}
    assert {c["kind"] for c in report["contacts"]} == set(floors)
    assert all(c["distance"] >= floors[c["kind"]] for c in report["contacts"])
    assert report["interface"]["misalignment"] == pytest.approx(0, abs=0.05)


def test_main_pair_reads_as_in_the_paper(tmp_path: Path) -> None:
    found = run("match", "CsPbCl3", "PbS", "--planes", "-2 1 0/-4 -4 2", cwd=tmp_path)
    assert found.returncode == 0
    for words in (
        "3[0 0 1] || 4 x 1/2[1 -1 0] -0.15 %, [1 2 0] || 1/2[1 1 4] +0.47 %",
        "210.7/211.4",
        "PbS (-4 -4 2), reduced (-2 -2 1), form {4 4 2}",
        "[0 1 0] + [1 1 0] = [1 2 0]",
        "3 of 3 cation rows of PbS continue sites of the other",
    ):
        assert words in found.stdout
    record = json.loads(
        run(
            "match", "CsPbCl3", "PbS", "--sort", "cations", "--rows", "1", "--json", cwd=tmp_path
        ).stdout
    )
    assert record["matches"][0]["planes"][1]["lattice"] == [4, 4, 2]
    assert record["matches"][0]["cations"]["rows"] is True
    assert record["total"] == 53


def test_registry_map_is_a_picture(tmp_path: Path) -> None:
    words = ("match", "CsPbBr3", "CsPb2Br5", "--registry", "1", "--map", "map.png")
    done = run(*words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "map.png"
    assert (tmp_path / "map.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    again = run(*words, cwd=tmp_path)
    assert (again.returncode, "--force" in again.stderr) == (2, True)
    chosen = run("match", "CsPbBr3", "CsPb2Br5", "--registry", "1", "--terminations", "2,3",
                 "--half-turn", "--json", cwd=tmp_path)  # fmt: skip
    assert json.loads(chosen.stdout)["chosen"] == [2, 3]


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("PbS", "PbSe", "--planes", "1 0 0/1 0 0", "--max-area", "60", "--max-strain", "0.5"),
         1, "strain 3.17 %, 18.8 Å². Allow it with --max-strain 3.2"),
        (("PbS", "CsPbI3", "--planes", "1 0 0/1 1 1", "--max-area", "40"), 1,
         "nets of these planes alone have 17.6 and 68.5 Å²"),
        (("PbS", "CsPbI3", "--planes", "1 1 1/1 0 0", "--max-area", "40"), 1, "within 15 %"),
        (("PbS", "PbSe", "--recipe", "1", "--size", "3"), 2, "less than four formula units"),
        (("PbS", "PbSe", "--size", "30"), 2, "name the row"),
        (("PbS", "PbSe", "--terminations", "1,1"), 2, "--terminations goes with"),
        (("PbS", "PbSe", "--half-turn"), 2, "--half-turn goes with"),
        (("PbS", "PbSe", "--recipe", "1", "--terminations", "1.5,1"), 2, "two whole numbers"),
        (("Bi", "PbTe", "--recipe", "1"), 1, "Bi has no formal charges"),
        (("PbS", "PbSe", "--planes", "1 0 0"), 2, "write three integers for each crystal"),
        (("PbS", "PbSe", "--planes", "1 0/1 0 0"), 2, "as '-2 1 0/-4 -4 2'"),
        (("PbS", "PbSe", "--planes", "1 x 0/1 0 0"), 2, "'1 x 0/1 0 0'"),
        (("PbS", "PbSe", "--max-index", "12", "--max-area", "20000"), 1, "hours (limit 1)"),
        (("PbS", "PbSe", "--recipe", "9999"), 2, "There are rows 1 to 273; given 9999"),
        (("PbS", "PbSe", "--recipe", "1", "--size", "0"), 2, "must be above 0 Å"),
        (("PbS", "PbSe", "--recipe", "1", "--size", "1,2,3"), 2, "one or two lengths"),
        (("PbS", "PbSe", "--recipe", "1", "--terminations", "3,1"), 2, "terminations 1 to 2"),
        (("PbS", "PbSe", "--recipe", "1", "--registry", "1"), 2, "give one of them"),
        (("PbS", "PbSe", "--map", "a.png"), 2, "name the row"),
        (("PbS", "PbSe", "--registry", "1", "--map", "a.pdf"), 2, "PNG file; given a.pdf"),
        (("PbS", "PbSe", "--cations", "Pb"), 2, "as 'Cs,Pb'"),
        (("PbS", "Pbs"), 2, "No shipped crystal is called 'Pbs'"),
    ],
)  # fmt: skip
def test_errors(words: tuple[str, ...], code: int, message: str, tmp_path: Path) -> None:
    result = run("match", *words, cwd=tmp_path)
    assert (result.returncode, result.stdout) == (code, "")
    assert message in result.stderr
    assert not list(tmp_path.iterdir())


def test_cations_at_fifths_of_the_cell(tmp_path: Path) -> None:
    """Translations that no 24th of the cell names; and a path that TOML must escape."""
    folder = tmp_path / 'a "quoted" \\ folder'
    folder.mkdir()
    sites = "\n".join(f"Pb{i} Pb 0 0 {i / 5}" for i in range(5))
    anions = "\n".join(f"S{i} S 0.5 0.5 {z}" for i, z in enumerate((0.1, 0.3, 0.5, 0.7, 0.93)))
    (folder / "fifth.cif").write_text(
        "data_x\n_cell_length_a 4.2\n_cell_length_b 4.2\n_cell_length_c 21\n"
        "_cell_angle_alpha 90\n_cell_angle_beta 90\n_cell_angle_gamma 90\n"
        "loop_\n_atom_site_label\n_atom_site_type_symbol\n_atom_site_fract_x\n"
        f"_atom_site_fract_y\n_atom_site_fract_z\n{sites}\n{anions}\n"
    )
    found = run("match", str(folder / "fifth.cif"), "PbS", "--rows", "2", cwd=tmp_path)
    assert found.returncode == 0, found.stderr
    words = ("match", str(folder / "fifth.cif"), "PbS", "--recipe", "1", "--size", "20")
    text = run(*words, cwd=tmp_path)
    tree = tomllib.loads(text.stdout)
    assert tree["domains"]["fifth"]["crystal"] == str(folder / "fifth.cif")


def test_partial_occupancy_is_refused(tmp_path: Path) -> None:
    cif = Path(__file__).parent / "data" / "Cu1.8S.cif"
    result = run("match", str(cif), "PbS", cwd=tmp_path)
    assert result.returncode == 2
    assert "partly occupied sites" in result.stderr


def test_mismatch_fraction_is_exact() -> None:
    assert main_match().cell[1].second.multiplier == Fraction(1, 2)
