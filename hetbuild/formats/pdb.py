"""PDB: one residue for each ligand molecule, and CONECT records for its bonds."""

from __future__ import annotations

from typing import TextIO

import numpy as np

from hetbuild.elements import symbol
from hetbuild.errors import InputError
from hetbuild.geometry.bonds import molecule_bonds
from hetbuild.model import Model

LOWEST, HIGHEST = -999.0, 9999.0
"""Å: coordinates that fit the eight columns of PDB with three decimals."""

MOST = 99_999
"""Serial numbers have five digits."""

RESIDUES = 9_999
"""Residue numbers have four; they start anew after the last."""


def write_pdb(model: Model, stream: TextIO) -> None:
    """Write a particle: residue ION of the core, LIG of each molecule; positions to 0.001 Å.

    Raises
    ------
    InputError
        More atoms than a PDB file can number, too far out, or a ligand molecule that is not whole.
    """
    if len(model) > MOST:
        raise InputError(
            f"PDB numbers at most {MOST} atoms and this model has {len(model)}: export to mol2."
        )
    if (model.positions < LOWEST).any() or (model.positions > HIGHEST).any():
        raise InputError(f"PDB holds positions from {LOWEST:g} to {HIGHEST:g} Å: export to mol2.")
    bonds = molecule_bonds(model)
    kinds, index = np.unique(model.numbers, return_inverse=True)
    symbols = np.array([symbol(int(z)).upper() for z in kinds])
    charges = np.array(["  ", *(f"{q}+" for q in range(1, 8)), *(f"{q}-" for q in range(7, 0, -1))])
    x, y, z = (np.char.mod("%8.3f", v) for v in model.positions.T)
    parts = [
        "HETATM",
        np.char.mod("%5d ", np.arange(1, len(model) + 1)),
        np.char.mod("%-4s ", symbols)[index],
        np.where(model.molecule > 0, "LIG A", "ION A"),
        np.char.mod("%4d    ", model.molecule % (RESIDUES + 1)),
        x, y, z,
        np.char.mod("  1.00  0.00          %2s", symbols)[index],
        charges[model.charges],
        "\n",
    ]  # fmt: skip
    lines = np.full(len(model), "", dtype=object)
    for part in parts:
        lines = lines + np.asarray(part, dtype=object)
    stream.write(f"REMARK   1 {model.formula} WRITTEN BY HETBUILD\n" + "".join(lines))
    # A double bond is a CONECT record twice.
    often = np.repeat(bonds[:, :2] + 1, bonds[:, 2], axis=0)
    stream.write("".join(f"CONECT{a:5d}{b:5d}\n" for a, b in often.tolist()))
    stream.write("END\n")
