"""Reference simulated annealing of the charge-balance problem: the opponent, not the product.

Textbook Metropolis annealing of single exchanges (Kirkpatrick et al., doi:10.1126/science.220.4598
.671), compiled with numba so that 10^7 moves take seconds.
"""

from __future__ import annotations

import numba as nb
import numpy as np


@nb.njit(cache=True)
def _run(field, pair, hard, kind, counts, moves, hot, cold, penalty, seed):
    np.random.seed(seed)
    n = len(field)
    nk = len(counts)
    chosen = np.zeros(n, np.bool_)
    order = np.random.permutation(n)
    slot = np.empty((nk, n), np.int64)  # chosen first, free after
    size = np.zeros(nk, np.int64)
    for i in order:
        slot[kind[i], size[kind[i]]] = i
        size[kind[i]] += 1
    f = field.copy()
    clash = np.zeros(n, np.int64)
    for k in range(nk):
        for a in range(counts[k]):
            i = slot[k, a]
            chosen[i] = True
            f += pair[i]
            for j in range(n):
                clash[j] += hard[i, j]
    energy = 0.0
    bad = 0
    for i in range(n):
        if chosen[i]:
            energy += 0.5 * (field[i] + f[i])
            bad += clash[i]
    bad //= 2
    best = np.inf
    best_chosen = chosen.copy()
    live = np.zeros(nk)
    tot = 0.0
    for k in range(nk):
        if 0 < counts[k] < size[k]:
            tot += counts[k]
        live[k] = tot
    if tot == 0:
        return energy, chosen
    rate = (cold / hot) ** (1.0 / moves)
    t = hot
    for _ in range(moves):
        t *= rate
        u = np.random.random() * tot
        k = 0
        while live[k] <= u:
            k += 1
        a = np.random.randint(counts[k])
        b = np.random.randint(counts[k], size[k])
        i = slot[k, a]
        j = slot[k, b]
        de = f[j] - f[i] - pair[i, j]
        dc = clash[j] - clash[i] - hard[i, j]
        d = de + penalty * dc
        if d <= 0 or np.random.random() < np.exp(-d / t):
            slot[k, a] = j
            slot[k, b] = i
            chosen[i] = False
            chosen[j] = True
            energy += de
            bad += dc
            for m in range(n):
                f[m] += pair[j, m] - pair[i, m]
            if penalty > 0.0:
                for m in range(n):
                    clash[m] += np.int64(hard[j, m]) - np.int64(hard[i, m])
            if bad == 0 and energy < best - 1e-9:
                best = energy
                best_chosen[:] = chosen
    return best, best_chosen


def anneal(field, pair, conflict, kind, counts, moves, seed, hot=3.0, cold=0.01, penalty=25.0):
    """Best energy (eV) met without conflict in one anneal, and the choice; counts by kind."""
    coupling = np.where(conflict, 0.0, pair)
    kind, counts = np.asarray(kind, np.int64), np.asarray(counts, np.int64)
    return _run(
        field, coupling, conflict, kind, counts, moves, hot, cold, penalty * conflict.any(), seed
    )
