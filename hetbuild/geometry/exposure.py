"""Which ions lie at the outside of a particle, and which it, or another domain, covers."""

from __future__ import annotations

import numpy as np

from hetbuild.arrays import BoolArray, FloatArray

REACH = 8.0
"""Å: an ion further away covers nothing."""

HALF_ANGLE = 40.0
"""Degrees. An ion is exposed where a cone of this half angle about it is empty: half of what is
free above a flat facet, wider than any channel between the ions of a crystal."""

ITSELF = 0.1
"""Å within which an ion stands at the place itself."""

DIRECTIONS = 400
"""Axes of cones tried, spread evenly over the sphere: 10 degrees apart."""


def exposed(positions: FloatArray, places: FloatArray) -> BoolArray:
    """Which of these places have an empty cone about them, shape (K,).

    positions: all ions in Å, shape (N, 3); places: Å, shape (K, 3), of ions or of vacant sites.
    """
    from scipy.spatial import cKDTree

    free = np.zeros(len(places), dtype=bool)
    near = cKDTree(positions).query_ball_point(places, REACH, return_sorted=True)
    axes = _directions()
    for row, others in enumerate(near):
        away = positions[np.asarray(others, dtype=np.int64)] - places[row]
        length = np.linalg.norm(away, axis=1, keepdims=True)
        away = (away / np.maximum(length, ITSELF))[length[:, 0] > ITSELF]
        free[row] = (away @ axes.T < np.cos(np.radians(HALF_ANGLE))).all(axis=0).any()
    return free


def _directions() -> FloatArray:
    """Unit vectors along a Fibonacci spiral, shape (DIRECTIONS, 3)."""
    k = np.arange(DIRECTIONS) + 0.5
    z = 1.0 - 2.0 * k / DIRECTIONS
    turn = np.pi * (1.0 + np.sqrt(5.0)) * k
    flat = np.sqrt(1.0 - z**2)
    return np.stack([flat * np.cos(turn), flat * np.sin(turn), z], axis=1)
