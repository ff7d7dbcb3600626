"""In which order ions go where a selection leaves more than are needed, parsed once.

An order is ranks joined by commas, each "first", and at the end what decides among equals:

    corners first, least bonded first, spread
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from hetbuild.arrays import FloatArray, IntArray
from hetbuild.errors import InputError
from hetbuild.rounding import DIGITS
from hetbuild.selection.places import Places

Rank = Literal["least bonded", "corners", "outermost", "innermost", "nearest the interface"]
Tie = Literal["lowest energy", "spread", "symmetric", "random"]

RANKS: tuple[Rank, ...] = get_args(Rank)
TIES: tuple[Tie, ...] = get_args(Tie)

TIE = 1e-3
"""Å: distances closer than this are equal."""


@dataclass(frozen=True, slots=True)
class Order:
    """Which go first, and what decides among equals."""

    ranks: tuple[Rank, ...] = ()
    tie: Tie = "lowest energy"
    seed: int = 0
    """Of what is random in it."""

    def __str__(self) -> str:
        return ", ".join([*(f"{r} first" for r in self.ranks), self.tie])


def parse_order(text: str, *, tie: Tie = "lowest energy", seed: int = 0) -> Order:
    """The order a text says. tie: what decides where the text does not say.

    Raises
    ------
    InputError
        A word is none of an order; the text lists those there are.
    """
    ranks: list[Rank] = []
    parts = [p for p in re.split(r"\s*,\s*", text.strip()) if p]
    for i, part in enumerate(parts):
        rank = next((r for r in RANKS if part == f"{r} first"), None)
        last = next((t for t in TIES if part == t), None)
        if rank is not None:
            ranks.append(rank)
        elif last is not None and i == len(parts) - 1:
            tie = last
        else:
            known = ", ".join(f"'{r} first'" for r in RANKS)
            raise InputError(
                f"Order: {part!r} is none; say any of {known}, and last one of "
                + ", ".join(f"'{t}'" for t in TIES)
                + "."
            )
    return Order(tuple(ranks), tie, seed)


def split(order: Order, places: Places, count: int) -> tuple[IntArray, IntArray]:
    """Places the ranks settle, and those among which the tie has to decide.

    count: how many are needed of the places, shape (K,). Returns indices of those taken whatever
    the tie says, and of the equals of the last one taken, from which the rest must come.
    """
    if count <= 0:
        none = np.empty(0, dtype=np.int64)
        return none, none
    keys = [_key(rank, places) for rank in order.ranks]
    if not keys:
        return np.empty(0, dtype=np.int64), np.arange(len(places))
    _, group = np.unique(np.stack(keys, axis=-1), axis=0, return_inverse=True)
    group = group.ravel()
    last = np.sort(group)[min(count, len(group)) - 1]
    return np.flatnonzero(group < last), np.flatnonzero(group == last)


def pick(order: Order, points: FloatArray, count: int) -> IntArray:
    """`count` of equal points by a tie that needs no energy, sorted. points: Å, shape (K, 3)."""
    if count >= len(points):
        return np.arange(len(points))
    if order.tie == "spread":
        return np.sort(spread_evenly(points, count, order.seed))
    return np.sort(np.random.default_rng(order.seed).permutation(len(points))[:count])


def spread_evenly(points: FloatArray, count: int, seed: int) -> IntArray:
    """`count` of these points (indices), one in the middle of each of as many equal cells.

    points: Å, shape (N, 3). The cells come from halving the points again and again across their
    longest extent, in axes turned by the seed.
    """
    from scipy.spatial.transform import Rotation

    turned = points @ Rotation.random(random_state=np.random.default_rng(seed)).as_matrix()
    turned = np.round(turned, DIGITS)  # two points of a cell are equally far from its middle
    open_ = [(np.arange(len(points)), count)] if count else []
    chosen = []
    while open_:
        members, wanted = open_.pop()
        here = turned[members]
        if wanted == 1:
            off = here - (here.max(axis=0) + here.min(axis=0)) / 2
            chosen.append(members[np.round(np.linalg.norm(off, axis=1), DIGITS).argmin()])
            continue
        members = members[np.argsort(here[:, np.ptp(here, axis=0).argmax()], kind="stable")]
        half = wanted // 2
        middle = round(len(members) * half / wanted)
        open_ += [(members[:middle], half), (members[middle:], wanted - half)]
    return np.array(chosen, dtype=np.int64)


def _key(rank: Rank, places: Places) -> IntArray:
    """Small goes first, shape (K,)."""
    match rank:
        case "least bonded":
            return places.bonds
        case "corners":
            return -np.minimum(places.flat_faces, 3)
        case "outermost":
            return np.rint(places.depth / TIE).astype(np.int64)
        case "innermost":
            return -np.rint(places.depth / TIE).astype(np.int64)
        case "nearest the interface":
            return np.rint(places.interface_distance / TIE).astype(np.int64)
