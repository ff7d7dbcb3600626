"""Carving a PbS cube: hetbuild, ASE and pymatgen, by time and by peak memory.

pytest benchmarks/bench_carve.py -p no:xdist -s
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

EDGE = 5.9362
"""Lattice parameter of PbS, Å, as in structures/PbS.cif."""

LARGE = 400.0
"""Cube edge, Å: 2,460,375 atoms."""

SMALL = 100.0
"""Cube edge for pymatgen, Å: its Structure keeps an object per atom, and at 40 nm the supercell
alone is expected to take several minutes and GB."""

STRUCTURE = Path(__file__).parent.parent / "structures" / "PbS.cif"


def by_hetbuild(size: float) -> int:
    from hetbuild.assemble.carve import carve
    from hetbuild.assemble.polyhedron import Facet
    from hetbuild.crystal.crystal import read_crystal

    crystal = read_crystal(STRUCTURE)
    planes = size / 2 / crystal.spacing((2, 0, 0))
    return len(carve(crystal, [Facet((2, 0, 0), planes)], site="Pb"))


def by_ase(size: float) -> int:
    from ase.build import bulk

    cells = supercell(size)
    atoms = bulk("PbS", "rocksalt", a=EDGE, cubic=True).repeat(cells)
    middle = cells // 2 * EDGE
    return len(atoms[(np.abs(atoms.positions - middle) <= size / 2 + 1e-6).all(axis=1)])


def by_pymatgen(size: float) -> int:
    from pymatgen.core import Lattice, Structure

    cells = supercell(size)
    block = Structure.from_spacegroup(
        "Fm-3m", Lattice.cubic(EDGE), ["Pb", "S"], [[0, 0, 0], [0.5, 0.5, 0.5]]
    )
    block.make_supercell(cells)
    middle = cells // 2 * EDGE
    outside = (np.abs(block.cart_coords - middle) > size / 2 + 1e-6).any(axis=1)
    block.remove_sites(np.flatnonzero(outside).tolist())
    return len(block)


def supercell(size: float) -> int:
    """Cells per edge of a supercell that holds the cube around a Pb at its middle."""
    return 2 * int(np.ceil(size / 2 / EDGE)) + 2


CASES = [
    pytest.param(by_hetbuild, LARGE, id="hetbuild-40nm"),
    pytest.param(by_ase, LARGE, id="ase-40nm"),
    pytest.param(by_hetbuild, SMALL, id="hetbuild-10nm"),
    pytest.param(by_ase, SMALL, id="ase-10nm"),
    pytest.param(by_pymatgen, SMALL, id="pymatgen-10nm"),
]


def expected(size: float) -> int:
    """Atoms of the cube: of either colour on a grid of a/2, counted by hand."""
    return (2 * int(size / EDGE) + 1) ** 3


@pytest.mark.parametrize(("carver", "size"), CASES)
def test_time(benchmark: BenchmarkFixture, carver: Callable[[float], int], size: float) -> None:
    # pytest-benchmark types its fixture only in part.
    atoms = benchmark.pedantic(  # type: ignore[no-untyped-call]
        carver, args=(size,), rounds=3, warmup_rounds=1
    )
    assert atoms == expected(size)


@pytest.mark.parametrize(("carver", "size"), CASES)
def test_peak_memory(carver: Callable[[float], int], size: float) -> None:
    """A process of its own for each; what importing and a 2 nm cube take is subtracted."""
    run = subprocess.run(
        [sys.executable, "-W", "ignore", __file__, carver.__name__, str(size)],
        capture_output=True,
        text=True,
        check=True,
    )
    atoms, grown = run.stdout.split()
    print(f"\n{carver.__name__} {size / 10:g} nm: {atoms} atoms, {float(grown):.0f} MB")
    assert int(atoms) == expected(size)


def peak() -> float:
    """Peak resident memory of this process, MB.

    ru_maxrss would start from the memory of the process that spawned this one; VmHWM does not.
    """
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(x.split()[1]) / 1024 for x in lines if x.startswith("VmHWM"))


if __name__ == "__main__":
    chosen = {f.__name__: f for f in (by_hetbuild, by_ase, by_pymatgen)}[sys.argv[1]]
    chosen(20.0)
    before = peak()
    print(chosen(float(sys.argv[2])), peak() - before)
