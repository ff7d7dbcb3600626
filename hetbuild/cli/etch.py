"""`hetbuild etch`: a domain dissolves."""

from __future__ import annotations

from pathlib import Path

import click

from hetbuild.cli.completion import domain_names
from hetbuild.cli.models import read_model
from hetbuild.cli.options import (
    MODEL,
    Daughter,
    Labels,
    allow_charge,
    compensate_option,
    daughter_options,
)
from hetbuild.cli.step import default_model, run_and_write


@click.command()
@click.argument("model", type=MODEL, required=False)
@click.option(
    "--remove",
    "domain",
    required=True,
    metavar="DOMAIN",
    shell_complete=domain_names,
    help="What dissolves.",
)
@click.option(
    "--shared",
    type=click.Choice(["bonded", "keep", "drop"]),
    default="bonded",
    help="Shared cations that stay: with 3 anions of the rest, all, none.",
)
@compensate_option
@allow_charge
@daughter_options
def etch(
    model: Path | None,
    domain: str,
    shared: str,
    compensate: tuple[str, ...],
    allow_charge: bool,
    labels: Labels,
    daughter: Daughter,
) -> None:
    """Dissolve a domain of MODEL and balance what is left, by its halide unless told otherwise."""
    from hetbuild.recipe.read import parse_step
    from hetbuild.recipe.schema import EtchSpec

    parent = read_model(model, labels) if model is not None else default_model()
    given = {"domain": domain, "shared": shared, "compensate": compensate}
    spec = parse_step(EtchSpec, given | {"allow_charge": allow_charge})
    run_and_write(model, parent, spec, daughter)
