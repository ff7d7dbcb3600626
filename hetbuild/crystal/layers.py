"""How a crystal is stacked along a plane normal: what a user reads to choose a cut."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from hetbuild.arrays import Plane
from hetbuild.crystal import lattice
from hetbuild.crystal.crystal import Crystal
from hetbuild.crystal.lattice import plane_label
from hetbuild.elements import counts, formula
from hetbuild.rounding import DIGITS

SAME_LAYER = 1e-3
"""Å within which the heights of ions of one layer agree."""


@dataclass(frozen=True, slots=True)
class Layer:
    """One plane of ions in the repeat."""

    index: float
    """Plane index from the datum, in units of d(hkl) of the indices given."""
    height: float
    """Å from the datum."""
    formula: str
    """Contents of one primitive surface cell."""
    charge: int
    """e per primitive surface cell."""


@dataclass(frozen=True, slots=True)
class Stacking:
    """The repeat of a crystal along the normal of (hkl)."""

    crystal: str
    plane: str
    datum: str
    """Site that plane indices are counted from."""
    spacing: float
    """d(hkl) of the indices as given, Å."""
    lattice_plane: str
    """Indices whose spacing is that of successive lattice planes."""
    lattice_spacing: float
    """Å."""
    net: tuple[tuple[str, float], ...]
    """Primitive in-plane vectors and their lengths in Å."""
    net_angle: float
    """Between them, degrees."""
    area: float
    """Of the primitive surface cell, Å²."""
    layers: tuple[Layer, ...]
    """One lattice repeat, from the datum up."""

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def stacking(crystal: Crystal, hkl: Plane, site: str | None = None) -> Stacking:
    """Layers of ions along the normal of (hkl), with their contents and charge.

    Raises
    ------
    InputError
        (0 0 0), or no such site.
    """
    spacing = crystal.spacing(hkl)
    datum = crystal.datum(site)
    plane = lattice.primitive_plane(crystal.primitive, hkl)
    repeat = crystal.spacing(plane) / spacing
    u, v = (d.vector @ crystal.vectors for d in crystal.surface_net(plane))
    return Stacking(
        crystal=crystal.name,
        plane=plane_label(hkl),
        datum=crystal.labels[datum],
        spacing=spacing,
        lattice_plane=plane_label(plane),
        lattice_spacing=crystal.spacing(plane),
        net=tuple(
            (str(d), float(np.linalg.norm(d.vector @ crystal.vectors)))
            for d in crystal.surface_net(plane)
        ),
        net_angle=lattice.angle(u, v),
        area=float(np.linalg.norm(np.cross(u, v))),
        layers=tuple(_layers(crystal, hkl, datum, repeat, spacing)),
    )


def _layers(
    crystal: Crystal, hkl: Plane, datum: int, repeat: float, spacing: float
) -> Iterator[Layer]:
    index = (crystal.fractional - crystal.fractional[datum]) @ np.array(hkl, dtype=float) % repeat
    order = np.argsort(index, kind="stable")
    # A layer begins where the next site is further up than any tolerance; the first goes round.
    new = np.diff(index[order], prepend=-np.inf) > SAME_LAYER / spacing
    layer = np.cumsum(new) - 1
    if index[order[-1]] > repeat - SAME_LAYER / spacing:
        last = layer == layer[-1]
        index[order[last]] -= repeat
        layer[last] = 0
    # A conventional cell holds one primitive cell's layer as often as the lattice is centred.
    centring = round(1.0 / abs(float(np.linalg.det(crystal.primitive))))
    for k in np.unique(layer):
        here = order[layer == k]
        level = round(float(index[here].mean()), DIGITS)
        level = 0.0 if abs(level) * spacing < SAME_LAYER else level  # the datum's own layer
        contents = {e: n // centring for e, n in counts(crystal.numbers[here]).items()}
        charge = int(crystal.charges[here].sum()) // centring
        yield Layer(level, level * spacing, formula(contents), charge)
