"""Interstitial sites of a domain's anions: which are free, and which of them cations take."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hetbuild.arrays import FloatArray, IntArray
from hetbuild.balancing.anneal import ground_state
from hetbuild.crystal.bonds import FIRST_SHELL
from hetbuild.crystal.crystal import Crystal
from hetbuild.elements import number
from hetbuild.errors import ImpossibleError
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

MANY_PLACES = 5_000
"""Sites above which their pair energies are not held, 8 bytes a pair."""


@dataclass(frozen=True, eq=False)
class Filling:
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


def filling(
    model: Model,
    index: int,
    product: Crystal,
    way: Topotaxy,
    cation: tuple[str, int, int],
    floors: InsertionFloors | None,
    seed: int,
) -> Filling:
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
    return Filling(places, around, taken, choice.energy)


def below_chance(model: Model, found: Filling, charge: int, seed: int) -> float:
    """Coulomb energy of the sites taken, less the mean of random choices among all; eV a cation.

    model: without the cations that come in. Of more than MANY_PLACES the mean is that over every
    choice there is.
    """
    count, places = len(found.taken), found.places
    charges = np.full(len(places), charge)
    field_ = charge * potential(places, model.positions, model.charges)
    if len(places) > MANY_PLACES:
        share = count * (count - 1) / (len(places) * (len(places) - 1))
        mean = count * float(field_.mean()) + share * coulomb_energy(places, charges)
        taken = float(field_[found.taken].sum())
        taken += coulomb_energy(places[found.taken], charges[found.taken])
        return (taken - mean) / count
    pair = pair_coulomb(places, charges)

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

    frame = as_product(model.domains[index], product, way)
    anions = model.charges < 0
    places, spread, bond = _site_places(frame, model.positions[(model.domain == index) & anions])
    around = coordination(places, model.positions[anions], FIRST_SHELL * bond + 2 * spread)
    free = around >= 2
    like = (model.numbers == number(element)) & (model.domain == index)
    others = (model.charges > 0) & ~like
    for atoms, floor in ((others, floors.kept), (like, floors.like), (anions, floors.anion)):
        if atoms.any():
            free &= cKDTree(model.positions[atoms]).query(places)[0] > floor - ALIKE
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
    ideal, group = np.unique(
        np.rint(np.concatenate(found) * SITE_STEPS), axis=0, return_inverse=True
    )
    number_of = np.bincount(group.ravel())
    shift = np.stack([np.bincount(group.ravel(), m) for m in np.concatenate(moves).T], axis=-1)
    places = frame.cartesian(ideal.astype(np.float64) / SITE_STEPS) + shift / number_of[:, None]
    lengths = np.linalg.norm(bonds.vector @ frame.vectors, axis=1)
    spread = float(np.sqrt((drift[stands] ** 2).sum(axis=1).mean())) if stands.any() else 0.0
    return kept_digits(places), spread, float(lengths.min())
