"""Recipes and particle shapes that a match proposes, against geometry by hand."""

from __future__ import annotations

import tomllib
from functools import cache
from itertools import product
from typing import Any

import numpy as np
import pytest
from conftest import load

import hetbuild as hb
from hetbuild.crystal.crystal import Crystal
from hetbuild.errors import InputError
from hetbuild.matching.bicrystal import bicrystal
from hetbuild.matching.proposal import (
    Proposal,
    _floors,
    _polyhedron,
    _reflecting_spacing,
    _spans_facet,
    morphology,
    propose,
    recipe_text,
)
from hetbuild.matching.registry import Minimum, terminations_of

PLANE = tuple[int, int, int]


@pytest.mark.parametrize("size", [20.0, 47.0])
def test_rock_salt_is_a_truncated_octahedron_of_the_volume_asked(size: float) -> None:
    """F centring: d(200) = a/2, d(111) = a/sqrt 3; (2 2 0) with a/sqrt 8 does not appear."""
    found = dict(morphology(load("PbS"), size))
    assert set(found) == {(1, 0, 0), (1, 1, 1)}
    assert next(iter(found)) == (1, 1, 1)
    p, q = found[1, 0, 0], found[1, 1, 1]
    assert p / q == pytest.approx(2 / np.sqrt(3))
    # The octahedron less six pyramids of height h on square bases of area 2 h².
    h = np.sqrt(3) * q - p
    assert 4 / 3 * (np.sqrt(3) * q) ** 3 - 6 * 2 / 3 * h**3 == pytest.approx(size**3)


def test_perovskite_is_a_cube() -> None:
    """P lattice: {1 1 0} and {1 1 1} only touch its edges and corners."""
    assert morphology(load("CsPbCl3"), 30.0) == [((1, 0, 0), pytest.approx(15.0))]


@pytest.mark.parametrize(
    ("name", "hkl", "order"),
    [
        ("PbS", (1, 0, 0), 2), ("PbS", (1, 1, 1), 1), ("PbS", (1, 1, 0), 2),
        ("CsPbCl3", (1, 0, 0), 1), ("CsPbCl3", (1, 1, 0), 1),
        ("CdS", (1, 0, 0), 2),
        ("CdS-wurtzite", (0, 0, 1), 2), ("CdS-wurtzite", (1, 0, 0), 1),  # 6_3
        ("Bi", (0, 0, 1), 3),  # R centring
        ("SnS", (1, 0, 0), 2), ("SnS", (0, 1, 0), 2), ("SnS", (0, 0, 1), 2),  # Pnma
        ("SnS", (1, 0, 1), 1),
        ("SnS", (1, 1, 0), 2), ("SnS", (0, 1, 1), 1),  # the glide planes n and a
    ],
)  # fmt: skip
def test_planes_that_reflect(name: str, hkl: PLANE, order: int) -> None:
    """The lowest order that the International Tables leave."""
    crystal = load(name)
    assert _reflecting_spacing(crystal, hkl) == pytest.approx(crystal.spacing(hkl) / order)


@pytest.mark.parametrize("name", ["CdS-wurtzite", "SnS", "Bi"])
def test_particles_have_the_volume_asked_and_only_facets_that_appear(name: str) -> None:
    """Counted by points in the shape; each facet without which it would be larger."""
    crystal, size = load(name), 25.0
    found = dict(morphology(crystal, size))
    planes = [
        (normal / np.linalg.norm(normal), away, h)
        for h, away in found.items()
        for facet in crystal.equivalent_planes(h).tolist()
        for normal in [np.array(facet) @ np.linalg.inv(crystal.vectors).T]
    ]
    normals, away = np.array([p[0] for p in planes]), np.array([p[1] for p in planes])
    points = np.random.default_rng(0).uniform(-24, 24, (100_000, 3))
    heights = points @ normals.T - away
    volume = (heights <= 0).all(axis=1).mean() * 48.0**3
    assert volume == pytest.approx(size**3, rel=0.03)
    for form in found:
        others = np.array([p[2] != form for p in planes])
        assert ((heights[:, others] <= 0).all(axis=1) & (heights > 0).any(axis=1)).any()
    distances = list(found.values())
    assert distances == sorted(distances)
    spacing = [_reflecting_spacing(crystal, h) * d for h, d in found.items()]
    np.testing.assert_allclose(spacing, spacing[0])


def test_corners_of_a_cube() -> None:
    crystal = load("CsPbCl3")
    planes, corners = _polyhedron(crystal, {(1, 0, 0): 3.0})
    assert len(planes) == 6
    assert {tuple(np.rint(c).tolist()) for c in corners} == set(product((-3.0, 3.0), repeat=3))


def test_three_corners_span_a_facet_unless_on_a_line() -> None:
    corners = np.array([[0.0, 0, 0], [1, 0, 0], [0, 2, 0]])
    assert _spans_facet(corners)
    assert not _spans_facet(corners[:2])
    assert not _spans_facet(np.array([[0.0, 0, 0], [1, 1, 0], [3, 3, 0], [5, 5, 0]]))
    assert not _spans_facet(corners * 1e-8)
    assert _spans_facet(np.vstack([corners, corners[::-1]]))


@cache
def proposal(bound: bool, chosen: int = 0) -> tuple[Proposal, tuple[Crystal, Crystal]]:
    crystals = load("CsPbCl3"), load("PbS")
    planes = ((1, 0, 0), (1, 0, 0))
    found = hb.match(*crystals, planes=planes, max_strain=0.1, max_area=80.0)[0]
    registry = Minimum((0.31, -0.22), 2.45, -0.0123, bound, ())
    both = terminations_of(found, crystals)
    given = Proposal(found, crystals, ("CsPbCl3", "PbS"), both, (chosen, 0), registry, (30.0, 24.0))
    return given, crystals


def parsed(given: Proposal) -> dict[str, Any]:
    return tomllib.loads(recipe_text(given))


@pytest.mark.parametrize("chosen", [0, 1])
def test_anchors_lie_on_each_other_at_the_registry(chosen: int) -> None:
    """Shifted by it, the second's anchor lies in the chosen plane, over that of the first."""
    given, crystals = proposal(True, chosen)
    found = parsed(given)
    sides = bicrystal(given.match, crystals)
    names = ("cspbcl3", "pbs")
    for i, (side, name) in enumerate(zip(sides, names, strict=True)):
        point = np.array(found["join"]["anchor"][name]) @ side.frame
        level = given.terminations[i][given.chosen[i]].index * side.repeat
        shift = np.array(given.registry.shift) * i
        np.testing.assert_allclose(point[:2] + shift, 0.0, atol=2e-5)
        assert point[2] == pytest.approx(level, abs=2e-5)
        cut = found["domains"][name]["cut"]
        assert cut["keep"] == ("above", "below")[i]
        # In planes of the indices as asked, of which the datum's is 0.
        normal = np.array(cut["plane"]) @ np.linalg.inv(crystals[i].vectors).T
        assert cut["at"] / np.linalg.norm(normal) == pytest.approx(level, abs=1e-5)
        for key, pair in zip(("along", "across"), given.match.cell, strict=True):
            assert found["join"][key][name] == list((pair.first, pair.second)[i].uvw)
        facets = {tuple(f["form"]): f["distance"] for f in found["domains"][name]["facets"]}
        expected = morphology(crystals[i], given.sizes[i])
        assert facets == {h: pytest.approx(d, abs=5e-4) for h, d in expected}
    moves = {(m["domain"], m["element"]) for m in found["balance"]["moves"]}
    assert moves == {("cspbcl3", e) for e in ("Cs", "Pb", "Cl")} | {("pbs", e) for e in ("Pb", "S")}


def test_window_of_the_registry() -> None:
    """About the gap found; wide open where the faces do not bind."""
    window = parsed(proposal(True)[0])["join"]["registry"]["window"]
    assert window == {"along": 0.4, "across": 0.4, "gap": [1.65, 4.45]}
    assert "Registry of -0.0123 eV/Å², gap 2.45 Å" in recipe_text(proposal(True)[0])
    window = parsed(proposal(False)[0])["join"]["registry"]["window"]
    assert window["gap"] == [0.5, 5.0]
    assert "has no minimum" in recipe_text(proposal(False)[0])


def test_comments_say_what_fits_and_which_termination_is_meant() -> None:
    given, _ = proposal(True, 1)
    lines = recipe_text(given).splitlines()
    marked = [line for line in lines if line.startswith("# >")]
    listed = [line for line in lines if line.startswith(("# >", "#   ")) and " e Å" in line]
    assert len(listed) == sum(len(t) for t in given.terminations)
    assert len(marked) == 2
    assert given.terminations[0][1].formula in marked[0]
    for pair in given.match.cell:
        percent = 100 * (pair.lengths[1] / pair.lengths[0] - 1)
        assert any(line.endswith(f"{percent:+.2f} %") for line in lines)
    assert sum("is not polar" in line for line in lines) == 2


def test_a_particle_holds_four_formula_units_at_least() -> None:
    given, crystals = proposal(True)
    volumes = 5.605**3, load("PbS").vectors[0, 0] ** 3 / 4
    for i in range(2):
        edge = (4 * volumes[i]) ** (1 / 3)
        sizes = [30.0, 30.0]
        for wrong, text in ((0.97 * edge, "less than four formula"), (0.0, "must be above 0"),
                            (-1.0, "must be above 0"), (np.inf, "must be above 0")):  # fmt: skip
            sizes[i] = wrong
            with pytest.raises(InputError, match=text):
                propose(given.match, crystals, given.sources, sizes=(sizes[0], sizes[1]))
    least = tuple(1.03 * (4 * v) ** (1 / 3) for v in volumes)
    found = propose(given.match, crystals, given.sources, sizes=(least[0], least[1]), chosen=(1, 0))
    assert found.chosen == (1, 0)
    assert found.terminations == given.terminations
    # CsCl on PbS repel at every gap tried.
    assert not found.registry.bound
    assert found.registry.gap == pytest.approx(6.0)


def test_floors_of_a_crystal_with_short_bonds() -> None:
    """0.95 of Zn-S in zinc blende, a sqrt(3)/4, in whole hundredths of an Å; none where longer."""
    a = load("ZnS").vectors[0, 0]
    found = tomllib.loads("\n".join(_floors((load("ZnS"), load("PbS")))))["floors"]
    bond = 0.95 * a * np.sqrt(3) / 4
    assert 0 <= bond - found["cation_anion"] < 0.01
    assert found["cation_anion"] * 100 == pytest.approx(round(found["cation_anion"] * 100))
    assert list(_floors((load("PbS"), load("CsPbCl3")))) == []


def test_particles_of_three_nanometres_unless_told() -> None:
    given, crystals = proposal(True)
    assert propose(given.match, crystals, given.sources, chosen=(0, 0)).sizes == (30.0, 30.0)
