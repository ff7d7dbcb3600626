"""A model relaxed: the new positions with all that the old model knew of its atoms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from hetbuild.arguments import checked
from hetbuild.arrays import FloatArray, IntArray
from hetbuild.errors import InputError
from hetbuild.formats.catalogue import core
from hetbuild.geometry.images import finite
from hetbuild.model import Model
from hetbuild.relaxing.calculators import Chosen
from hetbuild.relaxing.optimise import Frame, Optimizer, Settings


@checked
def relax(
    model: Model,
    calculator: str = "chgnet",
    *,
    options: Mapping[str, Any] | None = None,
    optimizer: Optimizer = "lbfgs",
    fmax: float = 0.05,
    steps: int = 500,
    fixed_core: float | None = None,
    only_interface: float | None = None,
    vacuum: float | None = None,
) -> Model:
    """Bring a model to the minimum of a calculator's energy; labels, roles and sites stay.

    calculator: chgnet, sevennet, gfn1, cp2k or ``package.module:Class`` of any ASE calculator;
    options: its keyword options. fmax: largest force left, eV/Å. fixed_core: atoms deeper than this
    below the surface stay, Å; only_interface: only those this near to another domain move, Å.
    vacuum: Å around the particle in a periodic box; default: as the calculator needs.

    The last of ``provenance["relaxations"]`` says whether the force was reached in so many steps.

    Raises
    ------
    InputError
        The calculator is not installed, lacks an element or fails; or no atom is left to move.
    ImpossibleError
        The calculator fails after the start.

    Examples
    --------
    >>> import hetbuild as hb
    >>> cube = hb.build("cspbcl3-cube-1")
    >>> relaxed = hb.relax(cube, "ase.calculators.morse:MorsePotential",
    ...                    options={"r0": 2.9, "rcut1": 4.0, "rcut2": 5.0}, fmax=0.1)
    >>> relaxed.provenance["relaxations"][-1]["converged"]
    True
    """
    from hetbuild.relaxing.calculators import calculator as made
    from hetbuild.relaxing.optimise import frames

    settings = Settings(optimizer, fmax, steps)
    held = held_atoms(model, fixed_core, only_interface)
    chosen = made(calculator, options, model=model, numbers=model.numbers, vacuum=vacuum)
    first = last = None
    for frame in frames(model, chosen, settings, held):
        first, last = first or frame, frame
    assert first is not None  # the start is always given
    assert last is not None
    return relaxed(model, chosen, settings, held, first, last)


def held_atoms(
    model: Model, fixed_core: float | None = None, only_interface: float | None = None
) -> IntArray:
    """Indices of atoms that stay where they are.

    fixed_core: those deeper than this below the surface, Å. only_interface: those farther than
    this from every atom of another domain, Å.

    Raises
    ------
    InputError
        A length below zero, or a core of a periodic model; no atom is that deep, the model has no
        interface, or nothing would be left to move.
    """
    for option, length in (("--fixed-core", fixed_core), ("--only interface", only_interface)):
        if length is not None and not 0 <= length < np.inf:
            raise InputError(f"{option} {length:g}: a length in Å, zero or more.")
    held = np.zeros(len(model), dtype=bool)
    if fixed_core is not None:
        held[core(model, fixed_core)] = True
    if only_interface is not None:
        away = from_interface(finite(model, only_interface))[: len(model)]
        held |= away > only_interface
    if held.all():
        raise InputError(
            "No atom is left to move: choose a larger --fixed-core (what lies deeper is held) or a "
            "larger --only interface (what lies farther is held)."
        )
    return np.flatnonzero(held)


def from_interface(model: Model) -> FloatArray:
    """Distance of each atom from the nearest atom of another domain, Å, shape (N,).

    Raises
    ------
    InputError
        The model is of one domain.
    """
    from scipy.spatial import cKDTree

    if len(np.unique(model.domain)) < 2:
        raise InputError("--only interface: a model of one domain has no interface.")
    away = np.zeros(len(model))
    for index in np.unique(model.domain):
        mine = model.domain == index
        away[mine] = cKDTree(model.positions[~mine]).query(model.positions[mine])[0]
    return away


def best(frames: Sequence[Frame]) -> Frame:
    """The frame of lowest energy."""
    return min(frames, key=lambda f: f.energy)


def relaxed(
    model: Model, chosen: Chosen, settings: Settings, held: IntArray, first: Frame, last: Frame
) -> Model:
    """The model at the last frame; provenance says how it came there."""
    record = {
        **provenance(chosen, settings, held),
        "steps": last.step,
        "converged": last.fmax < settings.fmax,
        "fmax": round(last.fmax, 6),
        "energy_before": round(first.energy, 8),
        "energy_after": round(last.energy, 8),
    }
    before: Mapping[str, Any] = model.provenance
    return replace(
        model,
        positions=last.positions.copy(),
        provenance={**before, "relaxations": [*before.get("relaxations", ()), record]},
    )


def provenance(chosen: Chosen, settings: Settings, held: IntArray) -> dict[str, Any]:
    """Calculator, version, options and settings, as records keep them."""
    wanted = asdict(settings)
    wanted["fmax_wanted"] = wanted.pop("fmax")
    wanted["steps_allowed"] = wanted.pop("steps")
    return {
        "calculator": chosen.name,
        "version": chosen.version,
        "options": dict(chosen.options),
        **wanted,
        "held": len(held),
    }
