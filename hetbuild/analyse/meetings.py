"""Which domains of a model meet: those that were joined, or that touch in a file of others."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import numpy as np

from hetbuild.analyse.shells import shells
from hetbuild.geometry.bonds import COUNTED
from hetbuild.geometry.contacts import coordination
from hetbuild.geometry.shared import shared_between
from hetbuild.model import Model, Role

Pair = tuple[int, int]
"""Indices of two domains, the upper one first."""

TOUCHING = 3
"""Ions with an ion of opposite charge of the other domain beside them, at least, where two meet."""


def meetings(model: Model) -> tuple[Pair, ...]:
    """The pairs of domains between which there is an interface.

    As they were joined; two domains without a record always; of more those that touch. Shells have
    none.
    """
    if model.interfaces:
        a, b = zip(*(map(model.domain_named, i.domains) for i in model.interfaces), strict=True)
        return tuple(zip(a, b, strict=True))
    count = len(model.domains)
    if count == 2:
        return ((0, 1),)
    if shells(model):
        return ()
    return tuple(pair for pair in combinations(range(count), 2) if _touch(model, pair))


def of_pair(model: Model, pair: Pair) -> Model:
    """Two of the domains by themselves, with the interface between them: a model of two.

    What is shared with other domains is of the lattice here.
    """
    if len(model.domains) == 2 and pair == (0, 1):
        return model
    names = tuple(model.domains[i].name for i in pair)
    here = np.isin(model.domain, pair)
    role = model.role.copy()
    role[(role == Role.SHARED) & ~shared_between(model, *pair)] = Role.LATTICE
    alone = replace(model, role=role).where(here)
    return replace(
        alone,
        domain=(alone.domain == pair[1]).astype(model.domain.dtype),
        domains=(model.domains[pair[0]], model.domains[pair[1]]),
    ).with_interfaces([i for i in model.interfaces if i.domains == names])


def _touch(model: Model, pair: Pair) -> bool:
    """Whether enough ions of the first have one of opposite charge of the second beside them."""
    first, second = (model.domain == index for index in pair)
    beside = 0
    for sign in (-1, 1):
        mine = model.positions[first & (np.sign(model.charges) == sign)]
        theirs = model.positions[second & (np.sign(model.charges) == -sign)]
        beside += int((coordination(mine, theirs, COUNTED) > 0).sum())
    return beside >= TOUCHING
