"""The main model and the cube series: compositions, charge, contacts, determinism, targets."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from conftest import history, load
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import cKDTree

import hetbuild as hb
from hetbuild.analyse.report import inspect
from hetbuild.arrays import Plane
from hetbuild.assemble.carve import carve
from hetbuild.assemble.cut import cut
from hetbuild.assemble.join import check_contacts, join
from hetbuild.assemble.orientation import Orientation, align, anchored
from hetbuild.assemble.polyhedron import Facet
from hetbuild.assemble.registry import Registry, Window, search_registry
from hetbuild.assemble.trim import loose_rules, trim
from hetbuild.balancing.anneal import ground_state
from hetbuild.balancing.balance import balance, prepared
from hetbuild.balancing.candidates import Move, candidates
from hetbuild.balancing.target import Target
from hetbuild.elements import parse_formula
from hetbuild.errors import ImpossibleError, InputError
from hetbuild.geometry.contacts import Floors
from hetbuild.geometry.electrostatics import coulomb_energy
from hetbuild.geometry.neighbours import bonded_neighbours
from hetbuild.geometry.point_group import point_group_symbol
from hetbuild.model import Model, Role

STAGES = {
    "perovskite-carved": ("Cs216Pb125Cl450", 16),
    "perovskite-cut": ("Cs144Pb80Cl281", 23),
    "sulfide-carved": ("Pb310S250Cl92", 28),
    "sulfide-cut": ("Pb257S222Cl85", -15),
    "joined": ("Cs144Pb337S222Cl366", 8),
    "merged": ("Cs144Pb337S222Cl361", 13),
    "balanced": ("Cs126Pb337S221Cl358", 0),
    "settled": ("Cs126Pb337S221Cl358", 0),
}
CUBES = ["Cs4Pb{}6", "Cs20Pb8{}36", "Cs54Pb27{}108", "Cs112Pb64{}240", "Cs200Pb125{}450"]
CUBES += ["Cs324Pb216{}756"]
PAPER = Orientation(((-2, 1, 0), (-4, -4, 2)), ((1, 2, 0), (1, 1, 4)), ((0, 0, -1), (-1, 1, 0)))


def halves(stages: dict[str, Model], orientation: Orientation = PAPER) -> tuple[Model, Model]:
    pair = align(stages["perovskite-cut"], stages["sulfide-cut"], orientation)
    return anchored(*pair, ((1, 1, -1), (-1.5, 0, 1.5)))


@pytest.mark.parametrize("stage", STAGES)
def test_stages_have_the_published_compositions(main_stages: dict[str, Model], stage: str) -> None:
    model = main_stages[stage]
    assert (model.formula, model.charge) == STAGES[stage]


def test_main_model(main_model: Model) -> None:
    assert main_model.formulas == {"perovskite": "Cs126Pb80Cl276", "sulfide": "Pb257S221Cl82"}
    report = inspect(main_model)
    found = report.interface
    assert found is not None
    assert found.planes == ((-2, 1, 0), (-4, -4, 2))
    mismatch = [100 * c.mismatch for c in found.coincidences]
    assert mismatch == pytest.approx([0.47, -0.15], abs=0.03)
    assert found.tilt is not None
    assert (found.tilt.first, found.tilt.second) == ((0, 1, 0), (0, 0, 1))
    assert found.tilt.angle == pytest.approx(26.565 - 19.471, abs=1e-2)
    assert report.roles == {"lattice": 950, "shared": 10, "ligand": 82}


def test_added_ions_keep_their_floors(main_stages: dict[str, Model]) -> None:
    moves = [Move("add", "Cl", d, bonded_to=("Pb",)) for d in ("perovskite", "sulfide")]
    model = balance(main_stages["merged"], moves, Target(charge=0))
    added = np.flatnonzero(model.role == Role.COMPENSATION)
    assert len(added) == 13
    apart = np.linalg.norm(model.positions[added][:, None] - model.positions[None], axis=2)
    apart[np.arange(len(added)), added] = np.inf
    assert apart[:, model.charges < 0].min() >= 3.0 - 1e-6
    assert apart[:, model.charges > 0].min() >= 2.4 - 1e-6


def test_ledger_names_every_change(main_stages: dict[str, Model]) -> None:
    final = main_stages["settled"]
    kinds = Counter((e.step, e.action, e.element, e.domain) for e in final.ledger)
    moved = (final.positions != main_stages["balanced"].positions).any(axis=1)
    assert sum(n for k, n in kinds.items() if k[0] == "settle") == moved.sum()
    assert {k: n for k, n in kinds.items() if k[0] != "settle"} == {
        ("merge", "remove", "Cl", "perovskite"): 5,
        ("balance", "remove", "Cl", "sulfide"): 3,
        ("balance", "remove", "S", "sulfide"): 1,
        ("balance", "remove", "Cs", "perovskite"): 18,
    }


@pytest.mark.parametrize("halide", ["Cl", "Br", "I"])
@pytest.mark.parametrize("n", range(1, 7))
def test_cubes(n: int, halide: str) -> None:
    stages = history(f"cspb{halide.lower()}3-cube-{n}")
    model = stages["balanced"]
    assert model.formula == CUBES[n - 1].format(halide)
    assert model.charge == 0
    assert [e.element for e in model.ledger] == ["Cs"] * (3 * n + 1)
    corners = min(8, 3 * n + 1)
    reach = np.sort(np.linalg.norm([e.position for e in model.ledger], axis=1))[::-1]
    carved = stages["perovskite-carved"]
    middle = np.linalg.norm(carved.positions, axis=1).max()
    assert (np.abs(reach[:corners] - middle) < 1e-3).all(), "corner Cs go before edge Cs"


def test_balancing_ends_at_the_best_of_brute_force() -> None:
    """All ways to take 4 of the 8 corner Cs of a one-octahedron cube."""
    from itertools import combinations

    stages = history("cspbcl3-cube-1")
    carved, ours = stages["perovskite-carved"], stages["balanced"]
    cesium = np.flatnonzero(carved.numbers == 55)
    energies = []
    for gone in combinations(cesium, 4):
        left = carved.where(~np.isin(np.arange(len(carved)), gone))
        energies.append(coulomb_energy(left.positions, left.charges))
    assert coulomb_energy(ours.positions, ours.charges) == pytest.approx(min(energies), abs=1e-6)
    assert point_group_symbol(ours) == "-43m"


def test_symmetry_is_kept_where_counts_allow() -> None:
    carved = history("cspbcl3-cube-4")["perovskite-carved"]
    move = Move("remove", "Cs", "perovskite", least_bonded_first=True)
    model = balance(carved, [move], keep_symmetry=True)
    assert model.formula == "Cs112Pb64Cl240"
    assert point_group_symbol(model) != "1"


def test_charge_alone_goes_to_zero(main_stages: dict[str, Model]) -> None:
    """Without a split between the domains the same loose ions leave, at no higher energy."""
    merged = main_stages["merged"]
    names = ("Cl", "sulfide"), ("S", "sulfide"), ("Cs", "perovskite")
    moves = [
        Move("remove", e, domain=d, which="exposed", least_bonded_first=True) for e, d in names
    ]
    free = balance(merged, moves, Target(formula=parse_formula("Cs126Pb337S221Cl358")))
    published = main_stages["balanced"]
    assert free.formulas == published.formulas
    assert coulomb_energy(free.positions, free.charges) <= (
        coulomb_energy(published.positions, published.charges) + 1e-6
    )
    assert balance(merged, moves[2:], Target(charge=1)).formula == "Cs132Pb337S222Cl361"


def test_swap_and_remove_reach_a_formula() -> None:
    carved = carve(
        load("PbS"), [Facet((1, 1, 1), 4.0, outermost=("S",)), Facet((1, 0, 0), 5.0)], site="Pb"
    )
    moves = [Move("swap", "S", "particle", to="Cl"), Move("remove", "S", "particle")]
    model = balance(carved, moves)
    assert model.charge == 0
    assert sum({"remove": 2, "swap": 1}[e.action] for e in model.ledger) == -carved.charge
    on_facet = replace(moves[0], facet=(1, 1, 1))
    swapped = balance(carved, [on_facet], Target(charge=carved.charge + 50))
    assert (swapped.role == Role.COMPENSATION).sum() == 50


def test_out_of_reach_targets_say_what_is_reachable(main_stages: dict[str, Model]) -> None:
    joined = main_stages["joined"]
    add = Move("add", "Cl", "perovskite", bonded_to=("Pb",))
    with pytest.raises(ImpossibleError, match=r"come no nearer than charge -2"):
        balance(joined, [add])
    with pytest.raises(ImpossibleError, match="no allowed move changes Cs, Pb, S, Br"):
        balance(joined, [add], Target(formula={"Br": 4}))
    with pytest.raises(InputError, match=r"No domain .sulphide.*perovskite, sulfide"):
        balance(joined, [Move("add", "Cl", "sulphide")])


def test_trim_removes_loose_ions_only() -> None:
    carved = carve(load("PbS"), radius=12.0, site="Pb")
    model = trim(carved, "particle", loose_rules(3))
    assert bonded_neighbours(model, 0).min() >= 3
    assert len(carved) - len(model) == len(model.ledger) > 0
    with pytest.raises(ImpossibleError, match="would remove all"):
        trim(carved, "particle", loose_rules(7))


def test_vacancies_are_lattice_sites(main_stages: dict[str, Model]) -> None:
    found = candidates(main_stages["joined"], [Move("add", "Cl", "sulfide", bonded_to=("Pb",))])
    domain = main_stages["joined"].domains[1]
    site = domain.fractional(found.positions) - np.array([0.5, 0.5, 0.5])
    cells = site @ np.linalg.inv(domain.crystal.primitive)
    np.testing.assert_allclose(cells, np.rint(cells), atol=1e-6)


def test_joining_with_an_empty_particle_is_the_identity(main_stages: dict[str, Model]) -> None:
    first, second = halves(main_stages)
    none = second.where(np.zeros(len(second), dtype=bool))
    joined = join(first, none, PAPER, Registry(0, 0, 0.9))
    np.testing.assert_allclose(joined.positions, first.positions, atol=1e-8)
    np.testing.assert_array_equal(joined.numbers, first.numbers)


def test_domains_stay_unstrained(main_model: Model) -> None:
    for domain in main_model.domains:
        metric = domain.vectors @ domain.vectors.T
        bulk = domain.crystal.vectors @ domain.crystal.vectors.T
        np.testing.assert_allclose(metric, bulk, atol=1e-9)


def test_wrong_orientations_are_refused(main_stages: dict[str, Model]) -> None:
    with pytest.raises(InputError, match=r"\[0 0 0\] of .* is no direction"):
        halves(main_stages, replace(PAPER, along=((0, 0, 0), (1, 1, 4))))
    off = replace(PAPER, along=((1, 0, 0), (1, 1, 4)))
    with pytest.raises(InputError, match=r"does not lie in the plane \(-2 1 0\).*\[0 0 1\]"):
        halves(main_stages, off)
    flipped = replace(PAPER, across=((0, 0, 1), (-1, 1, 0)))
    with pytest.raises(InputError, match="points opposite ways"):
        halves(main_stages, flipped)


def test_registry_keeps_floors_or_says_why(main_stages: dict[str, Model]) -> None:
    first, second = halves(main_stages)
    with pytest.raises(ImpossibleError, match=r"domains collide: anion-anion 0\.69 Å"):
        check_contacts(join(first, second, PAPER, Registry(0, 0, 0)), Floors())
    with pytest.raises(ImpossibleError, match="No registry without collision"):
        search_registry(first, second, Window(0.2, 0.2, (0.0, 0.2)), Floors())
    check_contacts(join(first, second, PAPER, Registry(0, 0, 3.0)), Floors())


def test_cut_that_leaves_nothing(main_stages: dict[str, Model]) -> None:
    cube = main_stages["perovskite-carved"]
    with pytest.raises(ImpossibleError, match=r"leaves nothing of perovskite: its planes run"):
        cut(cube, (1, 0, 0), keep="above", at=50)
    with pytest.raises(InputError, match="Edge rule for S: perovskite has none"):
        cut(cube, (1, 0, 0), keep="above", at=0, edge={"S": 1.0})


@given(st.integers(-1, 1), st.sampled_from([(1, 0, 0), (-2, 1, 0), (1, 1, 1)]))
@settings(max_examples=15, deadline=None)
def test_the_two_sides_of_a_cut_make_the_whole(at: int, hkl: Plane) -> None:
    cube = history("cspbcl3-cube-5")["perovskite-carved"]
    above = cut(cube, hkl, keep="above", at=at)
    below = cut(cube, hkl, keep="below", at=at - 1e-2)
    assert len(above) + len(below) == len(cube)
    assert above.charge + below.charge == cube.charge


def test_another_heterostructure_from_a_recipe_alone() -> None:
    """One crystal orthorhombic, other planes, no shared layer: neutral, no clash."""
    model = history("cspbbr3-orthorhombic-pbs")["balanced"]
    assert model.charge == 0
    report = inspect(model)
    assert report.interface is not None
    assert report.interface.planes == ((0, 1, 0), (2, 0, 0))
    limits = Floors().by_kind
    assert all(c.distance >= limits[c.kind] for c in report.contacts)


@pytest.mark.parametrize("charge", [0, 1])
def test_mix_of_moves_keeps_the_composition(charge: int) -> None:
    """Of Cs and Pb the one in excess goes; single charges make odd totals even."""
    crystal = load("CsPbCl3")
    cube = carve(crystal, [Facet((1, 0, 0), 2.5)], name="perovskite")  # Cs216Pb125Cl450, +16
    moves = [Move("remove", e, domain="perovskite") for e in ("Cs", "Pb", "Cl")]
    model = balance(cube, moves, Target(charge=charge))
    assert model.charge == charge
    assert {e.element for e in model.ledger} == {"Cs"}
    # Without Cs, one Cl must go as well to reach an odd charge.
    half = history("cspbcl3-pbs")["perovskite-cut"]  # +23, and Pb at its surface
    odd = balance(half, moves[1:], Target(charge=charge + 10))
    assert odd.charge == charge + 10
    gone = [e.element for e in odd.ledger]
    assert (gone.count("Pb"), gone.count("Cl")) == ((7, 1), (6, 0))[charge]


def test_queue_shared_by_moves_of_one_effect() -> None:
    """Least bonded first holds across domains, and where every class is full or empty."""
    joined = history("cspbcl3-pbs")["joined"]
    moves = [
        Move("remove", e, domain=d, least_bonded_first=True)
        for e, d in (("Pb", "perovskite"), ("Pb", "sulfide"))
    ]
    model = balance(joined, moves, Target(charge=joined.charge - 20))
    problem = prepared(joined, moves, Target(charge=joined.charge - 20))
    gone = cKDTree([e.position for e in model.ledger]).query(problem.found.positions)[0] < 1e-6
    assert gone.sum() == 10
    assert problem.found.places.bonds[gone].max() <= problem.found.places.bonds[~gone].min()


def test_every_candidate_of_a_class_taken() -> None:
    field_ = np.zeros(3)
    weight = np.array([[1, 0], [1, 0], [0, 1]])
    choice = ground_state(
        field_, np.zeros((3, 3)), np.zeros((3, 3), dtype=bool), weight, np.array([2, 0])
    )
    assert choice.chosen.tolist() == [0, 1]


def test_the_dipole_of_the_published_model(main_model: Model) -> None:
    """From the files alone: charges times places, in D; no origin matters to a neutral particle."""
    from ase.units import Debye

    report = inspect(main_model)
    atoms = main_model.to_ase()
    moment = atoms.arrays["formal_charge"] @ (atoms.positions - 7.0) / Debye
    assert report.dipole == pytest.approx(np.linalg.norm(moment), rel=1e-5)
    assert sum(report.charges.values()) == 0
    assert report.charges["perovskite"] == 126 + 2 * 80 - 276


def test_sizes_are_of_the_lattice_as_it_stands() -> None:
    """Ions that stay where they were have the extents they had, whatever their crystal is now."""
    cube = hb.build("cspbcl3-cube-2")
    daughter = hb.exchange(cube, ions={"Cl": "Br"})
    assert daughter.domains[0].crystal.name == "CsPbBr3"
    assert hb.inspect(daughter).sizes == hb.inspect(cube).sizes
