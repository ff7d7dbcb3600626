"""Shared layers of a model of several domains: with which other domain each of their ions goes."""

from __future__ import annotations

import numpy as np

from hetbuild.arrays import BoolArray, IntArray
from hetbuild.model import Model, Role


def shared_between(model: Model, first: int, second: int) -> BoolArray:
    """The ions of the layer that two domains share, shape (N,).

    Of two domains all shared ions are; of more those of either that are nearest to the other.
    """
    shared = np.asarray(model.role == Role.SHARED)
    if len(model.domains) == 2:
        return shared
    partner = _partner(model, shared)
    one = (model.domain == first) & (partner == second)
    return np.asarray(shared & (one | (model.domain == second) & (partner == first)))


def shared_by(model: Model, index: int) -> BoolArray:
    """The ions of every layer that a domain shares, its own and those of others; shape (N,)."""
    shared = np.asarray(model.role == Role.SHARED)
    if len(model.domains) == 2:
        return shared
    return np.asarray(shared & ((model.domain == index) | (_partner(model, shared) == index)))


def _partner(model: Model, shared: BoolArray) -> IntArray:
    """The domain, but for its own, that is nearest to each shared ion; -1 for others; (N,)."""
    from scipy.spatial import cKDTree

    atoms = np.flatnonzero(shared)
    away = np.full((len(atoms), len(model.domains)), np.inf)
    for index in range(len(model.domains)):
        ions = model.positions[model.domain == index]
        if len(ions):
            away[:, index] = cKDTree(ions).query(model.positions[atoms])[0]
    away[np.arange(len(atoms)), model.domain[atoms]] = np.inf
    found = np.full(len(model), -1)
    found[atoms] = away.argmin(axis=1) if len(atoms) else 0
    return found
