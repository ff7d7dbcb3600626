"""Distances between ions: closest contacts by kind, coordination, contact floors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hetbuild.arguments import check_fields
from hetbuild.arrays import BoolArray, FloatArray, IntArray
from hetbuild.crystal.crystal import Crystal
from hetbuild.errors import InputError
from hetbuild.rounding import ALIKE

KINDS = ("anion-anion", "cation-anion", "cation-cation")
"""Kinds of contact, in the order every triple of this module uses."""

NEARBY = 6.0
"""Å within which closest contacts are looked for first."""


NEAREST = 0.95
"""Where two ions of a crystal are closer than the usual floor, ions of two domains may be as close
as this fraction of that distance."""

COINCIDENT = 1e-6
"""Å below which a site and its image are the same."""


@dataclass(frozen=True, slots=True)
class Floors:
    """Shortest contacts allowed, Å; published lead halides and sulfides stay above them.

    Examples
    --------
    >>> import hetbuild as hb
    >>> hb.Floors(cation_anion=2.4).by_kind
    {'anion-anion': 3.0, 'cation-anion': 2.4, 'cation-cation': 3.3}
    """

    anion_anion: float = 3.0
    """Between two anions."""
    cation_anion: float = 2.6
    """Between a cation and an anion."""
    cation_cation: float = 3.3
    """Between two cations."""

    def __post_init__(self) -> None:
        check_fields(self)
        for name in ("anion_anion", "cation_anion", "cation_cation"):
            if not 0.0 <= getattr(self, name) < np.inf:
                raise InputError(
                    f"A floor of {name} {getattr(self, name):g} Å: give a distance, 0 or more."
                )

    @property
    def by_kind(self) -> dict[str, float]:
        """Limit in Å by kind of contact."""
        return dict(
            zip(KINDS, (self.anion_anion, self.cation_anion, self.cation_cation), strict=True)
        )

    @property
    def listed(self) -> str:
        """The limits as messages give them."""
        return ", ".join(f"{kind} {limit:g}" for kind, limit in self.by_kind.items())

    def between(self, first: IntArray, second: IntArray) -> FloatArray:
        """Limit in Å for pairs of ions with these charges (broadcast)."""
        anions = (np.asarray(first) < 0).astype(int) + (np.asarray(second) < 0)
        table = np.array([self.cation_cation, self.cation_anion, self.anion_anion])
        return np.asarray(table[anions])


def floors_of(*crystals: Crystal) -> Floors:
    """Contacts that domains of these crystals must keep: the usual ones, less where theirs are.

    Oxides and zinc blendes have bonds below the floors of lead halides and sulfides; 0.95 of the
    shortest distance of a kind in any of the crystals is allowed there.
    """
    usual = Floors()
    return Floors(
        anion_anion=min(usual.anion_anion, NEAREST * min(_like(c, -1) for c in crystals)),
        cation_anion=min(usual.cation_anion, NEAREST * min(_unlike(c) for c in crystals)),
        cation_cation=min(usual.cation_cation, NEAREST * min(_like(c, 1) for c in crystals)),
    )


def _unlike(crystal: Crystal) -> float:
    """Shortest cation-anion distance in a crystal, Å; infinite in one without charges."""
    length = crystal.bonds.length
    return float(length.min()) if len(length) else np.inf


def _like(crystal: Crystal, sign: int) -> float:
    """Shortest distance between ions of one sign in a crystal, Å; infinite without any."""
    cells = np.stack(np.meshgrid(*3 * [[-1, 0, 1]], indexing="ij"), axis=-1).reshape(-1, 3)
    sites = crystal.fractional[np.sign(crystal.charges) == sign]
    steps = (sites[:, None, None] - sites[None, :, None] + cells) @ crystal.vectors
    length = np.linalg.norm(steps, axis=3).ravel()
    return float(length[length > COINCIDENT].min(initial=np.inf))


@dataclass(frozen=True, slots=True)
class Contact:
    """The closest pair of one kind."""

    kind: str
    distance: float
    """Å."""
    first: int
    """Index in the first set of ions."""
    second: int


def closest_contacts(
    first: FloatArray, first_charges: IntArray, second: FloatArray, second_charges: IntArray
) -> tuple[Contact, ...]:
    """Closest contact of each kind between two sets of ions. Positions in Å, shapes (N, 3), (M, 3).

    A cation-anion contact may have its cation on either side; kinds that do not occur are left out.
    """
    signs = {"anion-anion": [(-1, -1)], "cation-anion": [(1, -1), (-1, 1)]}
    signs["cation-cation"] = [(1, 1)]
    found = []
    for kind in KINDS:
        pairs = [_closest(first, first_charges, second, second_charges, s) for s in signs[kind]]
        best = min((p for p in pairs if p is not None), default=None)
        if best is not None:
            found.append(Contact(kind, *best))
    return tuple(found)


def coordination(centres: FloatArray, neighbours: FloatArray, cutoff: float) -> IntArray:
    """How many neighbours lie within cutoff (Å) of each centre, shape (N,); at it is within."""
    from scipy.spatial import cKDTree

    if not len(neighbours) or not len(centres):
        return np.zeros(len(centres), dtype=np.int64)
    found = cKDTree(neighbours).query_ball_point(centres, cutoff + ALIKE, return_length=True)
    return np.asarray(found, dtype=np.int64)


def clear_of(
    candidates: FloatArray, charge: int, positions: FloatArray, charges: IntArray, floors: Floors
) -> BoolArray:
    """Which candidate positions, shape (C, 3), an ion of this charge may take: shape (C,)."""
    free = np.ones(len(candidates), dtype=bool)
    for sign in (-1, 1):
        limit = float(floors.between(np.array(charge), np.array(sign)))
        close = coordination(candidates, positions[np.sign(charges) == sign], limit - 2 * ALIKE)
        free &= close == 0
    return free


def _closest(
    first: FloatArray,
    first_charges: IntArray,
    second: FloatArray,
    second_charges: IntArray,
    signs: Sequence[int],
) -> tuple[float, int, int] | None:
    from scipy.spatial import cKDTree

    i = np.flatnonzero(np.sign(first_charges) == signs[0])
    j = np.flatnonzero(np.sign(second_charges) == signs[1])
    if not len(i) or not len(j):
        return None
    tree = cKDTree(first[i])
    # A search that ends nearby is quick for ions far from the other set, where there are any near.
    distance, partner = tree.query(second[j], distance_upper_bound=NEARBY)
    if not (distance < np.inf).any():
        distance, partner = tree.query(second[j])
    k = int(np.argmin(np.round(distance, 9)))
    return float(distance[k]), int(i[partner[k]]), int(j[k])
