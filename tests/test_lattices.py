"""Sites, regions and lattices through displaced atoms, against plain distances and algebra."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from conftest import joined, load
from scipy.spatial.distance import cdist
from scipy.spatial.transform import Rotation

import hetbuild as hb
from hetbuild.analyse.frames import least_squares, robust_weights
from hetbuild.analyse.regions import Region, regions
from hetbuild.analyse.sites import claimed_halides, is_filled, may_take, shell, site_keys
from hetbuild.exchanging.same_site import oriented, principal_strains

# Sites and regions


def test_regions_of_joined_halves_by_plain_distances() -> None:
    """Core: every bond of the bulk is there; interface: shared, or unlike ions within 3.6 Å."""
    model = joined(1.5)
    apart = cdist(model.positions, model.positions)
    unlike = np.sign(model.charges)[:, None] == -np.sign(model.charges)
    across = model.domain[:, None] != model.domain
    met = (unlike & across & (apart <= 3.6)).any(axis=1) | (model.role == hb.Role.SHARED)
    inside = np.zeros(len(model), dtype=bool)
    for i, domain in enumerate(model.domains):
        bonds = domain.crystal.bonds
        full = np.bincount(bonds.site, minlength=len(domain.crystal.numbers))
        mine = np.flatnonzero(model.domain == i)
        longest = np.zeros((len(mine), len(mine)))
        for a, b in {(0, 0)} | set(zip(bonds.site.tolist(), bonds.partner.tolist(), strict=True)):
            reach = bonds.length[(bonds.site == a) & (bonds.partner == b)].max(initial=0.0)
            longest[np.ix_(model.site[mine] == a, model.site[mine] == b)] = reach + 1e-3
        near = (unlike & (apart > 0.1))[np.ix_(mine, mine)] & (apart[np.ix_(mine, mine)] < longest)
        inside[mine] = near.sum(axis=1) == full[model.site[mine]]
    expected = np.where(met, Region.INTERFACE, np.where(inside, Region.CORE, Region.FACET))
    np.testing.assert_array_equal(regions(model), expected)
    assert len(np.unique(expected)) == 3
    lost = replace(model, site=np.where(np.arange(len(model)) == 7, -1, model.site))
    others = np.flatnonzero(np.arange(len(model)) != 7)
    nearest = others[apart[7, others].argmin()]
    assert regions(lost)[7] in (regions(lost)[nearest], Region.INTERFACE)


def test_shells_of_sites_and_their_keys() -> None:
    for name in ("CsPbCl3", "CsPbBr3-orthorhombic"):
        crystal = load(name)
        cells = np.array(list(itertools.product(range(-2, 3), repeat=3)))
        for site in (0, 1):
            away = (
                cells[:, None] + crystal.fractional - crystal.fractional[site]
            ) @ crystal.vectors
            length = np.linalg.norm(away, axis=2)
            near = (length < 6.0) & (length > 1e-3)
            around, cell = shell(crystal, site, 6.0)
            found = {(int(a), *map(int, c)) for a, c in zip(around, cell, strict=True)}
            assert found == {
                (int(j), *map(int, cells[k])) for k, j in zip(*np.nonzero(near), strict=True)
            }
    rng = np.random.default_rng(0)
    site, cell = rng.integers(0, 20, 4000), rng.integers(-60, 60, (4000, 3))
    keys = site_keys(site, cell, 20)
    assert len(np.unique(keys)) == len(np.unique(np.column_stack([site, cell]), axis=0))
    taken = np.sort(keys[:2000])
    np.testing.assert_array_equal(is_filled(taken, keys), np.isin(keys, keys[:2000]))
    assert not is_filled(keys[:0], keys).any()


def test_which_elements_may_stand_on_which_sites() -> None:
    """Cl of a termination on S, Br of another file on Cl; a halide of the crystal stays one."""
    numbers = np.array([82, 16, 17, 35])  # Pb S Cl Br
    salt, perovskite = load("PbS"), load("CsPbCl3")
    kinds = [16, 17, 35, 82]
    may = may_take(numbers, [salt])
    for row, z in zip(may, kinds, strict=True):
        own = salt.numbers == z
        expected = own | (salt.numbers == 16) if z in (17, 35) else own
        np.testing.assert_array_equal(row, expected)
    may = may_take(numbers, [perovskite])
    expected = {16: (), 17: (17,), 35: (17,), 82: (82,)}
    for row, z in zip(may, kinds, strict=True):
        np.testing.assert_array_equal(row, np.isin(perovskite.numbers, expected[z]))
    assert claimed_halides(numbers, [perovskite]).tolist() == [False, False, True, False]
    assert not claimed_halides(numbers[:3], [perovskite]).any()


# Lattices through displaced atoms


def test_lattices_are_weighted_least_squares() -> None:
    """Against the normal equations; weights fall by four at the width, as (1 + x²)^-2."""
    rng = np.random.default_rng(1)
    sites, vectors = rng.integers(-3, 4, (40, 3)).astype(float), rng.normal(size=(3, 3)) * 5
    positions = sites @ vectors + [1.0, -2.0, 0.5] + rng.normal(0, 0.2, (40, 3))
    residual = np.linalg.norm(positions - sites @ vectors - [1.0, -2.0, 0.5], axis=1)
    weights = robust_weights(residual, 0.3)
    assert robust_weights(np.array([0.0, 0.3, 0.6]), 0.3) == pytest.approx([1, 1 / 4, 1 / 25])
    design = np.column_stack([sites, np.ones(40)])
    expected = np.linalg.solve(
        design.T @ (weights[:, None] * design), design.T @ (weights[:, None] * positions)
    )
    found, origin = least_squares(sites, positions, weights)
    np.testing.assert_allclose(np.vstack([found, origin]), expected, atol=1e-9)


@pytest.mark.parametrize("strain", [(0.03, 0.01, -0.02), (0.0, 0.0, 0.05)])
def test_strains_of_a_domain_are_those_it_was_given(strain: tuple[float, float, float]) -> None:
    crystal = load("PbS")
    a, b = (Rotation.random(random_state=k).as_matrix() for k in (1, 2))
    stretch = a @ np.diag(1 + np.array(strain)) @ a.T
    domain = hb.carve(crystal, radius=5.0, name="salt").domains[0]
    strained = replace(domain, vectors=crystal.vectors @ stretch @ b)
    assert principal_strains(strained, crystal) == pytest.approx(sorted(strain)[::-1], abs=1e-8)
    turned = oriented(crystal.vectors, crystal.vectors @ b)
    np.testing.assert_allclose(turned, crystal.vectors @ b, atol=1e-6)
