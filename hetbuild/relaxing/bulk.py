"""Relaxation of a bulk crystal, its cell too, with the symmetry it has."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from hetbuild.arrays import Progress
from hetbuild.crystal.crystal import Crystal
from hetbuild.relaxing.calculators import Chosen, evaluated
from hetbuild.relaxing.classes import asked
from hetbuild.relaxing.optimise import Settings

if TYPE_CHECKING:
    from ase import Atoms

LEAST_EDGE = 10.0
"""Å: a crystal is repeated until its cell has such edges, for calculators without k points, which
sample one point of the Brillouin zone."""


SYMMETRIC = 1e-3
"""Å by which a crystal's sites may miss the symmetry that relaxation keeps."""


@dataclass(frozen=True)
class RelaxedCrystal:
    """A crystal before and after."""

    crystal: Crystal
    """Relaxed."""
    before: tuple[float, ...]
    """a, b, c in Å, alpha, beta, gamma in degrees."""
    after: tuple[float, ...]
    energy: float
    """eV per atom."""
    pressure: float
    """What is left of it, GPa; of the cell as it is where that was not relaxed."""
    fmax: float
    """Largest force left, of the cell's too where it was relaxed, eV/Å."""
    steps: int
    converged: bool
    repeats: tuple[int, int, int]
    """Cells that were calculated along each edge."""

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        change = [100 * (b / a - 1) for a, b in zip(self.before[:3], self.after[:3], strict=True)]
        return {
            "crystal": self.crystal.name,
            "space_group": self.crystal.space_group,
            "before": list(self.before),
            "after": list(self.after),
            "change_percent": change,
            "energy_per_atom": self.energy,
            "pressure": self.pressure,
            "fmax": self.fmax,
            "steps": self.steps,
            "converged": self.converged,
            "repeats": list(self.repeats),
        }


def relax_crystal(
    crystal: Crystal, chosen: Chosen, settings: Settings, *, cell: bool, progress: Progress = None
) -> RelaxedCrystal:
    """Bring the sites of a crystal, and with `cell` its lattice, to the minimum of energy.

    The space group stays (ASE's FixSymmetry). The cell relaxes by the deformation gradient (ASE's
    FrechetCellFilter).

    Raises
    ------
    InputError, ImpossibleError
        The calculator cannot evaluate it, or fails on the way.
    """
    from ase.units import GPa

    repeats = _repeats(crystal, chosen)
    atoms = _atoms(crystal, repeats)
    atoms.calc = chosen.calculator
    evaluated(chosen, atoms)
    # The same scale for one cell and for several: a step strains all alike.
    target = _free(atoms, float(len(crystal.numbers)) if cell else None)
    dynamics = _optimiser(target, settings)
    with warnings.catch_warnings():
        # The logarithm of the deformation is good to 1e-12 and SciPy warns of 2e-13.
        warnings.filterwarnings("ignore", "logm result", RuntimeWarning)
        converged = _run(dynamics, chosen, settings, progress)
        force = float(np.linalg.norm(target.get_forces(), axis=1).max())
    relaxed = _crystal(crystal, atoms, repeats)
    return RelaxedCrystal(
        crystal=relaxed,
        before=crystal.cell_parameters,
        after=relaxed.cell_parameters,
        energy=float(atoms.get_potential_energy()) / len(atoms),
        pressure=float(-atoms.get_stress()[:3].mean() / GPa),
        fmax=force,
        steps=int(dynamics.nsteps),
        converged=converged,
        repeats=repeats,
    )


def _free(atoms: Atoms, scale: float | None) -> Any:
    """What may move: positions within the space group, and with a scale the cell."""
    from ase.constraints import FixSymmetry
    from ase.filters import FrechetCellFilter

    atoms.set_constraint(FixSymmetry(atoms, symprec=SYMMETRIC, verbose=False))
    return atoms if scale is None else FrechetCellFilter(atoms, exp_cell_factor=scale)


def _optimiser(target: Any, settings: Settings) -> Any:
    from ase.optimize import BFGS, FIRE

    # A crystal has few coordinates: the whole Hessian is kept, which no inflection misleads.
    kind = FIRE if settings.optimizer == "fire" else BFGS
    return kind(target, logfile=None, maxstep=settings.longest_step)


def _run(dynamics: Any, chosen: Chosen, settings: Settings, progress: Progress) -> bool:
    """Whether the optimiser reached its aim."""
    steps = dynamics.irun(fmax=settings.fmax, steps=settings.steps)
    converged = False
    for k in range(settings.steps + 1):
        with asked(chosen.name, k):
            done = next(steps, None)
        if done is None:
            break
        converged = bool(done)
        if progress is not None:
            progress(k / max(settings.steps, 1))
    return converged


def _repeats(crystal: Crystal, chosen: Chosen) -> tuple[int, int, int]:
    if not chosen.gamma_only:
        return 1, 1, 1
    a, b, c = (int(np.ceil(LEAST_EDGE / edge)) for edge in crystal.cell_parameters[:3])
    return a, b, c


def _atoms(crystal: Crystal, repeats: tuple[int, int, int]) -> Atoms:
    from ase import Atoms

    cell = Atoms(
        numbers=crystal.numbers, scaled_positions=crystal.fractional, cell=crystal.vectors, pbc=True
    )
    return cell.repeat(repeats)


def _crystal(crystal: Crystal, atoms: Atoms, repeats: tuple[int, int, int]) -> Crystal:
    """The crystal in the cell, and with the sites, that the atoms have now."""
    vectors = np.array(atoms.cell) / np.array(repeats)[:, None]
    first = np.array(atoms.positions[: len(crystal.numbers)])
    fractional = first @ np.linalg.inv(vectors)
    return replace(crystal, vectors=vectors, fractional=np.round(fractional, 9) % 1.0, sha256="")
