"""Planes, directions and other rows of numbers on the command line: one text, or a word for each.

``--zone "0 0 1"``, ``--zone 0 0 1`` and ``--zone 001`` are the same.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from itertools import takewhile
from typing import TYPE_CHECKING, Any

import click

from hetbuild import indices
from hetbuild.cli.console import numbers
from hetbuild.errors import HetbuildError, InputError
from hetbuild.names import shown

if TYPE_CHECKING:
    from hetbuild.arrays import Plane

    _Any = click.ParamType[Any]
else:  # generic only from click 8.4 on
    _Any = click.ParamType


NUMERIC = re.compile(r"[-+0-9./,:()\[\]{}]+", re.ASCII)
"""Words that a row may be made of."""


class Row(_Any):
    """What is written in several words, and how it is read from their text."""

    def __init__(self, name: str, parse: Callable[[str], Any], most: int = 3) -> None:
        self.name = name
        self.parse = parse
        self.most = most
        """Words it is written in at most."""

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> Any:
        """The value; an error names the option and what is wrong."""
        if not isinstance(value, str):
            return value
        try:
            return self.parse(value)
        except ValueError as error:
            name = self.name if param is None else param.opts[-1]
            name = name if name.startswith("-") else self.name.capitalize()
            raise InputError(f"{name} {shown(value)}: {error}.") from None

    def taken(self, words: Sequence[str]) -> int:
        """How many of the words that follow an option are its value."""
        for count in range(1, min(self.most, len(words)) + 1):
            try:
                self.parse(" ".join(words[:count]))
            except (ValueError, HetbuildError):
                continue
            return count
        return 0

    def numeric(self, words: Sequence[str]) -> int:
        """How many of them look like parts of it, to be shown where it is none."""
        parts = takewhile(lambda word: NUMERIC.fullmatch(word), words[: self.most])
        return len(list(parts))


class Rows(click.Command):
    """A command whose rows of numbers may stand in one word or in several."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Join the words of each row before click reads them."""
        rows = {
            name: p.type
            for p in self.params
            if isinstance(p, click.Option) and isinstance(p.type, Row)
            for name in p.opts
        }
        joined: list[str] = []
        left = list(args)
        while left:
            joined.append(left.pop(0))
            row = rows.get(joined[-1])
            if row is not None and (count := row.taken(left) or row.numeric(left)):
                joined.append(" ".join(left[:count]))
                del left[:count]
        return super().parse_args(ctx, joined)


class RowArgument(click.Argument):
    """A row of numbers as the last argument of a command."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **(settings | {"nargs": -1, "required": True}))

    def type_cast_value(self, ctx: click.Context, value: Any) -> Any:
        """All its words as one text."""
        if not value:
            return value
        for word in value:
            if word[:1] == "-" and not NUMERIC.fullmatch(word.replace(" ", "")):
                raise click.NoSuchOption(word, ctx=ctx)
        return self.type.convert(" ".join(value), self, ctx)


def _pair(text: str) -> tuple[Plane, Plane]:
    first, slash, second = text.partition("/")
    try:
        if not slash:
            raise ValueError
        return indices.parse_plane(first), indices.parse_plane(second)
    except ValueError:
        raise ValueError("write three integers for each crystal, as '-2 1 0/-4 -4 2'") from None


def _at(form: bool) -> Callable[[str], tuple[Plane, float]]:
    def parse(text: str) -> tuple[Plane, float]:
        plane, colon, distance = text.partition(":")
        if not colon:
            raise ValueError("write a plane and its distance in Å, as '1 1 1:20'")
        (away,) = numbers(distance, 1, "the distance")
        return indices.parse_plane(plane, form=form), away

    return parse


def several(count: int, what: str) -> Row:
    """So many numbers. what: the option, for messages."""
    return Row("numbers", lambda text: tuple(numbers(text, count, what)), count)


PLANE = Row("plane", indices.parse_plane)
PLANES = Row("planes", _pair, 5)
FORM_AT, FACET_AT = Row("form", _at(True)), Row("facet", _at(False))
DIRECTION = Row("direction", indices.parse_vector)
POINT = Row("point", lambda text: indices.parse_vector(text, indices.POINT))
