"""`hetbuild compare`: how far two models lie apart."""

from __future__ import annotations

from pathlib import Path

import click

from hetbuild.cli.console import MODEL, as_json, emit
from hetbuild.errors import InputError


@click.command()
@click.argument("first", type=MODEL)
@click.argument("second", type=MODEL)
@as_json
def compare(first: Path, second: Path, as_json: bool) -> None:
    """Lay model SECOND on FIRST and say how far atoms lie apart, as after a relaxation.

    Any file with positions will do; the order and orientation of the atoms do not matter. Where
    FIRST is a periodic interface built here, atoms may be shifted and wrapped into the cell.
    """
    import numpy as np

    from hetbuild.analyse.compare import compare as laid
    from hetbuild.analyse.compare import compare_periodic
    from hetbuild.cli.report_text import comparison_lines
    from hetbuild.formats.staging import recover
    from hetbuild.formats.xyz import read_positions, read_xyz

    for path in (first, second):
        recover(path.parent)
    parts = cell = None
    try:
        model = read_xyz(first)
        a, cell = (model.numbers, model.positions), model.cell
        parts = {d.name: np.flatnonzero(model.domain == i) for i, d in enumerate(model.domains)}
    except InputError:  # no record: a particle, and distances by element
        a = read_positions(first)[:2]
    elements, positions, other = read_positions(second)
    b = elements, positions
    if cell is None:
        found = laid(a, b, parts)
    else:
        found = compare_periodic(a, b, (cell, cell if other is None else other), parts)
    emit(found.as_dict(), "\n".join(comparison_lines(found)), as_json)
