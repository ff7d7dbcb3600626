"""What ASE finds through its entry point `ase.ioformats`: VESTA files, to read and to write."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from ase.utils.plugins import ExternalIOFormat

from hetbuild.errors import InputError

if TYPE_CHECKING:
    from ase import Atoms

vesta = ExternalIOFormat(
    desc="VESTA file, by hetbuild",
    code="+S",
    module="hetbuild.formats.ase_plugin",
    # By name: a VESTA file holds the line that ASE takes for XCrySDen's.
    glob="*.vesta",
)


FIRST = slice(-1, None)
"""What ASE passes where no index is given: the first phase is meant, as everywhere."""


def read_vesta(filename: str, index: int | slice = FIRST) -> Atoms | list[Atoms]:
    """Atoms of a phase of a VESTA file, periodic in its cell; of a list of phases for a slice.

    index: of the phase, from 0. Without one, or with -1, which ASE does not tell apart, it is the
    first, with a warning where there are more.
    """
    from hetbuild.formats.vesta_file import read_phases

    if index in (FIRST, -1):
        found = [_phase(filename, None)]
    else:
        count = len(read_phases(Path(filename)))
        chosen = range(1, count + 1)[index] if isinstance(index, slice) else _numbered(index)
        if not chosen:
            raise InputError(f"{filename} holds {count} phases: none has the index {index}.")
        found = [_phase(filename, number) for number in chosen]
    return found if isinstance(index, slice) else found[0]


def _numbered(index: int) -> list[int]:
    """Number from 1, or from the end, of an index from 0."""
    return [index + 1 if index >= 0 else index]


def _phase(filename: str, number: int | None) -> Atoms:
    from ase import Atoms

    from hetbuild.formats.vesta_file import read_vesta as read

    numbers, positions, vectors = read(Path(filename), number)
    return Atoms(numbers=numbers, positions=positions, cell=vectors, pbc=vectors.any())


def write_vesta(filename: str | TextIO, images: Atoms | Sequence[Atoms]) -> None:
    """VESTA file of Atoms that carry a hetbuild record."""
    from ase import Atoms

    from hetbuild.formats.ase import from_ase
    from hetbuild.formats.vesta import write_vesta as write

    atoms = [images] if isinstance(images, Atoms) else list(images)
    if len(atoms) != 1:
        raise InputError(f"A VESTA file is written of one model; given {len(atoms)}.")
    model = from_ase(atoms[0])
    with Path(str(filename)).open("w", encoding="utf-8", newline="\n") as stream:
        write(model, stream)
