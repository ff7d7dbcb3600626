"""The models of a sweep as an ASE database, to be asked with `ase db`."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hetbuild.errors import InputError
from hetbuild.recipe.toml import toml_value

RESERVED = {
    "key": "variant",
    "formula": "composition",
    "charge": "formal_charge",
    "atoms": "ions",
}
"""Columns whose names ASE keeps for itself."""


def write_database(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """All models with their columns as key-value pairs; an earlier database is replaced whole.

    Raises
    ------
    InputError
        The database cannot be written, as on a full disk; an earlier one stays.
    """
    from sqlite3 import Error

    from ase.db import connect

    from hetbuild.formats.xyz import read_xyz

    temporary = path.with_name(f".{os.getpid()}-{path.name}")
    try:
        with connect(str(temporary), type="db", append=False) as database:
            for row in rows:
                atoms = read_xyz(path.parent / row["path"]).to_ase()
                atoms.info.clear()
                database.write(atoms, **_pairs(row))
        temporary.replace(path)
    except Error as error:
        raise InputError(f"Cannot write {path}: {error}.") from None
    finally:
        for left in path.parent.glob(f"{temporary.name}*"):
            left.unlink()


def _pairs(row: Mapping[str, Any]) -> dict[str, Any]:
    """Names ASE takes: letters, digits, underscores; values are numbers or text."""
    found: dict[str, Any] = {}
    for name, value in row.items():
        plain = "".join(c if c.isalnum() and c.isascii() else "_" for c in RESERVED.get(name, name))
        if value is None or value == "":
            continue
        found[plain] = value if isinstance(value, int | float) else toml_value(value).rstrip()
        if isinstance(found[plain], str) and _numeric(found[plain]):
            found[plain] = f"_{value}"
    return found


def _numeric(text: str) -> bool:
    """ASE takes no text that reads as a number."""
    try:
        float(text)
    except ValueError:
        return False
    return True
