"""Projected densities of states that CP2K wrote, read back with the atoms they belong to.

CP2K writes a file for each kind of atom and for each list of atoms of its input, with energy and
occupation of every orbital and its Löwdin population by angular momentum.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hetbuild.arrays import BoolArray, FloatArray, IntArray
from hetbuild.elements import symbol
from hetbuild.errors import InputError
from hetbuild.formats.cp2k_states import unrolled
from hetbuild.model import Model
from hetbuild.rounding import ALIKE

HARTREE = 27.211386245988
"""eV (CODATA 2018)."""

NAME = re.compile(
    r"(?P<project>.+)-(?:(?P<spin>ALPHA|BETA)_)?(?P<kind>list|k)(?P<number>\d+)-.*\.pdos"
)
"""Of a file, as ``run-list12-1.pdos`` or ``run-ALPHA_k1-1.pdos``."""

HEADER = re.compile(
    r"# Projected DOS for (?:atomic kind (?P<kind>[A-Za-z0-9_]+)|"
    r"list +\d+ +of +(?P<size>\d+) +atoms)"
    r".*?i = +(?P<step>\d+)"
)
SHUFFLED = 0.25
"""Of the atoms may lie nearer to another one of their element in the model: after relaxing 144 ions
with CHGNet 4 do, of 1042 none."""

LISTS = re.compile(r"&LDOS(.*?)&END", re.S | re.I)
LIST = re.compile(r"^\s*LIST\s+(.*)$", re.M | re.I)


@dataclass(frozen=True, eq=False)
class States:
    """Orbitals of a calculation, in rising energy of each spin."""

    energies: FloatArray
    """eV, as calculated, shape (M,)."""
    occupations: FloatArray
    """Electrons, shape (M,)."""
    spin: IntArray
    """0, or 0 and 1 of an open shell, shape (M,)."""
    weights: FloatArray
    """Löwdin population of each orbital in each list of atoms, shape (M, L)."""
    lists: tuple[IntArray, ...]
    """Atoms of each list, indices into the model; length L."""
    elements: Mapping[str, FloatArray]
    """The same by element, shape (M,); empty where no such files are there."""
    name: str
    """Of the calculation."""

    def __post_init__(self) -> None:
        for array in (self.energies, self.occupations, self.spin, self.weights, *self.lists):
            array.flags.writeable = False

    def __len__(self) -> int:
        return len(self.energies)

    @property
    def occupied(self) -> BoolArray:
        """At least half full, shape (M,): a smeared calculation fills none near the gap quite."""
        full = 1.0 if self.spin.any() else 2.0
        return np.asarray(self.occupations >= full / 2)

    @property
    def by_atom(self) -> FloatArray | None:
        """Weights of each atom, shape (M, N); None where lists hold several atoms."""
        single = [int(atoms[0]) for atoms in self.lists if len(atoms) == 1]
        if sorted(single) != list(range(len(single))) or not single:
            return None
        if max(int(atoms.max()) for atoms in self.lists) >= len(single):
            return None
        columns = [k for k, atoms in enumerate(self.lists) if len(atoms) == 1]
        return np.asarray(self.weights[:, np.array(columns)[np.argsort(single)]])


@dataclass(frozen=True, eq=False)
class _File:
    """One file: an orbital a row."""

    path: Path
    orbitals: FloatArray
    """Energy in hartree, occupation, weight; shape (M, 3)."""
    step: int
    element: str
    size: int


def read_states(paths: Sequence[Path], model: Model) -> States:
    """Orbitals of a CP2K run: of its folder, or of some of its PDOS files.

    Raises
    ------
    InputError
        There are no such files, they are incomplete or of another model.
    """
    folder, files = pdos_files(paths)
    newest = _newest(files)
    name = _project(folder, files)
    _check_coordinates(folder, name, model)
    numbers = sorted({n for _, kind, n in newest if kind == "list"})
    if not numbers:
        raise InputError(
            f"{folder} has densities of states by element only. Write the deck with --pdos atoms, "
            "or --pdos domains."
        )
    lists = _lists(folder, name, numbers, newest, model)
    spins = sorted({spin for spin, _, _ in newest})
    parts = [_of_spin(newest, spin, numbers) for spin in spins]
    return States(
        energies=np.concatenate([p[0][:, 0] for p in parts]) * HARTREE,
        occupations=np.concatenate([p[0][:, 1] for p in parts]),
        spin=np.repeat(np.arange(len(parts)), [len(p[0]) for p in parts]).astype(np.int8),
        weights=np.concatenate([p[1] for p in parts]),
        lists=lists,
        elements=_elements(newest, spins),
        name=name,
    )


def _newest(files: list[tuple[Path, re.Match[str]]]) -> dict[tuple[str, str, int], _File]:
    """The file of the last step, by spin, kind of list and its number."""
    newest: dict[tuple[str, str, int], _File] = {}
    for path, match in files:
        read = _read(path)
        key = (match["spin"] or "ALPHA", match["kind"], int(match["number"]))
        if key not in newest or read.step >= newest[key].step:
            newest[key] = read
    return newest


def _project(folder: Path, files: list[tuple[Path, re.Match[str]]]) -> str:
    """The name of the one run that the files are of."""
    projects = {match["project"] for _, match in files}
    if len(projects) > 1:
        raise InputError(
            f"{folder} holds the PDOS files of several runs: {', '.join(sorted(projects))}. Name "
            "the files of one, as RUN-*.pdos."
        )
    return str(projects.pop())


def pdos_files(paths: Sequence[Path]) -> tuple[Path, list[tuple[Path, re.Match[str]]]]:
    """The run's folder, and its PDOS files with what their names say.

    Raises
    ------
    InputError
        There are none.
    """
    missing = [str(p) for p in paths if not p.exists()]
    if missing:
        raise InputError(
            f"There is no {', '.join(missing)}: name the folder where CP2K ran the deck, or its "
            "PDOS files."
        )
    folder = paths[0] if paths[0].is_dir() else paths[0].parent
    given = sorted(folder.glob("*.pdos")) if paths[0].is_dir() else list(paths)
    files = [(p, m) for p in given if (m := NAME.fullmatch(p.name))]
    if not files:
        what = (
            f"{folder} holds no PDOS files" if folder == paths[0] else f"{given[0]} is no PDOS file"
        )
        raise InputError(
            f"{what} of CP2K. Write the deck with --pdos atoms, let it run to its end, where CP2K "
            "writes them, and name its folder here."
        )
    return folder, files


def _read(path: Path) -> _File:
    """The last snapshot in a file.

    Raises
    ------
    InputError
        It is cut off, or no such file.
    """
    text = path.read_text(errors="replace")
    starts = list(HEADER.finditer(text))
    if not starts:
        raise InputError(f"{path} is no PDOS file of CP2K: its first line does not say so.")
    last = starts[-1]
    lines = text[last.start() :].splitlines()
    columns = len(lines[1].split("]")[-1].split()) + 2 if len(lines) > 1 else 0
    rows = [line.split() for line in lines[2:]]
    try:
        values = np.array(rows, dtype=float)
        whole = values.ndim == 2 and values.shape[1] == columns and text.endswith("\n")
    except ValueError:
        whole = False
    if not whole:
        raise InputError(f"{path} is cut off or damaged: run CP2K again, or copy the file anew.")
    orbitals = np.column_stack([values[:, 1], values[:, 2], values[:, 3:].sum(axis=1)])
    return _File(path, orbitals, int(last["step"]), last["kind"] or "", int(last["size"] or 0))


def _of_spin(
    files: Mapping[tuple[str, str, int], _File], spin: str, numbers: Sequence[int]
) -> tuple[FloatArray, FloatArray]:
    """Energies and occupations (M, 2), and weights (M, L), of one spin."""
    found = []
    for n in numbers:
        if (spin, "list", n) not in files:
            raise InputError(f"The PDOS file of list {n} is missing.")
        found.append(files[(spin, "list", n)])
    first = found[0]
    for other in found:
        if other.orbitals.shape != first.orbitals.shape or not np.allclose(
            other.orbitals[:, :2], first.orbitals[:, :2], atol=ALIKE
        ):
            raise InputError(
                f"{other.path} has {len(other.orbitals)} orbitals, {first.path} "
                f"{len(first.orbitals)}, or other energies: they are not of one calculation, or "
                "one is cut off."
            )
    return first.orbitals[:, :2], np.column_stack([f.orbitals[:, 2] for f in found])


def _elements(
    files: Mapping[tuple[str, str, int], _File], spins: Sequence[str]
) -> dict[str, FloatArray]:
    kinds = {(spin, f.element): f for (spin, kind, _), f in files.items() if kind == "k"}
    rows = {spin: len(f.orbitals) for (spin, kind, _), f in files.items() if kind == "list"}
    for (spin, _), f in kinds.items():
        if len(f.orbitals) != rows.get(spin):
            raise InputError(
                f"{f.path} has {len(f.orbitals)} orbitals, the lists {rows.get(spin)}: they are "
                "not of one calculation, or one is cut off."
            )
    names = dict.fromkeys(element for _, element in kinds)
    return {
        e: np.concatenate([kinds[(s, e)].orbitals[:, 2] for s in spins])
        for e in names
        if all((s, e) in kinds for s in spins)
    }


def _lists(
    folder: Path,
    name: str,
    numbers: Sequence[int],
    files: Mapping[tuple[str, str, int], _File],
    model: Model,
) -> tuple[IntArray, ...]:
    """Atoms of each list, by the input; without it a list for each atom is taken in order."""
    sizes = {n: f.size for (_, kind, n), f in files.items() if kind == "list"}
    deck = folder / f"{name}.inp"
    if deck.is_file():
        given = [
            np.concatenate([unrolled(line) for line in LIST.findall(body)]) - 1
            for body in LISTS.findall(deck.read_text(errors="replace"))
        ]
        known = {n: given[n - 1] for n in numbers if n <= len(given)}
    else:
        known = {n: np.array([n - 1]) for n in numbers if sizes[n] == 1}
    wrong = [n for n in numbers if n not in known or len(known[n]) != sizes[n]]
    if wrong:
        what = f"{deck} has another" if deck.is_file() else f"There is no {deck} to tell the"
        raise InputError(
            f"{what} list {wrong[0]} of {sizes[wrong[0]]} atoms. Keep the input beside the files."
        )
    last = max(int(atoms.max()) for atoms in known.values())
    if last >= len(model):
        raise InputError(
            f"The lists reach atom {last + 1}, the model has {len(model)}: these PDOS files are of "
            "another model."
        )
    if all(len(known[n]) == 1 for n in numbers) and len(numbers) != len(model):
        raise InputError(
            f"{len(numbers)} lists of one atom, the model has {len(model)} atoms: the PDOS files "
            "are of another model, or some are missing."
        )
    return tuple(known[n] for n in numbers)


def _check_coordinates(folder: Path, name: str, model: Model) -> None:
    """The coordinates beside the run, where they are, must be of the model's atoms in its order."""
    path = folder / f"{name}-cp2k.xyz"
    if not path.is_file():
        return
    rows = [line.split() for line in path.read_text().splitlines()[2:] if line.split()]
    elements, own = [row[0] for row in rows], [symbol(int(z)) for z in model.numbers]
    if len(elements) != len(own):
        raise InputError(
            f"{path} has {len(elements)} atoms, the model {len(own)}: the run is of another model."
        )
    if elements != own:
        k = next(i for i, (a, b) in enumerate(zip(elements, own, strict=True)) if a != b)
        raise InputError(
            f"Atom {k + 1} is {elements[k]} in {path} and {own[k]} in the model: the run is of "
            "another model, or its atoms are in another order."
        )
    try:
        positions = np.array([row[1:4] for row in rows], dtype=float)
    except ValueError:
        raise InputError(f"{path} is damaged: it has a line without coordinates.") from None
    elsewhere = _elsewhere(positions, model)
    if elsewhere > SHUFFLED * len(own):
        raise InputError(
            f"{elsewhere} of {len(own)} atoms of {path} lie nearer to another atom of their "
            "element in the model than to their own: the run is of another model, or its atoms are "
            "in another order."
        )


def _elsewhere(positions: FloatArray, model: Model) -> int:
    """How many atoms of a run lie where the model has another one of the same element.

    The model may be that of the run before or after relaxing, moved or turned as a whole.
    """
    from scipy.spatial import cKDTree
    from scipy.spatial.transform import Rotation

    if model.cell is not None or len(model) < 3:  # images, or nothing to turn
        return 0
    run, own = positions - positions.mean(axis=0), model.positions - model.positions.mean(axis=0)
    rotation, _ = Rotation.align_vectors(own, run)
    run = rotation.apply(run)
    found = 0
    for z in np.unique(model.numbers):
        mine = model.numbers == z
        nearest = cKDTree(own[mine]).query(run[mine])[1]
        found += int((nearest != np.arange(len(nearest))).sum())
    return found
