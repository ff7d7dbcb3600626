"""Options that commands share."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hetbuild.cli.indices import DIRECTION
from hetbuild.names import shown
from hetbuild.numerals import parse_number

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

MODEL = click.Path(path_type=Path)
"""A model file, as an argument."""


class OutputPath(click.Path):
    """Where something is written: no option that was taken for it."""

    def convert(
        self,
        value: str | os.PathLike[str],
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> str | bytes | os.PathLike[str]:
        """The path; a usage error where it looks like an option."""
        text = os.fspath(value)
        if not text:
            self.fail("it is empty; give a path, as . for the folder you are in.", param, ctx)
        if text.startswith("-"):
            words = "begins as an option does; give a path, with ./ before it if that is its name."
            self.fail(f"{shown(text)} {words}", param, ctx)
        return super().convert(value, param, ctx)


OUTPUT = OutputPath(path_type=Path)
"""A file or folder to write."""


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


def bundled(kind: type[Any], name: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Options that are the fields of a dataclass, handed to the command as one value, `name`."""
    names = [f.name for f in fields(kind)]

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @wraps(command)
        def packed(*args: Any, **given: Any) -> None:
            value = kind(**{field: given.pop(field) for field in names})
            command(*args, **{name: value}, **given)

        return packed

    return decorate


def label_options(command: Callable[..., None]) -> Callable[..., None]:
    """The options that label a foreign file, handed to the command as one value, `labels`."""

    packed = bundled(Labels, "labels")(command)
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
    "-o", "--output", type=OUTPUT, help="Folder; default: the name of the product."
)
seed_option = click.option(
    "--seed", type=click.IntRange(0), default=0, help="Of every random choice."
)


def zone_options(what: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """A zone axis and the domain it is of. what: the help of the axis."""

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        of = click.option(
            "--of", metavar="DOMAIN", help="Whose zone axis that is [the first domain]."
        )
        zone = click.option("--zone", type=DIRECTION, metavar="U V W", help=what)
        return zone(of(command))

    return decorate


@dataclass(frozen=True)
class Daughter:
    """What the command line says of the files of a model that comes of another."""

    output: Path | None
    as_json: bool
    force: bool
    quiet: bool
    verbose: bool


def daughter_options(command: Callable[..., None]) -> Callable[..., None]:
    """The options of a verb that makes a model of a model, handed on as `labels` and `daughter`."""

    packed = bundled(Daughter, "daughter")(command)
    for option in (verbose_option, quiet, force, as_json, folder_option):
        packed = option(packed)
    return label_options(packed)
