"""Shipped recipes and commands go on giving what they gave (tests/references.py)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import rdkit
import references
from conftest import history

import hetbuild as hb
from hetbuild.library import find_recipe
from hetbuild.recipe.read import read_recipe
from hetbuild.recipe.verdict import verdict

DIGITS = 2e-3
"""Å, or a five-hundredth: libraries differ by far less, another choice by more."""


def differences(now: Any, kept: Any, at: str = "") -> Iterator[str]:
    """Where two documents differ, numbers by more than DIGITS."""
    if isinstance(now, dict) and isinstance(kept, dict):
        for key in now.keys() | kept.keys():
            yield from differences(now.get(key), kept.get(key), f"{at}.{key}")
    elif isinstance(now, list) and isinstance(kept, list) and len(now) == len(kept):
        for i, (one, other) in enumerate(zip(now, kept, strict=True)):
            yield from differences(one, other, f"{at}[{i}]")
    elif isinstance(now, float) or isinstance(kept, float):
        if now != pytest.approx(kept, rel=DIGITS, abs=DIGITS):
            yield f"{at}: {now}, kept {kept}"
    elif now != kept:
        yield f"{at}: {now!r}, kept {kept!r}"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("models")
    references.prepare(place)
    return place


def conformers_of_another_rdkit(case: str) -> bool:
    """Ligands stand as RDKit embeds them, which differs from one of its releases to another."""
    return case.partition(".")[2] in references.CAPPED and rdkit.__version__ < references.RDKIT


@pytest.mark.parametrize("case", references.CASES)
def test_models_and_reports_are_those_kept(case: str, folder: Path) -> None:
    if conformers_of_another_rdkit(case):
        pytest.skip(f"RDKit {rdkit.__version__} embeds ligands in other conformers")
    kept = json.loads((references.FOLDER / f"{case}.json").read_text(encoding="utf-8"))
    found = list(differences(json.loads(json.dumps(references.made(case, folder))), kept))
    assert not found, "\n".join(found[:20])


@pytest.mark.parametrize("name", references.BUILT)
def test_shipped_recipes_pass_their_own_checks(name: str) -> None:
    """`hetbuild build NAME` ends with 0: composition, charges and contacts are those asked for."""
    model = list(history(name).values())[-1]
    assert verdict(model, hb.inspect(model), read_recipe(find_recipe(name))) == []


def test_every_file_kept_is_of_a_case() -> None:
    assert {path.stem for path in references.FOLDER.iterdir()} == set(references.CASES)
