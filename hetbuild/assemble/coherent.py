"""Coherent interfaces without edges: two slabs on one coincidence cell, repeated in the plane."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np

from hetbuild.arrays import FloatArray
from hetbuild.assemble.join import check_contacts, interface_of, join
from hetbuild.assemble.merge import Merging
from hetbuild.assemble.orientation import Orientation, align, anchored
from hetbuild.assemble.registry import Registry, Window, search_registry
from hetbuild.assemble.settle import Settling
from hetbuild.assemble.slab import slab
from hetbuild.crystal import lattice
from hetbuild.crystal.lattice import Coincidence, Direction
from hetbuild.errors import ImpossibleError, InputError
from hetbuild.geometry.contacts import Floors
from hetbuild.geometry.electrostatics import REACH
from hetbuild.geometry.images import images
from hetbuild.model import DECIMALS, Domain, Model, kept_digits
from hetbuild.rounding import NOTHING

Strained = Literal["first", "second", "shared"]

BEYOND = REACH + 8.0
"""Å about the cell to which a slab is repeated: the reach of the pair energy, and as much again,
since ions of the other slab lie beyond the cell and are shifted."""

FACING = Window(0.0, 0.0, (0.0, 5.0))
"""Where the second contact of a superlattice is looked for: along the normal only, Å."""


def coincidence_cell(
    domains: tuple[Domain, Domain], orientation: Orientation, limit: float
) -> tuple[Coincidence, Coincidence]:
    """The smallest cell along and across that both crystals have within a strain limit.

    Raises
    ------
    InputError
        No second direction pair.
    ImpossibleError
        There is none; the text gives the nearest.
    """
    if orientation.across is None:
        raise InputError("A periodic interface needs a second direction pair: give join.across.")
    pairs = []
    for which in (orientation.along, orientation.across):
        u, v = (
            lattice.lattice_vector(d.crystal.primitive, uvw)
            for d, uvw in zip(domains, which, strict=True)
        )
        lengths = [
            float(np.linalg.norm(x.vector @ d.vectors))
            for x, d in zip((u, v), domains, strict=True)
        ]
        pairs.append(lattice.coincidence((u, lengths[0]), (v, lengths[1]), limit=limit))
    bad = [p for p in pairs if abs(p.mismatch) > limit]
    if bad:
        listing = ", ".join(
            f"{p.labels[0]} {p.lengths[0]:.3f} Å || {p.labels[1]} {p.lengths[1]:.3f} Å "
            f"({100 * p.mismatch:+.2f} %)"
            for p in bad
        )
        raise ImpossibleError(
            f"No coincidence cell below {100 * limit:g} % strain with up to 12 repeats; the "
            f"nearest is {listing}. Allow more with join.periodic.max_strain, or choose other "
            "directions."
        )
    return pairs[0], pairs[1]


def slabs(
    domains: tuple[Domain, Domain],
    orientation: Orientation,
    cell: tuple[Coincidence, Coincidence],
    limits: tuple[tuple[float, float], tuple[float, float]],
) -> tuple[Model, Model]:
    """One coincidence cell of each crystal between its planes.

    Raises
    ------
    InputError, ImpossibleError
        As `slab`.
    """
    made = []
    for i, (domain, plane) in enumerate(zip(domains, orientation.planes, strict=True)):
        net = np.array([pair.counts[i] * _end(pair, i).vector for pair in cell])
        label = domain.crystal.labels[domain.datum]
        part = slab(domain.crystal, plane, net, limits[i], site=label, name=domain.name)
        made.append(part)
    return made[0], made[1]


def join_slabs(
    first: Model,
    second: Model,
    orientation: Orientation,
    cell: tuple[Coincidence, Coincidence],
    anchor: tuple[FloatArray, FloatArray],
    *,
    strained: Strained,
    vacuum: float | None,
    registry: Registry | None = None,
    window: Window | None = None,
    floors: Floors | None = None,
    merging: Merging | None = None,
    settling: Settling | None = None,
) -> Model:
    """The two slabs on one cell, the first above. strained: which of them gives way.

    vacuum: Å between the free faces; None: a superlattice, whose second contact is as close as the
    floors and the ionic score put it. registry: as for particles, searched where it is not given.
    merging, settling: what will be done to ions that collide, which then is no error; the registry
    is searched accordingly.

    Raises
    ------
    InputError, ImpossibleError
        As `join.align`, `join.search_registry` and `join.check_contacts`.
    """
    limit = floors or Floors()
    first, second = align(first, second, orientation)
    first, second = anchored(first, second, (anchor[0].tolist(), anchor[1].tolist()))
    first, second, target = _on_one_net(first, second, cell, strained)
    around = images(first, target, BEYOND)
    if registry is None:
        registry = search_registry(
            around, second, window or Window(), limit, merging=merging, settling=settling
        )
    met = interface_of(first.domains[0], second.domains[0], orientation, registry)
    model = join(first, second, orientation, registry)
    model = replace(model, interface=replace(met, along=cell[0], across=cell[1]))
    height = _height(first, second.moved(np.eye(3), registry.vector), target, vacuum, limit)
    model = _in_cell(model, np.vstack([target, [0.0, 0.0, height]]), vacuum is None)
    if merging is None and settling is None:
        check_contacts(model, limit)
    return model


def _on_one_net(
    first: Model, second: Model, cell: tuple[Coincidence, Coincidence], strained: Strained
) -> tuple[Model, Model, FloatArray]:
    """Both slabs strained to one net, and that net: two vectors as rows in Å, shape (2, 3)."""
    nets = [_net(m.domains[0], cell, i) for i, m in enumerate((first, second))]
    target = {"first": nets[1], "second": nets[0], "shared": (nets[0] + nets[1]) / 2}[strained]
    first, second = (_fitted(m, net, target) for m, net in zip((first, second), nets, strict=True))
    return first, second, target


def strain_of(domain: Domain) -> FloatArray:
    """Strain tensor of a domain against its crystal, in the model's axes, shape (3, 3).

    Green-Lagrange strain (F.T F - 1) / 2, symmetric; F takes the free crystal to the lattice it has
    here, and its rotation, from the polar decomposition, turns the tensor to the model's axes.
    """
    deformation = np.linalg.solve(domain.crystal.vectors, domain.vectors).T
    u, _, vt = np.linalg.svd(deformation)
    turn = u @ vt
    return np.asarray(turn @ (deformation.T @ deformation - np.eye(3)) @ turn.T / 2)


def _end(pair: Coincidence, index: int) -> Direction:
    return (pair.first, pair.second)[index]


def _net(domain: Domain, cell: tuple[Coincidence, Coincidence], index: int) -> FloatArray:
    return np.array([p.counts[index] * _end(p, index).vector for p in cell]) @ domain.vectors


def _fitted(model: Model, net: FloatArray, target: FloatArray) -> Model:
    """Deformed in the plane so that its net is the target, atoms inside it; heights stay."""
    own = np.vstack([net, [0.0, 0.0, 1.0]])
    deformation = np.linalg.solve(own, np.vstack([target, [0.0, 0.0, 1.0]]))
    (domain,) = model.domains
    moved = replace(
        domain, vectors=domain.vectors @ deformation, origin=domain.origin @ deformation
    )
    positions = model.positions @ deformation
    # Layers follow each other along a lattice direction: each atom goes back into the cell, so that
    # a few images on either side are all that is ever near it.
    cells = np.floor(positions[:, :2] @ np.linalg.inv(target[:, :2]) + NOTHING)
    positions[:, :2] -= cells @ target[:, :2]
    return replace(model, positions=positions, domains=(moved,))


def _height(
    first: Model, second: Model, net: FloatArray, vacuum: float | None, floors: Floors
) -> float:
    """Length of the cell along the normal, Å."""
    top, bottom = first.positions[:, 2].max(), second.positions[:, 2].min()
    if vacuum is not None:
        return float(np.round(top - bottom + vacuum, DECIMALS))
    # The top of the first meets the bottom of the second's next image: bring them to one height.
    below = first.moved(np.eye(3), np.array([0.0, 0.0, bottom - top]))
    found = search_registry(images(second, net, BEYOND), below, FACING, floors)
    return float(np.round(top - bottom + found.gap, DECIMALS))


def _in_cell(model: Model, cell: FloatArray, closed: bool) -> Model:
    """Lowest atom a little above the floor of the cell, all of them inside it."""
    height = cell[2, 2] - np.ptp(model.positions[:, 2])
    lift = np.array([0.0, 0.0, height / 2 - model.positions[:, 2].min()])
    model = model.moved(np.eye(3), lift)
    fractional = np.round(model.positions @ np.linalg.inv(cell), 10) % 1.0
    return replace(
        model,
        positions=kept_digits(fractional @ cell),
        cell=kept_digits(cell),
        periodic=(True, True, closed),
    )
