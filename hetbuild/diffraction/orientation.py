"""Angles between planes and directions of the domains, and what is parallel to what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any, Literal

import numpy as np

from hetbuild.arrays import FloatArray, IntArray
from hetbuild.crystal.lattice import Direction, angle, check_plane, plane_label, plane_normal
from hetbuild.errors import InputError
from hetbuild.model import Domain, Model

Kind = Literal["plane", "direction"]

NEARLY = 10.0
"""Degrees up to which two low-index directions are listed as nearly parallel."""

ENOUGH = 12
"""Smallest number of atoms on sites, not all in one plane, that a lattice is fitted to."""

ROUNDS = 30
"""Rounds of least squares, each atom weighted by the inverse of its distance in the round before:
together they minimise the sum of distances."""

EXACT = 1e-4
"""Å: atoms nearer to their sites than this are weighted alike."""


@dataclass(frozen=True, slots=True)
class Feature:
    """A plane (hkl), by its normal, or a direction [uvw] of a domain."""

    domain: str
    kind: Kind
    indices: tuple[float, float, float]
    """In conventional axes; whole for planes, and fractions of centring allowed for directions."""

    def __str__(self) -> str:
        """``perovskite (-2 1 0)`` or ``sulfide 1/2[1 1 4]``."""
        if self.kind == "plane":
            return f"{self.domain} {plane_label([int(i) for i in self.indices])}"
        return f"{self.domain} {Direction.of(self.indices)}"

    def vector(self, domain: Domain) -> FloatArray:
        """Along the normal or the direction in the model's axes, shape (3,)."""
        if self.kind == "plane":
            return plane_normal(domain.vectors, [int(i) for i in self.indices])
        return np.asarray(np.array(self.indices) @ domain.vectors)


@dataclass(frozen=True, slots=True)
class Between:
    """The angle between two features."""

    first: Feature
    second: Feature
    angle: float
    """Degrees, 0 to 180, between the senses given; planes by their normals."""

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"first": str(self.first), "second": str(self.second), "angle": self.angle}


def feature(domain: str, kind: Kind, indices: Sequence[float]) -> Feature:
    """A plane or direction, checked.

    Raises
    ------
    InputError
        A plane whose indices are not three integers, a direction that is none of a lattice, or all
        indices zero.
    """
    if kind == "plane":
        if any(i != int(i) for i in indices):
            raise InputError(f"A plane takes three integers h k l; given {list(indices)}.")
        check_plane([int(i) for i in indices])
    else:
        Direction.of(indices)
    a, b, c = (float(i) for i in indices)
    return Feature(domain, kind, (a, b, c))


def between(model: Model, first: Feature, second: Feature) -> Between:
    """The angle between two features of a model, in the frames its atoms show.

    Raises
    ------
    InputError
        The model has no domain of a name given.
    """
    u, v = (f.vector(fitted_domain(model, model.domain_named(f.domain))) for f in (first, second))
    return Between(first, second, angle(u, v))


def fitted_domain(model: Model, index: int) -> Domain:
    """A domain with the frame fitted to its atoms by least distances, strain included.

    Each atom's site says where in the lattice it belongs. Distances, not their squares, so that
    ions settled at an interface or gone astray at the surface do not bend the lattice of the rest.
    Without enough atoms on sites, the frame stays as built.
    """
    domain = model.domains[index]
    mine = np.flatnonzero((model.domain == index) & (model.site >= 0))
    places = domain.sites[model.site[mine]] + model.site_cell[mine]
    design = np.column_stack([places, np.ones(len(mine))])
    if len(mine) < ENOUGH or np.linalg.matrix_rank(design) < 4:
        return domain
    weight = np.ones((len(mine), 1))
    for _ in range(ROUNDS):
        found = np.linalg.lstsq(weight * design, weight * model.positions[mine])[0]
        off = np.linalg.norm(model.positions[mine] - design @ found, axis=1)
        weight = np.maximum(off, EXACT)[:, None] ** -0.5
    frame = np.asarray(found, dtype=np.float64)
    return replace(domain, vectors=frame[:3].copy(), origin=frame[3].copy())


def parallels(model: Model, within: float = NEARLY) -> tuple[Between, ...]:
    """Pairs of low-index features of two domains that are parallel or nearly so, nearest first.

    Directions and planes with indices up to 1 within so many degrees; planes are left out where
    both crystals are cubic, since [hkl] is normal to (hkl) there. The planes and directions that
    the domains were joined by come first, whatever their angle.
    """
    found: list[Between] = []
    for i, j in combinations(range(len(model.domains)), 2):
        first, second = fitted_domain(model, i), fitted_domain(model, j)
        kinds: tuple[Kind, ...] = ("direction", "plane")
        if all(d.crystal.space_group_number >= 195 for d in (first, second)):
            kinds = ("direction",)
        for kind in kinds:
            found += _near(first, second, kind, within)
    found.sort(key=lambda b: (b.first.kind, round(b.angle, 3)))
    return (*joined_by(model), *found)


def joined_by(model: Model) -> tuple[Between, ...]:
    """The angles between the planes and directions of the joins, as the atoms show them now."""
    pairs: list[tuple[Feature, Feature]] = []
    for joint in model.interfaces:
        (a, b), (p, q) = joint.domains, joint.planes
        pairs.append((feature(a, "plane", p), feature(b, "plane", q)))
        for c in (joint.along, joint.across):
            if c is not None:
                pairs.append(
                    (
                        feature(a, "direction", c.first.vector.tolist()),
                        feature(b, "direction", c.second.vector.tolist()),
                    )
                )
    return tuple(between(model, u, v) for u, v in pairs)


def _near(first: Domain, second: Domain, kind: Kind, within: float) -> list[Between]:
    low = _low_indices()
    half = low[[tuple(row) > (0, 0, 0) for row in low.tolist()]]
    u, v = _unit(first, kind, half), _unit(second, kind, low)
    apart = np.degrees(np.arccos(np.clip(u @ v.T, -1.0, 1.0)))
    rows = []
    for i, j in np.argwhere(apart <= within):
        pair = (
            feature(first.name, kind, half[i].tolist()),
            feature(second.name, kind, low[j].tolist()),
        )
        # The arc cosine is good to 1e-6 degrees only near zero.
        exact = angle(pair[0].vector(first), pair[1].vector(second))
        rows.append(Between(*pair, exact))
    return rows


def _unit(domain: Domain, kind: Kind, indices: IntArray) -> FloatArray:
    """Unit vectors, shape (n, 3)."""
    axes = domain.vectors if kind == "direction" else np.linalg.inv(domain.vectors).T
    vectors = indices @ axes
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


def _low_indices() -> IntArray:
    axis = np.arange(-1, 2)
    grid = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1).reshape(-1, 3)
    return np.asarray(grid[grid.any(axis=1)])
