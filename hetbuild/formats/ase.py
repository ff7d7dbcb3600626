"""Models as ASE Atoms and back."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from hetbuild.arguments import expect
from hetbuild.arrays import IntArray
from hetbuild.crystal.crystal import numbered
from hetbuild.errors import InputError
from hetbuild.formats.box import box
from hetbuild.formats.record import from_record, to_record
from hetbuild.model import DECIMALS, Model, Role
from hetbuild.names import check_name

if TYPE_CHECKING:
    from ase import Atoms

NO_SITE = "-"
"""What stands for the site of an atom that has none."""

KEY = "hetbuild"
"""Where the record is kept in Atoms.info."""


SHIFT = "shift"
"""Under which the record of a particle in a box keeps how far it was moved, Å, (3,)."""


def to_ase(model: Model, vacuum: float | None = None) -> Atoms:
    """Atoms with arrays formal_charge (e), domain, role, site and site_cell; the record in info.

    vacuum: Å on every side of a particle in a box; None: positions as they are, and no cell.

    Raises
    ------
    InputError
        A vacuum that is negative or no number.
    """
    from ase import Atoms

    atoms = Atoms(numbers=model.numbers.astype(int), positions=model.positions)
    names = np.array([d.name for d in model.domains])
    labels = np.array([r.label for r in Role])
    atoms.set_array("formal_charge", model.charges.astype(int))
    atoms.set_array("domain", names[model.domain])
    atoms.set_array("role", labels[model.role])
    atoms.set_array("site", _site_names(model))
    atoms.set_array("site_cell", model.site_cell.astype(int))
    record = to_record(model)
    if model.cell is not None:
        atoms.set_cell(model.cell)
        atoms.pbc = model.periodic
    elif vacuum is not None:
        cell, shift = box(model, vacuum)
        atoms.set_cell(cell)
        atoms.positions += shift
        record[SHIFT] = shift.tolist()
    atoms.info[KEY] = json.dumps(record, ensure_ascii=True)
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
    record = _record(atoms)
    names = _domain_names(record)
    try:
        columns: dict[str, Any] = {
            "charges": np.asarray(atoms.get_array("formal_charge")).astype(np.int8),
            "domain": np.array([names.index(n) for n in atoms.get_array("domain")], dtype=np.int8),
            "role": np.array([Role[r.upper()] for r in atoms.get_array("role")], dtype=np.int8),
        }
        if atoms.has("site"):
            columns["site"] = _sites(record["domains"], columns["domain"], atoms.get_array("site"))
            columns["site_cell"] = np.asarray(atoms.get_array("site_cell")).astype(np.int16)
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


def _domain_names(record: dict[str, Any]) -> list[str]:
    try:
        return [check_name(d["name"], "domain") for d in record["domains"]]
    except (KeyError, TypeError) as error:
        raise InputError(f"The hetbuild record is damaged: its domains lack {error}.") from None


def _site_names(model: Model) -> np.ndarray[Any, Any]:
    """Name of each atom's site in its crystal, NO_SITE where it has none; shape (N,)."""
    tables = [np.array([*d.crystal.site_names, NO_SITE]) for d in model.domains]
    first = np.cumsum([0, *(len(t) for t in tables)])
    # Index -1 is the last of each table.
    index = np.where(model.site < 0, first[1:][model.domain] - 1, first[model.domain] + model.site)
    return np.concatenate(tables)[index] if len(model) else np.array([], dtype=str)


def _sites(domains: list[dict[str, Any]], domain: IntArray, names: Any) -> IntArray:
    """Site indices of such names, shape (N,)."""
    site = np.full(len(names), -1, dtype=np.int16)
    for i, record in enumerate(domains):
        known = {name: k for k, name in enumerate(numbered(record["crystal"]["labels"]))}
        mine = np.flatnonzero(domain == i)
        kinds, which = np.unique(np.asarray(names)[mine], return_inverse=True)
        site[mine] = np.array([-1 if k == NO_SITE else known[k] for k in kinds], int)[which]
    return site


def _record(atoms: Atoms) -> dict[str, Any]:
    given = atoms.info.get(KEY)
    if given is None:
        raise InputError(
            "No hetbuild record in these atoms: name the crystals they are made of "
            "(--crystals A,B), or use a file hetbuild wrote."
        )
    try:
        record = json.loads(given) if isinstance(given, str) else given
    except json.JSONDecodeError as error:
        raise InputError(f"The hetbuild record is damaged: {error}.") from None
    if not isinstance(record, dict):
        raise InputError("The hetbuild record is damaged: it is no mapping.")
    return record
