"""Coincidence cells of two nets against brute force over small integer matrices."""

from __future__ import annotations

from fractions import Fraction
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.linalg import polar as scipy_polar

from hetbuild.arrays import FloatArray, IntArray
from hetbuild.crystal.lattice import Direction
from hetbuild.crystal.planes import PlaneLabel, PlaneNet
from hetbuild.matching.nets import (
    CoincidenceCells,
    _plainest,
    coincidence_cells,
    count_supercells,
    polar,
    reduced_supercells,
    strained_supercells,
    stretches,
)

ROWS = tuple(product(range(-4, 5), repeat=4))
MATRICES = np.array(ROWS).reshape(-1, 2, 2)
DETERMINANT = np.rint(np.linalg.det(MATRICES)).astype(int)
LABEL = PlaneLabel((0, 0, 1), (0, 0, 1), (0, 0, 1), (0, 0, 1))
NET = (Direction(Fraction(1), (1, 0, 0)), Direction(Fraction(1), (0, 1, 0)))


def net_of(flat: FloatArray) -> PlaneNet:
    """A net with all the symmetry its metric has, found among small matrices."""
    metric = flat @ flat.T
    small = MATRICES[(np.abs(MATRICES).max(axis=(1, 2)) <= 1) & (np.abs(DETERMINANT) == 1)]
    kept = small[np.abs(small @ metric @ np.swapaxes(small, 1, 2) - metric).max(axis=(1, 2)) < 1e-9]
    handed = np.rint(np.linalg.det(kept)).astype(int)
    return PlaneNet(LABEL, NET, np.eye(3), flat, kept, handed)


def cell(a: float, b: float, angle: float) -> FloatArray:
    turn = np.radians(angle)
    return np.array([[a, 0.0], [b * np.cos(turn), b * np.sin(turn)]])


SQUARE, RECTANGLE, HEXAGON, OBLIQUE = (
    net_of(cell(*x)) for x in ((3.0, 3.0, 90), (2.9, 4.2, 90), (3.05, 3.05, 120), (2.8, 3.4, 78))
)
NETS = {"square": SQUARE, "rectangle": RECTANGLE, "hexagon": HEXAGON, "oblique": OBLIQUE}


def divisor_sum(n: int) -> int:
    return sum(d for d in range(1, n + 1) if n % d == 0)


def hermite(rows: IntArray) -> tuple[int, ...]:
    """Echelon form of two integer rows, the same for every basis of what they span."""
    a, b = (list(map(int, r)) for r in rows)
    place = []
    for column in range(len(a)):
        if len(place) == 0:
            while b[column]:
                factor = a[column] // b[column]
                a, b = b, [x - factor * y for x, y in zip(a, b, strict=True)]
            if a[column]:
                a = [x * (1 if a[column] > 0 else -1) for x in a]
                place.append(column)
        elif b[column]:
            b = [x * (1 if b[column] > 0 else -1) for x in b]
            factor = a[column] // b[column]
            return (*(x - factor * y for x, y in zip(a, b, strict=True)), *b)
    raise AssertionError(rows)


def plainly_reduced(flat: FloatArray, index: int) -> list[IntArray]:
    """The shortest right-handed basis of every sublattice of an index, one of each."""
    best: dict[tuple[int, ...], tuple[float, IntArray]] = {}
    for m in MATRICES[index == DETERMINANT]:
        size = float(((m @ flat) ** 2).sum())
        key = hermite(m)
        if key not in best or size < best[key][0] - 1e-9:
            best[key] = size, m
    return [m for _, m in best.values()]


@pytest.mark.parametrize("name", NETS)
def test_supercells_are_all_sublattices_each_once_and_reduced(name: str) -> None:
    net, most = NETS[name], 6
    found = reduced_supercells(net, most * net.area * (1 + 1e-12))
    m = found.coefficients
    assert len(m) == sum(divisor_sum(n) for n in range(1, most + 1))
    assert len({hermite(x) for x in m}) == len(m)
    index = np.rint(np.linalg.det(m)).astype(int)
    assert index.min() == 1
    assert index.max() == most
    np.testing.assert_allclose(found.vectors, m @ net.flat)
    for n in range(1, 4):
        shortest = {
            hermite(x): ((x @ net.flat) ** 2).sum(axis=1) for x in plainly_reduced(net.flat, n)
        }
        for x in m[index == n]:
            length = ((x @ net.flat) ** 2).sum(axis=1)
            np.testing.assert_allclose(length, np.sort(shortest[hermite(x)]))
    u, v = found.vectors[:, 0], found.vectors[:, 1]
    angle = np.arccos((u * v).sum(axis=1) / np.sqrt((u**2).sum(axis=1) * (v**2).sum(axis=1)))
    logs = np.log(np.linalg.norm(found.vectors, axis=2))
    np.testing.assert_allclose(found.features, np.column_stack([logs, angle / 2]))


@pytest.mark.parametrize("name", NETS)
def test_area_limits_the_supercells(name: str) -> None:
    net = NETS[name]
    for most in (1.0, 1.6, 2.0, 2.7, 3.3):
        for cells in (
            reduced_supercells(net, most * net.area),
            strained_supercells(net, most * net.area, 0.05),
        ):
            areas = np.linalg.det(cells.vectors) / net.area
            assert areas.max() == pytest.approx(np.floor(most))


@settings(max_examples=25)
@given(st.integers(10, 80))
def test_number_of_supercells_is_estimated_from_above(most: int) -> None:
    exact = sum(divisor_sum(n) for n in range(1, most + 1))
    assert exact < count_supercells(2.5, 2.5 * most) < 1.2 * exact


def strains(limit: float) -> FloatArray:
    """Stretches whose principal strains reach the limit, along many directions, (k, 2, 2)."""
    found = []
    for angle in np.radians(np.arange(0, 180, 5)):
        x = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        for low, high in (
            (-limit, -limit),
            (-limit, limit),
            (limit, limit),
            (0, limit),
            (-limit, 0),
        ):
            found.append(x.T @ np.diag([1 + low, 1 + high]) @ x)
    return np.array(found)


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("limit", [0.02, 0.12])
def test_bases_reduced_after_some_strain(name: str, limit: float) -> None:
    """All of those are listed, up to their sign; others hardly."""
    net, most = NETS[name], 3
    found = strained_supercells(net, most * net.area * (1 + 1e-12), limit)
    signs = np.where(found.coefficients[:, 0, :1] != 0, found.coefficients[:, 0, :1],
                     found.coefficients[:, 0, 1:])  # fmt: skip
    listed = {(*map(int, (np.sign(s) * x).ravel()),)
              for x, s in zip(found.coefficients, signs, strict=True)}  # fmt: skip
    assert len(listed) == len(found.coefficients)
    trial = MATRICES[(DETERMINANT > 0) & (most >= DETERMINANT)]
    lead = np.where(trial[:, 0, 0] != 0, trial[:, 0, 0], trial[:, 0, 1])
    trial = trial[lead > 0]
    needed = set()
    for strain in strains(limit):
        vectors = trial @ net.flat @ strain
        u, v = vectors[:, 0], vectors[:, 1]
        uu, vv, uv = ((p * q).sum(axis=1) for p, q in ((u, u), (v, v), (u, v)))
        needed |= {(*map(int, x.ravel()),) for x in
                   trial[(uu < vv * (1 - 1e-9)) & (np.abs(uv) < uu / 2 * (1 - 1e-9))]}  # fmt: skip
    assert needed <= listed
    assert len(listed) < 1.35 * len(needed) + 8


def images(
    m: IntArray, n: IntArray, nets: tuple[PlaneNet, PlaneNet], turns: tuple[int, ...]
) -> set[tuple[int, ...]]:
    """The lattice that [m | n] spans in both nets, and its images under operations of both."""
    return {
        hermite(np.hstack([m @ p, turn * n @ q]))
        for p, a in zip(nets[0].symmetries, nets[0].handed, strict=True)
        for q, b in zip(nets[1].symmetries, nets[1].handed, strict=True)
        for turn in turns
        if a == b
    }


def whole(m: IntArray, n: IntArray) -> bool:
    """No lattice vector of both crystals lies within the cell: it is primitive."""
    rows = np.hstack([m, n])
    return not any(
        (((i * rows[0] + j * rows[1]) % p) == 0).all()
        for p in (2, 3, 5)
        for i, j in product(range(p), repeat=2)
        if i or j
    )


def by_hand(nets: tuple[PlaneNet, PlaneNet], most: int, limit: float) -> set[tuple[int, ...]]:
    found = set()
    second = MATRICES[(DETERMINANT > 0) & (most >= DETERMINANT)]
    for index in range(1, most + 1):
        for m in plainly_reduced(nets[0].flat, index):
            deformation = np.linalg.solve(m @ nets[0].flat, second @ nets[1].flat)
            s = np.linalg.svd(deformation, compute_uv=False)
            good = np.abs(s - 1).max(axis=1) <= limit
            for n in second[good]:
                if whole(m, n):
                    found.add(min(images(m, n, nets, (1, -1))))
    return found


def found_by_code(nets: tuple[PlaneNet, PlaneNet], most: int, limit: float) -> CoincidenceCells:
    first = reduced_supercells(nets[0], most * nets[0].area * (1 + 1e-12))
    second = strained_supercells(nets[1], most * nets[1].area * (1 + 1e-12), limit)
    return coincidence_cells(nets, (first, second), limit)


@pytest.mark.parametrize(
    ("first", "second", "limit"),
    [
        ("square", "square", 0.01),
        ("square", "rectangle", 0.09),
        ("hexagon", "square", 0.12),
        ("hexagon", "hexagon", 0.03),
        ("rectangle", "oblique", 0.08),
        ("oblique", "square", 0.11),
        ("oblique", "oblique", 0.02),
    ],
)
def test_coincidence_cells_are_those_of_brute_force(first: str, second: str, limit: float) -> None:
    nets, most = (NETS[first], NETS[second]), 3
    found = found_by_code(nets, most, limit)
    orbits = [
        min(images(m, n, nets, (1, -1))) for m, n in zip(found.first, found.second, strict=True)
    ]
    assert len(set(orbits)) == len(orbits)
    assert set(orbits) == by_hand(nets, most, limit)
    np.testing.assert_allclose(
        found.first @ nets[0].flat @ found.deformation, found.second @ nets[1].flat, atol=1e-12
    )
    for m, n, other in zip(found.first, found.second, found.turned, strict=True):
        assert other == (hermite(np.hstack([m, -n])) not in images(m, n, nets, (1,)))
    assert (np.linalg.det(found.first) > 0).all()
    assert (np.linalg.det(found.second) > 0).all()


def test_nothing_fits_where_nothing_is() -> None:
    small = net_of(cell(3.0, 3.0, 90))
    none = reduced_supercells(small, 0.5 * small.area)
    assert len(none.coefficients) == 0
    found = coincidence_cells((small, small), (none, strained_supercells(small, 20.0, 0.05)), 0.05)
    assert len(found.first) == len(found.second) == len(found.turned) == 0


@settings(max_examples=20)
@given(st.integers(0, 2**31))
def test_of_equal_cells_the_plainest_comes_first(seed: int) -> None:
    """Fewest minus signs, the first crystal's vectors starting positive, either sense of n."""
    rng = np.random.default_rng(seed)
    m, n = rng.integers(-2, 3, (2, 12, 2, 2))
    m[:, :, 0] += m[:, :, 0] == 0

    def key(k: int) -> tuple[object, ...]:
        rows, below, above, first = [], 0, 0, 0
        for a, b in zip(m[k].tolist(), n[k].tolist(), strict=True):
            sign = next(x for x in a if x) // abs(next(x for x in a if x))
            rows += [*(sign * x for x in a), 0, *(sign * x for x in b), 0, *a, *b]
            first += sum(sign * x < 0 for x in a)
            below += sum(sign * x < 0 for x in b)
            above += sum(sign * x > 0 for x in b)
        return first + min(below, above), rows

    order = _plainest(m, n, (SQUARE, SQUARE))
    assert [key(k) for k in order] == sorted(key(k) for k in range(12))


DEFORMATIONS = arrays(float, (3, 2, 2), elements=st.floats(-0.3, 0.3)).map(lambda x: x + np.eye(2))


@settings(max_examples=25)
@given(DEFORMATIONS, st.floats(0, 6.3), st.floats(0, 6.3))
def test_stretches_do_not_depend_on_axes_nor_on_which_comes_first(
    g: FloatArray, one: float, two: float
) -> None:
    p, q = (np.array([[np.cos(t), np.sin(t)], [-np.sin(t), np.cos(t)]]) for t in (one, two))
    low, high = stretches(p @ g @ q)
    singular = np.linalg.svd(g, compute_uv=False)
    np.testing.assert_allclose(np.column_stack([high, low]), singular, atol=1e-12)
    other = stretches(np.linalg.inv(g))
    np.testing.assert_allclose(np.column_stack([1 / other[0], 1 / other[1]]), singular)


@settings(max_examples=25)
@given(DEFORMATIONS)
def test_polar_parts_are_those_of_scipy(g: FloatArray) -> None:
    stretch, rotation = polar(g)
    for k in range(len(g)):
        r, u = scipy_polar(g[k], side="left")
        np.testing.assert_allclose(stretch[k], u, atol=1e-12)
        np.testing.assert_allclose(rotation[k], r, atol=1e-12)
