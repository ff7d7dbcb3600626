"""Point groups below that of a crystal, by their Hermann-Mauguin symbols and axes.

A symbol alone may mean several subgroups, as 3m of m-3m, which has four threefold axes: directions
behind it tell which, the first along the axis of highest order, the second along an axis next in
rank, a twofold one before the normal of a mirror plane.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from math import gcd

import numpy as np

from hetbuild.arrays import FloatArray, IntArray
from hetbuild.crystal.lattice import Direction
from hetbuild.errors import InputError, nearest
from hetbuild.indices import parse_vector
from hetbuild.names import shown

SYMBOLS = (
    "1", "-1", "2", "m", "2/m", "222", "mm2", "mmm", "4", "-4", "4/m", "422", "4mm", "-42m",
    "4/mmm", "3", "-3", "32", "3m", "-3m", "6", "-6", "6/m", "622", "6mm", "-62m", "6/mmm",
    "23", "m-3", "432", "-43m", "m-3m",
)  # fmt: skip
"""The 32 crystallographic point groups."""

MOST_LISTED = 12
"""Subgroups of one symbol that a message lists."""

_TEXT = re.compile(r"\s*([-/m0-9]+)\s*((?:\[[^]]*\]\s*)*)")

Axis = tuple[int, int, int]


@dataclass(frozen=True, eq=False)
class Subgroup:
    """A point group with its axes."""

    symbol: str
    """Hermann-Mauguin."""
    rotations: IntArray
    """Matrices acting on fractional columns, shape (g, 3, 3)."""
    axes: tuple[Axis, ...]
    """Directions [uvw] of its axes of highest order; of several, all."""
    others: tuple[Axis, ...]
    """Those next in rank: of lower order, or as high where mirror planes take their place."""


def parse_point_group(text: str) -> tuple[str, tuple[tuple[float, float, float], ...]]:
    """Symbol and directions of ``-43m`` or ``mm2 [0 0 1] [1 1 0]``.

    Raises
    ------
    InputError
        It is none of the 32 point groups, or has more than two directions.
    """
    found = _TEXT.fullmatch(text)
    symbol = found[1] if found else text
    if symbol not in SYMBOLS:
        raise InputError(
            f"{shown(text)} is no point group; {nearest(symbol, SYMBOLS)} Write '-43m', or with an "
            "axis '3m [1 1 1]'."
        )
    assert found is not None
    given = re.findall(r"\[[^]]*\]", found[2])
    try:
        axes = tuple(parse_vector(axis) for axis in given)
    except ValueError as error:
        raise InputError(f"Point group {shown(text)}: {error}.") from None
    if len(axes) > 2 or any(not any(axis) for axis in axes):
        raise InputError(f"Point group {shown(text)}: one or two directions tell its axes.")
    return symbol, axes


def subgroup(rotations: IntArray, text: str, crystal: str) -> Subgroup:
    """The subgroup of a crystal's point group that a text means.

    rotations: of the crystal, shape (g, 3, 3); crystal: its name, for messages.

    Raises
    ------
    InputError
        The text is no point group, no subgroup of this one, or means several: the text lists them.
    """
    symbol, axes = parse_point_group(text)
    matrices = np.ascontiguousarray(rotations, dtype=np.int64)
    known = _subgroups(matrices.tobytes())
    same = [g for g in known if g.symbol == symbol]
    if not same:
        whole = known[0].symbol
        ordered = [s for s in SYMBOLS if any(g.symbol == s for g in known)]
        raise InputError(
            f"{symbol} is no subgroup of {whole}, the point group of {crystal}; its subgroups are "
            f"{', '.join(ordered)}."
        )
    chosen = [g for g in same if _has(g, axes)]
    if len(chosen) == 1:
        return chosen[0]
    listed = [f"'{label}'" for label in dict.fromkeys(_labels(chosen or same, same))]
    more = f" and {len(listed) - MOST_LISTED} more" if len(listed) > MOST_LISTED else ""
    what = "is not one of" if not chosen else "means several of"
    raise InputError(
        f"Point group {shown(text)} {what} the {len(same)} subgroups {symbol} of "
        f"{known[0].symbol}, the point group of {crystal}; say {', '.join(listed[:MOST_LISTED])}"
        f"{more}."
    )


def _has(group: Subgroup, axes: tuple[tuple[float, float, float], ...]) -> bool:
    """Whether the first direction is a main axis, and the second another one."""
    wanted = [_axis(np.array(Direction.of(a).uvw)) for a in axes]
    first = not wanted or wanted[0] in group.axes
    return first and (len(wanted) < 2 or wanted[1] in {*group.axes, *group.others} - {wanted[0]})


def _labels(groups: list[Subgroup], known: list[Subgroup]) -> Iterator[str]:
    """The shortest text that means each of some groups, and none of the others known."""
    for group in groups:
        texts: list[tuple[Axis, ...]] = [(a,) for a in group.axes]
        texts += [(a, b) for a in group.axes for b in (*group.others, *group.axes) if a != b]
        for axes in texts:
            if [g for g in known if _has(g, axes)] == [group]:
                yield " ".join([group.symbol, *("[" + " ".join(map(str, a)) + "]" for a in axes)])
                break


@lru_cache(maxsize=8)
def _subgroups(matrices: bytes) -> tuple[Subgroup, ...]:
    """All subgroups of a group of integer matrices, the group itself first."""
    rotations = np.frombuffer(matrices, dtype=np.int64).reshape(-1, 3, 3)
    index = {w.tobytes(): i for i, w in enumerate(rotations)}
    table = [[index[np.ascontiguousarray(a @ b).tobytes()] for b in rotations] for a in rotations]
    cyclic = {_closure(frozenset([i]), table) for i in range(len(rotations))}
    found, new = set(cyclic), set(cyclic)
    while new:
        joined = {g | c for g in new for c in cyclic if not c <= g}
        new = {_closure(seed, table) for seed in joined} - found
        found |= new
    ordered = sorted(found, key=lambda g: (-len(g), sorted(g)))
    return tuple(_described(rotations[sorted(g)]) for g in ordered)


def _closure(seed: frozenset[int], table: list[list[int]]) -> frozenset[int]:
    members, new = set(seed), set(seed)
    while new:
        new = {table[a][b] for a in members for b in seed} - members
        members |= new
    return frozenset(members)


def _described(rotations: IntArray) -> Subgroup:
    import spglib

    symbol = str(spglib.get_pointgroup(rotations.astype(np.intc))[0]).strip()
    ranks: dict[Axis, tuple[int, bool]] = {}
    for w in rotations:
        proper = bool(np.linalg.det(w) > 0)
        turn = w if proper else -w
        order = _order(turn)
        if order > 1:
            axis = _axis_of(turn, order)
            ranks[axis] = max(ranks.get(axis, (0, False)), (order, proper))
    levels = [*sorted(set(ranks.values()), reverse=True), None, None]
    axes, others = (
        tuple(sorted((a for a, rank in ranks.items() if rank == level), reverse=True))
        for level in levels[:2]
    )
    return Subgroup(symbol, rotations, axes, others)


def _order(turn: IntArray) -> int:
    power, order = turn, 1
    while not (power == np.eye(3)).all():
        power, order = power @ turn, order + 1
    return order


def _axis_of(turn: IntArray, order: int) -> Axis:
    """The direction a rotation leaves: what the sum of its powers projects on."""
    total = sum(np.linalg.matrix_power(turn, k) for k in range(order))
    columns: FloatArray = np.asarray(total).T
    return _axis(columns[np.abs(columns).sum(axis=1).argmax()])


def _axis(vector: IntArray | FloatArray) -> Axis:
    """The shortest integers along it, the first that is not zero positive."""
    u, v, w = (int(i) for i in np.rint(vector))
    common = gcd(u, v, w) * (1 if (u, v, w) > (0, 0, 0) else -1)
    return u // common, v // common, w // common
