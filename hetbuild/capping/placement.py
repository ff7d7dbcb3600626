"""Room for ligands: poses that keep their distance from the core and from each other."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from hetbuild.arrays import BoolArray, FloatArray, IntArray
from hetbuild.capping.binding import AROUND, MODES, OFF, Heads, Mode, heads
from hetbuild.capping.molecule import Ligand
from hetbuild.model import DECIMALS

CLEARANCE = 0.75
"""Part of the van der Waals sum that a contact may not fall under."""

HEAD = 0.8
"""Part of the clearance that atoms bonded to a donor keep from the ions it binds to, two bonds
away; the donors stand a bond away from those."""

BATCH = 48
"""Poses tested at a time."""

STEEP = 15.0
"""Degrees: tails that lean alike are equals."""

DEEPEST = 80.0
"""Degrees from the normal at most that a tail points."""


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


@dataclass(frozen=True, eq=False)
class Pose:
    """A ligand in its place."""

    positions: FloatArray
    """Å, shape (n, 3)."""
    mode: str
    bonds: int
    closest: float
    """Smallest contact, as a part of the van der Waals sum."""


def outward(site: FloatArray, ions: FloatArray) -> FloatArray:
    """Unit vector away from the ions within 7 Å of a site, shape (3,). ions: Å, shape (N, 3)."""
    away = site - ions
    length = np.linalg.norm(away, axis=1)
    near = (length < AROUND) & (length > 0.1)
    total = (away[near] / length[near, None]).sum(axis=0)
    if np.linalg.norm(total) < 0.5:  # as much on every side: away from the middle
        total = site - ions.mean(axis=0)
    return np.asarray(total / max(float(np.linalg.norm(total)), 1e-9))


def place(
    ligand: Ligand,
    site: FloatArray,
    around: Surroundings,
    ions: IntArray,
    *,
    mode: Mode = "any",
    on_top: bool = False,
    off: float = OFF,
    clearance: float = CLEARANCE,
) -> Pose | None:
    """The first pose with room: most bonds, then the most upright; None where there is none.

    site: Å, shape (3,), of the ion that leaves, or that is bound to (on_top). ions: indices of the
    ions of the bare core, which say where outside is.
    """
    core = around.positions[ions]
    normal = outward(site, core)
    sign = -1 if ligand.charge > 0 else 1
    there = (np.sign(around.charges) == sign) & ~around.gone
    near = there & (np.linalg.norm(around.positions - site, axis=1) < AROUND)
    if not near.any():
        return None
    found = heads(
        ligand, site, normal, around.positions[near], around.numbers[near], on_top=on_top, off=off
    )
    head, shape = _ranked(ligand, found, normal, mode, around.positions[near])
    reach = float(np.linalg.norm(ligand.conformers, axis=2).max()) + OFF + 5.0
    close = ~around.gone & (np.linalg.norm(around.positions - site, axis=1) < reach)
    room = _Room(ligand, around, np.flatnonzero(close), sign, clearance)
    for start in range(0, len(head), BATCH):
        h, c = head[start : start + BATCH], shape[start : start + BATCH]
        trial = np.einsum("kij,knj->kni", found.turns[h], ligand.conformers[c])
        trial = np.round(trial + found.places[h][:, None], DECIMALS)
        closest = room.closest(trial)
        if (closest >= clearance).any():
            k = int((closest >= clearance).argmax())
            kind = MODES[found.modes[h[k]]]
            return Pose(trial[k], kind, int(found.bonds[h[k]]), float(closest[k]))
    return None


def _ranked(
    ligand: Ligand, found: Heads, normal: FloatArray, mode: Mode, partners: FloatArray
) -> tuple[IntArray, IntArray]:
    """Head and conformer of each pose, the best first; tails that point inwards are left out."""
    heavy = ligand.numbers > 1
    tails = ligand.conformers[:, heavy].mean(axis=1)
    if not heavy.sum() > len(ligand.donors):
        tails = ligand.conformers.mean(axis=1)
    tails /= np.maximum(np.linalg.norm(tails, axis=1, keepdims=True), 1e-9)
    cosine = np.einsum("fij,cj,i->fc", found.turns, tails, normal)
    angle = np.degrees(np.arccos(np.clip(cosine, -1, 1)))
    allowed = angle < DEEPEST
    if mode != "any":
        allowed &= (found.modes == MODES.index(mode))[:, None]
    head, shape = np.nonzero(allowed)
    hydrogen = _hydrogen_bonds(ligand, found, partners)
    steep = np.floor(angle[head, shape] / STEEP)
    order = np.lexsort((shape, hydrogen[head], steep, -found.bonds[head]))
    return head[order], shape[order]


def _hydrogen_bonds(ligand: Ligand, found: Heads, partners: FloatArray) -> FloatArray:
    """Mean distance of the H at a cationic donor to the nearest halide, 0.1 Å, shape (F,)."""
    from scipy.spatial import cKDTree

    near = ligand.near_donors
    h = near[ligand.numbers[near] == 1]
    if ligand.charge <= 0 or not len(h):
        return np.zeros(len(found.places))
    at = np.einsum("fij,hj->fhi", found.turns, ligand.conformers[0][h]) + found.places[:, None]
    return np.asarray(np.rint(cKDTree(partners).query(at)[0].mean(axis=1) / 0.1))


class _Room:
    """Trees of what is around one site, by kind, to test poses against."""

    def __init__(
        self,
        ligand: Ligand,
        around: Surroundings,
        close: IntArray,
        sign: int,
        clearance: float,
    ) -> None:
        from scipy.spatial import cKDTree

        # Of the atoms: 2 a donor, 1 bonded to one, 0 any other.
        head = np.isin(np.arange(len(ligand)), ligand.near_donors).astype(np.int64)
        head[ligand.donors] = 2
        own = np.unique(np.stack([ligand.numbers, head], axis=1), axis=0, return_inverse=True)
        self.atoms = [np.flatnonzero(own[1].ravel() == k) for k in range(len(own[0]))]
        kinds = np.stack([around.numbers[close], np.sign(around.charges[close]) == sign], axis=1)
        table, index = np.unique(kinds, axis=0, return_inverse=True)
        radii = contact_radii(table[:, 0])
        self.tests = []
        for k, (_, partner) in enumerate(table):
            tree = cKDTree(around.positions[close[index.ravel() == k]])
            for atoms in self.atoms:
                if partner and head[atoms[0]] == 2:
                    continue  # as close as a bond
                total = float(radii[k] + contact_radii(ligand.numbers[atoms[:1]])[0])
                total *= HEAD if partner and head[atoms[0]] else 1.0
                self.tests.append((tree, atoms, total))
        self.reach = 1.0 if clearance < 1.0 else clearance + 0.1

    def closest(self, trial: FloatArray) -> FloatArray:
        """Smallest contact of each pose as a part of its limit's sum, shape (K,)."""
        result = np.full(len(trial), self.reach)
        for tree, atoms, total in self.tests:
            points = trial[:, atoms]
            near = tree.query(points, distance_upper_bound=self.reach * total)[0]
            result = np.minimum(result, near.min(axis=1) / total)
        return result
