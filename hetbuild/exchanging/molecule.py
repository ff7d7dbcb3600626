"""A molecule: a rigid ion of several atoms, shipped or from a file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hetbuild.arrays import FloatArray, IntArray
from hetbuild.errors import InputError
from hetbuild.formats.atoms import read_atoms
from hetbuild.geometry.bonds import MOLECULAR
from hetbuild.library import molecules
from hetbuild.model import Model
from hetbuild.names import safe_name
from hetbuild.rounding import DIGITS

if TYPE_CHECKING:
    from ase import Atoms

ALIASES: Mapping[str, str] = {
    "CH3NH3": "MA",
    "methylammonium": "MA",
    "CH(NH2)2": "FA",
    "formamidinium": "FA",
}
"""Other names of the shipped molecules."""


@dataclass(frozen=True, eq=False)
class Molecule:
    """A rigid ion about its centre, the mean of its atoms."""

    name: str
    numbers: IntArray
    """Atomic numbers, shape (n,)."""
    positions: FloatArray
    """Å from the centre, shape (n, 3); the long axis along z."""
    charges: IntArray
    """Formal charges, e, shape (n,)."""


def is_molecule(name: str) -> bool:
    """Whether a shipped molecule has this name, or it is that of an XYZ file."""
    return ALIASES.get(name, name) in molecules() or name.endswith(".xyz")


def read_molecule(name: str, beside: Path | None = None) -> Molecule:
    """A shipped molecule by name, as MA, CH3NH3 or methylammonium, or one in an XYZ file.

    beside: folder a file is relative to. A file tells the charge of the ion in its comment line, as
    ``charge=-1``, or in a column formal_charge; a total charge goes to the atom, other than H, that
    is nearest to the middle.

    Raises
    ------
    InputError
        No such molecule, or a file that cannot be read, tells no charge, or holds one atom only.
    """
    shipped = molecules()
    key = ALIASES.get(name, name)
    if key not in shipped and not name.endswith(".xyz"):
        raise InputError(
            f"No molecule is called {name!r}; there are {', '.join(shipped)}, and files *.xyz."
        )
    path = shipped[key] if key in shipped else (beside or Path()) / name
    atoms = read_atoms(path)
    heavy = atoms.numbers > 1
    if len(atoms) < 2 or not heavy.any():
        raise InputError(f"{path} holds no molecule: it needs two atoms, one of them other than H.")
    positions = atoms.positions - atoms.positions.mean(axis=0)
    _, _, axes = np.linalg.svd(positions[heavy] - positions[heavy].mean(axis=0))
    axes *= np.sign(np.linalg.det(axes))
    return Molecule(
        key if key in shipped else safe_name(path.stem, "molecule"),
        atoms.numbers.astype(np.int64),
        np.asarray(positions @ axes.T[:, [1, 2, 0]]),
        _charges(path, atoms, positions),
    )


def _charges(path: Path, atoms: Atoms, positions: FloatArray) -> IntArray:
    """Formal charges of a molecule's atoms, e, shape (n,)."""
    if "formal_charge" in atoms.arrays:
        return np.asarray(np.rint(atoms.get_array("formal_charge")).astype(np.int64))
    total = atoms.info.get("charge")
    if not isinstance(total, int | np.integer) or total == 0:
        raise InputError(
            f"{path} tells no charge of the molecule: write charge=1 or charge=-1 in its second "
            "line, the comment."
        )
    heavy = np.flatnonzero(atoms.numbers > 1)
    middle = positions[heavy].mean(axis=0)
    nearest = heavy[np.linalg.norm(positions[heavy] - middle, axis=1).round(DIGITS).argmin()]
    charges = np.zeros(len(atoms), dtype=np.int64)
    charges[nearest] = int(total)
    return charges


def whole_molecules(model: Model, molecule: Molecule) -> IntArray:
    """Atoms of each molecule of this kind in a model, by bonds; shape (molecules, n)."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components
    from scipy.spatial import cKDTree

    atoms = np.flatnonzero(np.isin(model.numbers, np.unique(molecule.numbers)))
    longest = max(MOLECULAR.values())
    pairs = cKDTree(model.positions[atoms]).query_pairs(longest, output_type="ndarray")
    pairs = pairs[(model.numbers[atoms][pairs] > 1).any(axis=1)]
    shape = (len(atoms), len(atoms))
    graph = coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=shape)
    _, label = connected_components(graph, directed=False)
    size = np.bincount(label, minlength=1)
    order = np.lexsort((model.numbers[atoms], label))
    order = order[size[label[order]] == len(molecule.numbers)]
    groups = atoms[order].reshape(-1, len(molecule.numbers))
    alike = (model.numbers[groups] == np.sort(molecule.numbers)).all(axis=1)
    return np.asarray(groups[alike])
