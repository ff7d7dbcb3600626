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

from hetbuild.cli import main
from hetbuild.crystal.crystal import Crystal, read_crystal
from hetbuild.library import find_recipe, find_structure
from hetbuild.model import Model
from hetbuild.recipe.read import read_recipe
from hetbuild.recipe.run import stages

# Machines that run the tests are shared: a slow example is no failure.
settings.register_profile("shared", deadline=None)
settings.load_profile("shared")

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
