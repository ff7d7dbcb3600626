"""Help, versions and completion, as a shell asks for them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from test_cli import run

from hetbuild import __version__
from hetbuild.errors import nearest


def test_version_says_what_it_uses(tmp_path: Path) -> None:
    assert run("--version", cwd=tmp_path).stdout == f"hetbuild {__version__}\n"
    lines = run("--version", "-v", cwd=tmp_path).stdout.splitlines()
    assert lines[0] == f"hetbuild {__version__}"
    assert {line.split()[0] for line in lines} >= {"Python", "numpy", "scipy", "ase", "spglib"}


def test_help_of_a_verb_by_its_name(tmp_path: Path) -> None:
    asked = run("help", "etch", cwd=tmp_path)
    assert asked.stdout == run("etch", "--help", cwd=tmp_path).stdout.replace("-c etch", "-c etch")
    assert run("help", cwd=tmp_path).stdout == run("--help", cwd=tmp_path).stdout
    wrong = run("help", "ecth", cwd=tmp_path)
    assert (wrong.returncode, "did you mean 'etch'" in wrong.stderr) == (2, True)


def test_no_verb_shows_the_help_and_is_bad_usage(tmp_path: Path) -> None:
    asked = run(cwd=tmp_path)
    assert (asked.returncode, "Commands:" in asked.stdout) == (2, True)


def test_names_in_another_case_are_meant() -> None:
    assert nearest("cspbcl3", ["CsPbCl3", "CsPbBr3"]).startswith("did you mean 'CsPbCl3'")


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["build", "cspbcl3-cu"], {"cspbcl3-cu2s", "cspbcl3-cube-1"}),
        (["planes", "cspbcl"], {"CsPbCl3"}),
        (["export", "x.xyz", "--to", "la"], {"lammps"}),
        (["mat"], {"match"}),
    ],
)
def test_the_shell_completes_names(words: list[str], offered: set[str], tmp_path: Path) -> None:
    code = "from hetbuild.cli import cli; cli.main(prog_name='hetbuild')"
    environment = os.environ | {
        "_HETBUILD_COMPLETE": "bash_complete",
        "COMP_WORDS": " ".join(["hetbuild", *words]),
        "COMP_CWORD": str(len(words)),
    }
    command = [sys.executable, "-c", code]
    done = subprocess.run(
        command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    found = {line.partition(",")[2] for line in done.stdout.splitlines()}
    assert offered <= found
