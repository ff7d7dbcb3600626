"""Atoms of any file that ASE reads, checked."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from importlib import import_module
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hetbuild.errors import FrameWarning, InputError
from hetbuild.formats.record import FAR
from hetbuild.formats.trajectory import read_frame
from hetbuild.library import check_file

if TYPE_CHECKING:
    from ase import Atoms

UNPACK: Mapping[str, str] = {".gz": "gzip", ".bz2": "bz2", ".xz": "lzma"}
"""Modules that unpack what ASE reads packed, by the ending."""

LARGEST_UNPACKED = 500_000_000
"""Bytes of a packed file: a few kB may hold as much as the memory and more."""

LEAST_VOLUME = 1.0
"""Å³ of a cell in which atoms repeat."""


def read_atoms(path: Path, frame: int | None = None) -> Atoms:
    """Atoms of any file ASE reads, whose numbers are numbers; frame: of an XYZ file.

    Raises
    ------
    InputError
        The file cannot be read, or holds no atoms.
    """
    from ase.io import read

    check_file(path)
    if path.suffix in UNPACK:
        _check_unpacked(path)
    xyz = path.suffix in (".xyz", ".extxyz")
    text = _frame(path, frame) if xyz else None
    try:
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            if text is None:
                atoms = read(path, do_not_split_by_at_sign=True)
            else:
                _check_columns(text)
                atoms = read(StringIO(text), format="extxyz")
    except Exception as error:
        # ASE's readers raise whatever their parser stumbles over.
        why = " ".join(str(error).split())[:200] or "it has no format that ASE knows"
        raise InputError(f"{path} cannot be read as a structure file: {why}") from None
    broken = [str(w.message) for w in warned if "Wrong number" in str(w.message)]
    if broken:  # ASE goes on without what it could not read
        raise InputError(f"{path} is damaged: {broken[0][:200]}")
    if isinstance(atoms, list) or not len(atoms):
        raise InputError(f"{path} holds no atoms.")
    if path.suffix.lower() == ".cif" and atoms.cell.rank < 3:
        _check_cartesian(path)
    return _checked(path, atoms)


def _check_unpacked(path: Path) -> None:
    """Refuse a packed file that would fill the memory."""
    size = 0
    try:
        with import_module(UNPACK[path.suffix]).open(path, "rb") as stream:
            while size <= LARGEST_UNPACKED and (part := stream.read(2**20)):
                size += len(part)
    except Exception:  # what each module raises of a damaged file: reading it says what is wrong
        return
    if size > LARGEST_UNPACKED:
        raise InputError(
            f"{path} unpacks to more than {LARGEST_UNPACKED // 10**6} MB: unpack it, and read the "
            "file."
        )


def _check_columns(text: str) -> None:
    """Refuse a head that tells of more columns than there are: ASE makes room for them first."""
    head, _, rest = text.partition("\n")[2].partition("\n")
    told = re.search(r'Properties=(?:"([^"]*)"|(\S*))', head)
    counts = (told[1] or told[2] or "").split(":")[2::3] if told else []
    columns = sum(int(c) for c in counts if re.fullmatch("[0-9]{1,12}", c))
    if columns > len(rest.partition("\n")[0].split()):
        raise ValueError(f"its head tells of {columns} columns, which its rows do not have")


def _check_cartesian(path: Path) -> None:
    """ASE takes the fractions of a CIF that lacks a length or angle of its cell for Å."""
    if b"_atom_site_fract_x" in path.read_bytes().lower():
        raise InputError(
            f"{path} gives fractional coordinates but not the whole cell: it needs three lengths "
            "and three angles."
        )


def _checked(path: Path, atoms: Atoms) -> Atoms:
    """Atoms whose numbers are numbers: everything after relies on it."""
    if not (np.abs(atoms.positions) < FAR).all():
        raise InputError(f"{path} has atoms whose positions are not numbers within {FAR:g} Å.")
    if not (np.abs(atoms.cell.array) < FAR).all():
        raise InputError(f"{path} has a cell whose vectors are not numbers within {FAR:g} Å.")
    if not ((atoms.numbers > 0) & (atoms.numbers < 119)).all():
        raise InputError(f"{path} has atoms of no element.")
    if atoms.pbc.any() and atoms.cell.rank == 3 and abs(atoms.cell.volume) < LEAST_VOLUME:
        raise InputError(f"{path} has a cell without volume.")
    return atoms


def _frame(path: Path, wanted: int | None) -> str:
    """Text of one frame; warns of a last one that is not whole."""
    frame = read_frame(path, wanted)
    if frame.cut:
        warnings.warn(
            f"{path} ends in a frame that is cut off, which is left out; frame {frame.index} of "
            f"{frame.total} is taken.",
            FrameWarning,
            stacklevel=2,
        )
    return frame.text
