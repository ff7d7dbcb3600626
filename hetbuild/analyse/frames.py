"""Find crystals in bare positions: where the lattice of each lies, with the strain it has there.

A lattice vector takes a cation of a domain to another of the same element, whatever the crystal's
basis. So orientations are proposed from pairs of such vectors around a few seed atoms, the setting
and origin settled by the basis, and the frame, strain and all, refined from there outwards.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np

from hetbuild.analyse.sites import charges_of
from hetbuild.arrays import BoolArray, FloatArray, IntArray
from hetbuild.crystal import lattice
from hetbuild.crystal.crystal import Crystal
from hetbuild.elements import symbol
from hetbuild.errors import ImpossibleError

INNER = 0.8
"""Fraction of the atoms, from the middle, tried as a start: the outermost lack neighbours."""
SEEDS = 24
"""Atoms tried as a start."""
LENGTH_TOLERANCE = 0.14
"""Relative; neighbours displaced by 0.4 Å rms change a 5.6 Å vector by up to this much."""
ANGLE_TOLERANCE = 12.0
"""Degrees by which the angle between two lattice vectors may differ."""
STRAIN = 0.13
"""Largest isotropic strain looked for: CsPbI3 on the lattice that CsPbCl3 left it is at -10 %."""
LOCAL = 9.0
"""Å around a seed in which orientations are compared."""
WIDTH = 0.6
"""Å: an ion this far from a site fills it by exp(-1/2)."""
MATCH = 1.5
"""Å within which an atom counts as standing on a site."""
HOPELESS = 0.3
"""Filling of a crystal's sites around a seed below which a start is not refined."""
TOO_FEW = 0.52
"""The same of a refined frame below which the crystal is not there. Relaxed models,
halides 0.7 Å rms off their sites, reach 0.58 at least, wrong crystals 0.47 at most."""
CONNECTED = 4.5
"""Å between ions of one particle that are next to each other."""
FEWEST = 12
"""Ions from which a frame is fitted anew."""
HALF = 0.5
"""Share of the ions around one that stand near sites where it belongs to the particle."""
OF_A_CORNER = 0.4
"""Filling that the smallest particles reach, all of whose ions are near a corner."""
ALL_BUT_A_FEW = 0.95
"""Share of the ions around a seed that stand on sites where such a particle is the crystal."""
ENOUGH = 0.9
"""Filling at which no further seed is tried."""
GOOD, FEW = 0.65, 8
"""Filling at which so many seeds are enough."""
REFINED = 6
"""Starts that are refined; the one that fills most sites of the particle is the frame."""
GROWTH = (7.0, 8.0, 9.0, 10.5, 12.0, 14.0, 17.0, 21.0, 26.0, 33.0, 42.0, 55.0, 75.0, np.inf, np.inf)
"""Radii in Å around the seed in which a frame is refined, one after the other."""


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
    element = int(crystal.numbers.max()) if seed_element is None else seed_element
    members = np.flatnonzero(numbers == element)
    ions = _Ions(numbers, positions, crystal)
    starts = _starts(members, ions, crystal, element)[:REFINED]
    fits = [_grown(ions, crystal, s) for s in starts if s.filling > HOPELESS]
    filling = [
        _filling_around(ions, crystal, f, s.centre) for f, s in zip(fits, starts, strict=False)
    ]
    shown = [
        f >= TOO_FEW or (f >= OF_A_CORNER and _explained(ions, fit, s.centre) >= ALL_BUT_A_FEW)
        for f, fit, s in zip(filling, fits, starts, strict=False)
    ]
    if not any(shown):
        found = f"{100 * max(filling, default=0.0):.0f} %"
        raise ImpossibleError(
            f"The lattice of {crystal.name} was not found: of its sites around {len(members)} "
            f"{symbol(element)} atoms at best {found} are occupied. Name the crystals that the "
            f"particle is made of; lattices strained by more than {100 * STRAIN:.0f} % are not "
            "found."
        )
    return max(fits, key=lambda f: _filled(ions, crystal, f))


def of_one_particle(
    numbers: IntArray, positions: FloatArray, crystal: Crystal, frame: FrameFit
) -> FrameFit:
    """A frame fitted to the largest particle alone that shows it; `matched` are its ions.

    A crystal of which there are several particles may fit two of them at once, strained. An ion
    belongs to the particle where it stands near a site, most of those around it do too, and such
    ions connect it with the rest: another particle may have some ions near these sites, but not
    most.
    """
    ions, everywhere = _Ions(numbers, positions, crystal), np.arange(len(numbers))
    site, away = _nearest_site(ions, everywhere, crystal, frame.vectors, frame.origin)
    mine = _largest_piece(positions, _mostly(positions, away < WIDTH) & (away < MATCH))
    if len(mine) < FEWEST:
        return frame
    vectors, origin = least_squares(site[mine], positions[mine], robust_weights(away[mine], WIDTH))
    site, away = _nearest_site(ions, everywhere, crystal, vectors, origin)
    on = _mostly(positions, away < WIDTH) & (away < MATCH)
    matched = _largest_piece(positions, on)
    rms = float(np.sqrt((away[matched] ** 2).mean())) if len(matched) else 0.0
    return FrameFit(vectors, origin, rms, matched)


def _mostly(positions: FloatArray, near: BoolArray) -> BoolArray:
    """Which ions have more of these ions around them than others, shape (N,)."""
    from scipy.spatial import cKDTree

    around = cKDTree(positions).query_ball_point(positions, LOCAL, return_sorted=True)
    size = np.array([len(a) for a in around])
    owner = np.repeat(np.arange(len(positions)), size)
    share = np.bincount(owner, near[np.concatenate(around).astype(int)], len(positions)) / size
    return np.asarray(share > HALF)


def _largest_piece(positions: FloatArray, chosen: BoolArray) -> IntArray:
    """Indices of the largest part of the chosen ions that hangs together."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components
    from scipy.spatial import cKDTree

    atoms = np.flatnonzero(chosen)
    if not len(atoms):
        return atoms
    i, j = cKDTree(positions[atoms]).query_pairs(CONNECTED, output_type="ndarray").T
    links = coo_matrix((np.ones(len(i)), (i, j)), shape=(len(atoms), len(atoms)))
    piece = connected_components(links, directed=False)[1]
    return np.asarray(atoms[piece == np.bincount(piece).argmax()])


def _explained(ions: _Ions, fit: FrameFit, centre: FloatArray) -> float:
    """Share of the ions within LOCAL of a place that stand on sites of a frame."""
    near = np.flatnonzero(np.linalg.norm(ions.positions - centre, axis=1) < LOCAL)
    return float(np.isin(near, fit.matched).mean()) if len(near) else 0.0


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


class _Ions:
    """Atoms by the kind of site they can fill: a cation's element, or any anion."""

    def __init__(self, numbers: IntArray, positions: FloatArray, crystal: Crystal) -> None:
        from scipy.spatial import cKDTree

        self.positions = positions
        self.kind: IntArray = np.where(
            charges_of(numbers, [crystal]) < 0, -1, numbers.astype(np.int64)
        )
        self.site_kind: IntArray = np.where(crystal.charges < 0, -1, crystal.numbers)
        self.trees = {
            int(k): cKDTree(positions[self.kind == k])
            for k in np.unique(self.site_kind)
            if (self.kind == k).any()
        }

    def filling(self, sites: FloatArray, kinds: IntArray) -> FloatArray:
        """How well each site is filled by the nearest ion of its kind, 0 to 1, shape (S,)."""
        filled = np.zeros(len(sites))
        for k, tree in self.trees.items():
            here = np.flatnonzero(kinds == k)
            away = tree.query(sites[here], distance_upper_bound=4 * WIDTH)[0]
            filled[here] = np.exp(-0.5 * (away / WIDTH) ** 2)
        return filled


@dataclass(frozen=True, eq=False)
class _Start:
    """Where a crystal may lie."""

    filling: float
    """Of its sites around the seed, 0 to 1."""
    vectors: FloatArray
    origin: FloatArray
    centre: FloatArray
    """The seed's position."""


def _starts(members: IntArray, ions: _Ions, crystal: Crystal, element: int) -> list[_Start]:
    """The best orientation at each seed, best seed first."""
    found = []
    for seed in _seeds(ions.positions[members]):
        start = _best_at(ions.positions[members[seed]], members, ions, crystal, element)
        if start is not None:
            found.append(start)
        best = max((s.filling for s in found), default=0.0)
        if best > ENOUGH or (len(found) >= FEW and best > GOOD):
            break
    return sorted(found, key=lambda s: -s.filling)


def _seeds(points: FloatArray) -> IntArray:
    """Atoms spread from the middle outwards."""
    if not len(points):
        return np.empty(0, dtype=np.int64)
    order = np.argsort(np.linalg.norm(points - points.mean(axis=0), axis=1), kind="stable")
    picked = np.linspace(0, INNER * (len(order) - 1), min(SEEDS, len(order)))
    return np.asarray(order[np.unique(picked.astype(int))])


def _best_at(
    centre: FloatArray, members: IntArray, ions: _Ions, crystal: Crystal, element: int
) -> _Start | None:
    """The orientation and setting that fill the sites around a seed best."""
    turns = _orientations(centre, ions.positions[members], crystal)
    if not len(turns):
        return None
    best: _Start | None = None
    for seat in _seats(crystal, element):
        offsets, kinds = _around(crystal, seat, ions.site_kind)
        sites = np.einsum("si,pji->psj", offsets, turns) + centre
        filled = ions.filling(sites.reshape(-1, 3), np.tile(kinds, len(turns)))
        score = filled.reshape(len(turns), -1).mean(axis=1)
        k = int(score.argmax())
        if best is None or score[k] > best.filling + 1e-9:
            vectors = crystal.vectors @ turns[k].T
            best = _Start(float(score[k]), vectors, centre - seat @ vectors, centre)
    return best


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


def _orientations(centre: FloatArray, points: FloatArray, crystal: Crystal) -> FloatArray:
    """Turns, scaled, that put two lattice vectors on atoms near the seed; shape (P, 3, 3)."""
    a, b = _short_vectors(crystal) @ crystal.vectors
    lengths = np.linalg.norm(a), np.linalg.norm(b)
    offset = points - centre
    away = np.linalg.norm(offset, axis=1)
    near = [offset[np.abs(away / n - 1) < LENGTH_TOLERANCE] for n in lengths]
    u, v = np.repeat(near[0], len(near[1]), axis=0), np.tile(near[1], (len(near[0]), 1))
    nu, nv = np.linalg.norm(u, axis=1), np.linalg.norm(v, axis=1)
    between = np.degrees(np.arccos(np.clip((u * v).sum(axis=1) / (nu * nv), -1, 1)))
    fit = np.abs(between - lattice.angle(a, b)) < ANGLE_TOLERANCE
    u, v = u[fit], v[fit]
    scale = (nu[fit] / lengths[0] + nv[fit] / lengths[1]) / 2
    turns = _triads(u, v) @ _triads(a[None], b[None])[0].T
    return np.concatenate([turns, turns * scale[:, None, None]])


def _triads(u: FloatArray, v: FloatArray) -> FloatArray:
    """Orthonormal axes as columns, (P, 3, 3): bisector of two vectors, and the normal to both."""
    x = u / np.linalg.norm(u, axis=1, keepdims=True) + v / np.linalg.norm(v, axis=1, keepdims=True)
    z = np.cross(u, v)
    x = x / np.linalg.norm(x, axis=1, keepdims=True)
    z = z / np.linalg.norm(z, axis=1, keepdims=True)
    return np.stack([x, np.cross(z, x), z], axis=2)


def _seats(crystal: Crystal, element: int) -> FloatArray:
    """Sites of an element that lattice translations do not relate, fractional, shape (s, 3)."""
    sites = crystal.fractional[crystal.numbers == element]
    cells = np.round(sites @ np.linalg.inv(crystal.primitive) % 1.0, 4) % 1.0
    _, distinct = np.unique(cells, axis=0, return_index=True)
    return np.asarray(sites[np.sort(distinct)])


def _around(crystal: Crystal, seat: FloatArray, site_kind: IntArray) -> tuple[FloatArray, IntArray]:
    """Sites within LOCAL of one, from it in Å of the crystal's axes (S, 3), and their kinds."""
    reach = np.ceil(LOCAL * np.linalg.norm(np.linalg.inv(crystal.vectors), axis=0)).astype(int) + 1
    axes = [np.arange(-n, n + 1) for n in reach]
    cells = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 1, 3)
    offsets = ((cells + crystal.fractional - seat) @ crystal.vectors).reshape(-1, 3)
    kinds = np.tile(site_kind, len(cells))
    near = np.linalg.norm(offsets, axis=1) < LOCAL
    return offsets[near], kinds[near]


def _grown(ions: _Ions, crystal: Crystal, start: _Start) -> FrameFit:
    """Robust least squares over ions near their sites, in a region that grows from the seed."""
    vectors, origin = start.vectors, start.origin
    distance = np.linalg.norm(ions.positions - start.centre, axis=1)
    for radius in GROWTH:
        inside = np.flatnonzero(distance < radius)
        site, residual = _nearest_site(ions, inside, crystal, vectors, origin)
        on = residual < MATCH
        if on.sum() >= 8:
            vectors, origin = least_squares(
                site[on], ions.positions[inside[on]], robust_weights(residual[on], WIDTH)
            )
        if len(inside) == len(distance):
            break
    everywhere = np.arange(len(distance))
    for _ in range(4):
        site, residual = _nearest_site(ions, everywhere, crystal, vectors, origin)
        on = residual < MATCH
        vectors, origin = least_squares(
            site[on], ions.positions[on], robust_weights(residual[on], WIDTH)
        )
    matched = np.flatnonzero(on)
    rms = float(np.sqrt((residual[matched] ** 2).mean()))
    return FrameFit(vectors, origin, rms, matched)


def robust_weights(residual: FloatArray, width: float | FloatArray) -> FloatArray:
    """Weights that let displaced ions count little: (1 + (r/width)²)^-2; shape (N,)."""
    return np.asarray((1 + (residual / width) ** 2) ** -2)


def least_squares(
    sites: FloatArray, positions: FloatArray, weights: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Lattice vectors (3, 3) and cell origin (3,), Å, that put sites on positions best.

    sites: conventional coordinates, shape (N, 3); positions: Å, shape (N, 3); weights: shape (N,).
    """
    root = np.sqrt(weights)[:, None]
    design = np.hstack([sites, np.ones((len(sites), 1))]) * root
    solution = np.linalg.lstsq(design, positions * root, rcond=None)[0]
    return np.array(solution[:3], float), np.array(solution[3], float)


def _filling_around(ions: _Ions, crystal: Crystal, fit: FrameFit, centre: FloatArray) -> float:
    """Filling of the sites within LOCAL of the one nearest to a place."""
    fractional = (centre - fit.origin) @ np.linalg.inv(fit.vectors)
    apart = fractional - crystal.fractional
    cells = np.rint(apart)
    seat = int(np.linalg.norm((apart - cells) @ fit.vectors, axis=1).argmin())
    offsets, kinds = _around(crystal, crystal.fractional[seat], ions.site_kind)
    home = (crystal.fractional[seat] + cells[seat]) @ fit.vectors + fit.origin
    sites = offsets @ np.linalg.inv(crystal.vectors) @ fit.vectors + home
    return float(ions.filling(sites, kinds).mean())


def _filled(ions: _Ions, crystal: Crystal, fit: FrameFit) -> float:
    """How many ions of a particle the sites of a frame explain."""
    everywhere = np.arange(len(ions.positions))
    _, residual = _nearest_site(ions, everywhere, crystal, fit.vectors, fit.origin)
    return float(np.exp(-0.5 * (residual / WIDTH) ** 2).sum())


def _nearest_site(
    ions: _Ions, atoms: IntArray, crystal: Crystal, vectors: FloatArray, origin: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Nearest site of the right kind: fractional coordinates (A, 3) and distance in Å (A,)."""
    fractional = (ions.positions[atoms] - origin) @ np.linalg.inv(vectors)
    nearest = np.full(fractional.shape, np.nan)
    best = np.full(len(atoms), np.inf)
    kind = ions.kind[atoms]
    for f, k in zip(crystal.fractional, ions.site_kind, strict=True):
        site = np.rint(fractional - f) + f
        away = np.linalg.norm((site - fractional) @ vectors, axis=1)
        better: BoolArray = (away < best) & (kind == k)
        nearest[better], best[better] = site[better], away[better]
    return nearest, best
