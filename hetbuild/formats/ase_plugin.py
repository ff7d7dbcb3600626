"""What ASE finds through its entry point `ase.ioformats`: VESTA files, to read and to write."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from ase.utils.plugins import ExternalIOFormat

if TYPE_CHECKING:
    from ase import Atoms

vesta = ExternalIOFormat(
    desc="VESTA file, by hetbuild",
    code="1S",
    module="hetbuild.formats.ase_plugin",
    # By name: a VESTA file holds the line that ASE takes for XCrySDen's.
    glob="*.vesta",
)


def read_vesta(filename: str) -> Atoms:
    """Atoms of the first phase of a VESTA file, periodic in its cell."""
    from ase import Atoms

    from hetbuild.formats.vesta import read_vesta as read

    numbers, positions, vectors = read(Path(filename))
    return Atoms(numbers=numbers, positions=positions, cell=vectors, pbc=True)


def write_vesta(filename: str | TextIO, atoms: Atoms) -> None:
    """VESTA file of Atoms that carry a hetbuild record."""
    from hetbuild.formats.ase import from_ase
    from hetbuild.formats.vesta import write_vesta as write

    model = from_ase(atoms)
    with Path(str(filename)).open("w", encoding="utf-8", newline="\n") as stream:
        write(model, stream)
