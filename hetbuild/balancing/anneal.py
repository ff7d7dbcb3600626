"""Choose, among candidate changes, the set of lowest energy that meets integer constraints.

A quadratic problem in 0/1 variables: many replicas are annealed at once by heat-bath exchanges,
then each is relaxed by steepest descent. All randomness comes from one seeded generator.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from hetbuild.arrays import BoolArray, FloatArray, IntArray
from hetbuild.errors import ImpossibleError
from hetbuild.rounding import NOTHING

REPLICAS = 48
"""Anneals run side by side; the best of them counts."""

MOST_WORK = 72_000
"""Sites of all replicas: above 1500 sites there are fewer replicas, which differ ever less."""

FEWEST = 12
"""Replicas at least."""

PENALTIES = 10.0, 40.0
"""eV that two changes which exclude each other cost in the anneal, more than any exchange gains,
yet passable while hot. The second is used where the first leaves such pairs in every replica."""

TINY = np.float32(1e-30)
"""Keeps the logarithm of a random number finite."""

HOT, COLD = 6.0, 0.02
"""Temperatures of the anneal, eV."""


@dataclass(frozen=True, slots=True)
class Choice:
    """The changes chosen."""

    chosen: IntArray
    """Indices, sorted, shape (K,)."""
    energy: float
    """eV."""


def class_counts(weight: IntArray, target: IntArray) -> IntArray | None:
    """How many candidates of each class (distinct weight row, sorted) to take; None: no way.

    weight: shape (N, C); target: shape (C,). Of all ways the one with fewest changes.
    """
    from scipy.optimize import Bounds, LinearConstraint, milp

    rows, size = np.unique(weight, axis=0, return_counts=True)
    result = milp(
        np.ones(len(rows)),
        integrality=np.ones(len(rows)),
        bounds=Bounds(0, size),
        constraints=LinearConstraint(rows.T, target, target),
    )
    if result.x is None:
        return None
    # HiGHS of some SciPy versions gives its last point where there is no solution.
    found = np.rint(result.x).astype(np.int64)
    good = (rows.T @ found == target).all() and ((found >= 0) & (found <= size)).all()
    return found if good else None


def nearest_reachable(weight: IntArray, target: IntArray) -> IntArray:
    """The total closest to target, by summed deviation, that some choice reaches; shape (C,)."""
    from scipy.optimize import Bounds, LinearConstraint, milp

    rows, size = np.unique(weight, axis=0, return_counts=True)
    k, c = rows.shape
    matrix = np.hstack([rows.T, np.eye(c), -np.eye(c)])
    result = milp(
        np.concatenate([np.full(k, 1e-3), np.ones(2 * c)]),
        integrality=np.ones(k + 2 * c),
        bounds=Bounds(0, np.concatenate([size, np.full(2 * c, np.inf)])),
        constraints=LinearConstraint(matrix, target, target),
    )
    return np.asarray(rows.T @ np.rint(result.x[:k]).astype(np.int64))


def ground_state(
    field: FloatArray,
    pair: FloatArray,
    conflict: BoolArray,
    weight: IntArray,
    target: IntArray,
    *,
    seed: int = 0,
    progress: Callable[[float], None] | None = None,
) -> Choice:
    """The choice of lowest energy found, with weight.T @ x == target and no conflict.

    field: eV, shape (N,); pair: eV, shape (N, N), zero diagonal; conflict: shape (N, N); weight:
    shape (N, C); target: shape (C,). Exchanges stay within a class of equal weight.

    Raises
    ------
    ImpossibleError
        No choice meets the target, or every one found puts ions in conflict.
    """
    counts = class_counts(weight, target)
    if counts is None:
        raise ImpossibleError("No choice of these changes meets the target.")
    kind = np.unique(weight, axis=0, return_inverse=True)[1].ravel()
    for penalty in PENALTIES:
        coupling = np.where(conflict, penalty, pair)
        states = _low_states(field, coupling, kind, counts, np.random.default_rng(seed), progress)
        clean = [x for x in states if not conflict[np.ix_(x, x)].any()]
        if clean:
            energies = [_energy(field, pair, x) for x in clean]
            best = int(np.argmin(energies))
            return Choice(np.flatnonzero(clean[best]), energies[best])
    raise ImpossibleError(
        "Every choice that meets the target puts ions closer than the contact limits."
    )


def _low_states(
    field: FloatArray,
    coupling: FloatArray,
    kind: IntArray,
    counts: IntArray,
    rng: np.random.Generator,
    progress: Callable[[float], None] | None,
) -> BoolArray:
    """Each replica annealed and relaxed, shape (replicas, N)."""
    state = _random_states(kind, counts, rng)
    if all(n in (0, size) for n, size in zip(counts, np.bincount(kind), strict=True)):
        return state  # every class is empty or full: nothing can be exchanged
    state = _annealed(field, coupling, kind, state, rng, progress)
    return np.array([_descended(field, coupling, kind, x) for x in state])


def _energy(field: FloatArray, pair: FloatArray, x: BoolArray) -> float:
    return float(field[x].sum() + 0.5 * pair[np.ix_(x, x)].sum())


def _random_states(kind: IntArray, counts: IntArray, rng: np.random.Generator) -> BoolArray:
    replicas = min(REPLICAS, max(FEWEST, MOST_WORK // max(1, len(kind))))
    state = np.zeros((replicas, len(kind)), dtype=bool)
    for k, n in enumerate(counts):
        members = np.flatnonzero(kind == k)
        for row in state:
            row[rng.permutation(members)[:n]] = True
    return state


def _annealed(
    field: FloatArray,
    coupling: FloatArray,
    kind: IntArray,
    state: BoolArray,
    rng: np.random.Generator,
    progress: Callable[[float], None] | None,
) -> BoolArray:
    """Heat-bath exchanges: one chosen site is emptied, and a free one of its class drawn."""
    replicas, n = state.shape
    rows = np.arange(replicas)
    # Not by BLAS, whose order of summing depends on the processor and would decide between equals.
    fields = field + np.array([coupling[x].sum(axis=0) for x in state])
    movable = np.isin(kind, [k for k in np.unique(kind) if _partly(state[0], kind == k)])
    chosen = np.array([np.flatnonzero(x & movable) for x in state])
    steps = min(12_000, 120 * chosen.shape[1] + 40 * n)
    barred, score = np.empty_like(state), np.empty_like(fields)
    noise = np.empty((replicas, n), dtype=np.float32)
    others = kind[None] != np.unique(kind)[:, None]
    for step, heat in enumerate(np.geomspace(HOT, COLD, steps)):
        slot = rng.integers(chosen.shape[1], size=replicas)
        out = chosen[rows, slot]
        fields -= coupling[out]
        state[rows, out] = False
        # In place: at a thousand sites new arrays take as long as what is worked out in them.
        np.logical_or(state, others[kind[out]], out=barred)
        rng.standard_exponential(dtype=np.float32, out=noise)
        noise += TINY
        np.log(noise, out=noise)
        noise *= np.float32(heat)
        np.add(fields, noise, out=score)
        np.copyto(score, np.inf, where=barred)
        new = score.argmin(axis=1)
        fields += coupling[new]
        state[rows, new] = True
        chosen[rows, slot] = new
        if progress is not None and step % 200 == 0:
            progress(step / steps)
    return state


def _partly(x: BoolArray, members: BoolArray) -> bool:
    taken = x[members].sum()
    return bool(0 < taken < members.sum())


def _descended(field: FloatArray, coupling: FloatArray, kind: IntArray, x: BoolArray) -> BoolArray:
    """Steepest descent by exchanges within classes."""
    x = x.copy()
    fields = field + coupling[x].sum(axis=0)
    while True:
        out, new = np.flatnonzero(x), np.flatnonzero(~x)
        gain = fields[new][None] - fields[out][:, None] - coupling[np.ix_(out, new)]
        gain[kind[out][:, None] != kind[new][None]] = np.inf
        k = int(gain.argmin()) if gain.size else 0
        if not gain.size or gain.flat[k] > -NOTHING:
            return x
        i, j = out[k // len(new)], new[k % len(new)]
        x[i], x[j] = False, True
        fields += coupling[j] - coupling[i]
