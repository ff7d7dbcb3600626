"""Keep one side of a lattice plane; one of high index leaves terraces and steps by itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np

from hetbuild.arguments import checked
from hetbuild.arrays import BoolArray, FloatArray, Plane
from hetbuild.crystal.lattice import check_plane, plane_label
from hetbuild.elements import KINDS, counts, number
from hetbuild.errors import ImpossibleError, InputError
from hetbuild.geometry.bonds import pair_limit
from hetbuild.geometry.contacts import coordination
from hetbuild.model import Domain, Model

Side = Literal["above", "below"]
ON_PLANE = 1e-4
"""Plane indices (multiples of d(hkl)) that differ by less are of one plane; positions carry 1e-8
Å."""


@checked
def cut(
    model: Model,
    hkl: Plane,
    *,
    keep: Side,
    at: float,
    edge: Mapping[str, float | str] | None = None,
) -> Model:
    """Keep the ions of a one-domain model on or beyond plane `at` of (hkl), counted from its datum.

    keep: "above" keeps plane indices >= at, "below" those <= at. edge: rules for single elements:
    another plane index, or the symbol of a cation: the ion stays as long as every such cation that
    it is bonded to stays.

    Raises
    ------
    InputError
        (0 0 0), or an edge rule for an element the particle does not have.
    ImpossibleError
        Nothing is left.

    Examples
    --------
    >>> import hetbuild as hb
    >>> cube = hb.carve("PbS", [hb.Facet((1, 0, 0), 2.0)], site="Pb")
    >>> hb.cut(cube, (1, 0, 0), keep="above", at=0)
    <Model Pb203S202: 405 atoms, formal charge +2 e, particle of PbS>
    """
    check_plane(hkl)
    domain = model.domains[0]
    index = domain.plane_index(hkl, model.positions)
    kept = _kept(model, index, keep, at, edge or {})
    if not kept.any():
        raise ImpossibleError(
            f"The cut {keep} plane {at:g} of {plane_label(hkl)} leaves nothing of {domain.name}: "
            f"its planes run from {index.min():.1f} to {index.max():.1f}."
        )
    return model.where(kept)


def _kept(
    model: Model, index: FloatArray, keep: Side, at: float, edge: Mapping[str, float | str]
) -> BoolArray:
    """Ions that stay, shape (N,): by their plane index, then by the cations they are bonded to."""
    kept = _side(index, keep, at)
    rules = {e: rule for word, rule in edge.items() for e in _named(model, word)}
    for element, rule in rules.items():
        if not isinstance(rule, str):
            chosen = _atoms_of(model, element)
            kept[chosen] = _side(index[chosen], keep, rule)
    for element, rule in rules.items():
        if isinstance(rule, str):
            (cation,) = _named(model, rule)[:1]
            chosen, removed = _atoms_of(model, element), _atoms_of(model, cation) & ~kept
            limit = _bond_limit(model.domains[0], element, cation)
            broken = coordination(model.positions[chosen], model.positions[removed], limit)
            kept[chosen] = broken == 0
    return kept


def _side(index: FloatArray, keep: Side, at: float) -> BoolArray:
    return np.asarray(index >= at - ON_PLANE if keep == "above" else index <= at + ON_PLANE)


def _named(model: Model, word: str) -> list[str]:
    """The elements a word means among the ions of the particle: itself, or all of a kind."""
    if word not in KINDS:
        return [word]
    return list(counts(model.numbers[KINDS[word](model.numbers, model.charges)]))


def _atoms_of(model: Model, element: str) -> BoolArray:
    found = np.asarray(model.numbers == number(element))
    if not found.any():
        raise InputError(
            f"Edge rule for {element}: {model.domains[0].name} has none; it is {model.formula}."
        )
    return found


def _bond_limit(domain: Domain, element: str, cation: str) -> float:
    """Å up to which the two elements count as bonded in this crystal."""
    limit = pair_limit(domain.crystal, element, cation)
    if limit is None:
        raise InputError(
            f"Edge rule {element} by its bonds to {cation}: {domain.crystal.name} has no such bond."
        )
    return limit
