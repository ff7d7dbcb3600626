"""The same bytes whatever the surroundings: benchmarks/bytes.py on two recipes."""

from __future__ import annotations

import importlib
import io
import json
import platform
import re
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT

from hetbuild.formats.columns import width_of
from hetbuild.formats.figure import HASHED, new_figure, write_figure
from hetbuild.model import kept_digits
from hetbuild.numerals import rounded


@pytest.mark.skipif(platform.machine() != "x86_64", reason="kernels of x86-64 processors")
def test_kernels_of_openblas_and_hash_seeds_give_the_same_bytes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    settings = {"OPENBLAS_CORETYPE": "Prescott", "PYTHONHASHSEED": "1", "LC_ALL": "C"}
    recipes = ["cspbcl3-pbs-small", "interface-cspbcl3-cs2pbcl4"]
    runs = importlib.import_module("bytes")
    one = runs.digests(tmp_path / "one", recipes, {})
    other = runs.digests(tmp_path / "other", recipes, settings)
    assert len(one) > 60
    assert one == other
    said = {p.name: p.read_text(encoding="utf-8") for p in (tmp_path / "one" / "said").iterdir()}
    refused = [name for name, text in said.items() if text.partition("\n")[0] != "0"]
    assert len(refused) < 5
    assert all("ImpossibleError" in said[name] for name in refused)


def test_rounded_values() -> None:
    noisy = {"a": [-1e-17, (0.1 + 0.2, 3)], "b": None, "c": "0.30000000000000004", "d": True}
    assert json.dumps(rounded(noisy, 10)) == (
        '{"a": [0.0, [0.3, 3]], "b": null, "c": "0.30000000000000004", "d": true}'
    )


def test_means_of_kept_positions_round_alike() -> None:
    """A quarter of four: ties at the ninth decimal, with noise as of other orders of summing."""
    kept = np.round(np.random.default_rng(0).uniform(-30, 30, (4, 500)), 8)
    mean = kept.mean(axis=0)
    down, up = (kept_digits(np.nextafter(mean, end)) for end in (-np.inf, np.inf))
    assert np.array_equal(down, up)
    assert not np.array_equal(
        np.round(np.nextafter(mean, -np.inf), 8), np.round(np.nextafter(mean, np.inf), 8)
    )


def test_a_column_is_not_wider_for_a_zero_below_zero() -> None:
    assert width_of(np.array([-1e-17, 1.0])) == width_of(np.array([0.0, 1.0]))


def test_ids_of_a_drawing_are_numbers_not_hashes_of_coordinates() -> None:
    drawings = []
    for width in (4.0, np.nextafter(4.0, 5.0)):
        figure = new_figure((width, 3.0))
        axes = figure.add_subplot()
        axes.plot([0, 1], [0, 1], marker="o")
        held = io.BytesIO()
        write_figure(figure, held, "svg")
        drawings.append(held.getvalue().decode())
    assert drawings[0] == drawings[1]
    ids = re.findall(r'id="([^"]*)"', drawings[0])
    assert len(ids) == len(set(ids))
    used = set(re.findall(r"#(i[0-9]+)", drawings[0]))
    assert used
    assert used <= set(ids)
    assert not HASHED.findall(drawings[0])
