"""How often each distance occurs in a particle, by pair of elements and domains.

Distances are counted in bins of 0.01 Å, each shared linearly between the two nearest bins: counted
in the nearest bin alone they put a powder pattern off by up to 1 % of its maximum where distances
repeat, as they do in crystals. Within a domain whose ions stand on their sites distances come from
the autocorrelation of the occupied sites by fast Fourier transform, in a time that grows with the
number of ions; all others are measured one by one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations_with_replacement

import numpy as np

from hetbuild.arrays import BoolArray, FloatArray, IntArray, Progress
from hetbuild.errors import ImpossibleError
from hetbuild.frozen import Frozen
from hetbuild.model import Model

STEP = 0.01
"""Width of a bin of the histogram of distances, Å."""

ON_SITE = 1e-4
"""Å within which an atom stands on its lattice site; files keep 1e-8."""

TILE = 256
"""Distances of so many atoms to as many others are worked on at once, within the cache."""


@dataclass(frozen=True, eq=False)
class PairHistograms(Frozen):
    """Distances of a particle, by pair of species; a species is an element in a domain."""

    domains: tuple[str, ...]
    """Names."""
    species: IntArray
    """Domain's index and atomic number of each species, shape (S, 2)."""
    atoms: IntArray
    """Atoms of each species, shape (S,)."""
    pairs: IntArray
    """Indices of the two species of each histogram, shape (P, 2), P = S (S + 1) / 2."""
    counts: FloatArray
    """Ordered pairs i, j (i not j) at distance k * step, both orders counted, shape (P, K)."""
    step: float
    """Å."""

    def __post_init__(self) -> None:
        for array in (self.species, self.atoms, self.pairs, self.counts):
            array.flags.writeable = False

    @property
    def distances(self) -> FloatArray:
        """Å, shape (K,)."""
        return np.asarray(self.step * np.arange(self.counts.shape[1]), dtype=np.float64)


def pair_histograms(
    model: Model, *, step: float = STEP, progress: Progress = None
) -> PairHistograms:
    """Count the distances of a finite particle.

    step: width of a bin, Å. At 0.01 Å a Debye sum differs from the exact one by less than 1e-4 of
    its maximum up to q = 6 1/Å.

    Raises
    ------
    ImpossibleError
        The model repeats, or has fewer than two atoms.
    """
    if model.cell is not None:
        raise ImpossibleError(
            "A Debye sum is that of a finite particle, and this model repeats along its cell: "
            "build a particle of it."
        )
    if len(model) < 2:
        raise ImpossibleError("A diffraction pattern needs two atoms or more.")
    keys = np.stack([model.domain, model.numbers], axis=1).astype(np.int64)
    species, which, atoms = np.unique(keys, axis=0, return_inverse=True, return_counts=True)
    which = which.reshape(-1)
    pairs = np.array(list(combinations_with_replacement(range(len(species)), 2)))
    middle = model.positions - model.positions.mean(axis=0)
    reach = 2.0 * float(np.linalg.norm(middle, axis=1).max())
    counts = _Counts(pairs, np.zeros((len(pairs), int(reach / step) + 4)), step)
    on_site = on_lattice(model)
    for index in np.unique(model.domain[on_site]):
        mine = on_site & (model.domain == index)
        _by_lattice(model.where(mine), which[mine], int(index), counts)
    _by_distance(middle, which, np.where(on_site, model.domain, -1), counts, progress)
    names = tuple(d.name for d in model.domains)
    return PairHistograms(names, species, atoms, pairs, counts.bins, step)


def on_lattice(model: Model) -> BoolArray:
    """Which atoms stand on the lattice site they belong to, shape (N,)."""
    result = np.zeros(len(model), dtype=bool)
    for index, domain in enumerate(model.domains):
        mine = np.flatnonzero((model.domain == index) & (model.site >= 0))
        ideal = domain.site_positions(model.site[mine], model.site_cell[mine])
        off = np.linalg.norm(model.positions[mine] - ideal, axis=1)
        result[mine] = off < ON_SITE
    return result


@dataclass(frozen=True, eq=False)
class _Counts:
    """Histograms being filled."""

    pairs: IntArray
    bins: FloatArray
    step: float

    def add(self, species: tuple[int, int], bins: FloatArray) -> None:
        """Add a histogram to that of a pair of species."""
        first, second = min(species), max(species)
        n = int(self.pairs[-1, 0]) + 1
        self.bins[first * n - first * (first - 1) // 2 + second - first, : len(bins)] += bins


def _by_lattice(model: Model, which: IntArray, index: int, counts: _Counts) -> None:
    """Distances within one domain whose atoms, all of them here, stand on sites.

    A sublattice is a site of the cell occupied by one species. The autocorrelation of the cells
    occupied gives how many pairs any difference of cells occurs in.
    """
    from scipy.fft import irfftn, next_fast_len, rfftn

    domain = model.domains[index]
    cell = model.site_cell.astype(np.int64)
    cell = cell - cell.min(axis=0)
    extent = cell.max(axis=0) + 1
    shape = tuple(next_fast_len(int(2 * e - 1), real=True) for e in extent)
    keys = np.stack([model.site.astype(np.int64), which], axis=1)
    sublattices, label = np.unique(keys, axis=0, return_inverse=True)
    label = label.reshape(-1)
    spectra = []
    for k in range(len(sublattices)):
        occupied = np.zeros(shape)
        occupied[tuple(cell[label == k].T)] = 1.0
        spectra.append(rfftn(occupied))
    for i, j in combinations_with_replacement(range(len(sublattices)), 2):
        found = np.rint(irfftn(np.conj(spectra[i]) * spectra[j], s=shape))
        if i == j:
            found[0, 0, 0] = 0.0  # each atom with itself
        where = np.nonzero(found)
        # Negative differences are wrapped to the end of each axis.
        apart = np.stack([w - n * (w > n // 2) for w, n in zip(where, shape, strict=True)], axis=1)
        between = domain.sites[sublattices[j, 0]] - domain.sites[sublattices[i, 0]]
        distance = np.linalg.norm((apart + between) @ domain.vectors, axis=1)
        weight = found[where] * (1.0 if i == j else 2.0)
        species = int(sublattices[i, 1]), int(sublattices[j, 1])
        counts.add(species, _shared(distance / counts.step, weight))


def _shared(t: FloatArray, weight: FloatArray) -> FloatArray:
    """Weights at places t, in bins, shared linearly between the two nearest bins."""
    low = t.astype(np.intp)
    upper = np.bincount(low, weights=weight * (t - low))
    result = np.zeros(len(upper) + 1)
    result[:-1] = np.bincount(low, weights=weight) - upper
    result[1:] += upper
    return result


def _by_distance(
    positions: FloatArray, which: IntArray, lattice: IntArray, counts: _Counts, progress: Progress
) -> None:
    """All pairs but those of one domain that both stand on its lattice, measured one by one.

    lattice: the domain whose lattice each atom stands on, -1 where on none, shape (N,).
    """
    keys = np.stack([which, lattice], axis=1)
    groups, label = np.unique(keys, axis=0, return_inverse=True)
    label = label.reshape(-1)
    members = [positions[label == g] for g in range(len(groups))]
    todo = [
        (g, h)
        for g, h in combinations_with_replacement(range(len(groups)), 2)
        if groups[g, 1] < 0 or groups[g, 1] != groups[h, 1]
    ]
    total = sum(len(members[g]) * len(members[h]) / (1 + (g == h)) for g, h in todo)
    done = 0
    for g, h in todo:
        number, sums = np.zeros(counts.bins.shape[1]), np.zeros(counts.bins.shape[1])
        for t, twice in _distances(members[g], members[h], g == h, counts.step):
            low = t.astype(np.intp)
            number += np.bincount(low, minlength=len(number)) * twice
            sums += np.bincount(low, weights=t, minlength=len(sums)) * twice
            done += len(t)
            if progress is not None:
                progress(min(done / total, 1.0))
        if g == h:
            number[0] = sums[0] = 0.0  # each atom with itself
        # Of the atoms in bin k the parts t - k, in all sums - k number, belong to bin k + 1.
        upper = sums - np.arange(len(sums)) * number
        number -= upper
        number[1:] += upper[:-1]
        counts.add((int(groups[g, 0]), int(groups[h, 0])), number)


def _distances(
    first: FloatArray, second: FloatArray, same: bool, step: float
) -> Iterator[tuple[FloatArray, float]]:
    """Blocks of distances in bins, each with how often its pairs count in the ordered sum."""
    # (x - y)^2 = x^2 - 2 x.y + y^2 as one matrix product, the work of BLAS.
    left = np.column_stack([-2.0 * first, (first**2).sum(axis=1), np.ones(len(first))]) / step**2
    right = np.column_stack([second, np.ones(len(second)), (second**2).sum(axis=1)]).T.copy()
    for start in range(0, len(first), TILE):
        stop = start + TILE
        if same:
            yield _bins(left[start:stop] @ right[:, start:stop]), 1.0
        for begin in range(stop if same else 0, len(second), TILE):
            yield _bins(left[start:stop] @ right[:, begin : begin + TILE]), 2.0


def _bins(squared: FloatArray) -> FloatArray:
    flat = squared.reshape(-1)
    np.maximum(flat, 0.0, out=flat)
    return np.sqrt(flat, out=flat)
