"""Tables that notebooks show of models and results."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape


def to_table(title: str, rows: Iterable[Sequence[str]], head: Sequence[str] = ()) -> str:
    """A titled table; the first column of one without a head names its rows."""
    lines = ["".join(f"<th>{escape(cell)}</th>" for cell in head)] if head else []
    for first, *others in rows:
        cell = "td" if head else "th"
        body = "".join(f"<td>{escape(other)}</td>" for other in others)
        lines.append(f"<{cell}>{escape(first)}</{cell}>{body}")
    table = "".join(f"<tr>{line}</tr>" for line in lines)
    return f"<div><b>{escape(title)}</b><table>{table}</table></div>"
