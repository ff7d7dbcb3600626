"""`hetbuild exchange`: ions of a model become others."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from hetbuild.cli.completion import domain_names
from hetbuild.cli.indices import DIRECTION, Rows
from hetbuild.cli.models import read_model
from hetbuild.cli.options import (
    MODEL,
    NUMBER,
    Daughter,
    Labels,
    allow_charge,
    charge_option,
    compensate_option,
    daughter_options,
    seed_option,
)
from hetbuild.cli.step import default_model, run_and_write
from hetbuild.errors import InputError

SHORTHANDS = {
    **{f"{a}-to-{b}": (a, b) for a in ("Cl", "Br", "I") for b in ("Cl", "Br", "I") if a != b},
    **{
        f"Pb-to-{cation}": ("Pb", product)
        for cation, product in {"Cu": "Cu2S", "Ag": "Ag2S", "Zn": "ZnS", "Cd": "CdS"}.items()
    },
}
"""Flags of `exchange`: halides of the perovskite, and products of the sulfide."""


def _shorthands(command: Callable[..., None]) -> Callable[..., None]:
    for name, (old, new) in reversed(SHORTHANDS.items()):
        halide = old != "Pb"
        what = f"{old} to {new} in the perovskite." if halide else f"The sulfide to {new}, S stays."
        flag = click.option(
            f"--{name.lower()}", "shorthands", flag_value=name, multiple=True, help=what
        )
        command = flag(command)
    return command


@click.command(cls=Rows)
@click.argument("model", type=MODEL, required=False)
@_shorthands
@click.option("--replace", "replaced", multiple=True, metavar="OLD=NEW", help="Cl=Br, or Cs=MA.")
@click.option("--product", metavar="CRYSTAL", help="Crystal of the product, or its CIF file.")
@click.option(
    "--in",
    "domain",
    metavar="DOMAIN",
    shell_complete=domain_names,
    help="Domain; default: the one that fits.",
)
@click.option("--keep-planes", type=click.IntRange(0), help="Planes kept at the interface [5].")
@click.option("--keep-thickness", type=NUMBER, metavar="Å", help="The same in Å.")
@click.option("--contact", type=NUMBER, metavar="Å", help="Floor to cations that stay [2.9].")
@click.option("--deficit", type=NUMBER, default=0.0, metavar="X", help="x of Cu(2-x)S.")
@click.option("--fraction", type=NUMBER, default=1.0, help="Part that is exchanged, 0 to 1.")
@click.option("--which", metavar="SELECTION", help="Only ions it means, as 'interior'.")
@click.option("--order", metavar="ORDER", help="Which go first, as 'outermost first, spread'.")
@seed_option
@click.option("--lattice", type=click.Choice(["keep", "product"]), default="keep")
@click.option("--along", type=DIRECTION, metavar="U V W", help="Direction molecules point along.")
@compensate_option
@allow_charge
@charge_option
@daughter_options
def exchange(
    model: Path | None,
    shorthands: tuple[str, ...],
    replaced: tuple[str, ...],
    product: str | None,
    domain: str | None,
    labels: Labels,
    daughter: Daughter,
    **options: Any,
) -> None:
    """Exchange ions of MODEL (default: the model of `hetbuild build`, built if need be).

    \b
    hetbuild exchange --cl-to-br                          CsPbBr3/PbS
    hetbuild exchange --pb-to-cu                          CsPbCl3/Cu2S, a PbS layer kept
    hetbuild exchange --replace Cs=MA --in perovskite     methylammonium for Cs
    hetbuild exchange --product ZnS --in sulfide          topotactic, S stays

    With --replace ions change on their sites. With --product alone cations of the domain leave and
    those of the product take interstitial sites of its anions.
    """
    from hetbuild.crystal.charges import parse_charges
    from hetbuild.recipe.steps import exchange_spec

    options["charges"] = parse_charges(options["charges"])
    given = {k: v for k, v in options.items() if v is not None}
    ions, product = _asked(shorthands, replaced, product)
    parent = read_model(model, labels) if model is not None else default_model()
    spec = exchange_spec(parent, ions, product, domain, given, shorthand=bool(shorthands))
    run_and_write(model, parent, spec, daughter)


def _asked(
    shorthands: tuple[str, ...], replaced: tuple[str, ...], product: str | None
) -> tuple[dict[str, str], str | None]:
    """The one exchange that is asked for: new ions by old ones, and the product."""
    ions = dict(_pair(text) for text in replaced)
    if len(shorthands) + bool(ions or product) > 1:
        raise InputError(
            "One exchange at a time: give one shorthand as --cl-to-br, or --replace, or --product. "
            "For several, exchange the product again, or list [[steps]] in a recipe."
        )
    for shorthand in shorthands:
        old, new = SHORTHANDS[shorthand]
        ions, product = ({}, new) if old == "Pb" else ({old: new}, None)
    if not ions and product is None:
        raise InputError(
            "Say what to exchange: --cl-to-br, --pb-to-cu or another shorthand, --replace OLD=NEW, "
            "or --product CRYSTAL."
        )
    return ions, product


def _pair(text: str) -> tuple[str, str]:
    old, sign, new = text.partition("=")
    if not sign or not old or not new:
        raise InputError(f"--replace {text!r}: write OLD=NEW, as Cl=Br or Cs=MA.")
    return old, new
