"""`hetbuild planes`: the layers along a normal."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from hetbuild.cli.console import INDICES, MILLER, as_json, charge_option, emit
from hetbuild.cli.models import read_bulk

if TYPE_CHECKING:
    from hetbuild.arrays import Plane


@click.command(context_settings=INDICES)
@click.argument("crystal")
@click.argument("hkl", nargs=3, type=MILLER)
@charge_option
@as_json
def planes(crystal: str, hkl: Plane, charges: tuple[str, ...], as_json: bool) -> None:
    """Print the stacking of the planes (H K L) of CRYSTAL, to choose a cut by."""
    from hetbuild.crystal.layers import stacking

    found = stacking(read_bulk(crystal, charges), hkl)
    emit(found.as_dict(), "\n".join(found.lines()), as_json)
