"""Balancing against the best of 20 simulated anneals of 10^7 moves over the same candidates.

python benchmarks/balance.py [anneals]
"""

from __future__ import annotations

import sys
import time

import numpy as np
from anneal import anneal

from hetbuild.balancing.anneal import ground_state
from hetbuild.balancing.balance import prepared
from hetbuild.balancing.candidates import Move
from hetbuild.library import find_recipe
from hetbuild.recipe.read import read_recipe
from hetbuild.recipe.run import stages

MOVES = 10**7
SIZES = {
    "1k, published split": (2.5, 5, 7, 9),
    "1k": (2.5, 5, 7, 9),
    "5k": (4.5, 9, 12, 16),
    "20k": (7.5, 15, 20, 27),
}


def joined(perovskite: float, *sulfide: int):
    """The main recipe at another size, up to joining."""
    settings = [f"domains.perovskite.facets.0.planes={perovskite}"]
    settings += [f"domains.sulfide.facets.{i}.planes={n}" for i, n in enumerate(sulfide)]
    recipe = read_recipe(find_recipe("cspbcl3-pbs"), tuple(settings))
    return next(m for stage, m in stages(recipe) if stage == "joined")


def main(anneals: int) -> None:
    moves = [Move("add", "Cl", d, bonded_to=("Pb",)) for d in ("perovskite", "sulfide")]
    print("particle              atoms  sites  added  hetbuild/eV   s     best anneal/eV  s each")
    for label, size in SIZES.items():
        model = joined(*size)
        started = time.perf_counter()
        problem = prepared(model, moves)
        every = np.arange(len(problem.found.move))
        parts = problem.field(every), problem.pair(every), problem.conflict(every)
        kind = np.zeros(len(every), dtype=np.int64)
        counts = np.array([model.charge])
        weight, target = problem.weight, problem.target
        if "split" in label:
            kind, counts = problem.found.move, np.array([10, 32])
            weight, target = np.eye(2, dtype=np.int64)[kind], counts
        ours = ground_state(*parts, weight, target)
        took = time.perf_counter() - started
        started = time.perf_counter()
        best = min(anneal(*parts, kind, counts, MOVES, seed)[0] for seed in range(anneals))
        each = (time.perf_counter() - started) / anneals
        print(
            f"{label:20s} {len(model):6d} {len(kind):6d} {counts.sum():6d} {ours.energy:12.3f} "
            f"{took:6.1f} {best:12.3f} {each:8.1f}",
            flush=True,
        )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20)
