"""Room for ligands: poses that keep their distance from the core and from each other."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hetbuild.arrays import FloatArray, IntArray
from hetbuild.capping.binding import AROUND, MODES, OFF, Heads, Mode, heads
from hetbuild.capping.cleaning import bent
from hetbuild.capping.molecule import Ligand
from hetbuild.capping.room import CLEARANCE, Room, Surroundings
from hetbuild.model import DECIMALS
from hetbuild.rounding import NOTHING

BATCH = 48
"""Poses tested at first, four times as many each time that none has room."""

NEARLY = 0.75
"""Part of the limits that a pose keeps before it is bent until it keeps all of them."""

BENT = 4
"""Such poses tried."""

WITHIN = 6.0
"""Å about a pose: what may be in its way while it is bent."""

BESIDE = 5.0
"""Å beyond the tip of a ligand in which atoms may be in its way: radii of an atom and an ion."""

ITSELF = 0.1
"""Å: an ion so near a site is the one that stands on it."""

HYDROGEN_BONDS = 0.1
"""Å: ways to bind whose N-H...X are that much alike in length are equals."""

STEEP = 15.0
"""Degrees: tails that lean alike are equals."""

DEEPEST = 80.0
"""Degrees between a tail and the outward normal, at most."""


@dataclass(frozen=True, eq=False)
class Pose:
    """A ligand in its place."""

    positions: FloatArray
    """Å, shape (n, 3)."""
    mode: str
    """How it is bound, of MODES."""
    bent: bool = False
    """It was relaxed beside the others, since no rigid pose had room."""


def outward(site: FloatArray, ions: FloatArray) -> FloatArray:
    """Unit vector away from the ions within 7 Å of a site, shape (3,). ions: Å, shape (N, 3)."""
    away = site - ions
    length = np.linalg.norm(away, axis=1)
    near = (length < AROUND) & (length > ITSELF)
    total = (away[near] / length[near, None]).sum(axis=0)
    if np.linalg.norm(total) < 0.5:  # as much on every side: away from the middle
        total = site - ions.mean(axis=0)
    return np.asarray(total / max(float(np.linalg.norm(total)), NOTHING))


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
    reach = float(np.linalg.norm(ligand.conformers, axis=2).max()) + OFF + BESIDE
    close = ~around.gone & (np.linalg.norm(around.positions - site, axis=1) < reach)
    room = Room(ligand, around, np.flatnonzero(close), sign, clearance)
    poses = _Poses(ligand, found, head, shape)
    return poses.first(room) or poses.first_bent(room)


@dataclass(frozen=True, eq=False)
class _Poses:
    """Poses of a ligand on one site, the best first."""

    ligand: Ligand
    heads: Heads
    head: IntArray
    shape: IntArray

    def _positions(self, rows: slice) -> FloatArray:
        h, c = self.head[rows], self.shape[rows]
        turned = np.einsum("kij,knj->kni", self.heads.turns[h], self.ligand.conformers[c])
        return np.asarray(np.round(turned + self.heads.places[h][:, None], DECIMALS))

    def _mode(self, k: int) -> str:
        return MODES[self.heads.modes[self.head[k]]]

    def first(self, room: Room) -> Pose | None:
        """The first rigid pose with room."""
        start, size = 0, BATCH
        while start < len(self.head):
            trial = self._positions(slice(start, start + size))
            clear = room.clear(trial)
            if len(clear):
                return Pose(trial[clear[0]], self._mode(start + int(clear[0])))
            start, size = start + size, 4 * size
        return None

    def first_bent(self, room: Room) -> Pose | None:
        """The first of a few poses that nearly have room and can be bent until they do."""
        trial = self._positions(slice(None))
        for k in room.clear(trial, NEARLY)[:BENT].tolist():
            points, limits = room.near(trial[k], WITHIN)
            moved = bent(self.ligand, trial[k], points, limits)
            if moved is not None and len(room.clear(np.round(moved, DECIMALS)[None])):
                return Pose(np.round(moved, DECIMALS), self._mode(k), bent=True)
        return None


def _ranked(
    ligand: Ligand, found: Heads, normal: FloatArray, mode: Mode, partners: FloatArray
) -> tuple[IntArray, IntArray]:
    """Head and conformer of each pose, the best first; tails that point inwards are left out."""
    heavy = ligand.numbers > 1
    tails = ligand.conformers[:, heavy].mean(axis=1)
    if not heavy.sum() > len(ligand.donors):
        tails = ligand.conformers.mean(axis=1)
    tails /= np.maximum(np.linalg.norm(tails, axis=1, keepdims=True), NOTHING)
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
    return np.asarray(np.rint(cKDTree(partners).query(at)[0].mean(axis=1) / HYDROGEN_BONDS))
