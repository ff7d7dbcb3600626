"""Where atoms are: at the interface, in cells that point away, in their old order."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from conftest import history, load
from scipy.spatial.distance import cdist

import hetbuild as hb
from hetbuild.analyse import inheritance
from hetbuild.analyse.regions import Region, regions
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
