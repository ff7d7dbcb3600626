"""Views, projected images and their FFTs."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import history
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter
from scipy.spatial.transform import Rotation

from hetbuild.cli import cli
from hetbuild.errors import InputError
from hetbuild.formats.xyz import write_xyz
from hetbuild.geometry.view import view, zone_view
from hetbuild.microscopy.fourier import (
    domain_window,
    nearest_zone,
    reflections,
    spectrum,
    transform,
)
from hetbuild.microscopy.image import EXPONENT, SOURCE, Image, blurred, deposited, image
from hetbuild.microscopy.multislice import Microscope, multislice, specimen
from hetbuild.model import Domain, Model

DATA = Path(__file__).parent / "data"


def cube(numbers: list[int], positions: list[list[float]], crystal: object) -> Model:
    """A few atoms in the axes of a crystal, its datum at the origin."""
    n = len(numbers)
    zeros = np.zeros(n, dtype=np.int64)
    domain = Domain("d", crystal, crystal.vectors.copy(), np.zeros(3), 0)
    return Model(np.array(numbers), np.array(positions, float), zeros, zeros, zeros, (domain,))


@pytest.fixture(scope="module")
def seen(main_model: Model) -> Image:
    return image(main_model, zone=(0, 0, 1), of="perovskite")


# The convention


def test_a_zone_axis_points_to_the_viewer_and_the_set_is_right_handed(main_model: Model) -> None:
    for domain, uvw in ((0, (0, 0, 1)), (0, (0, -1, 0)), (1, (0, 0, -1)), (1, (1, 2, 3))):
        axes = zone_view(main_model, domain, uvw).axes
        along = axes @ (np.array(uvw) @ main_model.domains[domain].vectors)
        assert along[2] > 0
        np.testing.assert_allclose(along[:2], 0, atol=1e-9)
        np.testing.assert_allclose(axes @ axes.T, np.eye(3), atol=1e-12)
        assert np.linalg.det(axes) == pytest.approx(1.0)


def test_the_view_of_the_vesta_file_is_the_zone_0_0_1_of_the_perovskite(
    main_model: Model,
) -> None:
    np.testing.assert_allclose(
        view(main_model).axes, zone_view(main_model, 0, (0, 0, 1)).axes, atol=1e-9
    )


def test_right_is_right_and_up_is_up_in_the_pixels(crystal) -> None:
    """Down [0 0 1] with b up, a is on the right: heavy right, middling up, light in the corner."""
    model = cube([6, 82, 55], [[0, 0, 0], [6, 0, 3], [0, 4, -3]], crystal("CsPbCl3"))
    made = image(model, zone=(0, 0, 1))
    centres = np.rint(made.at(np.array([[0.0, 0], [6, 0], [0, 4]]))).astype(int)
    (low, left), (heavy_row, heavy_column), (top, middle) = centres
    assert heavy_column > left
    assert heavy_row == low
    assert top < low  # the first row of the pixels is the top
    assert middle == left
    values = made.pixels[centres[:, 0], centres[:, 1]]
    assert values[1] > values[2] > values[0] > 0
    np.testing.assert_allclose(values / values[1], (np.array([6, 82, 55]) / 82) ** 1.6, rtol=1e-3)
    # From behind, right and left change places.
    behind = image(model, zone=(0, 0, -1))
    place = behind.at(behind.view.project(model.positions)[:, :2])
    assert place[1, 1] < place[0, 1]
    np.testing.assert_allclose(behind.pixels[:, ::-1], made.pixels, atol=2e-3 * values[1])


def test_tilts_turn_the_specimen_right_handed(main_model: Model) -> None:
    seen = view(main_model)
    right, up, towards = seen.axes
    assert (seen.tilted(10, 0).project(up[None])[0])[2] == pytest.approx(np.sin(np.radians(10)))
    assert (seen.tilted(0, 10).project(right[None])[0])[2] == pytest.approx(-np.sin(np.radians(10)))
    assert seen.tilted(0, 10).project(towards[None])[0, 0] == pytest.approx(np.sin(np.radians(10)))


@settings(max_examples=8)
@given(st.integers(0, 2**31 - 1))
def test_an_image_down_a_zone_does_not_depend_on_how_the_model_lies(seed: int) -> None:
    model = list(history("cspbcl3-pbs").values())[-1]
    rng = np.random.default_rng(seed)
    turn = Rotation.random(random_state=rng).as_matrix()
    moved = model.moved(turn, rng.uniform(-20, 20, 3))
    a, b = (image(m, sampling=0.2) for m in (model, moved))
    # Pixels begin at the atoms' own edge, so that the grids agree but for rounding.
    height, width = np.minimum(a.pixels.shape, b.pixels.shape)
    np.testing.assert_allclose(
        a.pixels[:height, :width], b.pixels[:height, :width], atol=1e-5 * a.pixels.max()
    )


def test_abtem_gets_x_right_y_down_and_the_beam_away_from_the_viewer(seen: Image) -> None:
    step, model = 0.177, seen.model
    atoms = specimen(model, seen.view, (10, 20), seen.corner, step)
    screen = seen.view.project(model.positions)
    assert np.linalg.det(
        np.linalg.lstsq(screen - screen[0], atoms.positions - atoms.positions[0], rcond=None)[0]
    ) == pytest.approx(1.0)
    pixel = replace(seen, sampling=step).at(screen[:, :2])
    np.testing.assert_allclose(atoms.positions[:, :2] / step, pixel[:, ::-1], atol=1e-9)
    nearest = int(screen[:, 2].argmax())
    assert int(atoms.positions[:, 2].argmin()) == nearest
    np.testing.assert_allclose(atoms.cell.lengths()[:2], [20 * step, 10 * step])


# The image


def test_intensity_is_a_gaussian_for_each_atom_and_nothing_is_lost(crystal) -> None:
    model = cube([82, 16], [[0, 0, 0], [2.03, 1.07, 0]], crystal("PbS"))
    made = image(model, zone=(0, 0, 1), exponent=1.7, source=0.6)
    rows, columns = np.indices(made.pixels.shape)
    x, y = made.corner[0] + 0.1 * columns, made.corner[1] - 0.1 * rows
    expected = sum(
        z**1.7 / (2 * np.pi * 0.36) * np.exp(-((x - u) ** 2 + (y - v) ** 2) / 0.72)
        for z, (u, v, _) in zip(model.numbers, model.positions, strict=True)
    )
    np.testing.assert_allclose(made.pixels, expected, atol=2e-3 * expected.max())
    assert made.pixels.sum() * 0.01 == pytest.approx((model.numbers**1.7).sum(), rel=1e-6)


def test_it_follows_multislice_with_frozen_phonons() -> None:
    """Reference by abTEM, kept with the atoms it was made of: see data/haadf.py."""
    with np.load(DATA / "haadf.npz") as held:
        reference = {name: held[name] for name in held.files}
    pixels, step = reference["pixels"].astype(float), float(reference["sampling"])
    left, top = reference["corner"]
    screen = reference["screen"].astype(float)
    fine = 2  # near the sampling of `hetbuild image`
    shape = (fine * pixels.shape[0], fine * pixels.shape[1])
    places = np.stack([top - screen[:, 1], screen[:, 0] - left], axis=1) / step * fine
    weight = reference["numbers"].astype(float) ** EXPONENT
    for source, sigma in ((0.0, 0.3), (Microscope().source, SOURCE)):
        made = blurred(deposited(places, weight, shape), sigma * fine / step)[::fine, ::fine]
        shown = gaussian_filter(pixels, source / step, mode="constant")
        assert np.corrcoef(made.ravel(), shown.ravel())[0, 1] >= 0.97
        assert np.corrcoef(made[:, ::-1].ravel(), shown.ravel())[0, 1] < 0.5


def test_twenty_thousand_ions_take_less_than_a_second(crystal) -> None:
    grid = np.stack(np.meshgrid(*3 * (np.arange(28),), indexing="ij"), -1).reshape(-1, 3)
    model = cube([82] * len(grid), (grid * 2.968).tolist(), crystal("PbS"))
    assert len(model) > 20_000
    start = time.process_time()
    image(model, zone=(1, 1, 0))
    assert time.process_time() - start < 1.0


def test_images_are_frozen(seen: Image) -> None:
    with pytest.raises(ValueError, match="read-only"):
        seen.pixels[0, 0] = 1.0
    with pytest.raises(ValueError, match="read-only"):
        seen.view.axes[0, 0] = 1.0


# The Fourier transform


def test_the_transform_is_that_of_gaussian_atoms(crystal) -> None:
    model = cube([82, 16, 17], [[0, 0, 0], [2, 1, 5], [-3, 4, 1]], crystal("PbS"))
    made = image(model, zone=(0, 0, 1), source=0.4)
    amplitude, step = transform(made.pixels, np.ones(made.pixels.shape), made.sampling)
    middle = len(amplitude) // 2
    for row, column in ((-40, 30), (25, 70), (90, -10)):
        g = np.array([column, -row]) * step
        phase = np.exp(-2j * np.pi * (model.positions[:, :2] @ g))
        expected = abs((model.numbers**1.6) @ phase) * np.exp(-2 * (np.pi * 0.4) ** 2 * (g @ g))
        found = amplitude[middle + row, middle + column] * made.sampling**2
        # The mean that is taken away has a transform of its own, small away from the axes.
        assert found == pytest.approx(expected, rel=0.03)


def test_the_fft_measures_spacings_and_the_tilt_of_the_paper(seen: Image) -> None:
    found = spectrum(seen)
    perovskite, sulfide = found.patterns
    assert perovskite.zone == (0, 0, 1)
    assert sulfide.zone in ((-1, 1, 0), (1, -1, 0))
    assert perovskite.off_zone < 0.01
    assert sulfide.off_zone < 0.01
    assert len(sulfide.spots) > 5
    for spot in sulfide.spots[:6]:
        assert spot.measured == pytest.approx(spot.spacing, rel=0.005)
    for spot in perovskite.spots[:6]:
        assert spot.measured == pytest.approx(spot.spacing, rel=0.015)
    assert found.tilt is not None
    assert found.tilt.model == pytest.approx(7.09, abs=0.01)
    assert found.tilt.measured == pytest.approx(7.1, abs=0.6)
    assert 0.1 < found.tilt.uncertainty <= 0.6
    for pattern in found.patterns:
        for angle in pattern.angles:
            assert abs(angle.measured - angle.model) < 3 * angle.uncertainty


@pytest.mark.parametrize("n", [1, 2, 3])
def test_small_particles_show_few_spots_but_no_wrong_ones(n: int) -> None:
    """Of one to three cells: maxima of neighbouring reflections run into each other."""
    found = spectrum(image(history(f"cspbcl3-cube-{n}")["balanced"])).patterns[0]
    places = [s.found for s in found.spots]
    assert len({(round(x, 3), round(y, 3)) for x, y in places}) == len(places)
    for spot in found.spots:
        assert abs(spot.measured - spot.spacing) < 3 * spot.uncertainty


def test_spots_turn_with_the_image_and_a_mirrored_one_does_not_fit(seen: Image) -> None:
    right, up, towards = seen.view.axes
    left, top = seen.corner
    turned = replace(
        seen,
        pixels=np.rot90(seen.pixels).copy(),
        view=replace(seen.view, axes=np.array([-up, right, towards])),
        corner=(-top, left + (seen.pixels.shape[1] - 1) * seen.sampling),
        outlines=tuple(o @ np.array([[0.0, 1], [-1, 0]]) for o in seen.outlines),
    )
    for a, b in zip(spectrum(seen).patterns, spectrum(turned).patterns, strict=True):
        there = {s.hkl: s.found for s in b.spots}
        for s in a.spots[:4]:
            x, y = there.get(s.hkl) or [-c for c in there[(-s.hkl[0], -s.hkl[1], -s.hkl[2])]]
            assert (x, y) == pytest.approx((-s.found[1], s.found[0]), abs=2e-3)
    # The middle of the mirrored image stays where it was, so that windows still fit.
    wrong = replace(seen, pixels=seen.pixels[:, ::-1].copy())
    assert len(spectrum(wrong).patterns[1].spots) < len(spectrum(seen).patterns[1].spots) / 3


def test_a_tilted_domain_shows_the_row_of_spots_along_the_tilt_axis(main_model: Model) -> None:
    """Down [0 1 0] of the perovskite PbS is 7.1 degrees off [0 0 1], as in the paper's Fig. 2c."""
    pattern = spectrum(image(main_model, zone=(0, 1, 0), of="perovskite")).patterns[1]
    assert pattern.zone == (0, 0, 1)
    assert pattern.off_zone == pytest.approx(7.09, abs=0.01)
    assert {s.hkl for s in pattern.spots} <= {(-2, 2, 0), (2, -2, 0), (-4, 4, 0), (4, -4, 0)}
    aligned = spectrum(image(main_model, zone=(0, 0, 1), of="sulfide")).patterns[1]
    assert {(-2, 0, 0), (0, -2, 0)} <= {s.hkl for s in aligned.spots[:4]}


def test_reflections_are_those_of_gemmi(crystal) -> None:
    """Of PbS down [0 0 1]: F-centring leaves unmixed indices; d as gemmi has it."""
    import gemmi

    bulk = crystal("PbS")
    domain = Domain("d", bulk, bulk.vectors.copy(), np.zeros(3), 0)
    hkl, g = reflections(domain, np.eye(3), 40.0)
    cell = gemmi.UnitCell(*bulk.cell_parameters)
    assert {tuple(np.abs(h)) for h in hkl} == {
        (2, 0, 0),
        (0, 2, 0),
        (2, 2, 0),
        (4, 0, 0),
        (0, 4, 0),
    }
    for index, place in zip(hkl.tolist(), g, strict=True):
        assert 1 / np.linalg.norm(place) == pytest.approx(cell.calculate_d(index))


def test_windows_of_domains_lie_in_their_outlines(seen: Image) -> None:
    upper, lower = (domain_window(seen, i) for i in (0, 1))
    rows = np.arange(len(upper))
    assert (rows @ upper).sum() / upper.sum() < (rows @ lower).sum() / lower.sum()
    assert (upper * lower).sum() < 1e-3 * upper.sum()
    assert upper.max() == pytest.approx(1.0, abs=1e-3)


def test_nearest_zone_prefers_plain_indices(main_model: Model) -> None:
    domain = main_model.domains[1]
    assert nearest_zone(domain, np.array([1.0, 1.0, 0.02]) @ domain.vectors)[0] == (1, 1, 0)


def test_a_single_crystal_has_no_tilt_and_no_interface(crystal) -> None:
    grid = np.stack(np.meshgrid(*3 * (np.arange(8),), indexing="ij"), -1).reshape(-1, 3)
    model = cube([82] * len(grid), (grid * 2.968).tolist(), crystal("PbS"))
    found = spectrum(image(model))
    assert found.tilt is None
    assert found.patterns[0].spots
    assert json.dumps(found.as_dict())


# Errors and the command


def test_errors_say_what_is_allowed(main_model: Model) -> None:
    with pytest.raises(InputError, match=r"No domain 'gold'.*perovskite, sulfide"):
        image(main_model, zone=(0, 0, 1), of="gold")
    with pytest.raises(InputError, match=r"\[0 0 0\] is no zone axis.*sulfide"):
        image(main_model, zone=(0, 0, 0), of="sulfide")
    with pytest.raises(InputError, match="without a zone"):
        image(main_model, of="sulfide")
    with pytest.raises(InputError, match="sampling of 2 Å"):
        image(main_model, sampling=2.0)
    with pytest.raises(InputError, match="source of -1 Å"):
        image(main_model, source=-1.0)
    with pytest.raises(InputError, match="HAADF contrast"):
        image(main_model, exponent=7.0)
    with pytest.raises(InputError, match="inner and a larger"):
        Microscope(detector=(90.0, 60.0))
    with pytest.raises(InputError, match="no atoms"):
        image(main_model.where(np.zeros(len(main_model), dtype=bool)))


def test_without_abtem_multislice_names_the_extra(
    main_model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "abtem", None)
    with pytest.raises(InputError, match=r"hetbuild\[stem\]"):
        multislice(main_model)


def test_without_matplotlib_the_extra_is_named(
    seen: Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(InputError, match=r"hetbuild\[plot\]"):
        seen.plot()


def test_the_command_writes_a_figure_and_says_what_it_measured(
    main_model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from click.testing import CliRunner

    monkeypatch.chdir(tmp_path)
    with Path("m.xyz").open("w", encoding="utf-8") as stream:
        write_xyz(main_model, stream)
    done = CliRunner().invoke(cli, ["image", "m.xyz", "--zone", "0 0 1", "--of", "perovskite"])
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith("m-haadf.png\n")
    assert "model 7.09°" in done.stdout
    assert Path("m-haadf.png").read_bytes()[:4] == b"\x89PNG"
    again = CliRunner().invoke(cli, ["image", "m.xyz"])
    assert isinstance(again.exception, InputError)
    assert "--force" in str(again.exception)
    bare = CliRunner().invoke(cli, ["image", "m.xyz", "--no-fft", "-o", "m.npy", "--json"])
    record = json.loads(bare.stdout)
    assert list(np.load("m.npy").shape) == record["image"]["shape"]
    for words, text in (
        (["--zone", "0 0"], "three numbers are wanted"),
        (["--multislice", "--source", "1"], "--source goes without --multislice"),
        (["--phonons", "2"], "--phonons goes with --multislice"),
        (["-o", "x.gif"], ".png"),
    ):
        wrong = CliRunner().invoke(cli, ["image", "m.xyz", "-o", "n.png", *words])
        assert text in str(wrong.exception)
    assert not Path("n.png").exists()


def test_importing_the_wing_loads_no_matplotlib() -> None:
    code = "import sys, hetbuild.microscopy.image; print('matplotlib' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_a_model_without_a_record_is_seen_along_the_interface_it_shows(
    main_model: Model,
) -> None:
    bare = image(replace(main_model, interface=None))
    assert bare.model.interface is not None
    assert bare.model.interface.planes in (((-2, 1, 0), (-4, -4, 2)), ((2, -1, 0), (4, 4, -2)))
    np.testing.assert_allclose(bare.view.axes, image(main_model).view.axes, atol=0.01)


def test_a_periodic_model_is_seen_beyond_its_cell() -> None:
    slab = list(history("interface-cspbcl3-pb4s3cl2").values())[-1]
    assert slab.cell is not None
    made = image(slab)
    width = made.pixels.shape[1] * made.sampling
    assert width > np.linalg.norm(slab.cell[:2], axis=1).min() + 30.0
    perovskite = spectrum(made).patterns[0]
    for spot in perovskite.spots[:4]:
        assert spot.measured == pytest.approx(spot.spacing, rel=0.01)
