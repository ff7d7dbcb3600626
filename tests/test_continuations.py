"""Layers of cations laid on the sites of another lattice, against plain counting."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from conftest import load
from hypothesis import given, settings
from hypothesis import strategies as st

import hetbuild as hb
from hetbuild.arrays import FloatArray
from hetbuild.crystal.vicinal import step_profile
from hetbuild.matching.bicrystal import bicrystal
from hetbuild.matching.continuation import (
    Fit,
    _common_edge,
    _depth,
    _order,
    _Search,
    _with_midpoints,
    cation_fit,
)

FAR = 1.2
"""Å beyond which a cation is on no site."""

CELL = np.array([[12.0, 0.0], [3.0, 10.0]])
SITES = np.array([[i / 3, j / 2, 0] for i in range(3) for j in range(2)]) @ np.vstack(
    [np.hstack([CELL, np.zeros((2, 1))]), [0, 0, 1]]
)
SEEDS = st.integers(0, 2**31)


def quality(count: int, rms: float) -> float:
    return count * (1 - (rms / FAR) ** 2)


@settings(max_examples=20)
@given(SEEDS, st.integers(1, 6))
def test_displaced_cations_settle_about_their_mean(seed: int, count: int) -> None:
    """A layer a little off its sites, in whatever cell, is shifted until the mean is right."""
    rng = np.random.default_rng(seed)
    off = rng.uniform(-0.25, 0.25, (count, 3))
    layer = SITES[rng.permutation(6)[:count]] + off
    layer[:, :2] += rng.integers(-2, 3, (count, 2)) @ CELL
    shift = np.array([0.4, -0.5, 0.3])
    found = _Search(SITES, CELL, None).best(
        layer - shift, shift + np.array([[0.0, 0, 0], [2.0, 2.4, 0]])
    )
    assert found[:2] == (count, count)
    expected = np.sqrt(((off - off.mean(axis=0)) ** 2).sum(axis=1).mean())
    assert found[2] == pytest.approx(expected, abs=1e-6)


def test_cations_beyond_reach_do_not_count() -> None:
    layer = SITES.copy()
    layer[0] += [0, 0, 1.9]
    layer[1] += [0, 0, -1.9]
    count, total, rms = _Search(SITES, CELL, None).best(layer, np.zeros((1, 3)))
    assert (count, total) == (4, 6)
    assert rms == pytest.approx(0.0, abs=1e-6)
    nothing = _Search(SITES, CELL, None).best(layer + np.array([0, 0, 50.0]), np.zeros((1, 3)))
    assert nothing[:2] == (0, 6)


def test_the_better_of_two_shifts_is_taken() -> None:
    """Three that are exact count for more than six that are all 0.9 Å off."""
    layer = SITES.copy()
    layer[:, 2] += [0.9, -0.9, 0.9, -0.9, 0.9, -0.9]
    level = _Search(SITES, CELL, None).best(layer, np.zeros((1, 3)))
    assert level[:2] == (6, 6)
    both = _Search(SITES, CELL, None).best(layer, np.array([[0.0, 0, 0], [0, 0, -0.9]]))
    assert quality(*level[::2]) == pytest.approx(6 * (1 - 0.75**2))  # type: ignore[arg-type]
    assert both[:2] == (3, 6)
    assert both[2] == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize("edge", [0, 1])
def test_rows_along_an_edge_count_once(edge: int) -> None:
    """However far apart their cations are along it."""
    along = np.append(CELL[edge] / np.linalg.norm(CELL[edge]), 0.0)
    rows = 2 if edge == 0 else 3
    layer = SITES + np.array([0.3, 1.1, 0.7, 2.3, 1.9, 0.2])[:, None] * along
    count, total, rms = _Search(SITES, CELL, edge).best(layer, np.zeros((1, 3)))
    assert (count, total) == (rows, rows)
    assert rms == pytest.approx(0.0, abs=1e-3)
    single = _Search(SITES, CELL, None).best(layer, np.zeros((1, 3)))
    assert single[2] > 0.3 or single[0] < 6


@pytest.mark.parametrize("name", ["PbS", "CsPbCl3"])
def test_shifts_to_sites_and_halfway_between_near_ones(name: str) -> None:
    crystals = load(name), load(name)
    planes = ((1, 0, 0), (1, 0, 0))
    side = bicrystal(hb.match(*crystals, planes=planes, max_area=40.0)[0], crystals)[1]
    net = side.flat(side.net)
    edge = float(np.linalg.norm(net[0]))
    # Three that differ by a net vector, and two near each other across the edge of the cell.
    shifts = np.array([[0.5, 0.6, 0], [0.5 + edge, 0.6, 0], [0.5, 0.6, 2.0], [edge - 0.4, 0.6, 0]])
    found = _with_midpoints(shifts, side)

    def same(a: FloatArray, b: FloatArray) -> float:
        cells = (a - b)[:2] @ np.linalg.inv(net)
        rest = (cells - np.rint(cells)) @ net
        return float(np.hypot(np.linalg.norm(rest), (a - b)[2]))

    expected = [*shifts]
    for a, b in product(shifts, repeat=2):
        for step in product((-1, 0, 1), repeat=2):
            image = b + np.append(step @ net, 0.0)
            if np.linalg.norm(a - image) < 2 * FAR - 1e-3:
                expected.append((a + image) / 2)
    for e in expected:
        assert min(same(e, f) for f in found) < 2e-3
    for f in found:
        assert min(same(e, f) for e in expected) < 2e-3
    assert len(found) < 40


def test_score_of_a_fit() -> None:
    assert Fit("PbS", 3, 4, 0.6, False).score == pytest.approx(0.75 * 0.75)
    assert Fit("PbS", 4, 4, 0.0, False).score == 1.0
    assert Fit("PbS", 0, 0, 0.0, False).score == 0.0
    assert str(Fit("PbS", 3, 4, 0.6, True)) == "3/4 rows 0.60"
    assert str(Fit("PbS", 3, 4, 0.6, False)) == "3/4 0.60"
    fits = [Fit("a", 2, 4, 0.0, False), Fit("b", 4, 8, 0.0, False), Fit("c", 1, 3, 0.0, False)]
    assert max(fits, key=_order).layer_of == "b"


@pytest.mark.parametrize(("plane", "stepped"), [((1, 0, 0), False), ((2, 1, 0), True)])
def test_step_edges_along_one_vector_of_the_cell(
    plane: tuple[int, int, int], stepped: bool
) -> None:
    """(2 1 0) of rock salt: rows of cations along [0 0 1], terraces of (1 0 0)."""
    crystals = load("PbS"), load("PbSe")
    found = hb.match(*crystals, planes=(plane, plane), max_area=60.0)[0]
    sides = bicrystal(found, crystals)
    profiles = [step_profile(s.crystal, s.plane) for s in sides]
    edge = _common_edge(found, profiles)
    assert (edge is not None) == stepped
    if edge is None:
        assert _depth(sides[0], profiles[0]) == 1.0
    else:
        pair = found.cell[edge]
        assert {tuple(map(abs, d.uvw)) for d in (pair.first, pair.second)} == {(0, 0, 1)}
        for side, profile in zip(sides, profiles, strict=True):
            terrace = np.array(profile.terrace.vector.vector, float) @ side.crystal.vectors
            normal = np.array(side.plane) @ np.linalg.inv(side.crystal.vectors).T
            normal /= np.linalg.norm(normal)
            assert _depth(side, profile) == pytest.approx(max(1.0, abs(terrace @ normal)))
    fit = cation_fit(found, crystals)
    assert fit.count == fit.total
    assert fit.rms < 0.25
    assert not fit.rows
