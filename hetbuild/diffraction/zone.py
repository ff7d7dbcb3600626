"""Lattice planes of the domains: their spacings, and which of them a zone axis shows edge on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from hetbuild.arrays import FloatArray, Plane
from hetbuild.crystal.lattice import Direction, angle, reciprocal, spacing
from hetbuild.diffraction.bragg import bragg_lines, planes_to, structure_factors
from hetbuild.diffraction.orientation import fitted_domain
from hetbuild.diffraction.scattering import radiation
from hetbuild.geometry.view import zone_view
from hetbuild.model import Domain, Model

FINEST = 1.5
"""Å: the smallest spacing listed."""

EDGE_ON = 1.0
"""Degrees by which the normal of a plane may leave the screen."""

FAINT = 0.02
"""Structure factor relative to the strongest, below which a plane shows no contrast."""


@dataclass(frozen=True, slots=True)
class Spacing:
    """A form of planes of a domain."""

    domain: str
    hkl: Plane
    bulk: float
    """d in the bulk crystal, Å."""
    model: float
    """d(hkl) in the frame fitted to the atoms, Å."""
    intensity: float
    """Of its powder line at Cu Kα, % of the strongest."""


@dataclass(frozen=True, slots=True)
class ZonePlane:
    """A set of planes seen edge on, or nearly so."""

    domain: str
    hkl: Plane
    spacing: float
    """Å, in the frame fitted to the atoms."""
    azimuth: float
    """Of the planes' normal on the screen, degrees from right to up, 0 to 180."""
    off: float
    """Degrees of the normal from the screen."""


@dataclass(frozen=True, eq=False)
class Zone:
    """What is seen down a zone axis."""

    domain: str
    uvw: Plane
    """The zone axis, towards the viewer."""
    tilts: tuple[tuple[str, Plane, float], ...]
    """Of each other domain: its name, the zone axis with indices up to 1 that is nearest, and
    degrees between them."""
    planes: tuple[ZonePlane, ...]
    """By domain, and falling spacing."""

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def spacings(model: Model, finest: float = FINEST) -> tuple[Spacing, ...]:
    """Forms of planes of each domain that have a powder line, down to a spacing in Å."""
    source = radiation("Cu")
    highest = float(2.0 * np.degrees(np.arcsin(source.mean / 2.0 / finest)))
    found = []
    for index in range(len(model.domains)):
        domain = fitted_domain(model, index)
        lines = bragg_lines(domain.crystal, source, up_to=highest)
        for hkl, d, strength in zip(lines.hkl, lines.spacing, lines.intensity, strict=True):
            h, k, l = (int(i) for i in hkl)  # noqa: E741 (Miller index)
            here = spacing(domain.vectors, (h, k, l))
            found.append(Spacing(domain.name, (h, k, l), float(d), here, float(strength)))
    return tuple(found)


def zone(model: Model, name: str, uvw: Sequence[float], finest: float = FINEST) -> Zone:
    """Planes that stand edge on down [uvw] of the domain `name`, in all domains.

    The zone axis points towards the viewer and up is as in every picture (geometry/view.py).
    finest: the smallest spacing listed, Å.

    Raises
    ------
    InputError
        There is no such domain, or [uvw] is no direction of a lattice.
    """
    index = model.domain_named(name)
    axis = Direction.of(uvw).uvw
    screen = zone_view(model, index, axis).axes
    towards = np.asarray(axis) @ fitted_domain(model, index).vectors
    tilts, planes = [], []
    for other in range(len(model.domains)):
        domain = fitted_domain(model, other)
        planes += _edge_on(domain, screen, finest)
        if other != index:
            nearest = min(
                _axes(), key=lambda a: round(angle(np.asarray(a) @ domain.vectors, towards), 6)
            )
            apart = angle(np.asarray(nearest) @ domain.vectors, towards)
            tilts.append((domain.name, nearest, apart))
    return Zone(name, axis, tuple(tilts), tuple(planes))


def _edge_on(domain: Domain, screen: FloatArray, finest: float) -> list[ZonePlane]:
    """Planes with contrast whose normal lies in the screen, the longest spacing first."""
    hkl = planes_to(domain.crystal, 0.95 * finest)
    g = hkl @ reciprocal(domain.vectors) @ screen.T
    length = np.linalg.norm(g, axis=1)
    off = np.degrees(np.arcsin(np.clip(g[:, 2] / length, -1.0, 1.0)))
    upper = (g[:, 1] > 1e-9) | ((np.abs(g[:, 1]) <= 1e-9) & (g[:, 0] > 0.0))
    factor = np.abs(structure_factors(domain.crystal, hkl, radiation("Cu").mean, {}))
    seen = upper & (np.abs(off) <= EDGE_ON) & (length <= 1.0 / finest)
    seen &= factor > FAINT * factor.max()
    chosen = np.flatnonzero(seen)
    azimuth = np.degrees(np.arctan2(g[:, 1], g[:, 0]))
    order = chosen[np.lexsort((np.round(azimuth[chosen], 6), np.round(length[chosen], 6)))]
    planes = []
    for k in order:
        a, b, c = (int(i) for i in hkl[k])
        planes.append(
            ZonePlane(
                domain.name, (a, b, c), float(1.0 / length[k]), float(azimuth[k]), float(off[k])
            )
        )
    return planes


def _axes() -> list[Plane]:
    return [
        (u, v, w)
        for u in (0, 1, -1)
        for v in (0, 1, -1)
        for w in (0, 1, -1)
        if (u, v, w) != (0, 0, 0)
    ]
