"""`hetbuild compare`: how far two models lie apart."""

from __future__ import annotations

from pathlib import Path

import click

from hetbuild.cli.console import MODEL, as_json, emit


@click.command()
@click.argument("first", type=MODEL)
@click.argument("second", type=MODEL)
@as_json
def compare(first: Path, second: Path, as_json: bool) -> None:
    """Lay model SECOND on FIRST and say how far atoms lie apart, as after a relaxation.

    Any file with positions will do; the order and orientation of the atoms do not matter. Where
    FIRST is a periodic interface built here, atoms may be shifted and wrapped into the cell.
    """
    from hetbuild.cli.report_text import comparison_lines
    from hetbuild.verbs import compare as laid

    found = laid(first, second)
    emit(found.as_dict(), "\n".join(comparison_lines(found)), as_json)
