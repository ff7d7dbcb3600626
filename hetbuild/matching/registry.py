"""How two crystals lie on each other: ionic energy over lateral shift and gap.

Both crystals fill their half-space to a flat cut through a lattice plane and stay rigid. The
energy between them is the Coulomb energy of formal charges plus a Born-Mayer repulsion between
Shannon radii (doi 10.1107/S0567739476001551). A lateral shift only changes the Fourier components
that both crystals have, those of their displacement-shift-complete lattice, so all shifts come
from one Fourier transform per gap, and the sum over depth is a geometric series. The mean Coulomb
term (G = 0) is that of two sheets with the polarisation charges of the faces, zero at a gap of 6 Å:
polar faces stand uncompensated here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hetbuild.arrays import BoolArray, ComplexArray, FloatArray, IntArray
from hetbuild.crystal.crystal import Crystal
from hetbuild.crystal.lattice import gauss_reduced
from hetbuild.crystal.terminations import Termination, terminations
from hetbuild.errors import ImpossibleError, InputError
from hetbuild.geometry.contacts import Contact, closest_contacts
from hetbuild.geometry.electrostatics import COULOMB, SOFTNESS, radii
from hetbuild.matching.bicrystal import Side, Sites, bicrystal
from hetbuild.matching.search import Match

GRID = 0.1
"""Å between points of the map."""

GAPS = (0.2, 6.0, 0.05)
"""First, last and step of the gaps that are tried, Å: distance of the outermost planes."""

NEIGHBOUR = 1.74756 / 6
"""Madelung constant of rock salt by its neighbours: with a repulsion this much weaker than that of
a single pair, a rock-salt crystal of two ions has its minimum where they touch."""

DEPTH = 14.0
"""Å below the cut to which ions repel: exp(-14/0.345) is nothing."""

SAME = 2e-4
"""Of the range of the map: minima whose energies differ by less are images of each other."""

Pair = tuple[Termination, Termination]


@dataclass(frozen=True, slots=True)
class Minimum:
    """A registry of lowest energy among its neighbours."""

    shift: tuple[float, float]
    """Of the second crystal from datum sites above each other, along and across, Å."""
    gap: float
    """Between the outermost planes, Å."""
    energy: float
    """eV per Å² of interface, at the best gap."""
    bound: bool
    """False: the energy still falls at the end of the gaps tried, which `gap` then is."""
    contacts: tuple[Contact, ...]
    """Closest ones across the interface."""

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "shift": self.shift,
            "gap": self.gap,
            "energy": self.energy,
            "bound": self.bound,
            "contacts": {c.kind: c.distance for c in self.contacts},
        }


@dataclass(frozen=True, eq=False)
class Registries:
    """The map of one pair of terminations."""

    terminations: Pair
    cell: FloatArray
    """Displacement-shift-complete cell: shifts by its vectors change nothing; rows, Å, (2, 2)."""
    energy: FloatArray
    """At the best gap of each shift, on a grid over the cell, eV/Å², shape (n, m)."""
    gap: FloatArray
    """That gap, Å, shape (n, m)."""
    minima: tuple[Minimum, ...]
    """Distinct ones, lowest first."""


def terminations_of(
    match: Match, crystals: tuple[Crystal, Crystal]
) -> tuple[tuple[Termination, ...], tuple[Termination, ...]]:
    """All terminations of both crystals that face each other: the first lies above."""
    first, second = (
        terminations(crystal, match.planes[i].lattice, upward=i == 1)
        for i, crystal in enumerate(crystals)
    )
    return first, second


def scan(
    match: Match, crystals: tuple[Crystal, Crystal], chosen: tuple[int, int] | None = None
) -> tuple[tuple[tuple[Termination, ...], tuple[Termination, ...]], Registries]:
    """All terminations, and the registries of the chosen pair or of that of lowest energy.

    chosen: numbers from 0. Left out: of the terminations without a dipole, or of all of a side
    where every one has a dipole, the pair of lowest energy.

    Raises
    ------
    InputError
        No termination of that number.
    ImpossibleError
        A crystal without ions.
    """
    both = terminations_of(match, crystals)
    if chosen is None:
        pair, found = _lowest(match, crystals, both)
    else:
        pair = (
            _numbered(both[0], chosen[0], crystals[0]),
            _numbered(both[1], chosen[1], crystals[1]),
        )
        found = registries(match, crystals, pair)
    return both, found


def _numbered(all_of: Sequence[Termination], number: int, crystal: Crystal) -> Termination:
    if not 0 <= number < len(all_of):
        raise InputError(f"{crystal.name} has terminations 1 to {len(all_of)}; given {number + 1}.")
    return all_of[number]


def _lowest(
    match: Match,
    crystals: tuple[Crystal, Crystal],
    both: tuple[Sequence[Termination], Sequence[Termination]],
) -> tuple[Pair, Registries]:
    first, second = ([t for t in side if not t.polar] or side for side in both)
    scans = [((p, q), registries(match, crystals, (p, q))) for p in first for q in second]
    # Faces that repel are only taken where all do.
    return min(scans, key=_lowest_bound)


def _lowest_bound(scan: tuple[Pair, Registries]) -> tuple[bool, float]:
    best = scan[1].minima[0]
    return not best.bound, round(best.energy, 9)


def registries(
    match: Match,
    crystals: tuple[Crystal, Crystal],
    pair: Pair,
    *,
    most: int = 5,
) -> Registries:
    """Energy over lateral shift and gap, and the lowest distinct minima.

    The first crystal lies above the cut, the second, strained to the first, below it.

    Raises
    ------
    ImpossibleError
        A crystal without ions: there is no ionic energy.
    InputError
        An element without a tabulated radius.
    """
    _check_ions(crystals)
    sides = bicrystal(match, crystals)
    first, last, step = GAPS
    gaps = np.linspace(first, last, round((last - first) / step) + 1)
    maps = energy_maps(sides, pair, gaps)
    cell = common_displacements(sides)
    best = maps.argmin(axis=0)
    energy = np.take_along_axis(maps, best[None], axis=0)[0]
    minima = tuple(
        _minimum(sides, pair, cell, energy, best, gaps, place) for place in _minima(energy)
    )
    return Registries(pair, cell, energy, gaps[best], _distinct(minima, energy)[:most])


def energy_maps(sides: tuple[Side, Side], pair: Pair, gaps: FloatArray) -> FloatArray:
    """Energy between both halves at every shift of a grid over `common_displacements`, eV/Å².

    gaps: Å, shape (g,). Returns shape (g, n, m); the point (i, j) is the shift of the second
    crystal by i/n and j/m of the cell's vectors from datum sites above each other.
    """
    cell = common_displacements(sides)
    shape = _shape(cell)
    waves = _waves(cell, shape)
    upper, lower = (_Half(s, t, up) for s, t, up in zip(sides, pair, (True, False), strict=True))
    coulomb = _coulomb(upper, lower, waves)
    repulsion = _Repulsion(upper, lower, waves)
    length = np.linalg.norm(waves, axis=2)
    sheets = 2 * np.pi * COULOMB * upper.polarisation * lower.polarisation
    maps = np.empty((len(gaps), *shape))
    for k, gap in enumerate(gaps.tolist()):
        maps[k] = _map(coulomb * np.exp(-length * gap) + repulsion.at(gap))
        maps[k] += sheets * (GAPS[1] - gap)
    return maps


def _check_ions(crystals: tuple[Crystal, Crystal]) -> None:
    for crystal in crystals:
        if not crystal.charges.any():
            raise ImpossibleError(
                f"{crystal.name} has no formal charges, so there is no ionic energy to scan, and "
                "no recipe to make of it."
            )


def common_displacements(sides: tuple[Side, Side]) -> FloatArray:
    """Reduced basis of the lattice that both surface nets generate; rows, Å, shape (2, 2)."""
    first, second = (s.flat(s.net) for s in sides)
    cell = sides[0].flat(sides[0].cell)
    # In units of the cell the net vectors are multiples of one over its size in either net.
    sizes = [round(abs(float(np.linalg.det(cell) / np.linalg.det(n)))) for n in (first, second)]
    scale = sizes[0] * sizes[1]
    rows = np.rint(np.vstack([first, second]) @ np.linalg.inv(cell) * scale).astype(np.int64)
    a, b = gauss_reduced(_hermite(rows) / scale, cell)
    found = np.array([a, b]) @ cell
    return found if np.linalg.det(found) > 0 else found * [[1.0], [-1.0]]


def _hermite(rows: IntArray) -> IntArray:
    """Basis (p, q), (0, r) of the integer combinations of rows, shape (2, 2)."""
    work = [[int(x) for x in row] for row in rows]
    basis = []
    for column in range(2):
        while sum(1 for r in work if r[column]) > 1:
            pivot = min((r for r in work if r[column]), key=lambda r: abs(r[column]))
            for r in work:
                if r is not pivot and r[column]:
                    factor = r[column] // pivot[column]
                    r[:] = [x - factor * y for x, y in zip(r, pivot, strict=True)]
        (found,) = (r for r in work if r[column])
        work.remove(found)
        basis.append(found)
    return np.array(basis)


def _shape(cell: FloatArray) -> tuple[int, int]:
    n, m = (max(8, int(np.ceil(np.linalg.norm(v) / GRID))) for v in cell)
    return n + n % 2, m + m % 2


def _waves(cell: FloatArray, shape: tuple[int, int]) -> FloatArray:
    """Wave vectors of the grid in the order of the Fourier transform, 1/Å, shape (n, m, 2)."""
    n, m = (np.fft.fftfreq(s, 1.0 / s) for s in shape)
    indices = np.stack(np.meshgrid(n, m, indexing="ij"), axis=-1)
    return np.asarray(2 * np.pi * indices @ np.linalg.inv(cell).T)


class _Half:
    """Ions of a half crystal, one layer repeat and the rest to DEPTH, depths from its cut."""

    def __init__(self, side: Side, termination: Termination, up: bool) -> None:
        level = termination.index * side.repeat
        repeats = int(np.ceil(DEPTH / side.repeat))
        reach = repeats * side.repeat - 1e-3
        found = (
            side.sites(level, level + reach, primitive=True)
            if up
            else side.sites(level - reach, level, primitive=True)
        )
        self.flat = found.positions[:, :2]
        self.depth = np.abs(found.positions[:, 2] - level)
        self.numbers, self.charges = found.numbers, found.charges
        self.area = abs(float(np.linalg.det(side.flat(side.net))))
        self.polarisation = termination.dipole / (self.area * side.repeat)
        self.first = self.depth < side.repeat - 1e-3
        self.repeat = side.repeat
        self.offset = _lean(side) * (1.0 if up else -1.0)

    def phases(self, chosen: BoolArray, waves: FloatArray) -> ComplexArray:
        """exp(-i G r) of ions, shape (k, n, m)."""
        return np.asarray(np.exp(-1j * np.einsum("ki,nmi->knm", self.flat[chosen], waves)))


def _lean(side: Side) -> FloatArray:
    """In-plane part of a lattice vector from one lattice plane to the next, Å, shape (2,)."""
    primitive = side.crystal.primitive
    heights = np.rint(primitive @ np.array(side.plane)).astype(np.int64)
    # Bezout: whole multiples of the primitive vectors that climb one plane.
    reach = np.arange(-int(np.abs(heights).max()) - 1, int(np.abs(heights).max()) + 2)
    grid = np.stack(np.meshgrid(reach, reach, reach, indexing="ij"), axis=-1).reshape(-1, 3)
    climbs = grid[grid @ heights == 1]
    shortest = climbs[np.argmin(np.abs(climbs).sum(axis=1))]
    return np.asarray((shortest @ primitive @ side.frame)[:2])


def _coulomb(upper: _Half, lower: _Half, waves: FloatArray) -> ComplexArray:
    """Amplitude of each wave for touching cuts, eV/Å², shape (n, m)."""
    length = np.linalg.norm(waves, axis=2)
    length[0, 0] = 1.0
    amplitude = (
        2 * np.pi * COULOMB / length * _density(upper, waves) * np.conj(_density(lower, waves))
    )
    amplitude[0, 0] = 0.0
    return np.asarray(amplitude)


def _density(half: _Half, waves: FloatArray) -> ComplexArray:
    """Charge per area, each repeat damped by its depth and summed to infinity, e/Å², (n, m)."""
    length = np.linalg.norm(waves, axis=2)
    length[0, 0] = 1.0
    first = half.first
    damped = np.exp(-half.depth[first][:, None, None] * length) * half.phases(first, waves)
    layer = np.einsum("k,knm->nm", half.charges[first].astype(float), damped) / half.area
    ratio = np.exp(-length * half.repeat - 1j * waves @ half.offset)
    return np.asarray(layer / (1.0 - ratio))


class _Repulsion:
    """Born-Mayer repulsion: A exp((R - r)/s) between ions, Fourier transformed in the plane."""

    def __init__(self, upper: _Half, lower: _Half, waves: FloatArray) -> None:
        self.decay = np.sqrt(1.0 / SOFTNESS**2 + (waves**2).sum(axis=2))
        plain = np.zeros(self.decay.shape, dtype=complex)
        deep = np.zeros_like(plain)
        sums = [self._sums(half, waves) for half in (upper, lower)]
        for (z, q), (p, p1) in sums[0].items():
            for (y, c), (r, r1) in sums[1].items():
                contact = float(radii(np.array([z]))[0] + radii(np.array([y]))[0])
                strength = NEIGHBOUR * SOFTNESS * COULOMB * abs(q * c) / contact**2
                strength *= np.exp(contact / SOFTNESS)
                plain += strength * p * np.conj(r)
                deep += strength * (p1 * np.conj(r) + p * np.conj(r1))
        scale = 2 * np.pi / SOFTNESS / self.decay**3
        self.plain, self.deep = scale * plain, scale * self.decay * deep

    def at(self, gap: float) -> ComplexArray:
        """Amplitudes at a gap in Å, eV/Å², shape (n, m)."""
        fading = np.exp(-self.decay * gap)
        return np.asarray(fading * ((1.0 + self.decay * gap) * self.plain + self.deep))

    def _sums(
        self, half: _Half, waves: FloatArray
    ) -> dict[tuple[int, int], tuple[ComplexArray, ComplexArray]]:
        """By species: sums over ions of exp(-k h - i G r), and of h times that, 1/Å² and 1/Å."""
        result = {}
        kinds = np.stack([half.numbers, half.charges], axis=1).astype(int)
        for z, q in np.unique(kinds, axis=0).tolist():
            chosen = np.asarray((kinds == (z, q)).all(axis=1))
            depth = half.depth[chosen][:, None, None]
            terms = np.exp(-depth * self.decay) * half.phases(chosen, waves) / half.area
            result[z, q] = (terms.sum(axis=0), (depth * terms).sum(axis=0))
        return result


def _map(amplitudes: ComplexArray) -> FloatArray:
    """Energy at every shift of the lower crystal, eV/Å².

    Shifted by s, the lower crystal's conjugated sums turn by exp(i G s).
    """
    return np.asarray((np.fft.ifft2(amplitudes) * amplitudes.size).real)


def _minima(energy: FloatArray) -> list[tuple[int, int]]:
    """Grid points no higher than their eight neighbours."""
    around = [
        np.roll(energy, (i, j), axis=(0, 1)) for i in (-1, 0, 1) for j in (-1, 0, 1) if i or j
    ]
    low = np.argwhere(energy <= np.min(around, axis=0) + 1e-12).tolist()
    return [(i, j) for i, j in low]


def _distinct(minima: tuple[Minimum, ...], energy: FloatArray) -> tuple[Minimum, ...]:
    """One of each energy, bound and lowest first: symmetry repeats a minimum."""
    same = SAME * float(np.ptp(energy)) + 1e-9
    found: list[Minimum] = []
    for m in sorted(minima, key=lambda m: (not m.bound, round(m.energy, 9), m.shift)):
        if all(abs(m.energy - f.energy) > same or m.bound != f.bound for f in found):
            found.append(m)
    return tuple(found)


def _minimum(
    sides: tuple[Side, Side],
    pair: Pair,
    cell: FloatArray,
    energy: FloatArray,
    best: IntArray,
    gaps: FloatArray,
    place: tuple[int, int],
) -> Minimum:
    """Off the grid by the parabola through the nine points around. best: index of each gap."""
    step, lowest = _vertex(energy, place)
    fraction = (np.array(place) + step) / energy.shape
    shift = (fraction - np.rint(fraction)) @ cell
    gap = float(gaps[best[place]])
    return Minimum(
        (float(shift[0]) + 0.0, float(shift[1]) + 0.0),
        gap,
        lowest,
        bool(0 < best[place] < len(gaps) - 1),
        _contacts(sides, pair, shift, gap),
    )


def _vertex(energy: FloatArray, place: tuple[int, int]) -> tuple[FloatArray, float]:
    """Where a paraboloid through a grid point and its neighbours is lowest, in grid steps."""
    around = np.array([(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1)])
    i, j = around.T
    values = energy[(place[0] + i) % energy.shape[0], (place[1] + j) % energy.shape[1]]
    design = np.stack([np.ones(9), i, j, i * i, i * j, j * j], axis=1).astype(float)
    c, b1, b2, a11, a12, a22 = np.linalg.lstsq(design, values, rcond=None)[0]
    curvature = np.array([[2 * a11, a12], [a12, 2 * a22]])
    if np.linalg.eigvalsh(curvature)[0] < 1e-9:
        return np.zeros(2), float(energy[place])  # a valley: any point of it will do
    step = np.clip(-np.linalg.solve(curvature, [b1, b2]), -0.5, 0.5)
    return step, float(c + 0.5 * step @ [b1, b2])


def _contacts(
    sides: tuple[Side, Side],
    pair: Pair,
    shift: FloatArray,
    gap: float,
    reach: float = 6.0,
) -> tuple[Contact, ...]:
    """Closest contacts across the interface, both crystals repeated over the cell."""
    levels = [t.index * s.repeat for s, t in zip(sides, pair, strict=True)]
    above = sides[0].sites(levels[0], levels[0] + reach)
    below = sides[1].sites(levels[1] - reach, levels[1])
    upper = above.positions - [0.0, 0.0, levels[0]]
    lower = below.positions - [0.0, 0.0, levels[1]] + [shift[0], shift[1], -gap]
    cell = sides[0].flat(sides[0].cell)
    images, charges = _surrounded(upper, above, cell, lower, reach)
    return closest_contacts(images, charges, lower, below.charges)


def _surrounded(
    upper: FloatArray, sites: Sites, cell: FloatArray, lower: FloatArray, reach: float
) -> tuple[FloatArray, IntArray]:
    """The upper ions over everything below them."""
    corners = lower[:, :2] @ np.linalg.inv(cell)
    pad = reach / np.abs(np.linalg.det(cell)) * np.linalg.norm(cell, axis=1)[::-1]
    axes = [
        np.arange(np.floor(low) - 1, np.ceil(high) + 1)
        for low, high in zip(corners.min(axis=0) - pad, corners.max(axis=0) + pad, strict=True)
    ]
    steps = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 2)
    shifts = np.hstack([steps @ cell, np.zeros((len(steps), 1))])
    return (shifts[:, None] + upper).reshape(-1, 3), np.tile(sites.charges, len(steps))
