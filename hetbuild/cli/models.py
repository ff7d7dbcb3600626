"""Models that commands read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

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


def read_model(path: Path, crystals: str | None, charges: tuple[str, ...] = ()) -> Model:
    """A model file; crystals: names an unlabelled one is made of, as ``CsPbCl3,PbS``."""
    from hetbuild import verbs

    names = [] if crystals is None else crystals.split(",")
    return verbs.read_model(path, [read_bulk(name.strip(), charges) for name in names])
