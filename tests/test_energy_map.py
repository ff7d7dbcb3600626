"""Energies of two half crystals at every shift, and the registries of them, against direct sums."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from itertools import product

import numpy as np
import pytest
from conftest import load
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.spatial.distance import cdist
from scipy.special import erfc

import hetbuild as hb
from hetbuild.arrays import FloatArray, IntArray
from hetbuild.crystal.crystal import Crystal
from hetbuild.crystal.terminations import Termination
from hetbuild.errors import ImpossibleError, InputError
from hetbuild.matching.bicrystal import Side, Sites, bicrystal
from hetbuild.matching.energy_map import Pair, common_displacements, energy_maps
from hetbuild.matching.matches import Match
from hetbuild.matching.registry import (
    SAME,
    Minimum,
    Registries,
    _check_ions,
    _contacts,
    _distinct,
    _lowest_bound,
    _minima,
    _surrounded,
    _vertex,
    registries,
    scan,
    terminations_of,
)

COULOMB, RANGE, MADELUNG = 14.39964, 0.345, 1.74756
"""eV Å; Å, Born & Mayer; rock salt."""
RADIUS = {82: 1.19, 16: 1.84, 34: 1.98, 17: 1.81, 55: 1.67}
"""Å, of Shannon, by atomic number."""
SETS = (
    ("PbS", "PbSe", ((1, 0, 0), (1, 0, 0)), 0.035, 40.0),
    ("PbS", "PbSe", ((1, 1, 1), (1, 1, 1)), 0.035, 40.0),
    ("CsPbCl3", "PbS", ((1, 0, 0), (1, 0, 0)), 0.1, 80.0),
)


@cache
def matched(k: int) -> tuple[Match, tuple[Crystal, Crystal], tuple[Side, Side]]:
    first, second, planes, strain, area = SETS[k]
    crystals = load(first), load(second)
    found = hb.match(*crystals, planes=planes, max_strain=strain, max_area=area)[0]
    return found, crystals, bicrystal(found, crystals)


@cache
def faces(k: int) -> tuple[tuple[Termination, ...], tuple[Termination, ...]]:
    found, crystals, _ = matched(k)
    return terminations_of(found, crystals)


def ions(side: Side, level: float, up: bool, wide: float, deep: float) -> tuple[FloatArray, ...]:
    """Positions about the normal, plane of the cut at zero; elements and charges of the ions."""
    reach = int(np.ceil((wide + deep) / np.linalg.norm(side.crystal.vectors, axis=1).min())) + 1
    cells = np.stack(np.indices(3 * (2 * reach + 1,)), axis=-1).reshape(-1, 3) - reach
    datum = side.crystal.fractional[side.crystal.datum(None)]
    x = (cells[:, None] + side.crystal.fractional - datum).reshape(-1, 3) @ side.frame
    x[:, 2] -= level
    depth = x[:, 2] if up else -x[:, 2]
    kept = (depth > -1e-4) & (depth < deep) & (np.linalg.norm(x[:, :2], axis=1) < wide)
    return x[kept], *(
        np.tile(a, len(cells))[kept] for a in (side.crystal.numbers, side.crystal.charges)
    )


def halves(k: int, pair: Pair, wide: float, deep: float) -> list[tuple[FloatArray, ...]]:
    _, _, sides = matched(k)
    return [
        ions(s, t.index * s.repeat, up, wide, deep)
        for s, t, up in zip(sides, pair, (True, False), strict=True)
    ]


def within_one_cell(x: FloatArray, net: FloatArray) -> FloatArray:
    """Which points lie in the cell of a net: one of each."""
    cells = x[:, :2] @ np.linalg.inv(net) + 1e-6
    return (np.floor(cells) == 0).all(axis=1)


def repulsion(z: IntArray, q: IntArray, y: IntArray, c: IntArray, r: FloatArray) -> FloatArray:
    """Born-Mayer, so strong that rock salt, with six neighbours, is at rest where radii touch."""
    contact = np.array([RADIUS[int(i)] for i in z])[:, None] + [RADIUS[int(i)] for i in y]
    strength = MADELUNG / 6 * RANGE * COULOMB * np.abs(np.multiply.outer(q, c)) / contact**2
    return strength * np.exp((contact - r) / RANGE)


def waves_of_layers(k: int, pair: Pair, shift: FloatArray, gap: float) -> float:
    """Coulomb but for the mean, eV/Å²: exp(-G z)/G of every two ions, where all nets are one."""
    _, _, sides = matched(k)
    net = sides[0].flat(sides[0].net)
    (x, _, q), (y, _, c) = (
        tuple(a[within_one_cell(half[0], net)] for a in half)
        for half in halves(k, pair, 20.0, 30.0)
    )
    apart = x[:, None] - (y + np.array([*shift, -gap]))
    index = np.array([i for i in product(range(-9, 10), repeat=2) if any(i)])
    g = 2 * np.pi * index @ np.linalg.inv(net).T
    length = np.linalg.norm(g, axis=1)
    terms = np.cos(apart[..., :2] @ g.T) * np.exp(-apart[..., 2:] * length) / length
    area = abs(np.linalg.det(net))
    return 2 * np.pi * COULOMB * float(q @ terms.sum(axis=2) @ c) / area**2


def direct(k: int, pair: Pair, shift: FloatArray, gap: float) -> tuple[float, float]:
    """Coulomb and repulsion, eV/Å²: a cell of the upper half over a wide smooth-edged lower one."""
    _, _, sides = matched(k)
    (x, z, q), (y, w, c) = halves(k, pair, 44.0, 14.0)
    one = within_one_cell(x, sides[0].flat(sides[0].cell))
    x, z, q = x[one], z[one], q[one]
    edge = erfc((np.linalg.norm(y[:, :2], axis=1) - 30.0) / 4.0) / 2
    r = cdist(x, y + np.array([*shift, -gap]))
    area = abs(np.linalg.det(sides[0].flat(sides[0].cell)))
    coulomb = COULOMB * float(q @ (1 / r) @ (c * edge)) / area
    return coulomb, float(repulsion(z, q, w, c, r).sum()) / area


@pytest.mark.parametrize(("k", "which"), [(0, 0), (2, 0), (2, 1)])
def test_neutral_layers_against_a_direct_sum(k: int, which: int) -> None:
    pair = (faces(k)[0][which], faces(k)[1][0])
    gaps = np.array([2.3, 3.1])
    maps = energy_maps(matched(k)[2], pair, gaps)
    n, m = maps.shape[1:]
    cell = common_displacements(matched(k)[2])
    for g, i, j in ((0, 0, 0), (0, n // 3, m // 5), (1, n // 2, 1), (1, 2, m // 2)):
        expected = sum(direct(k, pair, np.array([i / n, j / m]) @ cell, float(gaps[g])))
        assert maps[g, i, j] == pytest.approx(expected, abs=2e-4 * np.ptp(maps[g]))


def _ring(r: float, kinds: list[IntArray]) -> float:
    """Repulsion by the ions of a ring about an ion, per Å of the distance r to them, eV Å."""
    return 2 * np.pi * r * float(repulsion(*kinds, np.array([[r]]))[0, 0])


def test_charged_layers_against_a_direct_sum() -> None:
    """Differences over shifts are those of the sum; the mean is that of two sheets of charge."""
    sides, gaps = matched(1)[2], np.array([2.0, 3.5])
    cell = common_displacements(sides)
    area = abs(np.linalg.det(sides[0].flat(sides[0].net)))
    for pair in product(*faces(1)):
        maps = energy_maps(sides, pair, gaps)
        n, m = maps.shape[1:]
        at = [(0, 0), (n // 3, m // 5), (n // 2, 1)]
        sums = []
        for i, j in at:
            shift = np.array([i / n, j / m]) @ cell
            sums.append(waves_of_layers(1, pair, shift, 2.0) + direct(1, pair, shift, 2.0)[1])
        found = np.array([maps[0, i, j] for i, j in at])
        np.testing.assert_allclose(
            found - found[0], np.array(sums) - sums[0], atol=3e-4 * np.ptp(maps[0])
        )
        (x, z, q), (y, w, c) = halves(1, pair, 20.0, 14.0)
        rest = []
        for gap in gaps:
            one, two = (
                within_one_cell(p, s.flat(s.net)) for p, s in zip((x, y), sides, strict=True)
            )
            total = 0.0
            for (zi, qi, xi), (wj, cj, yj) in product(
                zip(z[one], q[one], x[one], strict=True), zip(w[two], c[two], y[two], strict=True)
            ):
                height = xi[2] - yj[2] + gap
                if height < 8.0:
                    kinds = [np.array([v]) for v in (zi, qi, wj, cj)]
                    total += quad(_ring, height, height + 12.0, args=(kinds,))[0]
            rest.append(total / area**2)
        # Layers of 2 e half a repeat apart leave 1 e at each face: half of the outermost layer's.
        faced = [float(np.sign(t.charge)) / area for t in pair]
        sheets = -2 * np.pi * COULOMB * faced[0] * faced[1] * (gaps - 6.0)
        np.testing.assert_allclose(maps.mean(axis=(1, 2)) - rest, sheets, rtol=1e-4)


@pytest.mark.parametrize("k", range(3))
def test_shifts_by_either_net_change_nothing(k: int) -> None:
    """The cell of distinct shifts is the lattice of sums of both nets, no finer, no coarser."""
    _, _, sides = matched(k)
    cell = common_displacements(sides)
    nets = np.vstack([s.flat(s.net) for s in sides])
    whole = nets @ np.linalg.inv(cell)
    np.testing.assert_allclose(whole, np.rint(whole), atol=1e-9)
    steps = np.array(list(product(range(-4, 5), repeat=4)))
    sums = np.rint(steps @ whole).astype(int)
    for unit in ([1, 0], [0, 1]):
        assert (sums == unit).all(axis=1).any()
    assert np.linalg.det(cell) > 0
    a, b = cell
    assert a @ a <= b @ b + 1e-9
    assert abs(a @ b) <= a @ a / 2 + 1e-9


@settings(max_examples=20)
@given(
    st.floats(-0.45, 0.45), st.floats(-0.45, 0.45), st.floats(0.3, 2), st.floats(0.3, 2),
    st.floats(-0.25, 0.25), st.integers(0, 8), st.integers(0, 10),
)  # fmt: skip
def test_a_paraboloid_is_lowest_at_its_vertex(
    x: float, y: float, a: float, b: float, c: float, i: int, j: int
) -> None:
    """Wherever it lies on the grid, which goes on beyond its edges."""
    n, m = 9, 11
    u, v = (np.mod(np.arange(k)[:, None] - p + k // 2, k) - k // 2 for k, p in ((n, i), (m, j)))
    u, v = u - x, v.T - y
    energy = a * u**2 + b * v**2 + c * u * v - 3.0
    step, lowest = _vertex(energy, (i, j))
    np.testing.assert_allclose(step, [x, y], atol=1e-9)
    assert lowest == pytest.approx(-3.0)


def test_a_valley_is_lowest_at_any_point_of_it() -> None:
    energy = np.tile(np.array([0.0, 1, 4, 4, 1])[:, None], 6)
    step, lowest = _vertex(energy, (0, 3))
    assert step.tolist() == [0.0, 0.0]
    assert lowest == 0.0
    far = np.array([[0.3, 1, 1, 0.0], [1, 1, 1, 1], [0.3, 1, 1, 0.2]])
    assert np.abs(_vertex(far, (0, 0))[0]).max() <= 0.5


@given(st.integers(0, 2**31))
@settings(max_examples=15)
def test_minima_are_no_higher_than_all_around(seed: int) -> None:
    energy = np.random.default_rng(seed).integers(0, 9, (5, 6)).astype(float)
    expected = [
        (i, j)
        for i in range(5)
        for j in range(6)
        if all(
            energy[i, j] <= energy[(i + di) % 5, (j + dj) % 6]
            for di, dj in product((-1, 0, 1), repeat=2)
        )
    ]
    assert _minima(energy) == expected


def minimum(energy: float, *, bound: bool = True, x: float = 0.0) -> Minimum:
    return Minimum((x, 0.0), 2.0, energy, bound, ())


def test_equal_minima_count_once_bound_ones_first() -> None:
    scale = np.array([[0.0, 10.0]])
    given = (
        minimum(-1.0, x=0.7), minimum(-3.0, bound=False), minimum(-2.0), minimum(-1.0, x=0.2),
        minimum(-2.0 + 8 * SAME), minimum(-2.0 + 12 * SAME), minimum(-1.0, bound=False),
    )  # fmt: skip
    found = _distinct(given, scale)
    assert [(m.energy, m.bound) for m in found] == [
        (-2.0, True), (-2.0 + 12 * SAME, True), (-1.0, True), (-3.0, False), (-1.0, False),
    ]  # fmt: skip
    assert found[2].shift == (0.2, 0.0)


@cache
def registry(k: int, i: int, j: int) -> Registries:
    found, crystals, _ = matched(k)
    return registries(found, crystals, (faces(k)[0][i], faces(k)[1][j]))


def test_registries_are_the_lowest_of_the_maps() -> None:
    """At the best gap of each shift; minima refined between points of the grid."""
    found = registry(2, 0, 0)
    gaps = np.arange(117) * 0.05 + 0.2
    sides = matched(2)[2]
    maps = energy_maps(sides, found.terminations, gaps)
    np.testing.assert_allclose(found.energy, maps.min(axis=0), atol=1e-12)
    np.testing.assert_allclose(found.gap, gaps[maps.argmin(axis=0)])
    spacing = np.linalg.norm(found.cell, axis=1) / found.energy.shape
    assert (spacing <= 0.1 + 1e-9).all()
    assert found.minima[0].energy == pytest.approx(found.energy.min(), abs=2e-4)
    assert found.minima[0].energy <= found.energy.min() + 1e-9
    energies = [m.energy for m in found.minima if m.bound]
    assert energies == sorted(energies)
    n, m = found.energy.shape
    for place in found.minima:
        fraction = np.array(place.shift) @ np.linalg.inv(found.cell)
        assert (np.abs(fraction) <= 0.5 + 1e-9).all()
        i, j = (int(np.rint(f * s)) % s for f, s in zip(fraction, (n, m), strict=True))
        assert found.energy[i, j] == pytest.approx(place.energy, abs=2e-3 * np.ptp(found.energy))
        assert place.bound == (0.2 + 1e-6 < place.gap < 6.0 - 1e-6)


@pytest.mark.parametrize(("k", "i", "j"), [(0, 0, 0), (1, 0, 1), (1, 1, 0), (2, 1, 0)])
def test_closest_contacts_across_the_gap(k: int, i: int, j: int) -> None:
    """Of all pairs of ions over and under the cut, whichever layers end there."""
    pair = (faces(k)[0][i], faces(k)[1][j])
    shift, gap = np.array([0.31, -0.72]), 2.2
    (x, _, q), (y, _, c) = halves(k, pair, 26.0, 6.0)
    r = cdist(x, y + np.array([*shift, -gap]))
    r[np.linalg.norm(x[:, :2], axis=1) > 15.0] = np.inf
    kinds = {
        "anion-anion": np.multiply.outer(q < 0, c < 0),
        "cation-cation": np.multiply.outer(q > 0, c > 0),
        "cation-anion": np.multiply.outer(q, c) < 0,
    }
    contacts = _contacts(matched(k)[2], pair, shift, gap)
    assert {c.kind for c in contacts} == set(kinds)
    for contact in contacts:
        assert contact.distance == pytest.approx(r[kinds[contact.kind]].min(), abs=1e-6)


def test_a_crystal_of_ions_and_neutral_atoms_has_an_energy() -> None:
    """A crystal without any ion has none."""
    first, second = load("CsPbCl3"), load("PbS")
    some = replace(first, charges=np.where(first.numbers == 55, 0, first.charges))
    none = replace(first, charges=0 * first.charges)
    _check_ions((some, second))
    for crystals in ((none, second), (second, none)):
        with pytest.raises(ImpossibleError, match="CsPbCl3 has no formal charges"):
            _check_ions(crystals)


@settings(max_examples=20)
@given(
    st.floats(3, 9), st.floats(3, 14), st.floats(40, 140), st.floats(2, 7), st.integers(0, 2**31)
)
def test_every_ion_within_reach_is_there(
    a: float, b: float, angle: float, reach: float, seed: int
) -> None:
    turn = np.radians(angle)
    cell = np.array([[a, 0.0], [b * np.cos(turn), b * np.sin(turn)]])
    rng = np.random.default_rng(seed)
    upper = np.column_stack([rng.uniform(-1, 1, (3, 2)) @ cell, [0.0, 1, 2]])
    lower = np.column_stack([rng.uniform(-2, 2, (4, 2)) @ cell, [0.0, -1, -2, 0]])
    charges = np.array([1, -2, 3])
    found, q = _surrounded(upper, Sites(upper, charges, charges), cell, lower, reach)
    steps = np.array(list(product(range(-30, 31), repeat=2))) @ cell
    every = (np.column_stack([steps, np.zeros(len(steps))])[:, None] + upper).reshape(-1, 3)
    near = every[cdist(every[:, :2], lower[:, :2]).min(axis=1) <= reach]
    # A short reach in a wide cell may meet no ion at all: all of none are there.
    assert (cdist(near, found) < 1e-9).any(axis=1).all()
    for k, charge in enumerate(charges):
        heights = found[q == charge][:, 2]
        np.testing.assert_allclose(heights, upper[k, 2])


def test_the_pair_of_faces_is_the_lowest_or_the_one_chosen() -> None:
    found, crystals, _ = matched(2)
    both, best = scan(found, crystals)
    each = {pair: registry(2, *pair) for pair in product(range(len(both[0])), range(len(both[1])))}
    lowest = min(each.values(), key=lambda r: r.minima[0].energy)
    assert len(each) == 2
    assert best.terminations == lowest.terminations
    assert best.minima[0].energy == pytest.approx(lowest.minima[0].energy)
    for pair, expected in each.items():
        listed, chosen = scan(found, crystals, pair)
        assert listed == both
        assert chosen.terminations == (both[0][pair[0]], both[1][pair[1]])
        np.testing.assert_array_equal(chosen.energy, expected.energy)
    for wrong in ((2, 0), (-1, 0), (0, 1)):
        with pytest.raises(InputError, match="has terminations 1 to "):
            scan(found, crystals, wrong)
    order = [
        _lowest_bound((r.terminations, replace(r, minima=(m,))))
        for r in each.values()
        for m in (minimum(-5.0, bound=False), minimum(9.0))
    ]
    assert min(order) == (False, 9.0)
