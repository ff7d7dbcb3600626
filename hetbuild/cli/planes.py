"""`hetbuild planes`: the layers along a normal."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from hetbuild.cli.completion import crystal_names
from hetbuild.cli.console import emit
from hetbuild.cli.indices import PLANE, RowArgument, Rows
from hetbuild.cli.models import read_bulk
from hetbuild.cli.options import as_json, charge_option
from hetbuild.cli.tables import table

if TYPE_CHECKING:
    from hetbuild.arrays import Plane
    from hetbuild.crystal.layers import Stacking


# Negative Miller indices are arguments, not options.
@click.command(cls=Rows, context_settings={"ignore_unknown_options": True})
@click.argument("crystal", shell_complete=crystal_names)
@click.argument("hkl", cls=RowArgument, type=PLANE, metavar="H K L")
@charge_option
@as_json
def planes(crystal: str, hkl: Plane, charges: tuple[str, ...], as_json: bool) -> None:
    """Print the stacking of the planes (H K L) of CRYSTAL, to choose a cut by."""
    from hetbuild.crystal.layers import stacking

    found = stacking(read_bulk(crystal, charges), hkl)
    emit(found.as_dict(), "\n".join(_lines(found)), as_json)


def _lines(found: Stacking) -> Iterator[str]:
    yield f"{found.crystal} {found.plane}: d = {found.spacing:.4f} Å"
    if found.lattice_plane != found.plane:
        yield f"lattice planes: {found.lattice_plane}, d = {found.lattice_spacing:.4f} Å"
    (u, a), (v, b) = found.net
    shape = f"{found.net_angle:.2f}°, {found.area:.2f} Å²"
    yield f"surface cell: {u} {a:.3f} Å, {v} {b:.3f} Å, {shape}"
    yield f"plane index counted from site {found.datum}; contents per surface cell"
    layers = [
        (f"{layer.index:.4f}", f"{layer.height:.4f}", f"{layer.charge:+d}", layer.formula)
        for layer in found.layers
    ]
    yield from table(layers, ">>><", head=("index", "height/Å", "charge", "ions"))
