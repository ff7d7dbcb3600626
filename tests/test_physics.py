"""Energies, choices and limits of the engine against independent sums and their own symmetries."""

from __future__ import annotations

import contextlib
import itertools
import warnings
from collections import Counter
from collections.abc import Callable
from math import erfc, exp

import numpy as np
import pytest
from conftest import history, load
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.core import Species
from scipy.spatial import cKDTree

import hetbuild as hb
from hetbuild.arrays import FloatArray, IntArray
from hetbuild.balancing import anneal
from hetbuild.balancing.anneal import ground_state
from hetbuild.balancing.candidates import ADDED_FLOORS
from hetbuild.elements import USUAL_CHARGES
from hetbuild.exchanging import interstitial
from hetbuild.exchanging.etch import etch
from hetbuild.exchanging.insertion import InsertionFloors
from hetbuild.exchanging.interstitial import Filling
from hetbuild.exchanging.topotactic import exchange_cations
from hetbuild.formats.cp2k import deck
from hetbuild.formats.cp2k_options import Cp2kOptions
from hetbuild.geometry import electrostatics, mesh
from hetbuild.geometry.bonds import COUNTED, cation_limits, ionic_limit, pair_limit
from hetbuild.geometry.contacts import clear_of
from hetbuild.geometry.electrostatics import (
    COULOMB,
    SHANNON_RADII,
    contact_energy,
    coulomb_energy,
    pair_coulomb,
    potential,
)

SEEDS = st.integers(0, 2**32 - 1)


def salt(half: float = 2.0) -> hb.Model:
    return hb.carve(load("PbS"), [hb.Facet((1, 0, 0), half)], site="Pb")


# Electrostatics


def test_a_rock_salt_cube_has_the_madelung_constant() -> None:
    """Neutral blocks of 2 x 2 x 2 ions (Evjen) reach 1.7476 from a finite crystal."""
    n = 6
    grid = np.stack(np.meshgrid(*3 * [np.arange(-n, n + 1)], indexing="ij"), -1).reshape(-1, 3)
    weight = np.prod(np.where(np.abs(grid) == n, 0.5, 1.0), axis=1)
    sign = 1 - 2 * (grid.sum(axis=1) % 2)
    others = grid.any(axis=1)
    total = sum(
        float(potential(np.zeros((1, 3)), grid[others][part].astype(float), sign[others][part])[0])
        * share
        for share in np.unique(weight)
        for part in [weight[others] == share]
    )
    assert -total / COULOMB == pytest.approx(1.747565, abs=2e-3)


@settings(max_examples=20)
@given(SEEDS)
def test_coulomb_energies_are_plain_sums(seed: int) -> None:
    rng = np.random.default_rng(seed)
    where, q = rng.uniform(0, 9, (7, 3)), rng.integers(-2, 3, 7)
    plain = sum(
        14.39964 * q[i] * q[j] / np.linalg.norm(where[i] - where[j])
        for i, j in itertools.combinations(range(7), 2)
    )
    assert coulomb_energy(where, q) == pytest.approx(plain, abs=1e-9)
    pair = pair_coulomb(where, q)
    assert pair.sum() / 2 == pytest.approx(plain, abs=1e-9)
    np.testing.assert_allclose(pair, pair.T)
    turned = where @ np.linalg.qr(rng.normal(size=(3, 3)))[0] + rng.normal(size=3)
    assert coulomb_energy(turned, q) == pytest.approx(plain, abs=1e-9)


def _ionic(rng: np.random.Generator) -> tuple[FloatArray, IntArray]:
    """Rock salt with every tenth ion gone."""
    grid = np.stack(np.meshgrid(*3 * [np.arange(8)], indexing="ij"), -1).reshape(-1, 3)
    there = rng.random(len(grid)) > 0.1
    return grid[there] * 2.97, np.where(grid[there].sum(axis=1) % 2, -2, 2)


def _anywhere(rng: np.random.Generator) -> tuple[FloatArray, IntArray]:
    """Ions of any charge in a slab."""
    return rng.uniform(0, 1, (500, 3)) * [30, 24, 9], rng.integers(-2, 4, 500)


@settings(max_examples=6, deadline=None)
@given(SEEDS, st.sampled_from([_ionic, _anywhere]), st.sampled_from([10.0, 15.0, 40.0]))
def test_a_mesh_sums_as_the_pairs_do(
    seed: int, made: Callable[..., tuple[FloatArray, IntArray]], cutoff: float
) -> None:
    """Within 1e-6 of the largest potential, at ions (which do not feel themselves) and elsewhere,
    whatever the cut-off; turned, moved, and in parts."""
    rng = np.random.default_rng(seed)
    where, q = made(rng)
    points = np.concatenate([where[:30], rng.uniform(-5, 30, (30, 3))])
    plain = potential(points, where, q) / COULOMB
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mesh, "_cutoff", lambda *_: cutoff)
        summed = mesh.inverse_distances
        most = np.abs(plain).max()
        np.testing.assert_allclose(summed(points, where, q), plain, rtol=0, atol=1e-6 * most)
        turn, by = np.linalg.qr(rng.normal(size=(3, 3)))[0], rng.normal(0, 100, 3)
        moved = summed(points @ turn + by, where @ turn + by, -3 * q)
        np.testing.assert_allclose(moved, -3 * plain, rtol=0, atol=3e-6 * most)
        half = len(q) // 2
        parts = [summed(points, where[s], q[s]) for s in (slice(half), slice(half, None))]
        np.testing.assert_allclose(sum(parts), plain, rtol=0, atol=2e-6 * most)


def test_many_pairs_are_summed_on_a_mesh(monkeypatch: pytest.MonkeyPatch) -> None:
    where, q = _anywhere(np.random.default_rng(4))
    field, energy = potential(where[:99], where, q), coulomb_energy(where, q)
    monkeypatch.setattr(electrostatics, "MANY", 1000)
    on_mesh = potential(where[:99], where, q)
    assert 0 < np.abs(on_mesh - field).max() < 1e-6 * np.abs(field).max()
    assert coulomb_energy(where, q) == pytest.approx(energy, rel=1e-6)


@pytest.mark.parametrize("many", [0, 5000])
@pytest.mark.parametrize("on", [0, 1])
def test_the_mean_of_all_choices_is_that_of_every_one(
    monkeypatch: pytest.MonkeyPatch, on: int, many: int
) -> None:
    """Of 3 sites among 8, by going through all 56; or of 2 of 7 off centre, the other full."""
    rng = np.random.default_rng(0)
    places, ions = rng.uniform(0, 9, (8, 3)), salt(0.5)
    taken = np.array([1, 4, 6])
    centres = places.copy()
    if on:
        centres[np.arange(8) != taken[0]] += 0.1

    def energy(chosen: tuple[int, ...] | IntArray) -> float:
        where, charges = places[list(chosen)], np.ones(3, int)
        return float(potential(where, ions.positions, ions.charges).sum()) + coulomb_energy(
            where, charges
        )

    full = set(taken[:on])
    choices = [c for c in itertools.combinations(range(8), 3) if full <= set(c)]
    chance = np.mean([energy(c) for c in choices])
    monkeypatch.setattr(interstitial, "MANY_PLACES", many)
    monkeypatch.setattr(interstitial, "RANDOM_FILLINGS", 20_000)
    found = Filling(places, np.full(8, 4), taken, 0.0, centres)
    less = interstitial.below_chance(ions, found, 1, 0)
    # Of few sites random choices are drawn, of many the mean is exact.
    assert less == pytest.approx((energy(taken) - chance) / (3 - on), abs=0.2 if many else 1e-9)


@pytest.mark.parametrize(
    ("pair", "charges", "radii"),
    [((82, 16), (2, -2), 3.03), ((82, 17), (2, -1), 3.00), ((16, 17), (-2, -1), 3.65)],
)  # fmt: skip
@pytest.mark.parametrize("r", [2.4, 3.0, 4.7, 7.9, 8.1])
def test_the_contact_score_is_the_formula_of_its_docstring(
    pair: tuple[int, int], charges: tuple[int, int], radii: float, r: float
) -> None:
    first, second = (
        (np.array([[x, 0.0, 0.0]]), np.array([z]), np.array([q]))
        for x, z, q in zip((0.0, r), pair, charges, strict=True)
    )
    product = charges[0] * charges[1]
    expected = 0.345 * abs(product) / radii**2 * exp((radii - r) / 0.345)
    if product < 0:
        expected += product * (erfc(0.25 * r) / r - erfc(0.25 * 8) / 8)
    expected *= 14.39964 * (r < 8)
    assert contact_energy(first, second) == pytest.approx(expected, rel=1e-9, abs=1e-12)
    assert contact_energy(second, first) == pytest.approx(contact_energy(first, second))


# Choices of lowest energy


def problem(seed: int, n: int = 10) -> tuple[FloatArray, FloatArray]:
    rng = np.random.default_rng(seed)
    pair = rng.normal(size=(n, n))
    pair = pair + pair.T
    np.fill_diagonal(pair, 0.0)
    return rng.normal(size=n), pair


def energy(field: FloatArray, pair: FloatArray, chosen: IntArray) -> float:
    return float(field[chosen].sum() + pair[np.ix_(chosen, chosen)].sum() / 2)


def test_ground_states_are_those_of_all_choices() -> None:
    for seed in range(4):
        field, pair = problem(seed)
        one = np.ones((10, 1), dtype=np.int64)
        found = ground_state(field, pair, np.zeros((10, 10), bool), one, np.array([4]))
        every = [energy(field, pair, np.array(c)) for c in itertools.combinations(range(10), 4)]
        assert found.energy == pytest.approx(min(every))
        assert energy(field, pair, found.chosen) == pytest.approx(found.energy)


def test_a_hot_anneal_is_still_relaxed(monkeypatch: pytest.MonkeyPatch) -> None:
    """However an anneal ends, no exchange of two places lowers the energy afterwards."""
    monkeypatch.setattr(anneal, "REPLICAS", 2)
    monkeypatch.setattr(anneal, "HOT", 1e4)
    monkeypatch.setattr(anneal, "COLD", 1e4)
    n = 40
    field, pair = problem(3, n)
    kind = np.repeat([1, 2], n // 2)
    weight = np.eye(2, dtype=np.int64)[kind - 1]
    found = ground_state(field, pair, np.zeros((n, n), bool), weight, np.array([8, 5]))
    inside = set(found.chosen.tolist())
    assert (np.bincount(kind[found.chosen])[1:] == (8, 5)).all()
    for out, new in itertools.product(inside, set(range(n)) - inside):
        if kind[out] == kind[new]:
            other = np.array(sorted(inside - {out} | {new}))
            assert energy(field, pair, other) > found.energy - 1e-9


def test_balancing_takes_what_costs_least() -> None:
    """Of the Cs that left a cube, none in exchange for one that stayed gives a lower energy."""
    stages = history("cspbcl3-cube-2")
    before, after = stages["perovskite-carved"], stages["balanced"]
    gone = cKDTree(after.positions).query(before.positions)[0] > 0.1
    assert set(before.numbers[gone].tolist()) == {55}
    chosen = coulomb_energy(after.positions, after.charges)
    corner = np.abs(before.positions).min(axis=1) > 5.0
    assert not gone[~corner & (before.numbers == 55)].any() or gone[corner].all()
    for i, j in itertools.product(np.flatnonzero(gone), np.flatnonzero(~gone)):
        if before.numbers[j] != 55 or corner[i] != corner[j]:
            continue
        left = ~gone
        left[i], left[j] = True, False
        assert coulomb_energy(before.positions[left], before.charges[left]) > chosen - 1e-6


def test_open_charges_go_where_the_composition_comes_nearest() -> None:
    """Cs32Pb18Cl66 is +2 e: one Pb less would do, but two Cs less are nearer to CsPbCl3."""
    cube = hb.carve("CsPbCl3", [hb.Facet((1, 0, 0), 1.5)], site="Pb", name="cube")
    half = hb.cut(cube, (1, 0, 0), keep="above", at=0)
    assert half.formula == "Cs32Pb18Cl66"
    assert hb.balance(half, ["remove Pb in cube"]).formula == "Cs32Pb17Cl66"
    balanced = hb.balance(half, ["remove Cs in cube", "remove Pb in cube"])
    assert balanced.formula == "Cs30Pb18Cl66"
    assert Counter(e.element for e in balanced.ledger) == {"Cs": 2}


def test_the_registry_found_is_the_best_of_its_neighbours() -> None:
    """Refined to 0.05 Å: every step of that size is worse, collides or leaves the window."""
    parallel = hb.Orientation(((1, 0, 0), (1, 0, 0)), along=((0, 1, 0), (0, 1, 0)))
    cube = hb.carve("CsPbCl3", [hb.Facet((1, 0, 0), 1)], site="Pb", name="perovskite")
    upper = hb.cut(cube, (1, 0, 0), keep="above", at=0)
    lower = hb.cut(salt(), (1, 0, 0), keep="below", at=-1)
    upper, lower = hb.anchored(*hb.align(upper, lower, parallel), ((0, 0, 0), (-0.5, 0.3, 0)))
    floors = hb.Floors(anion_anion=2.0, cation_anion=2.0, cation_cation=2.0)
    window = hb.Window(0.5, 0.5, (-1.0, 3.0))
    found = hb.search_registry(upper, lower, window, floors)
    assert not {round(found.along % 0.2, 3), round(found.gap % 0.2, 3)} <= {0.0, 0.2}

    def score(shift: FloatArray) -> float:
        placed = lower.positions + hb.Registry(*map(float, shift)).vector
        return contact_energy(
            (upper.positions, upper.numbers, upper.charges), (placed, lower.numbers, lower.charges)
        )

    here = np.array([found.along, found.across, found.gap])
    best = score(here)
    for axis, step in itertools.product(range(3), (-0.05, 0.05)):
        there = here + step * np.eye(3)[axis]
        inside = (np.abs(there[:2]) <= 0.5 + 1e-9).all() and -1.0 <= there[2] <= 3.0
        if inside:
            assert score(there) > best - 1e-9, (axis, step)


# Topotactic exchange and etching


def test_cations_of_a_product_take_the_sites_of_lowest_energy() -> None:
    """Cu for all Pb of a PbS cube: no Cu gains by going to a free site with as many S around it."""
    model, report = exchange_cations(salt(1.5), "particle", load("Cu2S"))
    copper = np.flatnonzero(model.numbers == 29)
    sulfur = model.positions[model.numbers == 16]
    edge = load("PbS").cell_parameters[0]
    steps = edge / 4 * np.array(list(itertools.product((-1, 1), repeat=3)))
    sites = np.unique(np.round((sulfur[:, None] + steps).reshape(-1, 3), 3), axis=0)
    around = cKDTree(sulfur).query_ball_point(sites, 2.8, return_length=True)
    assert (cKDTree(sites).query(model.positions[copper])[0] < 2e-3).all()
    free = cKDTree(model.positions[copper]).query(sites)[0] > 1.0
    free &= around >= 2
    assert free.any()
    count = dict(zip(*np.unique(around, return_counts=True), strict=True))
    assert sum(report.details["anions_around"].values()) == len(copper)
    assert set(report.details["anions_around"]) <= set(count)
    mine = cKDTree(sulfur).query_ball_point(model.positions[copper], 2.8, return_length=True)
    spots = sites[free]
    pot = potential(spots, model.positions, model.charges)
    own = potential(model.positions[copper], model.positions, model.charges)
    apart = np.linalg.norm(spots[:, None] - model.positions[copper], axis=2)
    gain = pot[:, None] - COULOMB / apart - own  # of charge 1 moved from each Cu to each site
    alike = around[free][:, None] == mine
    clear = np.ones_like(alike)
    for k in range(len(copper)):  # contacts to the other Cu
        rest = np.delete(model.positions[copper], k, axis=0)
        clear[:, k] = cKDTree(rest).query(spots)[0] > InsertionFloors().like
    assert (alike & clear).any()
    assert gain[alike & clear].min() > -1e-6


@pytest.mark.parametrize(("bonds", "stays"), [(2, False), (3, True), (4, True)])
def test_three_anions_hold_a_shared_cation_and_two_do_not(bonds: int, stays: bool) -> None:
    crystal = load("PbS")
    cube = hb.carve(crystal, [hb.Facet((1, 0, 0), 2)], site="Pb", name="sulfide")
    anions = cube.positions[cube.charges < 0]
    anions = anions[np.argsort(np.linalg.norm(anions, axis=1), kind="stable")]
    lead = np.zeros(3)  # the Pb in the middle, with only so many of its six S left
    near = np.flatnonzero(np.linalg.norm(cube.positions, axis=1) < 3.0)
    drop = [i for i in near if cube.charges[i] < 0][bonds:]
    middle = [i for i in near if cube.charges[i] > 0]
    rest = np.ones(len(cube), dtype=bool)
    rest[[*drop, *middle]] = False
    heir = cube.where(rest)
    other = hb.carve(load("CsPbCl3"), radius=6.0, site="Pb", name="perovskite")
    both = hb.Model(
        numbers=np.append(heir.numbers, 82),
        positions=np.vstack([heir.positions, lead]),
        charges=np.append(heir.charges, 2),
        domain=np.append(heir.domain, 1).astype(np.int8),
        role=np.append(heir.role, hb.Role.SHARED),
        domains=(*heir.domains, *other.domains),
    )
    left, done = etch(both, "perovskite")
    assert (done.inherited == "Pb") is stays
    assert len(left) == len(heir) + stays


# Limits


def test_limits_of_bonds_and_contacts() -> None:
    """Published: Pb-Cl and Pb-S bonds up to 3.6 Å counted, floors 3.0, 2.6 and 3.3 Å."""
    assert ionic_limit("Pb", "Cl") == pytest.approx(COUNTED) == pytest.approx(3.60)
    assert ionic_limit("Pb", "S") == pytest.approx(3.636)
    assert ionic_limit("Cu", "S") == pytest.approx(3.132)
    assert ionic_limit("Pb", "He") is None
    assert pair_limit(load("PbS"), "S", "Pb") == pytest.approx(1.25 * 5.936 / 2, abs=1e-3)
    assert pair_limit(load("PbS"), "S", "Cl") is None
    limits = cation_limits(load("CsPbCl3"))
    assert limits[82] == pytest.approx(1.25 * 5.605 / 2)
    assert limits[55] == pytest.approx(1.25 * 5.605 / np.sqrt(2))
    assert hb.Floors().by_kind == {"anion-anion": 3.0, "cation-anion": 2.6, "cation-cation": 3.3}
    added = {"anion-anion": 3.0, "cation-anion": 2.4, "cation-cation": 2.4}
    assert ADDED_FLOORS.by_kind == added


CHARGES = {
    **USUAL_CHARGES,
    **dict.fromkeys(
        [
            "Sc",
            "Y",
            "La",
            "Ce",
            "Pr",
            "Nd",
            "Sm",
            "Eu",
            "Gd",
            "Tb",
            "Dy",
            "Ho",
            "Er",
            "Tm",
            "Yb",
            "Lu",
        ],
        3,
    ),
    **dict.fromkeys(["Ti", "Zr", "Hf"], 4),
    **dict.fromkeys(["Fe", "Co", "Ni"], 2),
    "Au": 1,
    "N": -3,
}
"""Of the ions whose radii are tabulated."""


@pytest.mark.parametrize("element", sorted(set(SHANNON_RADII) - {"Sn"}))
def test_radii_are_those_of_pymatgen(element: str) -> None:
    """Shannon's table as pymatgen has it; Sn2+ is not in it."""
    ion = Species(element, CHARGES[element])
    known = []
    for spin in ("", "High Spin", "Low Spin"):
        with contextlib.suppress(KeyError), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of spins the ion does not have
            known.append(ion.get_shannon_radius("IV" if element == "N" else "VI", spin, "ionic"))
    assert SHANNON_RADII[element] in known


@pytest.mark.parametrize(("sign", "limit"), [(-1, 3.0), (1, 2.6)])
def test_places_are_clear_from_the_floor_on(sign: int, limit: float) -> None:
    x = np.array([limit - 0.01, limit, limit + 0.01])
    places = np.stack([x, 0 * x, 0 * x], axis=-1)
    clear = clear_of(places, -1, np.zeros((1, 3)), np.array([sign]), hb.Floors())
    assert clear.tolist() == [False, True, True]


def test_the_box_of_martyna_and_tuckerman_is_twice_the_density() -> None:
    cube = history("cspbcl3-cube-2")["balanced"]
    text = deck(cube, "cube", Cp2kOptions(poisson="mt"))["cube.inp"]
    rows = [line.split() for line in text.splitlines() if line.split()[:1] in (["A"], ["B"], ["C"])]
    extent = cube.positions.max(axis=0) - cube.positions.min(axis=0)
    edges = np.array([row[1:] for row in rows], dtype=float).diagonal()
    assert (edges >= 2 * (extent + 4.0) - 1e-6).all()  # 2 Å of density on every side
    assert (edges < 2 * (extent + 4.0) + 2.0).all()


def test_a_mirror_image_is_another_model() -> None:
    rng = np.random.default_rng(5)
    cube = history("cspbcl3-cube-2")["balanced"]
    chiral = cube.where(rng.random(len(cube)) < 0.4).to_ase()
    chiral.rattle(0.3, seed=2)
    turned, mirror = chiral.copy(), chiral.copy()
    turned.rotate(77, (1, 2, 3))
    mirror.positions[:, 0] *= -1
    assert hb.compare(chiral, turned).rmsd < 1e-6
    found = hb.compare(chiral, mirror)
    assert found.rmsd > 0.1
    assert np.linalg.det(found.rotation) == pytest.approx(1.0)
