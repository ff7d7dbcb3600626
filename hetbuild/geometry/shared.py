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
    atoms = np.flatnonzero(shared)
    own, partner = model.domain[atoms], _partner(model, atoms)
    between = (own == first) & (partner == second) | (own == second) & (partner == first)
    return np.isin(np.arange(len(model)), atoms[between])


def shared_by(model: Model, index: int) -> BoolArray:
    """The ions of every layer that a domain shares, its own and those of others; shape (N,)."""
    shared = np.asarray(model.role == Role.SHARED)
    if len(model.domains) == 2:
        return shared
    atoms = np.flatnonzero(shared)
    its = (model.domain[atoms] == index) | (_partner(model, atoms) == index)
    return np.isin(np.arange(len(model)), atoms[its])


def _partner(model: Model, atoms: IntArray) -> IntArray:
    """The domain, but for its own, that is nearest to each of these atoms, shape (A,)."""
    from scipy.spatial import cKDTree

    away = np.full((len(atoms), len(model.domains)), np.inf)
    for index in range(len(model.domains)):
        ions = model.positions[model.domain == index]
        if len(ions):
            away[:, index] = cKDTree(ions).query(model.positions[atoms])[0]
    away[np.arange(len(atoms)), model.domain[atoms]] = np.inf
    return np.asarray(away.argmin(axis=1))
