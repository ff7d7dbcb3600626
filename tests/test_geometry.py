"""Geometry against independent sums: views, pairs, superpositions, neighbours, faces."""

from __future__ import annotations

import itertools
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from conftest import load
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist
from scipy.spatial.transform import Rotation

import hetbuild as hb
from hetbuild.assemble.merge import Merging, merge, merged_pair
from hetbuild.crystal.charges import state
from hetbuild.errors import InputError
from hetbuild.geometry import pairing
from hetbuild.geometry.bonds import molecule_bonds
from hetbuild.geometry.contacts import clear_of, closest_contacts
from hetbuild.geometry.depth import below_hull, flat_faces
from hetbuild.geometry.exposure import exposed
from hetbuild.geometry.images import images
from hetbuild.geometry.neighbours import bonded_neighbours, bulk_coordination
from hetbuild.geometry.point_group import OUTERMOST, point_group_symbol
from hetbuild.geometry.rigid import superposed
from hetbuild.geometry.view import interface_plane, view, zone_view

SEEDS = st.integers(0, 2**32 - 1)


@cache
def salt() -> hb.Model:
    return hb.carve(load("PbS"), [hb.Facet((1, 0, 0), 2)], site="Pb", name="salt")


@cache
def joined() -> hb.Model:
    """Half a CsPbCl3 cube on half a PbS cube, tilted in space."""
    upper = hb.carve("CsPbCl3", [hb.Facet((1, 0, 0), 1)], site="Pb", name="perovskite")
    upper = hb.cut(upper, (1, 0, 0), keep="above", at=0)
    lower = hb.cut(salt(), (1, 0, 0), keep="below", at=-1)
    parallel = hb.Orientation(((1, 0, 0), (1, 0, 0)), along=((0, 1, 0), (0, 1, 0)))
    both = hb.join(upper, lower, parallel, hb.Registry(0.0, 0.0, 0.0))
    return both.moved(
        Rotation.from_euler("xyz", [20, 50, -35], degrees=True).as_matrix(), np.ones(3)
    )


# Views


def test_a_view_is_a_right_handed_frame_with_the_zone_towards_the_viewer() -> None:
    model = joined()
    plane = interface_plane(model)
    assert plane is not None
    for domain, uvw in itertools.product((0, 1), [(1, 0, 0), (0, 1, 0), (2, 1, -1), (0, 0, -1)]):
        axes = zone_view(model, domain, uvw).axes
        np.testing.assert_allclose(axes @ axes.T, np.eye(3), atol=1e-12)
        assert np.linalg.det(axes) == pytest.approx(1.0)
        zone = np.array(uvw) @ model.domains[domain].vectors
        np.testing.assert_allclose(axes @ zone, [0, 0, np.linalg.norm(zone)], atol=1e-9)
        up = axes @ plane[0]  # upright on the screen, unless it points at the viewer
        assert up[0] == pytest.approx(0.0, abs=1e-9)
        assert up[1] > 0.1 or abs(up[2]) == pytest.approx(1.0)


def test_the_usual_view_is_along_the_interface_with_the_first_domain_on_top() -> None:
    model = joined()
    seen = view(model)
    assert seen.plane is not None
    screen = seen.project(model.positions)
    assert screen[model.domain == 0, 1].min() > screen[model.domain == 1, 1].max() - 0.2
    direction = np.linalg.inv(model.domains[0].vectors.T) @ seen.axes[2]
    assert (np.abs(direction) > 1e-9).sum() == 1  # an axis of the cell, positive
    assert direction.sum() > 0
    assert model.interface is not None
    met = replace(
        model.interface,
        domains=model.interface.domains[::-1], planes=model.interface.planes[::-1],
    )  # fmt: skip
    upside_down = replace(model, interface=met)
    flipped = interface_plane(upside_down)
    assert flipped is not None
    np.testing.assert_allclose(flipped[0], -seen.plane[0], atol=1e-12)


@pytest.mark.parametrize(("uvw", "up"), [((0, 1, 0), 2), ((0, 0, 1), 1), ((1, 0, 0), 1)])
def test_without_an_interface_an_axis_of_the_cell_is_up(uvw: tuple[int, int, int], up: int) -> None:
    particle = salt().moved(Rotation.from_rotvec([0.3, -1.0, 0.4]).as_matrix(), np.zeros(3))
    axes = zone_view(particle, 0, uvw).axes
    edge = particle.domains[0].vectors[up]
    np.testing.assert_allclose(axes[1], edge / np.linalg.norm(edge), atol=1e-9)


def test_the_interface_lies_in_its_shared_layer_or_between_the_cations() -> None:
    model = joined()
    plane = interface_plane(model)
    assert plane is not None
    normal, point = plane
    height = model.positions @ normal
    cations = model.charges > 0
    low = height[cations & (model.domain == 0)].min()
    high = height[cations & (model.domain == 1)].max()
    assert point @ normal == pytest.approx((low + high) / 2)
    role = np.where(cations & (model.domain == 0) & (height < low + 0.1), hb.Role.SHARED, 0)
    shared = interface_plane(replace(model, role=role))
    assert shared is not None
    np.testing.assert_allclose(shared[1], model.positions[role > 0].mean(axis=0))
    assert interface_plane(salt()) is None


@pytest.mark.parametrize("angles", [(25.0, 0.0), (0.0, 25.0), (-12.0, 33.0)])
def test_tilts_are_rotations_about_right_and_then_up(angles: tuple[float, float]) -> None:
    seen = view(salt())
    expected = Rotation.from_euler("xy", angles, degrees=True).apply(seen.project(np.eye(3)))
    np.testing.assert_allclose(seen.tilted(*angles).project(np.eye(3)), expected, atol=1e-12)


# Pairs and superpositions


@settings(max_examples=15, deadline=None)
@given(SEEDS, st.integers(1, 12), st.integers(1, 12), st.sampled_from([1.5, 3.0, np.inf]))
def test_pairs_are_the_assignment_of_least_squares(
    seed: int, n: int, m: int, within: float
) -> None:
    """Against scipy's assignment, with every point free to stay alone where a limit is set."""
    rng = np.random.default_rng(seed)
    x, y = rng.uniform(0, 4, (n, 3)), rng.uniform(0, 4, (m, 3))
    found = pairing.pair(x, y, within)
    met = np.flatnonzero(found >= 0)
    assert len(set(found[met].tolist())) == len(met)
    apart = np.linalg.norm(x[met] - y[found[met]], axis=1)
    assert (apart <= within).all()
    if within == np.inf:
        i, j = linear_sum_assignment(cdist(x, y, "sqeuclidean"))
        assert len(met) == min(n, m)
        assert (apart**2).sum() == pytest.approx((cdist(x, y) ** 2)[i, j].sum())
    elif len(met) < min(n, m):  # who stayed alone has nobody left near him
        alone = cdist(np.delete(x, met, axis=0), np.delete(y, found[met], axis=0))
        assert (alone > within).all()


def test_large_sets_are_paired_nearly_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    y = rng.uniform(0, 12, (300, 3))
    x = rng.permutation(y)[:280] + rng.normal(0, 0.4, (280, 3))
    cost = cdist(x, y, "sqeuclidean")
    i, j = linear_sum_assignment(cost)
    monkeypatch.setattr(pairing, "EXACT", 100)
    for within in (np.inf, 6.0):
        found = pairing.pair(x, y, within)
        assert len(set(found.tolist())) == 280
        assert found.min() >= 0
        assert cost[np.arange(280), found].sum() <= cost[i, j].sum() + 280 * pairing.STEP
    near = pairing.pair(x, y, 0.3)
    met = near >= 0
    assert 0 < met.sum() < 280
    assert cost[np.flatnonzero(met), near[met]].max() <= 0.3**2


@pytest.mark.parametrize("exact", [100, 20])
def test_those_far_from_all_others_are_paired_too(
    monkeypatch: pytest.MonkeyPatch, exact: int
) -> None:
    """A crowd, and most places far from it: each finds one, the best while they are few."""
    rng = np.random.default_rng(4)
    x = rng.normal(0, 1, (140, 3))
    y = np.vstack([rng.normal(0, 1, (60, 3)), rng.normal((30, 0, 0), 9, (110, 3))])
    monkeypatch.setattr(pairing, "EXACT", exact)
    found = pairing.pair(x, y)
    assert len(set(found.tolist())) == 140
    assert found.min() >= 0
    cost = cdist(x, y, "sqeuclidean")
    i, j = linear_sum_assignment(cost)
    share = cost[np.arange(140), found].sum() / cost[i, j].sum()
    assert (share < 1.06) == (exact == 100)
    assert share < 1.5


def test_nobody_stays_alone_who_can_go_farther(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sixty times two beside one place, and another 4 Å away: one of the two takes that."""
    at = 40.0 * np.arange(60)[:, None] * (1, 0, 0)
    x = np.vstack([at, np.add(at, (0.2, 0, 0))])
    y = np.vstack([np.add(at, (0.1, 0, 0)), np.add(at, (0, 4, 0))])
    monkeypatch.setattr(pairing, "EXACT", 100)
    for within in (6.0, np.inf):
        found = pairing.pair(x, y, within)
        assert sorted(found.tolist()) == list(range(120))
        assert np.linalg.norm(x - y[found], axis=1).max() < 4.1


def test_no_element_is_paired_with_another() -> None:
    x = np.arange(12.0).reshape(4, 3)
    found = pairing.pair_elements(np.array([1, 1, 2, 3]), x, np.array([2, 1, 1]), x[[2, 1, 0]])
    assert found.tolist() == [2, 1, 0, -1]


@settings(max_examples=10, deadline=None)
@given(SEEDS, st.integers(1, 6))
def test_superposition_undoes_a_motion(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    y = rng.normal(size=(n, 3)) * (rng.random() > 0.3)  # now and then all in one point
    rotation, shift = Rotation.random(random_state=rng).as_matrix(), rng.normal(size=3)
    x = y @ rotation.T + shift
    found, moved = superposed(x, y)
    np.testing.assert_allclose(y @ found.T + moved, x, atol=1e-6)
    assert np.linalg.det(found) == pytest.approx(1.0)
    if n == 1 or np.ptp(y) == 0:
        np.testing.assert_array_equal(found, np.eye(3))


# Surfaces


def test_depth_and_faces_of_a_cube() -> None:
    grid = np.array(list(itertools.product(range(5), repeat=3)), dtype=float)
    inside = np.minimum(grid, 4 - grid).min(axis=1)
    np.testing.assert_allclose(below_hull(grid, grid), inside, atol=1e-9)
    outer = (np.isin(grid, (0, 4))).sum(axis=1)
    np.testing.assert_array_equal(flat_faces(grid, grid, 0.1), outer)
    np.testing.assert_array_equal(
        flat_faces(grid, grid, 1.1), ((grid < 2) | (grid > 2)).sum(axis=1)
    )
    np.testing.assert_array_equal(below_hull(grid[:4], grid[:7]), np.zeros(7))


def test_ions_of_the_faces_of_a_cube_are_exposed_and_no_others() -> None:
    model = salt()
    outermost = np.abs(model.positions).max()
    on_face = np.isclose(np.abs(model.positions).max(axis=1), outermost)
    np.testing.assert_array_equal(exposed(model.positions, model.positions), on_face)
    # A roof over the cube leaves its other faces free: two cones' widths above, none.
    face = np.isclose(model.positions[:, 2], outermost)
    for height, free in ((3.0, False), (9.0, True)):
        roof = np.array(list(itertools.product(np.arange(-18, 19, 2.0), repeat=2)))
        roof = np.column_stack([roof, np.full(len(roof), outermost + height)])
        middle = model.positions[face & (np.abs(model.positions[:, :2]).max(axis=1) < 3.5)]
        assert exposed(np.vstack([model.positions, roof]), middle).tolist() == [free] * len(middle)


# Bonds


@pytest.mark.parametrize(("name", "bonds"), [("PbS", {82: 6, 16: 6}), ("CsPbCl3", {82: 6, 17: 6})])
def test_neighbours_of_a_particle_are_pairs_within_the_first_shell(
    name: str, bonds: dict[int, int]
) -> None:
    crystal = load(name)
    model = hb.carve(crystal, [hb.Facet((1, 0, 0), 2)], site="Pb", name="cube")
    apart = cdist(model.positions, model.positions)
    edge = crystal.cell_parameters[0]
    reach = {82: 1.25 * edge / 2, 55: 1.25 * edge / np.sqrt(2)}  # of cations
    expected = np.zeros(len(model), dtype=int)
    for i, q in enumerate(model.charges):
        for j in np.flatnonzero(model.charges * q < 0):
            cation = i if q > 0 else j
            expected[i] += apart[i, j] < reach[int(model.numbers[cation])]
    np.testing.assert_array_equal(bonded_neighbours(model, 0), expected)
    most = bulk_coordination(crystal, np.array([*bonds, 35]))
    inner = [expected[model.numbers == z].max() for z in bonds]
    assert most[:2].tolist() == inner
    assert most[2] > bulk_coordination(crystal, crystal.numbers).max()


def test_bonds_of_molecules_are_their_graphs_in_every_copy() -> None:
    """Two of OH- and one of HCN between the atoms of a crystal, in any order."""
    n = len(salt())
    added = np.array([1, 8, 6, 8, 1, 7, 1])  # H O | C N H | O H, mixed
    held = np.array([1, 1, 3, 2, 2, 3, 3])
    kinds = [
        {"molecules": [1, 2], "numbers": [1, 8], "bonds": [[0, 1, 1]]},
        {"molecules": [3, 3], "numbers": [6, 7, 1], "bonds": [[0, 1, 3], [0, 2, 1]]},
    ]
    kinds[0]["numbers"] = [1, 8]
    order = np.array([0, 1, 4, 3, 2, 5, 6])
    model = salt().extended(
        numbers=added[order],
        positions=np.arange(21.0).reshape(7, 3) + 40,
        charges=np.zeros(7, dtype=int),
        domain=np.zeros(7, dtype=int),
        role=np.full(7, hb.Role.LIGAND),
    )
    molecule = np.append(np.zeros(n, dtype=int), held[order])
    model = replace(model, molecule=molecule, provenance={"ligands": kinds})
    found = {(a - n, b - n, o) for a, b, o in molecule_bonds(model).tolist()}
    assert found == {(0, 1, 1), (2, 3, 1), (4, 5, 3), (4, 6, 1)}
    with pytest.raises(InputError, match="Molecule 3 is not whole"):
        molecule_bonds(model.where(np.arange(len(model)) != n + 6))


def test_a_charge_to_state_is_one_the_element_has() -> None:
    from pymatgen.core import Element

    for element in ("Ti", "Fe", "Cl", "Pb"):
        charge = int(state(element).rpartition("=")[2])
        assert charge in Element(element).common_oxidation_states


# Images and merging


def test_images_are_whole_translations_the_model_first() -> None:
    model = salt()
    vectors = np.array([[40.0, 0, 0], [7.0, 33.0, 0]])
    found = images(model, vectors, 45.0)
    n = len(model)
    np.testing.assert_array_equal(found.positions[:n], model.positions)
    shift = found.positions.reshape(-1, n, 3) - model.positions
    np.testing.assert_allclose(shift, shift[:, :1] * np.ones((1, n, 1)), atol=1e-9)
    steps = shift[:, 0] @ np.linalg.pinv(vectors)
    whole = {tuple(s) for s in np.rint(steps).astype(int).tolist()}
    np.testing.assert_allclose(steps, np.rint(steps), atol=1e-9)
    assert whole == set(itertools.product(range(-2, 3), repeat=2))
    assert np.abs(steps).sum(axis=1).round(6).tolist() == sorted(
        np.abs(steps).sum(axis=1).round(6).tolist()
    )


def test_merging_takes_ions_of_the_same_sign_in_one_place() -> None:
    """One PbS cube half a bond off another: each ion within reach of one of its sign goes."""
    first, second = salt(), salt().moved(np.eye(3), np.array([0.9, 0.3, 0.0]))
    second = replace(second, domains=(replace(second.domains[0], name="other"),))
    parallel = hb.Orientation(((1, 0, 0), (1, 0, 0)), along=((0, 1, 0), (0, 1, 0)))
    both = hb.join(first, second, parallel, hb.Registry(0.0, 0.0, 0.0))
    # Both have been made of one frame: only their names differ.
    for keep in ("salt", "other"):
        rule = Merging(keep=keep)
        stays = both.domain == both.domain_named(keep)
        apart = cdist(both.positions, both.positions[stays])
        apart[:, both.charges[stays] > 0] += 100.0 * (both.charges < 0)[:, None]
        apart[:, both.charges[stays] < 0] += 100.0 * (both.charges > 0)[:, None]
        gone = ~stays & (apart.min(axis=1) < 1.5)
        left = merge(both, rule)
        assert 0 < gone.sum() < (~stays).sum() + 1
        np.testing.assert_array_equal(left.positions, both.positions[~gone])
        assert [e.element for e in left.ledger] == [
            {82: "Pb", 16: "S"}[z] for z in both.numbers[gone].tolist()
        ]
        a, b = merged_pair(first, second, rule)
        assert len(a) + len(b) == len(left)
        kept = a if keep == "salt" else b
        assert len(kept) == len(first)


# Contacts


@settings(max_examples=15, deadline=None)
@given(SEEDS)
def test_closest_contacts_are_the_least_of_all_pairs(seed: int) -> None:
    rng = np.random.default_rng(seed)
    (a, q), (b, c) = (
        (rng.uniform(0, 9, (n, 3)), rng.choice([-2, -1, 0, 1, 2], n)) for n in rng.integers(1, 9, 2)
    )
    apart = cdist(a, b)
    expected = {}
    for kind, signs in (
        ("anion-anion", [(-1, -1)]),
        ("cation-anion", [(1, -1), (-1, 1)]),
        ("cation-cation", [(1, 1)]),
    ):
        of_kind = [
            (apart[i, j], i, j)
            for i, j in itertools.product(range(len(a)), range(len(b)))
            if (np.sign(q[i]), np.sign(c[j])) in signs
        ]
        if of_kind:
            expected[kind] = min(of_kind)
    found = closest_contacts(a, q, b, c)
    assert [f.kind for f in found] == list(expected)
    for f in found:
        r, i, j = expected[f.kind]
        assert (f.distance, f.first, f.second) == (pytest.approx(r), i, j)
    floors = hb.Floors(anion_anion=2.5, cation_anion=1.5, cation_cation=2.0)
    limit = {(-1, -1): 2.5, (1, 1): 2.0, (1, -1): 1.5, (-1, 1): 1.5}
    for charge in (-1, 1):
        free = clear_of(a, charge, b, c, floors)
        close = [
            any(r < limit.get((charge, int(np.sign(x))), 0.0) for r, x in zip(row, c, strict=True))
            for row in apart
        ]
        np.testing.assert_array_equal(free, ~np.array(close))


# Point groups of particles larger than the atoms looked at first


@pytest.mark.parametrize(
    ("taken", "symbol"),
    [
        ((), "m-3m"),
        ((2, 1, 0), "m"),  # inside: no atom looked at first tells
        ((2, 0, 0), "4mm"),
        ((3, 2, 1), "1"),
        ((6, 6, 6), "3m"),  # a corner
        ((6, 6, 0), "mm2"),  # the middle of an edge
    ],
)
def test_one_ion_off_a_large_cube_leaves_the_group_of_its_site(
    taken: tuple[int, ...], symbol: str
) -> None:
    facets = [hb.Facet((1, 0, 0), 6)]
    cube = hb.carve(load("CsPbCl3"), facets, site="Pb", name="perovskite")
    assert len(cube) > 2 * OUTERMOST
    if taken:
        place = np.array(taken) * load("CsPbCl3").cell_parameters[0]
        away = np.linalg.norm(cube.positions - place, axis=1)
        cube = cube.where(away > 0.1)
        assert (away < 0.1).sum() == 1
    assert point_group_symbol(cube) == symbol


def test_another_element_inside_lowers_the_group_of_a_large_cube() -> None:
    facets = [hb.Facet((1, 0, 0), 6)]
    cube = hb.carve(load("CsPbCl3"), facets, site="Pb", name="perovskite")
    place = np.array([2, 1, 0]) * load("CsPbCl3").cell_parameters[0]
    numbers = cube.numbers.copy()
    numbers[np.linalg.norm(cube.positions - place, axis=1).argmin()] = 50
    assert point_group_symbol(replace(cube, numbers=numbers)) == "m"
