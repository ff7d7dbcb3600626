"""Text of many atoms at once: the same as formatting and parsing one by one."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ase.io import read
from conftest import history
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from hetbuild.errors import InputError
from hetbuild.formats import columns, xyz
from hetbuild.formats.ase import from_ase
from hetbuild.formats.record import to_record
from hetbuild.formats.xyz import read_xyz, write_plain_xyz, write_xyz
from hetbuild.model import PER_ATOM, Model

POSITIONS = st.floats(-9e6, 9e6).map(lambda x: round(x, 8))
"""As models keep them."""


def lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines()]


@given(arrays(np.float64, st.integers(1, 30), elements=POSITIONS))
def test_reals_are_python_s(values: np.ndarray) -> None:
    text = columns.reals(values)
    printed = [f"{x:.8f}" for x in values]
    assert lines(columns.joined([text])) == ["0.00000000" if float(p) == 0 else p for p in printed]
    again = columns.read_reals(text)
    assert again is not None
    assert np.array_equal(again, values)


@given(arrays(np.int64, st.integers(1, 30), elements=st.integers(-(10**6), 10**6)))
def test_integers_are_python_s(values: np.ndarray) -> None:
    text = columns.integers(values, columns.width_of(values))
    assert lines(columns.joined([text])) == [str(x) for x in values.tolist()]
    assert np.array_equal(columns.read_integers(text), values)


@given(st.lists(st.sampled_from(["Pb", "S", "compensation", "a-much-longer-name.2"]), min_size=1))
def test_names_come_back(names: list[str]) -> None:
    table = sorted(set(names))
    text = columns.words(np.array([table.index(n) for n in names]), table)
    index, known = columns.read_words(text)
    assert [known[i] for i in index] == names


def test_a_table_is_split_at_gaps_all_rows_have() -> None:
    found = columns.split(b"Pb  1.0 -2\nS  -1.0 10\n", 2)
    assert found is not None
    assert [c.shape[1] for c in found] == [2, 4, 2]
    assert columns.split(b"Pb  1.0\nS -1.00 \n", 2) is None  # a name run into a number
    assert columns.split(b"Pb 1\nS 1\n", 2) is None  # lines of unequal length
    assert columns.split(b"Pb 1\nS  1\n\n", 2) is None
    for text in (b"1.5\n1x5\n", b"- 1\n--1\n", b"1 1\n1 1\n"):
        (column, *_) = columns.split(text, 2) or [np.empty((2, 1), np.uint8)]
        assert columns.read_integers(column) is None or text == b"1 1\n1 1\n"


@pytest.mark.parametrize("recipe", ["cspbcl3-pbs", "cspbcl3-cu2s", "interface-cspbcl3-pb4s3cl2"])
def test_files_read_the_same_here_and_by_ase(
    recipe: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = list(history(recipe).values())[-1]
    monkeypatch.setattr(columns, "ROWS", 97)  # several chunks must be as wide as one
    path = tmp_path / "model.xyz"
    with path.open("w") as stream:
        write_xyz(model, stream)
    own = xyz._own(path)
    assert own is not None
    for other in (own, read_xyz(path), from_ase(read(path))):
        assert all(np.array_equal(getattr(other, f), getattr(model, f)) for f in PER_ATOM)
        assert to_record(other) == to_record(own)
        assert json.dumps(to_record(other)) == json.dumps(to_record(model))
        assert other.periodic == model.periodic
        assert (other.cell is None) == (model.cell is None)


def test_quotes_and_backslashes_in_the_record_survive(main_model: Model, tmp_path: Path) -> None:
    said = 'a "quoted" title, a \\ backslash, é, a\nnew line'
    model = replace(main_model, provenance={"title": said})
    path = tmp_path / "model.xyz"
    with path.open("w") as stream:
        write_xyz(model, stream)
    assert read_xyz(path).provenance["title"] == said
    assert from_ase(read(path)).provenance["title"] == said


def test_plain_files_of_atoms_are_read_by_ase(main_model: Model) -> None:
    stream = io.StringIO()
    write_plain_xyz(main_model, stream)
    atoms = read(io.StringIO(stream.getvalue()), format="xyz")
    assert np.array_equal(atoms.positions, main_model.positions)


@pytest.mark.parametrize("place", [np.nan, np.inf, 1e12])
def test_positions_no_file_keeps_are_refused(place: float, main_model: Model) -> None:
    positions = main_model.positions.copy()
    positions[3, 1] = place
    with pytest.raises(InputError, match="not finite or beyond"):
        write_xyz(replace(main_model, positions=positions), io.StringIO())
