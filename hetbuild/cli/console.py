"""What the commands share: options, output, progress."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hetbuild.errors import InputError
from hetbuild.names import shown
from hetbuild.numerals import LARGEST_INDEX, parse_number, rounded

# Negative Miller indices are arguments, not options.
INDICES = {"ignore_unknown_options": True}

as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
force = click.option("--force", is_flag=True, help="Overwrite files that are in the way.")
quiet = click.option("-q", "--quiet", is_flag=True, help="Print paths only.")


if TYPE_CHECKING:
    _Float = click.ParamType[float]
else:  # generic only from click 8.4 on
    _Float = click.ParamType


class Number(_Float):
    """A finite number, or a fraction as 1/8."""

    name = "number"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """The number; a usage error names what is wrong."""
        if isinstance(value, int | float):
            return float(value)
        try:
            return parse_number(str(value))
        except ValueError as error:
            self.fail(f"{shown(value)} is {error}.", param, ctx)


NUMBER = Number()
MILLER = click.IntRange(-LARGEST_INDEX, LARGEST_INDEX)

MODEL = click.Path(path_type=Path)
"""A model file, as an argument."""


@dataclass(frozen=True)
class Labels:
    """What the command line says of the labels of a file that has none."""

    crystals: str | None = None
    formulas: tuple[str, ...] = ()
    like: Path | None = None
    frame: int | None = None

    @property
    def given(self) -> bool:
        """Anything is said."""
        return self != Labels()


def label_options(command: Callable[..., None]) -> Callable[..., None]:
    """The options that label a foreign file, handed to the command as one value, `labels`."""

    @wraps(command)
    def packed(
        *args: Any,
        crystals: str | None,
        formulas: tuple[str, ...],
        like: Path | None,
        frame: int | None,
        **rest: Any,
    ) -> None:
        command(*args, labels=Labels(crystals, formulas, like, frame), **rest)

    for option in (
        click.option(
            "--frame",
            type=int,
            metavar="N",
            help="Of a trajectory [last whole one]; phase of VESTA.",
        ),
        click.option("--like", type=MODEL, metavar="PARENT", help="Model of the same atoms."),
        click.option(
            "--formula",
            "formulas",
            multiple=True,
            metavar="DOMAIN=F",
            help="As perovskite=Cs126Pb80Cl276; repeatable.",
        ),
        click.option("--crystals", metavar="A,B", help="Crystals an unlabelled file is made of."),
    ):
        packed = option(packed)
    return packed


compensate_option = click.option(
    "--compensate", multiple=True, metavar="MOVE", help="As 'remove Cl in sulfide'; repeatable."
)
charge_option = click.option(
    "--charge",
    "charges",
    multiple=True,
    metavar="ION=E",
    help="Formal charge of an ion, as Ti=4; repeatable.",
)
allow_charge = click.option("--allow-charge", is_flag=True, help="Accept a charged model.")
verbose_option = click.option("-v", "--verbose", is_flag=True, help="List every ion and place.")
folder_option = click.option(
    "-o", "--output", type=MODEL, help="Folder; default: the name of the product."
)


@contextmanager
def progress_bar(label: str) -> Iterator[Callable[[float], None] | None]:
    """A bar on stderr, only on a terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    with click.progressbar(length=1000, label=label, file=sys.stderr) as bar:
        yield lambda fraction: bar.update(int(fraction * 1000) - bar.pos)


def emit(record: Any, text: str, as_json: bool) -> None:
    """The product on stdout: one JSON document, numbers to 8 decimals, or text."""
    if as_json:
        text = json.dumps(rounded(record, 8), indent=2, ensure_ascii=False)
    click.echo(text)


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
