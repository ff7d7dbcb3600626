"""Merging and settling: floors, least displacement, nothing else changed, clear refusals."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from conftest import history
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.spatial import cKDTree
from scipy.spatial.distance import pdist, squareform

from hetbuild.assemble.merge import Merging, merge
from hetbuild.assemble.settle import Settling, settle
from hetbuild.errors import ImpossibleError, InputError
from hetbuild.geometry.contacts import Floors
from hetbuild.geometry.exposure import exposed
from hetbuild.library import find_recipe
from hetbuild.model import PER_ATOM, Model
from hetbuild.recipe.read import read_recipe
from hetbuild.recipe.run import build


def closest(model: Model) -> dict[str, float]:
    """Shortest distance in the whole model of each kind of pair, by brute force."""
    apart = squareform(pdist(model.positions))
    np.fill_diagonal(apart, np.inf)
    anion = model.charges < 0
    return {
        "anion-anion": float(apart[np.ix_(anion, anion)].min()),
        "cation-anion": float(apart[np.ix_(~anion, anion)].min()),
        "cation-cation": float(apart[np.ix_(~anion, ~anion)].min()),
    }


def test_no_pair_anywhere_is_closer_than_its_floor(main_model: Model) -> None:
    for kind, limit in Floors().by_kind.items():
        assert closest(main_model)[kind] > limit


def test_only_positions_near_the_interface_change(main_stages: dict[str, Model]) -> None:
    before, after = main_stages["balanced"], main_stages["settled"]
    for name in PER_ATOM:
        if name != "positions":
            assert np.array_equal(getattr(before, name), getattr(after, name))
    moved = np.linalg.norm(after.positions - before.positions, axis=1)
    assert 0.5 < moved.max() < 0.85
    assert 20 <= (moved > 0).sum() <= 50
    assert 0.2 < np.sqrt((moved[moved > 0] ** 2).mean()) < 0.4
    first, second = (before.positions[before.domain == i] for i in (0, 1))
    across = np.where(
        before.domain == 0,
        cKDTree(second).query(before.positions)[0],
        cKDTree(first).query(before.positions)[0],
    )
    assert across[moved > 0].max() < 6.0


def test_settling_is_the_least_displacement(main_stages: dict[str, Model]) -> None:
    """Against a general solver with the same constraints, started from another place."""
    balanced = main_stages["balanced"]
    near = np.abs(balanced.positions[:, 2]) < 7
    model = balanced.where(near & (np.abs(balanced.positions[:, 1] + 5.6) < 5.5))
    settled = settle(model, Settling(margin=0.0))
    ours = settled.positions - model.positions
    moved = np.flatnonzero(np.abs(ours).any(axis=1))
    assert len(moved) >= 3
    i, j = np.triu_indices(len(model), 1)
    floor = Floors().between(model.charges[i], model.charges[j])
    apart = np.linalg.norm(model.positions[i] - model.positions[j], axis=1)
    same = model.domain[i] == model.domain[j]
    floor = np.where(same, np.minimum(floor, apart), floor)
    kept = (np.isin(i, moved) | np.isin(j, moved)) & (apart < floor + 1.5)
    i, j, floor = i[kept], j[kept], floor[kept]

    def room(x: np.ndarray) -> np.ndarray:
        places = model.positions.copy()
        places[moved] += x.reshape(-1, 3)
        return np.linalg.norm(places[i] - places[j], axis=1) - floor

    start = np.random.default_rng(0).normal(scale=0.05, size=3 * len(moved)) + ours[moved].ravel()
    best = minimize(
        lambda x: x @ x,
        start,
        jac=lambda x: 2 * x,
        constraints={"type": "ineq", "fun": room},
        method="SLSQP",
        options={"maxiter": 300, "ftol": 1e-10},
    )
    assert best.success
    assert (ours**2).sum() == pytest.approx(best.fun, rel=2e-3)


def test_settling_twice_or_where_floors_hold_changes_nothing(main_model: Model) -> None:
    assert np.array_equal(settle(main_model).positions, main_model.positions)
    far = replace(
        main_model,
        positions=main_model.positions - 3.0 * (main_model.domain == 1)[:, None] * [0, 0, 1.0],
    )
    assert settle(far).ledger == far.ledger


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=5)
def test_settling_commutes_with_rotation(seed: int) -> None:
    from scipy.spatial.transform import Rotation

    balanced = history("cspbcl3-pbs")["balanced"]
    turn = Rotation.random(random_state=np.random.default_rng(seed)).as_matrix()
    turned = settle(balanced.moved(turn, np.array([1.0, 2.0, 3.0])))
    straight = history("cspbcl3-pbs")["settled"].moved(turn, np.array([1.0, 2.0, 3.0]))
    np.testing.assert_allclose(turned.positions, straight.positions, atol=1e-4)


def test_settling_refuses_what_it_cannot_do(main_stages: dict[str, Model]) -> None:
    balanced, joined = main_stages["balanced"], main_stages["joined"]
    with pytest.raises(ImpossibleError, match=r"would have to move 0\.\d+ Å; the limit is 0\.2 Å"):
        settle(balanced, Settling(limit=0.2))
    with pytest.raises(ImpossibleError, match=r"the limit is 1 Å.*join\.merge"):
        settle(joined)
    with pytest.raises(ImpossibleError, match=r"Widen join\.settle\.reach \(2 Å\)"):
        settle(balanced, Settling(reach=2.0, limit=5.0))


def test_merge_keeps_one_ion_of_each_place(main_stages: dict[str, Model]) -> None:
    joined = main_stages["joined"]
    for keep, formula in (("sulfide", "Cs144Pb80Cl276"), ("perovskite", "Pb257S219Cl83")):
        merged = merge(joined, Merging(keep))
        other = {"sulfide": "perovskite", "perovskite": "sulfide"}[keep]
        assert merged.formulas[other] == formula
        assert merged.formulas[keep] == joined.formulas[keep]
        first, second = (
            merged.positions[(merged.domain == i) & (merged.charges < 0)] for i in (0, 1)
        )
        assert cKDTree(first).query(second)[0].min() > 1.5
    assert len(merge(joined, Merging("sulfide", within=0.5))) == len(joined)
    assert np.array_equal(merge(merged, Merging("sulfide")).positions, merged.positions)
    with pytest.raises(InputError, match="several partners"):
        merge(joined, Merging("sulfide", within=4.5))
    with pytest.raises(InputError, match="No domain 'sulphide'"):
        merge(joined, Merging("sulphide"))


def test_recipe_switches_and_faults() -> None:
    path = find_recipe("cspbcl3-pbs")
    with pytest.raises(ImpossibleError, match=r"domains collide: .*join\.settle"):
        build(read_recipe(path, ("join.settle=false",)))
    options = read_recipe(path, ("join.settle={limit=0.9}",)).join
    assert options is not None
    assert options.settle is not None
    assert options.settle.limit == 0.9
    assert options.merge is not None
    assert (options.merge.keep, options.merge.within) == ("sulfide", 1.5)
    with pytest.raises(InputError, match=r"join\.merge: .*perovskite"):
        read_recipe(path, ("join.merge=sulphide",))
    with pytest.raises(InputError, match=r"join\.merge: Merging within -1 Å"):
        read_recipe(path, ('join.merge={keep="sulfide",within=-1}',))
    with pytest.raises(InputError, match=r"join\.settle\.limt: unknown key; .*limit"):
        read_recipe(path, ("join.settle={limt=1}",))


def test_exposed_ions_are_those_outside(main_stages: dict[str, Model]) -> None:
    cube = history("cspbcl3-cube-5")["perovskite-carved"]
    outside = exposed(cube.positions, cube.positions)
    at_face = np.abs(cube.positions).max(axis=1) > 2.5 * 5.605 - 0.1
    assert outside[at_face].all()
    inside = np.abs(cube.positions).max(axis=1) < 2 * 5.605 - 0.1
    assert not outside[inside].any()
    # Of the Cs in the kinks of the profile the sulfide covers those in the middle of the interface.
    merged = main_stages["merged"]
    heights = merged.domains[0].plane_index((-2, 1, 0), merged.positions)
    row = np.flatnonzero((merged.numbers == 55) & (np.abs(heights + 1.5) < 0.01))
    covered = ~exposed(merged.positions, merged.positions[row])
    assert covered.sum() >= 5
    assert np.abs(merged.positions[row[covered], 0] + 8.8).max() < 13.0
    assert np.abs(merged.positions[row[covered], 1] + 5.6).max() < 9.0
