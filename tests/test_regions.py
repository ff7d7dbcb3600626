"""Where atoms are: at an interface, in shells of sites and layers, on axes, in their old order."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from conftest import history, load
from scipy.spatial.distance import cdist

import hetbuild as hb
from hetbuild.analyse import inheritance
from hetbuild.analyse.regions import Region, regions
from hetbuild.analyse.sites import shell
from hetbuild.assemble.shell import Layer, _relaxed
from hetbuild.assemble.size import Shape
from hetbuild.exchanging.topotaxy import _off_axes
from hetbuild.geometry.bonds import COUNTED


def test_ions_at_the_interface_have_opposite_ones_of_another_domain_beside_them() -> None:
    """By all distances; an ion of the same sign beside one does not make it one."""
    model = list(history("cspbcl3-pbs-small").values())[-1]
    model = replace(model, role=np.where(model.role == hb.Role.SHARED, 0, model.role))
    sign = np.sign(model.charges)
    near = cdist(model.positions, model.positions) <= COUNTED
    near &= model.domain[:, None] != model.domain
    opposite = (near & (sign[:, None] == -sign)).any(axis=1)
    alike = (near & (sign[:, None] == sign)).any(axis=1)
    found = regions(model) == Region.INTERFACE
    assert found[opposite].all()
    assert opposite.any()
    assert (alike & ~opposite).any()
    assert not found[alike & ~opposite].any()


@pytest.mark.parametrize("angle", [0.0, 25.0, 90.0, 180.0])
def test_cell_axes_are_off_by_what_their_cosines_lack(angle: float) -> None:
    """Turned about c two axes of three go; lengths of the axes do not count."""
    pbs, zns = load("PbS"), load("ZnS")
    c, s = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    turn = np.array([[c, s, 0.0], [-s, c, 0.0], [0.0, 0.0, 1.0]])
    assert _off_axes(turn, pbs, zns) == pytest.approx(2.0 - 2.0 * c, abs=1e-5)
    assert _off_axes(2.5 * turn, pbs, pbs) == pytest.approx(2.0 - 2.0 * c, abs=1e-5)


def test_atoms_in_their_old_order_are_not_searched(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model turned, moved and a little relaxed keeps its order."""
    model = history("cspbcl3-cube-2")["balanced"]
    rng = np.random.default_rng(5)
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    turn *= np.linalg.det(turn)
    moved = model.positions @ turn.T + rng.uniform(-9, 9, 3) + rng.normal(0, 0.02, (len(model), 3))

    def searched(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(inheritance, "compare", searched)
    found = inheritance.labelled_like(model, model.numbers, moved)
    np.testing.assert_array_equal(found.site, model.site)
    np.testing.assert_allclose(found.positions, moved, atol=1e-8)


@pytest.mark.parametrize("factors", [(1.0, 1.0), (1.04, 1.0), (0.97, 1.1)])
def test_graded_layers_stretch_each_part_of_a_ray(factors: tuple[float, float]) -> None:
    """Beyond spheres of 8 and 14 Å, by the lengths of the parts of a ray in each layer."""
    part = hb.carve("CdSe", radius=20.0)
    inner, outer = (Shape((), r, (0.0, 0.0, 0.0), None) for r in (8.0, 14.0))
    layers = [Layer(shape, f) for shape, f in zip((inner, outer), factors, strict=True)]
    found = _relaxed(part.domains[0], part, layers).positions
    r = np.linalg.norm(part.positions, axis=1)
    beyond = np.clip(r - 8.0, 0.0, 6.0), np.clip(r - 14.0, 0.0, None)
    wanted = np.minimum(r, 8.0) + factors[0] * beyond[0] + factors[1] * beyond[1]
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), wanted, atol=1e-6)
    np.testing.assert_allclose(found * r[:, None], part.positions * wanted[:, None], atol=1e-4)


@pytest.mark.parametrize("name", ["CdSe-wurtzite", "Cs2PbCl4", "Pb3S2Cl2", "PbS"])
@pytest.mark.parametrize("radius", [4.0, 11.0, 17.0])
def test_shells_of_sites_are_those_of_all_cells_around(name: str, radius: float) -> None:
    """Nine cells to either side: more than the radius needs along any axis."""
    crystal = load(name)
    axis = np.arange(-9, 10)
    cells = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1).reshape(-1, 3)
    for site in (0, len(crystal.numbers) - 1):
        apart = (cells[:, None] + crystal.fractional - crystal.fractional[site]) @ crystal.vectors
        away = np.linalg.norm(apart, axis=2)
        wanted = int(((away < radius) & (away > 0.1)).sum())
        around, cell = shell(crystal, site, radius)
        places = (crystal.fractional[around] + cell - crystal.fractional[site]) @ crystal.vectors
        assert len(np.unique(np.round(places, 6), axis=0)) == len(around) == wanted


def test_parts_exchanged_in_steps_are_those_exchanged_at_once() -> None:
    """What a first step exchanged counts towards the fraction of the second."""
    parts = 0.5, 0.6
    model = hb.carve("PbS", [hb.Facet((1, 0, 0), 2)], site="Pb", name="sulfide")
    steps = model
    for part in parts:
        steps = hb.exchange(steps, product="Cu2S", fraction=part, allow_charge=True)
    once = hb.exchange(model, product="Cu2S", fraction=parts[1], allow_charge=True)
    assert steps.formula == once.formula
