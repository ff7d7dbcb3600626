"""Particles of several domains: a tetrapod, a trimer, a rod with caps, and joins that cannot be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import history
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

import hetbuild as hb
from hetbuild.analyse.interface import with_interface
from hetbuild.analyse.labels import model_of
from hetbuild.analyse.meetings import meetings, of_pair
from hetbuild.assemble.tree import contacts_between
from hetbuild.cli.report_text import report_lines
from hetbuild.diffraction.orientation import parallels
from hetbuild.errors import HetbuildError
from hetbuild.exchanging.interface_layer import kept_layer
from hetbuild.formats.record import to_record
from hetbuild.geometry.point_group import point_group, point_group_symbol
from hetbuild.page.document import page
from hetbuild.recipe.read import read_recipe
from hetbuild.recipe.repeat import unfolded
from hetbuild.recipe.run import build
from hetbuild.recipe.steps import _beside
from hetbuild.sweep.task import _measured

SHIPPED = {
    "cdse-tetrapod": "Cd880Se880",
    "pbs-cspbcl3-pbs": "Cs122Pb599S442Cl436",
    "pbse-cdse-pbse": "Pb72Cd156Se228",
}


def last(name: str) -> hb.Model:
    return list(history(name).values())[-1]


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_joins_are_neutral_and_keep_the_floors(name: str) -> None:
    model = last(name)
    report = hb.inspect(model)
    assert (report.formula, report.charge) == (SHIPPED[name], 0)
    floors = hb.Floors().by_kind
    for i, j in combinations(range(len(model.domains)), 2):
        assert all(c.distance > floors[c.kind] for c in contacts_between(model, i, j))


def wurtzite_axis(model: hb.Model, name: str) -> Any:
    c = model.domains[model.domain_named(name)].vectors[2]
    return c / np.linalg.norm(c)


def test_arms_of_the_tetrapod_are_related_by_its_symmetry() -> None:
    model = last("cdse-tetrapod")
    arms = [d.name for d in model.domains if d.name != "core"]
    assert arms == ["arm-1", "arm-2", "arm-3", "arm-4"]
    assert {model.formulas[a] for a in arms} == {"Cd185Se185"}
    axes = [wurtzite_axis(model, a) for a in arms]
    apart = [np.degrees(np.arccos(u @ v)) for u, v in combinations(axes, 2)]
    assert np.allclose(apart, np.degrees(np.arccos(-1 / 3)), atol=1e-6)
    # Every operation of -43m takes every arm onto one of the arms, atom by atom.
    assert point_group_symbol(model) == "-43m"
    centre, group = point_group(model)
    assert len(group) == 24
    trees = {a: cKDTree(model.positions[model.domain == model.domain_named(a)]) for a in arms}
    first = model.positions[model.domain == model.domain_named("arm-1")]
    for w in group:
        image = (first - centre) @ w.T + centre
        assert min(tree.query(image)[0].max() for tree in trees.values()) < 1e-3


def test_arms_are_wurtzite_on_the_cation_facets_of_zinc_blende() -> None:
    model = last("cdse-tetrapod")
    core = model.domain_named("core")
    for k, interface in enumerate(model.interfaces, 1):
        arm = model.domain_named(f"arm-{k}")
        assert interface.domains == (f"arm-{k}", "core")
        mine = model.domain == arm
        assert model.domains[arm].crystal.name == "CdSe-wurtzite"
        labels = np.array(model.domains[arm].crystal.labels)[model.site[mine]]
        assert set(labels) == {"Cd1", "Se1"}
        places = model.domains[arm].site_positions(model.site[mine], model.site_cell[mine])
        assert np.abs(places - model.positions[mine]).max() < 1e-6
        # Polarity goes on: Se of the arm stand on Cd of the core, along the axis.
        shared = (model.domain == core) & (model.role == hb.Role.SHARED)
        se, cd = model.positions[mine & (model.numbers == 34)], model.positions[shared]
        found = cKDTree(se).sparse_distance_matrix(cKDTree(cd), 2.8, output_type="ndarray")
        assert len(found) == 18  # of 21 Cd on the facet three are corners
        along = (se[found["i"]] - cd[found["j"]]) @ wurtzite_axis(model, f"arm-{k}")
        assert np.allclose(along / found["v"], 1.0, atol=1e-3)


def test_the_first_bilayer_of_an_arm_stands_on_that_of_the_core() -> None:
    """Coherent: both lattices have these ions, within what their lattice constants differ by."""
    stages = history("cdse-tetrapod")
    joined, merged = stages["arm-2-joined"], stages["arm-2-merged"]
    gone = len(joined) - len(merged)
    assert gone == 18 + 19
    arm, core = (joined.domain == joined.domain_named(n) for n in ("arm-2", "core"))
    away = cKDTree(joined.positions[core]).query(joined.positions[arm])[0]
    assert (away < 0.2).sum() == gone
    assert not ((away >= 0.2) & (away < 2.5)).any()


def test_both_interfaces_of_the_trimer_are_that_of_the_published_pair() -> None:
    model, pair = last("pbs-cspbcl3-pbs"), last("cspbcl3-pbs")
    assert model.formulas["left"] == model.formulas["right"] == pair.formulas["sulfide"]
    assert point_group_symbol(model) == "2"
    here = {
        name: [(c.kind, round(c.distance, 4)) for c in contacts_between(model, 0, index)]
        for index, name in ((1, "left"), (2, "right"))
    }
    assert here["left"] == here["right"]
    moved = [sum(e.action == "move" and e.domain == n for e in model.ledger) for n in here]
    assert moved[0] == moved[1] > 0
    # How the sulfide lies on the perovskite: as in the pair, but for whole cells of both.
    perovskite, sulfide = pair.domains
    turn = np.linalg.solve(perovskite.vectors, sulfide.vectors)
    ours = np.linalg.solve(model.domains[0].vectors, model.domains[1].vectors)
    assert np.allclose(turn, ours, atol=1e-6)
    offset = perovskite.fractional(sulfide.origin) - model.domains[0].fractional(
        model.domains[1].origin
    )
    assert np.allclose(offset, np.rint(offset), atol=1e-6)
    merges = [e.domain for e in model.ledger if e.step == "merge"]
    assert merges == ["perovskite"] * 10


def test_one_join_among_joins_is_the_join_of_two() -> None:
    """One code path: the same pair said by [[joins]] has the same atoms, to the last digit."""
    old = read_recipe("cspbcl3-pbs-small")
    assert old.join is not None
    tree = old.model_dump(mode="json")
    (meeting,) = old.meetings
    new = {**tree, "join": None, "joins": [meeting.model_dump(mode="json")]}
    first, second = build(old), build(new)
    assert np.array_equal(first.positions, second.positions)
    assert np.array_equal(first.numbers, second.numbers)
    assert first.interface == second.interface
    assert first.ledger == second.ledger
    assert "joins" not in first.provenance["recipe"]  # records of before stay as they were


CUBE = {"crystal": "PbS", "centre": {"site": "Pb"}, "facets": [{"form": [1, 0, 0], "planes": 1}]}


def stick(uvw: list[int], below: str, above: str, **more: Any) -> dict[str, Any]:
    """A PbS cube above a PbS cube, on one lattice, a cell of nothing between them."""
    along = [0, 0, 1] if not uvw[2] else [1, 0, 0]
    return {
        "domains": [above, below],
        "planes": {above: uvw, below: uvw},
        "along": {above: along, below: along},
        "anchor": {above: [-3 * i for i in uvw], below: [0, 0, 0]},
        "registry": {"shift": [0, 0], "gap": 0},
        **more,
    }


def recipe(joins: list[Any], *names: str, **more: Any) -> dict[str, Any]:
    return {"name": "x", "domains": dict.fromkeys(names, CUBE), "joins": joins, **more}


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_the_order_of_joins_does_not_matter(order: Sequence[int]) -> None:
    """A chain along three axes, on one lattice: the same atoms but for a motion of the whole."""
    joins = [stick([1, 0, 0], "a", "b"), stick([0, 1, 0], "b", "c"), stick([0, 0, 1], "c", "d")]
    reference = build(recipe(joins, "a", "b", "c", "d"))
    model = build(recipe([joins[i] for i in order], "a", "b", "c", "d"))
    assert [d.name for d in model.domains] == ["a", "b", "c", "d"]
    a, b = model.positions, reference.positions
    assert Rotation.align_vectors(a - a.mean(axis=0), b - b.mean(axis=0))[1] < 1e-4
    # All stand on the lattice of the first.
    site, _, away = model.domains[0].nearest_sites(a)
    assert away.max() < 1e-6
    assert (model.domains[0].crystal.numbers[site] == model.numbers).all()


def test_repeat_takes_along_what_hangs_on_a_copy() -> None:
    inner = stick([1, 0, 0], "core", "arm", repeat="core")
    outer = stick([1, 0, 0], "arm", "tip")
    given = recipe([inner, outer], "core", "arm", "tip", steps=[
        {"action": "replace", "domain": "tip", "ions": {"Pb": "Sn"}, "allow_charge": True}
    ])  # fmt: skip
    made = unfolded(read_recipe(given))
    assert len(made.domains) == 13
    assert len(made.joins) == 12
    assert [s.domain for s in made.steps] == [f"tip-{k}" for k in range(1, 7)]
    model = build(given)
    centre = model.positions[model.domain == model.domain_named("core")].mean(axis=0)
    tips = [
        model.positions[model.domain == model.domain_named(f"tip-{k}")].mean(axis=0) - centre
        for k in range(1, 7)
    ]
    lengths = np.linalg.norm(tips, axis=1)
    assert np.allclose(lengths, 6 * model.domains[0].crystal.cell_parameters[0], atol=1e-3)
    assert np.allclose(np.sum(tips, axis=0), 0, atol=1e-3)
    assert list(model.provenance["recipe"]["domains"]) == ["core", "arm", "tip"]


@pytest.mark.parametrize(
    ("joins", "names", "words"),
    [
        ([stick([1, 0, 0], "a", "b"), stick([0, 1, 0], "b", "c"), stick([0, 0, 1], "c", "a")],
         "abc", "joins.2 closes a circle: a and c are connected already"),
        ([stick([1, 0, 0], "a", "b")], "abcd", "no join connects c, d with a"),
        ([stick([1, 0, 0], "a", "b"), stick([1, 0, 0], "c", "x")], "abc",
         "joins.1.domains: unknown 'x'"),
        ([stick([1, 0, 0], "a", "a")], "ab", "'a' cannot be joined to itself"),
        ([{**stick([1, 0, 0], "a", "b"), "planes": {"a": [1, 0, 0]}}], "ab",
         "planes must name the domains b and a"),
        ([stick([1, 0, 0], "a", "b", shared="c")], "ab", "shared: known are a, b"),
        ([stick([1, 0, 0], "a", "b", repeat="c")], "ab", "repeat: known are a, b"),
        ([stick([1, 0, 0], "a", "b", merge="c")], "ab", "merge: known are a, b"),
        ([stick([1, 0, 0], "a", "b", settle=True), stick([0, 1, 0], "b", "c")], "abc",
         "give all of them the same settle"),
        ([], "abc", "more than two domains are a core"),
        ([stick([1, 0, 0], "a", "b", periodic={"strained": "a"})], "ab", "periodic: unknown key"),
        ([stick([-1, 0, 0], "a", "b", planes={"a": [1, 0, 0], "b": [1, 0, 0]})], "ab",
         "Negate the plane"),
        ([stick([1, 0, 0], "a", "b", anchor={"a": [0, 0, 0], "b": [-0.5, 0, 0]})], "ab",
         "b and a: at shift 0/0 Å and gap 0 Å the domains collide"),
        ([stick([1, 0, 0], "a", "b"), stick([0, 1, 0], "a", "c", anchor={
            "a": [2.5, 0.5, 0], "c": [0, 0, 0]})], "abc",
         "c and b, which are not joined, collide|b and c, which are not joined, collide"),
    ],
)  # fmt: skip
def test_errors_of_joins(joins: list[Any], names: str, words: str) -> None:
    with pytest.raises(HetbuildError, match=words):
        build(recipe(joins, *names))


def test_a_core_off_its_symmetry_repeats_nothing() -> None:
    given = recipe([stick([1, 0, 0], "core", "arm", repeat="core")], "core", "arm")
    off = {**CUBE, "centre": {"site": "Pb", "offset": [0.1, 0, 0]}}
    given["domains"] = {"core": off, "arm": CUBE}
    with pytest.raises(hb.ImpossibleError, match="core has no symmetry about its centre"):
        build(given)


def test_join_and_joins_exclude_each_other() -> None:
    tree = read_recipe("cspbcl3-pbs-small").model_dump(mode="json")
    tree["joins"] = [read_recipe("cspbcl3-pbs-small").meetings[0].model_dump(mode="json")]
    with pytest.raises(hb.InputError, match=r"give either \[join\] or \[\[joins\]\]"):
        read_recipe(tree)
    shells = read_recipe("cdse-cds").model_dump(mode="json")
    shells["joins"] = [stick([1, 0, 0], "core", "shell")]
    with pytest.raises(hb.InputError, match="a recipe with a shell takes no"):
        read_recipe(shells)


def test_several_cuts_and_their_faults() -> None:
    cuts = [{"plane": [1, 0, 0], "keep": k, "at": a} for k, a in (("above", -1), ("below", 0.5))]
    given = {"name": "x", "domains": {"a": {**CUBE, "cut": cuts}}}
    index = np.unique(
        build(given).domains[0].plane_index((1, 0, 0), build(given).positions).round(6)
    )
    assert index.tolist() == [-1.0, -0.5, 0.0, 0.5]
    with pytest.raises(hb.InputError, match=r"domains\.a\.cut\.1\.at: 'x' is no number"):
        read_recipe(given, {"domains.a.cut.1.at": "x"})
    with pytest.raises(hb.InputError, match=r"domains\.a\.cut\.0\.plan: unknown key"):
        read_recipe(given, {"domains.a.cut.0.plan": 1})
    with pytest.raises(hb.InputError, match=r"domains\.a\.cut\.keep: "):
        read_recipe(given, {"domains.a.cut": {"plane": [1, 0, 0], "keep": "up", "at": 0}})


@pytest.mark.parametrize("name", ["pbse-cdse-pbse", "cdse-tetrapod"])
def test_interfaces_survive_in_files(name: str, tmp_path: Path) -> None:
    model = last(name)
    again = hb.read_model(model.write(tmp_path / "model.xyz"))
    assert len(again.interfaces) == len(model.domains) - 1
    assert to_record(again) == to_record(model)
    assert to_record(hb.Model.from_ase(model.to_ase())) == to_record(model)
    assert build(again.provenance["recipe"]).formulas == model.formulas


# Everything that looks at an interface looks at all of them


def test_report_of_both_interfaces_of_a_trimer() -> None:
    model = last("pbs-cspbcl3-pbs")
    report = hb.inspect(model)
    first, second = report.interfaces
    assert [m.domains for m in report.interfaces] == [
        ("perovskite", "left"),
        ("perovskite", "right"),
    ]
    assert first.measured is not None
    assert second.measured is not None
    assert report.interface is first.measured
    assert first.measured.planes == ((-2, 1, 0), (-4, -4, 2))
    assert second.measured.planes == ((2, -1, 0), (-4, -4, 2))
    for a, b in zip(first.measured.coincidences, second.measured.coincidences, strict=True):
        assert a.lengths == pytest.approx(b.lengths, abs=1e-4)
    for found in (first.measured, second.measured):
        assert found.tilt is not None
        assert found.tilt.angle == pytest.approx(7.09, abs=0.02)
    assert [(c.kind, c.distance) for c in first.contacts] == [
        (c.kind, pytest.approx(c.distance, abs=1e-4)) for c in second.contacts
    ]
    for c in (*first.contacts, *second.contacts):
        pair = model.positions[[c.first, c.second]]
        assert np.linalg.norm(pair[0] - pair[1]) == pytest.approx(c.distance)
    left, right = (
        [(c.lattice_of, c.site, c.cation, c.count, c.total) for c in report.continuity
         if name in (c.domain, c.lattice_of)]
        for name in ("left", "right")
    )  # fmt: skip
    assert [c[1:] for c in left] == [c[1:] for c in right] != []
    printed = report_lines(model, report, (), verbose=False)
    assert printed.count("between        perovskite and left") == 1
    assert sum(line.startswith("interface ") for line in printed) == 2
    told = report.as_dict()["interfaces"]
    assert [t["domains"] for t in told] == [["perovskite", "left"], ["perovskite", "right"]]


def test_a_topotactic_exchange_of_one_cap_is_that_of_the_pair() -> None:
    trimer = hb.exchange(last("pbs-cspbcl3-pbs"), product="Cu2S", domain="left")
    pair = hb.exchange(last("cspbcl3-pbs"), product="Cu2S")
    assert trimer.formulas["left"] == pair.formulas["sulfide"]
    assert trimer.formulas["right"] == last("pbs-cspbcl3-pbs").formulas["right"]
    assert [i.domains for i in trimer.interfaces] == [
        ("perovskite", "left"),
        ("perovskite", "right"),
    ]
    halide = hb.exchange(last("pbs-cspbcl3-pbs"), {"Cl": "Br"}, domain="perovskite")
    assert halide.formulas["perovskite"] == "Cs122Pb85Br272"


def test_a_layer_is_kept_at_both_ends_of_a_rod() -> None:
    model = last("pbse-cdse-pbse")
    rod = model.domain_named("rod")
    atoms = np.flatnonzero((model.domain == rod) & (model.charges > 0))
    kept = kept_layer(model, rod, atoms, 2, None)
    height = model.domains[rod].plane_index((0, 0, 1), model.positions[atoms])
    assert np.unique(height[kept].round(6)).tolist() == [-3.0, -2.5, -2.0, 2.0, 2.5, 3.0]
    one_end = kept_layer(model, model.domain_named("top"), atoms[:0], 1, None)
    assert one_end.shape == (0,)


def test_etching_takes_an_end_but_not_the_middle() -> None:
    model = last("pbs-cspbcl3-pbs")
    with pytest.raises(hb.ImpossibleError, match="perovskite holds left, right together"):
        hb.etch(model, "perovskite")
    left = hb.etch(model, "left", allow_charge=True, compensate=())
    assert [d.name for d in left.domains] == ["perovskite", "right"]
    assert [i.domains for i in left.interfaces] == [("perovskite", "right")]
    assert (model.role == hb.Role.SHARED).sum() == 2 * (left.role == hb.Role.SHARED).sum()
    assert _beside(model, left, "left") == "perovskite"  # its halide sets the charge right
    mine = model.positions[model.domain == 2]
    assert np.array_equal(left.positions[left.domain == 1], mine)


def test_pictures_tables_and_angles_know_every_interface() -> None:
    model = last("pbse-cdse-pbse")
    written = page(model, parts=())
    assert "<h3>top and rod</h3>" in written
    assert "<h3>rod and bottom</h3>" in written
    assert written.count("Rigid shift of") == 2
    joined = [b for b in parallels(model) if b.first.kind == "plane"][:2]
    assert [(b.first.domain, b.second.domain) for b in joined] == [
        ("top", "rod"),
        ("rod", "bottom"),
    ]
    assert all(b.angle < 1e-4 for b in joined)
    change = hb.before_after(model, model)
    assert list(change.interfaces) == ["top-rod", "rod-bottom"]
    assert change.interface == change.interfaces["top-rod"]
    assert change.contacts["across"]["cation-anion"][0] == pytest.approx(3.0245, abs=1e-3)
    row = _measured(model, hb.inspect(model))
    assert row["planes_top_rod"] == row["planes_rod_bottom"].replace(
        "(0 0 1) || (1 1 1)", "(1 1 1) || (0 0 1)"
    )


def test_a_pair_of_a_trimer_is_a_model_of_two() -> None:
    model = last("pbs-cspbcl3-pbs")
    pair = of_pair(model, meetings(model)[1])
    assert [d.name for d in pair.domains] == ["perovskite", "right"]
    assert [i.domains for i in pair.interfaces] == [("perovskite", "right")]
    assert 2 * (pair.role == hb.Role.SHARED).sum() == (model.role == hb.Role.SHARED).sum()


def test_compare_tells_all_domains_of_a_shuffled_model() -> None:
    model = last("pbse-cdse-pbse")
    order = np.random.default_rng(3).permutation(len(model))
    turn = Rotation.random(random_state=4).as_matrix()
    other = model.where(order).moved(turn, np.array([1.0, 2.0, 3.0]))
    found = hb.compare(model, other)
    assert found.rmsd < 1e-4
    assert set(found.by_part) == {"rod", "top", "bottom"}


def test_touching_domains_meet_where_no_record_says_so() -> None:
    model = replace(last("pbse-cdse-pbse"), interface=None, further_interfaces=())
    assert meetings(model) == ((0, 1), (0, 2))
    assert [i.domains for i in with_interface(model).interfaces] == [
        ("rod", "top"),
        ("rod", "bottom"),
    ]
    with pytest.raises(hb.InputError, match="further_interfaces follow an interface"):
        replace(last("pbse-cdse-pbse"), interface=None)


@pytest.mark.parametrize(
    ("name", "crystals"),
    [
        ("pbs-cspbcl3-pbs", ["CsPbCl3", "PbS", "PbS"]),
        ("pbse-cdse-pbse", ["CdSe-wurtzite", "PbSe", "PbSe"]),
        ("cdse-tetrapod", ["CdSe", *4 * ["CdSe-wurtzite"]]),
    ],
)
def test_domains_of_one_crystal_are_told_apart_by_their_positions(
    name: str, crystals: list[str]
) -> None:
    model = last(name)
    order = np.random.default_rng(1).permutation(len(model))
    found = model_of(
        model.numbers[order], model.positions[order], [hb.Crystal.named(c) for c in crystals]
    )
    twice = crystals[-1]
    assert [d.name for d in found.domains][-2:] == [f"{twice}-{k}" for k in (1, 2, 3, 4)][
        : crystals.count(twice)
    ][-2:]
    # Every ion is in the domain it was built in, whatever the particles are called.
    pairs = set(zip(model.domain[order].tolist(), found.domain.tolist(), strict=True))
    assert len(pairs) == len(model.domains)
    assert len(hb.inspect(found).interfaces) == len(model.interfaces)


def test_a_crystal_named_once_too_often() -> None:
    cube = hb.carve("PbS", [hb.Facet((1, 0, 0), 2)], site="Pb")
    with pytest.raises(hb.ImpossibleError, match="PbS is named 2 times, but in what 1 of its"):
        model_of(cube.numbers, cube.positions, 2 * [hb.Crystal.named("PbS")])


def test_a_crystal_named_twice_is_not_looked_for_in_images() -> None:
    model = last("pbse-cdse-pbse")
    cell = np.ptp(model.positions, axis=0) * np.eye(3)
    with pytest.raises(hb.InputError, match="A periodic model takes each crystal once"):
        model_of(model.numbers, model.positions, 2 * [hb.Crystal.named("PbSe")], cell)
