"""`hetbuild compare`: how far two models lie apart."""

from __future__ import annotations

from pathlib import Path
from typing import TextIO

import click

from hetbuild.cli.console import MODEL, as_json, crystals_option, emit, force
from hetbuild.errors import InputError


@click.command()
@click.argument("first", type=MODEL)
@click.argument("second", type=MODEL)
@click.option("--report", is_flag=True, help="Write an HTML page with an arrow for each ion.")
@click.option("-o", "--output", type=MODEL, help="report: the file [FIRST-SECOND.html].")
@crystals_option
@as_json
@force
def compare(
    first: Path,
    second: Path,
    report: bool,
    output: Path | None,
    crystals: str | None,
    as_json: bool,
    force: bool,
) -> None:
    """Lay model SECOND on FIRST and say how far atoms lie apart, as after a relaxation.

    Any file with positions will do; the order and orientation of the atoms do not matter. Where
    FIRST is a periodic interface built here, atoms may be shifted and wrapped into the cell. With
    --report, FIRST must be a model, or --crystals say what it is made of.
    """
    from hetbuild.cli.models import read_model
    from hetbuild.cli.report_text import comparison_lines
    from hetbuild.verbs import compare as laid

    if not report:
        if output is not None:
            raise InputError("-o names the page that --report writes; give both, or neither.")
        found = laid(first if crystals is None else read_model(first, crystals), second)
        emit(found.as_dict(), "\n".join(comparison_lines(found)), as_json)
        return
    from hetbuild.formats.files import refuse_existing, write_all
    from hetbuild.page.displacement import comparison_page

    path = output or Path(f"{first.stem}-{second.stem}.html")
    refuse_existing([path], force)
    model = read_model(first, crystals)
    found = laid(model, second)
    written = comparison_page(model, found, (first.name, second.name))

    def write(stream: TextIO) -> None:
        stream.write(written)

    write_all({path: write}, force)
    lines = [str(path), *comparison_lines(found)]
    emit({"file": str(path), **found.as_dict()}, "\n".join(lines), as_json)
