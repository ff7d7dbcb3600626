"""Tables of the command line: aligned columns that fit a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from textwrap import wrap

WIDTH = 80
"""Columns of a terminal; longer text of a last column, or below a row, goes on in the next line."""

NARROWEST = 20
"""Columns a wrapped text has at least, however wide the columns before it are."""

DEEPEST = 4
"""Columns by which a text below a row is indented at most."""


def table(
    rows: Iterable[Sequence[str]],
    align: str,
    *,
    head: Sequence[str] = (),
    below: Sequence[str] = (),
) -> Iterator[str]:
    """Lines of a table.

    align: ``<`` or ``>`` for each column; a last column to the left is wrapped. head: titles of the
    columns. below: a text under each row, indented.
    """
    listed = [*([head] if head else []), *rows]
    if not listed:
        return
    width = [max(len(row[k]) for row in listed) for k in range(len(align))]
    under = [*([""] if head else []), *below]
    indent = min(width[0] + 2, DEEPEST)
    for k, row in enumerate(listed):
        yield from _row(row, width, align)
        if under[k : k + 1] and under[k]:
            yield from (" " * indent + line for line in _wrapped(under[k], indent))


def _row(row: Sequence[str], width: Sequence[int], align: str) -> Iterator[str]:
    cells = [
        text.ljust(w) if side == "<" else text.rjust(w)
        for text, w, side in zip(row, width, align, strict=True)
    ]
    if align[-1] == ">":
        yield "  ".join(cells).rstrip()
        return
    start = "".join(f"{cell}  " for cell in cells[:-1])
    first, *rest = _wrapped(row[-1], len(start)) or [""]
    yield (start + first).rstrip()
    yield from (" " * len(start) + line for line in rest)


def _wrapped(text: str, indent: int) -> list[str]:
    room = max(WIDTH - indent, NARROWEST)
    return wrap(text, room, break_long_words=False, break_on_hyphens=False)
