"""Two models laid on each other: how far apart their atoms are, and which sites differ.

The alignment is rigid, atoms of one element may change places, and neither the order of the atoms
nor the orientation of the models matters. Of periodic models the cells are laid on each other, and
only the shift between them is free.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from hetbuild.analyse.alignment import align
from hetbuild.analyse.whereabouts import Whereabouts
from hetbuild.arrays import FloatArray, IntArray
from hetbuild.elements import counts, symbol
from hetbuild.errors import InputError
from hetbuild.frozen import own
from hetbuild.geometry.pairing import pair_elements
from hetbuild.geometry.rigid import superposed

SAMPLE = 250
"""Atoms by which shifts of a periodic model are compared."""

SHIFTS = 6
"""Shifts of a periodic model that are refined."""

SHIFT_ROUNDS = 30
"""Largest number of rounds of pairing and shifting a periodic model; a few suffice."""

ROUNDS = 20
"""Times that atoms are paired and superposed in turn, at most."""

FIRM = 1.0
"""Å: where some atoms have no counterpart, models are laid on each other by those nearer than this,
so that what differs does not pull the rest away."""

COUNTERPART = 2.0
"""Å: an atom with none of its element left within this has no counterpart in the other model."""

STRAINED = 2
"""Times that counterparts are sought anew with the strain they show taken out."""

FEWEST = 12
"""Atoms whose places tell how a part is strained."""

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


@dataclass(frozen=True)
class Unmatched:
    """An atom of one model that has no counterpart within 2 Å in the other."""

    index: int
    """In its own model."""
    element: str
    domain: str
    """Empty where the model has none."""
    group: str
    """``interface``, ``facet``, ``edge``, ``corner`` or ``inside``; empty where not known."""
    site: str
    """Lattice site with its cell, as ``Cs1 (2 0 -1)``; empty where not known."""


@dataclass(frozen=True, eq=False)
class Comparison:
    """The second model laid on the first.

    Examples
    --------
    >>> import hetbuild as hb
    >>> cube = hb.build("cspbcl3-cube-2")
    >>> found = hb.compare(cube, cube)
    >>> round(found.rmsd, 6), list(found.by_part), found.missing
    (0.0, ['perovskite'], ())
    """

    rmsd: float
    """Root mean square distance of atoms and their counterparts, those within 2 Å, Å. Atoms without
    one did not move there: they are listed in `missing` and `added`."""
    rmsd_all: float
    """The same of all atoms paired one to one, whatever their distance, Å."""
    median: float
    """Of atoms and their counterparts, Å."""
    ninety: float
    """Distance that 90 % of these do not exceed, Å."""
    by_part: Mapping[str, float]
    """Rms by domain, or by element where there are no domains, Å; those of which no atom has a
    counterpart are left out."""
    by_element: Mapping[str, float]
    """Rms by element, Å; without those of which no atom has a counterpart."""
    expansion: Mapping[str, tuple[float, float]]
    """By part, how much larger it is in the second model, linear and dimensionless, and the rms
    distance of counterparts in Å that is left when its homogeneous strain is taken out."""
    largest: Mapping[str, tuple[Displaced, ...]]
    """By the same parts, the atoms that moved most, farthest first."""
    partner: IntArray
    """Atom of the second model for each of the first, all paired one to one as far as they go, -1
    where none is left, shape (N,)."""
    rotation: FloatArray
    """x_first = rotation @ x_second + shift; shape (3, 3)."""
    shift: FloatArray
    """Å, shape (3,)."""
    displacement: FloatArray
    """From each atom of the first model to its partner as laid on it, Å, zero where it has none,
    shape (N, 3)."""
    missing: tuple[Unmatched, ...] = ()
    """Atoms of the first without counterpart in the second."""
    added: tuple[Unmatched, ...] = ()
    """Atoms of the second without counterpart in the first."""
    surplus: tuple[Mapping[str, int], Mapping[str, int]] = field(default_factory=lambda: ({}, {}))
    """Atoms by element that only the first, and only the second, has more of."""

    def __post_init__(self) -> None:
        for array in (self.partner, self.rotation, self.shift, self.displacement):
            own(array)

    def __repr__(self) -> str:
        return (
            f"<Comparison: rmsd {self.rmsd:.4f} Å, {len(self.missing)} sites of the first and "
            f"{len(self.added)} of the second without counterpart>"
        )

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "rmsd": self.rmsd,
            "rmsd_all": self.rmsd_all,
            "median": self.median,
            "ninety_per_cent": self.ninety,
            "by_part": dict(self.by_part),
            "by_element": dict(self.by_element),
            "expansion": {name: list(values) for name, values in self.expansion.items()},
            "largest": {name: [asdict(d) for d in part] for name, part in self.largest.items()},
            "missing": [asdict(u) for u in self.missing],
            "added": [asdict(u) for u in self.added],
            "surplus": [dict(s) for s in self.surplus],
            "rotation": self.rotation.tolist(),
            "shift": self.shift.tolist(),
        }


Atoms = tuple[IntArray, FloatArray]
"""Atomic numbers (N,) and positions (N, 3) in Å."""


def compare(
    first: Atoms,
    second: Atoms,
    parts: Mapping[str, IntArray] | None = None,
    *,
    where: tuple[Whereabouts | None, Whereabouts | None] = (None, None),
) -> Comparison:
    """Lay the second set of atoms on the first. Each: atomic numbers (N,), positions (N, 3) in Å.

    parts: atoms of the first, by name, whose distance is reported apart; default: each element.
    where: what is known of the places of each model's atoms. Models of different composition are
    compared by what they have in common. The motion is the best of a search over all orientations
    (see `align`); atoms are paired one to one within each element at least summed squared distance.

    Raises
    ------
    InputError
        The models have no element in common.
    """
    _check(first[0], second[0])
    (numbers, a), (others, b) = first, second
    motion = align(numbers, a, others, b)
    rotation, shift = motion.rotation, motion.shift
    partner: IntArray = np.empty(0, dtype=np.int64)
    for _ in range(ROUNDS):
        found = pair_elements(numbers, a, others, b @ rotation.T + shift)
        if np.array_equal(found, partner):
            break
        partner = found
        used = _close(a, b @ rotation.T + shift, partner)
        rotation, shift = superposed(a[used], b[partner[used]])
    return _comparison(
        numbers, others, (a, b @ rotation.T + shift), partner, (rotation, shift), parts, where
    )


def _close(a: FloatArray, placed: FloatArray, partner: IntArray) -> IntArray:
    """Atoms to superpose models by: all, or the firm ones where some have no counterpart."""
    paired = np.flatnonzero(partner >= 0)
    away = np.linalg.norm(placed[partner[paired]] - a[paired], axis=1)
    if len(paired) == len(a) and away.max() < COUNTERPART:
        return paired
    near = paired[away < FIRM]
    return near if len(near) >= 0.5 * len(paired) and len(near) > 3 else paired


def compare_periodic(
    first: Atoms,
    second: Atoms,
    cells: tuple[FloatArray, FloatArray],
    parts: Mapping[str, IntArray] | None = None,
    *,
    where: tuple[Whereabouts | None, Whereabouts | None] = (None, None),
) -> Comparison:
    """The same for models that repeat, each with its cell (rows in Å, shape (3, 3)).

    Atoms may be wrapped into the cells in any way. Positions are compared as fractions of the
    cells, in Å of the first; the rotation is that from the second cell to the first.

    Raises
    ------
    InputError
        The compositions differ; the text says by what.
    """
    _check_same(first[0], second[0])
    numbers, cell = first[0], cells[0]
    a, b = (p @ np.linalg.inv(c) for (_, p), c in zip((first, second), cells, strict=True))
    rare = min(np.unique(numbers), key=lambda z: int((numbers == z).sum()))
    start = int(np.flatnonzero(numbers == rare)[0])
    trials = a[start] - b[second[0] == rare]
    sample = np.linspace(0, len(a) - 1, min(len(a), SAMPLE)).astype(int)
    rough = [_shift_score(numbers, a, second[0], b + t, cell, sample) for t in trials]
    best = None
    for k in np.argsort(rough, kind="stable")[:SHIFTS]:
        found = _shifted(numbers, a, second[0], b, trials[k], cell)
        rms = _rms(np.linalg.norm(found[2], axis=1))
        if best is None or rms < best[0] - 1e-9:
            best = (rms, *found)
    assert best is not None  # there is always an atom to start from
    _, partner, shift, apart = best
    u, _, vt = np.linalg.svd(np.linalg.solve(cells[1], cell))
    placed = np.empty_like(first[1])
    placed[partner] = first[1] - apart
    motion = (u @ vt).T, shift @ cell
    return _comparison(numbers, second[0], (first[1], placed), partner, motion, parts, where)


def _shifted(
    numbers: IntArray,
    a: FloatArray,
    others: IntArray,
    b: FloatArray,
    shift: FloatArray,
    cell: FloatArray,
) -> tuple[IntArray, FloatArray, FloatArray]:
    """Partners in b of each of a, the shift that brings them closest, and how far they are apart.

    a, b: fractions of the cell; apart: Å, shape (N, 3).
    """
    partner = np.full(len(a), -1)
    for _ in range(SHIFT_ROUNDS):
        apart = _apart(a, b + shift, cell)
        matched = _assigned(numbers, others, (apart**2).sum(axis=2))
        moved = apart[np.arange(len(a)), matched] @ np.linalg.inv(cell)
        shift = shift + moved.mean(axis=0)
        if np.array_equal(matched, partner):
            break
        partner = matched
    return partner, shift, (moved - moved.mean(axis=0)) @ cell


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


def _counterparts(
    numbers: IntArray,
    others: IntArray,
    positions: tuple[FloatArray, FloatArray],
    lattices: Mapping[str, IntArray] | None,
) -> IntArray:
    """Index of the atom of the second that stands where one of the first does, -1 none; (N,).

    lattices: atoms of each domain, whose strain is taken out first.
    """
    a, b = positions
    near = pair_elements(numbers, a, others, b, COUNTERPART)
    if lattices:
        for _ in range(STRAINED):
            near = pair_elements(numbers, _strained(a, b, near, lattices), others, b, COUNTERPART)
    return near


def _comparison(
    numbers: IntArray,
    others: IntArray,
    positions: tuple[FloatArray, FloatArray],
    partner: IntArray,
    motion: tuple[FloatArray, FloatArray],
    parts: Mapping[str, IntArray] | None,
    where: tuple[Whereabouts | None, Whereabouts | None],
) -> Comparison:
    """From pairs and positions, those of the second laid on the first."""
    a, b = positions
    paired = np.flatnonzero(partner >= 0)
    displacement = np.zeros_like(a)
    displacement[paired] = b[partner[paired]] - a[paired]
    distance = np.where(partner >= 0, np.linalg.norm(displacement, axis=1), np.nan)
    elements = {symbol(int(z)): np.flatnonzero(numbers == z) for z in np.unique(numbers)}
    groups = {name: atoms for name, atoms in (parts or elements).items() if len(atoms)}
    near = _counterparts(numbers, others, positions, groups if parts else None)
    lost = np.flatnonzero(near < 0)
    alone = np.setdiff1d(np.arange(len(b)), near[near >= 0])
    if not (near >= 0).any():  # nothing stands where it stood: all that can be given is all pairs
        near = partner
    apart, met = np.full(len(a), np.nan), near >= 0
    apart[met] = np.linalg.norm(b[near[met]] - a[met], axis=1)
    elements = {name: atoms for name, atoms in elements.items() if met[atoms].any()}
    groups = {name: atoms for name, atoms in groups.items() if met[atoms].any()}
    have, wanted = Counter(counts(numbers)), Counter(counts(others))
    return Comparison(
        rmsd=_rms(apart),
        rmsd_all=_rms(distance),
        median=float(np.nanmedian(apart)),
        ninety=float(np.nanquantile(apart, 0.9)),
        by_part={name: _rms(apart[atoms]) for name, atoms in groups.items()},
        by_element={name: _rms(apart[atoms]) for name, atoms in elements.items()},
        expansion=_expansions(a, b, near, groups),
        largest={name: _worst(numbers, apart, near, atoms) for name, atoms in groups.items()},
        partner=partner,
        rotation=motion[0],
        shift=motion[1],
        displacement=displacement,
        missing=_unmatched(numbers, lost, where[0]),
        added=_unmatched(others, alone, where[1]),
        surplus=(dict(have - wanted), dict(wanted - have)),
    )


def _strained(
    a: FloatArray, b: FloatArray, near: IntArray, groups: Mapping[str, IntArray]
) -> FloatArray:
    """The first model with each part strained as in the second, Å, shape (N, 3)."""
    placed = a.copy()
    for atoms in groups.values():
        solution = _affine(a, b, atoms[near[atoms] >= 0], near)
        if solution is not None:
            placed[atoms] = a[atoms] @ solution[:3] + solution[3]
    return placed


def _affine(a: FloatArray, b: FloatArray, atoms: IntArray, near: IntArray) -> FloatArray | None:
    """Deformation (rows 0 to 2) and shift (row 3) that take atoms to their counterparts; (4, 3).

    None where they are too few to tell, or in one plane.
    """
    design = np.hstack([a[atoms], np.ones((len(atoms), 1))])
    spread = a[atoms] - a[atoms].mean(axis=0) if len(atoms) else a[atoms]
    if len(atoms) < FEWEST or np.linalg.matrix_rank(spread, tol=1.0) < 3:
        return None
    return np.asarray(np.linalg.lstsq(design, b[near[atoms]], rcond=None)[0])


def _expansions(
    a: FloatArray, b: FloatArray, near: IntArray, groups: Mapping[str, IntArray]
) -> dict[str, tuple[float, float]]:
    """See `Comparison.expansion`; parts of too few atoms are left out."""
    found = {}
    for name, atoms in groups.items():
        mine = atoms[near[atoms] >= 0]
        solution = _affine(a, b, mine, near)
        if solution is not None:
            left = np.linalg.norm(a[mine] @ solution[:3] + solution[3] - b[near[mine]], axis=1)
            size = float(np.cbrt(np.linalg.det(solution[:3])))
            found[name] = size - 1.0, _rms(left)
    return found


def _worst(
    numbers: IntArray, distance: FloatArray, partner: IntArray, atoms: IntArray
) -> tuple[Displaced, ...]:
    paired = atoms[partner[atoms] >= 0]
    order = paired[np.argsort(-distance[paired], kind="stable")[:WORST]]
    return tuple(
        Displaced(int(i), int(partner[i]), symbol(int(numbers[i])), float(distance[i]))
        for i in order
    )


def _unmatched(
    numbers: IntArray, atoms: IntArray, where: Whereabouts | None
) -> tuple[Unmatched, ...]:
    return tuple(
        Unmatched(
            int(i),
            symbol(int(numbers[i])),
            "" if where is None else str(where.domain[i]),
            "" if where is None else str(where.group[i]),
            "" if where is None else str(where.site[i]),
        )
        for i in atoms
    )


def _rms(distance: FloatArray) -> float:
    known = distance[~np.isnan(distance)]
    return float(np.sqrt((known**2).mean())) if len(known) else float("nan")


def _check(first: IntArray, second: IntArray) -> None:
    if not np.intersect1d(first, second).size:
        a, b = (", ".join(counts(n)) or "nothing" for n in (first, second))
        raise InputError(f"The models have no element in common: one is of {a}, the other of {b}.")


def _check_same(first: IntArray, second: IntArray) -> None:
    a, b = counts(first), counts(second)
    if a != b:
        differ = ", ".join(
            f"{e} {a.get(e, 0)} and {b.get(e, 0)}" for e in {**a, **b} if a.get(e) != b.get(e)
        )
        raise InputError(
            f"Periodic models of different composition cannot be laid on each other: {differ}. "
            "Compare models of the same ions, for example before and after relaxation."
        )
