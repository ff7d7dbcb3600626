"""`hetbuild compare`: how far two models lie apart."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import click

from hetbuild.cli.console import emit
from hetbuild.cli.models import read_model, warned
from hetbuild.cli.options import (
    MODEL,
    OUTPUT,
    Labels,
    as_json,
    force,
    label_options,
    verbose_option,
)
from hetbuild.errors import InputError

if TYPE_CHECKING:
    from hetbuild.analyse.comparison import Comparison
    from hetbuild.model import Model


@click.command()
@click.argument("first", type=MODEL)
@click.argument("second", type=MODEL)
@click.option("--report", is_flag=True, help="Write an HTML page with an arrow for each ion.")
@click.option("-o", "--output", type=OUTPUT, help="report: the file [FIRST-SECOND.html].")
@label_options
@as_json
@force
@verbose_option
def compare(
    first: Path,
    second: Path,
    report: bool,
    output: Path | None,
    labels: Labels,
    as_json: bool,
    force: bool,
    verbose: bool,
) -> None:
    """Lay model SECOND on FIRST and say how far atoms lie apart, and which sites differ.

    Any file with positions will do; the order and orientation of the atoms do not matter. Where
    FIRST is a periodic interface built here, atoms may be shifted and wrapped into the cell. The
    options that label a file are for those that hetbuild did not write. With --report, FIRST must
    be a model, or they must say what it is.
    """
    from hetbuild.cli.comparison_text import comparison_lines
    from hetbuild.verbs import compare as laid

    if report:
        path = output or Path(f"{first.stem}-{second.stem}.html")
        found = _with_page(path, first, second, labels, force)
        lines = [str(path), *comparison_lines(found, verbose)]
        emit({"file": str(path), **found.as_dict()}, "\n".join(lines), as_json)
        return
    if output is not None:
        raise InputError("-o names the page that --report writes; give both, or neither.")
    with warned():
        found = laid(_labelled(first, labels), _labelled(second, labels))
    emit(found.as_dict(), "\n".join(comparison_lines(found, verbose)), as_json)


def _with_page(path: Path, first: Path, second: Path, labels: Labels, force: bool) -> Comparison:
    """The comparison, drawn on a page of its own."""
    from hetbuild.formats.files import refuse_existing, write_all
    from hetbuild.page.displacement import comparison_page
    from hetbuild.verbs import compare as laid

    refuse_existing([path], force)
    labelled = _labelled(first, labels)
    model = read_model(labelled) if isinstance(labelled, Path) else labelled
    with warned():
        found = laid(model, _labelled(second, labels))
    written = comparison_page(model, found, (first.name, second.name))

    def write(stream: TextIO) -> None:
        stream.write(written)

    write_all({path: write}, force)
    return found


def _labelled(path: Path, labels: Labels) -> Model | Path:
    """A file of hetbuild's own as it is; another with the labels that are told, if any are."""
    from hetbuild.formats.xyz import read_xyz

    if not labels.given:
        return path
    try:
        return read_xyz(path)
    except InputError:
        return read_model(path, labels)
