"""Crystals and models the tests share; built once."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from hypothesis import settings

from hetbuild.crystal.crystal import Crystal, read_crystal
from hetbuild.library import find_recipe, find_structure
from hetbuild.model import Model
from hetbuild.recipe.run import stages
from hetbuild.recipe.schema import read_recipe

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


@pytest.fixture(scope="session")
def crystal() -> Callable[[str], Crystal]:
    return load


@pytest.fixture(scope="session")
def main_stages() -> dict[str, Model]:
    return history("cspbcl3-pbs")


@pytest.fixture(scope="session")
def main_model(main_stages: dict[str, Model]) -> Model:
    return main_stages["balanced"]
