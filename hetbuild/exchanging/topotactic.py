"""Topotactic exchange: cations take other interstitial sites of an anion sublattice that stays.

Parent and product are related by their anion sublattices alone: where these have one topology, the
product's cation sites, carried over to the parent's lattice, are the sites to fill.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from hetbuild.analyse.interface import measure_interface
from hetbuild.arrays import BoolArray, FloatArray, IntArray, Plane
from hetbuild.balancing.anneal import ground_state
from hetbuild.crystal.bonds import FIRST_SHELL
from hetbuild.crystal.crystal import Crystal
from hetbuild.crystal.lattice import Coincidence, Direction
from hetbuild.elements import counts, number, symbol
from hetbuild.errors import ImpossibleError, InputError
from hetbuild.exchanging.same_site import (
    Exchange,
    Lattice,
    on_lattice,
    oriented,
    principal_strains,
    renamed,
)
from hetbuild.exchanging.selection import select, share
from hetbuild.geometry.contacts import coordination
from hetbuild.geometry.electrostatics import pair_coulomb, potential
from hetbuild.model import Domain, Interface, LedgerEntry, Model, Role, kept_digits
from hetbuild.selection.order import spread_evenly

KEPT_PLANES = 5
"""Planes left at an interface: the PbS monolayer of the published CsPbCl3/Cu2S model."""

SAME_PLANE = 0.5
"""Plane indices within which cations of a relaxed model count as one plane."""

TOPOLOGY = 0.05
"""Relative misfit of neighbour shells above which two anion sublattices are not the same."""

NEIGHBOURS = 42
"""Neighbours compared: the first three shells of a close packing."""

STANDS_ON = 1.0
"""Å within which an atom stands on a site, relaxed and distorted models included."""


RANDOM_FILLINGS = 20
"""Random choices of sites that the energy of those taken is compared with."""


@dataclass(frozen=True, eq=False)
class _Filling:
    """Free interstitial sites, and those of them that cations take."""

    places: FloatArray
    """All free sites, Å, shape (H, 3)."""
    around: IntArray
    """Anions around each, shape (H,)."""
    taken: IntArray
    """Indices, shape (count,)."""
    energy: float
    """eV, of those among which energy decides."""


@dataclass(frozen=True, slots=True)
class InsertionFloors:
    """Shortest contacts of a cation that comes in, Å."""

    kept: float = 2.9
    """To cations that stay."""
    like: float = 2.4
    """To others that come in."""
    anion: float = 2.0


@dataclass(frozen=True, eq=False)
class Topotaxy:
    """How a product lies in its parent: x_parent = x_product @ axes + shift, fractional rows."""

    axes: FloatArray
    """Lattice vectors of the product in the parent's axes, rows, shape (3, 3)."""
    shift: FloatArray
    """Origin of the product's cell in the parent's axes, shape (3,)."""
    sites: str
    """The interstitial sites, by the place of its first site from an anion, parent's axes."""


def topotaxies(parent: Crystal, product: Crystal) -> tuple[Topotaxy, ...]:
    """The distinct ways in which a product's anion sublattice can be the parent's.

    They differ in which interstitial sites of it the cations take: both tetrahedral sets for Cu2S,
    one of two for ZnS. The way whose cell axes lie closest to the parent's comes first.

    Raises
    ------
    ImpossibleError
        The anion sublattices have different topologies; the text says how far apart they are.
    """
    misfit = shell_misfit(parent, product)
    a, b = (_anion_lattice(c) for c in (parent, product))
    if misfit > TOPOLOGY or a.space_group != b.space_group:
        raise ImpossibleError(
            f"The anion sublattices of {parent.name} ({a.space_group}) and {product.name} "
            f"({b.space_group}) do not match: their neighbour shells differ by up to "
            f"{100 * misfit:.1f} % of the anion spacing, {100 * TOPOLOGY:.0f} % is "
            "allowed. A topotactic product must share the parent's packing, as ccp with ccp; "
            "choose a product of that structure."
        )
    found: dict[tuple[int, ...], Topotaxy] = {}
    turns = [(np.linalg.inv(a.matrix) @ w @ b.matrix).T for w in b.rotations]
    for axes in sorted(turns, key=lambda t: _off_axes(t, parent, product)):
        for shift in _origins(parent, product, axes):
            sites = _cation_sites(parent, product, axes, shift)
            found.setdefault(_key(sites), Topotaxy(axes, shift, _site_name(parent, sites)))
    return tuple(found.values())


def shell_misfit(parent: Crystal, product: Crystal) -> float:
    """Largest difference of the anion-anion distances of two crystals, relative.

    Compared are the first 42 neighbours, in units of the cube root of the volume per anion over
    the nearest such distance: 0 for one packing, 0.18 between ccp and hcp.
    """
    first, second = _shells(parent), _shells(product)
    return float(np.abs(first[:, None] - second[None]).max(axis=2).min() / first.min())


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
    charge, best-coordinated sites first and by lowest Coulomb energy among equals. deficit: x of
    Cu(2-x)S, removed evenly afterwards. Where anions are displaced from their sites, each site
    follows the anions around it.

    Raises
    ------
    InputError
        Unknown domain, a deficit or fraction out of range, a product of several cations.
    ImpossibleError
        The anion sublattices do not match, or there are fewer sites than cations.
    """
    index = model.domain_named(domain)
    element, charge, per_unit = _cation(product)
    if not 0.0 <= deficit <= per_unit:
        most = f"{per_unit:g} {element}"
        raise InputError(f"deficit {deficit:g}: {product.name} can lack 0 to {most}.")
    leaving = _leaving(model, index, element, keep_planes, keep_thickness)
    atoms = _chosen(model, index, leaving, number(element), fraction, order, seed)
    if not len(atoms):
        return model, _nothing(model, index, product)
    rest = np.ones(len(model), dtype=bool)
    rest[atoms] = False
    put = (element, charge, int(model.charges[atoms].sum()) // charge)
    way, found = _best_way(model.where(rest), index, product, put, floors, seed)
    kept = found.taken[_without(found.places[found.taken], deficit / per_unit, seed)]
    changed = _with_product(model, index, product, way, rest, put[:2], found.places[kept])
    changed = renamed(changed, index, model.domains[index].crystal.name)
    if lattice == "product":
        goal = oriented(product.vectors, changed.domains[index].vectors)
        changed = on_lattice(changed, index, goal)
    stay = rest & (model.charges > 0) & (model.numbers != number(element))
    details = _details(found, kept, way, int((stay & (model.domain == index)).sum()))
    details["below_random"] = round(_below_chance(model.where(rest), found, charge, seed), 3)
    return changed, Exchange(
        domain=domain,
        product=product.name,
        taken=counts(model.numbers[atoms]),
        put={element: len(kept)},
        charge=changed.charge - model.charge,
        strain=principal_strains(changed.domains[index], product),
        details=details,
    )


def _best_way(
    model: Model,
    index: int,
    product: Crystal,
    cation: tuple[str, int, int],
    floors: InsertionFloors | None,
    seed: int,
) -> tuple[Topotaxy, _Filling]:
    """The way in which cations have most anions around them, then the lowest energy."""
    ways = topotaxies(model.domains[index].crystal, product)
    filled = [_filled(model, index, product, way, cation, floors, seed) for way in ways]
    best = min(
        range(len(ways)), key=lambda i: (-filled[i].around[filled[i].taken].sum(), filled[i].energy)
    )
    return ways[best], filled[best]


def _with_product(
    model: Model,
    index: int,
    product: Crystal,
    way: Topotaxy,
    rest: BoolArray,
    cation: tuple[str, int],
    places: FloatArray,
) -> Model:
    """The atoms of `rest` with the product's cations at these places; all of it in the ledger."""
    domain = model.domains[index]
    # As the product first: the cations that come in stand on its sites.
    changed = model.where(rest).with_domain(index, _described(domain, product, way))
    changed = _with_cations(changed, index, cation, places)
    removed = [
        _entry("remove", symbol(z), domain.name, r, "exchanged")
        for z, r in zip(model.numbers[~rest], model.positions[~rest], strict=True)
    ]
    why = "interstitial site of the anions"
    added = [_entry("add", cation[0], domain.name, r, why) for r in places]
    changed = replace(changed, ledger=(*model.ledger, *removed, *added))
    return _relabelled(changed, index, way)


def kept_layer(
    model: Model, index: int, atoms: IntArray, planes: int | None, thickness: float | None
) -> BoolArray:
    """Which cations lie in the layer next to the interface, shape (A,).

    Planes are counted from the outermost one at the interface, thickness from the same plane, both
    by the lattice sites of the cations: in a relaxed model the same ones stay as in the ideal one.

    Raises
    ------
    InputError
        Both limits given, a negative one, or one for a model without an interface.
    """
    if planes is not None and thickness is not None:
        raise InputError("Give keep_planes or keep_thickness, not both.")
    if (planes or 0) < 0 or (thickness or 0.0) < 0:
        raise InputError("The layer to keep cannot be negative.")
    if len(model.domains) < 2:
        if planes or thickness:
            raise InputError("There is no interface to keep a layer at: the model is one domain.")
        return np.zeros(len(atoms), dtype=bool)
    hkl, domain = interface_plane(model, index)
    if thickness is not None:
        limit = thickness / _spacing(domain, hkl) + 1e-6
    else:
        limit = (KEPT_PLANES if planes is None else planes) - SAME_PLANE
    height = domain.plane_index(hkl, model.lattice_positions[atoms]) * (1 if index == 1 else -1)
    return np.array(height > _outermost(height) - limit, dtype=np.bool_)


def interface_plane(model: Model, index: int) -> tuple[Plane, Domain]:
    """(hkl) of a domain at the interface and the frame it refers to.

    Raises
    ------
    ImpossibleError
        The model records no interface and its atoms show none.
    """
    if model.interface is not None:
        return model.interface.planes[index], model.domains[index]
    found = measure_interface(model)
    if found is None:
        raise ImpossibleError("No interface plane can be told from the atoms of this model.")
    return found.planes[index], found.domains[index]


def _spacing(domain: Domain, hkl: Plane) -> float:
    return float(1.0 / np.linalg.norm(np.linalg.inv(domain.vectors) @ np.asarray(hkl, float)))


def _outermost(height: FloatArray) -> float:
    """Mean height of the outermost plane; a third atom must be near it, so no stray one counts."""
    if not len(height):
        return 0.0
    ranked = np.sort(height)[::-1]
    third = ranked[min(2, len(ranked) - 1)]
    return float(ranked[np.abs(ranked - third) < SAME_PLANE].mean())


def _cation(product: Crystal) -> tuple[str, int, float]:
    """Element, charge and number per anion charge of -2 of the product's only cation."""
    kinds = np.unique(product.numbers[product.charges > 0])
    if len(kinds) != 1:
        named = ", ".join(symbol(int(z)) for z in kinds)
        raise InputError(f"{product.name} has the cations {named}; a product must have one.")
    z = int(kinds[0])
    charge = int(product.charges[product.numbers == z][0])
    return symbol(z), charge, 2.0 / charge


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


@dataclass(frozen=True, eq=False)
class _AnionLattice:
    """An anion sublattice standardised: x_standard = matrix @ x, plus a shift of origin."""

    matrix: FloatArray
    space_group: str
    rotations: IntArray
    """Proper rotations in standard axes."""


def _anion_lattice(crystal: Crystal) -> _AnionLattice:
    import spglib

    anions = crystal.charges < 0
    if not anions.any():
        raise InputError(f"{crystal.name} has no anions, so it has no anion sublattice.")
    sites = crystal.fractional[anions]
    spacing = (abs(np.linalg.det(crystal.vectors)) / anions.sum()) ** (1 / 3)
    cell = (crystal.vectors, sites, np.ones(len(sites)))
    data = spglib.get_symmetry_dataset(cell, symprec=TOPOLOGY * spacing)
    standard = (data.std_lattice, data.std_positions, data.std_types)
    group = spglib.get_symmetry_dataset(standard)
    proper = np.linalg.det(group.rotations) > 0
    return _AnionLattice(
        data.transformation_matrix,
        str(data.international),
        np.unique(group.rotations[proper], axis=0),
    )


def _origins(parent: Crystal, product: Crystal, axes: FloatArray) -> FloatArray:
    """Origins of the product, in the parent's axes, that put its anions on the parent's; (s, 3)."""
    targets = parent.fractional[parent.charges < 0]
    anions = product.fractional[product.charges < 0] @ axes
    shifts = targets - anions[0]
    placed = anions + shifts[:, None]
    apart = placed[:, :, None] - targets
    cells = apart @ np.linalg.inv(parent.primitive)
    off = (cells - np.rint(cells)) @ parent.primitive @ parent.vectors
    nearest = np.linalg.norm(off, axis=3).min(axis=2).max(axis=1)
    return np.asarray(shifts[nearest < STANDS_ON])


def _off_axes(axes: FloatArray, parent: Crystal, product: Crystal) -> float:
    """How far the product's cell axes point from the parent's; smaller is plainer."""
    placed = axes @ parent.vectors
    cosines = (placed * product.vectors).sum(axis=1) / (
        np.linalg.norm(placed, axis=1) * np.linalg.norm(product.vectors, axis=1)
    )
    return float(np.round(3.0 - cosines.sum(), 6))


def _cation_sites(
    parent: Crystal, product: Crystal, axes: FloatArray, shift: FloatArray
) -> FloatArray:
    """Distinct places modulo the parent's primitive lattice of the product's cations, (s, 3)."""
    cells = np.stack(np.meshgrid(*3 * [np.arange(-1, 2)], indexing="ij"), -1).reshape(-1, 1, 3)
    sites = (product.fractional[product.charges > 0] + cells).reshape(-1, 3) @ axes + shift
    primitive = np.round(sites @ np.linalg.inv(parent.primitive), 4) % 1.0
    return np.unique(np.round(primitive, 4) % 1.0, axis=0) @ parent.primitive


def _key(sites: FloatArray) -> tuple[int, ...]:
    return tuple(np.rint(sites.ravel() * 1e3).astype(int))


def _site_name(parent: Crystal, sites: FloatArray) -> str:
    """``1/4 1/4 1/4, 3/4 3/4 3/4`` from the parent's first anion, one for each site."""
    from fractions import Fraction

    away = (sites - parent.fractional[parent.charges < 0][0]) @ np.linalg.inv(parent.primitive)
    places = np.round(away % 1.0, 6) % 1.0 @ parent.primitive
    order = np.lexsort(np.round(places, 4).T[::-1])
    return ", ".join(
        " ".join(str(Fraction(float(x)).limit_denominator(24)) for x in places[i]) for i in order
    )


def _shells(crystal: Crystal) -> FloatArray:
    """Sorted distances to the nearest anions around each anion, reduced, shape (anions, 42)."""
    anions = crystal.fractional[crystal.charges < 0]
    scale = (abs(np.linalg.det(crystal.vectors)) / len(anions)) ** (1 / 3)
    reach = int(np.ceil(4.0 * scale / np.linalg.norm(crystal.vectors, axis=1).min())) + 1
    cells = np.stack(np.meshgrid(*3 * [np.arange(-reach, reach + 1)], indexing="ij"), -1)
    images = (cells.reshape(-1, 1, 3) + anions).reshape(-1, 3)
    apart = np.linalg.norm((images[None] - anions[:, None]) @ crystal.vectors, axis=2)
    return np.asarray(np.sort(apart, axis=1)[:, 1 : NEIGHBOURS + 1] / scale)


def _described(domain: Domain, product: Crystal, way: Topotaxy) -> Domain:
    """The domain as a crystal of the product."""
    vectors = way.axes @ domain.vectors
    datum = product.datum(None)
    corner = domain.cartesian(-domain.crystal.fractional[domain.datum])
    origin = corner + (way.shift + product.fractional[datum] @ way.axes) @ domain.vectors
    return Domain(domain.name, product, vectors, origin, datum)


def _relabelled(model: Model, index: int, way: Topotaxy) -> Model:
    """The interface in the product's axes; unchanged where they are the parent's."""
    found = model.interface
    if found is None or np.allclose(way.axes, np.eye(3), atol=1e-6):
        return model
    planes = list(found.planes)
    h, k, l = np.rint(way.axes @ np.asarray(planes[index], float) * 1.0).astype(int)  # noqa: E741
    planes[index] = (int(h), int(k), int(l))
    across = None if found.across is None else _turned(found.across, index, way)
    interface = Interface(
        found.domains,
        (planes[0], planes[1]),
        _turned(found.along, index, way),
        across,
        found.shift,
        found.gap,
    )
    return replace(model, interface=interface)


def _turned(pair: Coincidence, index: int, way: Topotaxy) -> Coincidence:
    ends = [pair.first, pair.second]
    ends[index] = Direction.of(ends[index].vector @ np.linalg.inv(way.axes))
    return Coincidence(ends[0], ends[1], pair.counts, pair.lengths)


def _filled(
    model: Model,
    index: int,
    product: Crystal,
    way: Topotaxy,
    cation: tuple[str, int, int],
    floors: InsertionFloors | None,
    seed: int,
) -> _Filling:
    """The sites that so many cations take, best-coordinated first, then by energy."""
    element, charge, count = cation
    places, around = _free_sites(model, index, product, way, element, floors or InsertionFloors())
    if len(places) < count:
        raise ImpossibleError(
            f"{count} {element} need interstitial sites of the anions of "
            f"{model.domains[index].name}, but only {len(places)} with two anions or more are free "
            f"(at {way.sites}, counted from an anion). Keep "
            "another part of the domain, or allow a shorter contact to cations that stay."
        )
    field = charge * potential(places, model.positions, model.charges)
    worst = np.sort(around)[::-1][count - 1]
    first = np.flatnonzero(around > worst)
    open_ = np.flatnonzero(around == worst)
    field[open_] += charge * potential(places[open_], places[first], np.full(len(first), charge))
    needed = count - len(first)
    pair = pair_coulomb(places[open_], np.full(len(open_), charge))
    conflict = np.zeros(pair.shape, dtype=bool)
    choice = ground_state(
        field[open_],
        pair,
        conflict,
        np.ones((len(open_), 1), np.int64),
        np.array([needed]),
        seed=seed,
    )
    taken = np.sort(np.concatenate([first, open_[choice.chosen]]))
    return _Filling(places, around, taken, choice.energy)


def _below_chance(model: Model, found: _Filling, charge: int, seed: int) -> float:
    """Coulomb energy of the sites taken, less the mean of random choices among all; eV a cation.

    model: without the cations that come in.
    """
    count = len(found.taken)
    charges = np.full(len(found.places), charge)
    field_ = charge * potential(found.places, model.positions, model.charges)
    pair = pair_coulomb(found.places, charges)

    def energy(chosen: IntArray) -> float:
        return float(field_[chosen].sum() + 0.5 * pair[np.ix_(chosen, chosen)].sum())

    rng = np.random.default_rng(seed)
    chance = [energy(rng.permutation(len(charges))[:count]) for _ in range(RANDOM_FILLINGS)]
    return (energy(found.taken) - float(np.mean(chance))) / count


def _free_sites(
    model: Model, index: int, product: Crystal, way: Topotaxy, element: str, floors: InsertionFloors
) -> tuple[FloatArray, IntArray]:
    """Free sites with two anions or more: places in Å, shape (H, 3), anions around each (H,)."""
    from scipy.spatial import cKDTree

    frame = _described(model.domains[index], product, way)
    anions = model.charges < 0
    places, spread, bond = _site_places(frame, model.positions[(model.domain == index) & anions])
    around = coordination(places, model.positions[anions], FIRST_SHELL * bond + 2 * spread)
    free = around >= 2
    like = (model.numbers == number(element)) & (model.domain == index)
    others = (model.charges > 0) & ~like
    for atoms, floor in ((others, floors.kept), (like, floors.like), (anions, floors.anion)):
        if atoms.any():
            free &= cKDTree(model.positions[atoms]).query(places)[0] > floor - 1e-6
    return places[free], around[free]


def _site_places(frame: Domain, anions: FloatArray) -> tuple[FloatArray, float, float]:
    """Every interstitial site next to an anion, moved along with the anions around it.

    Returns places in Å, shape (H, 3), the rms distance of the anions from their sites, and the
    ideal cation-anion distance, Å.
    """
    crystal = frame.crystal
    kinds = np.flatnonzero(crystal.charges < 0)
    fractional = frame.fractional(anions)[:, None] - frame.sites[kinds]
    cell = np.rint(fractional)
    away = (fractional - cell) @ frame.vectors
    kind = np.linalg.norm(away, axis=2).argmin(axis=1)
    rows = np.arange(len(anions))
    drift, site = away[rows, kind], (cell + frame.sites[kinds])[rows, kind]
    stands = np.linalg.norm(drift, axis=1) < STANDS_ON
    bonds = crystal.bonds
    found, moves = [np.empty((0, 3))], [np.empty((0, 3))]
    for i, s in enumerate(kinds):
        here = stands & (kind == i)
        steps = bonds.vector[bonds.site == s]
        found.append((site[here][:, None] + steps).reshape(-1, 3))
        moves.append(np.repeat(drift[here], len(steps), axis=0))
    ideal, group = np.unique(np.rint(np.concatenate(found) * 1e6), axis=0, return_inverse=True)
    number_of = np.bincount(group.ravel())
    shift = np.stack([np.bincount(group.ravel(), m) for m in np.concatenate(moves).T], axis=-1)
    places = frame.cartesian(ideal.astype(np.float64) / 1e6) + shift / number_of[:, None]
    lengths = np.linalg.norm(bonds.vector @ frame.vectors, axis=1)
    spread = float(np.sqrt((drift[stands] ** 2).sum(axis=1).mean())) if stands.any() else 0.0
    return kept_digits(places), spread, float(lengths.min())


def _without(places: FloatArray, missing: float, seed: int) -> IntArray:
    """Which of the cations stay when a share of them is missing, evenly."""
    count = share(missing, len(places))
    gone = spread_evenly(places, count, seed)
    return np.setdiff1d(np.arange(len(places)), gone)


def _with_cations(model: Model, index: int, cation: tuple[str, int], places: FloatArray) -> Model:
    n = len(places)
    return model.extended(
        numbers=np.full(n, number(cation[0])),
        positions=places,
        charges=np.full(n, cation[1]),
        domain=np.full(n, index),
        role=np.full(n, Role.LATTICE),
    )


def _details(found: _Filling, filled: IntArray, way: Topotaxy, kept: int) -> dict[str, Any]:
    """What the sites filled look like; those with fewer than three anions are listed."""
    places, around = found.places[filled], found.around[filled]
    kinds, number_of = np.unique(around, return_counts=True)
    return {
        "interstitial_sites": way.sites,
        "anions_around": {int(k): int(n) for k, n in zip(kinds, number_of, strict=True)},
        "at_surface": np.round(places[around < 3], 3).tolist(),
        "kept": kept,
        "missing": len(found.taken) - len(filled),
    }


def _entry(action: str, element: str, domain: str, place: FloatArray, reason: str) -> LedgerEntry:
    x, y, z = (float(c) for c in place)
    return LedgerEntry("exchange", action, element, domain, (x, y, z), reason)
