"""Ion exchange, molecular cations and etching: compositions, charges, places, identities."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from ase.neighborlist import neighbor_list
from conftest import history, load
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pymatgen.analysis.local_env import CrystalNN
from pymatgen.core import Lattice, Structure
from scipy.spatial import cKDTree

from hetbuild.analyse.labels import model_of
from hetbuild.analyse.report import inspect
from hetbuild.arrays import FloatArray
from hetbuild.crystal.bonds import FIRST_SHELL
from hetbuild.errors import ImpossibleError, InputError
from hetbuild.exchanging.etch import etch
from hetbuild.exchanging.insertion import InsertionFloors, Staying, apart
from hetbuild.exchanging.molecule import read_molecule, whole_molecules
from hetbuild.exchanging.molecules import replace_molecules
from hetbuild.exchanging.same_site import replace_ions
from hetbuild.exchanging.selection import select, share
from hetbuild.exchanging.topotactic import exchange_cations
from hetbuild.exchanging.topotaxy import shell_misfit, topotaxies
from hetbuild.geometry.depth import depth
from hetbuild.library import find_recipe
from hetbuild.model import Model, Role
from hetbuild.recipe.read import parse_recipe, parse_step, read_recipe
from hetbuild.recipe.run import build
from hetbuild.recipe.schema import EtchSpec, ReplaceSpec, TopotacticSpec
from hetbuild.recipe.steps import run_step

SLOW_BUILD = settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def same_atoms(a: Model, b: Model) -> bool:
    """Same ions at the same places, in the same domains and roles, in any order."""

    def table(m: Model) -> list[tuple[object, ...]]:
        places = np.round(m.positions, 6) + 0.0
        rows = zip(m.numbers, m.charges, m.domain, m.role, *places.T, strict=True)
        return sorted(tuple(float(x) for x in row) for row in rows)

    return table(a) == table(b)


@pytest.fixture(scope="module")
def copper(main_model: Model) -> Model:
    return exchange_cations(main_model, "sulfide", load("Cu2S"))[0]


# Same-site exchange


def test_cl_to_br_of_the_perovskite_only(main_model: Model) -> None:
    changed, report = replace_ions(main_model, "perovskite", {"Cl": "Br"})
    assert changed.formula == "Cs126Pb337S221Br276Cl82"
    assert changed.charge == 0
    assert report.taken == {"Cl": 276}
    assert np.array_equal(changed.positions, main_model.positions)
    other = main_model.domain == 1
    assert np.array_equal(changed.numbers[other], main_model.numbers[other])
    assert (changed.numbers[main_model.role == Role.LIGAND] == 17).all()
    found = inspect(changed).interface
    assert found is not None
    assert found.planes == ((-2, 1, 0), (-4, -4, 2))
    assert changed.domains[0].crystal.formula == "CsPbBr3"


@pytest.mark.parametrize(
    ("recipe", "formula"),
    [
        ("cspbbr3-pbs", "Cs126Pb337S221Br276Cl82"),
        ("cspbi3-pbs", "Cs126Pb337S221I276Cl82"),
        ("cspbcl3-cu2s", "Cs126Pb147Cu380S221Cl358"),
    ],
)
def test_shipped_daughters(recipe: str, formula: str) -> None:
    model = list(history(recipe).values())[-1]
    assert (model.formula, model.charge) == (formula, 0)
    assert len(model.provenance["recipe"]["steps"]) == 1
    if recipe == "cspbcl3-cu2s":
        assert same_atoms(build(parse_recipe(model.provenance["recipe"])), model)


@SLOW_BUILD
@given(
    st.sampled_from(["Br", "I"]),
    st.floats(0, 1),
    st.sampled_from(["outermost first", "nearest the interface first", "random", "spread"]),
    st.integers(0, 99),
)
def test_there_and_back_is_the_identity(
    main_model: Model, halide: str, fraction: float, order: str, seed: int
) -> None:
    options = {"fraction": fraction, "order": order, "seed": seed}
    there, report = replace_ions(main_model, "perovskite", {"Cl": halide}, **options)
    assert report.taken["Cl"] == np.floor(276 * fraction + 0.5)
    assert there.charge == main_model.charge
    twice, again = replace_ions(there, "perovskite", {"Cl": halide}, **options)
    assert again.taken["Cl"] == 0
    assert same_atoms(twice, there)
    back, _ = replace_ions(there, "perovskite", {halide: "Cl"})
    assert same_atoms(back, main_model)
    assert np.allclose(back.domains[0].vectors, main_model.domains[0].vectors)


@SLOW_BUILD
@given(st.sampled_from([("Pb", "Bi", 1), ("Pb", "Tl", -1), ("Cs", "Ba", 1)]), st.floats(0, 1))
def test_charge_changes_by_the_difference_of_the_ions(
    main_model: Model, ions: tuple[str, str, int], fraction: float
) -> None:
    old, new, step = ions
    changed, report = replace_ions(main_model, "perovskite", {old: new}, fraction=fraction)
    assert report.charge == changed.charge - main_model.charge == step * report.taken[old]


def test_lattice_of_the_product(main_model: Model) -> None:
    product = load("CsPbBr3")
    changed, report = replace_ions(
        main_model, "perovskite", {"Cl": "Br"}, product=product, lattice="product"
    )
    assert report.strain == pytest.approx((0, 0, 0), abs=1e-9)
    mine = main_model.domain == 0
    before, after = (
        np.linalg.norm(m.positions[mine][1:] - m.positions[mine][:-1], axis=1)
        for m in (main_model, changed)
    )
    ratio = product.cell_parameters[0] / load("CsPbCl3").cell_parameters[0]
    assert after == pytest.approx(before * ratio, abs=1e-6)
    shared = main_model.role == Role.SHARED
    centre = main_model.positions[shared].mean(axis=0)
    assert changed.positions[shared].mean(axis=0) == pytest.approx(centre, abs=1e-6)
    assert np.array_equal(changed.positions[~mine], main_model.positions[~mine])
    # The sites went with the ions: how far each is off its own, times the ratio.
    off = main_model.positions - main_model.lattice_positions
    assert np.allclose((changed.positions - changed.lattice_positions)[mine], ratio * off[mine])
    back, _ = replace_ions(
        changed, "perovskite", {"Br": "Cl"}, product=load("CsPbCl3"), lattice="product"
    )
    assert np.allclose(back.positions, main_model.positions, atol=1e-6)


def test_half_exchanged_lattice_follows_vegard(main_model: Model) -> None:
    changed, _ = replace_ions(
        main_model,
        "perovskite",
        {"Cl": "Br"},
        fraction=0.5,
        product=load("CsPbBr3"),
        lattice="product",
    )
    a, b = (load(name).cell_parameters[0] for name in ("CsPbCl3", "CsPbBr3"))
    lengths = np.linalg.norm(changed.domains[0].vectors, axis=1)
    assert lengths == pytest.approx(3 * [(a + b) / 2], abs=1e-6)


# Which ions


def test_selection_takes_what_it_says(main_model: Model) -> None:
    cl = np.flatnonzero((main_model.domain == 0) & (main_model.numbers == 17))
    outer = select(main_model, cl, 100, "outermost first")
    rest = np.setdiff1d(cl, outer)
    assert depth(main_model, outer).max() <= depth(main_model, rest).min() + 1e-3
    near = select(main_model, cl, 100, "nearest the interface first")
    z = main_model.positions[:, 2]
    assert z[near].mean() < z[np.setdiff1d(cl, near)].mean() - 5
    even, chance = (select(main_model, cl, 40, w, seed=3) for w in ("spread", "random"))
    reach = [
        cKDTree(main_model.positions[s]).query(main_model.positions[cl])[0].mean()
        for s in (even, chance)
    ]
    assert len(np.unique(even)) == 40
    assert reach[0] < 0.95 * reach[1]
    assert not np.array_equal(chance, select(main_model, cl, 40, "random", seed=4))
    assert np.array_equal(chance, select(main_model, cl, 40, "random", seed=3))


@given(st.floats(0, 1), st.integers(0, 10_000))
def test_share_is_the_nearest_count(fraction: float, total: int) -> None:
    assert abs(share(fraction, total) - fraction * total) <= 0.5 + 1e-9


# Topotactic exchange


def test_pb_to_cu_is_the_published_daughter(main_model: Model, copper: Model) -> None:
    assert (copper.formula, copper.charge) == ("Cs126Pb147Cu380S221Cl358", 0)
    mine = main_model.domain == 0
    assert np.array_equal(copper.positions[copper.domain == 0], main_model.positions[mine])
    for z in (16, 17):
        a, b = (m.positions[m.numbers == z] for m in (copper, main_model))
        assert np.array_equal(a, b)
    kept = (copper.domain == 1) & (copper.numbers == 82)
    assert kept.sum() == 67
    # By their sites in PbS: in Cu2S the Pb that stay have none.
    at = cKDTree(main_model.positions).query(copper.positions[kept])[1]
    places = main_model.lattice_positions[at]
    heights = np.rint(main_model.domains[1].plane_index((-4, -4, 2), places))
    assert set(heights.astype(int)) == {3, 4, 5, 6, 7}  # the shared layer is plane 9
    cu = copper.positions[copper.numbers == 29]
    cations = (copper.charges > 0) & (copper.numbers != 29)
    assert cKDTree(copper.positions[cations]).query(cu)[0].min() >= 2.9
    around = cKDTree(copper.positions[copper.charges < 0]).query_ball_point(
        cu, 2.8, return_length=True
    )
    assert (around >= 3).sum() >= 300
    assert len(cKDTree(cu).query_pairs(2.4)) == 0


def test_holes_listed_are_the_badly_coordinated_ones(main_stages: dict[str, Model]) -> None:
    changed, report = exchange_cations(main_stages["balanced"], "sulfide", load("Cu2S"))
    cu = changed.positions[changed.numbers == 29]
    anions = cKDTree(changed.positions[changed.charges < 0])
    listed = np.array(report.details["at_surface"])
    # A quarter of the cell's diagonal, and what still counts as bonded.
    reach = FIRST_SHELL * np.sqrt(3) / 4 * load("PbS").cell_parameters[0]
    assert reach == pytest.approx(3.21, abs=0.01)
    around = anions.query_ball_point(cu, reach, return_length=True)
    poor = around < 3
    assert {tuple(x) for x in np.round(cu[poor], 3)} == {tuple(x) for x in listed}
    assert report.details["anions_around"] == Counter(around.tolist())


def test_second_exchange_changes_nothing(copper: Model) -> None:
    again, report = exchange_cations(copper, "sulfide", load("Cu2S"))
    assert again is copper
    assert not report.taken


@pytest.mark.parametrize(
    ("product", "formula", "sites"),
    [
        ("Ag2S", "Cs126Pb147Ag380S221Cl358", 2),
        ("ZnS", "Cs126Pb147Zn190S221Cl358", 1),
        ("CdS", "Cs126Pb147Cd190S221Cl358", 1),
    ],
)
def test_other_products(main_model: Model, product: str, formula: str, sites: int) -> None:
    # Of the two sets of sites that Zn and Cd may take, one has five too few: it is the other.
    changed, report = exchange_cations(main_model, "sulfide", load(product))
    assert (changed.formula, changed.charge) == (formula, 0)
    assert len(report.details["interstitial_sites"].split(",")) == sites
    assert min(report.details["anions_around"]) >= 2


def test_interstitial_sites_are_the_cation_sites_of_antifluorite() -> None:
    """Each has the four anions that pymatgen finds around Cu in Cu2S."""
    parent, bulk = load("PbS"), load("Cu2S")
    structure = Structure(
        Lattice(bulk.vectors), [int(z) for z in bulk.numbers], np.array(bulk.fractional)
    ).add_oxidation_state_by_element({"Cu": 1, "S": -2})
    (way,) = topotaxies(parent, bulk)
    sites = (bulk.fractional[bulk.numbers == 29] @ way.axes + way.shift) @ parent.vectors
    cells = np.array(list(np.ndindex(5, 5, 5))) - 2
    anions = (parent.fractional[parent.charges < 0][None] + cells[:, None]).reshape(-1, 3)
    apart = np.linalg.norm((anions @ parent.vectors)[None] - sites[:, None], axis=2)
    assert ((apart < 2.8).sum(axis=1) == CrystalNN().get_cn(structure, 0)).all()


@pytest.mark.parametrize("fraction", [0.5, 0.75])
def test_part_of_the_sulfide_from_its_surface(main_model: Model, fraction: float) -> None:
    """Beside the Pb that stay Cu has no room at the centres of its sites, 2.57 Å away."""
    n = int(np.floor(190 * fraction + 0.5))
    for floor, off in ((2.9, True), (2.5, False)):
        changed, report = exchange_cations(
            main_model,
            "sulfide",
            load("Cu2S"),
            fraction=fraction,
            floors=InsertionFloors(kept=floor),
        )
        assert report.taken == {"Pb": n}
        assert (report.put, changed.charge) == ({"Cu": 2 * n}, 0)
        assert ("off_centre" in report.details) is off


@pytest.fixture(scope="module", params=["4 nm", "7 nm"])
def enlarged(request: pytest.FixtureRequest) -> Model:
    recipe = read_recipe(find_recipe("cspbcl3-pbs")).without_formulas()
    return build(recipe.with_size(request.param))


def test_sizes_where_free_sites_do_not_suffice(enlarged: Model) -> None:
    """Cu is off the centre of sites that share a face with one kept Pb, at the floor from it."""
    changed, report = exchange_cations(enlarged, "sulfide", load("Cu2S"))
    pb, anion = (enlarged.numbers == 82) & (enlarged.domain == 1), enlarged.charges < 0
    assert (changed.charge, report.put["Cu"]) == (0, 2 * report.taken["Pb"])
    kept = changed.positions[(changed.numbers == 82) & (changed.domain == 1)]
    height = enlarged.domains[1].plane_index((-4, -4, 2), enlarged.lattice_positions)
    outermost = np.sort(height[pb])[-3]
    assert same_places(kept, enlarged.positions[pb & (height > outermost - 4.5)])  # five planes
    assert same_places(changed.positions[changed.charges < 0], enlarged.positions[anion])

    cu = changed.positions[changed.numbers == 29]
    others = changed.positions[(changed.charges > 0) & (changed.numbers != 29)]
    anions = changed.positions[changed.charges < 0]
    assert cKDTree(others).query(cu)[0].min() >= 2.9
    assert cKDTree(anions).query(cu)[0].min() >= 2.0
    assert len(cKDTree(cu).query_pairs(2.4)) == 0

    bond = np.sqrt(3) / 4 * load("PbS").cell_parameters[0]  # from the centre to S, and to Pb
    added = [e for e in changed.ledger if "off its centre" in e.reason]
    off = np.array([e.position for e in added])
    assert report.details["off_centre"]["count"] == len(off) > 0
    assert report.details["off_centre"]["largest"] == pytest.approx(2.9 - bond, abs=2e-3)
    near = np.sort(cKDTree(others).query(off, k=2)[0], axis=1)
    assert near[:, 0] == pytest.approx(2.9, abs=2e-3)
    assert near[:, 1].min() > 2.9 + 2e-3
    # Towards the S opposite that Pb: the other three are as far as the cosine rule says.
    around = np.sort(cKDTree(anions).query(off, k=4)[0], axis=1)
    x = 2.9 - bond
    assert around[:, 0] == pytest.approx(bond - x, abs=2e-3)
    assert around[:, 1:] == pytest.approx(np.sqrt(bond**2 + x**2 + 2 * bond * x / 3), abs=2e-3)
    # No other site is free: those off centre are the last to be filled, and they are on sites.
    mine = changed.numbers == 29
    assert (changed.site[mine] >= 0).all()
    assert np.linalg.norm(
        changed.positions[mine] - changed.lattice_positions[mine], axis=1
    ).max() == pytest.approx(x, abs=2e-3)


def test_a_deficit_leaves_sites_beside_kept_cations_empty(enlarged: Model) -> None:
    changed, report = exchange_cations(enlarged, "sulfide", load("Cu2S"), deficit=0.1)
    assert "off_centre" not in report.details
    asked = 2 * report.taken["Pb"]
    assert report.details["missing"] == asked - report.put["Cu"] == share(0.05, asked)
    assert changed.charge == -report.details["missing"]


def same_places(a: FloatArray, b: FloatArray) -> bool:
    return len(a) == len(b) and bool((cKDTree(a).query(b)[0] == 0).all())


@pytest.mark.parametrize("count", [0, 1, 2, 3, 4])
def test_off_the_centre_of_a_tetrahedron(count: int) -> None:
    """A site whose cube has S and kept Pb at its corners: at the floor from each Pb, if it can.

    By hand: straight away from one, along the bisector of two, through a face from three.
    """
    edge = load("PbS").cell_parameters[0] / 4
    corners = edge * np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]])
    none = np.empty((0, 3))
    stay = Staying(InsertionFloors(), corners[:count], none, -corners)
    place = stay.displaced(np.zeros((1, 3)))
    r, floor = np.sqrt(3) * edge, 2.9
    along = {1: 1.0, 2: 1 / np.sqrt(3), 3: 1 / 3}.get(count, 0.0)  # cosines to the way out
    by_hand = -r * along + np.sqrt(floor**2 - r**2 * (1 - along**2)) if along else 0.0
    assert np.linalg.norm(place) == pytest.approx(by_hand, abs=3e-3)
    assert stay.clear(place)[0] == (count < 4)


@given(
    st.lists(st.tuples(*3 * [st.floats(0, 6)]), max_size=40).map(
        lambda rows: np.array(rows, float).reshape(-1, 3)
    )
)
def test_places_kept_apart(places: FloatArray) -> None:
    """None too near another, and each that goes is too near an earlier one that stays."""
    keep = apart(places, 2.4)
    near = np.linalg.norm(places[:, None] - places, axis=2) < 2.4 - 1e-6
    np.fill_diagonal(near, False)
    assert not near[np.ix_(keep, keep)].any()
    assert (np.tril(near)[:, keep].any(axis=1) == ~keep).all()


def test_both_hole_sets_of_zinc_blende_are_ways() -> None:
    names = {way.sites for way in topotaxies(load("PbS"), load("ZnS"))}
    assert names == {"1/4 1/4 1/4", "3/4 3/4 3/4"}


def test_packings_are_told_apart() -> None:
    assert shell_misfit(load("PbS"), load("Cu2S")) == pytest.approx(0, abs=1e-9)
    # Third shell of hcp at sqrt(8/3), of ccp at sqrt(3) anion spacings.
    assert 0.09 < shell_misfit(load("PbS"), load("CdS-wurtzite")) < 0.25
    with pytest.raises(ImpossibleError, match=r"do not match: .* differ by up to 1\d\.\d %"):
        topotaxies(load("PbS"), load("CdS-wurtzite"))


@pytest.mark.parametrize(("planes", "kept"), [(0, 0), (1, 13), (3, 37), (6, 80)])
def test_kept_planes(main_model: Model, planes: int, kept: int) -> None:
    changed, _ = exchange_cations(main_model, "sulfide", load("Cu2S"), keep_planes=planes)
    assert ((changed.domain == 1) & (changed.numbers == 82)).sum() == kept
    assert changed.charge == 0


def test_fewer_holes_than_cations(main_model: Model) -> None:
    few = (
        r"190 Cu need interstitial sites .* only \d+ with two anions or more have room .* Keep "
        r"another part .*, allow a contact shorter than 3.2 Å to cations that stay, or start from"
    )
    with pytest.raises(ImpossibleError, match=few):
        exchange_cations(
            main_model,
            "sulfide",
            load("Cu2S"),
            fraction=0.5,
            order="spread",
            floors=InsertionFloors(kept=3.2),
        )
    changed, _ = exchange_cations(
        main_model,
        "sulfide",
        load("Cu2S"),
        fraction=0.5,
        order="spread",
        floors=InsertionFloors(kept=2.5),
    )
    assert changed.charge == 0


def test_kept_thickness_counts_like_planes(main_model: Model, copper: Model) -> None:
    by_length, _ = exchange_cations(main_model, "sulfide", load("Cu2S"), keep_thickness=4.0)
    assert same_atoms(by_length, copper)


def test_deficit_leaves_a_stated_charge(main_model: Model) -> None:
    spec = parse_step(TopotacticSpec, {"domain": "sulfide", "product": "Cu2S", "deficit": 0.2})
    with pytest.raises(ImpossibleError, match=r"formal charge -38 e .* --compensate"):
        run_step(main_model, spec)
    allowed, report = exchange_cations(main_model, "sulfide", load("Cu2S"), deficit=0.2)
    assert report.details["missing"] == 38  # 0.2 of 190 formula units
    assert report.charge == allowed.charge == -38
    paid = parse_step(
        TopotacticSpec,
        {
            "domain": "sulfide",
            "product": "Cu2S",
            "deficit": 0.2,
            "compensate": ["remove Cl in sulfide"],
        },
    )
    assert run_step(main_model, paid).formula == "Cs126Pb147Cu342S221Cl320"


@pytest.mark.parametrize("rms", [0.2, 0.3])
def test_models_from_elsewhere(main_model: Model, rms: float) -> None:
    """No labels, atoms displaced: the domains come out of the places."""
    rng = np.random.default_rng(7)
    places = main_model.positions + rng.normal(0, rms / np.sqrt(3), (len(main_model), 3))
    bare = model_of(main_model.numbers, places, [load("CsPbCl3"), load("PbS")])
    assert len(bare.provenance["ambiguous"]) <= 15
    changed, _ = replace_ions(bare, "CsPbCl3", {"Cl": "Br"})
    wrong = abs(int((changed.numbers == 35).sum()) - 276)
    assert wrong <= min(10, len(bare.provenance["ambiguous"]))
    copper, report = exchange_cations(bare, "PbS", load("Cu2S"))
    assert copper.charge == 0
    assert abs(report.details["kept"] - 67) <= 2
    sulfur = main_model.numbers == 16
    assert np.array_equal(copper.positions[copper.numbers == 16], places[sulfur])
    cu = copper.positions[copper.numbers == 29]
    others = (copper.charges > 0) & (copper.numbers != 29)
    assert cKDTree(copper.positions[others]).query(cu)[0].min() >= 2.9


def test_strained_to_the_product_about_the_interface(main_model: Model) -> None:
    changed, report = exchange_cations(main_model, "sulfide", load("Cu2S"), lattice="product")
    assert report.strain == pytest.approx((0, 0, 0), abs=1e-9)
    s = changed.positions[changed.numbers == 16]
    nearest = np.sort(cKDTree(s).query(s, k=2)[0][:, 1])
    assert np.median(nearest) == pytest.approx(load("Cu2S").cell_parameters[0] / np.sqrt(2))


# Molecular cations


@pytest.mark.parametrize(
    ("recipe", "name", "formula"),
    [
        ("cspbcl3-pbs", "MA", "C126H756N126Pb337S221Cl358"),
        ("cspbcl3-cube-4", "FA", "C112H560N224Pb64Cl240"),
    ],
)
def test_every_cs_becomes_a_whole_molecule(recipe: str, name: str, formula: str) -> None:
    parent = list(history(recipe).values())[-1]
    count = int((parent.numbers == 55).sum())
    changed, report = replace_molecules(parent, "perovskite", "Cs", name, seed=5)
    assert changed.formula == formula
    assert (changed.charge, report.charge, report.put) == (0, 0, {name: count})
    molecule = read_molecule(name)
    groups = whole_molecules(changed, molecule)
    assert groups.shape == (count, 8)
    # Independent: bonds by ASE's covalent radii, and no contact of one with another.
    atoms = changed.to_ase()[groups.ravel()]
    i, j, r = neighbor_list("ijd", atoms, 2.4)
    other = i // 8 != j // 8
    assert (r[other] > 1.9).all()
    internal = [neighbor_list("d", atoms[8 * k : 8 * k + 8], 3.0) for k in range(count)]
    for a, b in pairwise(internal):
        assert np.sort(a) == pytest.approx(np.sort(b), abs=1e-6)
    rest = np.setdiff1d(np.arange(len(changed)), groups)
    assert cKDTree(changed.positions[rest]).query(atoms.positions)[0].min() > 2.0
    centres = changed.positions[groups].mean(axis=1)
    cs = parent.positions[parent.numbers == 55]
    off = cKDTree(centres).query(cs)[0]
    # Cs in the kinks of the interface is hemmed in: there the molecule stands beside the site.
    assert (off > 1e-6).sum() == report.details.get("beside_site", 0) <= 12
    assert off.max() == pytest.approx(report.details.get("off_at_most", 0.0), abs=1e-3)
    at_interface = np.abs(parent.domains[0].plane_index((-2, 1, 0), cs) + 1.5) < 0.1
    assert at_interface[off > 1e-6].all()
    back, _ = replace_molecules(changed, "perovskite", name, "Cs")
    there = cKDTree(back.positions).query(parent.positions)[0]
    assert (there > 1e-6).sum() == (off > 1e-6).sum()
    assert back.formulas == parent.formulas


def test_molecules_along_a_direction(main_model: Model) -> None:
    changed, _ = replace_molecules(main_model, "perovskite", "Cs", "MA", along=(0, 0, 1))
    groups = whole_molecules(changed, read_molecule("MA"))
    c, n = (changed.positions[groups][changed.numbers[groups] == z].reshape(-1, 3) for z in (6, 7))
    bond = (n - c) / np.linalg.norm(n - c, axis=1, keepdims=True)
    axis = main_model.domains[0].vectors[2] / np.linalg.norm(main_model.domains[0].vectors[2])
    assert np.median(np.abs(bond @ axis)) > 0.99
    assert len({round(float(x), 3) for x in np.sign(bond @ axis)}) == 1


def test_part_of_the_cs(main_model: Model) -> None:
    changed, report = replace_molecules(
        main_model, "perovskite", "Cs", "MA", fraction=0.5, order="spread"
    )
    assert report.put == {"MA": 63}
    again, nothing = replace_molecules(changed, "perovskite", "Cs", "MA", fraction=0.5)
    assert nothing.put == {"MA": 0}
    assert same_atoms(again, changed)


# Etching


def test_etching_recovers_neutral_pbs(main_model: Model) -> None:
    left, report = etch(main_model, "perovskite")
    assert report.removed.startswith("Cs126Pb")
    assert report.layer == "Pb10"
    assert [d.name for d in left.domains] == ["sulfide"]
    assert left.interface is None
    model = run_step(main_model, EtchSpec(domain="perovskite"))
    assert model.charge == 0
    assert not set(model.formula) & {"B", "r"}
    assert "Cs" not in model.formula
    around = inspect(model).coordination
    assert min(n for region in around.values() for n in region) >= 3


def test_etching_with_the_shared_layer_kept(main_model: Model) -> None:
    left, report = etch(main_model, "perovskite", shared="keep")
    assert (report.inherited, left.formula) == ("Pb10", "Pb267S221Cl82")
    assert report.charge == left.charge == 10


# Bad input


def test_clear_errors(main_model: Model) -> None:
    with pytest.raises(InputError, match="perovskite holds no Br to exchange for I; it holds Cs"):
        replace_ions(main_model, "perovskite", {"Br": "I"})
    with pytest.raises(InputError, match=r"fraction of 1\.5 was asked for; it must lie in 0 to 1"):
        replace_ions(main_model, "perovskite", {"Cl": "Br"}, fraction=1.5)
    with pytest.raises(InputError, match="No domain 'halide' in this model"):
        replace_ions(main_model, "halide", {"Cl": "Br"})
    with pytest.raises(InputError, match="does not have the sites of CsPbCl3"):
        replace_ions(main_model, "perovskite", {"Cl": "Br"}, product=load("PbS"))
    with pytest.raises(InputError, match="name it with product"):
        replace_ions(main_model, "perovskite", {"Cl": "F"}, lattice="product")
    with pytest.raises(InputError, match=r"deficit 3: Cu2S can lack 0 to 2 Cu"):
        exchange_cations(main_model, "sulfide", load("Cu2S"), deficit=3)
    with pytest.raises(InputError, match="has the cations Cs, Pb; a product must have one"):
        exchange_cations(main_model, "sulfide", load("CsPbCl3"))
    with pytest.raises(InputError, match="not both"):
        exchange_cations(main_model, "sulfide", load("Cu2S"), keep_planes=1, keep_thickness=1.0)
    with pytest.raises(InputError, match="No molecule is called 'XX'; there are FA, MA"):
        read_molecule("XX")
    alone = history("cspbcl3-cube-1")["balanced"]
    with pytest.raises(ImpossibleError, match="is the only domain"):
        etch(alone, alone.domains[0].name)
    with pytest.raises(InputError, match="has no interface to be near"):
        replace_ions(
            alone,
            alone.domains[0].name,
            {"Cl": "Br"},
            fraction=0.5,
            order="nearest the interface first",
        )


def test_no_room_for_a_molecule() -> None:
    cube = history("cspbcl3-cube-2")["balanced"]
    tight = replace(cube, positions=cube.positions * 0.6)
    with pytest.raises(ImpossibleError, match=r"No room for MA on \d+ of 20 sites"):
        replace_molecules(tight, "perovskite", "Cs", "MA")


def test_faulty_steps_in_a_recipe() -> None:
    tree = read_recipe(find_recipe("cspbcl3-pbs")).model_dump(mode="json")
    for step, text in (
        ({"action": "replace", "domain": "perovskite"}, "ions: Field required"),
        ({"action": "melt", "domain": "perovskite"}, "'melt' is not known; known are add, etch"),
        ({"action": "replace", "domain": "", "ions": {"Cl": "Br"}}, "unknown domain ''"),
        ({"action": "replace", "domain": "x", "ions": {"Cl": "Br"}}, "unknown domain 'x'"),
        ({"action": "etch", "domain": "sulfide", "compensate": ["boil Cl"]}, "is no move; write"),
        ({"action": "etch", "domain": "sulfide", "share": "keep"}, "unknown key; "),
    ):
        with pytest.raises(InputError, match=text):
            parse_recipe(tree | {"steps": [step]})
    with pytest.raises(InputError, match=r"fraction 2 is not in 0 to 1"):
        parse_step(ReplaceSpec, {"domain": "a", "ions": {"Cl": "Br"}, "fraction": 2})
