"""XYZ: extended, with everything in it, and plain for CP2K."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from hetbuild.arrays import FloatArray, IntArray
from hetbuild.elements import number, symbol
from hetbuild.errors import HetbuildError, InputError
from hetbuild.formats import columns
from hetbuild.formats.ase import SHIFT, from_ase, parsed_record
from hetbuild.formats.atoms import read_atoms
from hetbuild.formats.labels import LABELS, from_names, to_names
from hetbuild.formats.record import DECIMALS, from_record, to_record
from hetbuild.library import check_file
from hetbuild.model import Model
from hetbuild.numerals import rounded

PROPERTIES = "species:S:1:pos:R:3:formal_charge:I:1:domain:S:1:role:S:1:site:S:1:site_cell:I:3"
"""Columns; positions right after the symbol, so that CP2K reads the same file."""

MOLECULES = ":molecule:I:1"
"""One more column where there are ligand molecules; files without it hold none."""

WIDTHS = (1, 3, 1, 1, 1, 1, 3)
"""How many columns of text each is."""

HEADER = re.compile(rb' ?hetbuild="((?:[^"\\]|\\.)*)"')


def write_xyz(model: Model, stream: TextIO) -> None:
    """Extended XYZ; columns: species, position (Å), formal charge (e), domain, role, site, cell.

    Where there are ligand molecules, a last column says which one each atom belongs to.

    Raises
    ------
    InputError
        A position is not finite.
    """
    lattice = ""
    if model.cell is not None:
        lattice = f'Lattice="{" ".join(map(str, rounded(model.cell.ravel().tolist(), DECIMALS)))}" '
    record = re.sub(r'["\\]', r"\\\g<0>", json.dumps(to_record(model), ensure_ascii=True))
    pbc = " ".join("T" if p else "F" for p in model.periodic)
    molecules = bool(model.molecule.any())
    stream.write(
        f"{len(model)}\n{lattice}Properties={PROPERTIES}{MOLECULES * molecules} "
        f'hetbuild="{record}" pbc="{pbc}"\n'
    )
    widths = [columns.width_of(x) for x in _numbers(model, molecules)]
    species, table = _species(model)
    for rows in columns.chunks(len(model)):
        part = _numbers(model.where(rows), molecules)
        x, y, z, charge, *last = (columns.numbers(v, w) for v, w in zip(part, widths, strict=True))
        names = [
            columns.words(index, words) for index, words in to_names(model.where(rows)).values()
        ]
        text = [columns.words(species[rows], table), x, y, z, charge, *names, *last]
        stream.write(columns.joined(text))


def _numbers(model: Model, molecules: bool) -> list[FloatArray | IntArray]:
    """Columns of numbers: x, y, z, charge, the cell of the site, and the molecule if asked for."""
    last = [model.molecule] if molecules else []
    return [*model.positions.T, model.charges, *model.site_cell.T, *last]


def _species(model: Model) -> tuple[IntArray, list[str]]:
    """Index of each atom's symbol, shape (N,), and the symbols."""
    kinds, index = np.unique(model.numbers, return_inverse=True)
    return index, [symbol(z) for z in kinds]


def read_xyz(path: Path) -> Model:
    """The model in an extended XYZ file that hetbuild wrote.

    Raises
    ------
    InputError
        The file cannot be read, is no extended XYZ, or carries no hetbuild record.
    """
    check_file(path)
    try:
        return _own(path) or from_ase(read_atoms(path))
    except HetbuildError as error:
        raise InputError(
            f"{path}: {error}" if str(path) not in str(error) else str(error)
        ) from None


def _own(path: Path) -> Model | None:
    """The model of a file that is laid out as `write_xyz` does it; None: let ASE read it."""
    try:
        count, header, body = path.read_bytes().split(b"\n", 2)
        rows = int(count)
    except (OSError, ValueError):
        return None
    found = HEADER.search(header)
    molecules = f"Properties={PROPERTIES}{MOLECULES} ".encode() in header
    if found is None or not (molecules or f"Properties={PROPERTIES} ".encode() in header):
        return None
    text = columns.split(body, rows)
    if text is None or len(text) != sum(WIDTHS) + molecules:
        return None
    record = parsed_record(re.sub(rb"\\(.)", rb"\1", found[1]).decode("ascii", "replace"))
    try:
        atoms = _atoms(text, record)
        if atoms is None or SHIFT in record:
            return None
        return from_record(record, atoms)
    except (HetbuildError, AttributeError, KeyError, TypeError, ValueError, OverflowError):
        return None  # ASE's way says what is wrong


def _atoms(text: list[columns.Characters], record: dict[str, Any]) -> dict[str, Any] | None:
    """Fields of Model, one row each; None where a column is of another kind."""
    numbers = [columns.read_reals(c) for c in text[1:4]]
    whole = [columns.read_integers(c) for c in (text[4], *text[8:])]
    if any(x is None for x in (*numbers, *whole)):
        return None
    index, symbols = columns.read_words(text[0])
    names = {n: columns.read_words(c) for n, c in zip(LABELS, text[5:8], strict=True)}
    last = {} if len(whole) == 4 else {"molecule": _narrow(whole[4], np.int32)}
    return {
        "numbers": np.array([number(e) for e in symbols], dtype=np.int16)[index],
        "positions": np.stack([x for x in numbers if x is not None], axis=1),
        "charges": _narrow(whole[0], np.int8),
        "site_cell": np.stack([_narrow(x, np.int16) for x in whole[1:4]], axis=1),
        **last,
        **from_names(record, names),
    }


def _narrow(
    values: IntArray | None, kind: type[np.int8] | type[np.int16] | type[np.int32]
) -> IntArray:
    """The same whole numbers in a smaller type.

    Raises
    ------
    ValueError
        They do not fit.
    """
    assert values is not None
    if np.abs(values).max(initial=0) > np.iinfo(kind).max:
        raise ValueError("too large")
    return values.astype(kind)


def read_positions(
    path: Path, frame: int | None = None
) -> tuple[IntArray, FloatArray, FloatArray | None]:
    """Atomic numbers (N,), positions (N, 3) and cell (3, 3) in Å of any file ASE reads.

    The cell is None where the atoms do not repeat in three dimensions, and of VESTA files. frame:
    of an XYZ file with several, counted from 1; default: the last whole one. Of a VESTA file it is
    the phase; default: the first.

    Raises
    ------
    InputError
        The file cannot be read, holds no atoms, or has no such frame.
    """
    if frame is not None and path.suffix not in {".xyz", ".vesta"}:
        raise InputError(
            f"--frame {frame}: only .xyz files hold several frames, and .vesta files several "
            f"phases, not {path}."
        )
    if path.suffix == ".vesta":
        from hetbuild.formats.vesta_file import read_vesta

        numbers, positions, _ = read_vesta(path, frame)
        return numbers.astype(np.int16), positions, None
    atoms = read_atoms(path, frame)
    cell = np.array(atoms.cell) if atoms.pbc.any() and atoms.cell.rank == 3 else None
    return atoms.numbers.astype(np.int16), np.array(atoms.positions), cell


def write_plain_xyz(model: Model, stream: TextIO) -> None:
    """Element and position in Å only, as CP2K's COORD_FILE_FORMAT XYZ takes it."""
    stream.write(f"{len(model)}\n{model.formula}, formal charge {model.charge:+d} e\n")
    species, table = _species(model)
    for rows in columns.chunks(len(model)):
        places = (columns.reals(x) for x in model.positions[rows].T)
        stream.write(columns.joined([columns.words(species[rows], table), *places]))
