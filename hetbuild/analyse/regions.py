"""Where in its particle an ion is: at the interface, on a facet, or in the core."""

from __future__ import annotations

from enum import IntEnum

import numpy as np

from hetbuild.analyse.sites import is_filled
from hetbuild.arrays import BoolArray, IntArray
from hetbuild.geometry.bonds import COUNTED
from hetbuild.geometry.contacts import coordination
from hetbuild.geometry.images import finite
from hetbuild.model import Model, Role
from hetbuild.rounding import ALIKE

BEYOND = 8.0
"""Å beyond its cell that a periodic model is repeated: more than any first shell."""

EQUALS = 8
"""Atoms that may be equally near to one without a site."""


class Region(IntEnum):
    """Part of a particle that an ion belongs to."""

    CORE = 0
    """All ions that surround its site in the bulk are there."""
    FACET = 1
    """One of them is missing, and none of another domain stands instead."""
    INTERFACE = 2
    """In the shared layer, or with an ion of opposite charge of another domain within 3.6 Å."""

    @property
    def label(self) -> str:
        """Lower-case name, as tables spell it."""
        return self.name.lower()


def regions(model: Model) -> IntArray:
    """`Region` of each atom, shape (N,).

    Core and facet are told by lattice sites, not by distances, so that a relaxed model has the
    regions of the model it was relaxed from. Atoms on no site, as those of molecular cations,
    count with the nearest atom that has one. Of a periodic model the images count too.
    """
    if model.cell is not None:
        return regions(finite(model, BEYOND))[: len(model)]
    region = np.where(_surrounded(model), Region.CORE, Region.FACET).astype(np.int8)
    region[_at_interface(model)] = Region.INTERFACE
    homeless, settled = np.flatnonzero(model.site < 0), np.flatnonzero(model.site >= 0)
    if len(homeless) and len(settled):
        from scipy.spatial import cKDTree

        k = range(1, min(EQUALS, len(settled)) + 1)
        tree = cKDTree(model.positions[settled])
        away, nearest = tree.query(model.positions[homeless], k=k)
        # Of those as near the one farthest out, not the one that the last bits say.
        equal = away < away[:, :1] + ALIKE
        near = region[settled[np.where(equal, nearest, nearest[:, :1])]]
        region[homeless] = near.max(axis=1)
    return region


def _surrounded(model: Model) -> BoolArray:
    """Whether every site bonded to the atom's own in the bulk is occupied, shape (N,)."""
    whole = np.zeros(len(model), dtype=bool)
    for index, domain in enumerate(model.domains):
        mine = np.flatnonzero((model.domain == index) & (model.site >= 0))
        occupied = np.sort(_keys(model.site[mine], model.site_cell[mine]))
        bonds, sites = domain.crystal.bonds, domain.sites
        # The cell a bond leads into, from the cell of the site it starts at.
        steps = np.rint(sites[bonds.site] + bonds.vector - sites[bonds.partner]).astype(int)
        for site in np.unique(model.site[mine]):
            of_site = np.flatnonzero(bonds.site == site)
            here = mine[model.site[mine] == site]
            cells = model.site_cell[here].astype(int)[:, None] + steps[of_site]
            partners = np.broadcast_to(bonds.partner[of_site], cells.shape[:2])
            whole[here] = is_filled(occupied, _keys(partners, cells)).all(axis=1)
    return whole


def _keys(site: IntArray, cell: IntArray) -> IntArray:
    """One whole number for each lattice site; cells within 500 of the datum's."""
    c = cell.astype(np.int64) + 500
    return np.asarray(((site.astype(np.int64) * 1000 + c[..., 0]) * 1000 + c[..., 1]) * 1000
                      + c[..., 2])  # fmt: skip


def _at_interface(model: Model) -> BoolArray:
    found = np.asarray(model.role == Role.SHARED)
    for index in range(len(model.domains)):
        for sign in (-1, 1):
            mine = np.flatnonzero((model.domain == index) & (np.sign(model.charges) == sign))
            others = (model.domain != index) & (np.sign(model.charges) == -sign)
            near = coordination(model.positions[mine], model.positions[others], COUNTED)
            found[mine[near > 0]] = True
    return found
