"""The frame of one particle alone, where a model holds several of one crystal."""

from __future__ import annotations

import numpy as np

from hetbuild.analyse.frames import MATCH, FrameFit, least_squares, robust_weights
from hetbuild.analyse.starts import LOCAL, WIDTH, Ions, nearest_site
from hetbuild.arrays import BoolArray, FloatArray, IntArray
from hetbuild.crystal.crystal import Crystal

CONNECTED = 4.5
"""Å between ions of one particle that are next to each other."""

FEWEST = 12
"""Ions from which a frame is fitted anew."""

HALF = 0.5
"""An ion belongs to the particle where more than this share of the ions around it stand near
sites."""


def of_one_particle(
    numbers: IntArray, positions: FloatArray, crystal: Crystal, frame: FrameFit
) -> FrameFit:
    """A frame fitted to the largest particle alone that shows it; `matched` are its ions.

    A crystal of which there are several particles may fit two of them at once, strained. An ion
    belongs to the particle where it stands near a site, most of those around it do too, and such
    ions connect it with the rest: another particle may have some ions near these sites, but not
    most.
    """
    ions, everywhere = Ions(numbers, positions, crystal), np.arange(len(numbers))
    site, away = nearest_site(ions, everywhere, crystal, frame.vectors, frame.origin)
    mine = _largest_piece(positions, _mostly(positions, away < WIDTH) & (away < MATCH))
    if len(mine) < FEWEST:
        return frame
    vectors, origin = least_squares(site[mine], positions[mine], robust_weights(away[mine], WIDTH))
    site, away = nearest_site(ions, everywhere, crystal, vectors, origin)
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
