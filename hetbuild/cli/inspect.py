"""`hetbuild inspect`: what a model is."""

from __future__ import annotations

from pathlib import Path

import click

from hetbuild.cli.console import Labels, as_json, charge_option, emit, label_options
from hetbuild.cli.models import read_model


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@label_options
@charge_option
@as_json
def inspect(model: Path, labels: Labels, charges: tuple[str, ...], as_json: bool) -> None:
    """Measure MODEL: composition, charge, contacts, coordination, interface, symmetry.

    A file written by hetbuild needs nothing else; of any other, name the crystals it is made of.
    """
    from hetbuild.analyse.report import inspect as measure
    from hetbuild.cli.report_text import report_lines

    read = read_model(model, labels, charges)
    report = measure(read)
    emit(report.as_dict(), "\n".join(report_lines(read, report, [], False)), as_json)
