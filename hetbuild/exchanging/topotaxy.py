"""How a product's lattice can lie in its parent's: by one anion sublattice that both share."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from hetbuild.arrays import FloatArray, IntArray
from hetbuild.crystal.crystal import Crystal
from hetbuild.crystal.lattice import Coincidence, Direction
from hetbuild.errors import ImpossibleError, InputError
from hetbuild.model import Domain, Interface, Model
from hetbuild.rounding import ALIKE, DIGITS

TOPOLOGY = 0.05
"""Relative difference of the neighbour distances above which two anion sublattices do not have the
same topology."""


NEIGHBOURS = 42
"""Neighbours compared: the first three shells of a close packing."""


WITHIN = 4.0
"""Distance, by the cube root of the volume of an anion, within which those neighbours lie."""

SITE_STEPS = 1e3
"""Steps of a cell edge to which two sets of sites are compared."""

STANDS_ON = 1.0
"""Å within which an atom stands on a site, relaxed and distorted models included."""


@dataclass(frozen=True, eq=False)
class Topotaxy:
    """How a product lies in its parent: x_parent = x_product @ axes + shift, fractional rows."""

    axes: FloatArray
    """Lattice vectors of the product in the parent's axes, rows, shape (3, 3)."""
    shift: FloatArray
    """Origin of the product's cell in the parent's axes, shape (3,)."""
    sites: str
    """The interstitial sites, by the place of its first site from an anion, parent's axes."""


def topotaxies(parent: Crystal, product: Crystal) -> tuple[Topotaxy, ...]:
    """The distinct ways in which a product's anion sublattice can be the parent's.

    They differ in which interstitial sites of it the cations take: both tetrahedral sets for Cu2S,
    one of two for ZnS. The way whose cell axes lie closest to the parent's comes first.

    Raises
    ------
    ImpossibleError
        The anion sublattices have different topologies; the text says how far apart they are.
    """
    misfit = shell_misfit(parent, product)
    a, b = (_anion_lattice(c) for c in (parent, product))
    if misfit > TOPOLOGY or a.space_group != b.space_group:
        raise ImpossibleError(
            f"The anion sublattices of {parent.name} ({a.space_group}) and {product.name} "
            f"({b.space_group}) do not match: their neighbour shells differ by up to "
            f"{100 * misfit:.1f} % of the anion spacing, {100 * TOPOLOGY:.0f} % is "
            "allowed. A topotactic product must share the parent's packing, as ccp with ccp; "
            "choose a product of that structure."
        )
    found: dict[tuple[int, ...], Topotaxy] = {}
    rotations = [(np.linalg.inv(a.matrix) @ w @ b.matrix).T for w in b.rotations]
    for axes in sorted(rotations, key=lambda t: _off_axes(t, parent, product)):
        for shift in _origins(parent, product, axes):
            sites = _cation_sites(parent, product, axes, shift)
            found.setdefault(_key(sites), Topotaxy(axes, shift, _site_name(parent, sites)))
    return tuple(found.values())


def shell_misfit(parent: Crystal, product: Crystal) -> float:
    """Largest difference of the anion-anion distances of two crystals, relative.

    Compared are the first 42 neighbours, in units of the cube root of the volume per anion over
    the nearest such distance: 0 for one packing, 0.18 between ccp and hcp.
    """
    first, second = _shells(parent), _shells(product)
    return float(np.abs(first[:, None] - second[None]).max(axis=2).min() / first.min())


@dataclass(frozen=True, eq=False)
class _AnionLattice:
    """An anion sublattice standardised: x_standard = matrix @ x, plus a shift of origin."""

    matrix: FloatArray
    space_group: str
    rotations: IntArray
    """Proper rotations in standard axes."""


def _anion_lattice(crystal: Crystal) -> _AnionLattice:
    import spglib

    anions = crystal.charges < 0
    if not anions.any():
        raise InputError(f"{crystal.name} has no anions, so it has no anion sublattice.")
    sites = crystal.fractional[anions]
    spacing = (abs(np.linalg.det(crystal.vectors)) / anions.sum()) ** (1 / 3)
    cell = (crystal.vectors, sites, np.ones(len(sites)))
    data = spglib.get_symmetry_dataset(cell, symprec=TOPOLOGY * spacing)
    standard = (data.std_lattice, data.std_positions, data.std_types)
    group = spglib.get_symmetry_dataset(standard)
    proper = np.linalg.det(group.rotations) > 0
    return _AnionLattice(
        data.transformation_matrix,
        str(data.international),
        np.unique(group.rotations[proper], axis=0),
    )


def _origins(parent: Crystal, product: Crystal, axes: FloatArray) -> FloatArray:
    """Origins of the product, in the parent's axes, that put its anions on the parent's; (s, 3)."""
    targets = parent.fractional[parent.charges < 0]
    anions = product.fractional[product.charges < 0] @ axes
    shifts = targets - anions[0]
    placed = anions + shifts[:, None]
    apart = placed[:, :, None] - targets
    cells = apart @ np.linalg.inv(parent.primitive)
    off = (cells - np.rint(cells)) @ parent.primitive @ parent.vectors
    nearest = np.linalg.norm(off, axis=3).min(axis=2).max(axis=1)
    return np.asarray(shifts[nearest < STANDS_ON])


def _off_axes(axes: FloatArray, parent: Crystal, product: Crystal) -> float:
    """How far the product's cell axes point from the parent's; smaller is plainer."""
    placed = axes @ parent.vectors
    cosines = (placed * product.vectors).sum(axis=1) / (
        np.linalg.norm(placed, axis=1) * np.linalg.norm(product.vectors, axis=1)
    )
    return float(np.round(3.0 - cosines.sum(), DIGITS))


def _cation_sites(
    parent: Crystal, product: Crystal, axes: FloatArray, shift: FloatArray
) -> FloatArray:
    """Distinct places modulo the parent's primitive lattice of the product's cations, (s, 3)."""
    cells = np.stack(np.meshgrid(*3 * [np.arange(-1, 2)], indexing="ij"), -1).reshape(-1, 1, 3)
    sites = (product.fractional[product.charges > 0] + cells).reshape(-1, 3) @ axes + shift
    primitive = np.round(sites @ np.linalg.inv(parent.primitive), 4) % 1.0
    return np.unique(np.round(primitive, 4) % 1.0, axis=0) @ parent.primitive


def _key(sites: FloatArray) -> tuple[int, ...]:
    return tuple(np.rint(sites.ravel() * SITE_STEPS).astype(int))


def _site_name(parent: Crystal, sites: FloatArray) -> str:
    """``1/4 1/4 1/4, 3/4 3/4 3/4`` from the parent's first anion, one for each site."""
    from fractions import Fraction

    away = (sites - parent.fractional[parent.charges < 0][0]) @ np.linalg.inv(parent.primitive)
    places = np.round(away % 1.0, DIGITS) % 1.0 @ parent.primitive
    order = np.lexsort(np.round(places, 4).T[::-1])
    return ", ".join(
        " ".join(str(Fraction(float(x)).limit_denominator(24)) for x in places[i]) for i in order
    )


def _shells(crystal: Crystal) -> FloatArray:
    """Sorted distances to the nearest anions around each anion, reduced, shape (anions, 42)."""
    anions = crystal.fractional[crystal.charges < 0]
    scale = (abs(np.linalg.det(crystal.vectors)) / len(anions)) ** (1 / 3)
    reach = int(np.ceil(WITHIN * scale / np.linalg.norm(crystal.vectors, axis=1).min())) + 1
    cells = np.stack(np.meshgrid(*3 * [np.arange(-reach, reach + 1)], indexing="ij"), -1)
    images = (cells.reshape(-1, 1, 3) + anions).reshape(-1, 3)
    apart = np.linalg.norm((images[None] - anions[:, None]) @ crystal.vectors, axis=2)
    return np.asarray(np.sort(apart, axis=1)[:, 1 : NEIGHBOURS + 1] / scale)


def as_product(domain: Domain, product: Crystal, way: Topotaxy) -> Domain:
    """The domain as a crystal of the product."""
    vectors = way.axes @ domain.vectors
    datum = product.datum(None)
    corner = domain.cartesian(-domain.crystal.fractional[domain.datum])
    origin = corner + (way.shift + product.fractional[datum] @ way.axes) @ domain.vectors
    return Domain(domain.name, product, vectors, origin, datum)


def relabelled(model: Model, index: int, way: Topotaxy) -> Model:
    """The interfaces in the product's axes; unchanged where they are the parent's."""
    if np.allclose(way.axes, np.eye(3), atol=ALIKE):
        return model
    name = model.domains[index].name
    return model.with_interfaces(
        [
            _relabelled(found, found.domains.index(name), way) if name in found.domains else found
            for found in model.interfaces
        ]
    )


def _relabelled(found: Interface, end: int, way: Topotaxy) -> Interface:
    """One interface, with the end of it that is exchanged in the product's axes."""
    planes = list(found.planes)
    h, k, l = np.rint(way.axes @ np.asarray(planes[end], float)).astype(int)  # noqa: E741
    planes[end] = (int(h), int(k), int(l))
    across = None if found.across is None else _turned(found.across, end, way)
    along = _turned(found.along, end, way)
    return replace(found, planes=(planes[0], planes[1]), along=along, across=across)


def _turned(pair: Coincidence, index: int, way: Topotaxy) -> Coincidence:
    ends = [pair.first, pair.second]
    ends[index] = Direction.of(ends[index].vector @ np.linalg.inv(way.axes))
    return Coincidence(ends[0], ends[1], pair.counts, pair.lengths)
