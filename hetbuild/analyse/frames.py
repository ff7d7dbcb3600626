"""Find crystals in bare positions: where the lattice of each lies, with the strain it has there.

Frames are proposed around a few seed atoms (`starts`), and each, strain and all, is refined from
there outwards.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hetbuild.analyse.starts import LOCAL, WIDTH, Ions, Start, nearest_site, sites_around, starts_of
from hetbuild.arrays import FloatArray, IntArray
from hetbuild.crystal.crystal import Crystal
from hetbuild.elements import symbol
from hetbuild.errors import ImpossibleError

STRAIN = 0.13
"""Largest isotropic strain looked for: CsPbI3 on the lattice that CsPbCl3 left it is at -10 %."""
MATCH = 1.5
"""Å within which an atom counts as standing on a site."""
HOPELESS = 0.3
"""Occupied fraction of the sites around a seed below which an orientation is not refined."""
TOO_FEW = 0.52
"""Occupied fraction of the sites of a refined frame below which the crystal is not there. Relaxed
models, halides 0.7 Å rms off their sites, reach 0.58 at least, wrong crystals 0.47 at most."""
OF_A_CORNER = 0.4
"""The same for the smallest particles, where every ion is near a corner and sites around it are
beyond the surface."""
ALL_BUT_A_FEW = 0.95
"""Share of the ions around a seed that must stand on sites for such a small particle to be the
crystal."""
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
    ions = Ions(numbers, positions, crystal)
    starts = starts_of(members, ions, crystal, element)[:REFINED]
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


def _explained(ions: Ions, fit: FrameFit, centre: FloatArray) -> float:
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


def _grown(ions: Ions, crystal: Crystal, start: Start) -> FrameFit:
    """Robust least squares over ions near their sites, in a region that grows from the seed."""
    vectors, origin = start.vectors, start.origin
    distance = np.linalg.norm(ions.positions - start.centre, axis=1)
    for radius in GROWTH:
        inside = np.flatnonzero(distance < radius)
        site, residual = nearest_site(ions, inside, crystal, vectors, origin)
        on = residual < MATCH
        if on.sum() >= 8:
            vectors, origin = least_squares(
                site[on], ions.positions[inside[on]], robust_weights(residual[on], WIDTH)
            )
        if len(inside) == len(distance):
            break
    everywhere = np.arange(len(distance))
    for _ in range(4):
        site, residual = nearest_site(ions, everywhere, crystal, vectors, origin)
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


def _filling_around(ions: Ions, crystal: Crystal, fit: FrameFit, centre: FloatArray) -> float:
    """Filling of the sites within LOCAL of the one nearest to a place."""
    fractional = (centre - fit.origin) @ np.linalg.inv(fit.vectors)
    apart = fractional - crystal.fractional
    cells = np.rint(apart)
    seat = int(np.linalg.norm((apart - cells) @ fit.vectors, axis=1).argmin())
    offsets, kinds = sites_around(crystal, crystal.fractional[seat], ions.site_kind)
    home = (crystal.fractional[seat] + cells[seat]) @ fit.vectors + fit.origin
    sites = offsets @ np.linalg.inv(crystal.vectors) @ fit.vectors + home
    return float(ions.filling(sites, kinds).mean())


def _filled(ions: Ions, crystal: Crystal, fit: FrameFit) -> float:
    """How many ions of a particle the sites of a frame explain."""
    everywhere = np.arange(len(ions.positions))
    _, residual = nearest_site(ions, everywhere, crystal, fit.vectors, fit.origin)
    return float(np.exp(-0.5 * (residual / WIDTH) ** 2).sum())
