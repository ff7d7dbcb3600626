"""Bonded ions of opposite charge, by the bond lengths of a domain's crystal."""

from __future__ import annotations

import numpy as np

from hetbuild.arrays import FloatArray, IntArray
from hetbuild.crystal.crystal import Crystal
from hetbuild.geometry.bonds import cation_limits
from hetbuild.geometry.contacts import coordination
from hetbuild.model import Model


def lattice_numbers(model: Model, domain: int) -> IntArray:
    """Atomic numbers as the domain's crystal has them, shape (N,).

    An ion that stands on a site of the crystal counts as the ion of that site, a dopant as its
    host; others count as what they are.
    """
    numbers = model.numbers.astype(np.int64)
    here = (model.domain == domain) & (model.site >= 0)
    numbers[here] = model.domains[domain].crystal.numbers[model.site[here]]
    return numbers


def bonded_neighbours(model: Model, domain: int) -> IntArray:
    """Bonded ions of opposite charge around every atom by the domain's bond limits, shape (N,)."""
    result = np.zeros(len(model), dtype=np.int64)
    numbers = lattice_numbers(model, domain)
    for sign in (-1, 1):
        mine = np.flatnonzero((model.domain == domain) & (np.sign(model.charges) == sign))
        result[mine] = bonded(model, domain, model.positions[mine], numbers[mine], sign)
    return result


def bonded(
    model: Model,
    domain: int,
    positions: FloatArray,
    numbers: IntArray,
    sign: int,
    partner: int | None = None,
) -> IntArray:
    """Neighbours of opposite charge around ions of this sign, shape (P,).

    Around an anion every cation counts up to its own bond length; around a cation the anions that
    its own bonds reach. positions: Å, shape (P, 3); numbers: elements that stand there, as the
    crystal has them, shape (P,). partner: atomic number of the only neighbours that count.
    """
    from scipy.spatial import cKDTree

    result = np.zeros(len(positions), dtype=np.int64)
    radii = cation_limits(model.domains[domain].crystal)
    if sign < 0:
        held = lattice_numbers(model, domain)
        if partner is not None:
            held[model.numbers != partner] = 0
        for z, radius in radii.items():
            result += coordination(positions, model.positions[held == z], radius)
        return result
    counted = model.charges < 0
    if partner is not None:
        counted &= model.numbers == partner
    anions = model.positions[counted]
    longest = max(radii.values(), default=0.0)
    own = np.array([radii.get(int(z), longest) for z in numbers])
    if len(positions) and len(anions):
        result += cKDTree(anions).query_ball_point(positions, own, return_length=True)
    return result


def bulk_coordination(crystal: Crystal, numbers: IntArray) -> IntArray:
    """Most bonds that ions of these elements have in the bulk, shape (P,).

    An element foreign to the crystal gets one more than any of its ions, so that it always counts
    as surface.
    """
    bonds = np.bincount(crystal.bonds.site, minlength=len(crystal.numbers))
    most = {int(z): int(bonds[crystal.numbers == z].max()) for z in np.unique(crystal.numbers)}
    return np.array([most.get(int(z), max(most.values()) + 1) for z in numbers], dtype=np.int64)
