"""Optimisation of atoms to a minimum of energy, one frame after another.

The optimisers are ASE's. Frames come from a generator: who asks for the next one decides what to
write, what to show and when to stop.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from hetbuild.arrays import FloatArray, IntArray
from hetbuild.errors import InputError
from hetbuild.model import Model
from hetbuild.relaxing.calculators import Chosen, evaluated

if TYPE_CHECKING:
    from ase import Atoms

Optimizer = Literal["lbfgs", "fire"]

LONGEST_STEP = 0.1
"""Å an atom may move in one step; with 0.2, ASE's own, CHGNet overshoots at a rough interface."""

MEMORY = 100
"""Steps that LBFGS remembers (ASE's default)."""


@dataclass(frozen=True)
class Settings:
    """How to optimise."""

    optimizer: Optimizer = "lbfgs"
    fmax: float = 0.05
    """Largest force on an atom at which the model is relaxed, eV/Å."""
    steps: int = 500
    """At most so many, those of an earlier run included."""
    longest_step: float = LONGEST_STEP
    """Å."""

    def __post_init__(self) -> None:
        if self.fmax <= 0:
            raise InputError(f"fmax {self.fmax:g}: a force in eV/Å above zero; 0.05 is usual.")
        if self.steps < 0:
            raise InputError(f"{self.steps} steps: zero or more.")


@dataclass(frozen=True, eq=False)
class Frame:
    """One step of an optimisation."""

    step: int
    """0 for the start."""
    energy: float
    """eV."""
    positions: FloatArray
    """In the model's axes, Å, shape (N, 3)."""
    forces: FloatArray
    """eV/Å, shape (N, 3); zero on atoms that are held."""

    def __post_init__(self) -> None:
        self.positions.flags.writeable = False
        self.forces.flags.writeable = False

    @property
    def fmax(self) -> float:
        """Largest force on an atom, eV/Å."""
        return float(np.linalg.norm(self.forces, axis=1).max(initial=0.0))


def prepared(model: Model, chosen: Chosen, held: IntArray) -> tuple[Atoms, FloatArray]:
    """Atoms in the box the calculator wants, and how far they were shifted into it, shape (3,), Å.

    held: indices of atoms that stay where they are.
    """
    from ase import Atoms
    from ase.constraints import FixAtoms

    atoms = Atoms(numbers=model.numbers.astype(int), positions=model.positions)
    atoms.info["charge"] = model.charge
    boxed = chosen.box(model)
    shift = np.zeros(3)
    if model.cell is not None:
        atoms.set_cell(model.cell)
        atoms.pbc = True
    elif boxed is not None:
        vectors, shift = boxed
        atoms.set_cell(vectors)
        atoms.translate(shift)
        atoms.pbc = chosen.periodic
    if len(held):
        atoms.set_constraint(FixAtoms(indices=held))
    atoms.calc = chosen.calculator
    return atoms, shift


def frames(
    model: Model,
    chosen: Chosen,
    settings: Settings,
    held: IntArray,
    earlier: Sequence[Frame] = (),
) -> Iterator[Frame]:
    """Frames from the start, or from the last of the earlier ones, to the minimum.

    The first frame given is that of the start, or the one after the last earlier; the last has
    fmax below the wanted one, or its step is the last allowed. LBFGS goes on as if it had never
    stopped: its memory is filled from the earlier frames. FIRE starts from rest.

    Raises
    ------
    InputError
        The calculator cannot evaluate the model.
    """
    atoms, shift = prepared(model, chosen, held)
    if earlier:
        if earlier[-1].fmax < settings.fmax or earlier[-1].step >= settings.steps:
            return
        atoms.positions = earlier[-1].positions + shift
    evaluated(chosen, atoms)
    first = earlier[-1].step if earlier else 0
    dynamics = _dynamics(atoms, settings, earlier, shift)
    for k, _ in enumerate(dynamics.irun(fmax=settings.fmax, steps=settings.steps - first)):
        if k or not earlier:
            yield Frame(
                first + k,
                float(atoms.get_potential_energy()),
                np.round(atoms.positions - shift, 8),
                np.round(atoms.get_forces(), 8),
            )


def _dynamics(atoms: Atoms, settings: Settings, earlier: Sequence[Frame], shift: FloatArray) -> Any:
    from ase.optimize import FIRE, LBFGS

    if settings.optimizer == "fire":
        return FIRE(atoms, logfile=None, maxstep=settings.longest_step)
    lbfgs = LBFGS(atoms, logfile=None, maxstep=settings.longest_step, memory=MEMORY)
    if len(earlier) > 1:
        lbfgs.replay_trajectory([_Replayed(f, shift) for f in earlier[-MEMORY - 1 :]])
    return lbfgs


@dataclass(frozen=True, eq=False)
class _Replayed:
    """A frame as ASE's optimisers ask for it."""

    frame: Frame
    shift: FloatArray

    def get_positions(self) -> FloatArray:
        return self.frame.positions + self.shift

    def get_forces(self) -> FloatArray:
        return self.frame.forces.copy()
