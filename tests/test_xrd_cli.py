"""`hetbuild xrd` and `angles`, composition, G(r) and measured patterns, as a user meets them."""

from __future__ import annotations

import builtins
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import history, load
from scipy.integrate import quad
from test_diffraction import cube, shaken

from hetbuild.analyse.composition import composition
from hetbuild.cli import cli
from hetbuild.diffraction.fit import fit_pattern
from hetbuild.diffraction.orientation import between as angle_between
from hetbuild.diffraction.orientation import feature, fitted_domain, parallels
from hetbuild.diffraction.pdf import pdf
from hetbuild.diffraction.scattering import form_factors
from hetbuild.diffraction.xrd import Xrd, xrd
from hetbuild.diffraction.zone import spacings, zone
from hetbuild.errors import HetbuildError, ImpossibleError, InputError
from hetbuild.formats.curve import read_curve
from hetbuild.formats.xyz import write_xyz
from hetbuild.model import Model

Run = Callable[..., str]


@pytest.fixture(scope="module")
def model_file(main_model: Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "m.xyz"
    with path.open("w") as stream:
        write_xyz(main_model, stream)
    return path


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """A command in an empty folder: its stdout."""
    monkeypatch.chdir(tmp_path)

    def command(*words: object) -> str:
        capsys.readouterr()
        cli.main([str(w) for w in words], standalone_mode=False)
        return capsys.readouterr().out

    return command


@pytest.fixture(scope="module")
def of_main(main_model: Model) -> Xrd:
    return xrd(main_model, two_theta=(15.0, 70.0))


# Composition


def test_composition_in_per_cent() -> None:
    # PbS: masses 207.2 and 32.06.
    found = composition(np.array([82, 16]))
    assert found.atomic == {"Pb": 50.0, "S": 50.0}
    assert found.mass["Pb"] == pytest.approx(100 * 207.2 / 239.26, abs=0.01)


def test_inspect_gives_the_composition(run: Run, model_file: Path, main_model: Model) -> None:
    text = run("inspect", model_file)
    assert "at.%           Cs 12.09, Pb 32.34, S 21.21, Cl 34.36\n" in text
    assert " in perovskite" in text
    record = json.loads(run("inspect", model_file, "--json"))
    assert record["composition"]["atomic"]["S"] == pytest.approx(100 * 221 / len(main_model))
    for part in (record["composition"], *record["compositions"].values()):
        assert sum(part["atomic"].values()) == pytest.approx(100.0)
        assert sum(part["mass"].values()) == pytest.approx(100.0)


# G(r)


def test_g_of_r_is_the_transform_of_the_exact_sum() -> None:
    model = shaken(history("cspbcl3-cube-1")["balanced"])
    found = pdf(model, q_range=(1.0, 12.0), r_max=8.0, b_factors={})
    numbers, which = np.unique(model.numbers, return_inverse=True)

    def reduced(q: float) -> float:
        f = form_factors(numbers, np.array([q]) / 4 / np.pi)[which, 0]
        r = np.linalg.norm(model.positions[:, None] - model.positions[None], axis=2)
        total = float((np.outer(f, f) * np.sinc(q * r / np.pi)).sum())
        return q * (total - float(f @ f)) / len(f) / float(f.mean()) ** 2

    for k in (199, 285, 560):
        r = float(found.r[k])
        wanted = (
            2 / np.pi * quad(lambda q, r=r: reduced(q) * np.sin(q * r), 1.0, 12.0, limit=200)[0]
        )
        assert found.total[k] == pytest.approx(wanted, rel=1e-3, abs=1e-4 * np.ptp(found.total))


def test_g_of_r_peaks_at_the_distances_of_the_crystal() -> None:
    a = load("PbS").cell_parameters[0]
    found = pdf(cube("PbS", 30.0, (2, 0, 0)), by="element")
    assert found.peaks["Pb-S"][0][0] == pytest.approx(a / 2, abs=0.02)
    assert [r for r, _ in found.peaks["Pb-Pb"][:3]] == pytest.approx(
        [a / 2**0.5, a, a * 1.5**0.5], abs=0.03
    )
    np.testing.assert_allclose(found.partials.values.sum(axis=0), found.total, atol=1e-12)


def test_partials_of_g_by_domain(main_model: Model) -> None:
    by_domain, by_element = (pdf(main_model, r_max=8.0, by=k) for k in ("domain", "element"))
    assert list(by_domain.curves) == ["total", "perovskite", "sulfide", "perovskite x sulfide"]
    np.testing.assert_allclose(by_domain.total, by_element.total, atol=1e-9)
    # Below the shortest distance G(r) is the base line -4 pi r rho gamma(r): straight and falling.
    start = by_domain.total[by_domain.r < 1.5]
    assert start[-1] < start[0] < 0.01


# Measured patterns


def measured(found: Xrd, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """What a diffractometer with a zero error of 0.12 degrees would count."""
    x = found.pattern.two_theta[50:-50:2]
    y = np.interp(x - 0.12, found.pattern.two_theta, found.total)
    y = 4000.0 * y / found.total.max() + 300.0 - 2.0 * (x - 10.0)
    return x, rng.poisson(y).astype(float)


def test_fit_finds_scale_background_and_shift(of_main: Xrd) -> None:
    x, y = measured(of_main, np.random.default_rng(3))
    fit = of_main.compare(x, y)
    assert fit.shift == pytest.approx(0.12, abs=0.02)
    assert fit.scale == pytest.approx(4000.0 / of_main.total.max(), rel=0.02)
    # What is left is the counting statistics: Rwp expected is sqrt(points / sum w y²).
    assert fit.rwp == pytest.approx(np.sqrt(len(x) / y.sum()), rel=0.1)
    assert fit.rwp < fit.rwp_background
    exact_one = of_main.compare(x, np.interp(x, of_main.pattern.two_theta, of_main.total))
    assert exact_one.rwp < 1e-6
    weighted = of_main.compare(x, y, sigma=np.sqrt(np.maximum(y, 1.0)))
    assert weighted.shift == pytest.approx(0.12, abs=0.02)


def test_fit_refuses_what_it_cannot_mean(of_main: Xrd) -> None:
    x, y = measured(of_main, np.random.default_rng(3))
    with pytest.raises(ImpossibleError, match="is not found in the measured one"):
        of_main.compare(x, y.max() - y + 1.0, max_shift=0.0, degree=0)
    with pytest.raises(InputError, match="points do not decide"):
        of_main.compare(x[:8], y[:8])
    with pytest.raises(InputError, match="degree must be 0 to 12"):
        of_main.compare(x, y, degree=13)
    with pytest.raises(InputError, match="shift allowed must be 0 to 5"):
        fit_pattern((x, y), (x, y), max_shift=-1.0)


GOOD = "\n".join(f"{i} {i}" for i in range(12))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds 0 rows"),
        ("# nothing\n2theta counts\n", "holds 0 rows"),
        ("10 1\n11 2\n", "holds 2 rows"),
        ("\n".join(f"{i} {i % 3}" for i in range(12)) + "\n5 2\n", "line 13: 5 does not follow 11"),
        ("\n".join(f"{i} 5" for i in range(12)), "all intensities are 5"),
        (
            "\n".join(f"{i} {i}" for i in range(12)) + "\nend of file",
            "line 13: 'end of file' is not",
        ),
        (
            "\n".join(f"{i} {i}" for i in range(12)) + "\n12 nan",
            "line 13: '12 nan' is not 2 numbers",
        ),
        (GOOD + "\n12 1 2", "line 13"),
        ("\n".join(f"{i},5 {i}" for i in range(12)), "all intensities are 5"),
        ("<xrdMeasurements>", "export the pattern as xy"),
        ("RAW1.01\0\0", "export the pattern as xy"),
    ],
)
def test_unreadable_patterns(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "m.xy"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        read_curve(path)


def test_readable_patterns(tmp_path: Path) -> None:
    rows = [(10 + 0.5 * i, 100 + i**2) for i in range(20)]
    path = tmp_path / "m.xy"
    forms = (
        "\n".join(f"{x} {y}" for x, y in rows),
        "# of° a sample\n2theta, counts\n\n" + "\n".join(f"{x},{y}" for x, y in rows),
        "\n".join(f"{x};\t{y};" for x, y in reversed(rows)),
        "'head\r\n" + "\r\n".join(f"  {x}\t{y}\t{y**0.5}" for x, y in rows),
    )
    for k, text in enumerate(forms):
        path.write_bytes(text.encode("latin-1"))
        x, y, sigma = read_curve(path)
        np.testing.assert_allclose(np.column_stack([x, y]), rows)
        assert (sigma is not None) == (k == 3)
    with pytest.raises(InputError, match="There is no file"):
        read_curve(tmp_path / "none.xy")


# The command


def test_xrd_prints_peaks_and_writes_files(run: Run, model_file: Path, tmp_path: Path) -> None:
    text = run("xrd", model_file, "-o", "a.png", "-o", "a.svg", "-o", "a.csv", "-o", "a.xy")
    assert "total, Cu Kα" in text
    assert "PbS (2 2 0) 43.10" in text
    assert "size by Scherrer" in text
    assert text.splitlines()[-4:] == ["a.png", "a.svg", "a.csv", "a.xy"]
    table = np.genfromtxt("a.csv", delimiter=",", names=True)
    parts = table["perovskite"] + table["sulfide"] + table["perovskite_x_sulfide"]
    np.testing.assert_allclose(parts, table["total"], rtol=1e-5)
    np.testing.assert_allclose(np.loadtxt("a.xy")[:, 1], table["total"])
    assert (tmp_path / "a.png").read_bytes()[:4] == b"\x89PNG"
    svg = (tmp_path / "a.svg").read_bytes()
    with pytest.raises(InputError, match="--force"):
        run("xrd", model_file, "-o", "a.svg")
    run("xrd", model_file, "-o", "a.svg", "--force")
    assert (tmp_path / "a.svg").read_bytes() == svg


def test_xrd_as_json_and_options(run: Run, model_file: Path) -> None:
    words = ("--wavelength", "0.7", "--range", "10 30", "--b", "Pb=1 Cs=3", "--fwhm", "0.2")
    words += ("--polarisation", "26.6", "--json", "-o", "a.json")
    record = json.loads(run("xrd", model_file, *words))
    assert record == json.loads(Path("a.json").read_text()) | {"files": ["a.json"]}
    assert record["radiation"]["lines"] == [[0.7, 1.0]]
    assert record["two_theta"][-1] == 30.0
    assert set(record["intensity"]) == {"total", "perovskite", "sulfide", "perovskite x sulfide"}
    assert record["sizes"]["sulfide"]["known"] == pytest.approx(24.5, abs=1.0)


def test_xrd_of_a_measured_pattern(run: Run, model_file: Path, of_main: Xrd) -> None:
    x, y = measured(of_main, np.random.default_rng(3))
    np.savetxt("m.xy", np.column_stack([x, y]))
    text = run("xrd", model_file, "--compare", "m.xy", "-o", "fit.csv", "-o", "fit.png")
    assert "Rwp" in text
    assert Path("fit.csv").read_text().startswith("2theta,calculated,measured,background\n")
    record = json.loads(run("xrd", model_file, "--compare", "m.xy", "--range", "20 60", "--json"))
    assert (
        20.0 <= record["comparison"]["two_theta"][0] < record["comparison"]["two_theta"][-1] <= 60
    )
    assert record["comparison"]["rwp"] < 0.05


def test_pdf_on_the_command_line(run: Run, model_file: Path) -> None:
    text = run("xrd", model_file, "--pdf", "--by", "element", "--r-max", "8", "-o", "g.png")
    assert "Pb-Pb                    4.20" in text
    record = json.loads(run("xrd", model_file, "--pdf", "--q", "1 15", "--json"))
    assert record["q_range"] == [1.0, 15.0]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--wavelength", "Pb"), "give a wavelength in Å, an anode"),
        (("--range", "80 10"), "2 theta runs from"),
        (("--range", "80"), "--range takes 2 numbers"),
        (("--b", "U=1"), "the model has Cs, Pb, S, Cl"),
        (("--b", "Pb=x"), "--b Pb= takes 1 number"),
        (("--polarisation", "left"), "tube, none or the 2 theta of a monochromator"),
        (("--polarisation", "400"), "tube, none or the 2 theta of a monochromator"),
        (("--b", "Pb=1 Pb=2"), "names Pb twice"),
        (("--pdf", "--fwhm", "1"), "--fwhm goes without --pdf"),
        (("--q", "1 2"), "--q goes with --pdf"),
        (("--pdf", "--q", "1 40"), "q runs from 0 to at most 25.1"),
        (("--pdf", "--r-max", "0"), "up to 1 to 500 Å"),
        (("--background", "2"), "--background goes with --compare"),
        (("--compare", "none.xy"), "There is no file none.xy"),
        (("-o", "a.txt"), "its name must end in"),
    ],
)
def test_wrong_options(
    run: Run, model_file: Path, tmp_path: Path, words: tuple[str, ...], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        run("xrd", model_file, *words)
    assert not list(tmp_path.iterdir())


def test_figures_without_matplotlib(
    run: Run, model_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def without(name: str, *args: Any, **options: Any) -> Any:
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return real(name, *args, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(InputError, match=r"pip install 'hetbuild\[plot\]'"):
        run("xrd", model_file, "-o", "a.png")


def test_measured_pattern_outside_the_range(run: Run, model_file: Path) -> None:
    np.savetxt("m.xy", np.column_stack([np.arange(20.0, 40.0), np.arange(20.0)]))
    with pytest.raises(InputError, match="0 points in --range 50 to 60; it runs from 20 to 39"):
        run("xrd", model_file, "--compare", "m.xy", "--range", "50 60")


# Angles


def test_the_tilt_of_the_paper(main_model: Model) -> None:
    """Livakas et al. tilt by 7 degrees between these two zone axes; settled ions turn the frames
    fitted to the atoms by 0.01 degrees."""
    pairs = {
        7.09: (("perovskite", (0, 1, 0)), ("sulfide", (0, 0, 1))),
        0.0: (("perovskite", (0, 0, 1)), ("sulfide", (1, -1, 0))),
    }
    for wanted, (first, second) in pairs.items():
        u, v = (feature(d, "direction", uvw) for d, uvw in (first, second))
        assert angle_between(main_model, u, v).angle == pytest.approx(wanted, abs=0.03)
    listed = [str(b.first) + " " + str(b.second) for b in parallels(main_model)]
    assert listed[0] == "perovskite (-2 1 0) sulfide (-4 -4 2)"
    assert "perovskite [0 1 0] sulfide [0 0 1]" in listed


def test_angles_and_spacings_follow_the_atoms(main_stages: dict[str, Model]) -> None:
    main_model = main_stages["balanced"]  # on its sites
    stretched = replace(main_model, positions=main_model.positions * 1.02)
    assert fitted_domain(stretched, 1).vectors == pytest.approx(
        1.02 * main_model.domains[1].vectors, abs=1e-6
    )
    for s in spacings(stretched):
        assert s.model == pytest.approx(1.02 * s.bulk, rel=1e-6)
    named = {(s.domain, s.hkl): s.bulk for s in spacings(main_model)}
    assert named["sulfide", (2, 0, 0)] == pytest.approx(5.9362 / 2, abs=1e-3)
    assert ("sulfide", (1, 0, 0)) not in named


def test_a_settled_interface_does_not_bend_the_lattice(main_model: Model) -> None:
    """A tenth of the sulfide moved by up to 0.6 Å: the frame is still that of the rest."""
    mine = np.flatnonzero(main_model.domain == 1)[::10]
    moved = main_model.positions.copy()
    moved[mine] += np.random.default_rng(2).uniform(-0.35, 0.35, (len(mine), 3))
    frame = fitted_domain(replace(main_model, positions=moved), 1).vectors
    assert frame == pytest.approx(main_model.domains[1].vectors, abs=1e-3)


def test_planes_down_a_zone_axis(main_stages: dict[str, Model]) -> None:
    main_model = main_stages["balanced"]  # on its sites
    found = zone(main_model, "perovskite", (0, 0, 1))
    assert found.tilts == (("sulfide", (1, -1, 0), pytest.approx(0.0, abs=1e-5)),)
    seen = {(p.domain, p.hkl): p for p in found.planes}
    for p in found.planes:
        zone_axis = {"perovskite": (0, 0, 1), "sulfide": (1, -1, 0)}[p.domain]
        assert np.dot(p.hkl, zone_axis) == 0
        assert 0.0 <= p.azimuth < 180.0
    # The planes of the interface lie across the screen: their normal points up.
    assert seen["perovskite", (-2, 1, 0)].azimuth == pytest.approx(90.0, abs=1e-3)
    # Its terraces' normals are 7.09 degrees apart.
    a, b = seen["perovskite", (0, 2, 0)], seen["sulfide", (0, 0, 2)]
    assert abs(a.azimuth - b.azimuth) == pytest.approx(7.09, abs=0.01)
    assert a.spacing == pytest.approx(5.605 / 2, abs=1e-3)


def test_angles_on_the_command_line(run: Run, model_file: Path) -> None:
    assert "   7.09°  perovskite [0 1 0]           sulfide [0 0 1]" in run("angles", model_file)
    asked = ("--between", "perovskite (-2 1 0)", "sulfide [0 0 1]", "--zone", "0 1 0", "--json")
    record = json.loads(run("angles", model_file, *asked))
    assert set(record) == {"between", "zone"}
    assert record["zone"]["tilts"][0][2] == pytest.approx(7.09, abs=0.01)
    assert "[0 0 1] of sulfide towards" in run(
        "angles", model_file, "--zone", "0 0 1", "--of", "sulfide"
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--zone", "0 0 0"), "not a lattice direction"),
        (("--zone", "0 0"), "--zone '0 0': three numbers are wanted"),
        (("--zone", "0.123 0 1"), "not a lattice direction"),
        (("--zone", "0 0 1", "--of", "shell"), "No domain 'shell' in this model"),
        (("--of", "sulfide"), "name the zone"),
        (("--between", "[0 0 1]", "sulfide [0 0 1]"), "say of which domain"),
        (("--between", "sulfide 0 0 1", "sulfide [0 0 1]"), "neither a plane nor a direction"),
        (("--between", "sulfide (1 1 1/2)", "sulfide [0 0 1]"), "three whole numbers"),
        (("--between", "sulfide (0 0 0)", "sulfide [0 0 1]"), "no lattice plane"),
        (("--finest", "0"), "--finest must be"),
    ],
)
def test_wrong_angles(run: Run, model_file: Path, words: tuple[str, ...], message: str) -> None:
    with pytest.raises(HetbuildError, match=message):
        run("angles", model_file, *words)
