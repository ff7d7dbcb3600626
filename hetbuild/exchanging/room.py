"""Room for molecules on their sites: orientations that keep clear of the rest and of each other."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from hetbuild.arrays import BoolArray, FloatArray, IntArray
from hetbuild.elements import number
from hetbuild.errors import ImpossibleError
from hetbuild.exchanging.molecule import Molecule
from hetbuild.model import Model, kept_digits

TURNS = 128
"""Orientations tried on each site."""

TILT = 90.0
"""Degrees by which an aligned molecule may lean, further with every try, where there is no room."""

H_FLOORS: Mapping[str, float] = {"anion": 2.0, "cation": 2.3, "H": 1.9, "heavy": 2.4}
"""Å an H keeps from others: H...Cl of N-H...Cl is 2.2 to 2.6 Å, Steiner, doi
10.1002/1521-3773(20020104)41:1<48::AID-ANIE48>3.0.CO;2-U."""

HEAVY_FLOORS: Mapping[str, float] = {"anion": 2.9, "cation": 3.0, "H": 2.4, "heavy": 2.9}
"""Å a C or N keeps from others."""

ANION_FLOORS: Mapping[str, float] = {"anion": 3.0, "cation": 2.2, "H": 2.0, "heavy": 2.9}
"""Å an atom other than H of a molecular anion keeps: Pb-O of carboxylates is 2.3 to 2.7 Å."""

OFF_SITE = 2.0
"""Å that the centre of a molecule may stand off its site where no orientation on the site keeps the
floors, as beside an interface."""

OFF_SITE_TRIES = 64
"""Places off the site that are tried, each with TURNS orientations."""


def placed(
    model: Model,
    index: int,
    sites: FloatArray,
    molecule: Molecule,
    seed: int,
    along: tuple[float, float, float] | None,
) -> FloatArray:
    """Atoms of a molecule on each site, clear of the rest and of each other; (S, n, 3), Å."""
    axis = None if along is None else np.asarray(along, float) @ model.domains[index].vectors
    orientations = _orientations(len(sites), axis, seed)
    trial = np.einsum("skij,nj->skni", orientations, molecule.positions) + sites[:, None, None]
    allowed = _clear(model, trial, molecule)
    for site in np.flatnonzero(~allowed.any(axis=1)):
        beside = _beside(model, sites[site], molecule, (axis, seed + int(site)))
        trial[site, : len(beside)], allowed[site, : len(beside)] = beside, True
    if not allowed.any(axis=1).all():
        worst = sites[~allowed.any(axis=1)][0]
        raise ImpossibleError(_no_room(molecule, worst, np.asarray(~allowed.any(axis=1))))
    rows = np.arange(len(sites))
    for _ in range(TURNS):
        tried = allowed.argmax(axis=1)
        places = trial[rows, tried]
        clash = _clashing(places, molecule)
        if not clash.any():
            return kept_digits(places)
        allowed[clash, tried[clash]] = False
        if not allowed.any(axis=1).all():
            break
    worst = sites[clash][0]
    raise ImpossibleError(_no_room(molecule, worst, np.asarray(clash)))


def _beside(
    model: Model, site: FloatArray, molecule: Molecule, how: tuple[FloatArray | None, int]
) -> FloatArray:
    """Up to TURNS ways to stand clear off a site that is hemmed in, nearest first; (T, n, 3), Å.

    how: lattice direction in Å that the molecule points along, or None; seed.
    """
    axis, seed = how
    orientations = np.concatenate(_orientations(OFF_SITE_TRIES, axis, seed))
    away = np.random.default_rng(seed).normal(size=(len(orientations), 3))
    away /= np.linalg.norm(away, axis=1, keepdims=True)
    length = np.linspace(0.0, OFF_SITE, len(orientations))[:, None]
    trial = (
        np.einsum("kij,nj->kni", orientations, molecule.positions) + (site + length * away)[:, None]
    )
    return np.asarray(trial[_clear(model, trial[None], molecule)[0]][:TURNS])


def _no_room(molecule: Molecule, site: FloatArray, full: BoolArray) -> str:
    x, y, z = site
    count = int(full.sum())
    return (
        f"No room for {molecule.name} on {count} of {len(full)} sites, the first at "
        f"{x:.2f} {y:.2f} {z:.2f} Å: all {TURNS} orientations come too close to others. Try "
        "another seed, or a smaller fraction from the surface, which leaves the ions that the "
        "interface hems in."
    )


def _orientations(count: int, axis: FloatArray | None, seed: int) -> FloatArray:
    """Rotations to try on each site, shape (count, TURNS, 3, 3)."""
    from scipy.spatial.transform import Rotation

    rng = np.random.default_rng(seed)
    total = count * TURNS
    if not total:
        return np.empty((0, TURNS, 3, 3))
    if axis is None:
        orientations = Rotation.random(total, random_state=rng)
    else:
        upright = Rotation.align_vectors(axis[None], np.array([[0.0, 0.0, 1.0]]))[0]
        tilt = TILT * np.tile(np.linspace(0.0, 1.0, TURNS) ** 2, count)
        angles = np.stack([rng.uniform(0, 360, total), tilt, rng.uniform(0, 360, total)], axis=-1)
        orientations = upright * Rotation.from_euler("ZXZ", angles, degrees=True)
    return np.asarray(orientations.as_matrix().reshape(count, TURNS, 3, 3))


def _kinds(numbers: IntArray, charges: IntArray) -> dict[str, BoolArray]:
    """Which atoms are H or C and N of molecules, which are single cations or anions."""
    light = np.isin(numbers, (6, 7)) | (np.asarray(charges) == 0) & (numbers > 1)
    h = np.asarray(numbers == number("H"))
    single = ~light & ~h
    return {
        "anion": single & (charges < 0),
        "cation": single & (charges > 0),
        "H": h,
        "heavy": light,
    }


def _clear(model: Model, trial: FloatArray, molecule: Molecule) -> BoolArray:
    """Which trial orientations keep all floors to the model, shape (S, K)."""
    from scipy.spatial import cKDTree

    free = np.ones(trial.shape[:2], dtype=bool)
    kinds = _kinds(model.numbers, model.charges)
    heavy = HEAVY_FLOORS if molecule.charges.sum() > 0 else ANION_FLOORS
    for floors, atoms in ((H_FLOORS, molecule.numbers == 1), (heavy, molecule.numbers > 1)):
        if not atoms.any():
            continue
        for kind, mask in kinds.items():
            if mask.any():
                near = cKDTree(model.positions[mask]).query(trial[:, :, atoms])[0]
                free &= (near > floors[kind]).all(axis=2)
    return free


def _clashing(places: FloatArray, molecule: Molecule) -> BoolArray:
    """Molecules that come too close to one before them in the list, shape (S,)."""
    from scipy.spatial import cKDTree

    count, size = places.shape[:2]
    pairs = cKDTree(places.reshape(-1, 3)).query_pairs(HEAVY_FLOORS["heavy"], output_type="ndarray")
    first, second = pairs.T // size
    h = molecule.numbers[pairs % size] == 1
    limit = np.select(
        [h.all(axis=1), h.any(axis=1)], [H_FLOORS["H"], H_FLOORS["heavy"]], HEAVY_FLOORS["heavy"]
    )
    apart = np.linalg.norm(np.diff(places.reshape(-1, 3)[pairs], axis=1)[:, 0], axis=1)
    hit = (first != second) & (apart < limit)
    result = np.zeros(count, dtype=bool)
    result[np.maximum(first, second)[hit]] = True
    return result
