"""The command line: verbs, options and tables; no science.

stdout carries the product, stderr the rest. Imports live inside the commands, so that
`hetbuild --help` stays quick.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TextIO

import click

from hetbuild import __version__
from hetbuild.cli_match import match
from hetbuild.console import INDICES, as_json, emit, force, numbers, progress_bar, quiet
from hetbuild.errors import CheckError, HetbuildError, InputError

if TYPE_CHECKING:
    from hetbuild.model import Model
    from hetbuild.recipe.schema import Recipe

DEFAULT_RECIPE = "cspbcl3-pbs"


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="hetbuild")
def cli() -> None:
    """Build atomistic models of colloidal nanocrystal heterostructures, ready for DFT.

    Start with `hetbuild build`: it makes the CsPbCl3/PbS model in a folder cspbcl3-pbs. Exit codes:
    0 done, 1 impossible as asked, 2 bad usage or input, 3 built but a check failed.
    """


@cli.command()
@click.argument("recipe", default=DEFAULT_RECIPE)
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Folder; default: the name.")
@click.option(
    "--set", "settings", multiple=True, metavar="KEY=VALUE", help="Override a recipe key."
)
@click.option("--dry-run", is_flag=True, help="Validate and print the plan, build nothing.")
@click.option("--stages", "each_stage", is_flag=True, help="Write each stage as well.")
@as_json
@force
@quiet
@click.option("-v", "--verbose", is_flag=True, help="List every ion of the ledger.")
def build(
    recipe: str,
    output: Path | None,
    settings: tuple[str, ...],
    dry_run: bool,
    each_stage: bool,
    as_json: bool,
    force: bool,
    quiet: bool,
    verbose: bool,
) -> None:
    """Build the model of RECIPE, a shipped name or a TOML file (default: cspbcl3-pbs)."""
    from hetbuild.library import find_recipe
    from hetbuild.recipe.schema import read_recipe

    path = find_recipe(recipe)
    read = read_recipe(path, settings)
    if dry_run:
        emit(read.model_dump(mode="json"), "\n".join(_plan(read)), as_json)
        return
    _build(read, path.parent, output or Path(read.name), each_stage, as_json, force, quiet, verbose)


def _build(
    recipe: Recipe,
    beside: Path,
    folder: Path,
    each_stage: bool,
    as_json: bool,
    force: bool,
    quiet: bool,
    verbose: bool,
) -> None:
    from hetbuild.analyse.report import inspect
    from hetbuild.formats.files import refuse_existing, write_all
    from hetbuild.recipe.output import model_files, paths, stage_files
    from hetbuild.recipe.run import stages
    from hetbuild.report import report_lines, verdict

    refuse_existing(paths(folder, recipe.name, recipe.output), force)
    with progress_bar("balancing") as progress:
        history = list(stages(recipe, beside=beside, progress=progress))
    model = history[-1][1]
    report = inspect(model)
    checks = verdict(model, report, recipe)
    files = model_files(
        folder, recipe.name, model, report, vacuum=recipe.vacuum, spec=recipe.output
    )
    files |= stage_files(folder, history) if each_stage else {}
    write_all(files, force)
    written = [str(p) for p in files]
    record: dict[str, Any] = {"files": written, "report": report.as_dict(), "failed": checks}
    record["stages"] = [{"stage": s, "formula": m.formula, "charge": m.charge} for s, m in history]
    table = report_lines(model, report, history, verbose)
    lines = written if quiet else [*table, "", *written]
    emit(record, "\n".join(lines), as_json)
    if checks:
        raise CheckError("Built, but: " + "; ".join(checks))


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


FORMAT_NAMES = (
    "vesta", "cif", "xyz", "plain-xyz", "poscar", "lammps", "gromacs", "xsf", "cp2k"
)  # fmt: skip
MODEL = click.Path(path_type=Path)
crystals_option = click.option(
    "--crystals", metavar="A,B", help="Crystals an unlabelled file is made of."
)
compensate_option = click.option(
    "--compensate", multiple=True, metavar="MOVE", help="As 'remove Cl in sulfide'; repeatable."
)
allow_charge = click.option("--allow-charge", is_flag=True, help="Accept a charged model.")
verbose_option = click.option("-v", "--verbose", is_flag=True, help="List every ion and place.")
folder_option = click.option(
    "-o", "--output", type=MODEL, help="Folder; default: the name of the product."
)


@cli.command()
@click.argument("model", type=MODEL, required=False)
@_shorthands
@click.option("--replace", "replaced", multiple=True, metavar="OLD=NEW", help="Cl=Br, or Cs=MA.")
@click.option("--product", metavar="CRYSTAL", help="Crystal of the product, or its CIF file.")
@click.option("--in", "domain", metavar="DOMAIN", help="Domain; default: the one that fits.")
@click.option("--keep-planes", type=click.IntRange(0), help="Planes kept at the interface [5].")
@click.option("--keep-thickness", type=float, metavar="Å", help="The same in Å.")
@click.option("--contact", type=float, metavar="Å", help="Floor to cations that stay [2.9].")
@click.option("--deficit", type=float, default=0.0, metavar="X", help="x of Cu(2-x)S.")
@click.option("--fraction", type=float, default=1.0, help="Part that is exchanged, 0 to 1.")
@click.option("--where", type=click.Choice(["surface", "interface", "random", "even"]))
@click.option("--seed", type=click.IntRange(0), default=0, help="Of every random choice.")
@click.option("--lattice", type=click.Choice(["keep", "product"]), default="keep")
@click.option("--along", metavar='"U V W"', help="Direction molecules point along.")
@compensate_option
@allow_charge
@crystals_option
@folder_option
@as_json
@force
@quiet
@verbose_option
def exchange(
    model: Path | None,
    shorthands: tuple[str, ...],
    replaced: tuple[str, ...],
    product: str | None,
    domain: str | None,
    crystals: str | None,
    output: Path | None,
    as_json: bool,
    force: bool,
    quiet: bool,
    verbose: bool,
    **options: Any,
) -> None:
    """Exchange ions of MODEL (default: the model of `hetbuild build`, built if need be).

    \b
    hetbuild exchange --cl-to-br                          CsPbBr3/PbS
    hetbuild exchange --pb-to-cu                          CsPbCl3/Cu2S, a PbS layer kept
    hetbuild exchange --replace Cs=MA --in perovskite     methylammonium for Cs
    hetbuild exchange --product ZnS --in sulfide          topotactic, S stays

    With --replace ions change on their sites. With --product alone cations of the domain leave and
    those of the product take the holes of its anions.
    """
    from hetbuild.recipe.steps import exchange_spec

    given = {k: v for k, v in options.items() if v is not None}
    if "along" in given:
        given["along"] = tuple(numbers(given["along"], 3, "--along"))
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
    parent = _read_model(model, crystals) if model is not None else _default_model()
    spec = exchange_spec(parent, ions, product, domain, given, shorthand=bool(shorthands))
    _step(model, parent, spec, output, as_json, force, quiet, verbose)


@cli.command()
@click.argument("model", type=MODEL, required=False)
@click.option("--remove", "domain", required=True, metavar="DOMAIN", help="What dissolves.")
@click.option(
    "--shared",
    type=click.Choice(["bonded", "keep", "drop"]),
    default="bonded",
    help="Shared cations that stay: with 3 anions of the rest, all, none.",
)
@compensate_option
@allow_charge
@crystals_option
@folder_option
@as_json
@force
@quiet
@verbose_option
def etch(
    model: Path | None,
    domain: str,
    shared: str,
    compensate: tuple[str, ...],
    allow_charge: bool,
    crystals: str | None,
    output: Path | None,
    as_json: bool,
    force: bool,
    quiet: bool,
    verbose: bool,
) -> None:
    """Dissolve a domain of MODEL and balance what is left, by its halide unless told otherwise."""
    from hetbuild.recipe.schema import EtchSpec, parse_step

    parent = _read_model(model, crystals) if model is not None else _default_model()
    given = {"domain": domain, "shared": shared, "compensate": compensate}
    spec = parse_step(EtchSpec, given | {"allow_charge": allow_charge})
    _step(model, parent, spec, output, as_json, force, quiet, verbose)


def _step(
    source: Path | None,
    parent: Model,
    spec: Any,
    output: Path | None,
    as_json: bool,
    force: bool,
    quiet: bool,
    verbose: bool,
) -> None:
    """Run one step on a model and write what comes of it."""
    from hetbuild.analyse.report import inspect
    from hetbuild.formats.files import write_all
    from hetbuild.recipe.output import daughter_name, model_files
    from hetbuild.recipe.steps import run_step, stage_name
    from hetbuild.report import report_lines

    stem = source.stem if source is not None else DEFAULT_RECIPE
    with progress_bar("working") as progress:
        model = run_step(parent, spec, progress=progress)
    name = daughter_name(stem, parent, model)
    report = inspect(model)
    files = model_files(output or Path(name), name, model, report)
    write_all(files, force)
    written = [str(p) for p in files]
    history = [("parent", parent), (stage_name(spec), model)]
    record = {
        "files": written,
        "report": report.as_dict(),
        "steps": model.provenance["steps"],
        "parent": {"formula": parent.formula, "charge": parent.charge},
    }
    lines = written if quiet else [*report_lines(model, report, history, verbose), "", *written]
    emit(record, "\n".join(lines), as_json)


def _default_model() -> Model:
    """The model of the default recipe where `build` writes it, else built now."""
    from hetbuild.library import find_recipe
    from hetbuild.recipe.run import build as make
    from hetbuild.recipe.schema import read_recipe

    path = Path(DEFAULT_RECIPE) / f"{DEFAULT_RECIPE}.xyz"
    if path.is_file():
        return _read_model(path, None)
    click.echo(f"No {path} here: building {DEFAULT_RECIPE} first.", err=True)
    with progress_bar("balancing") as progress:
        return make(read_recipe(find_recipe(DEFAULT_RECIPE)), progress=progress)


def _pair(text: str) -> tuple[str, str]:
    old, sign, new = text.partition("=")
    if not sign or not old or not new:
        raise InputError(f"--replace {text!r}: write OLD=NEW, as Cl=Br or Cs=MA.")
    return old, new


@cli.command()
@click.argument("model", type=MODEL)
@click.option("--to", "to", required=True, metavar="FORMAT", help=f"{', '.join(FORMAT_NAMES)}.")
@click.option("-o", "--output", help="File, or a folder for it; for cp2k a folder.")
@click.option("--vacuum", type=float, default=10.0, help="Å around the particle in its box [10].")
@click.option("--run", type=click.Choice(["energy", "geo_opt", "md", "none"]), help="cp2k: what.")
@click.option("--method", type=click.Choice(["pbe", "xtb"]), help="cp2k: PBE or GFN1-xTB.")
@click.option("--cutoff", type=float, metavar="RY", help="cp2k: plane-wave cutoff [400].")
@click.option("--poisson", type=click.Choice(["wavelet", "mt"]), help="cp2k: Poisson solver.")
@click.option("--box", metavar='"A B C"', help="cp2k: edges in Å [smallest for the solver].")
@click.option("--fixed-core", type=float, metavar="Å", help="cp2k: fix atoms deeper than this.")
@click.option("--pdos", is_flag=True, default=None, help="cp2k: densities of states by domain.")
@click.option("--allow-charge", is_flag=True, default=None, help="cp2k: accept a charged model.")
@crystals_option
@as_json
@force
def export(
    model: Path,
    to: str,
    output: str | None,
    vacuum: float,
    crystals: str | None,
    as_json: bool,
    force: bool,
    **options: Any,
) -> None:
    """Write MODEL, or a crystal as CIF with its symmetry, for another program.

    \b
    hetbuild export cspbcl3-pbs/cspbcl3-pbs.xyz --to vesta
    hetbuild export cspbcl3-pbs/cspbcl3-pbs.xyz --to cp2k --run geo_opt
    hetbuild export PbS --to cif
    """
    from hetbuild.formats.files import write_all

    files = _exported(model, to, output, vacuum, crystals, options)
    write_all(files, force)
    emit({"files": [str(p) for p in files]}, "\n".join(str(p) for p in files), as_json)


def _exported(
    model: Path,
    to: str,
    output: str | None,
    vacuum: float,
    crystals: str | None,
    options: dict[str, Any],
) -> dict[Path, Callable[[TextIO], None]]:
    """Path and writer of each file that `export` makes."""
    from hetbuild.formats.catalogue import CP2K, cp2k_files, format_named
    from hetbuild.library import structures

    given = {k: v for k, v in options.items() if v is not None}
    if vacuum < 0:
        raise InputError(f"--vacuum {vacuum:g}: the room around the particle cannot be negative.")
    if to != CP2K:
        chosen = format_named(to)
        if given:
            named = ", ".join("--" + k.replace("_", "-") for k in given)
            raise InputError(f"{named} belongs to --to cp2k, not to --to {to}.")
    if str(model) in structures() and not model.exists():
        return {_file(output, f"{model}.cif"): _crystal_writer(str(model), to)}
    read = _read_model(model, crystals)
    if to == CP2K:
        from hetbuild.recipe.output import cp2k_options
        from hetbuild.recipe.schema import Cp2kSpec, parse_step

        if "box" in given:
            given["box"] = tuple(numbers(given["box"], 3, "--box"))
        folder = Path(output or f"{model.stem}-cp2k")
        settings = cp2k_options(parse_step(Cp2kSpec, given))
        return cp2k_files(read, folder, model.stem, *settings)
    path = _file(output, f"{model.stem}{chosen.ending}")
    return {path: lambda s: chosen.write(read, s, vacuum)}


def _file(output: str | None, name: str) -> Path:
    """The file asked for; inside it, where that is a folder."""
    if output is None:
        return Path(name)
    folder = output.endswith("/") or Path(output).is_dir()
    return Path(output) / name if folder else Path(output)


def _crystal_writer(name: str, to: str) -> Callable[[TextIO], None]:
    from hetbuild.crystal.crystal import read_crystal
    from hetbuild.formats.cif import write_crystal_cif
    from hetbuild.library import find_structure

    if to != "cif":
        raise InputError(f"{name} is a crystal, which goes to cif; a particle goes to {to}.")
    crystal = read_crystal(find_structure(name))
    return lambda stream: write_crystal_cif(crystal, stream)


@cli.command()
@as_json
def recipes(as_json: bool) -> None:
    """List the shipped recipes."""
    from hetbuild.library import recipes as shipped
    from hetbuild.recipe.schema import read_recipe

    titles = {name: read_recipe(path).title for name, path in shipped().items()}
    width = max(map(len, titles))
    text = "\n".join(f"{name:{width}s}  {title}" for name, title in titles.items())
    emit(titles, text, as_json)


@cli.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.option("--crystals", metavar="A,B", help="Crystals an unlabelled file is made of.")
@as_json
def inspect(model: Path, crystals: str | None, as_json: bool) -> None:
    """Measure MODEL: composition, charge, contacts, coordination, interface, symmetry.

    A file written by hetbuild needs nothing else; of any other, name the crystals it is made of.
    """
    from hetbuild.analyse.report import inspect as measure
    from hetbuild.report import report_lines

    read = _read_model(model, crystals)
    report = measure(read)
    emit(report.as_dict(), "\n".join(report_lines(read, report, [], False)), as_json)


@cli.command()
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
    from hetbuild.formats.xyz import read_positions, read_xyz
    from hetbuild.report import comparison_lines

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


@cli.command()
@click.argument("crystal")
@click.option("--form", "forms", multiple=True, metavar='"H K L:Å"', help="{hkl} at a distance.")
@click.option("--facet", "facets", multiple=True, metavar='"H K L:Å"', help="One facet (hkl).")
@click.option("--radius", type=float, help="Radius of a sphere, Å.")
@click.option("--site", help="Element or label of the site at the centre.")
@click.option("--offset", default="0 0 0", help='Centre from that site, "x y z", fractional.')
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="XYZ file.")
@force
def carve(
    crystal: str,
    forms: tuple[str, ...],
    facets: tuple[str, ...],
    radius: float | None,
    site: str | None,
    offset: str,
    output: Path,
    force: bool,
) -> None:
    """Carve a bare particle out of CRYSTAL, a shipped name or a CIF file."""
    from hetbuild.assemble.carve import Facet
    from hetbuild.assemble.carve import carve as cut_out
    from hetbuild.crystal.crystal import read_crystal
    from hetbuild.formats.files import write_all
    from hetbuild.formats.xyz import write_xyz
    from hetbuild.library import find_structure

    bulk = read_crystal(find_structure(crystal))
    shapes = [_facet(text, bulk, Facet, single=False) for text in forms]
    shapes += [_facet(text, bulk, Facet, single=True) for text in facets]
    centre = numbers(offset, 3, "--offset")
    model = cut_out(bulk, shapes, centre=centre, site=site, radius=radius)
    write_all({output: lambda stream: write_xyz(model, stream)}, force)
    click.echo(f"{model.formula}, formal charge {model.charge:+d} e", err=True)
    click.echo(str(output))


@cli.command(context_settings=INDICES)
@click.argument("crystal")
@click.argument("hkl", nargs=3, type=int)
@as_json
def planes(crystal: str, hkl: tuple[int, int, int], as_json: bool) -> None:
    """Print the stacking of the planes (H K L) of CRYSTAL, to choose a cut by."""
    from hetbuild.crystal.crystal import read_crystal
    from hetbuild.crystal.layers import stacking
    from hetbuild.library import find_structure

    found = stacking(read_crystal(find_structure(crystal)), hkl)
    emit(found.as_dict(), "\n".join(found.lines()), as_json)


@cli.command()
def schema() -> None:
    """Print the JSON Schema of recipes."""
    from hetbuild.recipe.schema import Recipe

    click.echo(json.dumps(Recipe.model_json_schema(), indent=2))


cli.add_command(match)


def main() -> NoReturn:
    """Entry point: errors become one clear text on stderr and the exit code of their kind."""
    try:
        code = cli.main(standalone_mode=False)
    except click.exceptions.Abort:
        code = 130
    except KeyboardInterrupt:
        code = 130
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except HetbuildError as error:
        click.echo(f"hetbuild: {error}", err=True)
        code = error.exit_code
    except BrokenPipeError:
        code = 1
    sys.exit(code if isinstance(code, int) else 0)


def _plan(recipe: Recipe) -> Iterator[str]:
    yield f"{recipe.name}: {recipe.title}"
    for name, spec in recipe.domains.items():
        yield f"carve {name} out of {spec.crystal}"
        if spec.cut is not None:
            sign = ">=" if spec.cut.keep == "above" else "<="
            yield f"cut {name}, keep planes {sign} {spec.cut.at:g} of {spec.cut.plane}"
    if recipe.join is not None:
        how = "searched" if recipe.join.registry.gap is None else "given"
        yield f"join, registry {how}"
    for move in recipe.balance.moves if recipe.balance else ():
        yield f"balance: may {move.action} {move.element} in {move.domain}"


def _read_model(path: Path, crystals: str | None) -> Model:
    from hetbuild.formats.xyz import read_xyz

    if crystals is None:
        return read_xyz(path)
    from hetbuild.analyse.labels import model_of
    from hetbuild.crystal.crystal import read_crystal
    from hetbuild.formats.xyz import read_positions
    from hetbuild.library import find_structure

    bulk = [read_crystal(find_structure(name.strip())) for name in crystals.split(",")]
    atoms, positions, cell = read_positions(path)
    return model_of(atoms, positions, bulk, cell)


def _facet(text: str, bulk: Any, facet: Any, *, single: bool) -> Any:
    indices, colon, distance = text.partition(":")
    if not colon:
        raise InputError(f"{text!r}: write a plane and its distance in Å, as '1 1 1:20'.")
    h, k, l = (int(x) for x in numbers(indices, 3, "facet"))  # noqa: E741 (Miller index)
    (away,) = numbers(distance, 1, "distance")
    return facet((h, k, l), away / bulk.spacing((h, k, l)), single)
