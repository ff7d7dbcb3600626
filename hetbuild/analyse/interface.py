"""The interface of two domains as the atoms show it: planes, coincident directions, tilt."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from itertools import product
from typing import Any

import numpy as np

from hetbuild.analyse.frames import closest_setting, fit_frame, least_squares, robust_weights
from hetbuild.analyse.meetings import Pair, meetings
from hetbuild.arrays import FloatArray, IntArray, Plane
from hetbuild.crystal import lattice
from hetbuild.crystal.crystal import Crystal
from hetbuild.crystal.lattice import Coincidence, Direction, plane_label
from hetbuild.errors import ImpossibleError
from hetbuild.model import Domain, Interface, Model
from hetbuild.rounding import DIGITS

FEWEST = 12
"""Ions on sites from which a frame is fitted."""
NARROW = 0.02
"""Å: least width of the robust weights of a fit; models on their exact sites have no spread."""
OUTERMOST = 4
"""Cations next to the other domain whose mean height is where a domain ends."""
ROWS = np.array([(1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 0), (1, -1, 0), (1, 0, 1), (1, 0, -1),
                 (0, 1, 1), (0, 1, -1)])  # fmt: skip
"""Lattice directions along which rows of sites are looked at."""
HEIGHTS = 4096
"""Places whose heights along all normals are held at a time: 60 MB."""
PARALLEL = 1.5
"""Degrees: of planes this nearly parallel that of lowest index is meant."""

ALONG = 1.0
"""Degrees within which the first pair of vectors is parallel."""

OBLIQUE = 60.0
"""Degrees off a right angle from which a second pair hardly spans the plane."""

UNTILTED = 0.5
"""Degrees within which cell axes of two domains are parallel, and their tilt is none."""

FLAT = 0.1
"""Spread of the sites, in cells, below which a domain is a single plane in which no lattice
shows."""

SHEARED = 3.0
"""Degrees by which the second pair of vectors may be off parallel, in a cell under strain."""

COINCIDES = 0.05
"""Mismatch of two vectors up to which they are a coincidence of the interface."""


@dataclass(frozen=True, slots=True)
class Tilt:
    """Angle between the nearest cell axes of two domains that are not parallel."""

    first: Plane
    second: Plane
    angle: float
    """Degrees."""


@dataclass(frozen=True, slots=True)
class MeasuredInterface:
    """An interface as the atoms show it."""

    planes: tuple[Plane, Plane]
    misalignment: float
    """Angle between the two plane normals, degrees."""
    coincidences: tuple[Coincidence, ...]
    """Parallel in-plane lattice vectors that nearly agree in length, shortest misfit cell first."""
    tilt: Tilt | None
    spread: tuple[float, float]
    """Rms distance in Å of the atoms from each fitted lattice."""
    domains: tuple[Domain, Domain]
    """The frames as fitted to the atoms."""

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "planes": [plane_label(p) for p in self.planes],
            "misalignment": round(self.misalignment, 6),
            "coincidences": [
                {"directions": c.labels, "lengths": c.lengths, "mismatch": c.mismatch}
                for c in self.coincidences
            ],
            "tilt": None if self.tilt is None else asdict(self.tilt),
            "spread": self.spread,
        }


def measure_interface(model: Model, pair: Pair = (0, 1)) -> MeasuredInterface | None:
    """Planes, coincident directions and tilt of two domains, from the positions of their atoms.

    pair: indices of the domains. The plane is the lattice plane of the first crystal that parts the
    cations of the two by the widest margin; the second's is the plane whose normal is nearest to
    it. None where the atoms of a domain do not show their lattice.
    """
    try:
        first, second = (_measured(model, i) for i in pair)
    except ImpossibleError:
        return None
    planes, misalignment = _parting_planes(model, pair, first[0], second[0])
    return MeasuredInterface(
        planes=planes,
        misalignment=misalignment,
        coincidences=_coincidences(first[0], second[0], planes),
        tilt=nearest_tilt(first[0], second[0]),
        spread=(first[1], second[1]),
        domains=(first[0], second[0]),
    )


def with_interface(model: Model) -> Model:
    """The model with the interfaces its positions show, where its record has none: for pictures.

    How far the domains were shifted is not known then: shift and gap are not a number.
    """
    all_there = len(np.unique(model.domain)) == len(model.domains) > 1
    if model.interface is not None or not all_there:
        return model
    measured = (measure_interface(model, pair) for pair in meetings(model))
    return model.with_interfaces([_seen(m) for m in measured if m is not None and m.coincidences])


def _seen(found: MeasuredInterface) -> Interface:
    """What is measured in the form of what is recorded, without shift and gap."""
    along, across = (*found.coincidences, None)[:2]
    assert along is not None
    names = (found.domains[0].name, found.domains[1].name)
    nan = float("nan")
    return Interface(names, found.planes, along, across, (nan, nan), nan)


def nearest_tilt(first: Domain, second: Domain, parallel: float = UNTILTED) -> Tilt | None:
    """The cell axes <100> of two domains that are nearest to each other without being parallel.

    None where all are parallel or at right angles. parallel: degrees that count as none.
    """
    found = []
    for u, v in product(_cell_axes(first.crystal), _cell_axes(second.crystal)):
        apart = lattice.angle(np.array(u) @ first.vectors, np.array(v) @ second.vectors)
        if parallel < apart <= 90.0:
            found.append((round(apart, DIGITS), -sum(u) - sum(v), u, v))
    if not found or min(found)[0] >= 90.0 - parallel:
        return None
    apart, _, u, v = min(found)
    return Tilt((u[0], u[1], u[2]), (v[0], v[1], v[2]), apart)


def _cell_axes(crystal: Crystal) -> list[tuple[int, ...]]:
    """<100>, <010> and <001> with all symmetry-equivalent directions."""
    images = np.vstack([crystal.rotations @ axis for axis in np.eye(3, dtype=np.int64)])
    return [tuple(row) for row in np.unique(np.vstack([images, -images]), axis=0).tolist()]


def _measured(model: Model, index: int) -> tuple[Domain, float]:
    """The domain with the frame its atoms show, labelled like the stored frame, and the rms in Å.

    By the sites that the atoms have; where they have none the lattice is looked for.
    """
    domain = model.domains[index]
    mine = np.flatnonzero((model.domain == index) & (model.site >= 0))
    if len(mine) >= FEWEST:
        return by_sites(domain, model.site[mine], model.site_cell[mine], model.positions[mine])
    atoms = model.numbers[model.domain == index], model.positions[model.domain == index]
    try:
        fit = fit_frame(*atoms, domain.crystal)
    except ImpossibleError:
        # After an exchange that kept the lattice, the product may be strained beyond recognition.
        strained = replace(domain.crystal, vectors=domain.vectors.copy())
        fit = fit_frame(*atoms, strained)
    frame = closest_setting(fit, domain.crystal, domain.vectors)
    datum = frame.origin + domain.crystal.fractional[domain.datum] @ frame.vectors
    return Domain(domain.name, domain.crystal, frame.vectors, datum, domain.datum), fit.rms


def by_sites(
    domain: Domain, site: IntArray, cell: IntArray, positions: FloatArray
) -> tuple[Domain, float]:
    """The frame by robust least squares over ions on known sites, and their rms from it, Å.

    site: shape (N,), cell: shape (N, 3), positions: Å, shape (N, 3).

    Raises
    ------
    ImpossibleError
        The sites lie in one plane.
    """
    sites = domain.sites[site] + cell
    if np.linalg.matrix_rank(sites - sites.mean(axis=0), tol=FLAT) < 3:
        raise ImpossibleError(f"The sites of {domain.name} lie in one plane: no lattice is shown.")
    vectors, origin = least_squares(sites, positions, np.ones(len(sites)))
    for _ in range(3):
        off = np.linalg.norm(sites @ vectors + origin - positions, axis=1)
        width = max(2 * float(np.median(off)), NARROW)
        vectors, origin = least_squares(sites, positions, robust_weights(off, width))
    off = np.linalg.norm(sites @ vectors + origin - positions, axis=1)
    return replace(domain, vectors=vectors, origin=origin), float(np.sqrt((off**2).mean()))


def _parting_planes(
    model: Model, pair: Pair, first: Domain, second: Domain
) -> tuple[tuple[Plane, Plane], float]:
    """The plane of the first crystal that parts the cations' sites by the widest margin, and the
    plane of the second that is parallel to it; angle between their normals, degrees."""
    planes = _low_index_planes(6)
    normals = planes @ lattice.reciprocal(first.vectors)
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    places = _site_places(model, pair, (first, second))
    above = _lowest(places[_row_ends(model, pair[0])], normals)
    below = _lowest(-places[_row_ends(model, pair[1])], normals)
    # Of planes that part the domains almost equally well the lowest index is meant. A mean of a few
    # ions, so that one in the wrong domain does not decide.
    margin = above.mean(axis=0) + below.mean(axis=0)
    size = np.abs(planes).sum(axis=1)
    best = int(np.lexsort((size, -np.round(margin, 1)))[0])
    other = planes @ lattice.reciprocal(second.vectors)
    other /= np.linalg.norm(other, axis=1, keepdims=True)
    # By the tangent: of parallel planes the arc cosine has six digits at best.
    sine = np.linalg.norm(np.cross(other, normals[best]), axis=1)
    off = np.degrees(np.arctan2(sine, other @ normals[best]))
    near = np.flatnonzero(off < off.min() + PARALLEL)
    partner = int(near[np.lexsort((off[near], size[near]))[0]])
    labels = (_as_spaced(first, planes[best]), _as_spaced(second, planes[partner]))
    return labels, float(off[partner])


def _row_ends(model: Model, index: int) -> IntArray:
    """The cations of a domain that can be among the outermost in some direction.

    Of a straight row of lattice sites only the ends can: from any other ion so many of its row lie
    further out, whichever the direction.
    """
    atoms = np.flatnonzero((model.domain == index) & (model.charges > 0))
    for step in ROWS:
        site, cell = model.site[atoms], model.site_cell[atoms].astype(np.int64)
        along = cell[:, int(np.argmax(step))]
        row = (site, *(cell - along[:, None] * step).T)
        order = np.lexsort((along, *row))
        new = np.any([np.diff(part[order], prepend=part[order[:1]]) != 0 for part in row], axis=0)
        starts = np.flatnonzero(np.concatenate([[True], new[1:]])) if len(order) else order
        size = np.diff(np.append(starts, len(order)))
        before = np.arange(len(order)) - np.repeat(starts, size)
        after = np.repeat(size, size) - 1 - before
        ends = np.minimum(before, after) < OUTERMOST
        ends |= site[order] < 0
        atoms = np.sort(atoms[order[ends]])
    return atoms


def _lowest(places: FloatArray, normals: FloatArray) -> FloatArray:
    """The smallest heights of places along each normal, sorted, shape (OUTERMOST, P)."""
    lowest = np.empty((0, len(normals)))
    for start in range(0, len(places), HEIGHTS):
        heights = np.vstack([lowest, places[start : start + HEIGHTS] @ normals.T])
        last = min(OUTERMOST, len(heights)) - 1
        lowest = np.partition(heights, last, axis=0)[: last + 1]
    return np.sort(lowest, axis=0)


def _site_places(model: Model, pair: Pair, frames: tuple[Domain, Domain]) -> FloatArray:
    """Where the sites of the atoms are, Å, shape (N, 3); of those without, the atoms."""
    places = model.positions.copy()
    for i, frame in zip(pair, frames, strict=True):
        mine = (model.domain == i) & (model.site >= 0)
        places[mine] = frame.site_positions(model.site[mine], model.site_cell[mine])
    return places


def _low_index_planes(highest: int) -> IntArray:
    axis = np.arange(-highest, highest + 1)
    grid = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1).reshape(-1, 3)
    return np.asarray(grid[np.gcd.reduce(grid, axis=1) == 1])


def _as_spaced(domain: Domain, hkl: Any) -> Plane:
    """Indices of the lattice's own spacing: (-4 -4 2), not (-2 -2 1), of an F lattice."""
    return lattice.primitive_plane(domain.crystal.primitive, [int(i) for i in hkl])


def _coincidences(
    first: Domain, second: Domain, planes: tuple[Plane, Plane]
) -> tuple[Coincidence, ...]:
    """Two in-plane coincidences, at right angles where there are such, else as near to it.

    Where strain shears the cell, the second pair is parallel to `SHEARED` degrees only.
    """
    u, v = (_net_vectors(d, p) for d, p in zip((first, second), planes, strict=True))
    found: list[tuple[float, Coincidence]] = []
    for a, b in product(u, v):
        ca, cb = a.vector @ first.vectors, b.vector @ second.vectors
        apart = lattice.angle(ca, cb)
        if apart < SHEARED:
            pair = lattice.coincidence(
                (a, float(np.linalg.norm(ca))), (b, float(np.linalg.norm(cb)))
            )
            if abs(pair.mismatch) < COINCIDES:
                found.append((apart, pair))
    # Rounded, so that of equal lengths the first counts whatever their last digits are.
    parallel = sorted(
        (c for apart, c in found if apart < ALONG), key=lambda c: round(c.lengths[0], DIGITS)
    )
    if not parallel:
        return ()
    start = parallel[0].first.vector @ first.vectors

    def off_square(pair: Coincidence) -> float:
        return round(abs(lattice.angle(pair.first.vector @ first.vectors, start) - 90.0), DIGITS)

    def best(pairs: list[Coincidence]) -> list[Coincidence]:
        usable = [c for c in pairs if off_square(c) < OBLIQUE]
        return sorted(
            usable, key=lambda c: (max(1.0, round(off_square(c))), round(c.lengths[0], DIGITS))
        )[:1]

    return tuple(parallel[:1] + (best(parallel) or best([c for _, c in found])))


def _net_vectors(domain: Domain, plane: Plane) -> list[Direction]:
    """Short primitive vectors of the plane's net, both senses."""
    u, v = (d.vector for d in domain.crystal.surface_net(plane))
    steps = [(m, n) for m, n in product(range(3, -4, -1), repeat=2) if np.gcd(m, n) == 1]
    return [Direction.of(m * u + n * v) for m, n in steps]
