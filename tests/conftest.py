"""Crystals and models the tests share; built once."""

from __future__ import annotations

import contextlib
import io
import subprocess
import sys
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from functools import cache
from pathlib import Path

import pytest
from hypothesis import settings

import hetbuild as hb
from hetbuild.cli import main
from hetbuild.crystal.crystal import Crystal, read_crystal
from hetbuild.library import find_recipe, find_structure
from hetbuild.model import Model
from hetbuild.recipe.read import read_recipe
from hetbuild.recipe.run import stages

# The suite says the same of the same code each time it runs: its examples are drawn from the
# tests themselves. New ones are looked for with --hypothesis-profile=explore.
# Machines that run the tests are shared: a slow example is no failure.
settings.register_profile("same", deadline=None, derandomize=True)
settings.register_profile("explore", deadline=None)
settings.load_profile("same")

ROOT = Path(__file__).parent.parent


@cache
def load(name: str) -> Crystal:
    """A shipped crystal."""
    return read_crystal(find_structure(name))


@cache
def history(recipe: str) -> dict[str, Model]:
    """All stages of a shipped recipe by name."""
    return dict(stages(read_recipe(find_recipe(recipe))))


def called(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """The command line, run in this process: as a user sees it, without the seconds of a start."""
    out, err = io.StringIO(), io.StringIO()
    code: object = 0
    before, sys.argv = sys.argv, ["hetbuild", *words]
    try:
        with contextlib.chdir(cwd), redirect_stdout(out), redirect_stderr(err):
            main()
    except SystemExit as end:
        code = end.code
    finally:
        sys.argv = before
    assert isinstance(code, int)
    return subprocess.CompletedProcess(words, code, out.getvalue(), err.getvalue())


@pytest.fixture(scope="session")
def crystal() -> Callable[[str], Crystal]:
    return load


@pytest.fixture(scope="session")
def main_stages() -> dict[str, Model]:
    return history("cspbcl3-pbs")


@pytest.fixture(scope="session")
def main_model(main_stages: dict[str, Model]) -> Model:
    return main_stages["settled"]


@cache
def joined(planes: float) -> Model:
    """Half a CsPbCl3 cube of so many planes on half a PbS cube, axes parallel, 0.5 Å apart."""
    upper = hb.carve("CsPbCl3", [hb.Facet((1, 0, 0), planes)], site="Pb", name="perovskite")
    upper = hb.cut(upper, (1, 0, 0), keep="above", at=0)
    lower = hb.carve(load("PbS"), [hb.Facet((1, 0, 0), 2)], site="Pb", name="sulfide")
    lower = hb.cut(lower, (1, 0, 0), keep="below", at=-1)
    parallel = hb.Orientation(((1, 0, 0), (1, 0, 0)), along=((0, 1, 0), (0, 1, 0)))
    upper, lower = hb.align(upper, lower, parallel)
    return hb.join(upper, lower, parallel, hb.Registry(0.0, 0.0, 0.5), shared_with="perovskite")
