"""`hetbuild planes`: the layers along a normal."""

from __future__ import annotations

import click

from hetbuild.arrays import Plane
from hetbuild.cli.console import INDICES, as_json, emit


@click.command(context_settings=INDICES)
@click.argument("crystal")
@click.argument("hkl", nargs=3, type=int)
@as_json
def planes(crystal: str, hkl: Plane, as_json: bool) -> None:
    """Print the stacking of the planes (H K L) of CRYSTAL, to choose a cut by."""
    from hetbuild.crystal.crystal import read_crystal
    from hetbuild.crystal.layers import stacking
    from hetbuild.library import find_structure

    found = stacking(read_crystal(find_structure(crystal)), hkl)
    emit(found.as_dict(), "\n".join(found.lines()), as_json)
