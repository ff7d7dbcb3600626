"""Rigid superposition of paired points."""

from __future__ import annotations

import warnings

import numpy as np

from hetbuild.arrays import FloatArray
from hetbuild.rounding import NOTHING


def superposed(x: FloatArray, y: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Rotation (3, 3) and shift (3,), Å, that lay y on x best: x = rotation @ y + shift.

    x, y: Å, shape (N, 3), row by row. Kabsch superposition (doi 10.1107/S0567739476001873).
    """
    from scipy.spatial.transform import Rotation

    cx, cy = x.mean(axis=0), y.mean(axis=0)
    if len(x) < 2 or np.ptp(x, axis=0).max() < NOTHING or np.ptp(y, axis=0).max() < NOTHING:
        return np.eye(3), np.asarray(cx - cy)
    with warnings.catch_warnings():
        # Points on a line leave the turn about it open; any will do.
        warnings.simplefilter("ignore", UserWarning)
        rotation = Rotation.align_vectors(x - cx, y - cy)[0].as_matrix()
    return np.asarray(rotation), np.asarray(cx - rotation @ cy)
