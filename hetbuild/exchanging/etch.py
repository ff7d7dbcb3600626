"""Etching: a domain dissolves and the other is left, with what the interface gave it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product
from typing import Literal

import numpy as np

from hetbuild.arrays import BoolArray
from hetbuild.elements import counts, formula, number, symbol
from hetbuild.errors import ImpossibleError
from hetbuild.geometry.bonds import ionic_limit
from hetbuild.geometry.contacts import coordination
from hetbuild.model import LedgerEntry, Model, Role

Shared = Literal["bonded", "keep", "drop"]

HELD = 3
"""Anions of what is left that hold a cation of the shared layer."""


@dataclass(frozen=True, slots=True)
class Etching:
    """What an etching did."""

    removed: str
    """Formula of what dissolved."""
    layer: str
    """Formula of its shared layer, empty where it had none."""
    inherited: str
    """Formula of what stayed of that."""
    charge: int
    """Change of formal charge, e."""


def etch(model: Model, domain: str, *, shared: Shared = "bonded") -> tuple[Model, Etching]:
    """Remove a domain. shared: which cations of its shared layer stay, and join the other domain:
    those ``bonded`` to three anions of it or more, all (``keep``), or none (``drop``).

    Raises
    ------
    InputError
        No such domain.
    ImpossibleError
        It is the only one.
    """
    index = model.domain_named(domain)
    if len(model.domains) < 2:
        raise ImpossibleError(f"{domain} is the only domain: etching it would leave nothing.")
    mine = model.domain == index
    layer = mine & (model.role == Role.SHARED)
    stays = layer & _stays(model, 1 - index, shared)
    gone = mine & ~stays
    role = model.role.copy()
    role[model.role == Role.SHARED] = Role.LATTICE
    entries = [
        LedgerEntry("etch", "remove", symbol(z), domain, (x, y, w), "dissolved")
        for z, (x, y, w) in zip(model.numbers[gone], model.positions[gone].tolist(), strict=True)
    ]
    left = replace(model, role=role, domain=np.zeros_like(model.domain)).where(~gone)
    left = replace(
        left,
        domains=(model.domains[1 - index],),
        interface=None,
        ledger=(*model.ledger, *entries),
        # Sites of the domain that is gone are none of the one that is left.
        site=np.where(model.domain[~gone] == index, -1, left.site),
    )
    return left, Etching(
        removed=formula(counts(model.numbers[gone])),
        layer=formula(counts(model.numbers[layer])),
        inherited=formula(counts(model.numbers[stays])),
        charge=left.charge - model.charge,
    )


def _stays(model: Model, heir: int, shared: Shared) -> BoolArray:
    """Which atoms may join the heir, shape (N,)."""
    if shared != "bonded":
        return np.full(len(model), shared == "keep")
    held = np.zeros(len(model), dtype=np.int64)
    for cation, anion in product(*(_elements(model, sign) for sign in (1, -1))):
        limit = ionic_limit(cation, anion)
        if limit is None:
            continue
        mine = (model.numbers == number(cation)) & (model.charges > 0)
        anions = (model.domain == heir) & (model.numbers == number(anion)) & (model.charges < 0)
        held[mine] += coordination(model.positions[mine], model.positions[anions], limit)
    return held >= HELD


def _elements(model: Model, sign: int) -> list[str]:
    """Elements of the ions of this sign."""
    return [symbol(z) for z in np.unique(model.numbers[np.sign(model.charges) == sign])]
