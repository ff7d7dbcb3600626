"""What a CP2K deck has written about electronic states: densities of states, orbitals, cubes.

CP2K's projected density of states is the Löwdin population of each orbital: the weights of a set of
lists that holds every atom once sum to one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from hetbuild.arrays import FloatArray, IntArray
from hetbuild.elements import symbol
from hetbuild.errors import InputError
from hetbuild.model import Model, Role

Pdos = Literal["none", "domains", "atoms"]

FUNCTIONS: Mapping[str, int] = (
    {"H": 5, "Li": 6, "Mn": 26}
    | dict.fromkeys(["Na", "Mg"], 9)
    | dict.fromkeys(["K", "Ca", "Rb", "Sr", "Cs", "Ba"], 14)
    | dict.fromkeys(["Cu", "Zn", "Ga", "Ag", "Cd", "In", "Hg", "Tl"], 25)
)
"""Basis functions of DZVP-MOLOPT-SR-GTH; other elements have 13 (s and p twice, d once)."""

USUAL_FUNCTIONS = 13

PDOS_LINE, MOLDEN_LINE, CUBE_VALUE = 100, 27, 13.8
"""Bytes that CP2K writes for an orbital in one list, a coefficient, a point of a cube."""

STRIDE = 2
"""Of the grid that a cube keeps."""


@dataclass(frozen=True, slots=True)
class StateOptions:
    """What is written of the states."""

    pdos: Pdos = "none"
    """Weights of each orbital by domain, or by atom."""
    nlumo: int = 20
    """Empty orbitals in the densities of states."""
    cubes: int = 0
    """So many of the highest occupied and lowest empty orbitals as cube files."""
    molden: bool = False
    """All coefficients, as a molden file."""


@dataclass(frozen=True, slots=True)
class Output:
    """Files of one kind that CP2K will write."""

    what: str
    files: int
    size: float
    """Bytes in all."""

    def __str__(self) -> str:
        what = "file" if self.files == 1 else "files"
        size, unit = (self.size / 1e9, "GB") if self.size >= 1e9 else (self.size / 1e6, "MB")
        return f"{self.what}: about {size:.3g} {unit} in {self.files} {what}"


def sections(model: Model, options: StateOptions) -> dict[str, Any]:
    """Sections of FORCE_EVAL/DFT/PRINT.

    Raises
    ------
    InputError
        A negative number of orbitals.
    """
    if options.nlumo < 0 or options.cubes < 0:
        raise InputError(f"{min(options.nlumo, options.cubes)} orbitals; zero or more.")
    found: dict[str, Any] = {}
    if options.pdos != "none":
        lists = [{"# ": what, "LIST": ranges(atoms + 1)} for what, atoms in _lists(model, options)]
        found["PDOS"] = {"NLUMO": options.nlumo, "LDOS": lists}
    if options.cubes:
        count, stride = options.cubes, " ".join([str(STRIDE)] * 3)
        found["MO_CUBES"] = {"NHOMO": count, "NLUMO": count, "STRIDE": stride}
    if options.molden:
        found["MO_MOLDEN"] = {"NDIGITS": 9}
    return found


def _lists(model: Model, options: StateOptions) -> list[tuple[str, IntArray]]:
    """Name and atoms of each list."""
    if options.pdos == "atoms":
        return [(f"{symbol(int(z))} {i + 1}", np.array([i])) for i, z in enumerate(model.numbers)]
    parts = {d.name: np.flatnonzero(model.domain == i) for i, d in enumerate(model.domains)}
    parts["shared layer"] = np.flatnonzero(model.role == Role.SHARED)
    return [(what, atoms) for what, atoms in parts.items() if len(atoms)]


def outputs(
    model: Model, options: StateOptions, electrons: int, cell: FloatArray, cutoff: float
) -> list[Output]:
    """What CP2K will write, and how much. cell: vectors in Å, (3, 3); cutoff: Ry."""
    occupied = electrons // 2
    found = []
    if options.pdos != "none":
        files = len(_lists(model, options)) + len(np.unique(model.numbers))
        size = files * (occupied + options.nlumo) * PDOS_LINE
        found.append(Output("densities of states", files, size))
    if options.molden:
        functions = sum(
            FUNCTIONS.get(symbol(int(z)), USUAL_FUNCTIONS) * int(n)
            for z, n in zip(*np.unique(model.numbers, return_counts=True), strict=True)
        )
        found.append(Output("orbitals for molden", 1, functions * occupied * MOLDEN_LINE))
    if options.cubes:
        # A plane wave of E Ry has the wave number sqrt(E) per bohr; the grid resolves twice that.
        spacing = np.pi / np.sqrt(cutoff) * 0.529177 * STRIDE
        points = abs(np.linalg.det(cell)) / spacing**3
        found.append(Output("cubes", 2 * options.cubes, 2 * options.cubes * points * CUBE_VALUE))
    return found


def ranges(numbers: IntArray) -> str:
    """``1..80 85 90..92`` of rising numbers, shape (N,)."""
    steps = np.flatnonzero(np.diff(numbers) != 1) + 1
    parts = np.split(numbers, steps)
    return " ".join(f"{p[0]}..{p[-1]}" if len(p) > 1 else f"{p[0]}" for p in parts if len(p))


def unrolled(text: str) -> IntArray:
    """The numbers that `ranges` wrote, shape (N,).

    Raises
    ------
    ValueError
        It is no such list.
    """
    parts = [[int(x) for x in part.split("..")] for part in text.split()]
    return (
        np.concatenate([np.arange(p[0], p[-1] + 1) for p in parts]) if parts else np.empty(0, int)
    )
