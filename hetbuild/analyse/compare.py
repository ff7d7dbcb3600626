"""Two models of the same ions, laid on each other: how far apart are they?

The alignment is rigid, atoms of one element may change places, and neither the order of the atoms
nor the orientation of the models matters. Of periodic models the cells are laid on each other, and
only the shift between them is free.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from hetbuild.arrays import FloatArray, IntArray
from hetbuild.elements import counts, symbol
from hetbuild.errors import ImpossibleError, InputError
from hetbuild.frozen import own

TRIALS = 4000
"""Orientations tried where principal axes do not settle it; some 12 degrees apart."""

SAMPLE = 250
"""Atoms by which trial orientations are compared."""

BEST = 48
"""Trial orientations that are refined, none of them near another: a cube has 24 that look alike."""

FINAL = 4
"""Of these, with atoms paired one to one."""

APART = 20.0
"""Degrees between two of them."""

ROUND = 0.05
"""Relative difference of two moments of inertia below which their axes mean nothing."""

SETTLED = 0.6
"""Å: an alignment by principal axes that is this good needs no others beside it."""

CLOSE = 0.05
"""Å: below this no other orientation of a round particle can be meant."""

EXACT = 4000
"""Atoms of one element up to which all pairs are weighed for the exchange of places; above, each
atom only with those nearest to it."""

SHIFTS = 6
"""Shifts of a periodic model that are refined."""

WORST = 5
"""Atoms listed of each part."""


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
    """The second model laid on the first.

    Examples
    --------
    >>> import hetbuild as hb
    >>> cube = hb.build("cspbcl3-cube-2")
    >>> {name: round(rms, 6) for name, rms in hb.compare(cube, cube).by_part.items()}
    {'perovskite': 0.0}
    """

    rmsd: float
    """Root mean square distance of matched atoms, Å."""
    by_part: Mapping[str, float]
    """The same by domain, or by element where there are no domains, Å."""
    largest: Mapping[str, tuple[Displaced, ...]]
    """By the same parts, the atoms that moved most, farthest first."""
    partner: IntArray
    """Atom of the second model for each of the first, shape (N,)."""
    rotation: FloatArray
    """x_first = rotation @ x_second + shift; shape (3, 3)."""
    shift: FloatArray
    """Å, shape (3,)."""
    displacement: FloatArray
    """From each atom of the first model to its partner as laid on it, Å, shape (N, 3)."""

    def __post_init__(self) -> None:
        for array in (self.partner, self.rotation, self.shift, self.displacement):
            own(array)

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "rmsd": self.rmsd,
            "by_part": dict(self.by_part),
            "largest": {name: [asdict(d) for d in part] for name, part in self.largest.items()},
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
    moved = matched @ turned.T + shift - a
    return _comparison(numbers, moved, partner, turned, shift, parts)


def compare_periodic(
    first: tuple[IntArray, FloatArray],
    second: tuple[IntArray, FloatArray],
    cells: tuple[FloatArray, FloatArray],
    parts: Mapping[str, IntArray] | None = None,
) -> Comparison:
    """The same for models that repeat, each with its cell (rows in Å, shape (3, 3)).

    Atoms may be wrapped into the cells in any way. Positions are compared as fractions of the
    cells, in Å of the first; the rotation is that from the second cell to the first.

    Raises
    ------
    InputError
        The compositions differ; the text says by what.
    """
    _check(first[0], second[0])
    numbers, cell = first[0], cells[0]
    a, b = (p @ np.linalg.inv(c) for (_, p), c in zip((first, second), cells, strict=True))
    rare = min(np.unique(numbers), key=lambda z: int((numbers == z).sum()))
    start = int(np.flatnonzero(numbers == rare)[0])
    trials = a[start] - b[second[0] == rare]
    sample = np.linspace(0, len(a) - 1, min(len(a), SAMPLE)).astype(int)
    rough = [_shift_score(numbers, a, second[0], b + t, cell, sample) for t in trials]
    best = None
    for k in np.argsort(rough, kind="stable")[:SHIFTS]:
        shift, partner = trials[k], np.full(len(a), -1)
        for _ in range(30):
            apart = _apart(a, b + shift, cell)
            matched = _assigned(numbers, second[0], (apart**2).sum(axis=2))
            moved = apart[np.arange(len(a)), matched] @ np.linalg.inv(cell)
            shift = shift + moved.mean(axis=0)
            if np.array_equal(matched, partner):
                break
            partner = matched
        off = -(moved - moved.mean(axis=0)) @ cell
        distance = np.linalg.norm(off, axis=1)
        if best is None or _rms(distance) < _rms(best[0]) - 1e-9:
            best = (distance, partner, shift, off)
    assert best is not None  # there is always an atom to start from
    u, _, vt = np.linalg.svd(np.linalg.solve(cells[1], cell))
    return _comparison(numbers, best[3], best[1], (u @ vt).T, best[2] @ cell, parts)


def _apart(a: FloatArray, b: FloatArray, cell: FloatArray) -> FloatArray:
    """From each of b to each of a by the nearest image, Å, shape (N, M, 3)."""
    difference = a[:, None] - b[None]
    return np.asarray((difference - np.rint(difference)) @ cell)


def _shift_score(
    numbers: IntArray,
    a: FloatArray,
    others: IntArray,
    b: FloatArray,
    cell: FloatArray,
    sample: IntArray,
) -> float:
    """Summed distance of some atoms to the nearest of their element, Å."""
    away = np.linalg.norm(_apart(a[sample], b, cell), axis=2)
    away[numbers[sample][:, None] != others[None]] = np.inf
    return float(np.minimum(away.min(axis=1), 4.0).sum())


def _assigned(numbers: IntArray, others: IntArray, cost: FloatArray) -> IntArray:
    """One-to-one partners within each element of least summed cost. cost: shape (N, N)."""
    from scipy.optimize import linear_sum_assignment

    partner = np.empty(len(numbers), dtype=np.int64)
    for z in np.unique(numbers):
        i, j = np.flatnonzero(numbers == z), np.flatnonzero(others == z)
        partner[i] = j[linear_sum_assignment(cost[np.ix_(i, j)])[1]]
    return partner


def _comparison(
    numbers: IntArray,
    displacement: FloatArray,
    partner: IntArray,
    turned: FloatArray,
    shift: FloatArray,
    parts: Mapping[str, IntArray] | None,
) -> Comparison:
    distance = np.linalg.norm(displacement, axis=1)
    groups = parts or {symbol(int(z)): np.flatnonzero(numbers == z) for z in np.unique(numbers)}
    groups = {name: atoms for name, atoms in groups.items() if len(atoms)}

    def worst(atoms: IntArray) -> tuple[Displaced, ...]:
        order = atoms[np.argsort(-distance[atoms], kind="stable")[:WORST]]
        return tuple(
            Displaced(int(i), int(partner[i]), symbol(int(numbers[i])), float(distance[i]))
            for i in order
        )

    return Comparison(
        rmsd=_rms(distance),
        by_part={name: _rms(distance[atoms]) for name, atoms in groups.items()},
        largest={name: worst(atoms) for name, atoms in groups.items()},
        partner=partner,
        rotation=turned,
        shift=shift,
        displacement=displacement,
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
    if best[0] > (CLOSE if _is_round(numbers, x) else SETTLED):
        turns = _promising(numbers, x, others, y)
        # By nearest atoms first: the exchange of places is what takes time.
        rough = [_refined(numbers, x, others, y, turn, exact=False) for turn in turns]
        for k in np.argsort([r[0] for r in rough], kind="stable")[:FINAL]:
            best = min([best, _refined(numbers, x, others, y, rough[k][2])], key=lambda f: f[0])
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

    drawn = Rotation.random(TRIALS, random_state=np.random.default_rng(0))
    turns = drawn.as_matrix()
    outer = np.argsort(-np.linalg.norm(y, axis=1), kind="stable")[: 2 * SAMPLE : 2]
    score = np.zeros(TRIALS)
    for z in np.unique(others[outer]):
        mine = y[outer][others[outer] == z]
        tree = cKDTree(x[numbers == z])
        placed = np.einsum("kij,nj->kni", turns, mine)
        score += np.minimum(tree.query(placed, distance_upper_bound=4.0)[0], 4.0).sum(axis=1)
    kept: list[int] = []
    for k in np.argsort(score, kind="stable"):
        # The trace of a relative rotation is 1 + 2 cos of its angle.
        traces = np.einsum("kij,ij->k", turns[kept], turns[k])
        if not kept or traces.max() < 1 + 2 * np.cos(np.radians(APART)):
            kept.append(int(k))
        if len(kept) == BEST:
            break
    return list(turns[kept])


def _is_round(numbers: IntArray, x: FloatArray) -> bool:
    """Two moments of inertia are so near each other that noise turns their axes."""
    moments = np.linalg.eigvalsh((x * numbers[:, None]).T @ x)
    return bool((np.diff(moments) < ROUND * moments[-1]).any())


def _refined(
    numbers: IntArray,
    x: FloatArray,
    others: IntArray,
    y: FloatArray,
    rotation: FloatArray,
    *,
    exact: bool = True,
) -> tuple[float, IntArray, FloatArray]:
    """Rms distance, partners and rotation when matching and superposing no longer change.

    exact: partners one to one; otherwise the nearest atom of the element.
    """
    partner = np.full(len(x), -1)
    shift = np.zeros(3)
    for _ in range(30):
        placed = y @ rotation.T + shift
        matched = _matched(numbers, x, others, placed, exact)
        if np.array_equal(matched, partner):
            break
        partner = matched
        rotation, shift = _kabsch(x, y[partner])
    distance = np.linalg.norm(y[partner] @ rotation.T + shift - x, axis=1)
    return _rms(distance), partner, rotation


def _matched(
    numbers: IntArray, x: FloatArray, others: IntArray, placed: FloatArray, exact: bool
) -> IntArray:
    """Partners within each element that make the summed squared distance small."""
    from scipy.optimize import linear_sum_assignment
    from scipy.spatial import cKDTree
    from scipy.spatial.distance import cdist

    partner = np.empty(len(x), dtype=np.int64)
    for z in np.unique(numbers):
        i, j = np.flatnonzero(numbers == z), np.flatnonzero(others == z)
        nearest = cKDTree(placed[j]).query(x[i])[1]
        if exact and len(np.unique(nearest)) < len(i):
            if len(i) <= EXACT:
                nearest = linear_sum_assignment(cdist(x[i], placed[j], "sqeuclidean"))[1]
            else:
                nearest = _sparsely_matched(x[i], placed[j])
        partner[i] = j[nearest]
    return partner


def _sparsely_matched(x: FloatArray, y: FloatArray) -> IntArray:
    """One-to-one partners, each among the nearest; more of them where that is too few."""
    from scipy.sparse import csr_matrix
    from scipy.sparse.csgraph import min_weight_full_bipartite_matching
    from scipy.spatial import cKDTree

    tree, n = cKDTree(y), len(x)
    for k in (12, 48, 192):
        away, index = tree.query(x, k=k)
        rows = np.repeat(np.arange(n), k)
        # Stored zeros are edges that do not exist.
        graph = csr_matrix((away.ravel() ** 2 + 1e-9, (rows, index.ravel())), shape=(n, n))
        try:
            return np.asarray(min_weight_full_bipartite_matching(graph)[1])
        except ValueError:  # no full matching among so few
            continue
    raise ImpossibleError(
        f"The {n} atoms of one element lie too differently in the two models to be paired."
    )


def _kabsch(x: FloatArray, y: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Rotation and shift that lay y on x best."""
    cx, cy = x.mean(axis=0), y.mean(axis=0)
    u, _, vt = np.linalg.svd((x - cx).T @ (y - cy))
    sign = np.sign(np.linalg.det(u @ vt))
    rotation = u @ np.diag([1.0, 1.0, sign]) @ vt
    return np.asarray(rotation), np.asarray(cx - rotation @ cy)
