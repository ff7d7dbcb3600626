"""Images of a periodic model: pieces of it that go beyond its cell, as finite models."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from hetbuild.arrays import FloatArray, IntArray
from hetbuild.model import PER_ATOM, SAME_SITE, Model


def images(model: Model, vectors: FloatArray, reach: float) -> Model:
    """The model and its images up to `reach` Å beyond the cell, itself first, as a finite one.

    vectors: the two or three in Å that it repeats along, shape (2, 3) or (3, 3). Atom k of the
    result is an image of atom k modulo the number of atoms.
    """
    inverse = np.linalg.pinv(vectors)
    most = [int(np.ceil(reach * np.linalg.norm(column))) for column in inverse.T]
    axes = [np.arange(-n, n + 1) for n in most]
    steps = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, len(vectors))
    shifts = steps[np.argsort(np.abs(steps).sum(axis=1), kind="stable")] @ vectors

    def tiled(values: Any) -> Any:
        return np.tile(values, (len(shifts),) + (1,) * (values.ndim - 1))

    repeated = {name: tiled(getattr(model, name)) for name in PER_ATOM}
    repeated["positions"] = (shifts[:, None] + model.positions).reshape(-1, 3)
    repeated["site"], repeated["site_cell"] = _image_sites(model, shifts)
    return replace(
        model,
        **repeated,
        cell=None,
        periodic=(False, False, False),
    )


def _image_sites(model: Model, shifts: FloatArray) -> tuple[IntArray, IntArray]:
    """Site and cell of each atom of each image: that of the original, shifted with it.

    Atoms may be wrapped into the cell far from the site they were made on. Along the stacking of a
    superlattice an image need not fall on the lattice of its domain: then it has no site.
    """
    sites, cells = np.tile(model.site, (len(shifts), 1)), np.tile(model.site_cell, (len(shifts), 1))
    cells = cells.reshape(len(shifts), -1, 3)
    places = model.lattice_positions
    for i, domain in enumerate(model.domains):
        mine = np.flatnonzero((model.domain == i) & (model.site >= 0))
        for k, shift in enumerate(shifts):
            site, cells[k, mine], off = domain.nearest_sites(places[mine] + shift)
            sites[k, mine] = np.where(off < SAME_SITE, site, -1)
    return sites.reshape(-1), cells.reshape(-1, 3)


def finite(model: Model, reach: float) -> Model:
    """A particle as it is; of a periodic model a piece that goes `reach` Å beyond the cell."""
    if model.cell is None:
        return model
    return images(model, model.cell[list(model.periodic)], reach)
