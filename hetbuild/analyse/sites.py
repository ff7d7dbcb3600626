"""Lattice sites as a crystal gives them: what may stand on one, and which lie around it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hetbuild.arrays import BoolArray, IntArray
from hetbuild.crystal.crystal import Crystal
from hetbuild.elements import usual_charge

ITSELF = 1e-3
"""Å: a site so near is the same one."""


def charges_of(numbers: IntArray, crystals: Sequence[Crystal]) -> IntArray:
    """Formal charge of each atom, e, as the crystals have it, else its usual one, else 0; (N,)."""
    kinds, index = np.unique(numbers, return_inverse=True)
    stated = {int(z): int(q) for c in crystals for z, q in zip(c.numbers, c.charges, strict=True)}
    charges = [stated.get(int(z), usual_charge(int(z)) or 0) for z in kinds]
    return np.array(charges, dtype=np.int8)[index]


def may_take(numbers: IntArray, crystals: Sequence[Crystal]) -> BoolArray:
    """Which elements may stand on which sites; shape (elements of the file, all sites).

    Elements in the order of np.unique, sites in the order of the crystals. An element takes its
    own sites; one that no crystal has, those of its charge; a halide also those of chalcogens.
    """
    kinds = np.unique(numbers)
    sites = np.concatenate([c.numbers for c in crystals])
    charge = np.concatenate([c.charges for c in crystals])
    has_halide = np.repeat(
        [(c.charges == -1).any() for c in crystals], [len(c.numbers) for c in crystals]
    )
    own = kinds[:, None] == sites[None]
    q = charges_of(kinds, crystals)[:, None]
    foreign = ~np.isin(kinds, sites)[:, None]
    isovalent = foreign & (q == charge) & (q != 0) & np.isin(sites, kinds)
    ligand = (q == -1) & (charge == -2) & ~has_halide
    return np.asarray(own | isovalent | ligand)


def claimed_halides(numbers: IntArray, crystals: Sequence[Crystal]) -> BoolArray:
    """Halides that a crystal has, where the file holds others that none has; shape (N,)."""
    halide = charges_of(numbers, crystals) == -1
    own = np.isin(numbers, np.concatenate([c.numbers for c in crystals]))
    return np.asarray(halide & own & (halide & ~own).any())


def site_keys(site: IntArray, cell: IntArray, n: int) -> IntArray:
    """One integer for each site. site: shape (A,); cell: shape (A, 3); n: sites of the crystal."""
    x, y, z = cell.T.astype(np.int64) + 2**15
    return np.asarray(((x * 2**16 + y) * 2**16 + z) * n + site)


def shell(crystal: Crystal, site: int, radius: float) -> tuple[IntArray, IntArray]:
    """Sites within a radius in Å of one: indices (S,) and cells from its own (S, 3)."""
    reach = np.ceil(radius * np.linalg.norm(np.linalg.inv(crystal.vectors), axis=0)).astype(int) + 1
    axes = [np.arange(-n, n + 1) for n in reach]
    cells = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    apart = cells[:, None] + crystal.fractional - crystal.fractional[site]
    away = np.linalg.norm(apart @ crystal.vectors, axis=2)
    i, around = np.nonzero((away < radius) & (away > ITSELF))
    return around, cells[i]


def is_filled(taken: IntArray, keys: IntArray) -> BoolArray:
    """Which of these site keys are among those taken (sorted), shape as keys."""
    if not len(taken):
        return np.zeros(keys.shape, dtype=bool)
    return np.asarray(taken[np.searchsorted(taken, keys).clip(max=len(taken) - 1)] == keys)
