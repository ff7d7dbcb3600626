"""`hetbuild report`: one HTML file that shows a model."""

from __future__ import annotations

from pathlib import Path

import click

from hetbuild.cli.console import emit, progress_bar
from hetbuild.cli.models import read_model
from hetbuild.cli.options import MODEL, OUTPUT, Labels, as_json, force, label_options


@click.command()
@click.argument("model", type=MODEL)
@click.option(
    "--with",
    "parts",
    metavar="PARTS",
    default="xrd,image",
    help="Of xrd and image, or none [xrd,image].",
)
@click.option("-o", "--output", type=OUTPUT, help="HTML file [the model's name].")
@label_options
@as_json
@force
def report(
    model: Path, parts: str, output: Path | None, labels: Labels, as_json: bool, force: bool
) -> None:
    """Show MODEL in one HTML file that needs no network: 3D, composition, interface, recipe.

    \b
    hetbuild report cspbcl3-pbs/cspbcl3-pbs.xyz
    hetbuild report cspbcl3-pbs/cspbcl3-pbs.xyz --with image -o page.html
    """
    from hetbuild.formats.files import refuse_existing
    from hetbuild.verbs import report as shown

    path = output or Path(f"{model.stem}.html")
    refuse_existing([path], force)
    chosen = [p.strip() for p in parts.split(",") if p.strip() not in ("", "none")]
    read = read_model(model, labels)
    with progress_bar("report") as progress:
        written = shown(read, path, parts=chosen, force=force, progress=progress)
    record = {"file": str(written), "parts": chosen, "formula": read.formula}
    emit(record, str(written), as_json)
