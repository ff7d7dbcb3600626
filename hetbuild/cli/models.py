"""Models that commands read."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hetbuild.cli.options import Labels
from hetbuild.errors import FrameWarning, InputError, PhaseWarning
from hetbuild.names import shown

if TYPE_CHECKING:
    from hetbuild.crystal.crystal import Crystal
    from hetbuild.model import Model


DEFAULT_RECIPE = "cspbcl3-pbs"
"""What `build` and `exchange` take when told nothing."""


def read_bulk(name: str, charges: tuple[str, ...] = ()) -> Crystal:
    """A shipped crystal or a CIF file; formal charges that had to be guessed are said on stderr.

    charges: as the option --charge gives them.
    """
    from hetbuild.crystal.charges import parse_charges
    from hetbuild.crystal.crystal import read_crystal
    from hetbuild.library import find_structure

    crystal = read_crystal(find_structure(name), charges=parse_charges(charges))
    for line in guesses(crystal):
        click.echo(line, err=True)
    return crystal


def guesses(*crystals: Crystal) -> list[str]:
    """A line for each crystal some of whose formal charges nobody stated."""
    return [
        f"{c.name}: formal charge "
        + ", ".join(f"{e} {c.charge_of(e):+d}" for e in c.guessed)
        + " taken as the only one that makes it neutral (pymatgen's oxidation states); "
        "another: --charge."
        for c in crystals
        if c.guessed
    ]


def read_model(path: Path, labels: Labels | None = None, charges: tuple[str, ...] = ()) -> Model:
    """A model file, or any file whose labels the options tell; warnings go to stderr."""
    from hetbuild import verbs

    said = labels or Labels()
    named = [pair(text, "--crystals") for text in (said.crystals or "").split(",") if text]
    if said.crystals is not None and not named:
        raise InputError(
            f"--crystals {shown(said.crystals)}: name what the file is made of, as CsPbCl3,PbS."
        )
    formulas = dict(pair(text, "--formula") for text in said.formulas)
    if len(formulas) < len(said.formulas):
        raise InputError("--formula is given twice for one domain.")
    for domain, text in formulas.items():
        if not domain:
            raise InputError(f"--formula {text}: write DOMAIN=FORMULA, as perovskite=Cs20Pb8Cl36.")
    with warned():
        return verbs.read_model(
            path,
            [read_bulk(crystal, charges) for _, crystal in named],
            like=said.like,
            formulas=formulas,
            names=[name for name, _ in named],
            frame=said.frame,
        )


@contextmanager
def warned() -> Iterator[None]:
    """What readers warn of is said in a line on stderr."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", FrameWarning)
        warnings.simplefilter("always", PhaseWarning)
        yield
    for warning in caught:
        click.echo(f"warning: {warning.message}", err=True)


def pair(text: str, option: str) -> tuple[str, str]:
    """``NAME=VALUE``, or the value alone with no name."""
    name, sign, value = text.rpartition("=")
    if not value.strip() or (sign and not name.strip()):
        raise InputError(f"{option} {text!r}: write NAME=VALUE.")
    return name.strip(), value.strip()
