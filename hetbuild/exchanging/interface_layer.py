"""The layer of cations next to an interface that an exchange leaves as it is."""

from __future__ import annotations

import numpy as np

from hetbuild.analyse.interface import measure_interface
from hetbuild.analyse.meetings import meetings
from hetbuild.arrays import BoolArray, FloatArray, IntArray, Plane
from hetbuild.errors import ImpossibleError, InputError
from hetbuild.model import Domain, Model
from hetbuild.rounding import ALIKE

KEPT_PLANES = 5
"""Cation planes of the parent left at an interface: the PbS monolayer of the published CsPbCl3/Cu2S
model."""


SAME_PLANE = 0.5
"""Plane indices (multiples of d(hkl)) within which cations of a relaxed model are of one plane."""


def kept_layer(
    model: Model, index: int, atoms: IntArray, planes: int | None, thickness: float | None
) -> BoolArray:
    """Which cations lie in the layer next to an interface of their domain, shape (A,).

    Planes are counted from the outermost one at the interface, thickness from the same plane, both
    by the lattice sites of the cations: in a relaxed model the same ones stay as in the ideal one.

    Raises
    ------
    InputError
        Both limits given, a negative one, or one for a model without an interface.
    """
    if planes is not None and thickness is not None:
        raise InputError("Give keep_planes or keep_thickness, not both.")
    if (planes or 0) < 0 or (thickness or 0.0) < 0:
        raise InputError("The layer to keep cannot be negative.")
    if len(model.domains) < 2:
        if planes or thickness:
            raise InputError("There is no interface to keep a layer at: the model is one domain.")
        return np.zeros(len(atoms), dtype=bool)
    kept = np.zeros(len(atoms), dtype=np.bool_)
    for hkl, domain, outward in interface_planes(model, index):
        if thickness is not None:
            limit = thickness / _spacing(domain, hkl) + ALIKE
        else:
            limit = (KEPT_PLANES if planes is None else planes) - SAME_PLANE
        height = domain.plane_index(hkl, model.lattice_positions[atoms]) * outward
        kept |= height > _outermost(height) - limit
    return kept


def interface_planes(model: Model, index: int) -> list[tuple[Plane, Domain, int]]:
    """(hkl) of a domain at each of its interfaces, the frame it refers to, and 1 where the plane
    indices grow to the interface, -1 where they grow away from it.

    Raises
    ------
    ImpossibleError
        The model records no interface of the domain and its atoms show none.
    """
    found: list[tuple[Plane, Domain, int]] = []
    for i, pair in enumerate(meetings(model)):
        if index not in pair:
            continue
        end, outward = pair.index(index), 1 if index == pair[1] else -1
        if model.interfaces:
            found.append((model.interfaces[i].planes[end], model.domains[index], outward))
        elif (measured := measure_interface(model, pair)) is not None:
            found.append((measured.planes[end], measured.domains[end], outward))
    if not found:
        raise ImpossibleError("No interface plane can be told from the atoms of this model.")
    return found


def _spacing(domain: Domain, hkl: Plane) -> float:
    return float(1.0 / np.linalg.norm(np.linalg.inv(domain.vectors) @ np.asarray(hkl, float)))


def _outermost(height: FloatArray) -> float:
    """Mean height of the outermost plane; a third atom must be near it, so no stray one counts."""
    if not len(height):
        return 0.0
    ranked = np.sort(height)[::-1]
    third = ranked[min(2, len(ranked) - 1)]
    return float(ranked[np.abs(ranked - third) < SAME_PLANE].mean())
