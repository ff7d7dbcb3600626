"""Slabs: layers of a crystal between two lattice planes, one cell of an in-plane net."""

from __future__ import annotations

import numpy as np

from hetbuild.arrays import FloatArray, IntArray, Plane
from hetbuild.crystal import lattice
from hetbuild.crystal.crystal import Crystal
from hetbuild.crystal.lattice import plane_label
from hetbuild.errors import ImpossibleError, InputError
from hetbuild.model import Domain, Model, Role, kept_digits
from hetbuild.rounding import ALIKE, DIGITS

EDGE = 1e-4
"""Fraction of a cell, or of d(hkl), by which a site on a limit counts as inside."""


MOST_CELLS = 30_000
"""Cells from the datum to which sites are counted."""

MOST_SITES = 20_000_000
"""Sites looked at for one cell of a slab: 3 GB."""


def slab(
    crystal: Crystal,
    hkl: Plane,
    net: FloatArray,
    limits: tuple[float, float],
    *,
    site: str | None = None,
    name: str = "slab",
) -> Model:
    """Sites with plane index in `limits` inside one cell of the net.

    net: two in-plane lattice vectors in conventional axes, rows, shape (2, 3). limits: plane
    indices (hkl) of the first and last layer, counted from the site. The model is not periodic
    yet: `coherent.join_slabs` makes the cell.

    Raises
    ------
    InputError
        The limits are the wrong way round, or a net vector is not in the plane.
    ImpossibleError
        No site lies between the limits.
    """
    basis = _basis(hkl, net, limits)
    datum = crystal.datum(site)
    sites = crystal.fractional - crystal.fractional[datum]
    which, points, place = _within(sites, basis, limits)
    if not len(which):
        raise ImpossibleError(
            f"No site of {crystal.name} lies between planes {limits[0]:g} and {limits[1]:g} of "
            f"{plane_label(hkl)}."
        )
    order = np.lexsort((*np.round(place.T, DIGITS), -crystal.numbers[which]))
    domain = Domain(name, crystal, crystal.vectors.copy(), np.zeros(3), datum)
    return _filled(domain, which[order], points[order], sites)


def _filled(domain: Domain, which: IntArray, points: FloatArray, sites: FloatArray) -> Model:
    """Ions of sites `which`, shape (n,), at points, (n, 3), of a domain with sites (k, 3)."""
    crystal = domain.crystal
    return Model(
        numbers=crystal.numbers[which].astype(np.int16),
        positions=kept_digits(points @ crystal.vectors),
        charges=crystal.charges[which].astype(np.int8),
        domain=np.zeros(len(which), dtype=np.int8),
        role=np.full(len(which), Role.LATTICE, dtype=np.int8),
        site=which.astype(np.int16),
        site_cell=np.rint(points - sites[which]).astype(np.int16),
        domains=(domain,),
    )


def _basis(hkl: Plane, net: FloatArray, limits: tuple[float, float]) -> FloatArray:
    """The net and a third vector, which counts planes, as rows in conventional axes, (3, 3)."""
    h = lattice.check_plane(hkl)
    if limits[0] > limits[1]:
        raise InputError(f"A slab from plane {limits[0]:g} to {limits[1]:g}: first the lower one.")
    if np.abs(net @ h).max() > ALIKE:
        raise InputError(f"The net of a slab must lie in {plane_label(hkl)}.")
    # The third vector only has to leave the plane: layers are told by their index.
    return np.vstack([net, h.astype(float) / float(h @ h)])


def _within(
    sites: FloatArray, basis: FloatArray, limits: tuple[float, float]
) -> tuple[IntArray, FloatArray, FloatArray]:
    """Lattice sites in one cell of a net: index (n,), conventional and cell coordinates, (n, 3).

    sites: of one conventional cell, shape (k, 3). basis: the net and a vector out of it, rows,
    shape (3, 3); limits: least and largest coordinate along that one.
    """
    corners = np.array([(i, j, k) for i in (0, 1) for j in (0, 1) for k in limits]) @ basis
    low, high = np.floor(corners.min(axis=0)) - 1, np.ceil(corners.max(axis=0)) + 1
    count = float(np.prod(high - low + 1)) * len(sites)
    if max(-low.min(), high.max()) > MOST_CELLS or count > MOST_SITES:
        raise ImpossibleError(
            f"A slab from plane {limits[0]:g} to {limits[1]:g} is too thick to build: bring "
            "slab.first and slab.last nearer together, or allow more strain for a smaller cell."
        )
    axes = [np.arange(a, b + 1) for a, b in zip(low, high, strict=True)]
    cells = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 1, 3)
    points = (cells + sites).reshape(-1, 3)
    place = points @ np.linalg.inv(basis)
    inside = ((place[:, :2] >= -EDGE) & (place[:, :2] < 1 - EDGE)).all(axis=1)
    inside &= (place[:, 2] >= limits[0] - EDGE) & (place[:, 2] <= limits[1] + EDGE)
    which = np.tile(np.arange(len(sites)), len(cells))
    return which[inside], points[inside], place[inside]
