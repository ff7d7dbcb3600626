"""Join two oriented particles on a shared cation layer, at a registry, clear of each other."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from hetbuild.arguments import checked
from hetbuild.assemble.orientation import Orientation, check_between, coincidences
from hetbuild.assemble.registry import Registry
from hetbuild.errors import ImpossibleError
from hetbuild.frozen import own
from hetbuild.geometry.contacts import Floors, closest_contacts
from hetbuild.geometry.images import finite
from hetbuild.model import PER_ATOM, Domain, Interface, Model, Role, kept_digits

IMAGES = 6.0
"""Å around a cell in which images are looked at for contacts: farther than any floor."""

ROUNDED = 1e-3
"""Å by which a contact may miss its floor, or an ion its plane: cells and positions are rounded."""


@checked
def join(
    first: Model,
    second: Model,
    orientation: Orientation,
    registry: Registry,
    *,
    floors: Floors | None = None,
    shared_with: str | None = None,
    between: tuple[int, int] = (0, 0),
) -> Model:
    """One model of two aligned, anchored particles; the second displaced by `registry`.

    shared_with: name of the domain that owns the shared layer, the cations of the plane through the
    anchor. Joining with an empty particle gives the other one. floors: refuse a model whose domains
    collide; without them ions may, for `merge` and `settle` to resolve. between: as for `align`.

    Raises
    ------
    InputError
        `between` or `shared_with` means no domain.
    ImpossibleError
        Ions of the two domains are closer than `floors`.

    Examples
    --------
    >>> import hetbuild as hb
    >>> cube = hb.carve("CsPbCl3", [hb.Facet((1, 0, 0), 1)], site="Pb", name="perovskite")
    >>> salt = hb.carve("PbS", [hb.Facet((1, 0, 0), 2)], site="Pb", name="sulfide")
    >>> upper = hb.cut(cube, (1, 0, 0), keep="above", at=0)
    >>> lower = hb.cut(salt, (1, 0, 0), keep="below", at=-1)
    >>> parallel = hb.Orientation(((1, 0, 0), (1, 0, 0)), along=((0, 1, 0), (0, 1, 0)))
    >>> upper, lower = hb.anchored(*hb.align(upper, lower, parallel), ((0, 0, 0), (-0.5, 0.5, 0)))
    >>> hb.join(upper, lower, parallel, hb.Registry(0.4, 0.4, 0.0), floors=hb.Floors()).formulas
    {'perovskite': 'Cs4Pb18Cl33', 'sulfide': 'Pb122S121'}
    """
    check_between(first, second, between)
    placed = second.moved(np.eye(3), registry.vector)
    ends = first.domains[between[0]], placed.domains[between[1]]
    met = interface_of(*ends, orientation, registry)
    joined = _side_by_side(first, placed)
    joined = joined.with_interfaces((*first.interfaces, *placed.interfaces, met))
    if floors is not None:
        check_contacts(joined, floors, met)
    return joined if shared_with is None else _mark_shared(joined, shared_with, met)


def _side_by_side(first: Model, second: Model) -> Model:
    """The atoms and domains of both, those of the second counted on; without interfaces."""
    linked = (second.molecule > 0) * first.molecule.max(initial=0)
    counted = {
        "domain": (second.domain + len(first.domains)).astype(np.int8),
        "molecule": second.molecule + linked,
    }
    arrays: dict[str, Any] = {
        name: np.concatenate([getattr(first, name), counted.get(name, getattr(second, name))])
        for name in PER_ATOM
    }
    arrays["positions"][:] = kept_digits(arrays["positions"])
    return Model(
        **{name: own(array) for name, array in arrays.items()},
        domains=first.domains + second.domains,
        ledger=first.ledger + second.ledger,
    )


def interface_of(
    first: Domain, second: Domain, orientation: Orientation, registry: Registry
) -> Interface:
    """What the two frames share: planes, coincident directions, mismatches."""
    along, across = coincidences(first, second, orientation)
    return Interface(
        domains=(first.name, second.name),
        planes=orientation.planes,
        along=along,
        across=across,
        shift=(registry.along, registry.across),
        gap=registry.gap,
    )


def _mark_shared(model: Model, owner: str, met: Interface) -> Model:
    """Cations of the owner on the plane through the anchor, at z = 0 of the first domain."""
    index = model.domain_named(owner)
    level = 0.0 if owner == met.domains[0] else -met.gap
    role = model.role.copy()
    on_plane = np.abs(model.positions[:, 2] - level) < ROUNDED
    role[on_plane & (model.domain == index) & (model.charges > 0)] = Role.SHARED
    return replace(model, role=own(role))


def check_contacts(model: Model, floors: Floors, met: Interface | None = None) -> None:
    """Refuse a joined model whose domains collide, over the images of a periodic one.

    met: the interface that is looked at; default: that of the model.

    Raises
    ------
    ImpossibleError
        Ions of two domains are closer than `floors`.
    """
    met = met or model.interface
    if met is None:
        return
    around = finite(model, IMAGES)
    ends = [model.domain_named(name) for name in met.domains]
    first, second = model.domain == ends[0], around.domain == ends[1]
    contacts = closest_contacts(
        model.positions[first],
        model.charges[first],
        around.positions[second],
        around.charges[second],
    )
    bad = [c for c in contacts if c.distance < floors.by_kind[c.kind] - ROUNDED]
    if bad:
        listing = ", ".join(f"{c.kind} {c.distance:.2f} Å" for c in bad)
        along, across = met.shift
        raise ImpossibleError(
            f"{' and '.join(met.domains)}: at shift {along:g}/{across:g} Å and gap {met.gap:g} Å "
            f"the domains collide: {listing} (limits {floors.listed}). Use a wider gap or "
            "another shift, let the registry be searched, or merge and settle the interface "
            "(join.merge, join.settle)."
        )
