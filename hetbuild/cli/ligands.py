"""`hetbuild ligands`: molecules on the surface."""

from __future__ import annotations

from pathlib import Path

import click

from hetbuild.cli.models import read_model
from hetbuild.cli.options import MODEL, NUMBER, Daughter, Labels, daughter_options, seed_option
from hetbuild.cli.step import run_and_write
from hetbuild.errors import InputError


@click.command()
@click.argument("model", type=MODEL)
@click.option(
    "--add",
    "adds",
    multiple=True,
    required=True,
    metavar="TEXT",
    help="As 'oleate on Cl, facet {1 1 1}' or '24 oleate on Cl'; repeatable.",
)
@click.option("--fraction", type=NUMBER, metavar="X", help="Of the ions of each --add [1].")
@click.option("--count", type=click.IntRange(0), help="So many ions of each --add.")
@click.option("--chain", type=int, metavar="N", help="N carbons in place of each alkyl chain.")
@click.option(
    "--mode",
    type=click.Choice(["any", "monodentate", "chelating", "bridging"]),
    default="any",
    help="How they must bind [with as many bonds as there is room for].",
)
@click.option("--ligand-charge", type=int, metavar="E", help="Of ligands from XYZ files.")
@click.option("--anchors", metavar="1,2", help="Atoms that bind, where no known group does.")
@click.option("--order", default="spread", metavar="ORDER", help="Which ions go first [spread].")
@seed_option
@click.option("--clearance", type=NUMBER, metavar="X", help="Part of the vdW sum kept [0.75].")
@click.option("--skip", is_flag=True, help="Skip sites without room instead of refusing.")
@daughter_options
def ligands(
    model: Path,
    adds: tuple[str, ...],
    fraction: float | None,
    count: int | None,
    chain: int | None,
    mode: str,
    ligand_charge: int | None,
    anchors: str | None,
    order: str,
    seed: int,
    clearance: float | None,
    skip: bool,
    labels: Labels,
    daughter: Daughter,
) -> None:
    """Put whole molecules on the surface of MODEL; its charge stays.

    \b
    hetbuild ligands cube.xyz --add "50% oleylammonium on Cs, surface" --add "23 oleate on Br"
    hetbuild ligands pbs.xyz --add "oleate on Cl, facet {1 1 1}" --fraction 0.5 --chain 4
    hetbuild ligands dot.xyz --add "20 trioctylphosphine on Cd, surface"

    An ionic ligand takes the place of an ion of its charge; a neutral one is added to a cation.
    Ligands are names, SMILES, or XYZ, MOL and SDF files.
    """
    from hetbuild.recipe.read import parse_step
    from hetbuild.recipe.schema import LigandsSpec

    given = {"fraction": fraction, "count": count, "chain": chain, "charge": ligand_charge}
    said = _given(**given, anchors=None if anchors is None else _indices(anchors)) | {"mode": mode}
    options = {"add": tuple(_add(text, said) for text in adds), "order": order, "seed": seed}
    options |= {"no_room": "skip" if skip else "refuse", "allow_charge": True}
    options |= _given(clearance=clearance)
    spec = parse_step(LigandsSpec, options)
    parent = read_model(model, labels)
    run_and_write(model, parent, spec, daughter)


def _given(**options: object) -> dict[str, object]:
    """Those that are not left out."""
    return {name: value for name, value in options.items() if value is not None}


def _add(text: str, said: dict[str, object]) -> dict[str, object]:
    """What one --add says, and the options for what it leaves open."""
    from hetbuild.capping.add import Add

    add = Add.parse(text)
    own = {"ligand": add.ligand, "on": add.on}
    amounts = _given(count=add.count, fraction=add.fraction)
    rest = {k: v for k, v in said.items() if not (amounts and k in ("count", "fraction"))}
    return rest | own | amounts


def _indices(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.replace(",", " ").split())
    except ValueError:
        raise InputError(f"--anchors {text!r}: write the numbers of atoms, as 1,2.") from None
