"""Interstitial sites of a domain's anions: which are free, and which of them cations take."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from hetbuild.arrays import BoolArray, FloatArray, IntArray
from hetbuild.balancing.anneal import ground_state
from hetbuild.crystal.bonds import FIRST_SHELL
from hetbuild.crystal.crystal import Crystal
from hetbuild.errors import ImpossibleError
from hetbuild.exchanging.insertion import Incoming, InsertionFloors, Staying, apart, nearest
from hetbuild.exchanging.topotaxy import STANDS_ON, Topotaxy, as_product
from hetbuild.geometry.contacts import coordination
from hetbuild.geometry.electrostatics import coulomb_energy, pair_coulomb, potential
from hetbuild.model import Domain, Model, kept_digits
from hetbuild.rounding import ALIKE

SITE_STEPS = 1e6
"""A place next to several anions is found from each of them: one place where fractional coordinates
agree to this part of a cell edge."""

RANDOM_FILLINGS = 20
"""Random choices of sites that the energy of those taken is compared with."""

INSIDE = 1 / 3
"""Part of the cation-anion distance that a cation may stand off the centre of its site: the sphere
in a tetrahedron has a third of the radius of the one around it."""

MANY_PLACES = 5_000
"""Sites above which their pair energies are not held, 8 bytes a pair."""


@dataclass(frozen=True, eq=False)
class Filling:
    """Free interstitial sites, and those of them that cations take."""

    places: FloatArray
    """Where cations stand on all free sites, Å, shape (H, 3)."""
    around: IntArray
    """Anions around each, shape (H,)."""
    taken: IntArray
    """Indices, shape (count,)."""
    energy: float
    """eV, of those among which energy decides."""
    centres: FloatArray
    """Centres of the sites, Å, shape (H, 3): the places, but for sites beside cations that stay."""

    @property
    def off_centre(self) -> BoolArray:
        """On which sites cations stand off the centre, shape (H,)."""
        return np.asarray((self.places != self.centres).any(axis=1))


@dataclass(frozen=True, eq=False)
class _Free:
    """Sites that cations may take."""

    places: FloatArray
    """Where a cation stands on each, Å, shape (H, 3)."""
    centres: FloatArray
    """Å, shape (H, 3)."""
    around: IntArray
    """Anions around each, shape (H,)."""
    rank: IntArray
    """Which are filled first, the highest, shape (H,): by anions; below 1 beside kept cations."""


def filling(
    model: Model,
    index: int,
    product: Crystal,
    way: Topotaxy,
    cation: Incoming,
    gone: FloatArray,
    floors: InsertionFloors | None,
    seed: int,
) -> Filling:
    """The sites that cations take, best-coordinated first, then by energy.

    As many as make up for those that leave or, where so many sites are not free, fewer, down to
    those that are not left out. gone: where the cations that leave stood, Å, shape (G, 3). Beside
    cations that stay, where a site's centre is too near to one of them, cations stand only if the
    other sites do not suffice.

    Raises
    ------
    ImpossibleError
        There are fewer sites than cations.
    """
    floors = floors or InsertionFloors()
    free, beside = _free_sites(model, index, product, way, cation.element, gone, floors)
    count = max(cation.count - cation.missing, min(cation.count, len(free.places)))
    if len(free.places) < count:
        free = _with_nearest(free, beside, count)
    if len(free.places) < count:
        raise ImpossibleError(
            f"{count} {cation.element} need interstitial sites of the anions of "
            f"{model.domains[index].name}, but only {len(free.places)} with two anions or more "
            f"have room (at {way.sites}, counted from an anion). Keep another part of the domain, "
            f"allow a contact shorter than {floors.kept:g} Å to cations that stay, or start from a "
            "domain with more anions at its surface."
        )
    taken, energy = _chosen(model, free, cation.charge, count, seed)
    return Filling(free.places, free.around, taken, energy, free.centres)


def _with_nearest(free: _Free, beside: _Free, count: int) -> _Free:
    """The free sites and, of those beside kept cations, the ones beside as few as suffices."""
    needed = min(count - len(free.places), len(beside.places))
    enough = beside.rank >= np.sort(beside.rank)[::-1][needed - 1] if needed else []
    names = [f.name for f in fields(free)]
    return _Free(*(np.concatenate([getattr(free, n), getattr(beside, n)[enough]]) for n in names))


def _chosen(
    model: Model, free: _Free, charge: int, count: int, seed: int
) -> tuple[IntArray, float]:
    """Indices of the sites that so many cations take, and the energy that decided among some."""
    places, rank = free.places, free.rank
    field = charge * potential(places, model.positions, model.charges)
    worst = np.sort(rank)[::-1][count - 1]
    first = np.flatnonzero(rank > worst)
    open_ = np.flatnonzero(rank == worst)
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
    return np.sort(np.concatenate([first, open_[choice.chosen]])), choice.energy


def below_chance(model: Model, found: Filling, charge: int, seed: int) -> float:
    """Coulomb energy of the sites taken, less the mean of random choices; eV a cation.

    Random choices are among all sites; where cations must stand off the centres of some, among
    those, the others being full, and cations are those on them. model: without the cations that
    come in. Of more than MANY_PLACES the mean is that over every choice there is.
    """
    off = found.off_centre
    pool = np.flatnonzero(off) if off.any() else np.arange(len(off))
    full = np.setdiff1d(found.taken, pool)
    taken = np.searchsorted(pool, np.setdiff1d(found.taken, full))
    count, places = len(taken), found.places[pool]
    charges = np.full(len(places), charge)
    field_ = charge * potential(places, model.positions, model.charges)
    if len(full):
        field_ += charge * potential(places, found.places[full], np.full(len(full), charge))
    if len(places) > MANY_PLACES:
        share = count * (count - 1) / (len(places) * (len(places) - 1))
        mean = count * float(field_.mean()) + share * coulomb_energy(places, charges)
        energy_ = float(field_[taken].sum())
        energy_ += coulomb_energy(places[taken], charges[taken])
        return (energy_ - mean) / count
    pair = pair_coulomb(places, charges)

    def energy(chosen: IntArray) -> float:
        return float(field_[chosen].sum() + 0.5 * pair[np.ix_(chosen, chosen)].sum())

    rng = np.random.default_rng(seed)
    chance = [energy(rng.permutation(len(charges))[:count]) for _ in range(RANDOM_FILLINGS)]
    return (energy(taken) - float(np.mean(chance))) / count


def _free_sites(
    model: Model,
    index: int,
    product: Crystal,
    way: Topotaxy,
    element: str,
    gone: FloatArray,
    floors: InsertionFloors,
) -> tuple[_Free, _Free]:
    """Sites with two anions or more: those free at their centres, and those beside kept cations.

    The latter share a face with the polyhedron of a cation that stays and with that of one that
    goes. A cation on them stands off the centre, away from the former, still inside the site.
    """
    frame = as_product(model.domains[index], product, way)
    stay = Staying.of(model, index, element, floors)
    own = model.positions[(model.domain == index) & (model.charges < 0)]
    centres, spread, bond = _site_places(frame, own)
    reach = FIRST_SHELL * bond + 2 * spread
    around = coordination(centres, stay.anions, reach)
    free = (around >= 2) & stay.clear(centres)
    here = _Free(centres[free], centres[free], around[free], around[free])
    centres = centres[(around >= 2) & ~free]
    # By no more than what it may stand off can it get away from the nearest.
    within = nearest(stay.others, centres) > floors.kept - INSIDE * bond
    centres = centres[within & (nearest(gone, centres) < floors.kept)]
    beside = _beside(centres, stay, reach, INSIDE * bond)
    clear = nearest(here.places, beside.places) > floors.like - ALIKE
    return here, _Free(*(getattr(beside, f.name)[clear] for f in fields(beside)))


def _beside(centres: FloatArray, stay: Staying, reach: float, inside: float) -> _Free:
    """Sites where a cation has room off the centre, beside the fewest kept cations first."""
    kept = coordination(centres, stay.others, stay.floors.kept - 2 * ALIKE)
    order = np.argsort(kept, kind="stable")
    centres, kept = centres[order], kept[order]
    places = stay.displaced(centres)
    around = coordination(places, stay.anions, reach)
    room = (np.linalg.norm(places - centres, axis=1) < inside) & (around >= 2)
    room &= stay.clear(places)
    room[room] = apart(places[room], stay.floors.like)
    return _Free(places[room], centres[room], around[room], 1 - kept[room])


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
    ideal, group = np.unique(
        np.rint(np.concatenate(found) * SITE_STEPS), axis=0, return_inverse=True
    )
    number_of = np.bincount(group.ravel())
    shift = np.stack([np.bincount(group.ravel(), m) for m in np.concatenate(moves).T], axis=-1)
    places = frame.cartesian(ideal.astype(np.float64) / SITE_STEPS) + shift / number_of[:, None]
    lengths = np.linalg.norm(bonds.vector @ frame.vectors, axis=1)
    spread = float(np.sqrt((drift[stands] ** 2).sum(axis=1).mean())) if stands.any() else 0.0
    return kept_digits(places), spread, float(lengths.min())
