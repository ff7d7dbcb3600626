"""Models as ASE Atoms and back."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from hetbuild.arguments import expect
from hetbuild.errors import InputError
from hetbuild.formats.box import box
from hetbuild.formats.labels import LABELS, Names, from_names, to_names
from hetbuild.formats.record import from_record, to_record
from hetbuild.model import DECIMALS, Model

if TYPE_CHECKING:
    from ase import Atoms

KEY = "hetbuild"
"""Where the record is kept in Atoms.info."""


SHIFT = "shift"
"""Under which the record of a particle in a box keeps how far it was moved, Å, (3,)."""


def to_ase(model: Model, vacuum: float | None = None) -> Atoms:
    """Atoms with arrays formal_charge (e), domain, role, site and site_cell; the record in info.

    Of a model with ligand molecules also `molecule`, counted from 1, 0 for the ions of the core.

    vacuum: Å on every side of a particle in a box; None: positions as they are, and no cell.

    Raises
    ------
    InputError
        A vacuum that is negative or no number.
    """
    from ase import Atoms

    atoms = Atoms(numbers=model.numbers.astype(int), positions=model.positions)
    atoms.set_array("formal_charge", model.charges.astype(int))
    for label, (index, names) in to_names(model).items():
        atoms.set_array(label, np.array(names)[index])
    atoms.set_array("site_cell", model.site_cell.astype(int))
    if model.molecule.any():
        atoms.set_array("molecule", model.molecule.astype(int))
    record = to_record(model)
    if model.cell is not None:
        atoms.set_cell(model.cell)
        atoms.pbc = model.periodic
    elif vacuum is not None:
        cell, shift = box(model, vacuum)
        atoms.set_cell(cell)
        atoms.positions += shift
        record[SHIFT] = shift.tolist()
    atoms.info[KEY] = json.dumps(record, ensure_ascii=False)
    return atoms


def from_ase(atoms: Atoms) -> Model:
    """The model that Atoms were made from.

    Raises
    ------
    InputError
        They carry no hetbuild record, or a damaged one.
    """
    from ase import Atoms as AseAtoms

    expect(atoms, AseAtoms, "What a model is made from")
    record = parsed_record(atoms.info.get(KEY))
    try:
        names = {label: _named(atoms.get_array(label)) for label in LABELS if atoms.has(label)}
        columns: dict[str, Any] = {
            "charges": np.asarray(atoms.get_array("formal_charge")).astype(np.int8),
            **from_names(record, names),
        }
        if "site" in names:
            columns["site_cell"] = np.asarray(atoms.get_array("site_cell")).astype(np.int16)
        if atoms.has("molecule"):
            columns["molecule"] = np.asarray(atoms.get_array("molecule")).astype(np.int32)
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
        raise InputError(
            f"Atoms with a hetbuild record, but the labels of atoms do not fit it: {error}. Write "
            "the file anew with hetbuild, or name its crystals with --crystals A,B."
        ) from None
    positions = atoms.positions.copy()
    if SHIFT in record:
        positions = np.round(positions - np.array(record[SHIFT], dtype=float), DECIMALS)
    return from_record(
        record, {"numbers": atoms.numbers.astype(np.int16), "positions": positions, **columns}
    )


def _named(values: Any) -> Names:
    """Names of atoms as ASE keeps them, one string each."""
    known, index = np.unique(np.asarray(values).astype(str), return_inverse=True)
    return index, known.tolist()


def parsed_record(given: object) -> dict[str, Any]:
    """The record out of a file's comment or of Atoms.info.

    Raises
    ------
    InputError
        There is none, or it is damaged.
    """
    if given is None:
        raise InputError(
            "No hetbuild record in these atoms: name the crystals they are made of "
            "(--crystals A,B), or the model they came from (--like MODEL), or use a file hetbuild "
            "wrote."
        )
    try:
        record = json.loads(given) if isinstance(given, str) else given
    except (ValueError, RecursionError) as error:  # integers of thousands of digits, deep nests
        raise InputError(f"The hetbuild record is damaged: {error}.") from None
    if not isinstance(record, dict):
        raise InputError("The hetbuild record is damaged: it is no mapping.")
    return record
