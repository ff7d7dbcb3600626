"""`hetbuild carve`: a bare particle."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from hetbuild.cli.completion import crystal_names
from hetbuild.cli.console import emit
from hetbuild.cli.indices import FACET_AT, FORM_AT, POINT, Rows
from hetbuild.cli.models import read_bulk
from hetbuild.cli.options import NUMBER, OUTPUT, as_json, charge_option, force

if TYPE_CHECKING:
    from hetbuild.arrays import Plane


@click.command(cls=Rows)
@click.argument("crystal", shell_complete=crystal_names)
@click.option(
    "--form",
    "forms",
    multiple=True,
    type=FORM_AT,
    metavar="H K L:Å",
    help="{hkl} at a distance; repeatable.",
)
@click.option(
    "--facet",
    "facets",
    multiple=True,
    type=FACET_AT,
    metavar="H K L:Å",
    help="One facet (hkl); repeatable.",
)
@click.option("--point-group", metavar="SYMBOL", help="Of the forms, as -43m or '3m [1 1 1]'.")
@click.option("--truncate-edges", type=click.IntRange(0), default=0, help="Planes off each edge.")
@click.option(
    "--truncate-vertices", type=click.IntRange(0), default=0, help="Planes off each corner."
)
@click.option("--radius", type=NUMBER, help="Radius of a sphere, Å.")
@click.option("--site", help="Element or label of the site at the centre.")
@click.option(
    "--offset",
    type=POINT,
    default="0 0 0",
    metavar="X Y Z",
    help="Centre from that site, fractional.",
)
@charge_option
@click.option("-o", "--output", type=OUTPUT, required=True, help="XYZ file.")
@as_json
@force
def carve(
    crystal: str,
    forms: tuple[tuple[Plane, float], ...],
    facets: tuple[tuple[Plane, float], ...],
    point_group: str | None,
    truncate_edges: int,
    truncate_vertices: int,
    radius: float | None,
    site: str | None,
    offset: tuple[float, float, float],
    charges: tuple[str, ...],
    output: Path,
    as_json: bool,
    force: bool,
) -> None:
    """Carve a bare particle out of CRYSTAL, a shipped name or a CIF file."""
    from hetbuild.assemble.carve import carve as cut_out
    from hetbuild.assemble.polyhedron import Facet
    from hetbuild.assemble.size import Shape
    from hetbuild.assemble.truncate import Truncation, truncated
    from hetbuild.formats.catalogue import check_ending
    from hetbuild.formats.files import refuse_existing, write_all
    from hetbuild.formats.xyz import write_xyz

    check_ending(output, "xyz")
    refuse_existing([output], force)
    bulk = read_bulk(crystal, charges)
    group = point_group or ""
    shapes = [Facet(hkl, away / bulk.spacing(hkl), point_group=group) for hkl, away in forms]
    shapes += [Facet(hkl, away / bulk.spacing(hkl), single=True) for hkl, away in facets]
    shape = Shape(tuple(shapes), radius, offset, site)
    shape = truncated(bulk, shape, Truncation(truncate_edges, truncate_vertices))
    model = cut_out(bulk, shape.facets, centre=offset, site=site, radius=radius)
    write_all({output: lambda stream: write_xyz(model, stream)}, force)
    if not as_json:
        click.echo(f"{model.formula}, formal charge {model.charge:+d} e", err=True)
    record = {"files": [str(output)], "formula": model.formula, "charge": model.charge}
    emit(record, str(output), as_json)
