"""Cases at the edge of what the engine meets: flat, open, lone, empty, held by a floor."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from conftest import load
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import cKDTree

from hetbuild.assemble.carve import carve, extent, gauge
from hetbuild.assemble.polyhedron import Facet
from hetbuild.assemble.settle import Settling, settle
from hetbuild.assemble.shell import Shell, grow
from hetbuild.assemble.size import Shape
from hetbuild.balancing.anneal import ground_state
from hetbuild.balancing.candidates import Move, offered, vacancies
from hetbuild.crystal.crystal import Crystal
from hetbuild.crystal.lattice import check_plane
from hetbuild.crystal.setting import _origin_shifts
from hetbuild.errors import ImpossibleError, InputError
from hetbuild.exchanging.same_site import FACING, on_lattice
from hetbuild.geometry.contacts import Floors
from hetbuild.geometry.depth import all_below, below_hull
from hetbuild.geometry.electrostatics import TETHER, contact_energy
from hetbuild.geometry.exposure import exposed
from hetbuild.model import Model, Role

SQUARE = np.array([[0.0, 0, 0], [4, 0, 0], [0, 4, 0], [4, 4, 0]])
PLANES = st.floats(1.5, 6.0)


def cube(name: str, planes: float) -> Model:
    return carve(load(name), [Facet((1, 0, 0), planes)], site="Pb", name=name)


def beside(first: Model, second: Model, shift: tuple[float, float, float]) -> Model:
    """Both as domains of one model that share no layer, the second moved by so many Å."""
    moved = second.moved(np.eye(3), np.array(shift))
    stacked = {
        name: np.concatenate([getattr(m, name) for m in (first, moved)])
        for name in ("numbers", "positions", "charges", "role", "site", "site_cell", "molecule")
    }
    domain = np.repeat([0, 1], [len(first), len(moved)])
    return Model(**stacked, domain=domain, domains=first.domains + moved.domains)


def test_what_lies_in_a_plane_has_no_inside() -> None:
    inner = SQUARE.mean(axis=0)[None]
    assert below_hull(SQUARE, inner).tolist() == [0.0]
    assert not all_below(SQUARE, inner, -1.0)
    raised = np.vstack([SQUARE, SQUARE + np.array([0, 0, 4])])
    above = inner + np.array([0, 0, 1.5])
    assert below_hull(raised, above) == pytest.approx([1.5])
    assert all_below(raised, above, 1.4)
    assert not all_below(raised, above, 1.6)


def test_a_lone_ion_is_exposed() -> None:
    crowd = load("PbS").vectors[0, 0] / 2 * np.stack(np.indices((5, 5, 5)), -1).reshape(-1, 3)
    places = np.array([[60.0, 0, 0], crowd[62], crowd[0]])
    assert exposed(crowd, places).tolist() == [True, False, True]


@settings(max_examples=15)
@given(PLANES, st.floats(6.0, 40.0))
def test_extent_of_a_cube_cut_out_of_a_ball(planes: float, radius: float) -> None:
    """The first facet or the sphere ends it, on either side."""
    crystal = load("PbS")
    d = crystal.spacing((1, 0, 0))
    form = [Facet((1, 0, 0), planes)]
    assert extent(crystal, form, radius=radius) == pytest.approx(2 * min(planes * d, radius))
    one = [Facet((1, 0, 0), planes, single=True)]
    expected = min(planes * d, radius) + radius
    assert extent(crystal, one, radius=radius) == pytest.approx(expected)


@settings(max_examples=15)
@given(PLANES, PLANES, st.floats(5.0, 40.0), st.integers(0, 2**31))
def test_gauge_counts_the_way_to_the_surface(
    cube_: float, octahedron: float, radius: float, seed: int
) -> None:
    """In a cubic crystal |x| is of the cube, |x| + |y| + |z| of the octahedron."""
    crystal = load("PbS")
    a = crystal.vectors[0, 0]
    domain = cube("PbS", 2.0).domains[0]
    centre = (0.3, -0.2, 0.1)
    points = np.random.default_rng(seed).normal(scale=20.0, size=(20, 3))
    x = points / a - np.asarray(domain.sites[domain.datum]) - centre
    ways = (
        np.abs(x).max(axis=1) / cube_,
        np.abs(x).sum(axis=1) / octahedron,
        np.linalg.norm(a * x, axis=1) / radius,
    )
    facets = [Facet((1, 0, 0), cube_), Facet((1, 1, 1), octahedron)]
    found = gauge(domain, facets, centre, radius, points)
    np.testing.assert_allclose(found, np.max(ways, axis=0))
    np.testing.assert_allclose(gauge(domain, (), centre, radius, points), ways[2])
    np.testing.assert_allclose(
        gauge(domain, facets, centre, None, points), np.maximum(ways[0], ways[1])
    )


def test_facets_along_one_axis_stay_open() -> None:
    """A prism without ends: its normals lie in a plane, so have no hull."""
    sides = [Facet(hkl, 3.0, single=True) for hkl in ((1, 0, 0), (-1, 0, 0), (0, 1, 0), (0, -1, 0))]
    with pytest.raises(ImpossibleError, match="do not close around a volume"):
        extent(load("PbS"), sides)
    ends = [Facet(hkl, 4.0, single=True) for hkl in ((0, 0, 1), (0, 0, -1))]
    assert extent(load("PbS"), [*sides, *ends]) == pytest.approx(6 * load("PbS").vectors[0, 0])


def test_forms_of_a_point_group_of_the_core_bound_the_shell() -> None:
    """A tetrahedron of -43m is its four facets, and keeps to them in the shell's axes too."""
    core = carve(load("PbS"), radius=7.0, name="core")
    form = Facet((1, 1, 1), 7.0, point_group="-43m")
    listed = tuple(
        Facet(hkl, 7.0, single=True) for hkl in ((1, 1, 1), (1, -1, -1), (-1, 1, -1), (-1, -1, 1))
    )
    one, other = (
        grow(core, Shell("shell", load("PbSe"), Shape(facets, None, (0.0, 0.0, 0.0))), [])
        for facets in ((form,), listed)
    )
    np.testing.assert_array_equal(one.positions, other.positions)
    np.testing.assert_array_equal(one.numbers, other.numbers)
    outside = (one.positions[one.domain == 1] - core.domains[0].origin) @ [1, 1, 1]
    assert outside.max() < -1.5 * outside.min()


def test_ions_far_from_an_interface_stay() -> None:
    far = beside(cube("PbS", 1.0), cube("PbSe", 1.0), (60.0, 0, 0))
    assert settle(far, Settling()) is not None
    np.testing.assert_array_equal(settle(far, Settling()).positions, far.positions)


def test_a_domain_takes_another_lattice_about_its_middle_or_its_contact() -> None:
    lone = cube("PbS", 1.5)
    goal = 1.1 * lone.domains[0].vectors
    middle = lone.positions.mean(axis=0)
    np.testing.assert_allclose(
        on_lattice(lone, 0, goal).positions, middle + 1.1 * (lone.positions - middle), atol=1e-7
    )
    # Two that share no layer: the ions that face the other one keep their middle.
    width = np.ptp(lone.positions[:, 0])
    both = beside(lone, cube("PbSe", 1.2), (width + 3.0, 0.7, 0.4))
    mine, other = (both.positions[both.domain == i] for i in (0, 1))
    away = np.linalg.norm(mine[:, None] - other, axis=2).min(axis=1)
    facing = mine[away < away.min() + FACING].mean(axis=0)
    assert len(mine[away < away.min() + FACING]) < len(mine) / 2
    found = on_lattice(both, 0, goal)
    np.testing.assert_allclose(
        found.positions[both.domain == 0], facing + 1.1 * (mine - facing), atol=1e-7
    )
    np.testing.assert_array_equal(found.positions[both.domain == 1], other)


ELEMENTS = {1: 55, 2: 82, -1: 17, -2: 16}


@settings(max_examples=40)
@given(st.sampled_from(list(ELEMENTS)), st.sampled_from(list(ELEMENTS)), st.floats(0.6, 5.0))
def test_pairs_that_settling_moves_apart_count_at_their_floor(p: int, q: int, r: float) -> None:
    """Below the floor: the energy there, and two springs K stretched by half of what is missing."""
    floors = Floors(anion_anion=3.1, cation_anion=2.7, cation_cation=3.6)
    floor = 3.1 if p < 0 and q < 0 else 3.6 if p > 0 and q > 0 else 2.7
    ions = [(np.array([[0.0, 0, x]]), np.array([ELEMENTS[c]]), np.array([c])) for x, c in
            ((0.0, p), (r, q), (floor, q))]  # fmt: skip
    found = contact_energy(ions[0], ions[1], floors)
    if r >= floor:
        assert found == pytest.approx(contact_energy(ions[0], ions[1]))
    else:
        springs = 2 * 0.5 * TETHER * ((floor - r) / 2) ** 2
        assert found == pytest.approx(contact_energy(ions[0], ions[2]) + springs)


def test_places_of_moves() -> None:
    """Of a role only its ions; no vacant site where no cation is left to bond to it."""
    model = cube("PbS", 1.5)
    role = np.where(model.positions[:, 2] > 0, Role.LIGAND, Role.LATTICE)
    marked = replace(model, role=role)
    every = offered(marked, Move("remove", "S", "PbS"))
    for word, value in (("ligand", Role.LIGAND), ("lattice", Role.LATTICE)):
        found = offered(marked, Move("remove", "S", "PbS", role=word))  # type: ignore[arg-type]
        assert sorted(found.atom) == [i for i in sorted(every.atom) if role[i] == value]
        assert 0 < len(found) < len(every)
    bare = model.where(model.charges < 0)
    add = Move("add", "S", "PbS")
    assert len(vacancies(model, 0, add, Floors())) > 0
    assert vacancies(bare, 0, add, Floors()).shape == (0, 3)


def test_annealing_tells_the_fraction_done() -> None:
    told: list[float] = []
    rng = np.random.default_rng(2)
    points = rng.uniform(0, 20, (12, 3))
    pair = 14.4 / (
        cKDTree(points).sparse_distance_matrix(cKDTree(points), 99).toarray() + np.eye(12)
    )
    np.fill_diagonal(pair, 0.0)
    found = ground_state(
        rng.normal(size=12), pair, np.zeros((12, 12), bool), np.ones((12, 1), int), np.array([6]),
        progress=told.append,
    )  # fmt: skip
    assert len(found.chosen) == 6
    assert told[0] == 0.0
    assert told == sorted(set(told))
    assert 0.7 < told[-1] < 1.0


def test_axes_that_turn_a_group_into_another_have_no_origin() -> None:
    """In a tetragonal crystal with a = c the metric alone allows x -> z; the group does not."""
    quarter = np.array([[0, -1, 0], [1, 0, 0], [0, 0, 1]])
    group = np.array([np.linalg.matrix_power(quarter, k) for k in range(4)])
    operations = (group, np.zeros((4, 3)))
    sites = np.array([[0.0, 0, 0], [0.5, 0.5, 0.2]])
    cyclic = np.array([[0, 0, 1], [1, 0, 0], [0, 1, 0]])
    assert _origin_shifts(cyclic, np.eye(3), sites @ cyclic.T, operations).shape == (0, 3)
    along = _origin_shifts(quarter, np.eye(3), sites @ quarter.T, operations)
    assert len(along)


def test_a_cell_of_cubic_shape_is_the_same_along_whatever_axis_it_is_given() -> None:
    """P4mm with a = c: 4 along x, y or z, and with the polar axis either way."""
    fractional = np.array([[0.0, 0, 0.03], [0.5, 0.5, 0.55], [0.5, 0.5, 0.0], [0.5, 0, 0.5],
                           [0, 0.5, 0.5]])  # fmt: skip
    from ase import Atoms

    found = [
        Crystal.from_ase(Atoms("PbTiO3", scaled_positions=x[:, list(axes)], cell=3 * [4.0], pbc=1))
        for axes in ((0, 1, 2), (1, 2, 0), (2, 0, 1), (1, 0, 2))
        for x in (fractional, -fractional % 1.0)
    ]
    assert {c.space_group for c in found} == {"P4mm"}
    for other in found[1:]:
        np.testing.assert_array_equal(other.numbers, found[0].numbers)
        np.testing.assert_allclose(other.fractional, found[0].fractional, atol=1e-6)


@pytest.mark.parametrize("given", [[[1, 2], [3]], [1, 0], [1.0, 0.0, 0.0], 10**30])
def test_planes_take_three_integers(given: object) -> None:
    with pytest.raises((InputError, TypeError)):
        check_plane(given)  # type: ignore[arg-type]
