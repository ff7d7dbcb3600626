"""Pairs of points one to one: which atom of one model is which of another."""

from __future__ import annotations

import numpy as np

from hetbuild.arrays import FloatArray, IntArray

EXACT = 1500
"""Points of a kind up to which all pairs are weighed exactly; above, those near each other."""

NEAREST = 12
"""Partners weighed for each point of larger sets."""

STEP = 0.02
"""Å² for each point by which the summed squared distance of a pairing by auction may exceed the
least."""


def pair_elements(
    numbers: IntArray, x: FloatArray, others: IntArray, y: FloatArray, within: float = np.inf
) -> IntArray:
    """Partner in y of each x, one to one within each element, of least summed squared distance.

    numbers: shape (N,); x: Å, shape (N, 3); others: shape (M,); y: Å, shape (M, 3). within: Å, no
    pair is farther apart. -1 where there is no partner left; shape (N,).
    """
    partner = np.full(len(x), -1, dtype=np.int64)
    for z in np.unique(numbers):
        i, j = np.flatnonzero(numbers == z), np.flatnonzero(others == z)
        if len(j):
            found = pair(x[i], y[j], within)
            partner[i[found >= 0]] = j[found[found >= 0]]
    return partner


def pair(x: FloatArray, y: FloatArray, within: float = np.inf) -> IntArray:
    """The same for points of one kind; x: Å, (N, 3); y: Å, (M, 3); shape (N,)."""
    from scipy.spatial import cKDTree

    away, nearest = cKDTree(y).query(x, distance_upper_bound=within)
    near = np.where(away < np.inf, nearest, -1)
    once = len(np.unique(near[near >= 0])) == (near >= 0).sum()
    if once and (within < np.inf or len(x) <= len(y)):
        return np.asarray(near, dtype=np.int64)
    if max(len(x), len(y)) <= EXACT:
        return _all_weighed(x, y, within)
    return _near_weighed(x, y, within)


def _all_weighed(x: FloatArray, y: FloatArray, within: float) -> IntArray:
    from scipy.optimize import linear_sum_assignment
    from scipy.spatial.distance import cdist

    cost = cdist(x, y, "sqeuclidean")
    # What is too far costs more than any number of pairs that are not.
    limit = within**2 if within < np.inf else np.inf
    cost[cost > limit] = 1e3 * min(limit, 1e6)
    i, j = linear_sum_assignment(cost)
    partner = np.full(len(x), -1, dtype=np.int64)
    fits = cost[i, j] <= limit
    partner[i[fits]] = j[fits]
    return partner


def _near_weighed(x: FloatArray, y: FloatArray, within: float) -> IntArray:
    """By auction among the nearest; what that leaves over, by all pairs."""
    from scipy.spatial import cKDTree

    k = min(NEAREST, len(y))
    away, column = cKDTree(y).query(x, k=k, distance_upper_bound=within)
    alone = len(y) + np.arange(len(x))[:, None]
    # To have no partner costs more than the farthest of those weighed.
    reach = np.where(away < np.inf, away, 0.0).max(axis=1, keepdims=True) + 1.0
    cost = np.hstack([np.where(away < np.inf, away, 1e3) ** 2, (2 * reach) ** 2])
    column = np.hstack([np.where(away < np.inf, column, alone), alone])
    chosen = auction(cost, column, len(y) + len(x))
    partner: IntArray = np.where(chosen < len(y), chosen, -1)
    left = np.flatnonzero(partner < 0)
    free = np.setdiff1d(np.arange(len(y)), partner)
    if within == np.inf and len(left) and len(free):
        partner[left] = _leftover(x[left], y[free], free)
    return partner


def _leftover(x: FloatArray, y: FloatArray, index: IntArray) -> IntArray:
    """Partners of the few that the auction left; in the order given where they are not few."""
    if max(len(x), len(y)) > 4 * EXACT:
        found: IntArray = np.full(len(x), -1, dtype=np.int64)
        n = min(len(x), len(y))
        found[:n] = index[:n]
        return found
    found = _all_weighed(x, y, np.inf)
    return np.where(found >= 0, index[found], -1)


def auction(cost: FloatArray, column: IntArray, total: int) -> IntArray:
    """The column of each row, none twice, of nearly least summed cost; shape (n,).

    cost, column: what each row may take, shape (n, k), inf where it may take fewer; every row has
    one that no other wants. total: how many columns there are. Bertsekas' auction algorithm
    (doi 10.1007/BF02186476), all rows bidding at once.
    """
    price = np.zeros(total)
    owner = np.full(total, -1, dtype=np.int64)
    mine = np.full(len(cost), -1, dtype=np.int64)
    while True:
        rows = np.flatnonzero(mine < 0)
        if not len(rows):
            return mine
        value = cost[rows] + price[column[rows]]
        best = value.argmin(axis=1)
        at = np.arange(len(rows))
        first = value[at, best]
        value[at, best] = np.inf
        second = np.minimum(value.min(axis=1), first + 1e6)
        wanted = column[rows, best]
        bid = price[wanted] + second - first + STEP
        order = np.lexsort((bid, wanted))
        last = np.append(wanted[order][1:] != wanted[order][:-1], True)
        won = order[last]
        out = owner[wanted[won]]
        mine[out[out >= 0]] = -1
        owner[wanted[won]] = rows[won]
        mine[rows[won]] = wanted[won]
        price[wanted[won]] = bid[won]
