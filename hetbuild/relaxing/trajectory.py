"""The trajectory of a relaxation: extended XYZ that grows by a frame a step.

It is all that is needed to go on after a kill. Its first frame says what is relaxed and how; a
frame cut off in the middle of writing is dropped.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np

from hetbuild.arrays import IntArray
from hetbuild.errors import InputError
from hetbuild.model import Model
from hetbuild.relaxing.optimise import Frame

KEY = "relaxation"
"""What the record of the first frame is called in its comment line."""


@dataclass(frozen=True, eq=False)
class Past:
    """What a trajectory file holds."""

    frames: tuple[Frame, ...]
    record: Mapping[str, Any]
    """Of the first frame: identity, calculator, options."""
    size: int
    """Bytes of the file that are whole frames."""


def identity(model: Model, calculator: str, options: Mapping[str, Any], held: IntArray) -> str:
    """Digest of what must be the same for a relaxation to go on: start, calculator, atoms held."""
    digest = hashlib.sha256()
    for array in (model.numbers.astype("<i8"), np.round(model.positions, 6), held.astype("<i8")):
        digest.update(np.ascontiguousarray(array).tobytes())
    digest.update(json.dumps([calculator, sorted(options.items())], default=repr).encode())
    return digest.hexdigest()[:32]


def text(model: Model, frame: Frame, record: Mapping[str, Any] | None = None) -> str:
    """One frame of the file. record: what is relaxed and how, for the first."""
    from ase import Atoms
    from ase.calculators.singlepoint import SinglePointCalculator
    from ase.io.extxyz import write_extxyz

    atoms = Atoms(numbers=model.numbers.astype(int), positions=frame.positions)
    if model.cell is not None:
        atoms.set_cell(model.cell)
        atoms.pbc = model.periodic
    energy = round(frame.energy, 8)  # later digits differ from processor to processor
    atoms.calc = SinglePointCalculator(atoms, energy=energy, forces=frame.forces)
    atoms.info |= {"step": frame.step, "fmax": round(frame.fmax, 6)}
    if record is not None:
        atoms.info[KEY] = json.dumps(record)
    stream = StringIO()
    write_extxyz(stream, [atoms])
    return stream.getvalue()


def read(path: Path, atoms: int) -> Past:
    """The whole frames of a trajectory of so many atoms.

    Raises
    ------
    InputError
        It is no trajectory of a relaxation, or of another number of atoms.
    """
    from ase.io import read as ase_read

    lines = path.read_bytes().splitlines(keepends=True)
    whole = len(lines) if not lines or lines[-1].endswith(b"\n") else len(lines) - 1
    whole -= whole % (atoms + 2)
    kept = b"".join(lines[:whole])
    if lines and lines[0].strip() != str(atoms).encode():
        raise InputError(
            f"{path} is a trajectory of {lines[0].decode(errors='replace').strip()[:20]} atoms, "
            f"the model has {atoms}. Give another folder with -o, or start anew with --force."
        )
    if not kept:
        return Past((), {}, 0)
    try:
        found = ase_read(StringIO(kept.decode()), index=":", format="extxyz")
        record = found[0].info[KEY]
        frames = tuple(
            Frame(
                int(a.info["step"]),
                float(a.get_potential_energy()),
                np.array(a.positions),
                np.array(a.calc.results["forces"]),
            )
            for a in found
        )
    except Exception as error:  # ASE's reader raises whatever its parser stumbles over
        raise InputError(
            f"{path} cannot be read as the trajectory of a relaxation ({error}). Move it away, or "
            "start anew with --force."
        ) from None
    return Past(frames, record if isinstance(record, Mapping) else json.loads(record), len(kept))
