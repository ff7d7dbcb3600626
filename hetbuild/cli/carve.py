"""`hetbuild carve`: a bare particle."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from hetbuild.cli.completion import crystal_names
from hetbuild.cli.console import NUMBER, charge_option, force, numbers
from hetbuild.cli.models import read_bulk
from hetbuild.errors import InputError


@click.command()
@click.argument("crystal", shell_complete=crystal_names)
@click.option("--form", "forms", multiple=True, metavar='"H K L:Å"', help="{hkl} at a distance.")
@click.option("--facet", "facets", multiple=True, metavar='"H K L:Å"', help="One facet (hkl).")
@click.option("--radius", type=NUMBER, help="Radius of a sphere, Å.")
@click.option("--site", help="Element or label of the site at the centre.")
@click.option("--offset", default="0 0 0", help='Centre from that site, "x y z", fractional.')
@charge_option
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="XYZ file.")
@force
def carve(
    crystal: str,
    forms: tuple[str, ...],
    facets: tuple[str, ...],
    radius: float | None,
    site: str | None,
    offset: str,
    charges: tuple[str, ...],
    output: Path,
    force: bool,
) -> None:
    """Carve a bare particle out of CRYSTAL, a shipped name or a CIF file."""
    from hetbuild.assemble.carve import Facet
    from hetbuild.assemble.carve import carve as cut_out
    from hetbuild.formats.catalogue import check_ending
    from hetbuild.formats.files import refuse_existing, write_all
    from hetbuild.formats.xyz import write_xyz

    check_ending(output, "xyz")
    refuse_existing([output], force)
    bulk = read_bulk(crystal, charges)
    shapes = [_facet(text, bulk, Facet, single=False) for text in forms]
    shapes += [_facet(text, bulk, Facet, single=True) for text in facets]
    centre = numbers(offset, 3, "--offset")
    model = cut_out(bulk, shapes, centre=centre, site=site, radius=radius)
    write_all({output: lambda stream: write_xyz(model, stream)}, force)
    click.echo(f"{model.formula}, formal charge {model.charge:+d} e", err=True)
    click.echo(str(output))


def _facet(text: str, bulk: Any, facet: Any, *, single: bool) -> Any:
    indices, colon, distance = text.partition(":")
    if not colon:
        raise InputError(f"{text!r}: write a plane and its distance in Å, as '1 1 1:20'.")
    h, k, l = (int(x) for x in numbers(indices, 3, "facet"))  # noqa: E741 (Miller index)
    (away,) = numbers(distance, 1, "distance")
    return facet((h, k, l), away / bulk.spacing((h, k, l)), single)
