"""Where a crystal may end along a plane normal: each layer of the stacking as the outermost one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from hetbuild.arrays import Plane
from hetbuild.crystal import lattice
from hetbuild.crystal.crystal import Crystal
from hetbuild.crystal.layers import stacking
from hetbuild.rounding import ALIKE, DIGITS

NO_DIPOLE = 1e-3
"""e Å per surface cell below which a repeat has no dipole."""


@dataclass(frozen=True, slots=True)
class Termination:
    """One way to end a half crystal."""

    index: float
    """Plane index of the outermost layer, from the datum, in units of d(hkl) of the lattice."""
    formula: str
    """Of the outermost layer, per primitive surface cell."""
    charge: int
    """Of the outermost layer, e per primitive surface cell."""
    dipole: float
    """Of the repeat that starts with it, along the outward normal, e Å per primitive surface cell.
    Where it is not zero the face is polar and needs compensation (Tasker, doi
    10.1088/0022-3719/12/22/036)."""

    @property
    def polar(self) -> bool:
        """Needs compensation."""
        return abs(self.dipole) > NO_DIPOLE

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "index": self.index,
            "formula": self.formula,
            "charge": self.charge,
            "dipole": self.dipole,
            "polar": self.polar,
        }


def terminations(crystal: Crystal, hkl: Plane, *, upward: bool) -> tuple[Termination, ...]:
    """All terminations of a half crystal, by growing plane index from the datum.

    upward: the outward normal is that of (hkl); otherwise the opposite one.
    """
    plane = lattice.primitive_plane(crystal.primitive, hkl)
    layers = stacking(crystal, plane).layers
    spacing = crystal.spacing(plane)
    index = np.array([layer.index for layer in layers])
    charge = np.array([layer.charge for layer in layers], dtype=float)
    found = []
    for layer in layers:
        # Depth below the outermost layer, in repeats: in [0, 1).
        depth = (layer.index - index if upward else index - layer.index) % 1.0
        depth = np.where(depth > 1 - ALIKE, 0.0, depth)
        dipole = float(-(charge * depth).sum() * spacing)
        found.append(
            Termination(layer.index, layer.formula, layer.charge, round(dipole, DIGITS) + 0.0)
        )
    return tuple(found)
