"""What the commands share: options, output, progress."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from hetbuild.errors import InputError

# Negative Miller indices are arguments, not options.
INDICES = {"ignore_unknown_options": True}

as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
force = click.option("--force", is_flag=True, help="Overwrite files that are in the way.")
quiet = click.option("-q", "--quiet", is_flag=True, help="Print paths only.")


MODEL = click.Path(path_type=Path)
"""A model file, as an argument."""

crystals_option = click.option(
    "--crystals", metavar="A,B", help="Crystals an unlabelled file is made of."
)
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
    """The product on stdout: one JSON document, or text."""
    click.echo(json.dumps(record, indent=2, ensure_ascii=False) if as_json else text)


def numbers(text: str, count: int, what: str) -> list[float]:
    """Exactly `count` numbers, fractions allowed, from text.

    Raises
    ------
    InputError
        Anything else.
    """
    from fractions import Fraction

    try:
        values = [float(Fraction(part)) for part in text.replace(",", " ").split()]
    except (ValueError, ZeroDivisionError):
        values = []
    if len(values) != count:
        raise InputError(f"{what} takes {count} number{'s' * (count > 1)}; given {text!r}.")
    return values
