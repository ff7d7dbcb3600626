"""`hetbuild crystals`: the bulk phases that are shipped."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from hetbuild.cli.console import emit
from hetbuild.cli.options import as_json
from hetbuild.cli.tables import table

if TYPE_CHECKING:
    from hetbuild.crystal.crystal import Crystal


@click.command()
@as_json
def crystals(as_json: bool) -> None:
    """List the shipped crystals: name, formula, space group, cell in Å and degrees, source.

    Cells are those of the standardised conventional cell that planes and directions refer to.
    """
    from hetbuild.crystal.crystal import read_crystal
    from hetbuild.library import structures

    records = [_record(read_crystal(path)) for path in structures().values()]
    rows = [(r["name"], r["formula"], r["space_group"], free_cell(r)) for r in records]
    lines = table(rows, "<<<<", below=[r["source"] for r in records])
    emit(records, "\n".join(lines), as_json)


def _record(crystal: Crystal) -> dict[str, Any]:
    from hetbuild.elements import counts, formula, reduced

    return {
        "name": crystal.name,
        "formula": formula(reduced(counts(crystal.numbers))),
        "space_group": crystal.space_group,
        "space_group_number": crystal.space_group_number,
        "cell": [round(x, 5) for x in crystal.cell_parameters],
        "source": crystal.source,
        "status": crystal.status,
    }


def free_cell(record: dict[str, Any]) -> str:
    """Lengths that differ and angles that are free, as ``a 4.135 c 6.749``."""
    lengths, angles = record["cell"][:3], record["cell"][3:]
    text = [
        f"{n} {x:g}"
        for k, (n, x) in enumerate(zip("abc", lengths, strict=True))
        if x not in lengths[:k]
    ]
    hexagonal = 143 <= record["space_group_number"] <= 194
    fixed = (90, 90, 120 if hexagonal else 90)
    names = zip(("α", "β", "γ"), angles, fixed, strict=True)
    return " ".join(text + [f"{n} {x:.2f}°" for n, x, right in names if x != right])
