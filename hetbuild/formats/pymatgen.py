"""Models as pymatgen molecules and structures, and back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hetbuild.arguments import expect
from hetbuild.elements import symbol
from hetbuild.errors import InputError
from hetbuild.formats.ase import KEY
from hetbuild.formats.record import from_record, to_record
from hetbuild.model import Model, Role

if TYPE_CHECKING:
    from pymatgen.core import Molecule, Structure

POSITION = "position"
"""Site property: Å in the model's axes, which a structure's fractional coordinates round."""


def to_pymatgen(model: Model) -> Molecule | Structure:
    """Molecule of a particle, Structure of a periodic model; see `Model.to_pymatgen`."""
    from pymatgen.core import Molecule, Structure

    names = [d.name for d in model.domains]
    properties: dict[str, list[Any]] = {
        "domain": [names[i] for i in model.domain],
        "role": [Role(r).label for r in model.role],
        "formal_charge": model.charges.tolist(),
        "site": model.site.tolist(),
        "site_cell": model.site_cell.tolist(),
        "molecule": model.molecule.tolist(),
    }
    species = [symbol(z) for z in model.numbers]
    record = {KEY: to_record(model)}
    if model.cell is None:
        return Molecule(
            species,
            model.positions,
            charge=model.charge,
            spin_multiplicity=None,
            charge_spin_check=False,
            site_properties=properties,
            properties=record,
        )
    return Structure(
        model.cell,
        species,
        model.positions,
        charge=model.charge,
        coords_are_cartesian=True,
        site_properties=properties | {POSITION: model.positions.tolist()},
        properties=record,
    )


def from_pymatgen(made: Molecule | Structure) -> Model:
    """The model that `to_pymatgen` made this of.

    Raises
    ------
    InputError
        It carries no hetbuild record, or a damaged one.
    """
    from pymatgen.core import Molecule, Structure

    expect(made, (Molecule, Structure), "What a model is made from")
    record = made.properties.get(KEY)
    if not isinstance(record, dict):
        raise InputError(
            "No hetbuild record in this pymatgen object: use one that Model.to_pymatgen made, or "
            "write a file and name the crystals it is made of to read_model."
        )
    given = made.site_properties
    none = np.zeros(len(made), dtype=np.int32)  # objects of earlier versions have no molecules
    try:
        names = [d["name"] for d in record["domains"]]
        atoms = {
            "numbers": np.array(made.atomic_numbers, dtype=np.int16),
            "positions": np.array(given.get(POSITION, made.cart_coords), dtype=float),
            "charges": np.array(given["formal_charge"], dtype=np.int8),
            "domain": np.array([names.index(n) for n in given["domain"]], dtype=np.int8),
            "role": np.array([Role[r.upper()] for r in given["role"]], dtype=np.int8),
            "site": np.array(given["site"], dtype=np.int16),
            "site_cell": np.array(given["site_cell"], dtype=np.int16).reshape(-1, 3),
            "molecule": np.array(given.get("molecule", none), dtype=np.int32),
        }
    except (KeyError, ValueError, TypeError) as error:
        raise InputError(f"The hetbuild record is damaged: {error!r}.") from None
    return from_record(record, atoms)
