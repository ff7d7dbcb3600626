"""Optimisation of atoms to a minimum of energy, one frame after another.

Frames come from a generator: who asks for the next one decides what to write, what to show and when
to stop. LBFGS is `lbfgs`, FIRE is ASE's.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from hetbuild.arrays import FloatArray, IntArray
from hetbuild.errors import InputError
from hetbuild.model import Model
from hetbuild.relaxing.calculators import Chosen, evaluated
from hetbuild.relaxing.classes import asked
from hetbuild.relaxing.lbfgs import MEMORY, Lbfgs

if TYPE_CHECKING:
    from ase import Atoms

Optimizer = Literal["lbfgs", "fire"]

LONGEST_STEP = 0.2
"""Å an atom may move in one step."""


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
        if self.longest_step <= 0:
            raise InputError(
                f"A longest step of {self.longest_step:g} Å; it must be above zero, "
                f"{LONGEST_STEP:g} is usual."
            )


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
    ImpossibleError
        It fails at a later step.
    """
    if earlier and (earlier[-1].fmax < settings.fmax or earlier[-1].step >= settings.steps):
        return
    atoms, shift = prepared(model, chosen, held)
    if earlier:
        atoms.positions = earlier[-1].positions + shift
    way = _fire if settings.optimizer == "fire" else _lbfgs
    if not earlier:
        earlier = (_frame(0, chosen, atoms, shift),)
        yield earlier[0]
    if earlier[-1].fmax >= settings.fmax:
        yield from way(model, chosen, atoms, shift, settings, held, earlier)


def _frame(step: int, chosen: Chosen, atoms: Atoms, shift: FloatArray) -> Frame:
    """What stands in the file and what the next step is made from are the same numbers, also from
    calculators in single precision: a soft particle makes Å out of the ninth digit."""
    energy, forces = evaluated(chosen, atoms, step)
    return Frame(step, energy, np.round(atoms.positions - shift, 8), np.round(forces, 8))


def _lbfgs(
    model: Model,
    chosen: Chosen,
    atoms: Atoms,
    shift: FloatArray,
    settings: Settings,
    held: IntArray,
    earlier: Sequence[Frame],
) -> Iterator[Frame]:
    minimiser = Lbfgs(model.positions, settings.longest_step, held)
    for frame in earlier[-MEMORY - 1 :]:
        minimiser.note(frame.positions, frame.forces)
    frame = earlier[-1]
    while frame.fmax >= settings.fmax and frame.step < settings.steps:
        atoms.positions = frame.positions + minimiser.step() + shift
        frame = _frame(frame.step + 1, chosen, atoms, shift)
        minimiser.note(frame.positions, frame.forces)
        yield frame


def _fire(
    _: Model,
    chosen: Chosen,
    atoms: Atoms,
    shift: FloatArray,
    settings: Settings,
    held: IntArray,
    earlier: Sequence[Frame],
) -> Iterator[Frame]:
    from ase.optimize import FIRE

    first = earlier[-1].step
    dynamics = FIRE(atoms, logfile=None, maxstep=settings.longest_step)
    steps = dynamics.irun(settings.fmax, settings.steps - first)
    for step in range(first, settings.steps + 1):
        with asked(chosen.name, step):
            if next(steps, None) is None:
                return
        if step > first:
            yield _frame(step, chosen, atoms, shift)
