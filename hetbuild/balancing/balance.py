"""Charge balancing: which ions to add, remove or swap so that a target is met exactly.

Candidates come from the crystals (vacant sites of a domain's own lattice) and from the particle
(ions at its surface); the choice among them is the one of lowest electrostatic energy.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hetbuild.arguments import checked
from hetbuild.arrays import IntArray, Progress
from hetbuild.balancing.anneal import class_counts
from hetbuild.balancing.candidates import (
    ADDED_FLOORS,
    Candidates,
    Move,
    apply,
    candidates,
    offered,
    repeated,
    resolved,
)
from hetbuild.balancing.problem import Problem, lowest, settled, symmetric
from hetbuild.balancing.target import (
    Target,
    another_move,
    check_reachable,
    move_effect,
    needed,
    required,
    weights,
)
from hetbuild.elements import counts
from hetbuild.errors import ImpossibleError, InputError
from hetbuild.geometry.contacts import Floors
from hetbuild.model import Model
from hetbuild.selection.order import pick, split
from hetbuild.selection.places import explained


@checked
def balance(
    model: Model,
    moves: Sequence[Move | str],
    target: Target | None = None,
    *,
    floors: Floors = ADDED_FLOORS,
    keep_symmetry: bool = False,
    progress: Progress = None,
) -> Model:
    """Change ions by the allowed moves until the target is met, at the lowest Coulomb energy.

    moves: each a `Move` or its text, as "remove Cl in sulfide". The energy counts point formal
    charges in vacuum, changed ions with all ions and with each other. keep_symmetry: change whole
    orbits of the model's point group, or of its largest subgroup for which the counts work out.
    Every change is entered in the ledger.

    Raises
    ------
    InputError
        A move names a domain or element that is not there, or is given twice.
    ImpossibleError
        The moves cannot reach the target; the text gives the nearest they reach.

    Examples
    --------
    >>> import hetbuild as hb
    >>> cube = hb.carve("PbS", [hb.Facet((1, 0, 0), 2)], site="Pb")
    >>> hb.balance(cube, ["remove Pb in particle"])
    <Model Pb364S364: 728 atoms, formal charge 0 e, particle of PbS>
    """
    allowed = [Move.parse(m) if isinstance(m, str) else m for m in moves]
    if not any(required(model, target or Target())[1]):
        return model
    allowed = resolved(model, allowed)
    if fault := next(repeated(allowed), ""):
        raise InputError(f"{fault[0].upper()}{fault[1:]}")
    whole = keep_symmetry or any(m.ordering.tie == "symmetric" for m in allowed)
    problem = prepared(model, allowed, target, floors=floors, open_mix=whole)
    forced, barred = settled(allowed, problem)
    solve = symmetric if whole else lowest
    return apply(
        model,
        allowed,
        problem.found,
        np.concatenate([forced, solve(model, problem, forced, barred, progress)]),
    )


def change(
    model: Model,
    move: Move,
    count: int,
    *,
    floors: Floors = ADDED_FLOORS,
    progress: Progress = None,
) -> Model:
    """Carry out one move `count` times, at the places its selection means, in its order.

    Raises
    ------
    InputError
        It names a domain or element that is not there.
    ImpossibleError
        Fewer places are eligible; the text says what left how many.
    """
    (move,) = resolved(model, [move])
    found = candidates(model, [move], floors)
    if len(found.move) < count:
        raise ImpossibleError(
            f"{count} places are needed to {move}, and {len(found.move)} are eligible: "
            f"{_why(model, move, floors)}."
        )
    order = move.ordering
    taken, tied = split(order, found.places, count)
    if order.tie in ("random", "spread"):
        more = pick(order, found.positions[tied], count - len(taken))
        return apply(model, [move], found, np.concatenate([taken, tied[more]]))
    weight = np.ones((len(found.move), 1), dtype=np.int64)
    problem = Problem(found, weight, np.array([count]), model, floors)
    forced, barred = settled([move], problem)
    solve = symmetric if order.tie == "symmetric" else lowest
    chosen_ = np.concatenate([forced, solve(model, problem, forced, barred, progress)])
    return apply(model, [move], found, chosen_)


def _why(model: Model, move: Move, floors: Floors) -> str:
    """What a move could have acted on, and what its selection left of it."""
    offered_ = offered(model, move, floors)
    what = "vacant sites" if move.action == "add" else "ions"
    where = "" if move.which or move.action == "add" else " at the surface"
    return f"{what} of {move.domain}{where}: {explained(move.selection, offered_)}"


def prepared(
    model: Model,
    moves: Sequence[Move],
    target: Target | None = None,
    *,
    floors: Floors = ADDED_FLOORS,
    open_mix: bool = False,
) -> Problem:
    """The candidates of the moves with their energies, and what the target asks of them.

    Where a charge can be reached by moves of different charge, their numbers are those that leave
    the domains nearest to the compositions of their crystals; open_mix leaves them open.

    Raises
    ------
    InputError, ImpossibleError
        As `balance`.
    """
    goal = target or Target()
    moves = resolved(model, moves)
    columns, change = required(model, goal)
    found = candidates(model, moves, floors)
    weight = weights(model, columns, moves, found)
    if not len(found.move):
        why = "; ".join(f"{m}: {_why(model, m, floors)}" for m in moves)
        raise ImpossibleError(
            f"{needed(columns, change)}: no move finds a place to act ({why}). {another_move()}"
        )
    check_reachable(columns, moves, found.move, weight, change)
    if goal.formula or goal.domains:
        return Problem(found, weight, np.array(change), model, floors)
    helpful = np.sign(weight[:, 0]) == np.sign(change[0])
    # A step the other way is only taken where the charge cannot be reached without it.
    if class_counts(weight[helpful], np.array(change)) is not None:
        found, weight = found.where(helpful), weight[helpful]
    if open_mix or len(np.unique(weight)) == 1:
        return Problem(found, weight, np.array(change), model, floors)
    numbers = _mix(model, moves, found, change[0])
    found = found.where(numbers[found.move] > 0)
    return Problem(found, np.eye(len(moves), dtype=int)[found.move], numbers, model, floors)


def _mix(model: Model, moves: Sequence[Move], found: Candidates, change: int) -> IntArray:
    """How often each move acts to change the charge, shape (M,).

    Minimised is the summed deviation of all domains' ion counts from whole multiples of their
    crystals' formulas, then the number of changes.
    """
    from scipy.optimize import Bounds, LinearConstraint, milp

    used = sorted({model.domain_named(m.domain) for m in moves})
    rows = [(d, e) for d in used for e in counts(model.domains[d].crystal.numbers)]
    effect = np.array([move_effect(model.domain_named(m.domain), m, rows) for m in moves])
    have = [counts(model.numbers[model.domain == d]).get(e, 0) for d, e in rows]
    unit = np.array(
        [
            [counts(model.domains[d].crystal.numbers)[e] if d == k else 0 for k in used]
            for d, e in rows
        ],
        dtype=float,
    )
    # have + effect n - unit N = over - under, for each domain and element.
    k, r, c = len(moves), len(rows), len(used)
    matrix = np.hstack([effect.T, -unit, -np.eye(r), np.eye(r)])
    charge = np.zeros(k + c + 2 * r)
    places = np.bincount(found.move, minlength=k)
    charge[found.move] = found.change
    # Steps the other way only make odd charges even; they are not for composition.
    cost = np.where(charge[:k] * change < 0, 1e3, 1e-3)
    result = milp(
        np.concatenate([cost, np.zeros(c), np.ones(2 * r)]),
        integrality=np.concatenate([np.ones(k), np.zeros(c + 2 * r)]),
        bounds=Bounds(0, np.concatenate([places, np.full(c + 2 * r, np.inf)])),
        constraints=[
            LinearConstraint(matrix, -np.array(have), -np.array(have)),
            LinearConstraint(charge[None], change, change),
        ],
    )
    return np.asarray(np.rint(result.x[:k]).astype(np.int64))
