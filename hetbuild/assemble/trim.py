"""Trimming: loose ions taken off a particle, by the bonds they have left."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from hetbuild.elements import symbol
from hetbuild.errors import ImpossibleError
from hetbuild.model import LedgerEntry, Model
from hetbuild.selection.language import parse_selection
from hetbuild.selection.places import Places, chosen


def loose_rules(fewer_than: int, elements: Sequence[str] = ()) -> tuple[str, ...]:
    """The rule for `trim` that ions of these elements, or all, need so many neighbours."""
    if not elements:
        return (f"bonds < {fewer_than}",)
    return (" or ".join(f"{e}, bonds < {fewer_than}" for e in elements),)


def trim(model: Model, domain: str, rules: Sequence[str]) -> Model:
    """Remove the ions that rules mean, by the first rule that finds any, until none does.

    rules: selections, as ``halide, bonds <= 1``; bonds count ions of opposite charge.

    Raises
    ------
    InputError
        A rule is no selection.
    ImpossibleError
        That removes the whole domain.
    """
    index = model.domain_named(domain)
    parsed = [parse_selection(rule) for rule in rules]
    while True:
        mine = np.flatnonzero(model.domain == index)
        places = Places.of(model, mine)
        found = ((rule, mine[chosen(rule, places)]) for rule in parsed)
        rule, loose = next(((r, a) for r, a in found if len(a)), (None, mine[:0]))
        if rule is None:
            return model
        if len(loose) == len(mine):
            raise ImpossibleError(f"Trimming by {str(rule)!r} would remove all of {domain}.")
        entries = [
            LedgerEntry("trim", "remove", symbol(n), domain, (x, y, z), str(rule))
            for n, (x, y, z) in zip(
                model.numbers[loose], model.positions[loose].tolist(), strict=True
            )
        ]
        keep = np.ones(len(model), dtype=bool)
        keep[loose] = False
        model = replace(model.where(keep), ledger=(*model.ledger, *entries))
