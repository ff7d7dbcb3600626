"""Two models laid on each other: the best motion, pairs, and sites that differ."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from conftest import history
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist
from scipy.spatial.transform import Rotation

import hetbuild as hb
from hetbuild.analyse.compare import _close, compare
from hetbuild.arrays import FloatArray, IntArray
from hetbuild.cli.comparison_text import comparison_lines
from hetbuild.errors import InputError
from hetbuild.geometry import pairing
from hetbuild.geometry.pairing import auction, pair
from hetbuild.geometry.rigid import superposed
from hetbuild.model import Model


def final(recipe: str) -> Model:
    return list(history(recipe).values())[-1]


def copied(
    numbers: IntArray, positions: FloatArray, noise: float, seed: int
) -> tuple[IntArray, FloatArray, float]:
    """A shuffled, turned, displaced copy, and the rms it has when laid on the original rightly."""
    rng = np.random.default_rng(seed)
    moved = positions + rng.normal(scale=noise / 3**0.5, size=positions.shape)
    rotation, shift = superposed(positions, moved)
    rms = float(np.sqrt(((moved @ rotation.T + shift - positions) ** 2).sum(axis=1).mean()))
    turn, order = Rotation.random(random_state=rng).as_matrix(), rng.permutation(len(numbers))
    return numbers[order], (moved @ turn.T + rng.uniform(-30, 30, 3))[order], rms


def sphere(radius: float) -> tuple[IntArray, FloatArray]:
    """PbS about a Pb: an octahedral particle, of which 24 orientations have the same shape."""
    reach = np.arange(-2 * int(radius / 5.936) - 2, 2 * int(radius / 5.936) + 3)
    grid = np.stack(np.meshgrid(reach, reach, reach, indexing="ij"), axis=-1).reshape(-1, 3)
    points = grid * 2.968 + np.array([0.7, 0.2, 0.0])
    inside = np.linalg.norm(points, axis=1) < radius
    return np.where(grid.sum(axis=1) % 2 == 0, 82, 16)[inside], points[inside]


@pytest.mark.parametrize("recipe", ["cspbcl3-cube-2", "cspbcl3-pbs"])
@pytest.mark.parametrize("noise", [0.0, 0.5])
def test_a_turned_shuffled_copy_is_laid_exactly(recipe: str, noise: float) -> None:
    model = final(recipe)
    numbers, positions, rms = copied(model.numbers, model.positions, noise, 7)
    found = compare((model.numbers, model.positions), (numbers, positions))
    assert found.rmsd <= rms + 1e-6
    assert not found.missing
    assert not found.added


@pytest.mark.parametrize("seed", [0, 1])
def test_a_sphere_of_cubic_lattice(seed: int) -> None:
    numbers, points = sphere(30.0)
    assert len(numbers) > 4000
    others, positions, rms = copied(numbers, points, 0.2 * seed, seed)
    assert compare((numbers, points), (others, positions)).rmsd <= rms + 1e-6


def test_other_vacancies_are_named() -> None:
    """The same particle with 18 other Cs removed: exactly those sites differ."""
    joined = history("cspbcl3-pbs")
    model = list(joined.values())[-1]
    before = max(joined.values(), key=len)
    rng = np.random.default_rng(4)
    caesium = np.flatnonzero((model.numbers == 55) & (model.domain == 0))
    gone = np.sort(rng.choice(caesium, 18, replace=False))
    assert len(before) >= len(model)
    first, second = np.split(gone, 2)
    a = model.where(~np.isin(np.arange(len(model)), first))
    b = model.where(~np.isin(np.arange(len(model)), second))
    turn = Rotation.random(random_state=rng).as_matrix()
    order = rng.permutation(len(b))
    moved = b.moved(turn, np.array([4.0, -2.0, 9.0]))
    moved = replace(moved, **{n: getattr(moved, n)[order] for n in hb.model.PER_ATOM})
    found = hb.compare(a, moved)

    def keys(model: Model, atoms: IntArray) -> set[tuple[int, ...]]:
        sites = np.column_stack([model.site, model.site_cell])
        return {tuple(row) for row in sites[atoms].tolist()}

    assert keys(a, np.array([u.index for u in found.missing])) == keys(model, second)
    assert keys(moved, np.array([u.index for u in found.added])) == keys(model, first)
    assert {u.element for u in (*found.missing, *found.added)} == {"Cs"}
    assert {u.group for u in found.missing} <= {"interface", "facet", "edge", "corner", "inside"}
    assert all(u.site.startswith("Cs1 (") for u in found.missing)
    assert found.rmsd < 1e-6


def test_other_compositions_are_compared_as_far_as_they_go() -> None:
    model = final("cspbcl3-pbs")
    height = model.positions @ np.array([0.3, 0.5, 0.8])
    kept = height < np.quantile(height, 0.9)
    turn = Rotation.from_euler("xyz", [20, 50, -70], degrees=True).as_matrix()
    found = hb.compare(model, model.where(kept).moved(turn, np.zeros(3)))
    assert found.rmsd < 1e-6
    assert {u.index for u in found.missing} == set(np.flatnonzero(~kept).tolist())
    assert not found.added
    assert sum(found.surplus[0].values()) == (~kept).sum()
    assert found.surplus[1] == {}
    with pytest.raises(InputError, match="no element in common: one is of Pb, the other of S"):
        compare((np.array([82]), np.zeros((1, 3))), (np.array([16]), np.zeros((1, 3))))


def test_the_strain_of_each_domain_is_told() -> None:
    model = final("cspbcl3-pbs")
    positions = model.positions.copy()
    for k, larger in enumerate((1.02, 1.01)):
        mine = model.domain == k
        positions[mine] = (positions[mine] - positions[mine].mean(0)) * larger + positions[
            mine
        ].mean(0)
    found = hb.compare(model, replace(model, positions=positions))
    assert found.expansion["perovskite"] == pytest.approx((0.02, 0.0), abs=1e-9)
    assert found.expansion["sulfide"] == pytest.approx((0.01, 0.0), abs=1e-9)


@settings(max_examples=20)
@given(st.integers(0, 2**31), st.integers(2, 40), st.integers(0, 10))
def test_pairs_are_those_of_least_cost(seed: int, n: int, more: int) -> None:
    rng = np.random.default_rng(seed)
    x, y = rng.uniform(0, 8, (n, 3)), rng.uniform(0, 8, (n + more, 3))
    cost = cdist(x, y, "sqeuclidean")
    found = pair(x, y)
    assert len(np.unique(found)) == n
    best = cost[linear_sum_assignment(cost)].sum()
    assert cost[np.arange(n), found].sum() == pytest.approx(best)
    # By auction, each bid up by at most STEP.
    alone = n + more + np.arange(n)[:, None]
    columns = np.hstack([np.tile(np.arange(n + more), (n, 1)), alone])
    chosen = auction(np.hstack([cost, np.full((n, 1), 1e6)]), columns, 2 * n + more)
    assert cost[np.arange(n), chosen].sum() <= best + n * pairing.STEP + 1e-6


@settings(max_examples=20)
@given(st.integers(0, 2**31), st.floats(0.5, 4.0))
def test_no_pair_is_farther_apart_than_allowed(seed: int, within: float) -> None:
    rng = np.random.default_rng(seed)
    x, y = rng.uniform(0, 8, (30, 3)), rng.uniform(0, 8, (25, 3))
    found = pair(x, y, within)
    there = np.flatnonzero(found >= 0)
    assert len(np.unique(found[there])) == len(there)
    assert (np.linalg.norm(x[there] - y[found[there]], axis=1) <= within + 1e-9).all()
    # As many as can be.
    far = cdist(x, y) > within
    rows, columns = linear_sum_assignment(far)
    assert len(there) == (~far[rows, columns]).sum()


def test_an_element_without_counterparts_is_left_out() -> None:
    numbers, x = sphere(9.0)
    few = (numbers == 82) | (np.arange(len(x)) % 8 == 0)
    numbers, x = numbers[few], x[few]
    y = np.where((numbers == 16)[:, None], x + np.array([40.0, 0, 0]), x)
    found = compare((numbers, x), (numbers, y))
    assert list(found.by_element) == list(found.by_part) == ["Pb"]
    assert len(found.missing) == (numbers == 16).sum()


def test_two_ions_that_are_one_of_an_element_each() -> None:
    """No two atoms of an element tell an orientation: the axes alone do."""
    x = np.array([[0.0, 0.0, 0.0], [2.9, 0.0, 0.0]])
    y = np.array([[5.0, 0.0, 2.9], [5.0, 0.0, 0.0]])
    found = compare((np.array([82, 16]), x), (np.array([16, 82]), y))
    assert found.rmsd == pytest.approx(0, abs=1e-6)
    assert not found.missing


def test_exchanged_ions_are_counted_and_vacancies_listed() -> None:
    """A cube in which four Cl are Br and one Cl is gone: four in place, one without partner."""
    cube = history("cspbcl3-cube-2")["balanced"].to_ase()
    other = cube.copy()
    halides = np.flatnonzero(cube.numbers == 17)
    other.numbers[halides[:4]] = 35
    del other[int(halides[-1])]
    found = hb.compare(cube, other)
    assert [(old.element, new.element) for old, new in found.replaced] == [("Cl", "Br")] * 4
    assert [old.index for old, _ in found.replaced] == halides[:4].tolist()
    assert [new.index for _, new in found.replaced] == halides[:4].tolist()
    assert {m.index for m in found.missing} == {*halides[:4].tolist(), int(halides[-1])}
    lines = comparison_lines(found)
    assert "in its place   4 Br for Cl" in lines
    assert lines[-1] == f"only in first  1: Cl{halides[-1] + 1}"
    assert found.as_dict()["replaced"] == [[i, i] for i in halides[:4].tolist()]


@pytest.mark.parametrize(("firm", "used"), [(6, 6), (5, 5), (4, 10), (10, 10)])
def test_models_are_laid_by_what_stands_firm_if_that_is_half(firm: int, used: int) -> None:
    """Ten atoms of which some stand within FIRM, the others beyond COUNTERPART."""
    a = np.random.default_rng(0).uniform(0, 9, (10, 3))
    b = a + np.where(np.arange(10)[:, None] < firm, 0.5, 3.0) * (1, 0, 0)
    assert len(_close(a, b, np.arange(10))) == used
    assert len(_close(a[:6], b[:6], np.arange(6))) == (6 if firm >= 6 else firm)
    # Three atoms are too few to hold a model.
    assert len(_close(a[:6], a[:6] + (np.arange(6) > 2)[:, None] * 3.0, np.arange(6))) == 6
