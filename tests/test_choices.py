"""What is chosen, and by which order, against every other choice; comparison of periodic models."""

from __future__ import annotations

import itertools
from functools import cache

import numpy as np
import pytest
from conftest import joined
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist
from scipy.spatial.transform import Rotation

import hetbuild as hb
from hetbuild.analyse.alignment import _principal
from hetbuild.analyse.compare import compare_periodic
from hetbuild.arrays import IntArray
from hetbuild.assemble.registry import _grid
from hetbuild.balancing.anneal import class_counts, ground_state, nearest_reachable
from hetbuild.balancing.candidates import Move, candidates
from hetbuild.balancing.problem import Problem, _common
from hetbuild.errors import ImpossibleError
from hetbuild.selection.language import parse_selection
from hetbuild.selection.order import Order, parse_order, pick, split, spread_evenly
from hetbuild.selection.places import Places, chosen
from hetbuild.selection.profile import Profile, distances, drawn

SEEDS = st.integers(0, 2**32 - 1)


@cache
def cube() -> hb.Model:
    return hb.carve("CsPbCl3", [hb.Facet((1, 0, 0), 1.5)], site="Cs", name="cube")


# How many of each


@settings(max_examples=20, deadline=None)
@given(SEEDS)
def test_counts_of_classes_are_the_fewest_that_meet_the_target(seed: int) -> None:
    rng = np.random.default_rng(seed)
    weight = rng.integers(-2, 3, (6, 2))
    target = rng.integers(-3, 4, 2)
    sums = {}
    for taken in itertools.product((0, 1), repeat=6):
        total = tuple((np.array(taken) @ weight).tolist())
        sums[total] = min(sums.get(total, 7), sum(taken))
    found = class_counts(weight, target)
    if tuple(target.tolist()) not in sums:
        assert found is None
    else:
        assert found is not None
        rows, size = np.unique(weight, axis=0, return_counts=True)
        assert (found <= size).all()
        assert (found @ rows).tolist() == target.tolist()
        assert found.sum() == sums[tuple(target.tolist())]
    reached = nearest_reachable(weight, target)
    best = min(np.abs(np.array(s) - target).sum() for s in sums)
    assert tuple(reached.tolist()) in sums
    assert np.abs(reached - target).sum() == best


@settings(max_examples=12, deadline=None)
@given(SEEDS)
def test_no_other_choice_without_conflict_is_lower(seed: int) -> None:
    """Two kinds of changes, some of which exclude each other, against all choices."""
    rng = np.random.default_rng(seed)
    pair = rng.normal(size=(9, 9))
    pair = pair + pair.T
    np.fill_diagonal(pair, 0)
    field = rng.normal(size=9)
    conflict = np.triu(rng.random((9, 9)) < 0.2, 1)
    conflict |= conflict.T
    weight = np.array([[1, 0]] * 5 + [[0, 1]] * 4)

    def energy(x: IntArray) -> float:
        return float(field[x].sum() + pair[np.ix_(x, x)].sum() / 2)

    every = [
        energy(x)
        for a in itertools.combinations(range(5), 2)
        for b in itertools.combinations(range(5, 9), 2)
        if not conflict[np.ix_(x := np.array([*a, *b]), x)].any()
    ]
    if every:
        found = ground_state(field, pair, conflict, weight, np.array([2, 2]))
        assert found.energy == pytest.approx(min(every))
        assert energy(found.chosen) == pytest.approx(found.energy)
    else:
        with pytest.raises(ImpossibleError, match="closer than the contact limits"):
            ground_state(field, pair, conflict, weight, np.array([2, 2]))
    with pytest.raises(ImpossibleError, match="No choice of these changes"):
        ground_state(field, pair, conflict, weight, np.array([6, 0]))


def test_what_is_done_excludes_all_that_conflicts_with_it() -> None:
    """Changes of one atom, the first of all too, and added ions too close to each other."""
    model = cube()
    words = ("remove Cs", "remove Pb", "remove Cl", "swap Cl to Br", "add Cl", "add Br")
    found = candidates(model, [Move.parse(f"{w} in cube") for w in words])
    n = len(found.move)
    problem = Problem(found, np.ones((n, 1), dtype=int), np.array([1]), model, hb.Floors())
    conflict = problem.conflict(np.arange(n))
    assert {0, -1} < set(found.atom.tolist())
    assert conflict[found.atom < 0].any()
    for k in range(n):
        expected = conflict[k].copy()
        expected[k] = True
        assert np.array_equal(problem.excluded(np.array([k])), expected)


def test_orders_of_moves_agree_as_far_as_their_first_ranks() -> None:
    one, other = parse_order("corners first, spread"), parse_order("corners first, outermost first")
    assert _common([one]) == one
    assert _common([one, one]) == one
    both = _common([one, other])
    assert both.ranks == one.ranks[:1]
    assert both.tie == "lowest energy"
    third = parse_order("outermost first, spread")
    assert _common([one, third]).ranks == ()
    longer = parse_order("corners first, outermost first, spread")
    assert _common([longer, other]).ranks == longer.ranks[:2]
    assert _common([other, parse_order("corners first, lowest energy")]).ranks == one.ranks[:1]


# In which order


@pytest.mark.parametrize("rank", ["outermost", "innermost", "corners", "least bonded"])
def test_ranks_take_a_cube_from_one_end(rank: str) -> None:
    """Against what the geometry of a cube says of each ion."""
    model = cube()
    places = Places.of(model)
    high = np.abs(model.positions).max()
    faces = (np.abs(model.positions) > high - 0.5).sum(axis=1)
    below = high - np.abs(model.positions).max(axis=1)
    bonds = places.bonds
    key = {"outermost": below, "innermost": -below, "corners": -faces, "least bonded": bonds}[rank]
    for count in (1, 8, 20, len(model)):
        settled, equal = split(parse_order(f"{rank} first"), places, count)
        worst = np.sort(key)[count - 1]
        np.testing.assert_array_equal(settled, np.flatnonzero(key < worst - 1e-6))
        np.testing.assert_array_equal(equal, np.flatnonzero(np.abs(key - worst) < 1e-6))
    assert [len(x) for x in split(parse_order(f"{rank} first"), places, 0)] == [0, 0]


def test_the_nearest_to_the_interface_go_first() -> None:
    model = joined(1)
    places = Places.of(model)
    cation, shared = model.charges > 0, model.role == hb.Role.SHARED
    assert shared.any()
    expected = np.empty(len(model))
    for i, (d, r) in enumerate(zip(model.domain, model.positions, strict=True)):
        others = model.positions[cation & ((model.domain != d) | shared)]
        expected[i] = np.linalg.norm(others - r, axis=1).min()
    np.testing.assert_allclose(places.interface_distance, expected, atol=1e-9)
    first, equal = split(parse_order("nearest the interface first"), places, 30)
    assert expected[first].max() < expected[equal].min()
    assert expected[np.setdiff1d(np.arange(len(model)), [*first, *equal])].min() > (
        expected[equal].max()
    )
    near = chosen(parse_selection("interface within 3.5 Å"), places)
    np.testing.assert_array_equal(near, expected <= 3.5)
    np.testing.assert_allclose(distances("interface", places), expected)
    centre = model.positions.mean(axis=0)
    apart = np.linalg.norm(model.positions - centre, axis=1)
    np.testing.assert_allclose(distances("centre", places), apart)


def test_a_facet_of_a_form_is_any_of_its_planes() -> None:
    model = cube()
    places = Places.of(model)
    x = model.positions / np.abs(model.positions).max()
    np.testing.assert_array_equal(chosen(parse_selection("facet (1 0 0)"), places), x[:, 0] > 0.99)
    np.testing.assert_array_equal(
        chosen(parse_selection("facet {1 0 0}"), places), np.abs(x).max(axis=1) > 0.99
    )


@settings(max_examples=15, deadline=None)
@given(SEEDS, st.integers(1, 40), st.integers(0, 40))
def test_points_spread_evenly_are_one_of_each_part(seed: int, n: int, count: int) -> None:
    points = np.random.default_rng(seed).uniform(0, 10, (n, 3))
    count = min(n, count)
    found = spread_evenly(points, count, seed)
    assert len(found) == len(set(found.tolist())) == count
    picked = pick(Order(tie="spread", seed=seed), points, count)
    assert picked.tolist() == (sorted(found.tolist()) if count < n else list(range(n)))
    random = pick(Order(tie="random", seed=seed), points, count)
    assert len(set(random.tolist())) == count
    assert random.tolist() == sorted(random.tolist())


def test_spread_leaves_no_corner_empty() -> None:
    """Eight of a block of 8 x 8 x 8: one in each octant, near its middle, whatever the seed."""
    grid = np.array(list(itertools.product(range(8), repeat=3)), dtype=float)
    for seed in range(4):
        found = grid[spread_evenly(grid, 8, seed)]
        apart = cdist(found, found)[np.triu_indices(8, 1)]
        assert apart.min() > 2.0
        assert cdist(grid, found).min(axis=1).max() < 6.0
    line = np.column_stack([np.arange(12.0), np.zeros(12), np.zeros(12)])
    for count, middle in ((1, {5, 6}), (3, None)):
        found = np.sort(spread_evenly(line, count, 0))
        if middle:
            assert set(found.tolist()) <= middle
        else:
            assert [x // 4 for x in found.tolist()] == [0, 1, 2]


@pytest.mark.parametrize("form", ["step", "linear", "erf"])
def test_a_profile_is_drawn_to_its_sum(form: str) -> None:
    places = Places.of(cube())
    profile = Profile("depth", 0.9, 0.2, 3.0, form, 0.0 if form == "step" else 4.0)  # type: ignore[arg-type]  # one of three
    at = np.array([-50.0, 3.0 - 1.999, 3.0, 3.0 + 1.999, 50.0])
    expected = {
        "step": [0.9, 0.9, 0.9, 0.2, 0.2],
        "linear": [0.9, 0.9, 0.55, 0.2, 0.2],
        "erf": [0.9, 0.55 + 0.35 * 0.38273, 0.55, 0.55 - 0.35 * 0.38273, 0.2],
    }[form]
    np.testing.assert_allclose(profile.fraction(at), expected, atol=4e-4)
    total = profile.fraction(places.depth).sum()
    taken = drawn(profile, places, 1)
    assert len(taken) == int(total + 0.5)
    assert taken.tolist() == sorted(set(taken.tolist()))
    often = np.zeros(len(places))
    for seed in range(60):
        often[drawn(profile, places, seed)] += 1 / 60
    near, far = places.depth < 0.5, places.depth > 5.5
    if form == "step":
        assert often[near].mean() == pytest.approx(0.9, abs=0.05)
        assert often[far].mean() == pytest.approx(0.2, abs=0.08)


# Periodic models laid on each other


@pytest.mark.parametrize("seed", range(3))
def test_a_periodic_model_is_recognised_however_it_is_wrapped(seed: int) -> None:
    """Atoms shuffled, wrapped, shifted, in a cell turned in space; displacements known."""
    rng = np.random.default_rng(seed)
    cell = np.array([[9.0, 0, 0], [2.5, 8.0, 0], [-1.5, 1.0, 11.0]])
    numbers = np.repeat([82, 17, 55], [3, 9, 3])
    grid = np.array(list(itertools.product(range(3), range(3), range(3))))[: len(numbers)]
    places = (grid + 0.15 * rng.random((15, 3))) / 3 @ cell
    displaced = rng.normal(0, 0.1, (15, 3))
    displaced -= displaced.mean(axis=0)
    turn = Rotation.random(random_state=rng).as_matrix()
    order = rng.permutation(15)
    moved = (places + displaced) @ np.linalg.inv(cell) + rng.random(3)
    second = (moved % 1.0) @ (cell @ turn.T)
    found = compare_periodic(
        (numbers, places), (numbers[order], second[order]), (cell, cell @ turn.T)
    )
    assert order[found.partner].tolist() == list(range(15))
    rms = np.sqrt((displaced**2).sum(axis=1).mean())
    assert found.rmsd == pytest.approx(rms, abs=1e-9)
    np.testing.assert_allclose(found.displacement, displaced, atol=1e-9)
    np.testing.assert_allclose(found.rotation, turn.T, atol=1e-9)
    assert found.by_element["Pb"] == pytest.approx(
        np.sqrt((displaced[numbers == 82] ** 2).sum(axis=1).mean())
    )


def test_what_is_missing_or_added_is_told_with_its_strain() -> None:
    """A box against its copy, 2 % longer along z, without one Cs and with a Pb beside it."""
    planes = [((1, 0, 0), 1.0), ((-1, 0, 0), 0.5), ((0, 1, 0), 1.0), ((0, -1, 0), 1.0)]
    planes += [((0, 0, 1), 1.5), ((0, 0, -1), 1.0)]
    faces = [hb.Facet(h, n, single=True) for h, n in planes]
    model = hb.carve("CsPbCl3", faces, site="Cs", name="box").to_ase()
    other = model.copy()
    other.positions[:, 2] *= 1.02
    gone = int(np.flatnonzero(model.numbers == 55)[-3])
    del other[gone]
    far = other.positions.max() + 4.0
    other.append("Pb")
    other.positions[-1] = far
    found = hb.compare(model, other)
    assert found.surplus == ({"Cs": 1}, {"Pb": 1})
    assert [m.element for m in found.missing] == ["Cs"]
    assert [m.element for m in found.added] == ["Pb"]
    same = model.positions[found.missing[0].index] - model.positions[gone]
    assert np.abs(same[[0, 2]]).max() < 1e-6  # or its mirror image
    assert [m.index for m in found.added] == [len(other) - 1]
    assert found.rmsd < 0.2


def test_axes_of_inertia_give_four_proper_rotations_one_of_them_the_right_one() -> None:
    rng = np.random.default_rng(2)
    x = rng.normal(size=(40, 3)) * [5.0, 3.0, 1.0]
    x -= x.mean(axis=0)
    turn = Rotation.random(random_state=rng).as_matrix()
    found = _principal(x, x @ turn)  # rows turned by the transpose
    assert len(found) == 4
    for t in found:
        np.testing.assert_allclose(t @ t.T, np.eye(3), atol=1e-12)
        assert np.linalg.det(t) == pytest.approx(1.0)
    assert min(np.abs(t - turn).max() for t in found) < 1e-9


@pytest.mark.parametrize(
    ("window", "step"),
    [((0.5, 0.3, (-0.4, 1.1)), 0.2), ((0.0, 0.45, (0.35, 0.39)), 0.1), ((0.2, 0.2, (0, 0)), 0.2)],
)
def test_registries_tried_are_the_multiples_of_a_step_nearest_first(
    window: tuple[float, float, tuple[float, float]], step: float
) -> None:
    along, across, (low, high) = window
    found = [(r.along, r.across, r.gap) for r in _grid(hb.Window(along, across, (low, high)), step)]
    axes = []
    for a, b in ((-along, along), (-across, across), (low, high)):
        inside = [k * step for k in range(-20, 21) if a - 1e-9 <= k * step <= b + 1e-9]
        axes.append(inside or [a, b])  # where no multiple fits, the ends
    assert {tuple(np.round(p, 6)) for p in found} == {
        tuple(np.round(p, 6)) for p in itertools.product(*axes)
    }
    length = np.linalg.norm(found, axis=1).round(6)
    assert (np.diff(length) >= 0).all()
