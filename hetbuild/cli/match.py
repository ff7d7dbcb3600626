"""`hetbuild match`: which planes of two crystals fit, down to a recipe."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

import click

from hetbuild.cli.completion import crystal_names
from hetbuild.cli.console import emit, numbers, progress_bar
from hetbuild.cli.indices import PLANES, Rows, several
from hetbuild.cli.models import read_bulk
from hetbuild.cli.options import NUMBER, OUTPUT, as_json, bundled, charge_option, force
from hetbuild.errors import ImpossibleError, InputError
from hetbuild.numerals import LARGEST_INDEX

if TYPE_CHECKING:
    from hetbuild.arrays import Plane
    from hetbuild.crystal.crystal import Crystal
    from hetbuild.matching.matches import Match

Order = Literal["score", "area", "strain", "cations"]
ORDERS: tuple[Order, ...] = get_args(Order)


@dataclass(frozen=True)
class Limits:
    """How far fits are searched for."""

    planes: tuple[Plane, Plane] | None
    """This pair only."""
    max_index: int
    max_strain: float
    """Per cent."""
    max_area: float
    """Å²."""


@click.command(cls=Rows)
@click.argument("first", shell_complete=crystal_names)
@click.argument("second", shell_complete=crystal_names)
@click.option("--planes", type=PLANES, metavar="H K L/H K L", help="Only this pair of planes.")
@click.option(
    "--max-index",
    type=click.IntRange(1, LARGEST_INDEX),
    default=2,
    show_default=True,
    help="Highest Miller index.",
)
@click.option(
    "--max-strain", type=NUMBER, default=3.5, show_default=True, help="Largest principal strain, %."
)
@click.option("--max-area", type=NUMBER, default=400.0, show_default=True, help="Largest cell, Å².")
@click.option("--sort", type=click.Choice(ORDERS), default="score", show_default=True)
@click.option("--rows", default=20, show_default=True, help="Rows of the table; 0: all.")
@click.option("--cations", metavar="A,B", help="Cations whose terrace and step are described.")
@click.option("--registry", metavar="K", type=click.IntRange(1), help="Scan the registry of row K.")
@click.option("--map", "map_file", type=OUTPUT, help="PNG of that scan.")
@click.option(
    "--recipe", "recipe_row", metavar="K", type=click.IntRange(1), help="Print a recipe of row K."
)
@click.option("--size", metavar="Å[,Å]", help="Of the particles of a recipe.  [default: 30]")
@click.option("--half-turn", is_flag=True, help="Second crystal turned by 180°: the other angle.")
@click.option(
    "--terminations",
    type=several(2, "--terminations"),
    metavar="I J",
    help="Which face each other, from --registry.",
)
@charge_option
@as_json
@force
@bundled(Limits, "limits")
def match(
    first: str,
    second: str,
    limits: Limits,
    sort: Order,
    rows: int,
    cations: str | None,
    registry: int | None,
    map_file: Path | None,
    recipe_row: int | None,
    size: str | None,
    half_turn: bool,
    terminations: tuple[float, float] | None,
    charges: tuple[str, ...],
    as_json: bool,
    force: bool,
) -> None:
    """Find the planes of crystals FIRST and SECOND that fit, shipped names or CIF files.

    Every coincidence cell up to the limits is listed once, with its directions in conventional
    axes, the strain of SECOND, the shear of the cell, the misorientation of both crystals, and how
    many cations of one continue sites of the other. Sorted by area times 1 + (strain / 1 %)².

    `--recipe K` prints a recipe for row K: `hetbuild match CsPbCl3 PbS --recipe 1 > new.toml`.
    """
    own = {"--half-turn": half_turn, "--terminations": terminations}
    row = _row(registry, recipe_row, [option for option, given in own.items() if given])
    if size is not None and recipe_row is None:
        raise InputError("--size is that of the particles of --recipe K; name the row.")
    if rows < 0:
        raise InputError(f"--rows takes 0 or more; given {rows}.")
    _check_map(map_file, registry, force)
    stepped, sizes, ends = _cations(cations), _sizes(size or "30"), _numbered(terminations)
    crystals = (read_bulk(first, charges), read_bulk(second, charges))
    found = _found(crystals, limits)
    if row is None:
        _list(found, crystals, stepped, sort, rows, as_json)
        return
    chosen = _chosen(found, crystals, row, sort, half_turn)
    if recipe_row is not None:
        _recipe(chosen, crystals, (_source(first), _source(second)), sizes, ends, as_json)
    else:
        _registry(chosen, crystals, ends, map_file, as_json, force)


def _found(crystals: tuple[Crystal, Crystal], limits: Limits) -> Sequence[Match]:
    """All fits within the limits; an error that says what is nearest where there is none."""
    from hetbuild.matching.search import match as search

    with progress_bar("search") as progress:
        found = search(
            *crystals,
            planes=limits.planes,
            max_index=limits.max_index,
            max_strain=limits.max_strain / 100,
            max_area=limits.max_area,
            progress=progress,
        )
    if not found:
        raise ImpossibleError(_nothing(crystals, limits))
    return found


def _chosen(
    found: Sequence[Match],
    crystals: tuple[Crystal, Crystal],
    row: int,
    order: Order,
    half_turn: bool,
) -> Match:
    """The fit in a row of the table, or the one with its second crystal turned by 180°."""
    from hetbuild.cli import match_table as fits

    with progress_bar("cations") as progress:
        chosen = fits.row(found, crystals, row, order=order, progress=progress)
    return chosen.turned() if half_turn else chosen


def _list(
    found: Sequence[Match],
    crystals: tuple[Crystal, Crystal],
    stepped: tuple[str | None, str | None],
    order: Order,
    most: int,
    as_json: bool,
) -> None:
    """The table of all fits, and what the best one is like."""
    from hetbuild.cli import match_table as fits

    with progress_bar("cations") as progress:
        shown = fits.rows(found, crystals, order=order, most=most, progress=progress)
    profiles = fits.step_profiles_of(shown[0][0], crystals, stepped)
    lines = [*fits.match_lines(shown, len(found), crystals)]
    lines += [
        f"{c.name} {label.text}" for c, label in zip(crystals, shown[0][0].planes, strict=True)
    ]
    lines += [f"{c.name}: {s}" for c, s in zip(crystals, profiles, strict=True)]
    record = {
        "crystals": [c.name for c in crystals],
        "total": len(found),
        "matches": [fits.record(*row, crystals) for row in shown],
        "step_profiles": [s.as_dict() for s in profiles],
    }
    emit(record, "\n".join(lines), as_json)


def _recipe(
    chosen: Match,
    crystals: tuple[Crystal, Crystal],
    sources: tuple[str, str],
    sizes: tuple[float, float],
    terminations: tuple[int, int] | None,
    as_json: bool,
) -> None:
    """The recipe as TOML, or as the JSON document of the same tables."""
    import tomllib

    from hetbuild.matching.proposal import propose, recipe_text

    proposal = propose(chosen, crystals, sources, sizes=sizes, chosen=terminations)
    text = recipe_text(proposal)
    emit(tomllib.loads(text), text.removesuffix("\n"), as_json)


def _registry(
    chosen: Match,
    crystals: tuple[Crystal, Crystal],
    terminations: tuple[int, int] | None,
    map_file: Path | None,
    as_json: bool,
    force: bool,
) -> None:
    from hetbuild.cli import match_table as fits
    from hetbuild.formats.files import write_all
    from hetbuild.matching.registry import scan

    both, found = scan(chosen, crystals, terminations)
    names = (crystals[0].name, crystals[1].name)
    title = " || ".join(f"{n} {p}" for n, p in zip(names, chosen.planes, strict=True))
    lines: list[str] = []
    for side, label, name in zip(both, chosen.planes, names, strict=True):
        lines += fits.termination_lines(side, label, name)
    lines += ["", *fits.registry_lines(found, names)]
    if map_file is not None:
        write_all({map_file: lambda stream: fits.write_map(found, stream, title)}, force)
        lines.append(str(map_file))
    record = {
        "terminations": [[t.as_dict() for t in side] for side in both],
        "chosen": [side.index(t) + 1 for side, t in zip(both, found.terminations, strict=True)],
        "cell": found.cell.tolist(),
        "minima": [m.as_dict() for m in found.minima],
    }
    emit(record, "\n".join(lines), as_json)


def _row(registry: int | None, recipe: int | None, options: list[str]) -> int | None:
    """The row that is meant, or None; options: those given that need one."""
    if recipe is not None and registry is not None:
        raise InputError("--recipe prints a recipe, --registry a scan; give one of them.")
    row = registry if recipe is None else recipe
    if row is None and options:
        raise InputError(f"{options[0]} goes with --registry K or --recipe K; name the row.")
    return row


def _check_map(path: Path | None, registry: int | None, force: bool) -> None:
    """Before any work."""
    from hetbuild.formats.files import refuse_existing

    if path is None:
        return
    if registry is None:
        raise InputError("--map draws the scan of --registry K; name the row.")
    if path.suffix.lower() != ".png":
        raise InputError(f"The map is a PNG file; given {path}.")
    refuse_existing([path], force)


def _nothing(crystals: tuple[Crystal, Crystal], limits: Limits) -> str:
    from hetbuild.crystal.planes import plane_net
    from hetbuild.matching.search import nearest_miss

    planes, max_area = limits.planes, limits.max_area
    what = f"planes up to index {limits.max_index}" if planes is None else "these planes"
    text = (
        f"No cell of {crystals[0].name} and {crystals[1].name} on {what} fits within "
        f"{limits.max_strain:g} % and {max_area:g} Å²."
    )
    near = nearest_miss(
        *crystals,
        planes=planes,
        max_index=limits.max_index,
        max_strain=limits.max_strain / 100,
        max_area=max_area,
    )
    least = [plane_net(c, h).area for c, h in zip(crystals, planes, strict=True)] if planes else []
    if max(least, default=0.0) > max_area:
        return f"{text} The nets of these planes alone have {least[0]:.1f} and {least[1]:.1f} Å²."
    if near is None:
        return f"{text} Nor is there one within 15 %: allow a larger area with --max-area."
    pair = " || ".join(str(p) for p in near.planes)
    cell = ", ".join(" || ".join(p.labels) for p in near.cell)
    return (
        f"{text} The nearest miss is {pair}, {cell}: strain {100 * near.largest_strain:.2f} %, "
        f"{max(near.area):.1f} Å². Allow it with --max-strain {_rounded_up(near.largest_strain)}."
    )


def _rounded_up(strain: float) -> str:
    return f"{int(1000 * strain + 1) / 10:g}"


def _cations(text: str | None) -> tuple[str | None, str | None]:
    if text is None:
        return None, None
    first, comma, second = (part.strip() for part in text.partition(","))
    if not (first and comma and second):
        raise InputError(f"--cations takes one of each crystal, as 'Cs,Pb'; given {text!r}.")
    return first, second


def _sizes(text: str) -> tuple[float, float]:
    values = numbers(text, text.count(",") + 1, "--size")
    if len(values) > 2:
        raise InputError(f"--size takes one or two lengths in Å; given {text!r}.")
    return values[0], values[-1]


def _numbered(given: tuple[float, float] | None) -> tuple[int, int] | None:
    if given is None:
        return None
    first, second = given
    if not (first.is_integer() and second.is_integer()):
        raise InputError(f"--terminations takes two whole numbers; given {first:g} {second:g}.")
    return int(first) - 1, int(second) - 1


def _source(name: str) -> str:
    """What a recipe anywhere can find: a shipped name, or an absolute path."""
    from hetbuild.library import structures

    return name if name in structures() else str(Path(name).resolve())
