"""Shells around a core: coherent, graded, on a lattice of their own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import load
from scipy.spatial import cKDTree

from hetbuild.analyse.report import inspect
from hetbuild.assemble.carve import carve
from hetbuild.assemble.polyhedron import Facet
from hetbuild.assemble.shell import Layer, Shell, grow, grown_shape, strain_factor
from hetbuild.assemble.size import Shape
from hetbuild.errors import ImpossibleError, InputError
from hetbuild.formats.xyz import read_xyz
from hetbuild.geometry.contacts import Floors, closest_contacts
from hetbuild.model import Model
from hetbuild.recipe.read import parse_recipe, read_recipe
from hetbuild.recipe.run import build

CENTRE = (0.0, 0.0, 0.0)


def core_of(name: str, shape: Shape) -> Model:
    return carve(load(name), shape.facets, centre=shape.centre, radius=shape.radius, name="core")


def wrapped(core: str, shell: str, inner: Shape, outer: Shape, factor: float = 1.0) -> Model:
    given = Shell("shell", load(shell), outer, "core" if factor == 1.0 else "graded")
    return grow(core_of(core, inner), given, [Layer(inner, factor)])


def places(model: Model) -> set[tuple[float, ...]]:
    """Positions with the sign of the ion."""
    rounded = np.round(model.positions, 4) + 0.0
    return {
        (*map(float, p), float(np.sign(q))) for p, q in zip(rounded, model.charges, strict=True)
    }


CUBE, LARGER = (
    Shape((Facet((1, 0, 0), 1.5),), None, CENTRE),
    Shape((Facet((1, 0, 0), 3.5),), None, CENTRE),
)
BALL, BIGGER = Shape((), 9.0, CENTRE), Shape((), 16.0, CENTRE)


@pytest.mark.parametrize(
    ("core", "shell", "inner", "outer"),
    [
        ("CdSe", "CdS", BALL, BIGGER),
        ("InP", "ZnSe", BALL, BIGGER),  # the two crystals are described in axes turned by 90°
        ("PbS", "PbSe", BALL, BIGGER),
        ("CdSe-wurtzite", "CdS-wurtzite", BALL, BIGGER),
        ("CsPbBr3", "CsPbCl3", CUBE, LARGER),
    ],
)
def test_a_coherent_shell_continues_the_crystal(
    core: str, shell: str, inner: Shape, outer: Shape
) -> None:
    """Core and shell together are the core's crystal carved to the outer shape."""
    model = wrapped(core, shell, inner, outer)
    whole = core_of(core, outer)
    if "wurtzite" not in core:  # u differs
        assert places(model) == places(whole)
    assert len(model) == len(whole)
    assert cKDTree(whole.positions).query(model.positions)[0].max() < 0.1
    assert (model.domain == 0).sum() == len(core_of(core, inner))
    # Frames tell where sites are: every ion of the shell is on one of its own.
    there = model.where(model.domain == 1)
    ideal = there.domains[1].site_positions(there.site, there.site_cell)
    assert np.linalg.norm(ideal - there.positions, axis=1).max() < 1e-6
    assert (load(shell).numbers[there.site] == there.numbers).all()


def test_a_shell_on_a_shared_sublattice() -> None:
    """CdS on PbS: S goes on with S, Cd comes no nearer to Pb than cations may."""
    model = wrapped("PbS", "CdS", BALL, BIGGER)
    sulfur = model.positions[model.numbers == 16]
    cells = sulfur / 5.9362 - 0.5  # S of PbS is at 1/2 1/2 1/2 from Pb
    doubled = np.rint(2 * cells)
    assert np.abs(2 * cells - doubled).max() < 1e-6
    assert not (doubled.sum(axis=1) % 2).any()  # face-centred
    shell = model.domain == 1
    nearest = cKDTree(model.positions[model.numbers == 82]).query(
        model.positions[shell & (model.numbers == 48)]
    )[0]
    assert nearest.min() >= 3.3


def test_a_graded_shell_relaxes_along_the_rays() -> None:
    factor = strain_factor(load("CdSe"), load("CdS"))
    assert factor == pytest.approx(5.818 / 6.05)
    before, after = (
        wrapped("CdSe", "CdS", BALL, BIGGER),
        wrapped("CdSe", "CdS", BALL, BIGGER, factor),
    )
    assert len(before) == len(after)
    r, s = (np.linalg.norm(m.positions, axis=1) for m in (before, after))
    core = before.domain == 0
    assert np.array_equal(before.positions[core], after.positions[core])
    assert s[~core] == pytest.approx(9 + factor * (r[~core] - 9), abs=1e-6)
    lead = after.positions[after.charges > 0]
    bonds = cKDTree(lead).query(after.positions[after.charges < 0])[0]
    assert factor * 2.6197 - 1e-3 < bonds.min() < bonds.max() < 2.6197 + 1e-3
    assert wrapped("CdSe", "CdS", BALL, BIGGER, 1.0).positions == pytest.approx(before.positions)


def test_a_shell_with_its_own_lattice_keeps_the_floors() -> None:
    recipe = read_recipe("cspbbr3-cs4pbbr6", {"domains.host.radius": 20})
    model = build(recipe)
    assert model.charge == 0
    parts = [model.domain == i for i in (0, 1)]
    found = closest_contacts(*(x for p in parts for x in (model.positions[p], model.charges[p])))
    assert all(c.distance >= Floors().by_kind[c.kind] for c in found)
    axes = [d.vectors / np.linalg.norm(d.vectors, axis=1)[:, None] for d in model.domains]
    three_fold = np.array([1, 1, 1]) @ model.domains[0].vectors
    assert axes[1][2] @ three_fold / np.linalg.norm(three_fold) == pytest.approx(1)
    report = inspect(model)
    assert report.shells["host"].encloses == ("core",)
    assert report.shells["host"].strain == pytest.approx((0, 0, 0), abs=1e-6)
    assert report.interface is None


@pytest.mark.parametrize(
    ("name", "smaller"),
    [
        ("cdse-cds", {"domains.core.radius": 8, "domains.shell.thickness": "0.5 nm"}),
        ("inp-znse-zns", {"domains.core.radius": 8, "domains.inner.thickness": "0.3 nm",
                          "domains.outer.thickness": "0.3 nm"}),
        ("pbs-cds", {"domains.core.facets.0.planes": 4, "domains.shell.facets.0.planes": 4.5,
                     "domains.shell.facets.1.planes": 8.5}),
    ],
)  # fmt: skip
def test_shipped_shells_are_neutral(name: str, smaller: dict[str, Any]) -> None:
    model = build(read_recipe(name, smaller))
    assert model.charge == 0
    core, *shells = (model.domain == i for i in range(len(model.domains)))
    for shell in shells:
        assert shell.any()
    depths = np.linalg.norm(model.positions, axis=1)
    assert depths[core].max() < depths.max()
    shortest = min(float(d.crystal.bonds.length.min()) for d in model.domains)
    near = closest_contacts(model.positions[core], model.charges[core],
                            model.positions[~core], model.charges[~core])  # fmt: skip
    assert {c.kind: c.distance for c in near}["cation-anion"] > 0.94 * shortest
    assert {c.kind: c.distance for c in near}["cation-cation"] > 3.3


def test_shells_grow_in_whole_planes() -> None:
    grown = grown_shape(load("CsPbBr3"), CUBE, 11.0)
    assert grown.facets[0].planes == 3.5
    with pytest.raises(ImpossibleError, match=r"2 Å is less than one layer on \{1 0 0\}, 5.87 Å"):
        grown_shape(load("CsPbBr3"), CUBE, 2.0)


def test_a_shell_needs_a_shared_sublattice() -> None:
    with pytest.raises(ImpossibleError, match=r"Cs4PbBr6 and CsPbBr3 share no sublattice.*'own'"):
        wrapped("CsPbBr3", "Cs4PbBr6", CUBE, LARGER)
    with pytest.raises(ImpossibleError, match="Nothing of shell is outside the core"):
        wrapped("CdSe", "CdS", BIGGER, BALL)
    given = Shell("s", load("CdS"), BIGGER, "own", (np.eye(3)[:2], np.ones((2, 3))))
    with pytest.raises(InputError, match="must not be parallel"):
        grow(core_of("CdSe", BALL), given, [])


CORE = {"crystal": "CdSe", "radius": 9}
SHELL = {"crystal": "CdS", "around": "core", "thickness": "1 nm"}


@pytest.mark.parametrize(
    ("domains", "words"),
    [
        ({"core": CORE, "shell": SHELL | {"around": "kern"}}, "name the domain before it, 'core'"),
        ({"shell": SHELL}, "the first domain is the core"),
        ({"core": CORE, "shell": SHELL | {"radius": 20}}, "a thickness, or facets or a radius"),
        ({"core": CORE, "shell": SHELL | {"lattice": "own"}}, "lattice takes facets or a radius"),
        ({"core": CORE, "shell": SHELL | {"centre": {"site": "Cd"}}}, "axes and centre belong to"),
        ({"core": CORE, "shell": SHELL | {"size": "3 nm"}}, "takes no cut, slab or size"),
        ({"core": CORE | {"thickness": "1 nm"}}, "belong to a shell: name its core"),
        ({"core": CORE, "shell": SHELL | {"lattice": "mine"}}, "'core', 'graded' or 'own'"),
        ({"a": CORE, "b": CORE, "c": CORE}, "more than two domains are a core and its shells"),
        (
            {"core": CORE, "shell": {"crystal": "CdS", "around": "core", "radius": 20,
             "lattice": "own", "axes": {"x": [[1, 0, 0], [0, 1, 0]]}}},
            "axes must name the domains core and shell",
        ),
    ],
)  # fmt: skip
def test_errors_of_shells(domains: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        parse_recipe({"name": "x", "domains": domains})


def test_shells_survive_in_files(tmp_path: Path) -> None:
    model = wrapped("CdSe", "CdS", BALL, BIGGER)
    read = read_xyz(model.write(tmp_path / "shell.xyz"))
    assert read.formulas == model.formulas
    found = json.loads(json.dumps(inspect(read).as_dict()))["shells"]["shell"]
    assert found["encloses"] == ["core"]
    assert found["strain"] == pytest.approx(3 * [6.05 / 5.818 - 1], abs=1e-6)
