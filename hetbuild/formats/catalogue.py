"""Formats a model can be written in, by the name that `hetbuild export --to` takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import numpy as np

from hetbuild.arguments import expect
from hetbuild.arrays import IntArray
from hetbuild.errors import InputError, nearest
from hetbuild.formats.cif import write_cif
from hetbuild.formats.cp2k import deck
from hetbuild.formats.cp2k_options import Cp2kOptions
from hetbuild.formats.files import write_all
from hetbuild.formats.mol2 import write_mol2
from hetbuild.formats.pdb import write_pdb
from hetbuild.formats.vesta import write_vesta
from hetbuild.formats.xyz import write_plain_xyz, write_xyz
from hetbuild.geometry.depth import depth
from hetbuild.model import Model

if TYPE_CHECKING:
    from ase import Atoms

Writer = Callable[[TextIO], None]


@dataclass(frozen=True, slots=True)
class Format:
    """A file format of one file."""

    ending: str
    """What the file's name ends in."""
    what: str
    """For whom it is."""
    write: Callable[[Model, TextIO, float], None]
    """Takes the model, the stream and the vacuum around the particle in Å."""
    also: tuple[str, ...] = ()
    """Other endings that programs know it by."""


def boxed(model: Model, vacuum: float) -> Atoms:
    """ASE Atoms in a periodic box with the formal charges, for programs that need a cell."""
    atoms = model.to_ase(vacuum)
    atoms.pbc = True
    atoms.set_initial_charges(model.charges)
    return atoms


def _by_ase(name: str, **options: Any) -> Callable[[Model, TextIO, float], None]:
    def write(model: Model, stream: TextIO, vacuum: float) -> None:
        from ase.io import write as ase_write

        ase_write(stream, boxed(model, vacuum), format=name, **options)

    return write


FORMATS: Mapping[str, Format] = {
    "vesta": Format(
        ".vesta", "VESTA: view, bonds, octahedra", lambda m, s, v: write_vesta(m, s, vacuum=v)
    ),
    "cif": Format(".cif", "P1 in a vacuum box", lambda m, s, v: write_cif(m, s, vacuum=v)),
    "xyz": Format(
        ".xyz", "extended XYZ with the record", lambda m, s, _: write_xyz(m, s), (".extxyz",)
    ),
    "plain-xyz": Format(
        "-plain.xyz", "element and position", lambda m, s, _: write_plain_xyz(m, s), (".xyz",)
    ),
    "poscar": Format(
        ".poscar", "VASP, sorted by element", _by_ase("vasp", sort=True), (".vasp", "POSCAR")
    ),
    "lammps": Format(
        ".lammps",
        "LAMMPS data, atom_style charge",
        _by_ase("lammps-data", atom_style="charge", masses=True),
        (".data", ".lmp"),
    ),
    "gromacs": Format(".gro", "GROMACS coordinates", _by_ase("gromacs")),
    "mol2": Format(".mol2", "ligands with their bonds", lambda m, s, _: write_mol2(m, s)),
    "pdb": Format(".pdb", "ligands as residues", lambda m, s, _: write_pdb(m, s)),
    "xsf": Format(".xsf", "XCrySDen", _by_ase("xsf")),
}
"""One-file formats; the deck of CP2K, several files, is `cp2k`."""

CP2K = "cp2k"


def format_named(name: str) -> Format:
    """A format by name.

    Raises
    ------
    InputError
        There is none of this name; the text lists all.
    """
    if name not in FORMATS:
        known = [*FORMATS, CP2K]
        raise InputError(f"No format is called {name!r}; {nearest(name, known)}")
    return FORMATS[name]


def check_ending(path: Path, name: str) -> None:
    """Refuse a file whose name says another format than what goes into it.

    Raises
    ------
    InputError
        It does; the text lists what the format's files may end in.
    """
    chosen = format_named(name)
    endings = (chosen.ending, *chosen.also)
    if not path.name.endswith(endings):
        raise InputError(
            f"{path} would hold {name}, whose files end in {' or '.join(endings)}: programs go by "
            "the ending. Name it so, or choose the format with hetbuild export --to."
        )


def format_of(path: Path) -> Format:
    """The format a file's name ends in.

    Raises
    ------
    InputError
        No format has this ending; the text lists those there are.
    """
    endings = {e: f for f in FORMATS.values() for e in f.also}
    endings |= {f.ending: f for f in FORMATS.values()}
    found = [e for e in endings if path.name.endswith(e)]
    if not found:
        raise InputError(
            f"{path}: no format is known by this ending; known are {', '.join(endings)}."
        )
    return endings[max(found, key=len)]


def write_model(model: Model, path: str | Path, vacuum: float, force: bool) -> Path:
    """Write a file in the format of its ending; see `Model.write`."""
    expect(path, (str, Path), "The name of a file")
    file = Path(path)
    chosen = format_of(file)
    write_all({file: lambda stream: chosen.write(model, stream, vacuum)}, force)
    return file


def cp2k_files(model: Model, folder: Path, name: str, options: Cp2kOptions) -> dict[Path, Writer]:
    """The files of a CP2K deck.

    Raises
    ------
    InputError, ImpossibleError
        As `deck`, or a core asked for that holds no atom.
    """
    fixed = None if options.fixed_core is None else core(model, options.fixed_core)
    texts = deck(model, name, options, fixed)
    return {folder / file: _writes(text) for file, text in texts.items()}


def core(model: Model, below: float) -> IntArray:
    """Indices of atoms deeper than this below the convex hull of the particle, Å.

    Raises
    ------
    InputError
        There are none, or the model is periodic.
    """
    if model.cell is not None:
        raise InputError(
            "--fixed-core: a periodic model has no core below a surface all around. Leave it out."
        )
    inside = depth(model, np.arange(len(model)))
    found = np.flatnonzero(inside > below)
    if not len(found):
        raise InputError(
            f"No atom is deeper than {below:g} Å below the surface to be fixed; the deepest is at "
            f"{inside.max():.1f} Å."
        )
    return found


def _writes(text: str) -> Writer:
    def write(stream: TextIO) -> None:
        stream.write(text)

    return write
