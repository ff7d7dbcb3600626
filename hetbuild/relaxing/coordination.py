"""Anions around cations before and after a relaxation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from hetbuild.arrays import BoolArray, FloatArray, IntArray
from hetbuild.crystal.bonds import FIRST_SHELL
from hetbuild.elements import A_CATIONS, symbol
from hetbuild.geometry.bonds import COUNTED
from hetbuild.geometry.contacts import coordination
from hetbuild.geometry.depth import depth
from hetbuild.model import Model
from hetbuild.rounding import ALIKE

FEW = 12
"""Anions looked at around a cation: more than any has within reach."""

Pair = tuple[float, float]
"""A quantity before and after."""


@dataclass(frozen=True)
class Coordinated:
    """Anions around the cations of one element, before and after."""

    element: str
    cutoff: float
    """Å."""
    before: Mapping[int, int]
    """{anions: how many cations}."""
    after: Mapping[int, int]
    lost: int
    """Cations with fewer anions than before."""
    gained: int


@dataclass(frozen=True)
class InterfaceCation:
    """One cation of the interface."""

    atom: int
    """Its index."""
    element: str
    cutoff: float
    """Å."""
    crystal: int | None
    """Anions within it around the site in the bulk; None where the atom stands on no site."""
    before: int
    """Anions within it."""
    after: int
    following: tuple[float | None, float | None]
    """Distance of the nearest anion beyond the cutoff, Å, before and after; None: there is none."""
    depth: float
    """Å below the surface, before."""

    @property
    def open(self) -> bool:
        """Fewer anions afterwards than in the crystal."""
        return self.crystal is not None and self.after < self.crystal


def interface_cations(
    model: Model, after: FloatArray, here: BoolArray
) -> tuple[InterfaceCation, ...]:
    """Every cation here, in the order of the atoms. after: positions, shape (N, 3)."""
    anions = model.charges < 0
    found = []
    for z in _bonded(model, here):
        mine = np.flatnonzero(here & (model.numbers == z) & (model.charges > 0))
        cutoff = reach(model, z)
        rows = zip(
            mine.tolist(),
            in_crystal(model, mine, cutoff),
            *(_nearest(p[mine], p[anions], cutoff) for p in (model.positions, after)),
            depth(model, mine).tolist(),
            strict=True,
        )
        found += [
            InterfaceCation(
                atom, symbol(z), cutoff, bulk, first[0], second[0],
                (first[1], second[1]), round(deep, 3),
            )
            for atom, bulk, first, second, deep in rows
        ]  # fmt: skip
    return tuple(sorted(found, key=lambda c: c.atom))


def _nearest(
    centres: FloatArray, anions: FloatArray, cutoff: float
) -> list[tuple[int, float | None]]:
    """How many anions lie within the cutoff of each, and how far the next one is, Å."""
    from scipy.spatial import cKDTree

    within = coordination(centres, anions, cutoff)
    apart = cKDTree(anions).query(centres, k=range(1, FEW + 2))[0]
    return [
        (int(n), round(float(row[n]), 3) if np.isfinite(row[n]) else None)
        for n, row in zip(np.minimum(within, FEW), apart, strict=True)
    ]


def in_crystal(model: Model, atoms: IntArray, cutoff: float) -> list[int | None]:
    """Anions within the cutoff of each atom's site in the bulk."""
    found: list[int | None] = []
    around: dict[tuple[int, int], int] = {}
    for domain, site in zip(model.domain[atoms].tolist(), model.site[atoms].tolist(), strict=True):
        if site >= 0 and (domain, site) not in around:
            around[domain, site] = _of_site(model, domain, site, cutoff)
        found.append(around.get((domain, site)))
    return found


def _of_site(model: Model, domain: int, site: int, cutoff: float) -> int:
    """Anions within the cutoff of a site of a domain's bulk, as its crystal has it."""
    crystal = model.domains[domain].crystal
    cells = np.stack(np.meshgrid(*[np.arange(-2, 3)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    vector = crystal.fractional[crystal.charges < 0][:, None] + cells - crystal.fractional[site]
    return int((np.linalg.norm(vector @ crystal.vectors, axis=-1) < cutoff + ALIKE).sum())


def _bonded(model: Model, here: BoolArray) -> list[int]:
    """Atomic numbers of the cations here that anions surround: not those of A sites."""
    found = np.unique(model.numbers[here & (model.charges > 0)]).tolist()
    return [
        z
        for z in found
        if symbol(z) not in A_CATIONS and model.charges[model.numbers == z].max() >= 1
    ]


def coordinated(model: Model, after: FloatArray, here: BoolArray) -> tuple[Coordinated, ...]:
    """Anions around the cations here, by element. after: positions, shape (N, 3)."""
    anions = model.charges < 0
    found = []
    for z in _bonded(model, here):
        mine = here & (model.numbers == z) & (model.charges > 0)
        cutoff = reach(model, z)
        counts = [coordination(p[mine], p[anions], cutoff) for p in (model.positions, after)]
        found.append(
            Coordinated(
                symbol(z), cutoff, _histogram(counts[0]), _histogram(counts[1]),
                lost=int((counts[1] < counts[0]).sum()),
                gained=int((counts[1] > counts[0]).sum()),
            )
        )  # fmt: skip
    return tuple(found)


def reach(model: Model, z: int) -> float:
    """Å within which an anion counts: 3.6 for Pb, else by the bonds of the crystals."""
    if symbol(z) == "Pb":
        return COUNTED
    longest = [
        float(bonds.length[domain.crystal.numbers[bonds.site] == z].max())
        for domain in model.domains
        if (domain.crystal.numbers[(bonds := domain.crystal.bonds).site] == z).any()
    ]
    return round(FIRST_SHELL * min(longest), 2) if longest else COUNTED


def _histogram(counts: IntArray) -> dict[int, int]:
    values, times = np.unique(counts, return_counts=True)
    return {int(v): int(t) for v, t in zip(values, times, strict=True)}
