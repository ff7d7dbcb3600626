"""Topotactic exchange: cations take other interstitial sites of an anion sublattice that stays.

Parent and product are related by their anion sublattices alone: where these have one topology, the
product's cation sites, carried over to the parent's lattice, are the sites to fill.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from hetbuild.arrays import BoolArray, FloatArray, IntArray
from hetbuild.crystal.crystal import Crystal
from hetbuild.elements import counts, number, symbol
from hetbuild.errors import ImpossibleError, InputError
from hetbuild.exchanging.insertion import Incoming, InsertionFloors
from hetbuild.exchanging.interface_layer import kept_layer
from hetbuild.exchanging.interstitial import Filling, below_chance, filling
from hetbuild.exchanging.same_site import (
    Exchange,
    Lattice,
    on_lattice,
    oriented,
    principal_strains,
    renamed,
)
from hetbuild.exchanging.selection import select, share
from hetbuild.exchanging.topotaxy import Topotaxy, as_product, relabelled, topotaxies
from hetbuild.frozen import own
from hetbuild.model import LedgerEntry, Model, Role
from hetbuild.selection.order import spread_evenly


def exchange_cations(
    model: Model,
    domain: str,
    product: Crystal,
    *,
    keep_planes: int | None = None,
    keep_thickness: float | None = None,
    fraction: float = 1.0,
    order: str = "outermost first",
    deficit: float = 0.0,
    seed: int = 0,
    lattice: Lattice = "keep",
    floors: InsertionFloors | None = None,
) -> tuple[Model, Exchange]:
    """Exchange the cations of a domain for those of a product, on interstitial sites of its anions.

    keep_planes: cation planes next to the interface that stay, default 5; keep_thickness: the
    same in Å. Of the others the `fraction` chosen by `order` leaves. Cations come in to the same
    charge, best-coordinated sites first and by lowest Coulomb energy among equals; where these do
    not suffice, off the centre of sites that share a face with the polyhedron of a cation that
    stays, as far from it as the floor. deficit: x of Cu(2-x)S, removed evenly afterwards. Where
    anions are displaced from their sites, each site follows the anions around it.

    Raises
    ------
    InputError
        Unknown domain, a deficit or fraction out of range, a product of several cations.
    ImpossibleError
        The anion sublattices do not match, or there are fewer sites than cations.
    """
    index = model.domain_named(domain)
    element, charge, per_unit = check_product(product, deficit)
    leaving = _leaving(model, index, element, keep_planes, keep_thickness)
    atoms = _chosen(model, index, leaving, number(element), fraction, order, seed)
    if not len(atoms):
        return model, _nothing(model, index, product)
    rest = ~np.isin(np.arange(len(model)), atoms)
    count = int(model.charges[atoms].sum()) // charge
    put = Incoming(element, charge, count, share(deficit / per_unit, count))
    left = model.where(rest)
    way, found = _best_way(left, index, product, put, model.positions[atoms], floors, seed)
    kept = _without(found, len(found.taken) - count + put.missing, seed)
    changed = _with_product(model, index, product, way, rest, put, found, kept)
    if lattice == "product":
        changed = _with_lattice_of(product, changed, index)
    return changed, Exchange(
        domain=domain,
        product=product.name,
        taken=counts(model.numbers[atoms]),
        put={element: len(kept)},
        charge=changed.charge - model.charge,
        strain=principal_strains(changed.domains[index], product),
        details=_details(left, index, put, way, found, kept, seed),
    )


def _best_way(
    model: Model,
    index: int,
    product: Crystal,
    cation: Incoming,
    gone: FloatArray,
    floors: InsertionFloors | None,
    seed: int,
) -> tuple[Topotaxy, Filling]:
    """The way in which cations have most anions around them, then the lowest energy."""
    found: list[tuple[Topotaxy, Filling]] = []
    for way in topotaxies(model.domains[index].crystal, product):
        try:
            found.append((way, filling(model, index, product, way, cation, gone, floors, seed)))
        except ImpossibleError as error:
            refused = error
    if not found:
        raise refused
    return min(found, key=lambda f: (-f[1].around[f[1].taken].sum(), f[1].energy))


def _with_product(
    model: Model,
    index: int,
    product: Crystal,
    way: Topotaxy,
    rest: BoolArray,
    cation: Incoming,
    found: Filling,
    filled: IntArray,
) -> Model:
    """The atoms of `rest` with the product's cations on these sites; all of it in the ledger."""
    domain = model.domains[index]
    # As the product first: the cations that come in stand on its sites.
    changed = model.where(rest).with_domain(index, as_product(domain, product, way))
    changed = _with_cations(changed, index, cation, found.places[filled], found.centres[filled])
    removed = [
        _entry("remove", symbol(z), domain.name, r, "exchanged")
        for z, r in zip(model.numbers[~rest], model.positions[~rest], strict=True)
    ]
    why = ("interstitial site of the anions", "the same, off its centre, away from cations kept")
    added = [
        _entry("add", cation.element, domain.name, r, why[int(off)])
        for r, off in zip(found.places[filled], found.off_centre[filled], strict=True)
    ]
    changed = replace(changed, ledger=(*model.ledger, *removed, *added))
    return renamed(relabelled(changed, index, way), index, domain.crystal.name)


def _with_lattice_of(product: Crystal, model: Model, index: int) -> Model:
    """A domain strained to a product's constants, turned as little as can be."""
    return on_lattice(model, index, oriented(product.vectors, model.domains[index].vectors))


def check_product(product: Crystal, deficit: float) -> tuple[str, int, float]:
    """Element, charge and number per anion charge of -2 of the product's only cation.

    Raises
    ------
    InputError
        It has several cations, or cannot lack so many of its one.
    """
    kinds = np.unique(product.numbers[product.charges > 0])
    if len(kinds) != 1:
        named = ", ".join(symbol(int(z)) for z in kinds)
        raise InputError(f"{product.name} has the cations {named}; a product must have one.")
    z = int(kinds[0])
    charge = int(product.charges[product.numbers == z][0])
    element, per_unit = symbol(z), 2.0 / charge
    if not 0.0 <= deficit <= per_unit:
        most = f"{per_unit:g} {element}"
        raise InputError(f"deficit {deficit:g}: {product.name} can lack 0 to {most}.")
    return element, charge, per_unit


def _leaving(
    model: Model, index: int, element: str, planes: int | None, thickness: float | None
) -> BoolArray:
    """Cations of the domain, foreign to the product, that the kept layer leaves open; (N,)."""
    result = (model.domain == index) & (model.charges > 0) & (model.numbers != number(element))
    atoms = np.flatnonzero(result)
    result[atoms[kept_layer(model, index, atoms, planes, thickness)]] = False
    if not result.any() and not (model.numbers[model.domain == index] == number(element)).any():
        name = model.domains[index].name
        raise InputError(f"{name} has no cation to exchange for {element}: all of them are kept.")
    return np.asarray(result)


def _chosen(
    model: Model,
    index: int,
    leaving: BoolArray,
    z: int,
    fraction: float,
    order: str,
    seed: int,
) -> IntArray:
    """Cations that leave, so that `fraction` of the charge outside the kept layer is exchanged."""
    atoms = np.flatnonzero(leaving)
    if not len(atoms):
        return atoms
    done = model.charges[(model.domain == index) & (model.numbers == z)].sum()
    already = int(np.rint(done / model.charges[atoms].mean()))
    wanted = share(fraction, len(atoms) + already) - already
    return select(model, atoms, max(wanted, 0), order, seed)


def _nothing(model: Model, index: int, product: Crystal) -> Exchange:
    domain = model.domains[index]
    return Exchange(domain.name, domain.crystal.name, {}, {}, 0, principal_strains(domain, product))


def _without(found: Filling, missing: int, seed: int) -> IntArray:
    """Sites still taken when so many of the cations are left out, evenly."""
    gone = spread_evenly(found.places[found.taken], missing, seed)
    return np.delete(found.taken, gone)


def _with_cations(
    model: Model,
    index: int,
    cation: Incoming,
    places: FloatArray,
    centres: FloatArray,
) -> Model:
    n = len(places)
    on_sites = model.extended(
        numbers=np.full(n, number(cation.element)),
        positions=centres,
        charges=np.full(n, cation.charge),
        domain=np.full(n, index),
        role=np.full(n, Role.LATTICE),
    )
    return replace(on_sites, positions=own(np.concatenate([model.positions, places])))


def _details(
    left: Model,
    index: int,
    cation: Incoming,
    way: Topotaxy,
    found: Filling,
    filled: IntArray,
    seed: int,
) -> dict[str, Any]:
    """What the sites filled look like; those with fewer than three anions are listed."""
    others = (left.domain == index) & (left.charges > 0) & (left.numbers != number(cation.element))
    places, around = found.places[filled], found.around[filled]
    kinds, number_of = np.unique(around, return_counts=True)
    off = np.linalg.norm(places - found.centres[filled], axis=1)[found.off_centre[filled]]
    shifted = {"count": len(off), "largest": round(float(off.max()), 3)} if len(off) else None
    return {
        "interstitial_sites": way.sites,
        "anions_around": {int(k): int(n) for k, n in zip(kinds, number_of, strict=True)},
        "at_surface": np.round(places[around < 3], 3).tolist(),
        "kept": int(others.sum()),
        "missing": cation.count - len(filled),
        "below_random": round(below_chance(left, found, cation.charge, seed), 3),
    } | ({} if shifted is None else {"off_centre": shifted})


def _entry(action: str, element: str, domain: str, place: FloatArray, reason: str) -> LedgerEntry:
    x, y, z = (float(c) for c in place)
    return LedgerEntry("exchange", action, element, domain, (x, y, z), reason)
