"""The layer of cations next to an interface that an exchange leaves as it is."""

from __future__ import annotations

import numpy as np

from hetbuild.analyse.interface import measure_interface
from hetbuild.arrays import BoolArray, FloatArray, IntArray, Plane
from hetbuild.errors import ImpossibleError, InputError
from hetbuild.model import Domain, Model

KEPT_PLANES = 5
"""Planes left at an interface: the PbS monolayer of the published CsPbCl3/Cu2S model."""


SAME_PLANE = 0.5
"""Plane indices within which cations of a relaxed model count as one plane."""


def kept_layer(
    model: Model, index: int, atoms: IntArray, planes: int | None, thickness: float | None
) -> BoolArray:
    """Which cations lie in the layer next to the interface, shape (A,).

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
    hkl, domain = interface_plane(model, index)
    if thickness is not None:
        limit = thickness / _spacing(domain, hkl) + 1e-6
    else:
        limit = (KEPT_PLANES if planes is None else planes) - SAME_PLANE
    height = domain.plane_index(hkl, model.lattice_positions[atoms]) * (1 if index == 1 else -1)
    return np.array(height > _outermost(height) - limit, dtype=np.bool_)


def interface_plane(model: Model, index: int) -> tuple[Plane, Domain]:
    """(hkl) of a domain at the interface and the frame it refers to.

    Raises
    ------
    ImpossibleError
        The model records no interface and its atoms show none.
    """
    if model.interface is not None:
        return model.interface.planes[index], model.domains[index]
    found = measure_interface(model)
    if found is None:
        raise ImpossibleError("No interface plane can be told from the atoms of this model.")
    return found.planes[index], found.domains[index]


def _spacing(domain: Domain, hkl: Plane) -> float:
    return float(1.0 / np.linalg.norm(np.linalg.inv(domain.vectors) @ np.asarray(hkl, float)))


def _outermost(height: FloatArray) -> float:
    """Mean height of the outermost plane; a third atom must be near it, so no stray one counts."""
    if not len(height):
        return 0.0
    ranked = np.sort(height)[::-1]
    third = ranked[min(2, len(ranked) - 1)]
    return float(ranked[np.abs(ranked - third) < SAME_PLANE].mean())
