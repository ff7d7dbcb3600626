"""Etching: a domain dissolves and the other is left, with what the interface gave it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from hetbuild.elements import counts, formula, symbol
from hetbuild.errors import ImpossibleError
from hetbuild.model import LedgerEntry, Model, Role


@dataclass(frozen=True, slots=True)
class Etching:
    """What an etching did."""

    removed: str
    """Formula of what dissolved."""
    inherited: str
    """Formula of the shared layer that stayed, empty where there was none."""
    charge: int
    """Change of formal charge, e."""


def etch(model: Model, domain: str, *, keep_shared: bool = True) -> tuple[Model, Etching]:
    """Remove a domain; shared cations that the others are bonded to stay and join them.

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
    stays = mine & (model.role == Role.SHARED) if keep_shared else np.zeros_like(mine)
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
    )
    return left, Etching(
        removed=formula(counts(model.numbers[gone])),
        inherited=formula(counts(model.numbers[stays])),
        charge=left.charge - model.charge,
    )
