"""What balancing must reach: a charge or a formula, and what each move changes of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from hetbuild.arguments import check_fields
from hetbuild.arrays import IntArray
from hetbuild.balancing.anneal import class_counts, nearest_reachable
from hetbuild.balancing.candidates import Candidates, Move
from hetbuild.elements import counts
from hetbuild.errors import ImpossibleError, InputError
from hetbuild.model import Model

MOST = 10**9
"""Ions or e of a target; the solver of whole numbers loses count beyond."""

Column = tuple[int, str]
"""What a target counts: (domain index or -1 for all, element or "charge")."""


@dataclass(frozen=True, slots=True)
class Target:
    """What balancing must reach: a formal charge, a formula, or a formula per domain.

    Examples
    --------
    >>> import hetbuild as hb
    >>> hb.Target(formula={"Cs": 20, "Pb": 8, "Cl": 36}).charge
    0
    """

    charge: int = 0
    formula: Mapping[str, int] | None = None
    domains: Mapping[str, Mapping[str, int] | int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_fields(self)
        parts = [v for v in (self.formula, *self.domains.values()) if isinstance(v, Mapping)]
        whole = [v for v in self.domains.values() if isinstance(v, int)]
        for number in (self.charge, *whole, *(n for part in parts for n in part.values())):
            if abs(number) > MOST:
                raise InputError(f"No target is beyond {MOST:,} ions or e; given {number:,}.")


def required(model: Model, goal: Target) -> tuple[list[Column], list[int]]:
    """What must change: columns (domain or -1, element or "charge") and by how much."""
    if goal.domains:
        columns, change = [], []
        for name, wanted in goal.domains.items():
            i = model.domain_named(name)
            if isinstance(wanted, int):
                columns.append((i, "charge"))
                change.append(wanted - int(model.charges[model.domain == i].sum()))
                continue
            have = counts(model.numbers[model.domain == i])
            for element in {**have, **wanted}:
                columns.append((i, element))
                change.append(wanted.get(element, 0) - have.get(element, 0))
        return columns, change
    if goal.formula:
        have = counts(model.numbers)
        elements = list({**have, **goal.formula})
        return [(-1, e) for e in elements], [
            goal.formula.get(e, 0) - have.get(e, 0) for e in elements
        ]
    return [(-1, "charge")], [goal.charge - model.charge]


def weights(
    model: Model, columns: list[Column], moves: Sequence[Move], found: Candidates
) -> IntArray:
    """How each candidate changes each column, shape (K, C)."""
    rows = [move_effect(model.domain_named(m.domain), m, columns) for m in moves]
    weight = np.array(rows, dtype=np.int64)[found.move]
    for c, (d, what) in enumerate(columns):
        if what == "charge":
            here = np.isin(found.places.domain, d) | (d < 0)
            weight[:, c] = np.where(here, found.change, 0)
    return weight


def move_effect(domain: int, move: Move, columns: list[Column]) -> list[int]:
    """What one change of a move adds to each count of the target."""
    gained = {"add": move.element, "swap": move.to, "remove": ""}[move.action]
    lost = "" if move.action == "add" else move.element
    return [(int(e == gained) - int(e == lost)) if d in (-1, domain) else 0 for d, e in columns]


def check_reachable(
    columns: list[Column],
    moves: Sequence[Move],
    places_of: IntArray,
    weight: IntArray,
    change: list[int],
) -> None:
    """Refuse counts that no choice of candidates reaches, and say what comes nearest."""
    goal = np.array(change)
    stuck = [c for c, (w, t) in enumerate(zip(weight.T, goal, strict=True)) if t and not w.any()]
    if stuck:
        names = ", ".join(columns[c][1] for c in stuck)
        raise ImpossibleError(
            f"{needed(columns, change)}: no allowed move changes {names}. {another_move()}"
        )
    if class_counts(weight, goal) is None:
        places = np.bincount(places_of, minlength=len(moves))
        offers = "; ".join(f"{m}: {n} places" for m, n in zip(moves, places, strict=True))
        reached = [int(x) for x in nearest_reachable(weight, goal)]
        raise ImpossibleError(
            f"{needed(columns, change)}, but the moves allowed ({offers}) come no nearer than "
            f"{_listed(columns, reached)}. {another_move()}"
        )


def needed(columns: list[Column], change: Sequence[int]) -> str:
    """What the target asks for, in words."""
    return "The target needs " + _listed(columns, change)


def _listed(columns: list[Column], change: Sequence[int]) -> str:
    parts = [f"{what} {n:+d}" for (_, what), n in zip(columns, change, strict=True) if n]
    return ", ".join(parts) or "no change"


def another_move() -> str:
    """What to do where the moves do not reach; the tail of an error."""
    return "Allow another move in [[balance.moves]], or change the target."
