"""Which of the candidates: those the orders settle, then those of lowest Coulomb energy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hetbuild.arrays import BoolArray, FloatArray, IntArray, Progress
from hetbuild.balancing.anneal import class_counts, ground_state
from hetbuild.balancing.candidates import Candidates, Move
from hetbuild.errors import ImpossibleError
from hetbuild.geometry.contacts import Floors
from hetbuild.geometry.electrostatics import pair_coulomb, potential
from hetbuild.geometry.point_group import orbits, point_group, subgroups
from hetbuild.model import Model
from hetbuild.rounding import ALIKE
from hetbuild.selection.order import Order, pick, split

MOST = 12_000
"""Places whose pair energies fit in memory: two matrices of 8 bytes a pair."""


SAME_PLACE = 0.01
"""Å within which an ion's image under a symmetry is another ion: positions are rounded."""


def _refuse_if_many(count: int) -> None:
    if count > MOST:
        raise ImpossibleError(
            f"{count} places are too many to find those of lowest energy ({MOST} at most): say "
            "which are meant, or order them by 'spread' or 'random'."
        )


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
        limit = self.floors.between(charge[:, None], charge[None]) - ALIKE
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
            limit = self.floors.between(self.found.change[added], self.found.change[k]) - ALIKE
            result[added[away < limit]] = True
        return result


def settled(moves: Sequence[Move], problem: Problem) -> tuple[IntArray, BoolArray]:
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


def lowest(
    model: Model, problem: Problem, forced: IntArray, barred: BoolArray, progress: Progress
) -> IntArray:
    """Candidates of lowest Coulomb energy that meet the target with those forced; indices."""
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


def symmetric(
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
