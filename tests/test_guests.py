"""Molecules on the sites of ions: whole, where they were told, and back again."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from conftest import joined, load
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist, pdist

import hetbuild as hb
from hetbuild.errors import ImpossibleError, InputError
from hetbuild.exchanging.molecule import read_molecule
from hetbuild.exchanging.molecules import replace_molecules
from hetbuild.model import Model, Role

FEW = settings(max_examples=5, deadline=None)
SEEDS = st.integers(0, 10_000)


@cache
def sparse(edge: float = 12.0) -> Model:
    """Eight Cs far apart in a domain, roles mixed, and a Cs of another domain."""
    corners = np.array([(i, j, k) for i in (0, 1) for j in (0, 1) for k in (0, 1)], float)
    rng = np.random.default_rng(7)
    crystal = load("CsPbCl3")
    frame = np.linalg.qr(rng.normal(size=(3, 3)))[0] * 5.605
    return Model(
        numbers=np.full(9, 55),
        positions=np.vstack([corners * edge, [[-40.0, 0.0, 0.0]]]),
        charges=np.ones(9, dtype=int),
        domain=np.array([1] * 8 + [0]),
        role=np.array([0, 2, 0, 2, 3, 0, 0, 2, 0]),
        domains=tuple(hb.Domain(n, crystal, frame, np.zeros(3), 0) for n in ("other", "cube")),
    )


def molecules_of(model: Model) -> np.ndarray:
    """Atoms 8 by 8 of the molecules that were added last, shape (count, 8)."""
    light = np.flatnonzero(np.isin(model.numbers, (1, 6, 7)))
    return light.reshape(-1, 8)


@FEW
@given(SEEDS, st.sampled_from(["MA", "FA"]), st.sampled_from([0.25, 0.5, 0.7, 1.0]))
def test_molecules_are_whole_and_centred_on_the_sites(seed: int, name: str, part: float) -> None:
    before, molecule = sparse(), read_molecule(name)
    after, report = replace_molecules(before, "cube", "Cs", name, fraction=part, seed=seed)
    count = round(8 * part)
    groups = molecules_of(after)
    assert (len(groups), report.taken, report.put) == (count, {"Cs": count}, {name: count})
    assert (report.charge, report.details, after.charge) == (0, {}, before.charge)
    assert (after.numbers == 55).sum() == 9 - count
    for group in groups:
        np.testing.assert_array_equal(after.numbers[group], molecule.numbers)
        np.testing.assert_array_equal(after.charges[group], molecule.charges)
        np.testing.assert_allclose(
            pdist(after.positions[group]), pdist(molecule.positions), atol=1e-6
        )
        away = np.linalg.norm(before.positions - after.positions[group].mean(axis=0), axis=1)
        seat = int(away.argmin())
        assert away[seat] == pytest.approx(0.0, abs=1e-6)
        assert set(after.domain[group]) == {before.domain[seat]} == {1}
        assert set(after.role[group]) == {before.role[seat]}
    assert (after.site[groups] == -1).all()
    taken = {e.position for e in after.ledger}
    assert len(taken) == len(after.ledger) == count
    assert {(e.element, e.action, e.domain) for e in after.ledger} == {
        (f"Cs>{name}", "swap", "cube")
    }
    # The mirror image of a molecule is another molecule: the turn is a rotation.
    turned = np.linalg.lstsq(molecule.positions, after.positions[groups[0]] -
        after.positions[groups[0]].mean(axis=0), rcond=None)[0]  # fmt: skip
    if name == "MA":
        assert np.linalg.det(turned) == pytest.approx(1.0, abs=1e-5)


@FEW
@given(SEEDS)
def test_a_fraction_counts_those_that_are_there_already(seed: int) -> None:
    half, _ = replace_molecules(sparse(), "cube", "Cs", "MA", fraction=0.5, seed=seed)
    for fraction, more in ((0.5, 0), (0.25, 0), (0.75, 2), (1.0, 4)):
        _, report = replace_molecules(half, "cube", "Cs", "MA", fraction=fraction, seed=seed)
        assert report.put == {"MA": more}
    back, report = replace_molecules(half, "cube", "MA", "Cs", seed=seed)
    assert report.taken == {"MA": 4}
    assert cdist(back.positions, sparse().positions).min(axis=0).max() < 1e-6
    assert back.formula == sparse().formula
    assert sorted(back.role) == sorted(sparse().role)
    other, report = replace_molecules(half, "cube", "MA", "FA", fraction=0.5, seed=seed)
    assert (report.taken, report.put) == ({"MA": 2}, {"FA": 2})
    assert (other.numbers == 7).sum() == 2 * 1 + 2 * 2
    full, _ = replace_molecules(half, "cube", "Cs", "MA", seed=seed)
    again, report = replace_molecules(full, "cube", "Cs", "MA", seed=seed)
    assert (report.put, report.details, len(again)) == ({"MA": 0}, {}, len(full))
    np.testing.assert_array_equal(again.positions, full.positions)


def test_all_that_leave_are_of_the_domain_named() -> None:
    with pytest.raises(InputError, match="cube holds no FA to exchange for Cs"):
        replace_molecules(sparse().where(np.arange(9) > 7), "cube", "FA", "Cs")
    both, _ = replace_molecules(sparse(), "other", "Cs", "MA")
    np.testing.assert_array_equal(both.domain[molecules_of(both)], [[0] * 8])
    both, _ = replace_molecules(both, "cube", "Cs", "MA", fraction=0.5)
    back, report = replace_molecules(both, "other", "MA", "Cs")
    assert report.taken == {"MA": 1}
    assert (back.domain[np.isin(back.numbers, (1, 6, 7))] == 1).all()


@pytest.mark.parametrize("along", [(0, 0, 1), (1, 0, 0), (1, 1, 0), (1, -1, 2)])
def test_a_molecule_with_room_points_along_the_direction(along: tuple[int, int, int]) -> None:
    after, _ = replace_molecules(sparse(), "cube", "Cs", "MA", along=along, seed=3)
    groups = molecules_of(after)
    axis = after.positions[groups[:, 1]] - after.positions[groups[:, 0]]
    wanted = np.array(along) @ sparse().domains[1].vectors
    cosine = axis @ wanted / (np.linalg.norm(axis, axis=1) * np.linalg.norm(wanted))
    np.testing.assert_allclose(cosine, 1.0, atol=1e-4)


def hemmed(gap: float) -> Model:
    """A Cs with a Cl `gap` Å to one side, and a Cs that has room."""
    return replace(
        sparse().where(np.arange(9) < 3),
        numbers=np.array([55, 17, 55]),
        charges=np.array([1, -1, 1]),
        positions=np.array([(0.0, 0, 0), (gap, 0, 0), (30.0, 0, 0)]),
        role=np.full(3, Role.LATTICE),
    )


def test_a_molecule_without_room_stands_beside_its_site() -> None:
    """No H may come within 2.0 Å of Cl, no C or N within 2.9 Å; the report says how far off."""
    model = hemmed(1.5)
    after, report = replace_molecules(model, "cube", "Cs", "MA", seed=1)
    centres = after.positions[molecules_of(after)].mean(axis=1)
    off = np.linalg.norm(centres - model.positions[[0, 2]], axis=1)
    assert off[1] == pytest.approx(0.0, abs=1e-6)
    assert 0.1 < off[0] <= 2.0
    assert report.details == {"beside_site": 1, "off_at_most": pytest.approx(off[0], abs=6e-4)}
    chlorine = after.positions[after.numbers == 17]
    for element, floor in ((1, 2.0), (6, 2.9), (7, 2.9)):
        assert cdist(after.positions[after.numbers == element], chlorine).min() > floor
    _, report = replace_molecules(hemmed(6.0), "cube", "Cs", "MA", seed=1)
    assert report.details == {}
    shell = np.vstack([np.eye(3), -np.eye(3)]) * 1.7
    caged = model.extended(
        numbers=np.full(6, 17), positions=shell, charges=np.full(6, -1),
        domain=np.full(6, 1), role=np.zeros(6, dtype=int), on_sites=False,
    )  # fmt: skip
    with pytest.raises(ImpossibleError, match="No room for MA on 1 of 2 sites, the first at"):
        replace_molecules(caged, "cube", "Cs", "MA", seed=1)


def test_molecules_keep_clear_of_each_other() -> None:
    """On a net of 5 Å every pair of molecules turns away from its neighbours."""
    after, _ = replace_molecules(sparse(5.0), "cube", "Cs", "MA", seed=2)
    groups = molecules_of(after)
    for i in range(len(groups)):
        for k in range(i):
            apart = cdist(after.positions[groups[i]], after.positions[groups[k]])
            h = [after.numbers[groups[x]] == 1 for x in (i, k)]
            assert apart[np.ix_(h[0], h[1])].min() > 1.9
            assert apart[np.ix_(~h[0], ~h[1])].min() > 2.9
            assert min(apart[np.ix_(h[0], ~h[1])].min(), apart[np.ix_(~h[0], h[1])].min()) > 2.4


def test_ions_that_come_for_molecules_have_their_sites() -> None:
    """In a particle: Cs to MA and back is the particle, sites and all."""
    model = joined(2)
    away, report = replace_molecules(model, "perovskite", "Cs", "MA", fraction=0.5, seed=4)
    assert report.put["MA"] > 2
    back, _ = replace_molecules(away, "perovskite", "MA", "Cs")
    centre = np.linalg.norm(back.positions - back.lattice_positions, axis=1)
    cs = back.numbers == 55
    assert cs.sum() == (model.numbers == 55).sum()
    on = back.site[cs] >= 0
    assert on.sum() >= cs.sum() - report.details.get("beside_site", 0)
    assert (centre[cs] < 0.3).all()
    assert back.charge == model.charge
