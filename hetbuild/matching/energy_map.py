"""Energy between two half crystals at every lateral shift, by one Fourier transform for each gap.

Both crystals fill their half-space to a flat cut through a lattice plane and stay rigid. The
energy between them is the Coulomb energy of formal charges plus a Born-Mayer repulsion between
Shannon radii (doi 10.1107/S0567739476001551). A lateral shift only changes the Fourier components
that both crystals have, those of their displacement-shift-complete lattice, so all shifts come
from one Fourier transform per gap, and the sum over depth is a geometric series. The mean Coulomb
term (G = 0) is that of two sheets with the polarisation charges of the faces, zero at a gap of 6 Å:
polar faces stand uncompensated here.
"""

from __future__ import annotations

import numpy as np

from hetbuild.arrays import BoolArray, ComplexArray, FloatArray, IntArray
from hetbuild.crystal.lattice import gauss_reduced
from hetbuild.crystal.terminations import Termination
from hetbuild.geometry.electrostatics import COULOMB, SOFTNESS, radii
from hetbuild.matching.bicrystal import Side

GRID = 0.1
"""Å between points of the map."""


GAPS = (0.2, 6.0, 0.05)
"""First, last and step of the gaps that are tried, Å: distance of the outermost planes."""


NEIGHBOUR = 1.74756 / 6
"""Madelung constant of rock salt divided by its six neighbours: repulsion of an ion pair is scaled
by it, so that a rock-salt crystal, not a single pair, has its minimum where the radii touch."""


NEXT = 1e-3
"""Å short of a repeat of layers, so that the first layer of the next is not counted in this one."""

DEPTH = 14.0
"""Å below the cut to which ions repel: exp(-14/0.345) is nothing."""


Pair = tuple[Termination, Termination]


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
        reach = repeats * side.repeat - NEXT
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
        self.first = self.depth < side.repeat - NEXT
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
