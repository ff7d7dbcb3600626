"""Layers between two lattices: cations that both share, and what is left of a parent crystal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations

import numpy as np

from hetbuild.analyse.sites import is_filled, site_keys
from hetbuild.arrays import BoolArray, FloatArray, IntArray
from hetbuild.crystal.bonds import FIRST_SHELL
from hetbuild.crystal.crystal import Crystal
from hetbuild.geometry.contacts import coordination
from hetbuild.model import Domain, Model, Role

CONTINUES = 1.8
"""Å within which a cation stands where the other lattice would have had one. In a relaxed
CsPbBr3/PbS the ten shared Pb are 0.5 to 1.8 Å off the sites of PbS, the next one 2.2 Å."""

ANIONS = 2
"""Anions of the other domain that such a site must have around it."""

SAME_SUBLATTICE = 0.8
"""Å: median distance of the anions of a crystal from the anion sites of one that it continues."""


def shared_layer(model: Model) -> Model:
    """With the role of cations that two lattices share.

    They stand on a site of their own domain and where the other would have had the same cation,
    with anions of both around them.

    Between two domains the layer belongs to the one that has most of these cations.
    """
    role = model.role.copy()
    for a, b in combinations(range(len(model.domains)), 2):
        one, other = _continuing(model, a, b), _continuing(model, b, a)
        role[other if len(other) > len(one) else one] = Role.SHARED
    return replace(model, role=role)


def hosts(
    numbers: IntArray, crystals: Sequence[Crystal], domain: IntArray, residual: FloatArray
) -> tuple[int, ...]:
    """For each crystal that whose anion sublattice it continues, or itself.

    domain: crystal of each ion, shape (N,); residual: Å from the sites of each crystal, (N, K).
    """
    result = list(range(len(crystals)))
    size = [int((domain == k).sum()) for k in result]
    names = [crystal.name for crystal in crystals]
    for layer in np.argsort(size, kind="stable")[:-1]:
        if names.count(names[layer]) > 1:  # one of several particles, no layer
            continue
        anions = crystals[layer].numbers[crystals[layer].charges < 0]
        mine = (domain == layer) & np.isin(numbers, anions)
        for host in range(len(crystals)):
            same = set(anions) & set(crystals[host].numbers[crystals[host].charges < 0])
            larger = size[host] > size[layer] and result[host] == host
            near = mine.any() and float(np.median(residual[mine, host])) < SAME_SUBLATTICE
            if larger and same and near:
                result[layer] = host
                break
    return tuple(result)


def _continuing(model: Model, mine: int, other: int) -> IntArray:
    """Cations of one domain on vacant sites of the other's lattice that its anions coordinate."""
    domain, crystal = model.domains[other], model.domains[other].crystal
    atoms = np.flatnonzero((model.domain == mine) & (model.charges > 0))
    of_other = (model.domain == other) & (model.site >= 0)
    taken = np.sort(
        site_keys(model.site[of_other], model.site_cell[of_other], len(crystal.numbers))
    )
    found: list[IntArray] = []
    for site in np.flatnonzero(crystal.charges > 0):
        here = atoms[model.numbers[atoms] == crystal.numbers[site]]
        cell, off = _nearest_cell(domain, int(site), model.positions[here])
        keys = site_keys(np.full(len(here), site), cell, len(crystal.numbers))
        partners, steps = _first_shell(crystal, int(site))
        around = site_keys(
            np.tile(partners, len(here)),
            (cell[:, None] + steps[None]).reshape(-1, 3),
            len(crystal.numbers),
        )
        filled = is_filled(taken, around).reshape(-1, len(partners)).sum(axis=1)
        found.append(here[(off < CONTINUES) & ~is_filled(taken, keys) & (filled >= ANIONS)])
    candidates = np.unique(np.concatenate(found)) if found else np.empty(0, dtype=np.int64)
    return candidates[_between(model, candidates, mine, other)]


def _between(model: Model, atoms: IntArray, mine: int, other: int) -> BoolArray:
    """Which of these cations have anions of both domains bonded to them, shape (A,)."""
    result = np.ones(len(atoms), dtype=bool)
    for k in (mine, other):
        reach = FIRST_SHELL * float(model.domains[k].crystal.bonds.length.max(initial=0.0))
        anions = model.positions[(model.domain == k) & (model.charges < 0)]
        result &= coordination(model.positions[atoms], anions, reach) > 0
    return result


def _nearest_cell(domain: Domain, site: int, positions: FloatArray) -> tuple[IntArray, FloatArray]:
    """Cell of the nearest site of this index, shape (A, 3), and Å from it, shape (A,)."""
    fractional = domain.fractional(positions) - domain.sites[site]
    cell = np.rint(fractional)
    return cell.astype(np.int64), np.linalg.norm((fractional - cell) @ domain.vectors, axis=1)


def _first_shell(crystal: Crystal, site: int) -> tuple[IntArray, IntArray]:
    """Anion sites bonded to a cation site: indices (B,) and cells from its own (B, 3)."""
    mine = crystal.bonds.site == site
    partner = crystal.bonds.partner[mine]
    ends = crystal.fractional[site] + crystal.bonds.vector[mine]
    return partner, np.rint(ends - crystal.fractional[partner]).astype(np.int64)
