"""The cell of a CP2K deck: a box around a particle that the Poisson solver takes, or its own."""

from __future__ import annotations

import numpy as np

from hetbuild.arrays import FloatArray
from hetbuild.errors import InputError
from hetbuild.formats.cp2k_options import Cp2kOptions
from hetbuild.model import Model

MARGIN = 6.0
"""Å from the outermost atom to the wall of a wavelet box, where the density is below 1e-6."""

LEAST_MARGIN = 5.0
"""Å: with less CP2K warns of density on the wall."""

TAIL = 2.0
"""Å that the density reaches beyond the outermost atom, for the twofold box of Martyna-Tuckerman;
PbCl2 needs 16 Å."""


def cell(model: Model, options: Cp2kOptions) -> FloatArray:
    """Cell vectors in Å as rows, shape (3, 3): a box around a particle, or a model's own cell.

    Raises
    ------
    InputError
        The box given does not fit the particle and the solver.
    """
    if model.cell is not None:
        if options.box is not None:
            raise InputError("A periodic model has a cell of its own: leave the box out.")
        return np.asarray(model.cell)
    extent = np.ptp(model.positions, axis=0)
    if options.poisson == "wavelet":
        least = np.full(3, extent.max() + 2 * LEAST_MARGIN)
        usual = np.full(3, np.ceil(extent.max() + 2 * MARGIN))
    else:
        least = 2 * (extent + 2 * TAIL)
        usual = np.ceil(least)
    if options.box is None:
        return np.diag(usual)
    box = np.asarray(options.box, dtype=float)
    size = " x ".join(f"{e:.1f}" for e in extent)
    if options.poisson == "wavelet" and np.ptp(box) > 1e-6:
        raise InputError(
            f"A box of {_edges(box)} Å with the wavelet Poisson solver, which needs a cube: CP2K "
            "stops at any other. Give three equal edges, or use the MT solver."
        )
    if (box < least - 1e-6).any():
        enough = _edges(np.ceil(10 * least) / 10)
        raise InputError(
            f"A box of {_edges(box)} Å is too small for a particle of {size} Å: with the "
            f"{options.poisson} Poisson solver it must be at least {enough} Å. CP2K would "
            "give a wrong energy without a word."
        )
    return np.diag(box)


def _edges(box: FloatArray) -> str:
    return " x ".join(f"{e:.1f}" for e in box)
