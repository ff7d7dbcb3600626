"""The box a particle is written in by formats that need a cell."""

from __future__ import annotations

import numpy as np

from hetbuild.arrays import FloatArray
from hetbuild.errors import InputError
from hetbuild.model import Model


def box(model: Model, vacuum: float) -> tuple[FloatArray, FloatArray]:
    """Cell vectors as rows, shape (3, 3), and the shift that centres the model, shape (3,), Å.

    A finite particle gets an orthorhombic box with `vacuum` Å on every side; a periodic model has a
    cell already and stays where it is.

    Raises
    ------
    InputError
        A vacuum that is negative or no number.
    """
    if not 0.0 <= vacuum < np.inf:
        raise InputError(
            f"vacuum {vacuum:g} Å: the room around a particle cannot be negative or without limit."
        )
    if model.cell is not None:
        return model.cell, np.zeros(3)
    low, high = model.positions.min(axis=0), model.positions.max(axis=0)
    edges = high - low + 2 * vacuum
    return np.diag(edges), edges / 2 - (low + high) / 2


def in_cell(positions: FloatArray, cell: FloatArray) -> FloatArray:
    """Fractional coordinates in [0, 1) to 10 decimals, shape (N, 3)."""
    return np.asarray(np.round(positions @ np.linalg.inv(cell), 10) % 1.0, dtype=np.float64)
