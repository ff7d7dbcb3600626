"""First-shell bonds of a bulk crystal."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hetbuild.arrays import FloatArray, IntArray
from hetbuild.frozen import Frozen, own

FIRST_SHELL = 1.25
"""A first-shell bond is at most this many times the shortest distance of its two elements."""


@dataclass(frozen=True, eq=False)
class Bonds(Frozen):
    """First-shell cation-anion bonds of a crystal, each listed from both ends."""

    site: IntArray
    """Index of the site the bond starts from, shape (B,)."""
    partner: IntArray
    """Index of the site it ends at, shape (B,)."""
    vector: FloatArray
    """From start to end in conventional axes, shape (B, 3)."""
    length: FloatArray
    """Å, shape (B,)."""


def first_shell(
    vectors: FloatArray, numbers: IntArray, fractional: FloatArray, charges: IntArray
) -> Bonds:
    """Cation-anion bonds up to 1.25 times the shortest distance of each pair of elements.

    vectors: rows in Å, shape (3, 3); fractional: shape (n, 3); charges: e, shape (n,).
    """
    reach = np.arange(-2, 3)
    cells = np.array(np.meshgrid(reach, reach, reach, indexing="ij")).reshape(3, -1).T
    i, j = np.nonzero(np.sign(charges)[:, None] * np.sign(charges)[None] < 0)
    vector = (fractional[j] - fractional[i])[:, None] + cells[None]
    length = np.linalg.norm(vector @ vectors, axis=2)
    shortest = length.min(axis=1)
    pair = np.minimum(numbers[i], numbers[j]) * 200 + np.maximum(numbers[i], numbers[j])
    kinds, kind = np.unique(pair, return_inverse=True)
    limit = np.array([shortest[kind == k].min() for k in range(len(kinds))]) * FIRST_SHELL
    p, q = np.nonzero(length <= limit[kind][:, None])
    return Bonds(own(i[p]), own(j[p]), own(vector[p, q]), own(length[p, q]))
