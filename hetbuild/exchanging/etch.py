"""Etching: a domain dissolves and the other is left, with what the interface gave it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product
from typing import Literal

import numpy as np

from hetbuild.arrays import BoolArray, IntArray
from hetbuild.elements import counts, formula, number, symbol
from hetbuild.errors import ImpossibleError
from hetbuild.geometry.bonds import ionic_limit
from hetbuild.geometry.contacts import coordination
from hetbuild.geometry.shared import shared_by
from hetbuild.model import LedgerEntry, Model, Role

Shared = Literal["bonded", "keep", "drop"]

HELD = 3
"""Bonds to anions of the remaining domain with which a cation of the shared layer stays."""


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
        It is the only one, or holds others together.
    """
    index = model.domain_named(domain)
    if len(model.domains) < 2:
        raise ImpossibleError(f"{domain} is the only domain: etching it would leave nothing.")
    _check_whole(model, index)
    mine = model.domain == index
    layer = mine & (model.role == Role.SHARED)
    stays, heir = _stays(model, index, shared)
    stays &= layer
    gone = mine & ~stays
    left = _without(model, index, gone, heir)
    return left, Etching(
        removed=formula(counts(model.numbers[gone])),
        layer=formula(counts(model.numbers[layer])),
        inherited=formula(counts(model.numbers[stays])),
        charge=left.charge - model.charge,
    )


def _without(model: Model, index: int, gone: BoolArray, heir: IntArray) -> Model:
    """The model without a domain. gone: ions that leave; heir: whose others become; (N,)."""
    domain = model.domains[index].name
    role = model.role.copy()
    # What is left of its layers is of one domain now.
    role[shared_by(model, index)] = Role.LATTICE
    entries = [
        LedgerEntry("etch", "remove", symbol(z), domain, (x, y, w), "dissolved")
        for z, (x, y, w) in zip(model.numbers[gone], model.positions[gone].tolist(), strict=True)
    ]
    owner = np.where(model.domain == index, heir, model.domain)
    left = replace(model, role=role, domain=(owner - (owner > index)).astype(model.domain.dtype))
    left = left.where(~gone)
    left = replace(
        left,
        domains=tuple(d for i, d in enumerate(model.domains) if i != index),
        ledger=(*model.ledger, *entries),
        # Sites of the domain that is gone are none of those that are left.
        site=np.where(model.domain[~gone] == index, -1, left.site),
    )
    return left.with_interfaces([i for i in model.interfaces if domain not in i.domains])


def _check_whole(model: Model, index: int) -> None:
    """Refuse to take out what holds the other domains together."""
    name = model.domains[index].name
    neighbours = sorted({n for i in model.interfaces if name in i.domains for n in i.domains})
    if len(neighbours) > 2:
        neighbours.remove(name)
        raise ImpossibleError(
            f"{name} holds {', '.join(neighbours)} together: without it they are separate "
            "particles. Etch what is at the ends, or build each by itself."
        )


def _stays(model: Model, index: int, shared: Shared) -> tuple[BoolArray, IntArray]:
    """Which atoms may join another domain than this, and which that is; shapes (N,).

    It is the one most of whose anions are bonded to the atom.
    """
    others = [i for i in range(len(model.domains)) if i != index]
    held = np.array([_held(model, heir) for heir in others])
    heir = np.array(others)[held.argmax(axis=0)]
    if shared != "bonded":
        return np.full(len(model), shared == "keep"), heir
    return held.max(axis=0) >= HELD, heir


def _held(model: Model, heir: int) -> IntArray:
    """Anions of a domain that are bonded to each cation, shape (N,)."""
    held = np.zeros(len(model), dtype=np.int64)
    for cation, anion in product(*(_elements(model, sign) for sign in (1, -1))):
        limit = ionic_limit(cation, anion)
        if limit is None:
            continue
        mine = (model.numbers == number(cation)) & (model.charges > 0)
        anions = (model.domain == heir) & (model.numbers == number(anion)) & (model.charges < 0)
        held[mine] += coordination(model.positions[mine], model.positions[anions], limit)
    return held


def _elements(model: Model, sign: int) -> list[str]:
    """Elements of the ions of this sign."""
    return [symbol(z) for z in np.unique(model.numbers[np.sign(model.charges) == sign])]
