"""What a match says of its cell, from the metrics of both crystals alone."""

from __future__ import annotations

from functools import cache
from itertools import pairwise

import numpy as np
import pytest
from conftest import load
from scipy.linalg import eigh, sqrtm
from scipy.spatial.transform import Rotation

from hetbuild.arrays import FloatArray
from hetbuild.crystal.crystal import Crystal
from hetbuild.crystal.lattice import plane_normal
from hetbuild.errors import InputError
from hetbuild.matching.search import Match, match, nearest_miss

SETS = (
    ("PbS", "PbSe", None, 0.035, 60.0),
    ("CsPbBr3-orthorhombic", "SnS", ((1, 0, 0), (0, 1, 0)), 0.08, 330.0),
    ("Cu2S", "CdS", ((1, 1, 1), (1, 1, 1)), 0.06, 260.0),
    ("CdS-wurtzite", "Bi", ((0, 0, 1), (0, 0, 1)), 0.1, 240.0),
)


@cache
def found_in(k: int) -> tuple[tuple[Crystal, Crystal], tuple[Match, ...]]:
    first, second, planes, strain, area = SETS[k]
    crystals = load(first), load(second)
    return crystals, match(*crystals, planes=planes, max_index=1, max_strain=strain, max_area=area)


def cells(m: Match, crystals: tuple[Crystal, Crystal]) -> list[FloatArray]:
    """Cell vectors in the Cartesian axes of each crystal, rows, Å."""
    return [
        np.array([p.counts[i] * (p.first, p.second)[i].vector for p in m.cell])
        @ crystals[i].vectors
        for i in range(2)
    ]


def flat(cell: FloatArray) -> FloatArray:
    """The cell in its plane, x along its first vector, right-handed."""
    x = cell[0] / np.linalg.norm(cell[0])
    normal = np.cross(*cell)
    y = np.cross(normal / np.linalg.norm(normal), x)
    return cell @ np.array([x, y]).T


def triad(cell: FloatArray) -> FloatArray:
    x = cell[0] / np.linalg.norm(cell[0])
    normal = np.cross(*cell)
    normal /= np.linalg.norm(normal)
    return np.array([x, np.cross(normal, x), normal])


def proper(crystal: Crystal) -> Rotation:
    basis = crystal.vectors.T
    rotations = crystal.rotations[np.linalg.det(crystal.rotations) > 0]
    return Rotation.from_matrix(basis @ rotations @ np.linalg.inv(basis))


def misorientation(one: FloatArray, two: FloatArray, crystals: tuple[Crystal, Crystal]) -> float:
    """Smallest turn of the second crystal that lays axes on axes, the cells laid on each other."""
    g = np.linalg.solve(flat(one), flat(two))
    turn = np.eye(3)
    turn[:2, :2] = np.linalg.solve(sqrtm(g @ g.T), g)
    between = Rotation.from_matrix(triad(one).T @ turn @ triad(two))
    return min(
        float(np.degrees((p * between * proper(crystals[1])).magnitude().min()))
        for p in proper(crystals[0])
    )


@pytest.mark.parametrize("k", range(len(SETS)))
def test_lengths_areas_and_strains_are_those_of_the_cells(k: int) -> None:
    crystals, found = found_in(k)
    assert len(found) > 2
    for m in found[:12]:
        one, two = cells(m, crystals)
        for i, (cell, crystal) in enumerate(zip((one, two), crystals, strict=True)):
            assert m.area[i] == pytest.approx(np.linalg.norm(np.cross(*cell)))
            cosine = cell[0] @ cell[1] / np.prod(np.linalg.norm(cell, axis=1))
            assert m.angle[i] == pytest.approx(np.degrees(np.arccos(cosine)))
            normal = plane_normal(crystal.vectors, m.planes[i].lattice)
            assert np.cross(*cell) @ normal == pytest.approx(m.area[i])
            for pair, vector in zip(m.cell, cell, strict=True):
                assert pair.lengths[i] == pytest.approx(np.linalg.norm(vector))
        assert m.shear == pytest.approx(m.angle[1] - m.angle[0])
        squares = eigh(two @ two.T, one @ one.T, eigvals_only=True)
        np.testing.assert_allclose(m.principal, np.sqrt(squares) - 1, atol=1e-9)
        assert m.largest_strain == pytest.approx(np.abs(np.sqrt(squares) - 1).max())
        assert m.largest_strain <= SETS[k][3] + 1e-9
        assert max(m.area) <= SETS[k][4] + 1e-6
        g = np.linalg.solve(flat(one), flat(two))
        np.testing.assert_allclose(m.strain, sqrtm(g @ g.T) - np.eye(2), atol=1e-7)


@pytest.mark.parametrize("k", range(len(SETS)))
def test_misorientation_is_the_smallest_over_both_point_groups(k: int) -> None:
    crystals, found = found_in(k)
    for m in found[:3]:
        one, two = cells(m, crystals)
        assert m.misorientation == pytest.approx(misorientation(one, two, crystals), abs=1e-4)
        other = m.turned()
        expected = misorientation(one, -two, crystals)
        if m.half_turn:
            assert other.misorientation == pytest.approx(expected, abs=1e-4)
            assert other.misorientation >= m.misorientation - 1e-6
        np.testing.assert_allclose(cells(other, crystals)[1], -two)
        np.testing.assert_allclose(cells(other, crystals)[0], one)
        assert other.turned() == m


@pytest.mark.parametrize("k", range(len(SETS)))
def test_best_score_first(k: int) -> None:
    """A cell strained by 1 % counts like one of twice the area, one by 2 % like five."""
    _, found = found_in(k)
    scores = []
    for m in found:
        percent = 100 * max(abs(p) for p in m.principal)
        scores.append(0.5 * (m.area[0] + m.area[1]) * (1 + percent**2))
        assert m.score == pytest.approx(scores[-1])
        assert m.as_dict()["score"] == m.score
    assert all(b >= a - 2e-6 for a, b in pairwise(scores))


def test_fraction_done() -> None:
    told: list[float] = []
    match(load("PbS"), load("PbSe"), max_index=1, max_area=20.0, progress=told.append)
    np.testing.assert_allclose(told, np.arange(1, len(told) + 1) / len(told))
    assert len(told) > 3


def test_nearest_miss_has_the_least_strain_beyond_the_limit() -> None:
    planes = ((1, 0, 0), (1, 0, 0))
    given = {"planes": planes, "max_area": 20.0}
    ratio = load("PbSe").vectors[0, 0] / load("PbS").vectors[0, 0]
    assert not match(load("PbS"), load("PbSe"), max_strain=0.02, **given)  # type: ignore[arg-type]
    found = nearest_miss(load("PbS"), load("PbSe"), max_strain=0.02, **given)  # type: ignore[arg-type]
    assert found is not None
    assert found.largest_strain == pytest.approx(ratio - 1)
    far = nearest_miss(load("PbS"), load("CsPbCl3"), planes=planes, max_area=18.0)
    assert far is None  # 4.2 and 5.6 Å


@pytest.mark.parametrize(("strain", "area"), [(0.0, 100.0), (0.151, 100.0), (-0.1, 50.0)])
def test_strain_limits(strain: float, area: float) -> None:
    with pytest.raises(InputError, match="above 0 and at most 15 %"):
        match(load("PbS"), load("PbSe"), max_strain=strain, max_area=area)


@pytest.mark.parametrize("area", [0.0, -3.0, float("inf"), float("nan")])
def test_area_limits(area: float) -> None:
    with pytest.raises(InputError, match="must be a number"):
        match(load("PbS"), load("PbSe"), max_area=area)


def test_limits_themselves_are_allowed() -> None:
    planes = ((1, 0, 0), (1, 0, 0))
    assert match(load("PbS"), load("PbSe"), planes=planes, max_strain=0.15, max_area=20.0)
    assert not match(load("PbS"), load("PbSe"), planes=planes, max_area=0.5)
