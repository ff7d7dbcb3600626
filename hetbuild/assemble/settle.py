"""Settle an interface: the ions near it move as little as possible until every contact floor holds.

A rigid join of two lattices leaves pairs of ions across it that are too close, and a gap wide
enough for all of them breaks the bonds of the shared layer. Settling finds displacements u that

    minimise   sum_i |u_i|^2     subject to     |r_i + u_i - r_j - u_j| >= f_ij

for the ions within reach of the other domain, the rest held: a tether of one stiffness for all,
and a wall at the floor f_ij of each pair. The stiffness cancels, so there is nothing to fit.

It comes after balancing. Ions that balancing removes then push nothing, ions that it adds on
lattice sites beside the cut are settled with the rest, and balancing works on lattice sites
alone: on the CsPbCl3/PbS model 33 ions move instead of 38, and no further.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from hetbuild.arrays import BoolArray, FloatArray, IntArray
from hetbuild.elements import symbol
from hetbuild.errors import ImpossibleError, InputError
from hetbuild.geometry.contacts import Floors
from hetbuild.geometry.images import finite
from hetbuild.model import LedgerEntry, Model, kept_digits
from hetbuild.rounding import ALIKE, DIGITS

STEP = 0.1
"""Step of the ascent in the Lagrange multipliers of the contacts (the forces that hold ions apart):
stable while no ion has more than five contacts at their floor."""

SWEEPS = 5000
"""Iterations after which floors that are still violated are taken to be impossible to keep."""

CONVERGED = 1e-7
"""Å: the iteration ends when no multiplier changes by more; far below GRAIN, to which displacements
are rounded."""

GRAIN = 1e-5
"""Å to which displacements are rounded, so that machines that round sums differently agree."""

HELD = 1e-4
"""Å by which a contact may stay below its floor."""

FARTHEST = 50.0
"""Å: most that settling may reach or move."""

NEAR = 0.3
"""Å above its floor up to which a contact is held from the start; others are added when they fall
below theirs."""


@dataclass(frozen=True, slots=True)
class Settling:
    """How an interface is settled."""

    floors: Floors = field(default_factory=Floors)
    """Contacts to reach, Å."""
    margin: float = 0.05
    """Kept above the floors, Å."""
    reach: float = 6.0
    """Ions this close to an ion of another domain may move, Å."""
    limit: float = 1.0
    """Largest displacement allowed, Å; a model that needs more is refused."""

    def __post_init__(self) -> None:
        for name in ("reach", "limit"):
            if not 0.0 < getattr(self, name) <= FARTHEST:
                raise InputError(
                    f"Settling with {name} {getattr(self, name):g} Å: give a distance above 0, "
                    f"up to {FARTHEST:g}."
                )
        if not 0.0 <= self.margin < np.inf:
            raise InputError(f"Settling with margin {self.margin:g} Å: give 0 or more.")


@dataclass(frozen=True, eq=False)
class _Pairs:
    """Pairs of ions, the second one perhaps an image, with the distance each must keep."""

    first: IntArray  # (M,)
    second: IntArray  # (M,)
    offset: FloatArray  # (M, 3) Å from the second ion to its image that is meant
    floor: FloatArray  # (M,) Å

    def where(self, mask: BoolArray) -> _Pairs:
        return _Pairs(self.first[mask], self.second[mask], self.offset[mask], self.floor[mask])


def settle(model: Model, rule: Settling | None = None) -> Model:
    """The model with every contact near its interface at or above the floors.

    Two ions of one domain are never asked to be further apart than they are: the bonds of a
    crystal may be shorter than a floor. Domains, sites and everything else stay; each ion that
    moves is entered in the ledger. The result does not depend on the machine: sums run in a fixed
    order, and displacements are rounded to 1e-5 Å.

    Raises
    ------
    ImpossibleError
        An ion would move further than the limit, or no displacement keeps every floor.
    """
    how = rule or Settling()
    mobile = near_interface(model, how.reach)
    pairs = _pairs(model, mobile, how)
    moved = np.zeros_like(model.positions)
    watched = np.zeros(len(pairs.first), dtype=bool)
    while True:
        apart = _distances(model.positions + moved, pairs)
        entering = ~watched & (apart < pairs.floor + NEAR)
        if not (apart < pairs.floor - HELD)[entering].any():
            break
        watched |= entering
        found = _nearest(model.positions, mobile, pairs.where(watched))
        moved = np.round(found / GRAIN) * GRAIN
        _check_limit(model, moved, how)
    _check_held(model, apart, pairs, how)
    return _moved(model, moved)


def near_interface(model: Model, reach: float) -> BoolArray:
    """Which ions have an ion of another domain within `reach` Å, shape (N,)."""
    from scipy.spatial import cKDTree

    around = finite(model, reach)
    near = np.zeros(len(model), dtype=bool)
    for index in np.unique(model.domain):
        mine = np.flatnonzero(model.domain == index)
        others = around.positions[around.domain != index]
        if len(others):
            # A search that ends there is quick for ions far from the interface.
            end = float(np.nextafter(reach, np.inf))
            away = cKDTree(others).query(model.positions[mine], distance_upper_bound=end)[0]
            near[mine] = away <= reach
    return near


def _pairs(model: Model, mobile: BoolArray, how: Settling) -> _Pairs:
    """Pairs that can come to their floor within the limit, in a fixed order.

    Pairs with a mobile ion, and those across the interface, whether or not their ions may move.
    """
    from scipy.spatial import cKDTree

    floors = how.floors
    far = max(floors.by_kind.values()) + how.margin + 2 * how.limit
    around = finite(model, far)
    here = _concerned(model, around, mobile, far)
    tree = cKDTree(around.positions[here])
    found = here[tree.query_pairs(far, output_type="ndarray")]
    found.sort(axis=1)
    first, image = found[np.lexsort(found.T[::-1])].T
    second = image % len(model)
    # Of a pair and its images the one counts that starts in the cell, once.
    across = around.domain[first] != around.domain[image]
    kept = mobile[first % len(model)] | mobile[second] | across
    kept &= first < len(model)
    kept &= (image < len(model)) | (first <= second)
    first, second, image = first[kept], second[kept], image[kept]
    offset = around.positions[image] - model.positions[second]
    limit = floors.between(model.charges[first], model.charges[second]) + how.margin
    pairs = _Pairs(first, second, offset, limit)
    own = model.domain[first] == model.domain[second]
    limit = np.where(own, np.minimum(limit, _distances(model.positions, pairs)), limit)
    return replace(pairs, floor=limit)


def _concerned(model: Model, around: Model, mobile: BoolArray, far: float) -> IntArray:
    """Atoms of a model and its images that can be in a pair that counts, sorted."""
    from scipy.spatial import cKDTree

    ends = np.resize(mobile | near_interface(model, far), len(around))
    tree = cKDTree(around.positions[ends])
    # A little further, so that rounding leaves no pair out.
    away = tree.query(around.positions, distance_upper_bound=far + ALIKE)[0]
    return np.flatnonzero(away < np.inf)


def _apart(positions: FloatArray, pairs: _Pairs) -> tuple[FloatArray, FloatArray]:
    vector = positions[pairs.first] - positions[pairs.second] - pairs.offset
    x, y, z = vector.T
    return vector, np.sqrt(x * x + y * y + z * z)


def _distances(positions: FloatArray, pairs: _Pairs) -> FloatArray:
    return _apart(positions, pairs)[1]


def _nearest(start: FloatArray, mobile: BoolArray, pairs: _Pairs) -> FloatArray:
    """The smallest displacements that keep the floors of these pairs, Å, shape (N, 3).

    Uzawa's method: a multiplier for each pair grows while its floor is missed, and the ions stand
    where the tethers balance the multipliers along the lines between them.
    """
    multiplier = np.zeros(len(pairs.first))
    result = np.zeros_like(start)
    atoms, ends = np.unique(np.concatenate([pairs.first, pairs.second]), return_inverse=True)
    first, second = ends.reshape(2, -1)
    pairs = replace(pairs, first=first, second=second)
    start, mobile = start[atoms], mobile[atoms]
    moved = np.zeros_like(start)
    for _ in range(SWEEPS):
        vector, distance = _apart(start + moved, pairs)
        grown = np.maximum(multiplier + STEP * (pairs.floor - distance), 0.0)
        change = np.abs(grown - multiplier).max(initial=0.0)
        multiplier = grown
        push = (multiplier / np.maximum(distance, GRAIN))[:, None] * vector
        for axis in range(3):
            onto = np.bincount(pairs.first, push[:, axis], len(start))
            onto -= np.bincount(pairs.second, push[:, axis], len(start))
            moved[:, axis] = np.where(mobile, onto, 0.0)
        if change < CONVERGED:
            break
    result[atoms] = moved
    return result


def _check_limit(model: Model, moved: FloatArray, how: Settling) -> None:
    length = np.linalg.norm(moved, axis=1)
    worst = int(np.argmax(np.round(length, 4)))
    if length[worst] > how.limit:
        raise ImpossibleError(
            f"To keep the contact floors {_name(model, worst)} of "
            f"{model.domains[model.domain[worst]].name} would have to move {length[worst]:.2f} Å; "
            f"the limit is {how.limit:g} Å. Use a wider gap or another shift, merge ions that "
            "share a place (join.merge), or raise join.settle.limit."
        )


def _check_held(model: Model, apart: FloatArray, pairs: _Pairs, how: Settling) -> None:
    short = pairs.floor - apart
    if len(short) and short.max() > HELD:
        k = int(np.argmax(np.round(short, DIGITS)))
        raise ImpossibleError(
            f"Settling ends with {_name(model, pairs.first[k])} and "
            f"{_name(model, pairs.second[k])} {apart[k]:.2f} Å apart, floor {pairs.floor[k]:.2f} Å."
            f" Widen join.settle.reach ({how.reach:g} Å), use a wider gap, or merge ions that share"
            " a place (join.merge)."
        )


def _name(model: Model, atom: int) -> str:
    return f"{symbol(int(model.numbers[atom]))}{atom + 1}"


def _moved(model: Model, moved: FloatArray) -> Model:
    """The model displaced, with a ledger entry for each ion that moved, at its new place."""
    atoms = np.flatnonzero(moved.any(axis=1))
    positions = model.positions.copy()
    positions[atoms] = kept_digits(positions[atoms] + moved[atoms])
    entries = [
        LedgerEntry(
            step="settle",
            action="move",
            element=symbol(int(model.numbers[i])),
            domain=model.domains[model.domain[i]].name,
            position=(x, y, z),
            reason="contact floors of the interface",
        )
        for i, (x, y, z) in zip(atoms.tolist(), positions[atoms].tolist(), strict=True)
    ]
    return replace(model, positions=positions, ledger=(*model.ledger, *entries))
