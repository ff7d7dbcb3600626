"""Charge balancing: which ions to add, remove or swap so that a target is met exactly.

Candidates come from the crystals (vacant sites of a domain's own lattice) and from the particle
(ions at its surface); the choice among them is the one of lowest electrostatic energy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from hetbuild.arguments import expect
from hetbuild.arrays import BoolArray, FloatArray, IntArray, Progress
from hetbuild.balancing.anneal import class_counts, ground_state, nearest_reachable
from hetbuild.balancing.candidates import (
    ADDED_FLOORS,
    Candidates,
    Move,
    apply,
    candidates,
    offered,
    resolved,
)
from hetbuild.elements import counts
from hetbuild.errors import ImpossibleError
from hetbuild.geometry.contacts import Floors
from hetbuild.geometry.electrostatics import pair_coulomb, potential
from hetbuild.geometry.point_group import orbits, point_group, subgroups
from hetbuild.model import Model
from hetbuild.selection.order import Order, pick, split
from hetbuild.selection.places import explained

MOST = 12_000
"""Places whose pair energies fit in memory: two matrices of 8 bytes a pair."""

SAME_PLACE = 0.01
"""Å within which an ion's image under a symmetry is another ion: positions are rounded."""

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
        A move names a domain or element that is not there.
    ImpossibleError
        The moves cannot reach the target; the text gives the nearest they reach.

    Examples
    --------
    >>> import hetbuild as hb
    >>> cube = hb.carve("PbS", [hb.Facet((1, 0, 0), 2)], site="Pb")
    >>> hb.balance(cube, ["remove Pb in particle"])
    <Model Pb364S364: 728 atoms, formal charge 0 e, particle of PbS>
    """
    expect(model, Model, "What is balanced", "Build one, or read it with read_model.")
    allowed = [Move.parse(m) if isinstance(m, str) else m for m in moves]
    for move in allowed:
        expect(move, Move, "Each move", "Write 'remove Cl in sulfide'.")
    if not any(_required(model, target or Target())[1]):
        return model
    allowed = resolved(model, allowed)
    whole = keep_symmetry or any(m.ordering.tie == "symmetric" for m in allowed)
    problem = prepared(model, allowed, target, floors=floors, open_mix=whole)
    forced, barred = _settled(allowed, problem)
    solve = _symmetric if whole else _lowest
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
    forced, barred = _settled([move], problem)
    solve = _symmetric if order.tie == "symmetric" else _lowest
    chosen_ = np.concatenate([forced, solve(model, problem, forced, barred, progress)])
    return apply(model, [move], found, chosen_)


def _refuse_if_many(count: int) -> None:
    if count > MOST:
        raise ImpossibleError(
            f"{count} places are too many to find those of lowest energy ({MOST} at most): say "
            "which are meant, or order them by 'spread' or 'random'."
        )


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
    columns, change = _required(model, goal)
    found = candidates(model, moves, floors)
    weight = _weights(model, columns, moves, found)
    if not len(found.move):
        why = "; ".join(f"{m}: {_why(model, m, floors)}" for m in moves)
        raise ImpossibleError(
            f"{_wanted(columns, change)}: no move finds a place to act ({why}). {_allow()}"
        )
    _check_reachable(columns, moves, found.move, weight, change)
    if goal.formula or goal.domains:
        return Problem(found, weight, np.array(change), model, floors)
    helpful = np.sign(weight[:, 0]) == np.sign(change[0])
    # A step the other way is only taken where the charge cannot be reached without it.
    if class_counts(weight[helpful], np.array(change)) is not None:
        found, weight = found.where(helpful), weight[helpful]
    if open_mix or len(np.unique(weight)) == 1:
        return Problem(found, weight, np.array(change), model, floors)
    numbers = _mix(model, moves, found, change[0])
    chosen = numbers[found.move] > 0
    found = found.where(chosen)
    return Problem(found, np.eye(len(moves), dtype=int)[found.move], numbers, model, floors)


def _mix(model: Model, moves: Sequence[Move], found: Candidates, change: int) -> IntArray:
    """How often each move acts to change the charge, shape (M,).

    Minimised is the summed deviation of all domains' ion counts from whole multiples of their
    crystals' formulas, then the number of changes.
    """
    from scipy.optimize import Bounds, LinearConstraint, milp

    used = sorted({model.domain_named(m.domain) for m in moves})
    rows = [(d, e) for d in used for e in counts(model.domains[d].crystal.numbers)]
    effect = np.array([_move_effect(model.domain_named(m.domain), m, rows) for m in moves])
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


def _required(model: Model, goal: Target) -> tuple[list[Column], list[int]]:
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


def _weights(
    model: Model, columns: list[Column], moves: Sequence[Move], found: Candidates
) -> IntArray:
    """How each candidate changes each column, shape (K, C)."""
    rows = [_move_effect(model.domain_named(m.domain), m, columns) for m in moves]
    weight = np.array(rows, dtype=np.int64)[found.move]
    for c, (d, what) in enumerate(columns):
        if what == "charge":
            here = np.isin(found.places.domain, d) | (d < 0)
            weight[:, c] = np.where(here, found.change, 0)
    return weight


def _move_effect(domain: int, move: Move, columns: list[Column]) -> list[int]:
    gained = {"add": move.element, "swap": move.to, "remove": ""}[move.action]
    lost = "" if move.action == "add" else move.element
    return [(int(e == gained) - int(e == lost)) if d in (-1, domain) else 0 for d, e in columns]


def _check_reachable(
    columns: list[Column],
    moves: Sequence[Move],
    places_of: IntArray,
    weight: IntArray,
    change: list[int],
) -> None:
    goal = np.array(change)
    stuck = [c for c, (w, t) in enumerate(zip(weight.T, goal, strict=True)) if t and not w.any()]
    if stuck:
        names = ", ".join(columns[c][1] for c in stuck)
        raise ImpossibleError(
            f"{_wanted(columns, change)}: no allowed move changes {names}. {_allow()}"
        )
    if class_counts(weight, goal) is None:
        places = np.bincount(places_of, minlength=len(moves))
        offers = "; ".join(f"{m}: {n} places" for m, n in zip(moves, places, strict=True))
        reached = [int(x) for x in nearest_reachable(weight, goal)]
        raise ImpossibleError(
            f"{_wanted(columns, change)}, but the moves allowed ({offers}) come no nearer than "
            f"{_listed(columns, reached)}. {_allow()}"
        )


def _wanted(columns: list[Column], change: Sequence[int]) -> str:
    return "The target needs " + _listed(columns, change)


def _listed(columns: list[Column], change: Sequence[int]) -> str:
    parts = [f"{what} {n:+d}" for (_, what), n in zip(columns, change, strict=True) if n]
    return ", ".join(parts) or "no change"


def _allow() -> str:
    return "Allow another move in [[balance.moves]], or change the target."


@dataclass(frozen=True, eq=False)
class Problem:
    """The candidates as a quadratic problem of 0/1 variables.

    Energies are worked out for the candidates that are asked about: of a large particle the order
    of the moves leaves a few hundred open, of tens of thousands at its surface.
    """

    found: Candidates
    """K candidates."""
    weight: IntArray
    """What each changes of each column of the target, shape (K, C)."""
    target: IntArray
    """Shape (C,)."""
    model: Model
    """The ions that feel the changes."""
    floors: Floors
    """Contacts that added ions keep among each other."""

    def field(self, which: IntArray) -> FloatArray:
        """Energy of each of these changes alone, eV, shape (F,)."""
        places = self.found.positions[which]
        return self.found.change[which] * potential(
            places, self.model.positions, self.model.charges
        )

    def pair(self, which: IntArray) -> FloatArray:
        """Energy between every two of these changes, eV, shape (F, F)."""
        return pair_coulomb(self.found.positions[which], self.found.change[which])

    def beside(self, which: IntArray, done: IntArray) -> FloatArray:
        """Energy of each of these changes with those that are done, eV, shape (F,)."""
        positions, change_ = self.found.positions, self.found.change
        return change_[which] * potential(positions[which], positions[done], change_[done])

    def conflict(self, which: IntArray) -> BoolArray:
        """Two added ions too close to each other, or two changes of one atom; shape (F, F)."""
        from scipy.spatial.distance import cdist

        places, charge = self.found.positions[which], self.found.change[which]
        atom = self.found.atom[which]
        added = atom < 0
        limit = self.floors.between(charge[:, None], charge[None]) - 1e-6
        close = (cdist(places, places) < limit) & added[:, None] & added[None]
        same = (atom[:, None] == atom[None]) & ~added[:, None]
        result = np.asarray(close | same)
        np.fill_diagonal(result, False)
        return result

    def excluded(self, done: IntArray) -> BoolArray:
        """What is done, and all that conflicts with it; shape (K,)."""
        result = np.zeros(len(self.found.move), dtype=bool)
        result[done] = True
        atoms = self.found.atom
        result |= (atoms >= 0) & np.isin(atoms, atoms[done][atoms[done] >= 0])
        added = np.flatnonzero(atoms < 0)
        for k in done[atoms[done] < 0]:
            away = np.linalg.norm(self.found.positions[added] - self.found.positions[k], axis=1)
            limit = self.floors.between(self.found.change[added], self.found.change[k]) - 1e-6
            result[added[away < limit]] = True
        return result


def _settled(moves: Sequence[Move], problem: Problem) -> tuple[IntArray, BoolArray]:
    """What the orders of the moves settle before energy has a say.

    The candidates taken, and (K,) which are barred: only among the equals of the last one taken is
    there a choice left for the energy. Moves of one effect share a queue.
    """
    numbers = class_counts(problem.weight, problem.target)
    assert numbers is not None  # checked before
    _, kind = np.unique(problem.weight, axis=0, return_inverse=True)
    forced: list[IntArray] = []
    barred = np.zeros(len(problem.found.move), dtype=bool)
    for k, number in enumerate(numbers):
        # An ion that one move has taken is not there for another.
        gone = problem.found.atom[np.concatenate(forced)] if forced else np.empty(0, dtype=int)
        free = ~np.isin(problem.found.atom, gone[gone >= 0])
        barred |= ~free & (kind == k)
        mine = np.flatnonzero((kind == k) & free)
        if not len(mine):
            continue
        order = _common([moves[i].ordering for i in set(problem.found.move[mine])])
        if not number or not (order.ranks or order.tie in ("spread", "random")):
            continue
        taken, tied = split(order, problem.found.places.where(mine), int(number))
        barred[np.delete(mine, np.concatenate([taken, tied]))] = True
        forced.append(mine[taken])
        if order.tie in ("spread", "random"):
            more = tied[pick(order, problem.found.positions[mine[tied]], number - len(taken))]
            forced.append(mine[more])
            barred[np.setdiff1d(mine[tied], mine[more])] = True
    return np.concatenate(forced) if forced else np.empty(0, dtype=np.int64), barred


def _common(orders: Sequence[Order]) -> Order:
    """What the orders of several moves agree on: their first ranks, and the tie if it is one."""
    ranks = orders[0].ranks
    for order in orders[1:]:
        same = [a == b for a, b in zip(ranks, order.ranks, strict=False)]
        ranks = ranks[: same.index(False) if False in same else len(same)]
    agreed = len(set(orders)) == 1
    return Order(ranks, orders[0].tie if agreed else "lowest energy", orders[0].seed)


def _remaining(
    problem: Problem, forced: IntArray, barred: BoolArray
) -> tuple[IntArray, FloatArray, IntArray]:
    """Free candidates, their energies beside the forced ones, and what they must still reach."""
    free = np.flatnonzero(~(barred | problem.excluded(forced)))
    target = problem.target - problem.weight[forced].sum(axis=0)
    if not target.any():
        return free[:0], np.empty(0), target
    _refuse_if_many(len(free))
    return free, problem.field(free) + problem.beside(free, forced), target


def _lowest(
    model: Model, problem: Problem, forced: IntArray, barred: BoolArray, progress: Progress
) -> IntArray:
    free, field_, target = _remaining(problem, forced, barred)
    if not target.any():
        return free[:0]
    choice = ground_state(
        field_,
        problem.pair(free),
        problem.conflict(free),
        problem.weight[free],
        target,
        progress=progress,
    )
    return free[choice.chosen]


def _symmetric(
    model: Model, problem: Problem, forced: IntArray, barred: BoolArray, progress: Progress
) -> IntArray:
    """Whole orbits under the largest subgroup of the model's point group that meets the target."""
    free, field_, target = _remaining(problem, forced, barred)
    if not target.any():
        return free[:0]
    places = problem.found.positions
    centre, group = point_group(model)
    for subgroup in subgroups(group):
        if not _keeps(places[forced], centre, subgroup):
            continue
        members = orbits(places[free], problem.found.move[free], centre, subgroup)
        try:
            chosen = _orbit_choice(problem, free, field_, members, target, progress)
        except ImpossibleError:
            continue
        return free[np.isin(members, chosen)]
    raise ImpossibleError("No choice of sites meets the target.")  # the trivial group failed


def _keeps(places: FloatArray, centre: FloatArray, group: FloatArray) -> bool:
    from scipy.spatial import cKDTree

    if not len(places):
        return True
    tree = cKDTree(places)
    images = ((places - centre) @ np.swapaxes(group, 1, 2) + centre).reshape(-1, 3)
    return bool((tree.query(images)[0] < SAME_PLACE).all())


def _orbit_choice(
    problem: Problem,
    free: IntArray,
    field_: FloatArray,
    members: IntArray,
    target: IntArray,
    progress: Progress,
) -> IntArray:
    """Orbit indices of lowest energy. members: orbit of each free candidate, shape (F,)."""
    from scipy.sparse import csr_array

    n, f = int(members.max()) + 1, len(free)
    # Sparse products sum in one order, as BLAS does not.
    one_hot = csr_array((np.ones(f), (members, np.arange(f))), shape=(n, f))
    pair = one_hot @ problem.pair(free) @ one_hot.T
    clash = (one_hot @ problem.conflict(free) @ one_hot.T) > 0
    alone = ~np.diag(clash)
    orbit_field = one_hot @ field_ + 0.5 * np.diag(pair)
    np.fill_diagonal(pair, 0.0)
    weight = np.rint(one_hot @ problem.weight[free]).astype(np.int64)[alone]
    if not alone.any() or class_counts(weight, target) is None:
        raise ImpossibleError("These orbits do not add up to the target.")
    kept = np.ix_(alone, alone)
    choice = ground_state(
        orbit_field[alone], pair[kept], clash[kept], weight, target, progress=progress
    )
    return np.flatnonzero(alone)[choice.chosen]
