"""Two models of the same ions, laid on each other: how far apart are they?

The alignment is rigid, atoms of one element may change places, and neither the order of the atoms
nor the orientation of the models matters.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from hetbuild.elements import counts, symbol
from hetbuild.errors import InputError
from hetbuild.lattice import FloatArray, IntArray

TRIALS = 4000
"""Orientations tried where principal axes do not settle it; some 12 degrees apart."""

SAMPLE = 250
"""Atoms by which trial orientations are compared."""

BEST = 12
"""Trial orientations that are refined."""

SETTLED = 0.6
"""Å: an alignment by principal axes that is this good needs no others beside it."""

EXACT = 4000
"""Atoms of one element up to which places are exchanged optimally and not by nearest neighbour."""

WORST = 10
"""Atoms listed."""


@dataclass(frozen=True)
class Displaced:
    """An atom and how far it moved."""

    index: int
    """In the first model."""
    partner: int
    """In the second."""
    element: str
    distance: float
    """Å."""


@dataclass(frozen=True, eq=False)
class Comparison:
    """The second model laid on the first."""

    rmsd: float
    """Root mean square distance of matched atoms, Å."""
    by_part: Mapping[str, float]
    """The same by domain, or by element where there are no domains, Å."""
    largest: tuple[Displaced, ...]
    """Atoms that moved most, farthest first."""
    partner: IntArray
    """Atom of the second model for each of the first, shape (N,)."""
    rotation: FloatArray
    """x_first = rotation @ x_second + shift; shape (3, 3)."""
    shift: FloatArray
    """Å, shape (3,)."""

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "rmsd": self.rmsd,
            "by_part": dict(self.by_part),
            "largest": [asdict(d) for d in self.largest],
            "rotation": self.rotation.tolist(),
            "shift": self.shift.tolist(),
        }


def compare(
    first: tuple[IntArray, FloatArray],
    second: tuple[IntArray, FloatArray],
    parts: Mapping[str, IntArray] | None = None,
) -> Comparison:
    """Lay the second set of atoms on the first. Each: atomic numbers (N,), positions (N, 3) in Å.

    parts: atoms of the first, by name, whose distance is reported apart; default: each element.
    Kabsch superposition (doi 10.1107/S0567739476001873) in turn with the best exchange of atoms
    within each element, from the orientations that the principal axes and a search propose.

    Raises
    ------
    InputError
        The compositions differ; the text says by what.
    """
    _check(first[0], second[0])
    numbers, a, b = first[0], first[1], second[1]
    centre_a, centre_b = a.mean(axis=0), b.mean(axis=0)
    x, y = a - centre_a, b - centre_b
    partner = _aligned(numbers, x, second[0], y)
    matched = b[partner]
    turned, shift = _kabsch(a, matched)
    distance = np.linalg.norm(matched @ turned.T + shift - a, axis=1)
    groups = parts or {symbol(int(z)): np.flatnonzero(numbers == z) for z in np.unique(numbers)}
    order = np.argsort(-distance, kind="stable")[:WORST]
    return Comparison(
        rmsd=_rms(distance),
        by_part={name: _rms(distance[atoms]) for name, atoms in groups.items() if len(atoms)},
        largest=tuple(
            Displaced(int(i), int(partner[i]), symbol(int(numbers[i])), float(distance[i]))
            for i in order
        ),
        partner=partner,
        rotation=turned,
        shift=shift,
    )


def _rms(distance: FloatArray) -> float:
    return float(np.sqrt((distance**2).mean()))


def _check(first: IntArray, second: IntArray) -> None:
    a, b = counts(first), counts(second)
    if a != b:
        differ = ", ".join(
            f"{e} {a.get(e, 0)} and {b.get(e, 0)}" for e in {**a, **b} if a.get(e) != b.get(e)
        )
        raise InputError(
            f"Models of different composition cannot be laid on each other: {differ}. Compare "
            "models of the same ions, for example before and after relaxation."
        )


def _aligned(numbers: IntArray, x: FloatArray, others: IntArray, y: FloatArray) -> IntArray:
    """Partner of each atom in the best alignment found."""
    in_order = np.array_equal(numbers, others)
    if in_order:
        rotation, _ = _kabsch(x, y)
        if _rms(np.linalg.norm(y @ rotation.T - x, axis=1)) < SETTLED:
            return _refined(numbers, x, others, y, rotation)[1]
    found = [_refined(numbers, x, others, y, turn) for turn in _principal(numbers, x, others, y)]
    best = min(found, key=lambda f: f[0])
    if best[0] > SETTLED:
        turns = _promising(numbers, x, others, y)
        found = [_refined(numbers, x, others, y, turn) for turn in turns]
        best = min([best, *found], key=lambda f: f[0])
    return best[1]


def _principal(
    numbers: IntArray, x: FloatArray, others: IntArray, y: FloatArray
) -> list[FloatArray]:
    """Proper rotations that bring the principal axes of inertia together."""
    a, b = (np.linalg.eigh((p * n[:, None]).T @ p)[1] for p, n in ((x, numbers), (y, others)))
    flips = [np.diag(s) for s in ((1, 1, 1), (1, 1, -1), (1, -1, 1), (-1, 1, 1))]
    sign = np.sign(np.linalg.det(a) * np.linalg.det(b))
    both = [f * s for f in flips for s in (1.0, -1.0)]
    return [a @ f @ b.T for f in both if np.linalg.det(f) * sign > 0]


def _promising(
    numbers: IntArray, x: FloatArray, others: IntArray, y: FloatArray
) -> list[FloatArray]:
    """The best of many orientations, judged by a sample of the outer atoms."""
    from scipy.spatial import cKDTree
    from scipy.spatial.transform import Rotation

    turns = Rotation.random(TRIALS, random_state=np.random.default_rng(0)).as_matrix()
    outer = np.argsort(-np.linalg.norm(y, axis=1), kind="stable")[: 2 * SAMPLE : 2]
    score = np.zeros(TRIALS)
    for z in np.unique(others[outer]):
        mine = y[outer][others[outer] == z]
        tree = cKDTree(x[numbers == z])
        placed = np.einsum("kij,nj->kni", turns, mine)
        score += np.minimum(tree.query(placed, distance_upper_bound=4.0)[0], 4.0).sum(axis=1)
    return list(turns[np.argsort(score, kind="stable")[:BEST]])


def _refined(
    numbers: IntArray, x: FloatArray, others: IntArray, y: FloatArray, rotation: FloatArray
) -> tuple[float, IntArray]:
    """Rms distance and partners when matching and superposing no longer change."""
    partner = np.full(len(x), -1)
    shift = np.zeros(3)
    for _ in range(30):
        placed = y @ rotation.T + shift
        matched = _matched(numbers, x, others, placed)
        if np.array_equal(matched, partner):
            break
        partner = matched
        rotation, shift = _kabsch(x, y[partner])
    distance = np.linalg.norm(y[partner] @ rotation.T + shift - x, axis=1)
    return _rms(distance), partner


def _matched(numbers: IntArray, x: FloatArray, others: IntArray, placed: FloatArray) -> IntArray:
    """One-to-one partners within each element that make the summed squared distance small."""
    from scipy.optimize import linear_sum_assignment
    from scipy.spatial import cKDTree

    partner = np.empty(len(x), dtype=np.int64)
    for z in np.unique(numbers):
        i, j = np.flatnonzero(numbers == z), np.flatnonzero(others == z)
        nearest = cKDTree(placed[j]).query(x[i])[1]
        if len(np.unique(nearest)) < len(i) and len(i) <= EXACT:
            from scipy.spatial.distance import cdist

            nearest = linear_sum_assignment(cdist(x[i], placed[j], "sqeuclidean"))[1]
        partner[i] = j[nearest]
    return partner


def _kabsch(x: FloatArray, y: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Rotation and shift that lay y on x best."""
    cx, cy = x.mean(axis=0), y.mean(axis=0)
    u, _, vt = np.linalg.svd((x - cx).T @ (y - cy))
    sign = np.sign(np.linalg.det(u @ vt))
    rotation = u @ np.diag([1.0, 1.0, sign]) @ vt
    return np.asarray(rotation), np.asarray(cx - rotation @ cy)
