"""Parts of the engine against plain geometry: shapes, cuts, tilts, charges of imported crystals."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from ase import Atoms
from ase.spacegroup import crystal
from conftest import history, joined, load
from pymatgen.core import Lattice, Species, Structure
from scipy.spatial.distance import cdist
from scipy.spatial.transform import Rotation

import hetbuild as hb
from hetbuild.analyse import interface
from hetbuild.analyse.interface import measure_interface, nearest_tilt, with_interface
from hetbuild.crystal.planes import number_of_planes
from hetbuild.crystal.setting import CENTRING
from hetbuild.crystal.vicinal import cation_lattice
from hetbuild.errors import ImpossibleError, InputError
from hetbuild.exchanging.same_site import renamed
from hetbuild.geometry.contacts import _like
from hetbuild.matching.continuation import _Search
from hetbuild.matching.cost import search_bytes, search_seconds
from hetbuild.matching.proposal import propose


def rock_salt(first: object, second: object) -> Structure:
    sites = [[0, 0, 0], [0.5, 0.5, 0.5]]
    return Structure.from_spacegroup("Fm-3m", Lattice.cubic(5.0), [first, second], sites)


# Crystals of other libraries


def test_charges_of_species_go_before_usual_ones() -> None:
    crystal = hb.Crystal.from_pymatgen(rock_salt(Species("Fe", 3), Species("N", -3)))
    assert dict(zip(crystal.numbers, crystal.charges, strict=True)) == {26: 3, 7: -3}
    given = hb.Crystal.from_pymatgen(rock_salt("Fe", "O"), charges={"Fe": 2})
    assert dict(zip(given.numbers, given.charges, strict=True)) == {26: 2, 8: -2}


@pytest.mark.parametrize(
    ("structure", "words"),
    [
        (rock_salt(Species("Fe", 2.5), Species("O", -2)), "Fe has the oxidation states [+]2.5"),
        (
            Structure(
                Lattice.cubic(4.0),
                [Species("Fe", 2), Species("Fe", 3), Species("O", -2)],
                [[0, 0, 0], [0.5, 0.5, 0], [0.5, 0, 0.5]],
            ),
            "Fe has the oxidation states [+]2, [+]3",
        ),
        (rock_salt({"Pb": 0.5, "Sn": 0.5}, "S"), "has partly occupied sites"),
    ],
)
def test_crystals_without_one_whole_charge_are_refused(structure: Structure, words: str) -> None:
    with pytest.raises(InputError, match=words):
        hb.Crystal.from_pymatgen(structure)


# Interfaces


@pytest.mark.parametrize("angle", [0.0, 0.3, 7.0, 31.0, 45.0])
def test_the_tilt_is_the_smallest_angle_between_axes_that_are_not_parallel(angle: float) -> None:
    """Rock salt turned about [001] by an angle, against all pairs of its axes."""
    domain = hb.carve("PbS", [hb.Facet((1, 0, 0), 1)], site="Pb").domains[0]
    turn = Rotation.from_euler("z", angle, degrees=True).as_matrix()
    found = nearest_tilt(domain, domain.moved(turn, np.zeros(3)))
    if angle < 0.5:  # all axes parallel or at right angles: nothing to tilt by
        assert found is None
        return
    assert found is not None
    axes = np.vstack([np.eye(3), -np.eye(3)])
    apart = np.degrees(np.arccos(np.clip(axes @ (axes @ turn.T).T, -1, 1)))
    assert found.angle == pytest.approx(apart[(apart > 0.5) & (apart <= 90)].min(), abs=1e-6)
    u, v = np.array(found.first), turn @ np.array(found.second)
    assert np.degrees(np.arccos(u @ v)) == pytest.approx(found.angle, abs=1e-6)


def test_an_interface_that_was_not_recorded_is_seen() -> None:
    model = joined(1)
    assert model.interface is not None
    turn = Rotation.random(random_state=4).as_matrix()
    seen = with_interface(replace(model, interface=None).moved(turn, np.ones(3))).interface
    assert seen is not None
    assert seen.domains == model.interface.domains
    for found, made in zip(seen.planes, model.interface.planes, strict=True):
        assert np.cross(found, made).tolist() == [0, 0, 0]
    assert seen.planes[0] == model.interface.planes[0]
    assert np.isnan(seen.gap)
    assert with_interface(model) is model
    one = model.where(model.domain == 0)
    assert with_interface(replace(one, interface=None)).interface is None


def test_a_domain_named_after_its_crystal_is_renamed_with_it() -> None:
    model = joined(1)
    index = [d.name for d in model.domains].index("sulfide")
    named = replace(
        model,
        domains=tuple(
            replace(d, name="PbS") if i == index else d for i, d in enumerate(model.domains)
        ),
    )
    assert named.interface is not None
    named = replace(named, interface=replace(named.interface, domains=("perovskite", "PbS")))
    galena = replace(load("PbS"), name="galena")
    changed = named.with_domain(index, replace(named.domains[index], crystal=galena))
    new = renamed(changed, index, "PbS")
    assert [d.name for d in new.domains] == ["perovskite", "galena"]
    assert new.interface is not None
    assert new.interface.domains == ("perovskite", "galena")
    assert renamed(changed, index, "another") is changed


# Shapes


@pytest.mark.parametrize(
    ("facets", "inside"),
    [
        ([hb.Facet((1, 0, 0), 4)], lambda x: np.abs(x).max(axis=1) <= 2),
        ([hb.Facet((1, 1, 1), 3)], lambda x: np.abs(x).sum(axis=1) <= 3),
        (
            [hb.Facet((1, 0, 0), 4), hb.Facet((1, 1, 0), 3)],
            lambda x: (
                (np.abs(x).max(axis=1) <= 2) & (np.sort(np.abs(x), axis=1)[:, 1:].sum(axis=1) <= 3)
            ),
        ),
    ],
)
def test_shapes_are_the_sites_between_their_planes(facets: list[hb.Facet], inside: object) -> None:
    """Planes of Facet are d(hkl): for (100) of rock salt half an edge, so 4 of (2 0 0) are 2 a."""
    crystal = load("PbS")
    edge = crystal.cell_parameters[0]
    facets = [
        replace(f, hkl=tuple(2 * h for h in f.hkl)) if f.hkl == (1, 0, 0) else f for f in facets
    ]
    model = hb.carve(crystal, facets, site="Pb")
    cells = np.array(list(itertools.product(range(-4, 5), repeat=3)))
    sites = (cells[:, None] + crystal.fractional).reshape(-1, 3)
    sites = sites - crystal.fractional[crystal.datum("Pb")]
    expected = sites[inside(sites)]  # type: ignore[operator]  # a function of places
    assert len(model) == len(expected)
    assert cdist(model.positions / edge, expected).min(axis=1).max() < 1e-6


@pytest.mark.parametrize("keep", ["above", "below"])
def test_a_cut_keeps_one_side_with_its_plane(keep: str) -> None:
    cube = hb.carve("CsPbCl3", [hb.Facet((1, 0, 0), 2)], site="Pb", name="cube")
    index = cube.domains[0].plane_index((1, 0, 0), cube.positions)
    for at in (0.0, 0.5, -1.0):
        half = hb.cut(cube, (1, 0, 0), keep=keep, at=at)  # type: ignore[arg-type]  # a literal
        side = index >= at - 1e-6 if keep == "above" else index <= at + 1e-6
        np.testing.assert_array_equal(half.positions, cube.positions[side])
    with pytest.raises(ImpossibleError):
        hb.cut(cube, (1, 0, 0), keep=keep, at=9 if keep == "above" else -9)  # type: ignore[arg-type]


def test_an_edge_by_its_bonds_loses_none() -> None:
    """Cl that lost a Pb goes, whichever side of the plane it is on; all others stay."""
    cube = hb.carve("CsPbCl3", [hb.Facet((1, 0, 0), 2)], site="Pb", name="cube")
    half = hb.cut(cube, (1, 0, 0), keep="above", at=0, edge={"Cl": "Pb"})
    index = cube.domains[0].plane_index((1, 0, 0), cube.positions)
    away = index < -1e-6
    lead = cube.positions[(cube.numbers == 82) & away]
    bond = 1.25 * 5.605 / 2
    chloride = cube.numbers == 17
    whole = (cdist(cube.positions, lead) < bond).sum(axis=1) == 0
    expected = np.where(chloride, whole, ~away)
    np.testing.assert_array_equal(half.positions, cube.positions[expected])


# Ions that come


def test_added_ions_stand_on_free_sites_next_to_their_partners() -> None:
    """Cl for a cube that lacks it: on lattice sites of Cl, clear of all others, lowest first."""
    cube = hb.carve("CsPbCl3", [hb.Facet((1, 0, 0), 1)], site="Pb", name="cube")
    assert cube.charge > 0
    full = hb.balance(cube, ["add Cl in cube"])
    new = full.where(np.arange(len(full)) >= len(cube))
    assert full.charge == 0
    assert set(new.numbers.tolist()) == {17}
    crystal = load("CsPbCl3")
    assert {crystal.numbers[s] for s in new.site.tolist()} == {17}
    apart = cdist(new.positions, full.positions) + 9.0 * (
        np.arange(len(full)) == np.arange(len(cube), len(full))[:, None]
    )
    for q, floor in ((-1, 3.0), (1, 2.4)):
        assert apart[:, np.sign(full.charges) == q].min() >= floor
    lead = full.positions[full.numbers == 82]
    assert (cdist(new.positions, lead).min(axis=1) < 1.25 * 5.605 / 2).all()


# Lattices of cations


@pytest.mark.parametrize(
    ("name", "cation", "share"),
    [("CsPbCl3", "Pb", 1), ("PbS", "Pb", 4), ("CsPbBr3-orthorhombic", "Pb", 4), ("Cu2S", "Cu", 8)],
)
def test_the_lattice_of_cations_is_every_translation_that_keeps_them(
    name: str, cation: str, share: int
) -> None:
    crystal = load(name)
    basis = cation_lattice(crystal, cation)
    assert np.linalg.det(basis) == pytest.approx(1 / share)
    sites = crystal.fractional[crystal.numbers == {"Pb": 82, "Cu": 29}[cation]]
    for shift in basis:
        off = (sites + shift)[:, None] - sites
        off = np.abs(off - np.rint(off)).max(axis=2).min(axis=1)
        assert off.max() < 2e-3
    metric = np.linalg.norm(basis @ crystal.vectors, axis=1)
    steps = np.array([s for s in itertools.product((-1, 0, 1), repeat=3) if any(s)])
    lengths = np.linalg.norm(steps @ basis @ crystal.vectors, axis=1)
    assert metric.min() == pytest.approx(lengths.min())
    with pytest.raises(InputError, match="is no cation of"):
        cation_lattice(crystal, "S" if "S" in name else name[4:6])


# One crystal, one description


STRUCTURES = {
    "quartz": (154, (4.913, 5.405, 120), {"Si": (0.47, 0, 2 / 3), "O": (0.4135, 0.2669, 0.7858)}),
    "wurtzite": (186, (3.25, 5.207, 120), {"Zn": (1 / 3, 2 / 3, 0), "O": (1 / 3, 2 / 3, 0.382)}),
    "zinc blende": (216, (5.41, 5.41, 90), {"Zn": (0, 0, 0), "S": (0.25, 0.25, 0.25)}),
    "anatase": (141, (3.784, 9.515, 90), {"Ti": (0, 0, 0), "O": (0, 0, 0.208)}),
    "rutile": (136, (4.594, 2.959, 90), {"Ti": (0, 0, 0), "O": (0.305, 0.305, 0)}),
    "CdI2": (164, (4.24, 6.84, 120), {"Cd": (0, 0, 0), "I": (1 / 3, 2 / 3, 0.25)}),
    "PbO": (129, (3.97, 5.02, 90), {"Pb": (0, 0.5, 0.237), "O": (0, 0, 0)}),
    "FeBr3": (148, (6.4, 18.4, 120), {"Fe": (0, 0, 1 / 3), "Br": (0.0, 0.33, 0.08)}),
}
"""Space group, a, c and gamma, sites: origins and axes that may be chosen in several ways."""


@pytest.mark.parametrize("name", STRUCTURES)
def test_a_crystal_is_the_same_from_any_origin_axes_and_order(name: str) -> None:
    """Shifted, its axes permuted or inverted in pairs, its atoms shuffled and turned in space."""
    group, (a, c, gamma), sites = STRUCTURES[name]
    cell = (a, a, c, 90, 90, gamma)
    atoms = crystal(list(sites), list(sites.values()), spacegroup=group, cellpar=cell)
    usual = {"Si": 4, "Zn": 2, "Ti": 4, "Cd": 2, "Pb": 2, "Fe": 3, "O": -2, "S": -2}
    charges = {element: usual.get(element, -1) for element in sites}
    first = hb.Crystal.from_ase(atoms, charges=charges)
    rng = np.random.default_rng(len(name))
    axes = [np.eye(3), np.array([[0, 1, 0], [0, 0, 1], [1, 0, 0]]), np.diag([-1, -1, 1])]
    for change in axes:
        turn = Rotation.random(random_state=rng).as_matrix()
        vectors = change @ np.array(atoms.cell)
        fractional = (atoms.get_scaled_positions() @ np.linalg.inv(change) + rng.random(3)) % 1.0
        order = rng.permutation(len(atoms))
        other = Atoms(atoms.numbers[order], cell=vectors @ turn.T, pbc=True)
        other.set_scaled_positions(fractional[order])
        second = hb.Crystal.from_ase(other, charges=charges)
        np.testing.assert_allclose(second.cell_parameters, first.cell_parameters, atol=1e-3)
        np.testing.assert_array_equal(second.numbers, first.numbers)
        off = second.fractional - first.fractional
        np.testing.assert_allclose(off, np.rint(off), atol=2e-3)
        assert second.labels == first.labels


# Matches


def test_a_wider_limit_of_strain_adds_matches_and_changes_none() -> None:
    """Of all within 5 % those within 2 % are the matches of a search to 2 %."""
    wide = hb.match("CsPbBr3", "PbS", max_index=1, max_strain=0.05, max_area=150.0)
    near = hb.match("CsPbBr3", "PbS", max_index=1, max_strain=0.02, max_area=150.0)
    for m in wide:
        low, high = m.principal
        assert -0.05 - 1e-9 <= low <= high <= 0.05 + 1e-9
        assert max(m.area) <= 150.0 + 1e-6
        # The cell of the first, strained, is that of the second.
        assert (1 + low) * (1 + high) == pytest.approx(m.area[1] / m.area[0], rel=1e-9)
    inside = [m for m in wide if max(map(abs, m.principal)) <= 0.02]
    assert 0 < len(inside) < len(wide)

    def key(m: hb.Match) -> tuple[object, ...]:
        return (*m.planes[0].asked, *m.planes[1].asked, *np.round([*m.area, *m.principal], 6))

    assert sorted(map(key, inside)) == sorted(map(key, near))


def test_the_cost_of_a_search_grows_with_the_fourth_power_of_the_area() -> None:
    """Supercells of a net up to an area: a sum of divisors, pi²/12 A²; pairs: its square."""
    pairs = [search_bytes(10.0, 12.0, 0.03, area) for area in (4000.0, 8000.0)]
    assert pairs[1] / pairs[0] == pytest.approx(16, rel=0.05)
    a, b = ((np.pi * 4000.0 / area) ** 2 / 12 for area in (10.0, 12.0))
    assert pairs[0] == pytest.approx(1e3 * (a + 4 * b) + 900 * 2 * a * b * 0.03**2, rel=0.05)
    seconds = search_seconds(10.0, 12.0, 0.03, 4000.0)
    assert seconds == pytest.approx(1e-3 + 2e-6 * (a + 4 * b + a * b * 0.12**2), rel=0.05)


def test_a_particle_of_less_than_four_formula_units_is_refused() -> None:
    crystals = (load("PbS"), load("PbSe"))
    found = hb.match(*crystals, max_index=1)[0]
    edge = crystals[0].cell_parameters[0]  # a cube of four formula units
    with pytest.raises(InputError, match="holds less than four formula units"):
        propose(found, crystals, ("PbS", "PbSe"), sizes=(edge - 0.01, 30.0))
    assert propose(found, crystals, ("PbS", "PbSe"), sizes=(edge + 0.01, 30.0)).sizes[1] == 30.0


@pytest.mark.parametrize("seed", range(4))
def test_sites_are_found_across_the_edges_of_the_cell(seed: int) -> None:
    """A layer that is the sites themselves, moved a little: all are found, exactly."""
    rng = np.random.default_rng(seed)
    cell = np.array([[7.0, 0.0], [2.0, 8.0]])
    grid = np.array(list(itertools.product([0.02, 0.5, 0.97], repeat=2))) @ cell
    sites = np.column_stack([grid, np.zeros(9)])
    spread = [s for i, s in enumerate(sites) if i % 2 == 0]
    moved = np.array(spread) + np.append(rng.uniform(-0.4, 0.4, 2), 0.0)
    moved[:, :2] += rng.integers(-2, 3, (len(moved), 2)) @ cell
    search = _Search(np.array(spread), cell, None)
    count, total, rms = search.best(moved, np.zeros((1, 3)))
    assert (count, total) == (len(moved), len(moved))
    assert rms == pytest.approx(0.0, abs=1e-4)


def test_planes_of_an_interface_are_told_by_the_sites_of_displaced_ions() -> None:
    model = joined(1)
    ideal = measure_interface(model)
    assert ideal is not None
    noise = np.random.default_rng(1).normal(0, 0.6, model.positions.shape)
    found = measure_interface(replace(model, positions=model.positions + noise))
    assert found is not None
    assert found.planes == ideal.planes


@pytest.mark.parametrize(
    ("letter", "symbol"),
    [
        ("P", "P m -3 m"), ("A", "A m m 2"), ("C", "C m c m"), ("I", "I m -3 m"), ("F", "F m -3 m"),
        ("R", "R -3 m:H"),
    ],
)  # fmt: skip
def test_primitive_vectors_make_the_centring_of_the_international_tables(
    letter: str, symbol: str
) -> None:
    import gemmi

    group = gemmi.find_spacegroup_by_name(symbol)
    centring = np.array(group.operations().cen_ops) / gemmi.Op.DEN
    basis = CENTRING[letter]
    assert np.linalg.det(basis) == pytest.approx(1 / len(centring))
    whole = np.vstack([centring, np.eye(3)]) @ np.linalg.inv(basis)
    np.testing.assert_allclose(whole, np.rint(whole), atol=1e-9)
    back = (basis[:, None] - centring) % 1.0
    back = np.minimum(back, 1 - back)
    assert (back.max(axis=2).min(axis=1) < 1e-9).all()


def test_directions_of_an_interface_are_parallel_in_both_crystals() -> None:
    model = joined(1)
    assert model.interface is not None
    along, across = model.interface.along, model.interface.across
    assert across is not None
    axes = []
    for pair in (along, across):
        first, second = (
            d.vector @ domain.vectors
            for d, domain in zip((pair.first, pair.second), model.domains, strict=True)
        )
        np.testing.assert_allclose(np.cross(first, second), 0, atol=1e-6)
        assert first @ second > 0
        whole = [np.linalg.norm(first), np.linalg.norm(second)] * np.array(pair.counts)
        assert pair.lengths == pytest.approx(whole)
        axes.append(first / np.linalg.norm(first))
    assert axes[0] @ axes[1] == pytest.approx(0, abs=1e-9)


def test_the_cell_of_a_periodic_interface_is_its_coincidences() -> None:
    model = history("interface-cspbcl3-cs2pbcl4")["joined"]
    assert model.cell is not None
    assert model.interface is not None
    pairs = (model.interface.along, model.interface.across)
    for vector, pair in zip(model.cell, pairs, strict=False):
        assert pair is not None
        for domain, d, n in zip(model.domains, (pair.first, pair.second), pair.counts, strict=True):
            np.testing.assert_allclose(n * d.vector @ domain.vectors, vector, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "sign", "distance"),
    [
        ("PbS", 1, 5.936 / np.sqrt(2)), ("CsPbCl3", -1, 5.605 / np.sqrt(2)),
        ("CsPbCl3", 1, 5.605 * np.sqrt(3) / 2),
    ],
)  # fmt: skip
def test_shortest_distances_of_like_ions(name: str, sign: int, distance: float) -> None:
    assert _like(load(name), sign) == pytest.approx(distance, abs=1e-3)


def test_the_number_of_planes_is_that_of_coprime_triples() -> None:
    crystal = load("CsPbBr3-orthorhombic")
    for most in (6, 12):
        grid = np.array(list(itertools.product(range(-most, most + 1), repeat=3)))
        coprime = int((np.gcd.reduce(grid, axis=1) == 1).sum())
        counted = (number_of_planes(crystal, most) - 1) * len(crystal.rotations)
        assert counted == pytest.approx(coprime, rel=0.06)


def test_the_lowest_heights_along_each_normal(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(5)
    places, normals = rng.normal(size=(50, 3)), rng.normal(size=(7, 3))
    monkeypatch.setattr(interface, "HEIGHTS", 9)
    for n in (50, interface.OUTERMOST, 2):
        every = np.sort(places[:n] @ normals.T, axis=0)
        assert np.array_equal(interface._lowest(places[:n], normals), every[: interface.OUTERMOST])
