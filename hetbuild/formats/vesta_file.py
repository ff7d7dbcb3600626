"""VESTA files of any origin: cell, sites and symmetry of a phase, imported ones too."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import gemmi
import numpy as np

from hetbuild.arrays import FloatArray, IntArray
from hetbuild.elements import number
from hetbuild.errors import InputError, PhaseWarning
from hetbuild.formats.atoms import read_atoms
from hetbuild.library import check_file

SECTION = re.compile("[A-Z][A-Z0-9_]{3,}")
"""A word that begins a section."""

PHASE = ("CRYSTAL", "MOLECULE")
"""Sections that begin a phase."""

FREE = ("TITLE", "IMPORT_STRUCTURE")
"""Sections whose first line is free text: a title of one word, a file called POSCAR."""

MOST_TURNED = 100.0
"""An operation of symmetry with larger numbers is none; those of real ones are 6 at most."""

SAME_PLACE = 0.05
"""Å within which images of a site under symmetry are one atom: files round to 4 to 6 decimals."""

Sections = Mapping[str, Sequence[str]]


def read_vesta(path: Path, phase: int | None = None) -> tuple[IntArray, FloatArray, FloatArray]:
    """Atomic numbers (N,), positions (N, 3) and cell vectors (3, 3), Å, of one phase.

    phase: counted from 1, or from the end by negative numbers; default: the first, with a
    `PhaseWarning` where there are more. Symmetry operations of the file are carried out; images on
    one place count once. A structure that the file imports is read from beside it; the cell is zero
    where that file has none.

    Raises
    ------
    InputError
        Not a VESTA file, one cut short or without such a phase, one with partly occupied sites, or
        one that imports a file from outside its folder.
    """
    sections = _phase(path, phase)
    name = _imported(sections)
    if name is not None:
        return _read_imported(path, name)
    try:
        vectors = _cell(sections["CELLP"][0])
        rows = [line.split() for line in sections["STRUC"] if line.strip()]
        sites = rows[:-1:2]
        # Two rows each and one of zeros: a file may be cut off within a row of zeros.
        if len(rows) % 2 == 0 or set(rows[-1]) != {"0"} or any(len(s) < 8 for s in sites):
            raise ValueError("the list of sites is not closed")
        values = np.array([[float(x) for x in s[3:7]] for s in sites])
        operations = _operations(sections.get("SYMOP", []))
    except KeyError as error:
        raise InputError(f"{path} is no complete VESTA file: it has no {error.args[0]}.") from None
    except (ValueError, IndexError) as error:
        raise InputError(f"{path} is no complete VESTA file: {error}.") from None
    _check_sites(path, sites, values)
    numbers = np.array([number(s[1]) for s in sites])
    numbers, fractional = _images(numbers, values[:, 1:], operations, vectors)
    return numbers, fractional @ vectors, vectors


def _check_sites(path: Path, sites: Sequence[Sequence[str]], values: FloatArray) -> None:
    """values: occupancy and coordinates of each site, shape (n, 4)."""
    if not sites:
        raise InputError(f"{path} holds no atoms: its list of sites is empty.")
    if not np.isfinite(values).all():
        raise InputError(f"{path} has a site whose coordinates are not finite numbers.")
    partly = [s[2] for s, v in zip(sites, values, strict=True) if abs(v[0] - 1.0) > 1e-3]
    if partly:
        raise InputError(
            f"{path} has partly occupied sites, as {', '.join(partly[:5])}; give an ordered "
            "structure."
        )


def _phase(path: Path, wanted: int | None) -> Sections:
    """Sections of the phase that is wanted; warns where the first is taken of several."""
    phases = read_phases(path)
    if wanted is None:
        if len(phases) > 1:
            warnings.warn(
                f"{path} holds {len(phases)} phases; the first is taken. Another is chosen by its "
                "number: --frame 2, or in ASE index=1.",
                PhaseWarning,
                stacklevel=3,
            )
        return phases[0]
    index = wanted - 1 if wanted > 0 else wanted + len(phases)
    if wanted == 0 or not 0 <= index < len(phases):
        raise InputError(f"{path} has no phase {wanted}: it holds {len(phases)}, counted from 1.")
    return phases[index]


def read_phases(path: Path) -> list[Sections]:
    """Lines of each section by name, of each phase; what holds for all is with the last.

    Raises
    ------
    InputError
        Not a VESTA file, or an empty one.
    """
    check_file(path)
    try:
        # VESTA writes a title in the local encoding; nothing else in the file is beyond ASCII.
        lines = path.read_text(encoding="utf-8-sig", errors="replace").splitlines()
    except OSError as error:
        raise InputError(f"Cannot read {path}: {error.strerror}.") from None
    if not any(line.strip() for line in lines):
        raise InputError(f"{path} is empty: save it again in VESTA.")
    if not lines[0].startswith("#VESTA_FORMAT_VERSION"):
        raise InputError(f"{path} is no VESTA file: it must begin with #VESTA_FORMAT_VERSION.")
    phases: list[dict[str, list[str]]] = [{}]
    name, section = "", list[str]()
    for line in lines[1:]:
        word = line.split(" ")[0]
        if SECTION.fullmatch(word) and not (name in FREE and not "".join(section).strip()):
            if word in PHASE and phases[-1]:
                phases.append({})
            name, section = word, []
            phases[-1].setdefault(name, section)
            rest = line[len(word) :].strip()
            if name == "IMPORT_STRUCTURE" and rest:
                section.append(rest)
        else:
            section.append(line)
    return list[Sections](phases)


def read_sections(path: Path) -> Sections:
    """Lines of each section of the first phase and of those that hold for all, by name.

    Raises
    ------
    InputError
        As `read_phases`.
    """
    phases = read_phases(path)
    return {**phases[-1], **phases[0]}


def _imported(sections: Sections) -> str | None:
    """Name of the file that a phase takes its structure from; None where it has sites itself."""
    own = [line for line in sections.get("STRUC", ()) if set(line.split()) - {"0"}]
    names = [line.strip() for line in sections.get("IMPORT_STRUCTURE", ()) if line.strip()]
    return names[0] if names and not own else None


def _read_imported(path: Path, name: str) -> tuple[IntArray, FloatArray, FloatArray]:
    """Atoms of a file in the folder of a VESTA file, or below."""
    says = f"{path} imports its structure from {name[:200]!r}"
    if not name.isprintable() or len(name) > 200:
        raise InputError(f"{says}, which is no name of a file.")
    if name.lower().endswith(".vesta"):
        raise InputError(f"{says}, a VESTA file too: read that one.")
    folder = path.parent.resolve()
    source = folder / name.replace("\\", "/")  # VESTA on Windows
    if not source.resolve().is_relative_to(folder):
        raise InputError(
            f"{says}, which is not in its folder: put that file beside it and name it so, or read "
            "that file."
        )
    if not source.is_file():
        raise InputError(f"{says}, which is not there: put that file beside it.")
    atoms = read_atoms(source)
    occupied = atoms.info.get("occupancy") or {}
    if any(abs(sum(site.values()) - 1.0) > 1e-3 or len(site) > 1 for site in occupied.values()):
        raise InputError(f"{says}, which has partly occupied sites; give an ordered structure.")
    repeats = atoms.pbc.any() and atoms.cell.rank == 3
    vectors = np.array(atoms.cell) if repeats else np.zeros((3, 3))
    return atoms.numbers, np.array(atoms.positions), vectors


def cell_vectors(parameters: Sequence[float]) -> FloatArray:
    """Cell vectors as rows, a along x and b in the xy plane. parameters: Å and degrees."""
    return np.asarray(gemmi.UnitCell(*parameters).orth.mat.tolist()).T


def _cell(line: str) -> FloatArray:
    """Vectors of a line of lengths and angles; ValueError where they are of no cell."""
    given = [float(x) for x in line.split()[:6]]
    if len(given) < 6:
        raise ValueError("the line of the cell is cut short")
    # Before gemmi sees them: it takes an angle of 0 for a cell that is not given, and fails at 180.
    possible = all(x > 0 for x in given) and all(x < 180 for x in given[3:])
    vectors = cell_vectors(given) if possible else np.zeros((3, 3))
    if not np.isfinite(vectors).all() or np.linalg.det(vectors) <= 0:
        raise ValueError(f"{line.strip()!r} is no cell")
    return vectors


def _operations(lines: Sequence[str]) -> list[tuple[FloatArray, FloatArray]]:
    """Rotations and translations of a SYMOP section; identity where there are none."""
    rows = [[float(x) for x in line.split()] for line in lines if line.strip()]
    if not all(abs(x) < MOST_TURNED for row in rows for x in row):
        raise ValueError("an operation of symmetry is none")
    found = [
        (np.array(row[3:12]).reshape(3, 3), np.array(row[:3]))
        for row in rows
        if len(row) == 13 and any(row[3:12])
    ]
    return found or [(np.eye(3), np.zeros(3))]


def _images(
    numbers: IntArray,
    fractional: FloatArray,
    operations: Sequence[tuple[FloatArray, FloatArray]],
    vectors: FloatArray,
) -> tuple[IntArray, FloatArray]:
    if len(operations) == 1:
        return numbers, fractional
    from scipy.spatial import cKDTree

    # Twice, because -1e-17 % 1 is 1.0, outside the box.
    images = np.concatenate([fractional @ w.T + t for w, t in operations]) % 1.0 % 1.0
    elements = np.tile(numbers, len(operations))
    lengths = np.linalg.norm(vectors, axis=1)
    places = np.minimum(images * lengths, np.nextafter(lengths, 0))
    pairs = cKDTree(places, boxsize=lengths).query_pairs(SAME_PLACE, output_type="ndarray")
    alike = pairs[elements[pairs[:, 0]] == elements[pairs[:, 1]]]
    first = np.ones(len(images), dtype=bool)
    first[alike.max(axis=1)] = False
    return elements[first], images[first]
