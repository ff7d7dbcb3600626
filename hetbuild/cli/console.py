"""What the commands print and how: one document or text, and progress."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import click

from hetbuild.errors import InputError
from hetbuild.names import shown
from hetbuild.numerals import parse_number, rounded


@contextmanager
def progress_bar(label: str) -> Iterator[Callable[[float], None] | None]:
    """A bar on stderr, only on a terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    with click.progressbar(length=1000, label=label, file=sys.stderr) as bar:
        yield lambda fraction: bar.update(int(fraction * 1000) - bar.pos)


def emit(record: Any, text: str, as_json: bool) -> None:
    """The product on stdout: one JSON document, numbers to 8 decimals and 10 digits, or text."""
    click.echo(document(record) if as_json else text)


def document(record: Any) -> str:
    """A record as JSON, numbers to 8 decimals and 10 digits: the next depend on the processor."""
    return json.dumps(rounded(record, 8, digits=10), indent=2, ensure_ascii=False)


def numbers(text: str, count: int, what: str) -> list[float]:
    """Exactly `count` numbers, fractions allowed, from text.

    Raises
    ------
    InputError
        Anything else.
    """
    try:
        values = [parse_number(part) for part in text.replace(",", " ").split()]
    except ValueError:
        values = []
    if len(values) != count:
        raise InputError(f"{what} takes {count} number{'s' * (count > 1)}; given {shown(text)}.")
    return values
