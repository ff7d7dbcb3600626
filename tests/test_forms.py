"""Cuts below the crystal's symmetry: point groups of forms, truncation, facets of a join."""

from __future__ import annotations

import json
from itertools import combinations, product
from pathlib import Path

import numpy as np
import pytest
from test_cli import run

from hetbuild.assemble.carve import carve
from hetbuild.assemble.polyhedron import Facet
from hetbuild.assemble.size import Shape
from hetbuild.assemble.truncate import Truncation, truncated
from hetbuild.crystal.crystal import Crystal
from hetbuild.crystal.subgroups import SYMBOLS, subgroup
from hetbuild.errors import HetbuildError, ImpossibleError, InputError
from hetbuild.geometry.point_group import point_group_symbol
from hetbuild.recipe.check import check_ions
from hetbuild.recipe.frame import in_indices
from hetbuild.recipe.read import read_recipe

PBS = Crystal.named("PbS")
CUBE = Crystal.named("CsPbBr3")
WURTZITE = Crystal.named("CdSe-wurtzite")


def groups(crystal: Crystal) -> list[str]:
    """The text of every subgroup of a crystal's point group, out of the messages alone."""
    found = []
    for symbol in SYMBOLS:
        try:
            subgroup(crystal.rotations, symbol, crystal.name)
        except InputError as error:
            listed = str(error).partition("; say ")[2]
            assert "more" not in listed
            found += [text.strip("' .") for text in listed.split(", ")] if listed else []
        else:
            found.append(symbol)
    return found


@pytest.mark.parametrize(("crystal", "count"), [(PBS, 98), (WURTZITE, 16)], ids=lambda x: str(x))
def test_every_subgroup_has_a_name_of_its_own(crystal: Crystal, count: int) -> None:
    """m-3m has 98 subgroups, 6mm, as an abstract group the dihedral one of order 12, 16."""
    texts = groups(crystal)
    assert len(texts) == count
    seen = set()
    for text in texts:
        group = subgroup(crystal.rotations, text, crystal.name)
        members = {w.tobytes() for w in group.rotations}
        assert {(a @ b).tobytes() for a in group.rotations for b in group.rotations} == members
        assert len(crystal.rotations) % len(members) == 0
        assert group.symbol == text.split()[0]
        seen.add(frozenset(members))
    assert len(seen) == count


@pytest.mark.parametrize(
    "text", ["-43m", "4mm [0 0 1]", "3m [1 1 1]", "mm2 [1 1 0]", "222 [1 1 0]"]
)
def test_a_particle_has_the_point_group_of_its_forms(text: str) -> None:
    """Facets of a general form alone make it lower; the atoms say what it is, through spglib."""
    facets = [
        Facet((1, 0, 0), 3.0),
        *(Facet(hkl, 1.6, point_group=text) for hkl in ((1, 1, 1), (2, 1, 1))),
        Facet((1, 2, 2), 4.0, point_group=text),
    ]
    model = carve(PBS, facets, site="Pb")
    assert point_group_symbol(model) == text.split()[0]


def test_polar_forms_of_a_centrosymmetric_crystal() -> None:
    full = {tuple(h) for h in PBS.equivalent_planes((1, 1, 1)).tolist()}
    plus = {tuple(h) for h in PBS.equivalent_planes((1, 1, 1), "-43m").tolist()}
    minus = {tuple(h) for h in PBS.equivalent_planes((-1, -1, -1), "-43m").tolist()}
    assert (len(full), len(plus), plus & minus, plus | minus) == (8, 4, set(), full)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("622", r"622 is no subgroup of m-3m, the point group of PbS; its subgroups are 1, -1, 2"),
        ("-4m2", "'-4m2' is no point group; .*Write '-43m', or with an axis '3m"),
        ("3m", r"means several of the 4 subgroups 3m of m-3m.* say '3m \[1 -1 -1\]'"),
        ("4mm [1 1 0]", r"is not one of the 3 subgroups 4mm .* say '4mm \[0 0 1\]'"),
        ("3m [1 1]", "three numbers are wanted"),
        ("222 [1 0 0] [0 1 0] [0 0 1]", "one or two directions tell its axes"),
        ("m [0 0 0]", "one or two directions tell its axes"),
    ],
)
def test_errors_of_a_point_group(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        PBS.equivalent_planes((1, 1, 1), text)


@pytest.mark.parametrize(("edges", "vertices"), [(2, 0), (0, 3), (1, 3), (3, 2)])
def test_a_truncated_cube_lacks_whole_planes(edges: int, vertices: int) -> None:
    """Against the whole cube with its atoms counted off from each edge and corner."""
    shape = Shape((Facet((1, 0, 0), 3.5),), None, (0.0, 0.0, 0.0), "Pb")
    whole = carve(CUBE, shape.facets, site="Pb")
    cut = truncated(CUBE, shape, Truncation(edges, vertices))
    model = carve(CUBE, cut.facets, site="Pb")
    index = whole.domains[0].fractional(whole.positions)
    stays = np.ones(len(whole), dtype=bool)
    for h in product((-1, 0, 1), repeat=3):
        gone = {2: edges, 3: vertices}.get(int(np.abs(h).sum()), 0)
        stays &= index @ np.array(h) <= (index @ np.array(h)).max() - gone + 1e-6
    assert len(model) < len(whole)
    assert {*map(tuple, model.positions)} == {*map(tuple, whole.positions[stays])}


def test_truncation_makes_the_classical_forms() -> None:
    def forms(crystal: Crystal, hkl: tuple[int, int, int], cut: Truncation) -> list[int]:
        shape = truncated(crystal, Shape((Facet(hkl, 6.0),), None, (0.0, 0.0, 0.0)), cut)
        return sorted({int(np.abs(f.hkl).sum()) for f in shape.facets if f.single})

    dot = Crystal.named("CdSe")
    assert forms(CUBE, (1, 0, 0), Truncation(1, 1)) == [2, 3]
    assert forms(PBS, (1, 1, 1), Truncation(vertices=1)) == [1]
    assert forms(PBS, (1, 1, 1), Truncation(edges=1)) == [2]
    assert forms(dot, (1, 1, 1), Truncation(edges=1)) == [1]
    assert forms(dot, (1, 1, 1), Truncation(vertices=1)) == [3]


def test_each_edge_and_corner_is_taken_off_once() -> None:
    """Euler: corners less edges plus faces are 2."""
    octahedron = Shape((Facet((1, 1, 1), 6.0), Facet((1, 0, 0), 4.0)), None, (0.0, 0.0, 0.0))
    counts = [
        len(truncated(PBS, octahedron, t).facets) - 2 for t in (Truncation(1), Truncation(0, 1))
    ]
    assert counts == [36, 24]
    assert 24 - 36 + len(PBS.equivalent_planes((1, 1, 1))) + 6 == 2


def test_a_sphere_is_not_truncated() -> None:
    with pytest.raises(InputError, match="a sphere has none"):
        truncated(PBS, Shape((), 12.0, (0.0, 0.0, 0.0)), Truncation(edges=1))
    shape = Shape((Facet((1, 0, 0), 2.0),), None, (0.0, 0.0, 0.0))
    nothing = truncated(PBS, shape, Truncation(vertices=40)).facets
    with pytest.raises(ImpossibleError, match="enclose no volume"):
        carve(PBS, nothing)


def test_facets_in_the_frame_of_a_join() -> None:
    side = [
        {"side": word, "distance": 14}
        for word in ("away", "toward", "along", "-along", "across", "-across")
    ]
    recipe = read_recipe("cspbcl3-pbs", {"domains.perovskite.facets": side})
    found = [f.facet for f in in_indices(recipe).domains["perovskite"].facets]
    assert found == [(-2, 1, 0), (2, -1, 0), (1, 2, 0), (-1, -2, 0), (0, 0, -1), (0, 0, 1)]
    normals = [np.array(h) for h in found]
    assert all(a @ b == 0 or (a == -b).all() for a, b in combinations(normals, 2))
    below = read_recipe("cspbcl3-pbs", {"domains.sulfide.facets": side})
    away = in_indices(below).domains["sulfide"].facets[0].facet
    assert away == (4, 4, -2)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"domains.dot.facets.0": {"side": "away", "planes": 3}}, "the domain has no cut"),
        ({"domains.dot.point_group": "6mm"}, "domains.dot.point_group: 6mm is no subgroup"),
        ({"domains.dot.truncate": {"edges": 1, "outermost": "Xe"}}, "truncate.outermost: Xe is no"),
        ({"domains.dot.truncate": {}}, "give edges, vertices or both"),
        ({"domains.dot.facets.0": {"planes": 3}}, "give one of form, facet and side"),
    ],
)
def test_errors_of_a_recipe(settings: dict[str, object], message: str) -> None:
    with pytest.raises(HetbuildError, match=message):
        check_ions(read_recipe("pbs-dot", settings))


def test_only_a_particle_with_forms_has_a_point_group() -> None:
    with pytest.raises(InputError, match="point_group is that of forms"):
        read_recipe("pb4s3cl2-sphere", {"domains.chalcohalide.point_group": "m"})


def test_carve_truncates(tmp_path: Path) -> None:
    words = ["carve", "PbS", "--form", "1", "1", "1:12", "--form=-1 -1 -1:14", "--site", "Pb"]
    words += ["--point-group", "-43m", "--truncate-vertices", "2", "-o", "a.xyz", "--json"]
    record = json.loads(run(*words, cwd=tmp_path).stdout)
    facets = [Facet((1, 1, 1), 12 / PBS.spacing((1, 1, 1)), point_group="-43m")]
    facets += [Facet((-1, -1, -1), 14 / PBS.spacing((1, 1, 1)), point_group="-43m")]
    shape = truncated(PBS, Shape(tuple(facets), None, (0.0, 0.0, 0.0), "Pb"), Truncation(0, 2))
    assert record["formula"] == carve(PBS, shape.facets, site="Pb").formula
