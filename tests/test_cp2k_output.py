"""Output of CP2K read back: energies, convergence, steps."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path

import pytest
from click.testing import CliRunner
from conftest import history

from hetbuild.cli.inspect import inspect
from hetbuild.electronic.pdos import HARTREE
from hetbuild.errors import InputError
from hetbuild.formats.cp2k_output import output_beside, read_run
from hetbuild.formats.files import write_all
from hetbuild.formats.xyz import write_plain_xyz, write_xyz

HEAD = """\
 CP2K| version string:                                       CP2K version 2023.1
 CP2K| source code revision number:                                  git:b888bd8
 GLOBAL| Run type                                                        {run}
"""
STEP = """\
  *** SCF run {what} in    21 steps ***

 ENERGY| Total FORCE_EVAL ( QS ) energy [a.u.]:              {energy:.12f}
"""
END = """\
 -                                T I M I N G                                  -
 The number of warnings for this run is : 0
  **** **** ******  **  PROGRAM ENDED AT                 2026-01-01 00:00:00.000
"""


def output(energies: list[float], run: str = "ENERGY", more: str = "", *, end: bool = True) -> str:
    steps = [STEP.format(what="converged", energy=e) for e in energies]
    return HEAD.format(run=run) + "".join(steps) + more + END * end


def test_energies_and_convergence(tmp_path: Path) -> None:
    path = tmp_path / "run.out"
    path.write_text(
        output([-10.0, -11.5], "GEO_OPT", " ***  GEOMETRY OPTIMIZATION COMPLETED  ***\n")
    )
    found = read_run(path)
    assert found.energies == pytest.approx((-10.0 * HARTREE, -11.5 * HARTREE), rel=1e-6)
    assert found.scf == (True, True)
    assert found.geometry == "converged"
    assert found.version == "2023.1"


def test_what_did_not_converge_is_said(tmp_path: Path) -> None:
    path = tmp_path / "run.out"
    lost = STEP.format(what="NOT converged", energy=-9.0)
    path.write_text(output([-10.0], "GEO_OPT", lost, end=False))
    found = read_run(path)
    assert found.scf == (True, False)
    assert found.geometry == "not converged"
    assert not found.finished


def test_run_that_has_just_begun(tmp_path: Path) -> None:
    path = tmp_path / "run.out"
    path.write_text(HEAD.format(run="ENERGY"))
    found = read_run(path)
    assert (found.energies, found.scf, found.finished, found.geometry) == ((), (), False, "")


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="There is no file"):
        read_run(tmp_path / "run.out")
    for text, why in (
        ("", "it is empty, as where a run has only begun"),
        ("nothing of CP2K\n", "it does not say CP2K's version"),
        ("\x00\x01" * 100, "it does not say CP2K's version"),
    ):
        (tmp_path / "run.out").write_text(text)
        with pytest.raises(InputError, match=rf"run\.out is no output of CP2K: {why}\. Move it"):
            read_run(tmp_path / "run.out")


def test_output_is_found_beside_the_positions(tmp_path: Path) -> None:
    (tmp_path / "a-b.out").write_text("x")
    assert output_beside(tmp_path / "a-b-pos-1.xyz") == tmp_path / "a-b.out"
    assert output_beside(tmp_path / "a-b.xyz") is None
    assert output_beside(tmp_path / "c-pos-1.xyz") is None


def test_inspect_says_what_the_run_came_to(tmp_path: Path) -> None:
    model = list(history("cspbcl3-cube-1").values())[-1]
    write_all({tmp_path / "model.xyz": lambda s: write_xyz(model, s)}, force=False)
    stream = StringIO()
    write_plain_xyz(model, stream)
    head, _, *atoms = stream.getvalue().splitlines(keepends=True)
    frames = [f"{head} i = {i}, E = {e:18.10f}\n{''.join(atoms)}" for i, e in enumerate((-10, -11))]
    (tmp_path / "run-pos-1.xyz").write_text("".join(frames))
    (tmp_path / "run.out").write_text(output([-10.0, -11.0], "GEO_OPT"))
    words = [str(tmp_path / "run-pos-1.xyz"), "--like", str(tmp_path / "model.xyz")]
    found = CliRunner().invoke(inspect, words)
    assert found.exit_code == 0, found.output
    for text in ("CP2K 2023.1, 2 steps", "eV since the first step", "geometry       not converged"):
        assert text in found.stdout
    record = json.loads(CliRunner().invoke(inspect, [*words, "--json"]).stdout)
    assert record["run"]["scf"] == [True, True]
    assert record["formula"] == "Cs4PbCl6"
