"""Carving a 40 nm cube of PbS: hetbuild, ASE and pymatgen doing the same job.

    python benchmarks/carve.py [edge in Å ...]

Each run is a process of its own, so that peak memory is its own. The job: from the bulk crystal to
elements and positions of all ions inside the cube's six facets.
"""

from __future__ import annotations

import subprocess
import sys

SETUP = {
    "hetbuild": """
from hetbuild.carve import Facet, carve
from hetbuild.crystal import read_crystal
from hetbuild.library import find_structure
import scipy.spatial
crystal = read_crystal(find_structure("PbS"))
def job():
    return len(carve(crystal, [Facet((1, 0, 0), edge / 2 / 5.9362)], site="Pb"))
""",
    "ase": """
import numpy as np
from ase.build import bulk
cell = bulk("PbS", "rocksalt", a=5.9362, cubic=True)
def job():
    n = int(np.ceil(edge / 2 / 5.9362)) + 1
    block = cell.repeat(2 * n)
    away = np.abs(block.positions - n * 5.9362).max(axis=1)
    return len(block[away <= edge / 2 + 1e-6])
""",
    "pymatgen": """
import numpy as np
from pymatgen.core import Structure
cell = Structure.from_spacegroup("Fm-3m", [[5.9362, 0, 0], [0, 5.9362, 0], [0, 0, 5.9362]],
                                 ["Pb", "S"], [[0, 0, 0], [0.5, 0.5, 0.5]])
def job():
    n = int(np.ceil(edge / 2 / 5.9362)) + 1
    block = cell * (2 * n, 2 * n, 2 * n)
    away = np.abs(block.cart_coords - n * 5.9362).max(axis=1)
    return len(Structure.from_sites([block[i] for i in np.flatnonzero(away <= edge / 2 + 1e-6)]))
""",
}
REPORT = """
import resource, time
started = time.perf_counter()
atoms = job()
took = time.perf_counter() - started
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(f"{took:8.2f} s {peak:8.0f} MiB {atoms:9d} atoms")
"""


def main(edges: list[float]) -> None:
    for edge in edges:
        for peer, setup in SETUP.items():
            if peer == "pymatgen" and edge > 150:
                print(f"{edge:6.0f} Å  {peer:9s} not run: minutes and many GiB at this size")
                continue
            code = f"edge = {edge}\n{setup}\n{REPORT}"
            done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
            print(
                f"{edge:6.0f} Å  {peer:9s} {done.stdout.strip() or done.stderr[-200:]}", flush=True
            )


if __name__ == "__main__":
    main([float(a) for a in sys.argv[1:]] or [100.0, 375.0])
