"""Where a crystal may lie in a particle, part by part, against rotations and lists made by hand."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from conftest import load
from scipy.spatial.distance import cdist
from scipy.spatial.transform import Rotation

from hetbuild.analyse import starts
from hetbuild.analyse.starts import Ions
from hetbuild.arrays import FloatArray, IntArray

CRYSTALS = ("PbS", "CsPbCl3", "CdSe-wurtzite", "PbCl2")


def block(name: str, cells: int = 3) -> tuple[IntArray, FloatArray]:
    """Numbers and positions of a cube of cells, turned."""
    crystal = load(name)
    at = np.array(list(itertools.product(range(cells), repeat=3)))
    sites = (crystal.fractional[None] + at[:, None]).reshape(-1, 3) @ crystal.vectors
    return np.tile(crystal.numbers, len(at)), sites @ turn().T


def turn() -> FloatArray:
    return np.asarray(Rotation.from_rotvec([0.3, -0.8, 0.5]).as_matrix())


def ions(name: str, cells: int = 3) -> Ions:
    return Ions(*block(name, cells), load(name))


def test_sites_are_filled_as_near_as_an_ion_of_their_kind_is() -> None:
    of = ions("PbS")
    rng = np.random.default_rng(0)
    sites = of.positions[rng.permutation(len(of.positions))[:20]] + rng.normal(
        scale=0.5, size=(20, 3)
    )
    kinds = np.tile([82, -1], 10)  # a cation's element, or any anion
    expected = [
        np.exp(-(np.linalg.norm(of.positions[of.kind == k] - s, axis=1).min() ** 2)
               / (2 * starts.WIDTH**2))
        for s, k in zip(sites, kinds, strict=True)
    ]  # fmt: skip
    assert of.filling(sites, kinds) == pytest.approx(expected, abs=5e-4)
    assert not of.filling(sites, np.full(20, 99)).any()


def test_seeds_go_outwards_from_the_middle() -> None:
    points = np.random.default_rng(1).normal(size=(200, 3))
    away = np.linalg.norm(points - points.mean(axis=0), axis=1)
    seeds = starts._seeds(points)
    assert len(set(seeds.tolist())) == len(seeds) == starts.SEEDS
    assert seeds[0] == away.argmin()
    assert (np.diff(away[seeds]) > 0).all()
    assert (away < away[seeds[-1]]).sum() == int(starts.INNER * 199)
    assert starts._seeds(points[:2]).tolist() in ([0], [1], [0, 1], [1, 0])
    assert len(starts._seeds(points[:0])) == 0


@pytest.mark.parametrize("name", CRYSTALS)
def test_the_two_shortest_vectors_in_two_directions(name: str) -> None:
    """Against every difference of like sites that all sites repeat by."""
    crystal = load(name)
    found = starts._short_vectors(crystal)
    moved = np.sort(np.round((crystal.fractional[:, None] + found[None]) % 1.0, 4) % 1.0, axis=0)
    still = np.sort(np.round(crystal.fractional % 1.0, 4) % 1.0, axis=0)
    assert np.allclose(moved, still[:, None], atol=1e-3)
    lengths = np.linalg.norm(found @ crystal.vectors, axis=1)
    steps = np.array(list(itertools.product(range(-3, 4), repeat=3))) @ crystal.primitive
    every = np.linalg.norm(steps @ crystal.vectors, axis=1)
    shortest = np.sort(every[every > 0.1])
    assert lengths[0] == pytest.approx(shortest[0])
    # The second is the shortest that is not along the first.
    first = found[0] @ crystal.vectors
    cross = np.linalg.norm(np.cross(steps @ crystal.vectors, first), axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        sine = cross / (every * lengths[0])
    others = every[(every > 0.1) & (sine > np.sin(np.radians(starts.SLANT)))]
    assert lengths[1] == pytest.approx(others.min())


def test_triads_are_axes_by_two_vectors() -> None:
    rng = np.random.default_rng(2)
    u, v = rng.normal(size=(2, 6, 3))
    x, y, z = np.moveaxis(starts._triads(u, v), 2, 0)
    axes = np.stack([x, y, z], axis=1)
    np.testing.assert_allclose(
        axes @ axes.transpose(0, 2, 1), np.tile(np.eye(3), (6, 1, 1)), atol=1e-9
    )
    assert np.linalg.det(axes) == pytest.approx(np.ones(6))
    for w in (u, v):
        assert (w * z).sum(axis=1) == pytest.approx(np.zeros(6), abs=1e-9)
    cosine = [(w * x).sum(axis=1) / np.linalg.norm(w, axis=1) for w in (u, v)]
    assert cosine[0] == pytest.approx(cosine[1])
    assert (cosine[0] > 0).all()


@pytest.mark.parametrize("scale", [1.0, 1.03])
def test_orientations_hold_the_one_that_is(scale: float) -> None:
    of, crystal = ions("PbS"), load("PbS")
    members = of.positions[of.kind == 82] * scale
    middle = members[np.linalg.norm(members - members.mean(axis=0), axis=1).argmin()]
    found = starts._orientations(middle, members, crystal)
    half = len(found) // 2
    unit = found[:half]
    assert np.allclose(unit @ unit.transpose(0, 2, 1), np.eye(3), atol=1e-9)
    assert found[half:] == pytest.approx(unit * scale, abs=1e-6)
    # One of the 24 rotations of the cube away from the turn.
    near = np.abs(np.abs(turn().T @ unit) - 1) < 1e-6
    assert near.any(axis=2).all(axis=1).sum() == 24
    assert len(starts._orientations(middle + 50.0, members, crystal)) == 0


@pytest.mark.parametrize(
    ("name", "element", "count"),
    [("PbS", 82, 1), ("PbS", 16, 1), ("CsPbCl3", 17, 3), ("Cu2S", 29, 2), ("CdSe-wurtzite", 34, 2),
     ("PbCl2", 82, 4), ("PbCl2", 17, 8)],
)  # fmt: skip
def test_seats_are_the_sites_of_a_primitive_cell(name: str, element: int, count: int) -> None:
    crystal = load(name)
    found = starts._seats(crystal, element)
    assert len(found) == count
    own = crystal.fractional[crystal.numbers == element]
    assert cdist(found, own).min(axis=1).max() < 1e-9


def rows(places: FloatArray, kinds: IntArray) -> list[tuple[float, ...]]:
    return sorted(map(tuple, np.column_stack([np.round(places, 5) + 0.0, kinds]).tolist()))


@pytest.mark.parametrize("name", CRYSTALS)
def test_sites_around_are_those_within_reach(name: str) -> None:
    crystal = load(name)
    seat = crystal.fractional[-1]
    kind = crystal.numbers.astype(np.int64)
    offsets, kinds = starts.sites_around(crystal, seat, kind)
    cells = np.array(list(itertools.product(range(-4, 5), repeat=3)))
    every = (crystal.fractional[None] + cells[:, None] - seat).reshape(-1, 3) @ crystal.vectors
    all_kinds = np.tile(kind, len(cells))
    near = np.linalg.norm(every, axis=1) < starts.LOCAL
    assert rows(offsets, kinds) == rows(every[near], all_kinds[near])


def test_the_nearest_site_of_an_ions_kind() -> None:
    of, crystal = ions("PbS"), load("PbS")
    rng = np.random.default_rng(3)
    vectors, origin = crystal.vectors @ turn().T, np.array([0.4, -0.1, 0.2])
    atoms = rng.permutation(len(of.positions))[:12]
    fractional, away = starts.nearest_site(of, atoms, crystal, vectors, origin)
    cells = np.array(list(itertools.product(range(-2, 6), repeat=3)))
    for atom, site, distance in zip(atoms, fractional, away, strict=True):
        own = crystal.fractional[(crystal.numbers == 82) == (of.kind[atom] == 82)]
        every = (own[None] + cells[:, None]).reshape(-1, 3) @ vectors + origin
        apart = np.linalg.norm(every - of.positions[atom], axis=1)
        assert distance == pytest.approx(apart.min())
        assert site @ vectors + origin == pytest.approx(every[apart.argmin()])


@pytest.mark.parametrize("name", ["PbS", "CsPbCl3"])
def test_the_best_start_is_the_lattice_itself(name: str) -> None:
    of, crystal = ions(name, 5), load(name)
    members = np.flatnonzero(of.kind == 82)
    found = starts.starts_of(members, of, crystal, 82)
    assert [s.filling for s in found] == sorted((s.filling for s in found), reverse=True)
    best = found[0]
    assert best.filling > 0.99
    _, away = starts.nearest_site(
        of, np.arange(len(of.positions)), crystal, best.vectors, best.origin
    )
    assert away.max() < 1e-3
    assert np.abs(of.positions[members] - best.centre).sum(axis=1).min() < 1e-9
