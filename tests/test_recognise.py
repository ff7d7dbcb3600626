"""Crystals found again in bare, turned, displaced positions."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import history, load
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from hetbuild.analyse.frames import closest_setting, fit_frame
from hetbuild.analyse.interface import measure_interface
from hetbuild.analyse.labels import model_of
from hetbuild.analyse.report import inspect
from hetbuild.crystal import lattice
from hetbuild.errors import ImpossibleError, InputError
from hetbuild.model import Model


@given(st.integers(0, 2**31), st.sampled_from(["sulfide-cut", "perovskite-cut"]))
@settings(max_examples=8, deadline=None)
def test_frame_is_found_in_any_orientation(seed: int, stage: str) -> None:
    model = history("cspbcl3-pbs")[stage]
    turn = Rotation.random(random_state=np.random.default_rng(seed)).as_matrix()
    moved = model.moved(turn, np.array([3.0, -2.0, 1.0]))
    crystal = moved.domains[0].crystal
    fit = fit_frame(moved.numbers, moved.positions, crystal)
    vectors = closest_setting(fit, crystal, moved.domains[0].vectors).vectors
    np.testing.assert_allclose(vectors, moved.domains[0].vectors, atol=1e-4)
    assert fit.rms < 1e-4


@pytest.mark.parametrize("seed", range(4))
def test_displaced_main_model(main_model: Model, seed: int) -> None:
    """0.2 Å rms on every atom: at most ten atoms in the wrong domain, planes still right."""
    rng = np.random.default_rng(seed)
    noise = rng.normal(scale=0.2 / 3**0.5, size=main_model.positions.shape)
    crystals = [d.crystal for d in main_model.domains]
    model = model_of(main_model.numbers, main_model.positions + noise, crystals)
    assert (model.domain != main_model.domain).sum() <= 10
    found = measure_interface(model)
    assert found is not None
    assert found.planes == ((-2, 1, 0), (-4, -4, 2))
    assert [round(100 * c.mismatch, 1) for c in found.coincidences] == pytest.approx(
        [0.5, -0.1], abs=0.3
    )


@pytest.mark.parametrize("seed", range(6))
def test_bare_turned_positions_get_the_published_labels(main_model: Model, seed: int) -> None:
    """Axes are free up to symmetry; the labels must not depend on which the search met first."""
    turn = Rotation.random(random_state=np.random.default_rng(seed)).as_matrix()
    crystals = [d.crystal for d in main_model.domains]
    found = measure_interface(model_of(main_model.numbers, main_model.positions @ turn.T, crystals))
    assert found is not None
    assert found.planes == ((-2, 1, 0), (-4, -4, 2))
    assert [c.labels for c in found.coincidences] == [
        ("[1 2 0]", "1/2[1 1 4]"),
        ("3[0 0 1]", "4 x 1/2[1 -1 0]"),
    ]
    assert found.tilt is not None
    assert (found.tilt.first, found.tilt.second) == ((0, 1, 0), (0, 0, 1))


def test_pseudosymmetric_axes_are_told_apart() -> None:
    """a and c of Pnma CsPbBr3 differ by 0.05 Å; only the tilts say which is which."""
    model = history("cspbbr3-orthorhombic-pbs")["perovskite-cut"]
    fit = fit_frame(model.numbers, model.positions, model.domains[0].crystal)
    assert fit.rms < 1e-3
    assert lattice.angle(fit.vectors[0], model.domains[0].vectors[0]) in (
        pytest.approx(0, abs=0.01),
        pytest.approx(180, abs=0.01),
    )


def test_wrong_crystals_are_refused(main_model: Model) -> None:
    with pytest.raises(ImpossibleError, match="The lattice of ZnS was not found"):
        model_of(main_model.numbers, main_model.positions, [load("CsPbCl3"), load("ZnS")])
    numbers = np.full(3, 79)
    with pytest.raises(InputError, match="No usual formal charge for Au: these atoms are foreign"):
        model_of(numbers, np.eye(3), [load("PbS")])


def test_periodic_interface_of_bare_positions() -> None:
    """Wrapped anyhow across its vacuum, as another program writes it."""
    model = list(history("interface-cspbcl3-pb4s3cl2").values())[-1]
    assert model.cell is not None
    moved = (model.positions + np.array([1.0, 2.0, 20.0])) @ np.linalg.inv(model.cell) % 1.0
    crystals = [d.crystal for d in model.domains]
    found = model_of(model.numbers, moved @ model.cell, crystals, model.cell)
    assert found.periodic == (True, True, False)
    assert np.array_equal(found.domain, model.domain)
    report, expected = inspect(found), inspect(model)
    assert report.interface is not None
    assert expected.interface is not None
    assert report.interface.misalignment < 0.1
    assert [c.distance for c in report.contacts] == pytest.approx(
        [c.distance for c in expected.contacts], abs=1e-3
    )


def test_particle_in_a_box_stays_finite(main_model: Model) -> None:
    cell = np.diag(np.ptp(main_model.positions, axis=0) + 20.0)
    crystals = [d.crystal for d in main_model.domains]
    found = model_of(main_model.numbers, main_model.positions, crystals, cell)
    assert found.cell is None
    assert found.periodic == (False, False, False)
