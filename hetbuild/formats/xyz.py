"""XYZ: extended, with everything in it, and plain for CP2K."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import numpy as np

from hetbuild.arrays import FloatArray, IntArray
from hetbuild.elements import symbol
from hetbuild.errors import HetbuildError, InputError
from hetbuild.formats.ase import from_ase, to_ase
from hetbuild.model import Model

if TYPE_CHECKING:
    from ase import Atoms

COLUMNS = ["symbols", "positions", "formal_charge", "domain", "role", "site", "site_cell"]
"""Positions right after the symbol, so that CP2K reads the same file."""


def write_xyz(model: Model, stream: TextIO) -> None:
    """Extended XYZ; columns: species, position (Å), formal charge (e), domain, role, site."""
    from ase.io.extxyz import write_extxyz

    write_extxyz(stream, [to_ase(model)], columns=COLUMNS, write_results=False)


def read_xyz(path: Path) -> Model:
    """The model in an extended XYZ file that hetbuild wrote.

    Raises
    ------
    InputError
        The file cannot be read, is no extended XYZ, or carries no hetbuild record.
    """
    try:
        return from_ase(_read(path))
    except HetbuildError as error:
        raise InputError(
            f"{path}: {error}" if str(path) not in str(error) else str(error)
        ) from None


def read_positions(path: Path) -> tuple[IntArray, FloatArray, FloatArray | None]:
    """Atomic numbers (N,), positions (N, 3) and cell (3, 3) in Å of any file ASE reads.

    The cell is None where the atoms do not repeat in three dimensions, and of VESTA files.

    Raises
    ------
    InputError
        The file cannot be read or holds no atoms.
    """
    if path.suffix == ".vesta":
        from hetbuild.formats.vesta import read_vesta

        numbers, positions, _ = read_vesta(path)
        return numbers.astype(np.int16), positions, None
    atoms = _read(path)
    cell = np.array(atoms.cell) if atoms.pbc.any() and atoms.cell.rank == 3 else None
    return atoms.numbers.astype(np.int16), np.array(atoms.positions), cell


def write_plain_xyz(model: Model, stream: TextIO) -> None:
    """Element and position in Å only, as CP2K's COORD_FILE_FORMAT XYZ takes it."""
    stream.write(f"{len(model)}\n{model.formula}, formal charge {model.charge:+d} e\n")
    symbols = [symbol(z) for z in model.numbers]
    stream.writelines(
        f"{e:2s} {x:16.8f} {y:16.8f} {z:16.8f}\n"
        for e, (x, y, z) in zip(symbols, model.positions, strict=True)
    )


def _read(path: Path) -> Atoms:
    from ase.io import read

    if not path.is_file():
        raise InputError(f"There is no file {path}.")
    try:
        atoms = read(path)
    except Exception as error:
        # ASE's readers raise whatever their parser stumbles over.
        why = str(error) or "it has no format that ASE knows"
        raise InputError(f"{path} cannot be read as a structure file: {why}") from None
    if isinstance(atoms, list) or not len(atoms):
        raise InputError(f"{path} holds no atoms.")
    return atoms
