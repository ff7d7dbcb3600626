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
SIZES = {"CsPbCl3/PbS": None, "cube, 11 Pb": 5.5, "cube, 17 Pb": 8.5}
"""The main model, or half the edge of a CsPbCl3 cube in planes."""


def charged(half: float | None):
    """The main model as merged, or a cube as carved: both lose Cs until they are neutral."""
    if half is None:
        recipe = read_recipe(find_recipe("cspbcl3-pbs"))
        return next(m for stage, m in stages(recipe) if stage == "merged")
    settings = (f"domains.perovskite.facets.0.planes={half}",)
    recipe = read_recipe(find_recipe("cspbcl3-cube-5"), settings)
    return next(m for _, m in stages(recipe))


def main(anneals: int) -> None:
    moves = [Move("remove", "Cs", "perovskite")]
    print("particle              atoms  sites   gone  hetbuild/eV   s     best anneal/eV  s each")
    for label, size in SIZES.items():
        model = charged(size)
        started = time.perf_counter()
        problem = prepared(model, moves)
        every = np.arange(len(problem.found.move))
        parts = problem.field(every), problem.pair(every), problem.conflict(every)
        kind = np.zeros(len(every), dtype=np.int64)
        counts = np.array([model.charge])
        weight, target = problem.weight, problem.target
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
