"""The one rule for "bonded": how far apart a cation and an anion may stand.

Ions of one crystal are bonded up to FIRST_SHELL times the shortest distance that their elements
have in it. Ions that no crystal holds together, across an interface or in a picture of everything,
are bonded up to IONIC times the sum of their Shannon radii. Both limits lie in the gap between the
first and the second shell: for Pb-S at 3.71 and 3.64 Å, between 2.97 and 5.14 Å.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from hetbuild.arrays import IntArray
from hetbuild.crystal.bonds import FIRST_SHELL
from hetbuild.crystal.crystal import Crystal
from hetbuild.elements import number
from hetbuild.errors import InputError
from hetbuild.geometry.electrostatics import SHANNON_RADII
from hetbuild.model import Model

IONIC = 1.2
"""Longest bond as a multiple of the sum of the Shannon radii, for pairs of elements that no crystal
of the model has: 3.60 Å for Pb-Cl, 3.13 Å for Cu-S."""

COUNTED = 3.6
"""Å within which an anion counts as a neighbour of Pb in reports, as published for these models."""

MOLECULAR: Mapping[tuple[str, str], float] = {
    ("C", "N"): 1.75,
    ("C", "H"): 1.30,
    ("N", "H"): 1.25,
}
"""Longest bonds in Å inside molecular cations."""

LIGANDS: Mapping[tuple[str, str], float] = {
    ("C", "C"): 1.70,
    ("C", "O"): 1.60,
    ("O", "H"): 1.20,
    ("P", "C"): 2.00,
    ("P", "O"): 1.80,
    ("S", "C"): 2.00,
    ("S", "O"): 1.70,
}
"""Longest bonds in Å inside other ligand molecules."""


def pair_limit(crystal: Crystal, first: str, second: str) -> float | None:
    """Å up to which ions of two elements are bonded in a crystal; None: they never are."""
    bonds, numbers = crystal.bonds, crystal.numbers
    both = (numbers[bonds.site] == number(first)) & (numbers[bonds.partner] == number(second))
    return FIRST_SHELL * float(bonds.length[both].min()) if both.any() else None


def cation_limits(crystal: Crystal) -> dict[int, float]:
    """Å up to which each cation of a crystal, by atomic number, is bonded to any anion."""
    start = crystal.numbers[crystal.bonds.site]
    cations = sorted(set(crystal.numbers[crystal.charges > 0].tolist()))
    return {
        z: FIRST_SHELL * float(crystal.bonds.length[start == z].min())
        for z in cations
        if (start == z).any()
    }


def ionic_limit(cation: str, anion: str) -> float | None:
    """Å up to which two ions are bonded by their radii; None: a radius is not tabulated."""
    if cation not in SHANNON_RADII or anion not in SHANNON_RADII:
        return None
    return IONIC * (SHANNON_RADII[cation] + SHANNON_RADII[anion])


def molecule_bonds(model: Model) -> IntArray:
    """First atom, second atom and order of every bond inside ligand molecules, shape (B, 3).

    From the graphs kept when the molecules were placed, not from distances.

    Raises
    ------
    InputError
        A molecule is not whole, or of no kind that the model knows.
    """
    atoms = np.flatnonzero(model.molecule > 0)
    order = atoms[np.argsort(model.molecule[atoms], kind="stable")]
    held, first, size = np.unique(model.molecule[order], return_index=True, return_counts=True)
    found, known = [np.empty((0, 3), dtype=np.int64)], np.zeros(len(held), dtype=bool)
    for kind in model.provenance.get("ligands", ()):
        low, high = kind["molecules"]
        numbers = np.array(kind["numbers"], dtype=np.int64)
        mine = (held >= low) & (held <= high) & (size == len(numbers))
        rows = order[first[mine][:, None] + np.arange(len(numbers))]
        whole = (model.numbers[rows] == numbers).all(axis=1)
        known[np.flatnonzero(mine)[whole]] = True
        graph = np.array(kind["bonds"], dtype=np.int64).reshape(-1, 3)
        ends = rows[whole][:, graph[:, :2]]
        orders = np.broadcast_to(graph[:, 2:], (*ends.shape[:2], 1))
        found.append(np.concatenate([ends, orders], axis=2).reshape(-1, 3))
    if not known.all():
        raise InputError(
            f"Molecule {held[~known][0]} is not whole, or not of a kind this model has a graph of: "
            "keep whole molecules (model.molecule), or export to a format without bonds."
        )
    return np.concatenate(found)
