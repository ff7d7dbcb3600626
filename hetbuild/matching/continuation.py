"""How well the cation sublattices of two crystals continue each other where planes match.

That the cations of one crystal take the sites where those of the other would have stood is the
papers' reason why such interfaces form (Toso et al., doi 10.1038/s41467-022-31699-1). Here it is a
property of a match; `continuity` measures the same on the atoms of a finished model.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from hetbuild.analyse.continuity import LAYER, ON_SITE
from hetbuild.arrays import FloatArray
from hetbuild.crystal.crystal import Crystal
from hetbuild.crystal.vicinal import StepProfile, step_profile
from hetbuild.matching.bicrystal import Side, bicrystal
from hetbuild.matching.matches import Match
from hetbuild.rounding import DIGITS, NOTHING

ROUNDS = 4
"""Rounds of shifting by the mean displacement; after these the coincident sites stay the same."""

MOST_SHIFTS = 2000
"""Largest number of lateral shifts tried for one layer."""

MARGIN = 1e-3
"""Å by which heights of one layer may differ."""


@dataclass(frozen=True, slots=True)
class Fit:
    """Cations of a layer of one crystal on sites of the other's cation sublattice."""

    layer_of: str
    """Crystal whose outermost cations are counted."""
    count: int
    """How many of them stand on sites of the other, at the best shift."""
    total: int
    rms: float
    """Distance from these sites, Å."""
    rows: bool
    """True: rows of cations along a common step edge are counted instead of single cations."""

    @property
    def score(self) -> float:
        """1 where every cation continues a site exactly, 0 where none does."""
        return self.count / self.total * (1.0 - (self.rms / ON_SITE) ** 2) if self.total else 0.0

    def __str__(self) -> str:
        what = " rows" if self.rows else ""
        return f"{self.count}/{self.total}{what} {self.rms:.2f}"

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "layer_of": self.layer_of,
            "count": self.count,
            "total": self.total,
            "rms": self.rms,
            "rows": self.rows,
            "score": self.score,
        }


def cation_fit(match: Match, crystals: tuple[Crystal, Crystal]) -> Fit:
    """The best continuation of cation sites over all shifts, layers and both crystals.

    The second crystal is strained to the first one's cell. A layer is as thick as the step profile
    of the plane is deep. Where both planes are stepped with their edges along one vector of the
    cell, rows of cations that continue each other count as well: sites spaced differently along
    them cannot.
    """
    sides = bicrystal(match, crystals)
    profiles = [step_profile(s.crystal, s.plane) for s in sides]
    found = _over_layers(sides, profiles, None)
    edge = _common_edge(match, profiles)
    if edge is not None:
        found.append(max(_over_layers(sides, profiles, edge), key=_order))
        # Rows say less than sites: they only count where they fit better.
        return max(found, key=lambda f: (round(f.score, DIGITS), not f.rows))
    return max(found, key=_order)


def _order(fit: Fit) -> tuple[float, int]:
    return round(fit.score, DIGITS), fit.total


def _over_layers(
    sides: tuple[Side, Side], profiles: list[StepProfile], edge: int | None
) -> list[Fit]:
    return [
        fit
        for mine, other in ((1, 0), (0, 1))
        for fit in _layers_on(sides[mine], sides[other], _depth(sides[mine], profiles[mine]), edge)
    ]


def _depth(side: Side, found: StepProfile) -> float:
    """Of the step profile of the cations from its highest to its lowest row, Å."""
    if found.step is None:
        return LAYER
    index = float(np.dot(found.terrace.vector.vector, side.plane))
    return max(LAYER, abs(index) * side.repeat)


def _common_edge(match: Match, profiles: list[StepProfile]) -> int | None:
    """Which cell vector runs along the step edges of both, if both have steps and one does."""
    if any(s.step is None for s in profiles):
        return None
    for k, pair in enumerate(match.cell):
        directions = (pair.first.uvw, pair.second.uvw)
        if not any(
            np.cross(d, s.edge.uvw).any() for d, s in zip(directions, profiles, strict=True)
        ):
            return k
    return None


def _layers_on(mine: Side, other: Side, depth: float, edge: int | None) -> list[Fit]:
    """Each layer of one crystal, brought onto the sites of the other in every way."""
    cell = mine.flat(mine.cell)
    reach = depth + ON_SITE
    lattice_sites = other.sites(-reach, other.repeat + reach).cations
    targets = other.sites(0.0, other.repeat - MARGIN, primitive=True).cations
    layer_sites = mine.sites(-depth, mine.repeat).cations
    starts = mine.sites(-depth, mine.repeat, primitive=True).cations
    search = _Search(lattice_sites, cell, edge)
    found = []
    for top in np.unique(np.round(starts[:, 2], 3)):
        if top < -MARGIN or top >= mine.repeat - MARGIN:
            continue
        layer, from_ = (
            s[(s[:, 2] <= top + MARGIN) & (s[:, 2] >= top - depth - MARGIN)]
            for s in (layer_sites, starts)
        )
        shifts = (targets[:, None] - from_[None]).reshape(-1, 3)
        count, total, rms = search.best(layer, _with_midpoints(shifts, other))
        found.append(Fit(mine.crystal.name, count, total, rms, edge is not None))
    return found


def _with_midpoints(shifts: FloatArray, other: Side) -> FloatArray:
    """Shifts that put a cation on a site, and those halfway between two that are near each other.

    From halfway a few cations may settle that each sit a little off their sites.
    """
    from scipy.spatial import cKDTree

    net = other.flat(other.net)
    folded = shifts.copy()
    folded[:, :2] -= np.floor(shifts[:, :2] @ np.linalg.inv(net) + NOTHING) @ net
    folded = np.unique(np.round(folded, 4), axis=0)
    steps = np.array([(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1)]) @ net
    images = (np.hstack([steps, np.zeros((9, 1))])[:, None] + folded).reshape(-1, 3)
    near = cKDTree(folded).sparse_distance_matrix(
        cKDTree(images), 2 * ON_SITE, output_type="ndarray"
    )
    between = (folded[near["i"]] + images[near["j"]]) / 2
    return np.unique(np.round(np.vstack([folded, between]), 3), axis=0)[:MOST_SHIFTS]


class _Search:
    """Nearest sites of a lattice that repeats over a cell; of rows along an edge of it."""

    def __init__(self, sites: FloatArray, cell: FloatArray, edge: int | None) -> None:
        from scipy.spatial import cKDTree

        self.cell = cell
        self.drop = np.eye(3)
        if edge is not None:
            along = cell[edge] / np.linalg.norm(cell[edge])
            self.drop[:2, :2] -= np.outer(along, along)
        steps = np.array([(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1)])
        shifts = np.zeros((9, 3))
        shifts[:, :2] = steps @ cell
        images = (self._folded(sites) + shifts[:, None]).reshape(-1, 3) @ self.drop
        self.points = np.unique(np.round(images, DIGITS), axis=0)
        self.tree = cKDTree(self.points)

    def best(self, layer: FloatArray, shifts: FloatArray) -> tuple[int, int, float]:
        """Most sites found and their rms distance. layer: (n, 3); shifts tried first: (s, 3)."""
        merged = np.unique(np.round(self._folded(layer) @ self.drop, 3), axis=0)
        layer = layer if len(merged) == len(layer) else merged
        best = (0, len(layer), ON_SITE)
        for _ in range(ROUNDS):
            moved = self._folded(layer[None] + shifts[:, None]) @ self.drop
            away, index = self.tree.query(moved.reshape(-1, 3), distance_upper_bound=ON_SITE)
            on = np.isfinite(away).reshape(moved.shape[:2])
            apart = self.points[np.where(on.ravel(), index, 0)].reshape(moved.shape) - moved
            apart = np.where(on[..., None], apart, 0.0)
            count = on.sum(axis=1)
            rms = np.sqrt((apart**2).sum(axis=(1, 2)) / np.maximum(count, 1))
            value = count * (1.0 - (rms / ON_SITE) ** 2)
            k = int(np.argmax(np.round(value, 9)))
            if value[k] > best[0] * (1.0 - (best[2] / ON_SITE) ** 2) + NOTHING:
                best = (int(count[k]), len(layer), float(rms[k]))
            shifts = shifts + apart.sum(axis=1) / np.maximum(count, 1)[:, None]
        return best

    def _folded(self, points: FloatArray) -> FloatArray:
        cells = np.floor(points[..., :2] @ np.linalg.inv(self.cell) + NOTHING)
        result = np.array(points)
        result[..., :2] -= cells @ self.cell
        return result
