"""Which ion stands on which lattice site, one to one over the lattices of several crystals.

Each ion may take any site nearby that its element can have. How far off the ions of an element
usually are in each crystal is learnt from the model itself; where two lattices have a site for an
ion, those around it count: a site in the middle of its domain has more of its neighbours filled.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from hetbuild.analyse.frames import FrameFit, least_squares, robust_weights
from hetbuild.analyse.sites import (
    claimed_halides,
    is_filled,
    may_take,
    shell,
    site_keys,
)
from hetbuild.arrays import BoolArray, FloatArray, IntArray
from hetbuild.crystal.crystal import Crystal

REACH = 2.6
"""Å: farthest that an ion of a relaxed model is looked for from its site; surface ions were seen to
move by 2.4 Å."""
WIDTH = 0.3
"""Å: displacement along each axis that is assumed at first."""
NARROWEST, WIDEST = 0.05, 0.5
"""Å: limits of the widths that are learnt, so that exact models are no special case."""
TAIL = 4.0
"""Degrees of freedom of Student's t distribution of displacements: a few ions are far off."""
POOL = 20.0
"""Ions of an element from which the width of its own displacements counts more than that of its
whole crystal."""
MEDIAN = 2.366
"""Median of the square of a vector of three normal numbers."""
SHELL = 6.0
"""Å around a site in which the filling of its lattice is counted."""
FILLED = 8.0
"""Weight, in units of the log-likelihood, of how well the lattice around a site is filled."""
NEIGHBOURS = 8
"""Ions around one without a site, whose domain it shares."""
SUBSTITUTE = 0.5
"""Log-likelihood that it costs an element to stand on a site of another, as Cl on S at a
termination."""
CLAIMED = 8.0
"""Cost on top of SUBSTITUTE for a halide that belongs to a crystal, where the file has another
halide that belongs to none: in CsPbBr3 and PbS with Br and Cl, it is Cl that caps the PbS."""
ROUNDS = 5
"""Times that sites, widths and frames are found in turn."""
FORBIDDEN = 1e4
"""Cost of a site that an ion cannot take; above the sum of all others."""
TRIES = 30
"""Passes in which ions change their domain until a composition that was given is met."""
FEWEST = 12
"""Ions from which a frame is fitted anew."""
AT_ONCE = 2_000_000
"""Sites around others that are looked up at a time."""


@dataclass(frozen=True, eq=False)
class Assignment:
    """A domain for each ion, and a site or none."""

    domain: IntArray
    """Index of the crystal, shape (N,)."""
    site: IntArray
    """Index into the crystal's sites, -1 none, shape (N,)."""
    cell: IntArray
    """Conventional cell of the site, counted from the cell at the frame's origin, shape (N, 3)."""
    residual: FloatArray
    """Å from the nearest site that the ion can have in each crystal, inf: none; shape (N, K)."""
    off: FloatArray
    """Å from the site that the ion has, shape (N,)."""
    extra: FloatArray
    """Log-likelihood that each crystal costs beside the one chosen, inf: not possible; (N, K)."""
    frames: tuple[FrameFit, ...]
    """Each lattice fitted to its own ions."""

    def first(self, n: int) -> Assignment:
        """Of the first n ions alone, as where the others are images of them."""
        names = ("domain", "site", "cell", "residual", "off", "extra")
        return replace(self, **{name: getattr(self, name)[:n] for name in names})


@dataclass(frozen=True, eq=False)
class _Options:
    """Sites that ions may take, and for each ion and crystal to have none: one row each.

    Some five rows for each ion, so the fields are of as few bytes as hold them.
    """

    ion: IntArray
    crystal: IntArray
    site: IntArray
    """-1: none."""
    cell: IntArray
    away: FloatArray
    """Å."""
    substitute: BoolArray
    """The element is not the site's own."""
    column: IntArray
    """One number for each site, and one of its own for each row without site."""


def assign(
    numbers: IntArray,
    positions: FloatArray,
    crystals: Sequence[Crystal],
    frames: Sequence[FrameFit],
    wanted: Mapping[tuple[int, int], int] | None = None,
) -> Assignment:
    """The likeliest sites of all ions, each site taken once, and the frames that go with them.

    numbers: shape (N,); positions: Å, shape (N, 3); frames: of the crystals, as `fit_frame` finds
    them. wanted: how many ions a crystal has, by its index and an atomic number.
    """
    fitted = tuple(frames)
    around = _nearest_ions(positions) if len(crystals) > 1 else np.empty((len(numbers), 0), int)
    widths = np.full((len(crystals), numbers.max() + 1), WIDTH)
    held: tuple[IntArray, IntArray, IntArray] | None = None
    for _ in range(ROUNDS):
        options = _options(numbers, positions, crystals, fitted)
        cost = _cost(numbers, around, crystals, options, widths, held)
        chosen, cost = _matched(numbers, options, cost, wanted or {})
        held = options.crystal[chosen], options.site[chosen], options.cell[chosen]
        widths = _widths(numbers, options, chosen, len(crystals))
        fitted = tuple(
            _refitted(positions, c, f, k, options, chosen, widths[k][numbers])
            for k, (c, f) in enumerate(zip(crystals, fitted, strict=True))
        )
    return Assignment(
        domain=options.crystal[chosen],
        site=options.site[chosen],
        cell=options.cell[chosen],
        residual=_residuals(options, len(numbers), len(crystals)),
        off=options.away[chosen],
        extra=_extra(options, cost, chosen),
        frames=fitted,
    )


def _options(
    numbers: IntArray,
    positions: FloatArray,
    crystals: Sequence[Crystal],
    frames: Sequence[FrameFit],
) -> _Options:
    kind = np.unique(numbers, return_inverse=True)[1]
    may = np.split(
        may_take(numbers, crystals), np.cumsum([len(c.numbers) for c in crystals])[:-1], axis=1
    )
    blocks = [
        block
        for k, (crystal, frame) in enumerate(zip(crystals, frames, strict=True))
        for block in _options_in(numbers, positions, crystal, frame, k, may[k][kind])
    ]
    ion, of, site, cell, away, substitute = map(np.concatenate, zip(*blocks, strict=True))
    del blocks
    column = _columns(ion, of, site, cell)
    return _Options(ion, of, site, cell, away, substitute, column)


def _columns(ion: IntArray, of: IntArray, site: IntArray, cell: IntArray) -> IntArray:
    """A number for each site, in the order of crystals, sites and cells; of none, one a row."""
    sort = of.astype(np.int64) * (int(site.max()) + 2) + site + 1
    key = np.where(site < 0, ion, site_keys(np.zeros_like(site), cell, 1)) + (sort << 48)
    return np.unique(key, return_inverse=True)[1].ravel().astype(np.int32)


def _options_in(
    numbers: IntArray,
    positions: FloatArray,
    crystal: Crystal,
    frame: FrameFit,
    index: int,
    may: BoolArray,
) -> Iterator[tuple[IntArray, IntArray, IntArray, IntArray, FloatArray, BoolArray]]:
    """Fields of the options in one crystal, in their order. may: shape (N, sites)."""
    fractional = (positions - frame.origin) @ np.linalg.inv(frame.vectors)
    for s, place in enumerate(crystal.fractional):
        able = np.flatnonzero(may[:, s])
        apart = fractional[able] - place
        cell = np.rint(apart)
        away = np.linalg.norm((apart - cell) @ frame.vectors, axis=1)
        near = away < REACH
        ions = able[near]
        other = numbers[ions] != crystal.numbers[s]
        yield *_rows(ions, index, s), cell[near].astype(np.int16), away[near], other
    ions = np.flatnonzero(may.any(axis=1))
    cells = np.zeros((len(ions), 3), np.int16)
    yield *_rows(ions, index, -1), cells, np.full(len(ions), REACH), np.zeros(len(ions), bool)


def _rows(ions: IntArray, crystal: int, site: int) -> tuple[IntArray, IntArray, IntArray]:
    """Ion, crystal and site of options that share the last two."""
    n = len(ions)
    return ions.astype(np.int32), np.full(n, crystal, np.int8), np.full(n, site, np.int16)


def _cost(
    numbers: IntArray,
    around: IntArray,
    crystals: Sequence[Crystal],
    options: _Options,
    widths: FloatArray,
    held: tuple[IntArray, IntArray, IntArray] | None,
) -> FloatArray:
    """Minus the log-likelihood of each option. around: as `_nearest_ions`. held: domain, site and
    cell of each ion so far."""
    width = widths[options.crystal, numbers[options.ion]]
    cost = (TAIL + 3) / 2 * np.log1p(options.away**2 / (TAIL * width**2)) + 3 * np.log(width)
    claimed = claimed_halides(numbers, crystals)[options.ion]
    cost += (SUBSTITUTE + CLAIMED * claimed) * options.substitute + (options.site < 0)
    if held is not None and len(crystals) > 1:
        cost += FILLED * (1 - _filling(around, crystals, options, held))
    return np.asarray(cost)


def _filling(
    around: IntArray,
    crystals: Sequence[Crystal],
    options: _Options,
    held: tuple[IntArray, IntArray, IntArray],
) -> FloatArray:
    """Share of the sites around that ions of the domain fill, where an ion has a choice; else 1.

    Of an option without site: the share of the nearest ions that belong to the domain.
    """
    domain, site, cell = held
    share = np.ones(len(options.ion))
    bare = options.site < 0
    share[bare] = _nearby(around, domain, options.ion[bare], options.crystal[bare])
    choice = np.zeros((len(crystals), len(domain)), bool)
    choice[options.crystal[~bare], options.ion[~bare]] = True
    contested = (choice.sum(axis=0) > 1)[options.ion] & ~bare
    for k, crystal in enumerate(crystals):
        mine = (domain == k) & (site >= 0)
        taken = np.sort(site_keys(site[mine], cell[mine], len(crystal.numbers)))
        for s in range(len(crystal.numbers)):
            rows = np.flatnonzero(contested & (options.crystal == k) & (options.site == s))
            share[rows] = _filled_around(crystal, s, options.cell[rows], taken)
    return share


def _filled_around(crystal: Crystal, site: int, cells: IntArray, taken: IntArray) -> FloatArray:
    """Share of the sites around one that are taken, in each of these cells; shape (A,)."""
    around, shift = shell(crystal, site, SHELL)
    share = np.empty(len(cells))
    step = max(1, AT_ONCE // len(around))
    for start in range(0, len(cells), step):
        part = cells[start : start + step]
        places = (part[:, None] + shift[None]).reshape(-1, 3)
        keys = site_keys(np.tile(around, len(part)), places, len(crystal.numbers))
        filled = is_filled(taken, keys).reshape(-1, len(around))
        share[start : start + step] = filled.mean(axis=1)
    return share


def _nearest_ions(positions: FloatArray) -> IntArray:
    """The ions nearest to each, itself left out, shape (N, NEIGHBOURS or less)."""
    from scipy.spatial import cKDTree

    tree, most = cKDTree(positions), min(NEIGHBOURS + 1, len(positions))
    found = np.empty((len(positions), most - 1), np.int32)
    for start in range(0, len(positions), AT_ONCE // 16):
        part = slice(start, start + AT_ONCE // 16)
        found[part] = tree.query(positions[part], k=most)[1].reshape(-1, most)[:, 1:]
    return found


def _nearby(around: IntArray, domain: IntArray, ions: IntArray, crystal: IntArray) -> FloatArray:
    """Share of the nearest ions around each that belong to a domain; ions, crystal: shape (A,)."""
    share = np.empty(len(ions))
    for start in range(0, len(ions), AT_ONCE // 16):
        part = slice(start, start + AT_ONCE // 16)
        share[part] = (domain[around[ions[part]]] == crystal[part, None]).mean(axis=1)
    return share


def _matched(
    numbers: IntArray,
    options: _Options,
    cost: FloatArray,
    wanted: Mapping[tuple[int, int], int],
) -> tuple[IntArray, FloatArray]:
    """The option of each ion, shape (N,), and the costs with what `wanted` forbids; see `assign`.

    Ions leave a domain that has too many of them, those first whose domain is least certain.
    """
    cost = cost.copy()
    for _ in range(TRIES):
        chosen = _cheapest(options, cost, len(numbers))
        of = options.crystal[chosen]
        extra = _extra(options, cost, chosen)
        extra[np.arange(len(of)), of] = np.inf
        other, margin = extra.argmin(axis=1), extra.min(axis=1)
        done = True
        for (k, z), count in wanted.items():
            kind = numbers == z
            surplus = int((kind & (of == k)).sum()) - count
            done &= surplus == 0
            # Too few of them: the cheapest of the others come.
            movable = kind & (of == k) if surplus > 0 else kind & (other == k) & (of != k)
            ranked = np.flatnonzero(movable)[np.argsort(margin[movable], kind="stable")]
            leaving = ranked[: abs(surplus)]
            cost[np.isin(options.ion, leaving) & (options.crystal == of[options.ion])] += FORBIDDEN
        if done:
            break
    return chosen, cost


def _cheapest(options: _Options, cost: FloatArray, n: int) -> IntArray:
    """The option of each ion, no site twice, of least summed cost; shape (n,)."""
    from scipy.sparse import csr_matrix
    from scipy.sparse.csgraph import min_weight_full_bipartite_matching

    chosen = _uncontested(options, cost, n)
    rows = np.flatnonzero(chosen[options.ion] < 0)
    if not len(rows):
        return chosen
    ions, ion = np.unique(options.ion[rows], return_inverse=True)
    columns, column = np.unique(options.column[rows], return_inverse=True)
    # Stored zeros are edges that do not exist.
    weight = cost[rows] - cost.min() + 1.0
    graph = csr_matrix((weight, (ion, column)), shape=(len(ions), len(columns)))
    matched = min_weight_full_bipartite_matching(graph)[1]
    order = np.lexsort((column, ion))
    key = ion * len(columns) + column
    wanted = np.arange(len(ions)) * len(columns) + matched
    chosen[ions] = rows[order[np.searchsorted(key[order], wanted)]]
    return chosen


def _uncontested(options: _Options, cost: FloatArray, n: int) -> IntArray:
    """The cheapest option of each ion whose site no other ion wants, -1 for the rest; shape (n,).

    Such an ion takes nothing from any other, so the rest are matched without it and, as its other
    options are free then, more of them are so: nearly all of a large particle.
    """
    chosen = np.full(n, -1)
    left = np.lexsort((options.column, cost, options.ion))
    wanted = np.bincount(options.column, minlength=int(options.column.max()) + 1)
    while len(left):
        ion = options.ion[left]
        first = left[np.flatnonzero(np.r_[True, ion[1:] != ion[:-1]])]
        sure = first[wanted[options.column[first]] == 1]
        if not len(sure):
            break
        chosen[options.ion[sure]] = sure
        gone = chosen[ion] >= 0
        np.subtract.at(wanted, options.column[left[gone]], 1)
        left = left[~gone]
    return chosen


def _extra(options: _Options, cost: FloatArray, chosen: IntArray) -> FloatArray:
    """What each crystal would cost an ion more than its own, inf where it has none; (N, K).

    An ion that takes the site of another makes that one go to the next best vacant site.
    """
    n, k = len(chosen), int(options.crystal.max()) + 1
    owner = np.full(int(options.column.max()) + 1, -1)
    owner[options.column[chosen]] = np.arange(n)
    holder = owner[options.column]
    refuge = np.full(n, np.inf)
    np.minimum.at(refuge, options.ion, np.where(holder < 0, cost, np.inf))
    displaced = (refuge - cost[chosen])[holder]
    displaced[(holder < 0) | (holder == options.ion)] = 0.0
    best = np.full((n, k), np.inf)
    np.minimum.at(best, (options.ion, options.crystal), cost + displaced)
    return np.asarray(best - cost[chosen][:, None])


def _residuals(options: _Options, n: int, crystals: int) -> FloatArray:
    residual = np.full((n, crystals), np.inf)
    on = options.site >= 0
    np.minimum.at(residual, (options.ion[on], options.crystal[on]), options.away[on])
    return residual


def _widths(numbers: IntArray, options: _Options, chosen: IntArray, crystals: int) -> FloatArray:
    """Displacement along an axis of each element in each crystal, Å, by atomic number."""
    away, of = options.away[chosen], options.crystal[chosen]
    on = options.site[chosen] >= 0
    widths = np.full((crystals, numbers.max() + 1), WIDTH)
    for k in range(crystals):
        if not (on & (of == k)).any():
            continue
        whole = np.median(away[on & (of == k)] ** 2) / MEDIAN
        for z in np.unique(numbers):
            mine = on & (of == k) & (numbers == z)
            n = int(mine.sum())
            own = np.median(away[mine] ** 2) / MEDIAN if n else 0.0
            widths[k, z] = np.sqrt((n * own + POOL * whole) / (n + POOL))
    return widths.clip(NARROWEST, WIDEST)


def _refitted(
    positions: FloatArray,
    crystal: Crystal,
    frame: FrameFit,
    index: int,
    options: _Options,
    chosen: IntArray,
    width: FloatArray,
) -> FrameFit:
    """The frame by least squares over the ions of its domain; as it is where they are too few."""
    mine = np.flatnonzero((options.crystal[chosen] == index) & (options.site[chosen] >= 0))
    if len(mine) < FEWEST:
        return frame
    rows = chosen[mine]
    sites = crystal.fractional[options.site[rows]] + options.cell[rows]
    weights = robust_weights(options.away[rows], 2 * width[mine]) / width[mine] ** 2
    vectors, origin = least_squares(sites, positions[mine], weights)
    off = np.linalg.norm(sites @ vectors + origin - positions[mine], axis=1)
    return FrameFit(vectors, origin, float(np.sqrt((off**2).mean())), mine)
