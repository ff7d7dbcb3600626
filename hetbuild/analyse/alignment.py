"""The rigid motion that lays one model on another best, however its atoms are ordered and oriented.

As in molecular replacement (Rossmann & Blow, doi 10.1107/S0365110X62000067): the vectors between
atoms of one element do not depend on where a model lies, so orientations are found first, by laying
the maps of these vectors on each other; then the shift; then both are refined on the atoms, and the
motion kept is the one that leaves least between them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hetbuild.arrays import FloatArray, IntArray
from hetbuild.geometry.rigid import superposed
from hetbuild.rounding import NOTHING

RADIUS, COARSE = 10.0, 7.0
"""Å: longest interatomic vectors that are compared, and the longest by which orientations are
scanned."""
SHORTEST = 2.5
"""Shortest interatomic vectors that are used, Å."""
VOXEL, BLUR = 0.4, 0.5
"""Å: grid of the map of interatomic vectors, and standard deviation of the Gaussian it is smoothed
with."""
CENTRES = 3000
"""Atoms whose surroundings make the map."""
PEAKS = 80
"""Highest maxima of the first map that are laid on the second."""
TURNS = 40000
"""Orientations scanned; some 5 degrees apart."""
KEPT = 400
"""Orientations of these that are refined on the maps."""
STEPS = (5.0, 2.5, 1.2, 0.6, 0.3)
"""Steps of the refinement of an orientation, degrees, one after the other."""
DISTINCT = 3.0
"""Degrees between orientations that count as two."""
CANDIDATES = 96
"""Orientations tried on the atoms."""
SAMPLE = 400
"""Atoms by which they are tried."""
FAR = 2.5
"""Å: distance to the nearest atom of the same element at which the score of an atom saturates."""
SHIFTED = 32
"""Motions tried with other shifts."""
ROUNDS = 2
"""Times that shifts by lattice vectors are tried: each takes a model by up to 9 Å."""
REFINED = 10
"""Motions refined on the atoms."""
LARGE = 6000
"""Atoms by which they are refined."""
SETTLED = 0.8
"""Å: rms below which atoms in one order in both models need no search."""


@dataclass(frozen=True, eq=False)
class Motion:
    """x = rotation @ y + shift."""

    rotation: FloatArray
    """Shape (3, 3)."""
    shift: FloatArray
    """Å, shape (3,)."""

    def of(self, y: FloatArray) -> FloatArray:
        """Where points (N, 3) go, Å."""
        return np.asarray(y @ self.rotation.T + self.shift)

    def back(self, x: FloatArray) -> FloatArray:
        """Where points (N, 3) come from, Å."""
        return np.asarray((x - self.shift) @ self.rotation)


def align(numbers: IntArray, x: FloatArray, others: IntArray, y: FloatArray) -> Motion:
    """The motion that lays the second model on the first.

    numbers: shape (N,); x: Å, shape (N, 3); others: shape (M,); y: Å, shape (M, 3). The same input
    gives the same motion.
    """
    if np.array_equal(numbers, others):
        motion = Motion(*superposed(x, y))
        if np.sqrt(((motion.of(y) - x) ** 2).sum(axis=1).mean()) < SETTLED:
            return motion
    search = _Search(numbers, x, others, y)
    best = search.ranked(search.orientations())
    for _ in range(ROUNDS):
        # On a lattice first, then by its vectors: the centres of unlike models are anywhere.
        on = sorted((search.refined(m, search.few) for _, m in best[:SHIFTED]), key=_score)
        best = search.ranked([m for _, m in on] + search.shifted(on))
        best = _apart(best[: 4 * SHIFTED])
    refined = sorted((search.refined(m, search.sample) for _, m in best[:REFINED]), key=_score)
    final = [search.refined(m, search.all) for _, m in refined[:3]]
    return min(final, key=_score)[1]


def _score(found: tuple[float, Motion]) -> float:
    return found[0]


def _apart(motions: list[tuple[float, Motion]]) -> list[tuple[float, Motion]]:
    """Without those near a better one."""
    kept: list[tuple[float, Motion]] = []
    for score, motion in motions:
        turns = [np.trace(motion.rotation.T @ m.rotation) for _, m in kept]
        shifts = [np.linalg.norm(motion.shift - m.shift) for _, m in kept]
        limit = 1 + 2 * np.cos(np.radians(DISTINCT))
        if not any(t > limit and s < 1.0 for t, s in zip(turns, shifts, strict=True)):
            kept.append((score, motion))
    return kept


class _Search:
    """Trees of the second model by element, and samples of the first."""

    def __init__(self, numbers: IntArray, x: FloatArray, others: IntArray, y: FloatArray) -> None:
        from scipy.spatial import cKDTree

        self.numbers, self.x, self.others, self.y = numbers, x, others, y
        self.common = [int(z) for z in np.intersect1d(numbers, others)]
        self.trees = {z: cKDTree(y[others == z]) for z in self.common}
        self.chosen = {z: y[others == z] for z in self.common}
        rng = np.random.default_rng(0)
        usable = np.flatnonzero(np.isin(numbers, self.common))
        out = np.argsort(-np.linalg.norm(x[usable] - x[usable].mean(axis=0), axis=1), kind="stable")
        few = rng.permutation(usable)[: SAMPLE // 2]
        self.few = np.unique(np.concatenate([few, usable[out[: SAMPLE // 2]]]))
        self.sample = np.sort(rng.permutation(usable)[:LARGE])
        self.all = usable
        self.peaks = _peaks(_vector_map(numbers, x))

    def centred(self, rotation: FloatArray) -> Motion:
        """With the centres of the common atoms on each other."""
        a = self.x[np.isin(self.numbers, self.common)].mean(axis=0)
        b = self.y[np.isin(self.others, self.common)].mean(axis=0)
        return Motion(rotation, a - rotation @ b)

    def orientations(self) -> list[Motion]:
        turns = [*_principal(self.x, self.y), *_turns(self.peaks, self.others, self.y)]
        return [self.centred(turn) for turn in turns]

    def shifted(self, best: list[tuple[float, Motion]]) -> list[Motion]:
        """By vectors of the lattices, as where more atoms of one model are missing on one side."""
        vectors = self.peaks[0][np.linalg.norm(self.peaks[0], axis=1) < RADIUS - 1]
        return [Motion(m.rotation, m.shift + v) for _, m in best for v in vectors]

    def ranked(self, motions: list[Motion]) -> list[tuple[float, Motion]]:
        """By the mean distance of some atoms to their like, nearest first."""
        if not motions:
            return []
        total = np.zeros(len(motions))
        for z in self.common:
            mine = self.few[self.numbers[self.few] == z]
            if len(mine):
                places = np.concatenate([m.back(self.x[mine]) for m in motions])
                away = self.trees[z].query(places, distance_upper_bound=FAR)[0]
                total += np.minimum(away, FAR).reshape(len(motions), -1).sum(axis=1)
        order = np.argsort(total, kind="stable")
        return [(float(total[k]), motions[k]) for k in order]

    def refined(self, motion: Motion, atoms: IntArray) -> tuple[float, Motion]:
        """Superposed on the nearest atoms in turn; the score is the mean of min(distance, FAR)."""
        before = np.inf
        for _ in range(40):
            nearest, away = self.nearest(motion, atoms)
            score = float(np.minimum(away, FAR).mean())
            near = away < FAR
            if score > before - NOTHING or near.sum() < 3:
                break
            before, kept = score, motion
            motion = Motion(*superposed(self.x[atoms[near]], nearest[near]))
        return (before, kept) if before < np.inf else (score, motion)

    def nearest(self, motion: Motion, atoms: IntArray) -> tuple[FloatArray, FloatArray]:
        """Of each atom the nearest of its element: where it is (A, 3), and Å from it (A,)."""
        places, found = motion.back(self.x[atoms]), np.zeros((len(atoms), 3))
        away = np.zeros(len(atoms))
        for z in self.common:
            mine = self.numbers[atoms] == z
            away[mine], index = self.trees[z].query(places[mine])
            found[mine] = self.chosen[z][index]
        return found, away


def _principal(x: FloatArray, y: FloatArray) -> list[FloatArray]:
    """Proper rotations that bring the principal axes of inertia together."""
    a, b = (np.linalg.eigh(np.cov(p.T))[1] if len(p) > 1 else np.eye(3) for p in (x, y))
    signs = np.array(np.meshgrid(*3 * [[1.0, -1.0]])).reshape(3, -1).T
    turns = [a @ np.diag(s) @ b.T for s in signs]
    return [t for t in turns if np.linalg.det(t) > 0]


def _vector_map(numbers: IntArray, x: FloatArray) -> FloatArray:
    """Density of vectors between atoms of one element on a cubic grid about the origin."""
    from scipy.ndimage import gaussian_filter
    from scipy.spatial import cKDTree

    half = int(np.ceil((RADIUS + 1) / VOXEL))
    shape = (2 * half + 1,) * 3
    density = np.zeros(int(np.prod(shape)))
    chosen = np.random.default_rng(0).permutation(len(x))[:CENTRES]
    for z in np.unique(numbers):
        of = np.flatnonzero(numbers == z)
        centres = x[np.intersect1d(of, chosen)]
        if not len(centres):
            continue
        pairs = cKDTree(centres).sparse_distance_matrix(
            cKDTree(x[of]), RADIUS, output_type="coo_matrix"
        )
        vectors = x[of][pairs.col] - centres[pairs.row]
        vectors = vectors[np.linalg.norm(vectors, axis=1) > SHORTEST]
        cells = np.rint(vectors / VOXEL).astype(int) + half
        density += np.bincount(np.ravel_multi_index(cells.T, shape), minlength=len(density))
    return np.asarray(gaussian_filter(density.reshape(shape), BLUR / VOXEL))


def _peaks(density: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Where a map is highest, Å (P, 3), and how high (P,)."""
    from scipy.ndimage import maximum_filter

    half = density.shape[0] // 2
    high = (density == maximum_filter(density, 5)) & (density > 0)
    cells = np.argwhere(high)
    value = density[high]
    order = np.argsort(-value, kind="stable")[:PEAKS]
    return (cells[order] - half) * VOXEL, value[order]


def _turns(
    peaks: tuple[FloatArray, FloatArray], others: IntArray, y: FloatArray
) -> list[FloatArray]:
    """Orientations in which the peaks of the first model's map meet the second's, best first."""
    from scipy.spatial.transform import Rotation

    density = _vector_map(others, y)
    points, weight = peaks
    if not len(points):  # no two atoms of an element are near each other: nothing to go by
        return []
    inner = np.linalg.norm(points, axis=1) < COARSE
    if inner.sum() < 3:
        inner[:] = True
    turns = Rotation.random(TURNS, random_state=np.random.default_rng(0)).as_matrix()
    score = _overlap(density, turns, points[inner], weight[inner])
    turns = turns[np.argsort(-score, kind="stable")[:KEPT]]
    score = _overlap(density, turns, points, weight)
    axes = np.vstack([np.eye(3), -np.eye(3)])
    axes = np.vstack([axes, [[1, 1, 1], [-1, -1, 1], [-1, 1, -1], [1, -1, -1]]])
    axes /= np.linalg.norm(axes, axis=1, keepdims=True)
    for step in STEPS:
        small = Rotation.from_rotvec(np.radians(step) * axes).as_matrix()
        for _ in range(2):
            tried = np.einsum("tij,sjk->tsik", turns, small)
            value = _overlap(density, tried.reshape(-1, 3, 3), points, weight)
            value = value.reshape(len(turns), -1)
            best = value.argmax(axis=1)
            better = value.max(axis=1) > score
            rows = np.flatnonzero(better)
            turns[rows], score[rows] = tried[rows, best[rows]], value[rows, best[rows]]
    return _distinct(turns[np.argsort(-score, kind="stable")])


def _overlap(
    density: FloatArray, turns: FloatArray, points: FloatArray, weight: FloatArray
) -> FloatArray:
    """Weighted sum of a map at points turned back into the second model; shape (T,)."""
    from scipy.ndimage import map_coordinates

    half = density.shape[0] // 2
    total = np.empty(len(turns))
    for k in range(0, len(turns), 4000):
        places = np.einsum("tji,pj->tpi", turns[k : k + 4000], points) / VOXEL + half
        value = map_coordinates(density, places.reshape(-1, 3).T, order=1, mode="constant")
        total[k : k + 4000] = value.reshape(-1, len(points)) @ weight
    return total


def _distinct(turns: FloatArray) -> list[FloatArray]:
    """Those not near one before them."""
    kept: list[FloatArray] = []
    limit = 1 + 2 * np.cos(np.radians(DISTINCT))
    for turn in turns:
        if not kept or np.einsum("kij,ij->k", np.array(kept), turn).max() < limit:
            kept.append(turn)
        if len(kept) == CANDIDATES:
            break
    return kept
