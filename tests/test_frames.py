"""Lattices found in displaced atoms, and what is read off them."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from itertools import product

import numpy as np
import pytest
from conftest import load
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist
from scipy.spatial.transform import Rotation

import hetbuild as hb
from hetbuild.analyse.frames import (
    FrameFit,
    _filled,
    closest_setting,
    fit_frame,
    least_squares,
    origin_of,
)
from hetbuild.analyse.labels import _repeats, _shifts
from hetbuild.analyse.layers import CONTINUES, _continuing, hosts, shared_layer
from hetbuild.analyse.sites import charges_of, is_filled, may_take, shell, site_keys
from hetbuild.analyse.starts import WIDTH, Ions
from hetbuild.errors import ImpossibleError
from hetbuild.model import Model, Role

FEW = settings(max_examples=6, deadline=None)
SEEDS = st.integers(0, 10_000)


@cache
def particle(name: str) -> Model:
    return hb.carve(load(name), [hb.Facet((1, 0, 0), 2)], site="Pb")


# Frames


@pytest.mark.parametrize("name", ["PbS", "CsPbCl3"])
@pytest.mark.parametrize("seed", [1, 2])
def test_a_lattice_comes_back_from_any_turn_strain_and_noise(name: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    model, crystal = particle(name), load(name)
    shear = rng.normal(scale=0.01, size=(3, 3))
    deform = (np.eye(3) * (1 + 0.05 * (-1) ** seed) + shear + shear.T) @ Rotation.random(
        random_state=rng
    ).as_matrix()
    shift = rng.uniform(-30, 30, 3)
    noise = rng.normal(scale=0.1, size=model.positions.shape)
    stray = np.array([[60.0, 0, 0]])
    ideal = model.positions @ deform + shift
    order = rng.permutation(len(model) + 1)
    numbers = np.append(model.numbers, 82)[order]
    places = np.vstack([ideal + noise, stray @ deform + shift])[order]
    fit = fit_frame(numbers, places, crystal)
    assert sorted(order[fit.matched])[: len(model)] == list(range(len(model)))
    residual = np.sqrt((noise**2).sum(axis=1).mean())
    assert fit.rms == pytest.approx(residual, rel=0.4)
    vectors = model.domains[0].vectors @ deform
    found = closest_setting(fit, crystal, vectors)
    np.testing.assert_allclose(found.vectors, vectors, atol=0.06)
    assert (found.rms, found.matched.tolist()) == (fit.rms, fit.matched.tolist())
    # Every ion stands on a site of its own element in the frame.
    inverse = np.linalg.inv(found.vectors)
    for z in np.unique(model.numbers):
        apart = (ideal[model.numbers == z] - found.origin) @ inverse
        apart = apart[:, None] - crystal.fractional[crystal.numbers == z]
        off = np.linalg.norm((apart - np.rint(apart)) @ found.vectors, axis=2).min(axis=1)
        assert off.max() < 0.25


def test_ions_between_the_sites_do_not_hide_a_lattice() -> None:
    """Where ions in tetrahedral holes stand on no site, the sites are filled all the same."""
    model, crystal = particle("PbS"), load("PbS")
    holes = model.positions[model.numbers == 82][::2] + 5.936 / 4
    numbers, places = (
        np.append(model.numbers, [16] * len(holes)),
        np.vstack([model.positions, holes]),
    )
    fit = fit_frame(numbers, places, crystal)
    assert fit.matched.tolist() == list(range(len(model)))
    assert fit.rms < 0.05
    filled = sum(np.exp(-0.5 * (r / WIDTH) ** 2) for r in (0.0, 0.3, 0.6, 1.2))
    cell = np.diag([5.936] * 3)
    corner = crystal.fractional[crystal.numbers == 82][0] @ cell
    off = corner + np.array([[0.0, 0, 0], [0.3, 0, 0], [0, 0.6, 0], [0, 0, 1.2]])
    frame = FrameFit(cell, np.zeros(3), 0.0, np.arange(4))
    ions = Ions(np.full(4, 82), off, crystal)
    assert _filled(ions, crystal, frame) == pytest.approx(filled, abs=1e-3)


def test_atoms_in_disorder_are_no_crystal() -> None:
    rng = np.random.default_rng(0)
    model = particle("PbS")
    size = np.ptp(model.positions, axis=0)
    with pytest.raises(ImpossibleError, match="lattice of PbS was not found"):
        fit_frame(model.numbers, rng.uniform(0, 1, model.positions.shape) * size, load("PbS"))
    with pytest.raises(ImpossibleError, match="around 0 Cs"):
        fit_frame(model.numbers, model.positions, load("PbS"), seed_element=55)


@FEW
@given(SEEDS)
def test_a_frame_of_least_squares_is_the_affine_map_of_its_sites(seed: int) -> None:
    rng = np.random.default_rng(seed)
    vectors, origin = rng.normal(size=(3, 3)) * 5, rng.normal(size=3) * 9
    sites, weights = rng.integers(-3, 4, (12, 3)) / 2, rng.uniform(0.1, 2.0, 12)
    sites[:4] = [[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]]
    a, b = least_squares(sites, sites @ vectors + origin, weights)
    np.testing.assert_allclose(a, vectors, atol=1e-9)
    np.testing.assert_allclose(b, origin, atol=1e-9)
    # With noise the weighted residual is normal to every column of the design.
    places = sites @ vectors + origin + rng.normal(size=(12, 3))
    a, b = least_squares(sites, places, weights)
    residual = (places - sites @ a - b) * weights[:, None]
    np.testing.assert_allclose(np.column_stack([sites, np.ones(12)]).T @ residual, 0.0, atol=1e-8)


@pytest.mark.parametrize("name", ["PbS", "CsPbCl3", "ZnS", "Pb4S3Cl2"])
def test_the_origin_puts_every_site_on_one_of_its_element(name: str) -> None:
    crystal = load(name)
    origin = np.array([3.0, -7.0, 11.0])
    proper = crystal.rotations[np.linalg.det(crystal.rotations) > 0]
    places = crystal.fractional @ crystal.vectors + origin
    for rotation in (proper[0], proper[-1], proper[len(proper) // 2]):
        vectors = rotation.T @ crystal.vectors
        found = origin_of(crystal, vectors, places)
        made = (crystal.fractional @ vectors + found - origin) @ np.linalg.inv(crystal.vectors)
        apart = made[:, None] - crystal.fractional
        off = np.linalg.norm((apart - np.rint(apart)) @ crystal.vectors, axis=2)
        off[crystal.numbers[:, None] != crystal.numbers] = 99.0
        np.testing.assert_allclose(off.min(axis=1), 0.0, atol=1e-3)


# Sites


@FEW
@given(SEEDS, st.integers(1, 40))
def test_keys_tell_sites_apart(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    cells = np.array(list(product((-30_000, -1, 0, 1, 2, 30_000), repeat=3)))
    site, cell = np.tile(np.arange(n), len(cells)), np.repeat(cells, n, axis=0)
    keys = site_keys(site, cell, n)
    assert len(np.unique(keys)) == len(keys)
    taken = np.sort(rng.choice(keys, 5, replace=False))
    np.testing.assert_array_equal(is_filled(taken, keys), np.isin(keys, taken))
    assert not is_filled(taken[:0], keys).any()


@pytest.mark.parametrize(("name", "radius"), [("PbS", 6.1), ("Pb4S3Cl2", 3.3), ("CsPbCl3", 9.0)])
def test_shells_are_the_sites_of_a_large_block(name: str, radius: float) -> None:
    crystal = load(name)
    block = np.array(list(product(range(-4, 5), repeat=3)))
    for site in (0, len(crystal.numbers) - 1):
        around, cells = shell(crystal, site, radius)
        found = {(int(i), *map(int, c)) for i, c in zip(around, cells, strict=True)}
        assert len(found) == len(around)
        places = crystal.fractional[None] + block[:, None] - crystal.fractional[site]
        away = np.linalg.norm(places @ crystal.vectors, axis=2)
        near = np.argwhere((away < radius) & (away > 0.1))
        assert found == {(int(i), *map(int, block[c])) for c, i in near}


def test_charges_are_those_of_the_crystals_then_usual_then_none() -> None:
    numbers = np.array([82, 16, 55, 17, 18, 82])
    assert charges_of(numbers, [load("PbS")]).tolist() == [2, -2, 1, -1, 0, 2]
    iron = hb.Crystal.from_pymatgen(load("PbS").to_pymatgen(), charges={"Pb": 4, "S": -4})
    assert charges_of(numbers, [iron]).tolist() == [4, -4, 1, -1, 0, 4]


def test_elements_take_their_own_sites_foreign_ones_those_of_their_charge() -> None:
    def taken(elements: list[int], *names: str) -> dict[int, set[int]]:
        crystals = [load(n) for n in names]
        sites = np.concatenate([c.numbers for c in crystals])
        table = may_take(np.array(elements), crystals)
        return {
            z: set(sites[row].tolist()) for z, row in zip(np.unique(elements), table, strict=True)
        }

    assert taken([82, 16], "PbS") == {16: {16}, 82: {82}}
    assert taken([82, 16, 17], "PbS") == {16: {16}, 17: {16}, 82: {82}}  # a ligand
    assert taken([82, 16, 48], "PbS") == {16: {16}, 48: {82}, 82: {82}}  # a dopant
    assert taken([16, 48], "PbS") == {16: {16}, 48: set()}  # no Pb in the file to stand for
    halide = taken([55, 82, 17, 35, 16], "CsPbCl3")
    assert halide == {16: set(), 17: {17}, 35: {17}, 55: {55}, 82: {82}}
    assert taken([55, 82, 17, 16], "CsPbCl3", "PbS")[17] == {17, 16}


# Layers


def split(seed: int, shift: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> Model:
    """A cube of PbS whose ions are of either of two domains of one lattice, half by half at random.

    shift: of the second domain's frame, Å.
    """
    rng = np.random.default_rng(seed)
    cube = particle("PbS")
    normal = rng.normal(size=3)
    side = cube.positions @ normal > rng.normal(scale=2.0)
    first = replace(cube.domains[0], name="first")
    second = replace(first, name="second", origin=first.origin + np.array(shift))
    return replace(cube, domain=side.astype(np.int8), domains=(first, second))


def between(model: Model, mine: int) -> list[int]:
    """Pb of a domain with two S of the other or more, and one of its own, within 3.6 Å."""
    near = cdist(model.positions, model.positions) < 3.6
    sulfur = (model.charges < 0)[None]
    own = (near & sulfur & (model.domain == mine)[None]).sum(axis=1)
    other = (near & sulfur & (model.domain != mine)[None]).sum(axis=1)
    of_mine = (model.charges > 0) & (model.domain == mine)
    return np.flatnonzero(of_mine & (own > 0) & (other >= 2)).tolist()


@settings(max_examples=15, deadline=None)
@given(SEEDS)
def test_shared_cations_have_anions_of_both_domains(seed: int) -> None:
    model = split(seed)
    found = [_continuing(model, 0, 1).tolist(), _continuing(model, 1, 0).tolist()]
    assert found == [between(model, 0), between(model, 1)]
    role = shared_layer(model).role
    expected = found[1] if len(found[1]) > len(found[0]) else found[0]
    assert np.flatnonzero(role == Role.SHARED).tolist() == expected


def test_cations_far_from_the_sites_of_the_other_lattice_are_not_shared() -> None:
    assert between(split(3), 0)
    for x, shared in ((CONTINUES - 0.05, True), (CONTINUES + 0.05, False)):
        found = _continuing(split(3, (0.0, x, 0.0)), 0, 1)
        assert found.tolist() == (between(split(3), 0) if shared else [])
    # A site that the other domain has an ion on is none that it lacks.
    model = split(3)
    atoms = between(model, 0)
    twin = model.extended(
        numbers=model.numbers[atoms], positions=model.positions[atoms],
        charges=model.charges[atoms], domain=np.ones(len(atoms), dtype=int),
        role=np.zeros(len(atoms), dtype=int),
    )  # fmt: skip
    assert not set(atoms) & set(_continuing(twin, 0, 1).tolist())


def test_a_layer_on_the_anions_of_a_larger_crystal_is_part_of_it() -> None:
    """6 ions of PbS, 10 of Cu2S: their S is one sublattice where it is near by the median."""
    crystals = [load("PbS"), load("Cu2S")]
    numbers = np.array([82, 82, 82, 16, 16, 16] + [29] * 6 + [16] * 4)
    domain = np.array([0] * 6 + [1] * 10)
    residual = np.zeros((16, 2))
    residual[:3, 1] = 9.0  # of Pb nothing is asked
    for off, expected in ((0.7, (1, 1)), (0.9, (0, 1))):
        residual[3:6, 1] = [0.0, off, 5.0]
        assert hosts(numbers, crystals, domain, residual) == expected
    residual[:] = 0.0
    assert hosts(numbers, crystals[::-1], 1 - domain, residual) == (0, 0)
    assert hosts(numbers, crystals, np.where(domain == 0, 0, 0), residual) == (0, 1)
    twice = [load("PbS"), load("PbS")]
    assert hosts(np.where(numbers == 29, 82, numbers), twice, domain, residual) == (0, 1)
    other = [load("PbSe"), load("Cu2S")]
    selenide = np.where(domain == 0, np.where(numbers == 16, 34, numbers), numbers)
    assert hosts(selenide, other, domain, residual) == (0, 1)
    one_each = np.array([0] * 5 + [1] * 5)  # of equal size neither is a layer of the other
    few = np.array([82, 82, 82, 16, 16, 29, 29, 29, 16, 16])
    assert hosts(few, crystals, one_each, np.zeros((10, 2))) == (0, 1)


# Cells of files


@FEW
@given(SEEDS)
def test_a_cell_repeats_where_no_gap_is_wider_than_5_angstrom(seed: int) -> None:
    rng = np.random.default_rng(seed)
    heights = rng.choice([3.9, 4.9, 5.2, 8.0], 3) + 12.0
    grid = np.array(list(product(range(5), repeat=3))) * 3.0  # 12 Å long
    turn = Rotation.random(random_state=rng).as_matrix()
    cell = np.diag(heights)
    cell[2, :2] = rng.uniform(-5, 5, 2)  # a slanted edge leaves the heights as they are
    places = (grid + rng.uniform(-40, 40, 3)) @ turn
    upright = np.diag(heights) @ turn
    assert _repeats(places, upright) == tuple((heights - 12.0 < 5.0).tolist())
    assert _repeats(places, cell @ turn)[2] == (heights[2] - 12.0 < 5.0)


def test_images_go_12_angstrom_beyond_and_not_along_the_stacking() -> None:
    cell = np.diag([5.0, 12.5, 30.0])
    for periodic in ((True, True, True), (True, True, False)):
        shifts = _shifts(cell, periodic)
        assert shifts[0].tolist() == [0.0, 0.0, 0.0]
        expected = {(5.0 * i, 12.5 * k, 0.0) for i in range(-3, 4) for k in (-1, 0, 1)}
        assert set(map(tuple, shifts.tolist())) == expected
    along = _shifts(cell, (False, False, True))
    assert sorted(along[:, 2].tolist()) == [-30.0, 0.0, 30.0]
