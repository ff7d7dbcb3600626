"""Tripos MOL2: atoms with formal charges, and the bonds of ligand molecules.

Ions of the core are single atoms without bonds, so that force-field programs and RDKit find each
ligand as a molecule of its own.
"""

from __future__ import annotations

from typing import TextIO

import numpy as np

from hetbuild.arrays import IntArray
from hetbuild.elements import symbol
from hetbuild.formats import columns
from hetbuild.geometry.bonds import molecule_bonds
from hetbuild.model import Model

CORE = "ION"
"""Name of the substructure of all ions of the core; molecules are LIG1, LIG2 ..."""


def write_mol2(model: Model, stream: TextIO) -> None:
    """Write a particle; substructure 1 is the core, then one for each molecule.

    Raises
    ------
    InputError
        A ligand molecule is not whole.
    """
    bonds = molecule_bonds(model)
    types, table = _types(model, bonds)
    _, residue = np.unique(model.molecule, return_inverse=True)
    residue += int(model.molecule.min(initial=1) > 0)
    stream.write(
        f"@<TRIPOS>MOLECULE\n{model.formula}\n"
        f"{len(model)} {len(bonds)} {residue.max(initial=0) + 1}\nSMALL\n"
        "USER_CHARGES\n\n@<TRIPOS>ATOM\n"
    )
    serial = np.arange(1, len(model) + 1)
    kinds, element = np.unique(model.numbers, return_inverse=True)
    names = [CORE, *(f"LIG{k}" for k in range(1, int(residue.max(initial=0)) + 1))]
    text = [
        columns.integers(serial),
        columns.words(element, [symbol(int(z)) for z in kinds]),
        *(columns.reals(x) for x in model.positions.T),
        columns.words(types, table),
        columns.integers(residue + 1),
        columns.words(residue, names),
        columns.reals(model.charges.astype(np.float64)),
    ]
    stream.write(columns.joined(text))
    stream.write("@<TRIPOS>BOND\n")
    if len(bonds):
        orders = np.array(["1", "2", "3"])
        kinds_of = columns.words(bonds[:, 2] - 1, orders.tolist())
        lines = [columns.integers(x) for x in (np.arange(1, len(bonds) + 1), *(bonds[:, :2] + 1).T)]
        stream.write(columns.joined([*lines, kinds_of]))


def _types(model: Model, bonds: IntArray) -> tuple[IntArray, list[str]]:
    """Index of each atom's SYBYL type, shape (N,), and the types."""
    both = np.concatenate([bonds, bonds[:, [1, 0, 2]]])
    highest = np.ones(len(model), dtype=np.int64)
    np.maximum.at(highest, both[:, 0], both[:, 2])
    degree = np.bincount(both[:, 0], minlength=len(model))
    z, q = model.numbers, model.charges
    # Terminal O on an atom that also carries O-: carboxylates and phosphonates share their charge.
    lone = (z == 8) & (degree == 1)
    charged = np.zeros(len(model), dtype=bool)
    charged[both[lone[both[:, 0]] & (q[both[:, 0]] < 0), 1]] = True
    shared = np.zeros(len(model), dtype=bool)
    here = lone[both[:, 0]] & charged[both[:, 1]] & np.isin(z[both[:, 1]], (6, 15))
    shared[both[here, 0]] = True
    names = np.array([symbol(int(k)) for k in np.unique(z)])
    base = names[np.searchsorted(np.unique(z), z)].astype("U6")
    inside = degree > 0
    sp = np.array(["", ".3", ".2", ".1"])[highest]
    types = np.where(inside & np.isin(z, (6, 7, 8, 16)), np.char.add(base, sp), base)
    types = np.where(inside & (z == 15), "P.3", types)
    types = np.where(inside & (z == 16) & (degree == 4), "S.o2", types)
    types = np.where(inside & (z == 7) & (q > 0), "N.4", types)
    types = np.where(shared, "O.co2", types)
    table, index = np.unique(types, return_inverse=True)
    return index, table.tolist()
