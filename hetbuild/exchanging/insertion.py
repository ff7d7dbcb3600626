"""Where a cation that comes in has room beside the ions that stay."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hetbuild.arrays import BoolArray, FloatArray
from hetbuild.elements import number
from hetbuild.model import Model, kept_digits
from hetbuild.rounding import ALIKE

PUSHES = 30
"""Rounds in which places are pushed away from cations that are too near; those between two or three
of them reach the floor in five to ten."""

PAST = 1e-3
"""Å past the floor that places are pushed to, so that the rounds end."""

NEAREST = 8
"""Cations that one place is pushed away from: no more can be within a floor of it."""


@dataclass(frozen=True, slots=True)
class InsertionFloors:
    """Shortest contacts of a cation that comes in, Å."""

    kept: float = 2.9
    """To cations that stay."""
    like: float = 2.4
    """To others that come in."""
    anion: float = 2.0


@dataclass(frozen=True, slots=True)
class Incoming:
    """Cations that come in."""

    element: str
    charge: int
    """Formal charge of each, e."""
    count: int
    """How many make up for the cations that leave."""
    missing: int
    """How many of these are left out in the end."""


@dataclass(frozen=True, eq=False)
class Staying:
    """The ions that stay, by the floor that a cation that comes in keeps from them."""

    floors: InsertionFloors
    others: FloatArray
    """Cations that stay, Å, shape (K, 3)."""
    like: FloatArray
    """Cations of the product that came in before, Å, shape (L, 3)."""
    anions: FloatArray
    """Å, shape (A, 3)."""

    @classmethod
    def of(cls, model: Model, index: int, element: str, floors: InsertionFloors) -> Staying:
        """Those of a model whose leaving cations are gone; index: the domain that changes."""
        like = (model.numbers == number(element)) & (model.domain == index)
        others, anions = (model.charges > 0) & ~like, model.charges < 0
        return cls(floors, *(model.positions[m] for m in (others, like, anions)))

    def clear(self, places: FloatArray) -> BoolArray:
        """Which places keep every floor, shape (P,)."""
        free = np.ones(len(places), dtype=bool)
        for positions, floor in (
            (self.others, self.floors.kept),
            (self.like, self.floors.like),
            (self.anions, self.floors.anion),
        ):
            free &= nearest(positions, places) > floor - ALIKE
        return free

    def displaced(self, places: FloatArray) -> FloatArray:
        """The places moved straight away from cations that stay until these are at their floor.

        Shape (P, 3). Places that have no way out between these cations end too near to some; none
        may be on one of them.
        """
        from scipy.spatial import cKDTree

        moved = places.copy()
        if not len(self.others):
            return moved
        floor = self.floors.kept + PAST
        tree = cKDTree(self.others)
        for _ in range(PUSHES):
            # Only to the floor itself: what is between it and PAST is where it should be.
            apart, which = tree.query(moved, k=NEAREST, distance_upper_bound=self.floors.kept)
            near = np.isfinite(apart)
            if not near.any():
                break
            row, column = np.nonzero(near)
            length = apart[row, column][:, None]
            away = (moved[row] - self.others[which[row, column]]) / length
            np.add.at(moved, row, away * (floor - length))
        return kept_digits(moved)


def nearest(positions: FloatArray, places: FloatArray) -> FloatArray:
    """Distance of each place to the nearest position, Å, shape (P,); infinite without any."""
    from scipy.spatial import cKDTree

    if not len(positions):
        return np.full(len(places), np.inf)
    return np.asarray(cKDTree(positions).query(places)[0])


def apart(places: FloatArray, floor: float) -> BoolArray:
    """Which places to keep so that none are nearer to each other than the floor, shape (P,).

    Of two that are, the earlier one, unless it goes for another's sake.
    """
    from scipy.spatial import cKDTree

    keep = np.ones(len(places), dtype=bool)
    pairs = np.sort(cKDTree(places).query_pairs(floor - ALIKE, output_type="ndarray"), axis=1)
    while len(pairs):
        settled = np.ones(len(places), dtype=bool)
        settled[pairs[:, 1]] = False
        keep[pairs[settled[pairs[:, 0]], 1]] = False
        pairs = pairs[keep[pairs].all(axis=1)]
    return keep
