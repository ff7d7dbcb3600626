"""Carving against brute force, ASE, and the published stages."""

from __future__ import annotations

import numpy as np
import pytest
from ase.build import bulk
from ase.spacegroup import crystal as ase_crystal
from conftest import load
from hypothesis import given, settings
from hypothesis import strategies as st

from hetbuild.arrays import Plane
from hetbuild.assemble.carve import carve
from hetbuild.assemble.polyhedron import Facet
from hetbuild.crystal.crystal import Crystal
from hetbuild.elements import counts
from hetbuild.errors import ImpossibleError, InputError
from hetbuild.model import Model, Role

FORMS = [(1, 0, 0), (1, 1, 0), (1, 1, 1), (2, 1, 0), (1, 1, 2)]
names = st.sampled_from(["PbS", "CsPbCl3", "Pb4S3Br2", "Pb3S2Cl2", "CdS-wurtzite"])
offsets = st.tuples(*3 * [st.floats(-0.5, 0.5).map(lambda x: round(x, 3))])


def brute(crystal: Crystal, facets: list[Facet], centre: tuple[float, ...]) -> dict[str, int]:
    """Mask a supercell: the way users do it by hand."""
    reach = np.arange(-7, 8)
    cells = np.stack(np.meshgrid(reach, reach, reach), axis=-1).reshape(-1, 1, 3)
    sites = crystal.fractional - crystal.fractional[crystal.datum(None)]
    points = cells + sites - np.array(centre)
    inside = np.ones(points.shape[:2], dtype=bool)
    for facet in facets:
        for h in crystal.equivalent_planes(facet.hkl):
            inside &= points @ h <= facet.planes + 1e-6
    return counts(np.broadcast_to(crystal.numbers, inside.shape)[inside])


@given(names, st.lists(st.sampled_from(FORMS), min_size=1, max_size=2, unique=True), offsets)
@settings(max_examples=30, deadline=None)
def test_same_atoms_as_a_masked_supercell(
    name: str, forms: list[Plane], centre: tuple[float, float, float]
) -> None:
    crystal = load(name)
    box = [tuple(int(i) for i in sign * row) for row in np.eye(3) for sign in (-1, 1)]
    facets = [Facet((h, k, m), 11.0 / crystal.spacing((h, k, m))) for h, k, m in [*forms, *box]]
    model = carve(crystal, facets, centre=centre)
    assert counts(model.numbers) == brute(crystal, facets, centre)


@given(st.floats(6, 25), offsets)
@settings(max_examples=25, deadline=None)
def test_every_atom_is_inside_the_sphere_and_none_twice(
    radius: float, centre: tuple[float, float, float]
) -> None:
    crystal = load("PbS")
    model = carve(crystal, radius=radius, centre=centre)
    middle = np.array(centre) @ crystal.vectors
    assert np.linalg.norm(model.positions - middle, axis=1).max() <= radius + 1e-5
    assert len(np.unique(np.round(model.positions, 3), axis=0)) == len(model)


def test_sphere_as_ase_masks_it() -> None:
    cell = ase_crystal(
        ["Pb", "S"], [(0, 0, 0), (0.5, 0.5, 0.5)], spacegroup=225, cellpar=3 * [5.9362] + 3 * [90]
    )
    block = cell.repeat((10, 10, 10))
    block = block[np.linalg.norm(block.positions - 5 * 5.9362, axis=1) <= 20.0 + 1e-6]
    ours = carve(load("PbS"), radius=20.0, site="Pb")
    assert counts(ours.numbers) == counts(block.numbers)


def test_cube_as_ase_masks_it() -> None:
    edge = 5.9362
    block = bulk("PbS", "rocksalt", a=edge, cubic=True).repeat(8)
    inside = (np.abs(block.positions - 4 * edge) <= 2.5 * edge + 1e-6).all(axis=1)
    ours = carve(load("PbS"), [Facet((2, 0, 0), 5)], site="Pb")
    assert counts(ours.numbers) == counts(block[inside].numbers)


def site_symmetry(crystal: Crystal) -> list[np.ndarray]:
    """Point operations about the datum that map the crystal onto itself."""
    sites = crystal.fractional - crystal.fractional[crystal.datum(None)]

    def kept(turn: np.ndarray) -> bool:
        away = (sites @ turn.T)[:, None] - sites[None]
        same = np.abs(away - np.rint(away)).max(axis=2) < 1e-3
        return bool((same & (crystal.numbers[:, None] == crystal.numbers)).any(axis=1).all())

    return [turn for turn in crystal.rotations if kept(turn)]


@given(names, st.tuples(*6 * [st.integers(5, 14)]), offsets, st.data())
@settings(max_examples=30, deadline=None)
def test_carving_commutes_with_the_symmetry_of_the_datum(
    name: str, sizes: tuple[int, ...], centre: tuple[float, float, float], data: st.DataObject
) -> None:
    """Six single facets at unequal distances about an odd centre, all turned together."""
    crystal = load(name)
    turn = data.draw(st.sampled_from(site_symmetry(crystal)))
    back = np.rint(np.linalg.inv(turn)).astype(int)
    box = [sign * row for row in np.eye(3, dtype=int) for sign in (-1, 1)]

    def particle(planes: list[np.ndarray], middle: np.ndarray) -> Model:
        facets = [
            Facet((int(h[0]), int(h[1]), int(h[2])), s / crystal.spacing(h.tolist()), single=True)
            for h, s in zip(planes, sizes, strict=True)
        ]
        model = carve(crystal, facets, centre=tuple(middle))
        offset = model.domains[0].fractional(model.positions) - middle
        for facet in facets:
            assert (offset @ facet.hkl).max() <= facet.planes + 1e-5
        return model

    straight = particle(box, np.array(centre))
    turned = particle([h @ back for h in box], turn @ centre)
    assert turned.formula == straight.formula


def test_published_stages(main_stages: dict[str, Model]) -> None:
    """The particles before the cut, design values of the paper's model."""
    assert main_stages["perovskite-carved"].formula == "Cs216Pb125Cl450"
    sulfide = main_stages["sulfide-carved"]
    assert (sulfide.formula, sulfide.charge) == ("Pb310S250Cl92", 28)
    assert (sulfide.numbers[sulfide.role == Role.LIGAND] == 17).all()


@given(st.floats(1.2, 4.0), st.floats(0.1, 2.0))
@settings(max_examples=20, deadline=None)
def test_moving_facets_out_only_adds_atoms(planes: float, more: float) -> None:
    small, large = (carve(load("CsPbCl3"), [Facet((1, 0, 0), p)]) for p in (planes, planes + more))
    kept = {tuple(r) for r in np.round(small.positions, 4)}
    assert kept <= {tuple(r) for r in np.round(large.positions, 4)}


def test_a_point_group_operation_on_the_centre_changes_nothing() -> None:
    crystal, centre = load("Pb4S3Br2"), np.array([0.1, 0.2, 0.3])
    pbs = load("PbS")
    formulas = {
        carve(pbs, radius=12.3, centre=tuple(w @ centre), site="Pb").formula for w in pbs.rotations
    }
    assert len(formulas) == 1
    assert carve(crystal, radius=12.3, centre=tuple(centre)).formula


def test_termination_ends_at_the_named_plane() -> None:
    facet = Facet((1, 1, 1), 5.0, outermost=("S",), ligands=(("S", "Cl"),))
    model = carve(load("PbS"), [facet, Facet((1, 0, 0), 6.0)], site="Pb")
    heights = (
        model.domains[0].fractional(model.positions) @ load("PbS").equivalent_planes((1, 1, 1)).T
    )
    outer = heights >= heights.max(axis=0) - 1e-6
    assert (model.numbers[outer.any(axis=1)] == 17).all()


def test_errors() -> None:
    pbs = load("PbS")
    with pytest.raises(ImpossibleError, match=r"facets \(1 0 0\) do not close"):
        carve(pbs, [Facet((1, 0, 0), 3, single=True)])
    with pytest.raises(ImpossibleError, match="Nothing of PbS is inside"):
        carve(pbs, radius=0.1, centre=(0.25, 0.25, 0.25))
    with pytest.raises(InputError, match=r"\(0 0 0\) is no lattice plane"):
        carve(pbs, [Facet((0, 0, 0), 3)])
    with pytest.raises(InputError, match=r"Termination Cl of \{1 1 1\}: no such element in PbS"):
        carve(pbs, [Facet((1, 1, 1), 3, outermost=("Cl",))])
    with pytest.raises(ImpossibleError, match=r"GiB of memory .* make the particle smaller"):
        carve(pbs, radius=1e6)
    with pytest.raises(InputError, match=r"radius must be a number; given inf"):
        carve(pbs, radius=float("inf"))
    for centre in [(0.0, 0.0), (float("nan"), 0.0, 0.0)]:
        with pytest.raises(
            InputError, match=r"A centre takes three finite|centre\[0\] must be a number"
        ):
            carve(pbs, radius=9.0, centre=centre)
    with pytest.raises(ImpossibleError, match=r"would take about .* GiB"):
        carve(pbs, radius=30.0, memory=1000)
    with pytest.raises(ImpossibleError, match="enclose no volume"):
        carve(pbs, [Facet((1, 0, 0), -1)])
    with pytest.raises(InputError, match="given neither"):
        carve(pbs)
