"""How two crystals lie on each other: the registries of lowest ionic energy.

`energy_map` has the energy over lateral shift and gap; its minima, refined off the grid, are the
registries, given with their closest contacts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hetbuild.arrays import FloatArray, IntArray
from hetbuild.crystal.crystal import Crystal
from hetbuild.crystal.terminations import Termination, terminations
from hetbuild.errors import ImpossibleError, InputError
from hetbuild.geometry.contacts import Contact, closest_contacts
from hetbuild.matching.bicrystal import Side, Sites, bicrystal
from hetbuild.matching.energy_map import GAPS, Pair, common_displacements, energy_maps
from hetbuild.matching.matches import Match
from hetbuild.rounding import NOTHING

CONTACTS = 6.0
"""Å up to which contacts across an interface are looked for."""

SAME = 2e-4
"""Minima whose energies differ by less than this fraction of the energy range of the map count as
one: they are equivalent by symmetry."""


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


def _check_ions(crystals: tuple[Crystal, Crystal]) -> None:
    for crystal in crystals:
        if not crystal.charges.any():
            raise ImpossibleError(
                f"{crystal.name} has no formal charges, so there is no ionic energy to scan, and "
                "no recipe to make of it."
            )


def _minima(energy: FloatArray) -> list[tuple[int, int]]:
    """Grid points no higher than their eight neighbours."""
    around = [
        np.roll(energy, (i, j), axis=(0, 1)) for i in (-1, 0, 1) for j in (-1, 0, 1) if i or j
    ]
    low = np.argwhere(energy <= np.min(around, axis=0) + 1e-12).tolist()
    return [(i, j) for i, j in low]


def _distinct(minima: tuple[Minimum, ...], energy: FloatArray) -> tuple[Minimum, ...]:
    """One of each energy, bound and lowest first: symmetry repeats a minimum."""
    same = SAME * float(np.ptp(energy)) + NOTHING
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
    if np.linalg.eigvalsh(curvature)[0] < NOTHING:
        return np.zeros(2), float(energy[place])  # a valley: any point of it will do
    step = np.clip(-np.linalg.solve(curvature, [b1, b2]), -0.5, 0.5)
    return step, float(c + 0.5 * step @ [b1, b2])


def _contacts(
    sides: tuple[Side, Side],
    pair: Pair,
    shift: FloatArray,
    gap: float,
    reach: float = CONTACTS,
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
