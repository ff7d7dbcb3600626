"""`hetbuild compare` on turned, shuffled copies with noise: is the rms that of the noise, how much
CPU time and memory? Each size runs in a process of its own.

    python benchmarks/compare.py [atoms] [orientations]
"""

from __future__ import annotations

import resource
import subprocess
import sys
import time

import numpy as np
from scipy.spatial.transform import Rotation

from hetbuild.analyse.compare import compare
from hetbuild.geometry.rigid import superposed

NOISE = (0.0, 0.1, 0.2, 0.3, 0.5)
"""Å rms."""


def sphere(atoms: int) -> tuple[np.ndarray, np.ndarray]:
    """The `atoms` sites of PbS nearest to a point near a Pb."""
    reach = np.arange(-int(atoms ** (1 / 3)) - 2, int(atoms ** (1 / 3)) + 3)
    grid = np.stack(np.meshgrid(reach, reach, reach, indexing="ij"), axis=-1).reshape(-1, 3)
    points = grid * 2.968 + np.array([0.7, 0.2, 0.1])
    near = np.argsort(np.linalg.norm(points, axis=1), kind="stable")[:atoms]
    return np.where(grid.sum(axis=1) % 2 == 0, 82, 16)[near], points[near]


def run(atoms: int, orientations: int) -> None:
    """Print one row of the table."""
    numbers, points = sphere(atoms)
    worst, seconds = 0.0, []
    for seed in range(orientations):
        rng = np.random.default_rng(seed)
        noise = rng.normal(scale=NOISE[seed % len(NOISE)] / 3**0.5, size=points.shape)
        moved = points + noise
        rotation, shift = superposed(points, moved)
        best = np.sqrt(((moved @ rotation.T + shift - points) ** 2).sum(axis=1).mean())
        order, turn = rng.permutation(atoms), Rotation.random(random_state=rng).as_matrix()
        start = time.process_time()
        found = compare((numbers, points), (numbers[order], (moved @ turn.T)[order] + 5.0))
        seconds.append(time.process_time() - start)
        worst = max(worst, found.rmsd - float(best))
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"| {atoms} | {orientations} | {worst:.1e} Å | {np.median(seconds):.1f} s, "
        f"{max(seconds):.1f} s at most | {memory:.0f} MB |",
        flush=True,
    )


if __name__ == "__main__":
    if len(sys.argv) > 1:
        run(int(sys.argv[1]), int(sys.argv[2]))
    else:
        for size in (100, 1000, 10000, 100000):
            subprocess.run([sys.executable, __file__, str(size), "20"], check=True)
