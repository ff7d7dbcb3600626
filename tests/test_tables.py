"""Tables of the command line."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hetbuild.cli.tables import WIDTH, table

WORDS = st.text("abcÅ°", min_size=1, max_size=9)


def test_numbers_stand_under_each_other() -> None:
    lines = list(table([("Pb", "1.5"), ("S", "-12.25")], "<>", head=("ion", "x/Å")))
    assert lines == ["ion     x/Å", "Pb      1.5", "S    -12.25"]


@given(st.lists(st.tuples(WORDS, WORDS, st.lists(WORDS, max_size=40)), min_size=1, max_size=5))
@pytest.mark.parametrize("under", [False, True])
def test_nothing_is_lost_and_all_fits(under: bool, rows: list[tuple[str, str, list[str]]]) -> None:
    texts = [" ".join(words) for *_, words in rows]
    if under:
        lines = list(table([row[:2] for row in rows], "<>", below=texts))
    else:
        lines = list(table([(a, b, t) for (a, b, _), t in zip(rows, texts, strict=True)], "<><"))
    assert max(map(len, lines)) <= WIDTH
    assert " ".join(lines).split() == [word for a, b, words in rows for word in (a, b, *words)]


def test_no_rows_make_no_lines() -> None:
    assert list(table([], "<<")) == []
