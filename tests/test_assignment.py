"""Which ion stands on which site of which crystal, part by part, against sums over all of them."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from conftest import load
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment
from scipy.stats import multivariate_t

from hetbuild.analyse import assignment
from hetbuild.analyse.assignment import _Options
from hetbuild.analyse.frames import FrameFit
from hetbuild.analyse.sites import may_take
from hetbuild.arrays import FloatArray, IntArray

SEEDS = st.integers(0, 2**32 - 1)


def options(rng: np.random.Generator, n: int, sites: int, crystals: int = 2) -> _Options:
    """Of n ions each to some of the sites of each crystal, and to none of it."""
    rows = [
        (ion, k, site, k * sites + site)
        for ion, k, site in itertools.product(range(n), range(crystals), range(sites))
        if rng.random() < 0.5
    ]
    bare = [(i, k, -1, crystals * (sites + i) + k) for i in range(n) for k in range(crystals)]
    # The numbers of columns have gaps where no ion may take a site; `bare` ones are apart.
    bare = [(i, k, s, c + crystals * sites) for i, k, s, c in bare]
    ion, crystal, site, column = np.array([*rows, *bare]).T
    count = len(ion)
    away = np.where(site < 0, assignment.REACH, rng.uniform(0, 2, count))
    return _Options(
        ion,
        crystal,
        site,
        np.zeros((count, 3), dtype=np.int64),
        away,
        np.zeros(count, bool),
        column,
    )


def best(given_: _Options, cost: FloatArray, n: int) -> float:
    """The least sum of costs, by scipy's assignment in a full matrix."""
    full = np.full((n, int(given_.column.max()) + 1), 1e6)
    full[given_.ion, given_.column] = cost
    i, j = linear_sum_assignment(full)
    return float(full[i, j].sum())


@settings(max_examples=25)
@given(SEEDS, st.integers(1, 9), st.integers(1, 6))
def test_the_sum_of_costs_is_the_least(seed: int, n: int, sites: int) -> None:
    rng = np.random.default_rng(seed)
    every = options(rng, n, sites)
    cost = rng.normal(size=len(every.ion)) + 2.0 * (every.site < 0)
    chosen = assignment._cheapest(every, cost, n)
    assert every.ion[chosen].tolist() == list(range(n))
    assert len(set(every.column[chosen].tolist())) == n
    assert cost[chosen].sum() == pytest.approx(best(every, cost, n))
    alone = assignment._uncontested(every, cost, n)
    assert np.array_equal(alone[alone >= 0], chosen[alone >= 0])


def test_whose_site_nobody_wants_is_settled_at_once() -> None:
    """Ions 0 and 1 share a site; 2 has one of its own, and leaves 3 the one both could take."""
    ion = np.array([0, 1, 2, 2, 3, 0, 1, 2, 3])
    column = np.array([0, 0, 1, 2, 2, 5, 6, 7, 8])
    cost = np.array([1.0, 2.0, 0.0, 1.0, 0.5, 9.0, 9.0, 9.0, 9.0])
    zeros = np.zeros(9, dtype=np.int64)
    site = np.where(column < 5, column, -1)
    every = _Options(ion, zeros, site, np.zeros((9, 3), int), cost, zeros > 0, column)
    assert assignment._uncontested(every, cost, 4).tolist() == [-1, -1, 2, 4]
    assert assignment._cheapest(every, cost, 4).tolist() == [0, 6, 2, 4]


@settings(max_examples=25)
@given(SEEDS, st.integers(1, 7), st.integers(1, 5))
def test_what_another_crystal_costs_more(seed: int, n: int, sites: int) -> None:
    """One by one: the cost of the option, and of the next vacant one for whom it turns out."""
    rng = np.random.default_rng(seed)
    every = options(rng, n, sites)
    cost = rng.normal(size=len(every.ion))
    chosen = assignment._cheapest(every, cost, n)
    taken = {int(every.column[row]): ion for ion, row in enumerate(chosen)}
    expected = np.full((n, 2), np.inf)
    for row, (ion, k, column) in enumerate(
        zip(every.ion, every.crystal, every.column.tolist(), strict=True)
    ):
        more = cost[row] - cost[chosen[ion]]
        holder = taken.get(column, ion)
        if holder != ion:
            vacant = [
                cost[r]
                for r in np.flatnonzero(every.ion == holder)
                if int(every.column[r]) not in taken
            ]
            more += min(vacant, default=np.inf) - cost[chosen[holder]]
        expected[ion, k] = min(expected[ion, k], more)
    np.testing.assert_allclose(assignment._extra(every, cost, chosen), expected)
    nearest = assignment._residuals(every, n, 2)
    for ion, k in itertools.product(range(n), range(2)):
        mine = every.away[(every.ion == ion) & (every.crystal == k) & (every.site >= 0)]
        assert nearest[ion, k] == min(mine, default=np.inf)


@settings(max_examples=10)
@given(SEEDS)
def test_formulas_are_met_by_those_least_certain(seed: int) -> None:
    """Twelve ions that fit both crystals: as many as wanted are in the first, the cheapest ones."""
    rng = np.random.default_rng(seed)
    n = 12
    ion = np.tile(np.arange(n), 2)
    crystal = np.repeat([0, 1], n)
    zeros = np.zeros(2 * n, dtype=np.int64)
    every = _Options(
        ion, crystal, zeros, np.zeros((2 * n, 3), int), zeros * 0.5, zeros > 0, np.arange(2 * n)
    )
    cost = rng.normal(size=2 * n)
    numbers = np.full(n, 17)
    for wanted in (0, 3, 12):
        chosen, _ = assignment._matched(numbers, every, cost, {(0, 17): wanted})
        first = np.flatnonzero(every.crystal[chosen] == 0)
        assert len(first) == wanted
        gain = (cost[n:] - cost[:n])[np.argsort(cost[:n] - cost[n:])]
        assert (cost[n:] - cost[:n])[first].sum() == pytest.approx(gain[:wanted].sum())


def test_widths_are_those_of_the_displacements() -> None:
    """Of two elements on sites 0 and 1, drawn together by POOL ions; others keep WIDTH."""
    rng = np.random.default_rng(8)
    n = 4000
    sigma = np.repeat([0.1, 0.3], n)
    away = np.append(np.linalg.norm(rng.normal(size=(2 * n, 3)) * sigma[:, None], axis=1), 2.6)
    numbers = np.append(np.repeat([55, 82], n), 82)
    site = np.append(np.repeat([0, 1], n), -1)
    index = np.arange(2 * n + 1)
    every = _Options(index, index * 0, site, np.zeros((len(index), 3), int), away, index < 0, index)
    widths = assignment._widths(numbers, every, index, 2)
    assert widths.shape == (2, 83)
    assert widths[0, [55, 82]] == pytest.approx([0.1, 0.3], rel=0.05)
    assert np.all(widths[1] == assignment.WIDTH)
    assert np.all(widths[0, :55] == assignment.WIDTH)
    few = np.flatnonzero((index < 20) | ((index >= n) & (index < 2 * n)))
    pooled = assignment._widths(numbers[few], _Options(
        np.arange(len(few)), few * 0, site[few], np.zeros((len(few), 3), int), away[few], few < 0,
        few), np.arange(len(few)), 1)  # fmt: skip
    # Twenty of their own, and as many as the rest counts.
    whole = np.median(away[few] ** 2) / assignment.MEDIAN
    own = np.median(away[:20] ** 2) / assignment.MEDIAN
    assert pooled[0, 55] ** 2 == pytest.approx((own + whole) / 2)


def frame(name: str) -> FrameFit:
    vectors = load(name).vectors
    return FrameFit(vectors, np.array([0.3, -0.2, 0.1]), 0.0, np.arange(0))


def block(name: str, cells: int) -> tuple[IntArray, IntArray, IntArray, FloatArray]:
    """Numbers, sites, cells and positions of a cube of so many cells, on the frame."""
    crystal, place = load(name), frame(name)
    cell = np.array(list(itertools.product(range(cells), repeat=3)))
    sites = np.arange(len(crystal.numbers))
    site, at = np.tile(sites, len(cell)), np.repeat(cell, len(sites), axis=0)
    positions = (crystal.fractional[site] + at) @ place.vectors + place.origin
    return crystal.numbers[site], site, at, positions


def test_options_are_all_sites_within_reach() -> None:
    """Of a displaced ion of each element, against every site of the cells around."""
    names = ("CsPbCl3", "PbS")
    crystals, frames = [load(n) for n in names], [frame(n) for n in names]
    rng = np.random.default_rng(2)
    numbers = np.array([55, 82, 17, 16])
    positions = rng.uniform(-4, 4, (4, 3))
    found = assignment._options(numbers, positions, crystals, frames)
    on = found.site >= 0
    assert (found.away[~on] == assignment.REACH).all()
    assert (found.site[~on] == -1).all()
    # No row of a crystal that has no site for the ion.
    assert set(zip(found.ion[~on].tolist(), found.crystal[~on].tolist(), strict=True)) == {
        (i, k)
        for i, (k, crystal) in itertools.product(range(4), enumerate(crystals))
        if may_take(numbers[[i]], [crystal]).any()
    }
    cells = np.array(list(itertools.product(range(-3, 4), repeat=3)))
    rows = {}
    for row in np.flatnonzero(on):
        ion, k, s = found.ion[row], found.crystal[row], found.site[row]
        at = (crystals[k].fractional[s] + found.cell[row]) @ frames[k].vectors + frames[k].origin
        assert found.away[row] == pytest.approx(np.linalg.norm(at - positions[ion]))
        assert found.substitute[row] == (numbers[ion] != crystals[k].numbers[s])
        assert (crystals[k].charges[s] > 0) == (numbers[ion] in (55, 82))
        rows[int(ion), int(k), int(s)] = row
    for i, (k, crystal) in itertools.product(range(4), enumerate(crystals)):
        for s in np.flatnonzero(crystal.numbers == numbers[i]):
            at = (crystal.fractional[s] + cells) @ frames[k].vectors + frames[k].origin
            away = np.linalg.norm(at - positions[i], axis=1).min()
            assert ((i, k, int(s)) in rows) == (away < assignment.REACH)
    # One column for a site, one of its own for each row without.
    assert len(np.unique(found.column[~on])) == (~on).sum()
    assert not set(found.column[on].tolist()) & set(found.column[~on].tolist())


def test_costs_are_those_of_students_distribution() -> None:
    """Differences of cost at two distances are those of scipy's log-density, at any width."""
    away = np.array([0.0, 0.2, 0.9, 2.0])
    index = np.arange(4)
    every = _Options(
        index, index * 0, index, np.zeros((4, 3), int), away, np.array([0, 0, 0, 1]) > 0, index
    )
    crystals = [load("CsPbCl3")]
    numbers = np.full(4, 17)
    found = []
    for width in (0.1, 0.4):
        widths = np.full((1, 18), width)
        cost = assignment._cost(numbers, np.zeros((4, 3)), crystals, every, widths, None)
        law = multivariate_t(np.zeros(3), width**2 * np.eye(3), df=assignment.TAIL)
        density = law.logpdf(np.column_stack([away, np.zeros((4, 2))]))
        found.append(cost - assignment.SUBSTITUTE * every.substitute + density)
    np.testing.assert_allclose(found, found[0][0], atol=1e-9)


def test_filling_is_the_share_of_sites_around_that_are_taken() -> None:
    """An ion amid its crystal has all, at a corner fewer; counted in the block itself."""
    name, cells = "PbS", 4
    crystals = [load(name), load("CsPbCl3")]
    numbers, site, cell, positions = block(name, cells)
    n = len(numbers)
    index = np.arange(n)
    # Every ion may also be the second crystal's, which no ion is.
    every = _Options(
        np.tile(index, 2), np.repeat([0, 1], n), np.tile(site, 2), np.tile(cell, (2, 1)),
        np.zeros(2 * n), np.zeros(2 * n, bool), np.arange(2 * n),
    )  # fmt: skip
    every.site[n:] = 0
    nearest = assignment._nearest_ions(positions)
    share = assignment._filling(nearest, crystals, every, (np.zeros(n, int), site, cell))
    away = np.linalg.norm(positions[:, None] - positions[None], axis=2)
    around = ((away < assignment.SHELL - 1e-6) & (away > 0.1)).sum(axis=1)
    assert share[:n] == pytest.approx(around / around.max())
    assert share[:n].max() == 1
    assert not share[n:].any()


def test_an_ion_without_a_site_goes_with_its_neighbours() -> None:
    rng = np.random.default_rng(1)
    positions = rng.uniform(0, 5, (40, 3))
    domain = (positions[:, 0] > 2.5).astype(int)
    ions, crystal = np.array([3, 7, 7]), np.array([0, 1, 0])
    found = assignment._nearby(assignment._nearest_ions(positions), domain, ions, crystal)
    for ion, k, share in zip(ions, crystal, found, strict=True):
        away = np.linalg.norm(positions - positions[ion], axis=1)
        nearest = np.argsort(away)[1 : assignment.NEIGHBOURS + 1]
        assert share == pytest.approx((domain[nearest] == k).mean())


def test_frames_follow_the_ions_of_their_domain() -> None:
    """A strained, shifted lattice comes back; of fewer than FEWEST ions the frame stays."""
    rng = np.random.default_rng(3)
    crystal, before = load("PbS"), frame("PbS")
    _, site, cell, _ = block("PbS", 3)
    n = len(site)
    vectors = before.vectors @ (np.eye(3) + rng.normal(scale=0.01, size=(3, 3)))
    origin = before.origin + 0.2
    noise = rng.normal(scale=0.02, size=(n, 3))
    positions = (crystal.fractional[site] + cell) @ vectors + origin + noise
    positions[:30] += 5.0  # without a site, or of the other domain
    index = np.arange(n)
    off = np.linalg.norm(noise, axis=1)
    every = _Options(
        index, np.where(index < 15, 1, 0), np.where((index >= 15) & (index < 30), -1, site), cell,
        off, index < 0, index,
    )  # fmt: skip
    width = np.full(n, 0.05)
    found = assignment._refitted(positions, crystal, before, 0, every, index, width)
    assert found.matched.tolist() == list(range(30, n))
    np.testing.assert_allclose(found.vectors, vectors, atol=0.01)
    np.testing.assert_allclose(found.origin, origin, atol=0.02)
    assert found.rms == pytest.approx(np.sqrt((off[30:] ** 2).mean()), rel=0.05)
    for count, stays in ((assignment.FEWEST - 1, True), (assignment.FEWEST, False)):
        chosen = np.concatenate([index[:30], index[30 : 30 + count]])
        kept = assignment._refitted(positions, crystal, before, 0, every, chosen, width)
        assert (kept is before) == stays
