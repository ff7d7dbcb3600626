"""Find crystals in bare positions: the frame of each, and which atom belongs to which.

A lattice vector takes a cation of a domain to another of the same element, whatever the crystal's
basis. So orientations are proposed from pairs of such vectors around a few seed atoms, the setting
and origin settled by the basis, and the frame refined by least squares over a growing region.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from hetbuild.arrays import BoolArray, FloatArray, IntArray
from hetbuild.crystal import lattice
from hetbuild.crystal.crystal import Crystal
from hetbuild.elements import symbol, usual_charge
from hetbuild.errors import ImpossibleError

SEEDS = 24
"""Atoms tried as a start."""
LENGTH_TOLERANCE = 0.10
"""Relative; neighbours displaced by 0.2 Å rms change a 4 Å vector by this much."""
ANGLE_TOLERANCE = 9.0
"""Degrees."""
MATCH = 0.8
"""Å within which an atom counts as standing on a site."""
LOCAL = 9.0
"""Å around a seed in which orientations are compared."""
TOO_FEW = 0.6
"""Share of a domain's own sites around a seed that must be occupied."""
ENOUGH = 0.9
"""Share at which no further seed is tried; its best setting is the one with least residual."""
UNDECIDED = 0.3
"""Å: residuals in two lattices closer than this leave an atom to its neighbours."""


@dataclass(frozen=True, eq=False)
class FrameFit:
    """A crystal found in a particle."""

    vectors: FloatArray
    """Conventional vectors as rows by least squares, Å, shape (3, 3); strain is in them."""
    origin: FloatArray
    """Cell origin, Å, shape (3,)."""
    rms: float
    """Distance of the matched atoms from their sites, Å."""
    matched: IntArray
    """Their indices."""


@dataclass(frozen=True, eq=False)
class Recognition:
    """Which atom belongs to which crystal."""

    domain: IntArray
    """Index of the crystal, shape (N,)."""
    frames: tuple[FrameFit, ...]
    ambiguous: IntArray
    """Atoms that both lattices explain about equally well."""


def fit_frame(
    numbers: IntArray, positions: FloatArray, crystal: Crystal, *, seed_element: int | None = None
) -> FrameFit:
    """The frame of a crystal in a particle. numbers: shape (N,); positions: Å, shape (N, 3).

    seed_element: atomic number of the atoms to start from; one that no other domain has is best.

    Raises
    ------
    ImpossibleError
        The atoms do not show this crystal's lattice.
    """
    signs = _signs(numbers)
    element = int(crystal.numbers.max()) if seed_element is None else seed_element
    members = np.flatnonzero(numbers == element)
    start = _best_start(members, positions, signs, crystal, element)
    if start is None or start[0] < TOO_FEW:
        found = "none" if start is None else f"{100 * start[0]:.0f} %"
        raise ImpossibleError(
            f"The lattice of {crystal.name} was not found: of its sites around {len(members)} "
            f"{symbol(element)} atoms at best {found} are occupied. Name the crystals that the "
            "particle is made of; lattices strained by more than 8 % are not found."
        )
    return _refined(positions, signs, crystal, start[1], start[2], start[3])


def recognise(numbers: IntArray, positions: FloatArray, crystals: Sequence[Crystal]) -> Recognition:
    """Frames of all crystals in a particle and the domain of each atom.

    Raises
    ------
    ImpossibleError
        One of the crystals is not found.
    """
    frames = tuple(
        fit_frame(numbers, positions, c, seed_element=_exclusive(c, crystals, numbers))
        for c in crystals
    )
    signs = _signs(numbers)
    residual = np.stack(
        [
            _nearest_site(positions, signs, c, f.vectors, f.origin)[1]
            for c, f in zip(crystals, frames, strict=True)
        ],
        axis=1,
    )
    domain, unsure = _by_residual(numbers, crystals, residual)
    return Recognition(_by_neighbours(positions, domain, unsure), frames, np.flatnonzero(unsure))


def closest_setting(fit: FrameFit, crystal: Crystal, reference: FloatArray) -> FrameFit:
    """Of the symmetry-equivalent frames the one whose axes are closest to a reference, (3, 3).

    The axes turn by the point group, and the origin goes where that leaves every site in its place,
    as screw axes and glide planes ask.
    """
    proper = crystal.rotations[np.linalg.det(crystal.rotations) > 0]
    settings = np.swapaxes(proper, 1, 2) @ fit.vectors
    vectors = settings[np.abs(settings - reference).sum(axis=(1, 2)).argmin()]
    origin = origin_of(crystal, vectors, crystal.fractional @ fit.vectors + fit.origin)
    return FrameFit(vectors, origin, fit.rms, fit.matched)


def origin_of(crystal: Crystal, vectors: FloatArray, places: FloatArray) -> FloatArray:
    """The cell origin, Å, for which axes (3, 3) put the sites at places, Å, shape (n, 3)."""
    same = crystal.numbers == crystal.numbers[0]
    origins = places[0] - crystal.fractional[same] @ vectors
    off = [_off_sites(places, crystal, vectors, origin) for origin in origins]
    return np.asarray(origins[int(np.argmin(off))])


def _off_sites(
    places: FloatArray, crystal: Crystal, vectors: FloatArray, origin: FloatArray
) -> float:
    """Summed distance of a cell's sites from the sites of their element in a frame, Å."""
    fractional = (places - origin) @ np.linalg.inv(vectors)
    apart = fractional[:, None] - crystal.fractional[None]
    away = np.linalg.norm((apart - np.rint(apart)) @ vectors, axis=2)
    away[crystal.numbers[:, None] != crystal.numbers[None]] = np.inf
    return float(away.min(axis=1).sum())


def _signs(numbers: IntArray) -> IntArray:
    kinds, index = np.unique(numbers, return_inverse=True)
    return np.array([np.sign(usual_charge(int(z)) or 0) for z in kinds])[index]


def _exclusive(crystal: Crystal, crystals: Sequence[Crystal], numbers: IntArray) -> int | None:
    """An element of the particle that only this crystal has."""
    others = {int(z) for c in crystals if c is not crystal for z in c.numbers}
    own = [int(z) for z in np.unique(crystal.numbers) if int(z) not in others and z in numbers]
    return max(own, default=None)


def _best_start(
    members: IntArray, positions: FloatArray, signs: IntArray, crystal: Crystal, element: int
) -> tuple[float, FloatArray, FloatArray, FloatArray] | None:
    """Share of sites met, vectors, origin and seed position of the best start."""
    best = None
    for seed in _seeds(positions[members]):
        centre = positions[members[seed]]
        for turn in _orientations(centre, positions[members], crystal):
            for vectors, origin in _settings(crystal, turn, centre, element):
                score, share = _local_fit(centre, positions, signs, crystal, vectors, origin)
                if best is None or score > best[0] + 1e-9:
                    best = (score, share, vectors, origin, centre)
        if best is not None and best[1] > ENOUGH:
            break
    return None if best is None else best[1:]


def _seeds(points: FloatArray) -> IntArray:
    """Atoms spread from the middle outwards."""
    if not len(points):
        return np.empty(0, dtype=np.int64)
    order = np.argsort(np.linalg.norm(points - points.mean(axis=0), axis=1), kind="stable")
    picked = np.linspace(0, 0.8 * (len(order) - 1), min(SEEDS, len(order)))
    return np.asarray(order[np.unique(picked.astype(int))])


def _short_vectors(crystal: Crystal) -> FloatArray:
    """Two shortest lattice vectors that are not collinear, conventional components, (2, 3)."""
    steps = np.array(list(product(range(-2, 3), repeat=3)))
    combos = steps @ crystal.primitive
    length = np.linalg.norm(combos @ crystal.vectors, axis=1)
    order = [i for i in np.argsort(length, kind="stable") if length[i] > 1e-6]
    first = combos[order[0]]
    for i in order[1:]:
        apart = lattice.angle(first @ crystal.vectors, combos[i] @ crystal.vectors)
        if 20 < apart < 160:
            return np.array([first, combos[i]])
    raise AssertionError("a lattice has vectors in more than one direction")


def _orientations(centre: FloatArray, points: FloatArray, crystal: Crystal) -> list[FloatArray]:
    """Rotations (row vectors times R.T) that put two lattice vectors on atoms near the seed."""
    a, b = _short_vectors(crystal) @ crystal.vectors
    offset = points - centre
    length = np.linalg.norm(offset, axis=1)
    near_a, near_b = (
        offset[np.abs(length / np.linalg.norm(v) - 1) < LENGTH_TOLERANCE] for v in (a, b)
    )
    wanted = lattice.angle(a, b)
    pairs = [
        (u, v)
        for u in near_a
        for v in near_b
        if abs(lattice.angle(u, v) - wanted) < ANGLE_TOLERANCE
    ]
    return [_triad(u, v) @ _triad(a, b).T for u, v in pairs]


def _triad(u: FloatArray, v: FloatArray) -> FloatArray:
    """Orthonormal axes as columns: the bisector of two vectors and the normal to both."""
    x = u / np.linalg.norm(u) + v / np.linalg.norm(v)
    z = np.cross(u, v)
    x, z = x / np.linalg.norm(x), z / np.linalg.norm(z)
    return np.array([x, np.cross(z, x), z]).T


def _settings(
    crystal: Crystal, turn: FloatArray, centre: FloatArray, element: int
) -> list[tuple[FloatArray, FloatArray]]:
    """Frames with the seed on each site of its element that lattice translations do not relate."""
    vectors = crystal.vectors @ turn.T
    sites = crystal.fractional[crystal.numbers == element]
    cells = np.round(sites @ np.linalg.inv(crystal.primitive) % 1.0, 4) % 1.0
    _, distinct = np.unique(cells, axis=0, return_index=True)
    return [(vectors, centre - f @ vectors) for f in sites[np.sort(distinct)]]


def _local_fit(
    centre: FloatArray,
    positions: FloatArray,
    signs: IntArray,
    crystal: Crystal,
    vectors: FloatArray,
    origin: FloatArray,
) -> tuple[float, float]:
    """How well ions of the right sign fill the crystal's sites near the seed.

    A score that falls with their distance, which tells pseudosymmetric settings apart, and the
    share of sites that are filled.
    """
    from scipy.spatial import cKDTree

    reach = np.arange(-3, 4)
    cells = np.stack(np.meshgrid(reach, reach, reach, indexing="ij"), axis=-1).reshape(-1, 1, 3)
    home = np.floor((centre - origin) @ np.linalg.inv(vectors))
    sites = ((cells + home + crystal.fractional) @ vectors + origin).reshape(-1, 3)
    kind = np.tile(np.sign(crystal.charges), len(cells))
    near = np.linalg.norm(sites - centre, axis=1) < LOCAL
    met, score = 0, 0.0
    for sign in (-1, 1):
        atoms = positions[signs == sign]
        wanted = sites[near & (kind == sign)]
        if len(atoms) and len(wanted):
            away = cKDTree(atoms).query(wanted)[0] / MATCH
            met += int((away < 1).sum())
            score += float(np.maximum(1 - away**2, 0).sum())
    total = max(1, int(near.sum()))
    return score / total, met / total


def _refined(
    positions: FloatArray,
    signs: IntArray,
    crystal: Crystal,
    vectors: FloatArray,
    origin: FloatArray,
    centre: FloatArray,
) -> FrameFit:
    """Least squares over atoms on their sites, in a region that grows from the seed."""
    distance = np.linalg.norm(positions - centre, axis=1)
    for radius in (7.0, 9.0, 12.0, 16.0, 24.0, np.inf, np.inf):
        site, residual = _nearest_site(positions, signs, crystal, vectors, origin)
        used = np.flatnonzero((distance < radius) & (residual < MATCH))
        design = np.hstack([site[used], np.ones((len(used), 1))])
        solution = np.linalg.lstsq(design, positions[used], rcond=None)[0]
        vectors, origin = np.array(solution[:3], float), np.array(solution[3], float)
    site, residual = _nearest_site(positions, signs, crystal, vectors, origin)
    matched = np.flatnonzero(residual < MATCH)
    rms = float(np.sqrt((residual[matched] ** 2).mean()))
    return FrameFit(vectors, origin, rms, matched)


def _nearest_site(
    positions: FloatArray,
    signs: IntArray,
    crystal: Crystal,
    vectors: FloatArray,
    origin: FloatArray,
) -> tuple[FloatArray, FloatArray]:
    """Nearest site of right sign: fractional coordinates (N, 3) and distance in Å (N,)."""
    fractional = (positions - origin) @ np.linalg.inv(vectors)
    nearest = np.full(positions.shape, np.nan)
    best = np.full(len(positions), np.inf)
    for f, q in zip(crystal.fractional, crystal.charges, strict=True):
        site = np.rint(fractional - f) + f
        away = np.linalg.norm((site - fractional) @ vectors, axis=1)
        better = (away < best) & (signs == np.sign(q))
        nearest[better], best[better] = site[better], away[better]
    return nearest, best


def _by_residual(
    numbers: IntArray, crystals: Sequence[Crystal], residual: FloatArray
) -> tuple[IntArray, BoolArray]:
    """Domain by the nearer lattice; cations go only where their element belongs."""
    cost = residual.copy()
    for i, crystal in enumerate(crystals):
        foreign = ~np.isin(numbers, crystal.numbers) & np.array(_signs(numbers) > 0)
        cost[foreign, i] = np.inf
    domain = cost.argmin(axis=1)
    if len(crystals) == 1:
        return domain, np.asarray(cost.min(axis=1) > 2 * MATCH)
    ranked = np.sort(cost, axis=1)
    return domain, np.asarray(ranked[:, 1] - ranked[:, 0] < UNDECIDED)


def _by_neighbours(positions: FloatArray, domain: IntArray, unsure: BoolArray) -> IntArray:
    """Undecided atoms, and decided ones alone among others, join what surrounds them."""
    from scipy.spatial import cKDTree

    result = domain.copy()
    for _ in range(3):
        sure = np.flatnonzero(~unsure)
        _, around = cKDTree(positions[sure]).query(positions, k=min(8, len(sure)))
        votes = (result[sure][np.atleast_2d(around)] == 1).mean(axis=1)
        result[unsure] = (votes[unsure] > 0.5).astype(result.dtype)
        result[votes > 0.85], result[votes < 0.15] = 1, 0
    return result
