"""What is around a site, and how near a ligand may come to it."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from hetbuild.arrays import BoolArray, FloatArray, IntArray
from hetbuild.capping.molecule import Ligand

CLEARANCE = 0.75
"""Part of the van der Waals sum that a contact may not fall under."""

HEAD = 0.8
"""Part of the clearance that atoms bonded to a donor keep from the ions it binds to, two bonds
away; the donors stand a bond away from those."""

INNER = 6.0
"""Å from the donors: atoms tested first, which are in the way most often."""


def contact_radii(numbers: IntArray) -> FloatArray:
    """Van der Waals radii of RDKit's table (Bondi and others) in Å, shape (N,)."""
    from rdkit.Chem import GetPeriodicTable

    table = GetPeriodicTable()
    kinds, index = np.unique(numbers, return_inverse=True)
    return np.array([table.GetRvdw(int(z)) for z in kinds])[index]


@dataclass(eq=False)
class Surroundings:
    """The ions of a core and the ligands placed on it so far; grows as they come."""

    numbers: IntArray
    """Atomic numbers, shape (N,)."""
    positions: FloatArray
    """Å, shape (N, 3)."""
    charges: IntArray
    """Formal charges of ions in e; 0 of the atoms of ligands, shape (N,)."""
    gone: BoolArray = field(init=False)
    """Ions whose place a ligand took, shape (N,)."""

    def __post_init__(self) -> None:
        self.gone = np.zeros(len(self.numbers), dtype=bool)

    def add(self, numbers: IntArray, positions: FloatArray) -> None:
        """A ligand stands from now on."""
        self.numbers = np.concatenate([self.numbers, numbers])
        self.positions = np.concatenate([self.positions, positions])
        self.charges = np.concatenate([self.charges, np.zeros(len(numbers), self.charges.dtype)])
        self.gone = np.concatenate([self.gone, np.zeros(len(numbers), dtype=bool)])

    def drop_last(self, count: int) -> None:
        """The atoms added last go again."""
        for name in ("numbers", "positions", "charges", "gone"):
            setattr(self, name, getattr(self, name)[:-count])


class Room:
    """What is around one site, by kind, to test poses of a ligand against.

    close: indices of what is around; sign: of the ions the ligand binds to.
    """

    def __init__(
        self, ligand: Ligand, around: Surroundings, close: IntArray, sign: int, clearance: float
    ) -> None:
        from scipy.spatial import cKDTree

        # Of the atoms: 2 a donor, 1 bonded to one, 0 any other.
        head = np.isin(np.arange(len(ligand)), ligand.near_donors).astype(np.int64)
        head[ligand.donors] = 2
        far = np.linalg.norm(ligand.conformers[0], axis=1) > INNER
        own, self.own = np.unique(
            np.stack([far, head, ligand.numbers], axis=1), axis=0, return_inverse=True
        )
        kinds = np.stack([np.sign(around.charges[close]) == sign, around.numbers[close]], axis=1)
        other, self.other = np.unique(kinds, axis=0, return_inverse=True)
        self.points = around.positions[close]
        sums = contact_radii(own[:, 2])[:, None] + contact_radii(other[:, 1])
        # Of the donors no limit to the ions they bind to; of what is bonded to them a lower one.
        part = np.array([1.0, HEAD, 0.0])[own[:, 1, None] * other[:, 0]]
        self.limits = clearance * part * sums
        """Å by kind of the ligand's atom and of what is around; 0: any is right."""
        self._groups = [np.flatnonzero(self.own == k) for k in range(len(own))]
        self._trees = [cKDTree(self.points[self.other == k]) for k in range(len(other))]

    def clear(self, trial: FloatArray, part: float = 1.0) -> IntArray:
        """Poses that keep this part of every limit, sorted. trial: Å, shape (K, n, 3)."""
        left = np.arange(len(trial))
        for atoms, row in zip(self._groups, part * self.limits, strict=True):
            for tree, limit in zip(self._trees, row.tolist(), strict=True):
                if limit > 0.0 and len(left):
                    points = trial[left][:, atoms]
                    near = tree.query(points, distance_upper_bound=limit)[0]
                    left = left[~(near < limit).any(axis=1)]
        return left

    def near(self, positions: FloatArray, within: float) -> tuple[FloatArray, FloatArray]:
        """Points within so many Å of a pose, (P, 3), and the limit of each pair in Å, (n, P)."""
        from scipy.spatial import cKDTree

        close = cKDTree(positions).query(self.points, distance_upper_bound=within)[0] < within
        return self.points[close], self.limits[np.ix_(self.own, self.other[close])]
