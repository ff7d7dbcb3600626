"""Powder patterns of PbS cubes, CPU seconds beside ASE's XrDebye and pymatgen's XRDCalculator.

python benchmarks/bench_xrd.py
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from ase.utils.xrdebye import XrDebye
from pymatgen.analysis.diffraction.xrd import XRDCalculator
from pymatgen.core import Structure

from hetbuild.assemble.carve import carve
from hetbuild.assemble.polyhedron import Facet
from hetbuild.crystal.crystal import read_crystal
from hetbuild.diffraction.debye import intensity
from hetbuild.diffraction.pairs import pair_histograms
from hetbuild.diffraction.xrd import xrd
from hetbuild.model import Model

STRUCTURE = Path(__file__).parent.parent / "structures" / "PbS.cif"

EDGES = (30.0, 82.0, 140.0)
"""Å: 1,331, 19,683 and 103,823 ions."""

ASE_POINTS = 20
"""Angles ASE is timed at; its time grows with their number and with the square of the ions."""


def seconds(work: Callable[[], object]) -> float:
    """CPU time of one call, all threads."""
    start = time.process_time()
    work()
    return time.process_time() - start


def cube(edge: float) -> Model:
    crystal = read_crystal(STRUCTURE)
    return carve(crystal, [Facet((2, 0, 0), edge / 2 / crystal.spacing((2, 0, 0)))], site="Pb")


def shaken(model: Model) -> Model:
    noise = np.random.default_rng(1).normal(0.0, 0.05, model.positions.shape)
    return replace(model, positions=model.positions + noise)


def by_ase(model: Model) -> float:
    """Seconds for 3,501 angles, from a few of them."""
    oracle = XrDebye(model.to_ase(), wavelength=1.5406, damping=0.0, method=None)
    points = np.linspace(0.1, 0.8, ASE_POINTS)
    return seconds(lambda: [oracle.get(s) for s in points]) * 3501 / ASE_POINTS


def error(model: Model) -> float:
    """Largest difference from the sum term by term, f = Z, relative to the maximum."""
    import hetbuild.diffraction.debye as debye

    q = np.linspace(0.7, 5.3, 60)
    real = debye.form_factors
    debye.form_factors = lambda z, s: np.outer(z, np.ones_like(s))
    found = intensity(pair_histograms(model), q).total
    debye.form_factors = real
    oracle = XrDebye(model.to_ase(), wavelength=1.5406, damping=0.0, method=None)
    wanted = np.array([oracle.get(x / 2 / np.pi) for x in q])
    return float(np.abs(found - wanted).max() / wanted.max())


def main() -> None:
    xrd(cube(20.0))  # imports
    print("| ions | on lattice | relaxed | ASE XrDebye, f = Z | largest error |")
    for k, edge in enumerate(EDGES):
        model = cube(edge)
        loose = seconds(partial(xrd, shaken(model)))
        ase = f"{by_ase(model):.0f} s" if k < 1 else "not run"
        off = f"{max(error(model), error(shaken(model))):.0e}" if k < 1 else ""
        on = seconds(partial(xrd, model))
        print(f"| {len(model)} | {on:.2f} s | {loose:.2f} s | {ase} | {off} |")
    structure = Structure.from_file(STRUCTURE)
    calculator = XRDCalculator()
    calculator.get_pattern(structure)
    bulk = seconds(lambda: calculator.get_pattern(structure))
    print(f"pymatgen XRDCalculator, bulk lines alone: {bulk:.3f} s")


if __name__ == "__main__":
    main()
