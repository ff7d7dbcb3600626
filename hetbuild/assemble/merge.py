"""Merge: where two lattices put an ion of the same sign into one place, one of the two stays."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from hetbuild.elements import symbol
from hetbuild.errors import InputError
from hetbuild.geometry.images import finite
from hetbuild.model import LedgerEntry, Model

WITHIN = 1.5
"""Å between two ions of one sign that are one place: well below half the shortest distance
between like ions of either crystal, so that no ion has two partners."""


@dataclass(frozen=True, slots=True)
class Merging:
    """Which ion stays where both lattices have one."""

    keep: str
    """Domain whose ion stays, on its own site; that of the other domain goes."""
    within: float = WITHIN
    """Two ions of the same sign closer than this are in one place, Å."""

    def __post_init__(self) -> None:
        if not 0.0 < self.within < np.inf:
            raise InputError(
                f"Merging within {self.within:g} Å: give a distance above 0, as {WITHIN:g}."
            )


def merge(model: Model, rule: Merging, other: str | None = None) -> Model:
    """A joined model without the ions that stand where the other lattice has an ion of their sign.

    other: name of the domain whose ions go; default: all but the one that is kept. Every ion that
    goes is entered in the ledger. Images count in a periodic model.

    Raises
    ------
    InputError
        No such domain, or a distance at which an ion would have several partners.
    """
    from scipy.spatial import cKDTree

    stays = model.domain == model.domain_named(rule.keep)
    gives = ~stays if other is None else model.domain == model.domain_named(other)
    around = finite(model, rule.within + 1.0)
    gone = np.zeros(len(model), dtype=bool)
    for sign in (-1, 1):
        yields = np.flatnonzero(gives & (np.sign(model.charges) == sign))
        holds = np.flatnonzero(np.resize(stays, len(around)) & (np.sign(around.charges) == sign))
        if not len(yields) or not len(holds):
            continue
        pairs = cKDTree(model.positions[yields]).sparse_distance_matrix(
            cKDTree(around.positions[holds]), rule.within, output_type="ndarray"
        )
        # Images of one ion are one partner, wherever two others meet them.
        _check_single(pairs["i"], holds[pairs["j"]] % len(model), rule)
        gone[yields[pairs["i"]]] = True
    reason = f"{rule.keep} has an ion of this sign in the same place"
    entries = [
        LedgerEntry("merge", "remove", symbol(z), model.domains[d].name, (x, y, w), reason)
        for z, d, (x, y, w) in zip(
            model.numbers[gone].tolist(),
            model.domain[gone].tolist(),
            model.positions[gone].tolist(),
            strict=True,
        )
    ]
    return replace(model.where(~gone), ledger=(*model.ledger, *entries))


def merged_pair(first: Model, second: Model, rule: Merging) -> tuple[Model, Model]:
    """Two particles that face each other, without the ions that `merge` would take from them.

    The one with a domain of the rule's name stays whole.
    """
    from scipy.spatial import cKDTree

    turned = rule.keep in [d.name for d in first.domains]
    yields, holds = (second, first) if turned else (first, second)
    gone = np.zeros(len(yields), dtype=bool)
    for sign in (-1, 1):
        mine = np.flatnonzero(np.sign(yields.charges) == sign)
        theirs = holds.positions[np.sign(holds.charges) == sign]
        if len(mine) and len(theirs):
            gone[mine] = cKDTree(theirs).query(yields.positions[mine])[0] <= rule.within
    left = yields.where(~gone)
    return (holds, left) if turned else (left, holds)


def _check_single(
    yields: np.ndarray[tuple[int], np.dtype[np.intp]],
    holds: np.ndarray[tuple[int], np.dtype[np.intp]],
    rule: Merging,
) -> None:
    if len(np.unique(yields)) < len(yields) or len(np.unique(holds)) < len(holds):
        raise InputError(
            f"Within {rule.within:g} Å an ion has several partners to merge with: {WITHIN:g} Å, "
            "the default, tells one place from two. Make join.merge.within smaller."
        )
