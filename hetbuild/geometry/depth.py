"""How deep atoms lie below the surface of a particle."""

from __future__ import annotations

import numpy as np

from hetbuild.arrays import FloatArray, IntArray
from hetbuild.model import Model


def depth(model: Model, atoms: IntArray) -> FloatArray:
    """Å below the convex hull of the particle, shape (A,)."""
    from scipy.spatial import ConvexHull, QhullError

    try:
        planes = ConvexHull(model.positions).equations
    except QhullError:  # a handful of atoms in a plane has no inside
        return np.zeros(len(atoms))
    heights = model.positions[atoms] @ planes[:, :3].T + planes[:, 3]
    return np.asarray(-heights.max(axis=1))
