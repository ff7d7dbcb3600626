"""Two crystals laid on each other as a match says, without edges, in common axes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hetbuild.arrays import FloatArray, IntArray, Plane
from hetbuild.assemble.slab import slab
from hetbuild.crystal import lattice
from hetbuild.crystal.crystal import Crystal
from hetbuild.matching.matches import Match


@dataclass(frozen=True, eq=False)
class Sites:
    """Sites of a layer of a crystal."""

    positions: FloatArray
    """In interface axes, Å, shape (N, 3); z from the datum site's plane."""
    numbers: IntArray
    charges: IntArray

    @property
    def cations(self) -> FloatArray:
        """Positions of the cations; of all atoms where none has a charge, shape (M, 3)."""
        chosen = self.charges > 0 if self.charges.any() else np.ones(len(self.charges), bool)
        return np.asarray(self.positions[chosen])


@dataclass(frozen=True, eq=False)
class Side:
    """One of the crystals. The second is strained in the plane to the cell of the first."""

    crystal: Crystal
    plane: Plane
    """Plane with the spacing of successive lattice planes."""
    frame: FloatArray
    """Conventional vectors as rows in interface axes: x along the first cell vector, z normal."""
    cell: FloatArray
    """Coincidence cell in conventional axes, rows, shape (2, 3)."""
    net: FloatArray
    """Primitive surface net in conventional axes, rows, shape (2, 3)."""

    @property
    def repeat(self) -> float:
        """Spacing of successive lattice planes, Å."""
        return self.crystal.spacing(self.plane)

    def flat(self, vectors: FloatArray) -> FloatArray:
        """In-plane vectors from conventional to interface axes, Å, shape (n, 2)."""
        return np.asarray((vectors @ self.frame)[:, :2])

    def sites(self, low: float, high: float, *, primitive: bool = False) -> Sites:
        """Sites at heights from low to high Å over the coincidence cell, or the primitive net."""
        limits = (low / self.repeat, high / self.repeat)
        part = slab(self.crystal, self.plane, self.net if primitive else self.cell, limits)
        fractional = part.positions @ np.linalg.inv(self.crystal.vectors)
        return Sites(fractional @ self.frame, part.numbers, part.charges)


def bicrystal(match: Match, crystals: tuple[Crystal, Crystal]) -> tuple[Side, Side]:
    """Both crystals of a match in the axes of its interface, datum sites at the origin."""
    free = [_free(match, crystals, i) for i in range(2)]
    nets = [frame[1] @ frame[0] for frame in free]
    deformation = np.eye(3)
    deformation[:2, :2] = np.linalg.solve(nets[1][:, :2], nets[0][:, :2])
    frames = (free[0][0], free[1][0] @ deformation)
    first, second = (
        Side(
            crystal,
            match.planes[i].lattice,
            frames[i],
            free[i][1],
            np.array([d.vector for d in crystal.surface_net(match.planes[i].lattice)]),
        )
        for i, crystal in enumerate(crystals)
    )
    return first, second


def _free(
    match: Match, crystals: tuple[Crystal, Crystal], side: int
) -> tuple[FloatArray, FloatArray]:
    """Frame of an unstrained crystal, and its cell in conventional axes."""
    vectors = crystals[side].vectors
    cell = np.array(
        [p.counts[side] * (p.first, p.second)[side].vector for p in match.cell], dtype=float
    )
    normal = lattice.plane_normal(vectors, match.planes[side].lattice)
    x = cell[0] @ vectors
    x /= np.linalg.norm(x)
    return vectors @ np.array([x, np.cross(normal, x), normal]).T, cell
