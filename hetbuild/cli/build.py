"""`hetbuild build`: a recipe becomes files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hetbuild.cli.models import DEFAULT_RECIPE, guesses

if TYPE_CHECKING:
    from hetbuild.model import Model
    from hetbuild.recipe.schema import Recipe
import click

from hetbuild.cli.completion import recipe_names
from hetbuild.cli.console import emit, progress_bar
from hetbuild.cli.options import OUTPUT, as_json, charge_option, force, quiet
from hetbuild.errors import CheckError


@click.command()
@click.argument("recipe", default=DEFAULT_RECIPE, shell_complete=recipe_names)
@click.option("-o", "--output", type=OUTPUT, help="Folder; default: the name.")
@click.option(
    "--set", "settings", multiple=True, metavar="KEY=VALUE", help="Override a recipe key."
)
@charge_option
@click.option("--size", metavar="SIZE", help="As 8nm, of the first domain; or sulfide=8nm.")
@click.option(
    "--dry-run", is_flag=True, help="Validate, read the crystals and print the plan, build nothing."
)
@click.option("--stages", "each_stage", is_flag=True, help="Write each stage as well.")
@as_json
@force
@quiet
@click.option("--trust", is_flag=True, help="Let RECIPE name CIF files outside its folder.")
@click.option("-v", "--verbose", is_flag=True, help="List every ion of the ledger.")
def build(
    recipe: str,
    output: Path | None,
    settings: tuple[str, ...],
    charges: tuple[str, ...],
    size: str | None,
    dry_run: bool,
    each_stage: bool,
    as_json: bool,
    force: bool,
    quiet: bool,
    trust: bool,
    verbose: bool,
) -> None:
    """Build the model of RECIPE, a shipped name or a TOML file (default: cspbcl3-pbs)."""
    from hetbuild.crystal.charges import parse_charges
    from hetbuild.recipe.check import check_ions
    from hetbuild.recipe.read import read_recipe

    read = read_recipe(recipe, settings, trust=trust).with_charges(parse_charges(charges))
    for line in _freed(read, settings, size):
        click.echo(line, err=True)
        read = read.without_formulas()
    read = read if size is None else read.with_size(size)
    if dry_run:
        check_ions(read)
        emit(read.model_dump(mode="json"), "\n".join(_plan(read)), as_json)
        return
    _build(read, output or Path(read.name), each_stage, as_json, force, quiet, verbose)


def _build(
    recipe: Recipe,
    folder: Path,
    each_stage: bool,
    as_json: bool,
    force: bool,
    quiet: bool,
    verbose: bool,
) -> None:
    from hetbuild.analyse.report import inspect
    from hetbuild.cli.report_text import report_lines
    from hetbuild.formats.files import reserve
    from hetbuild.recipe.output import model_files, paths, stage_files
    from hetbuild.recipe.run import stages
    from hetbuild.recipe.verdict import verdict

    with reserve(paths(folder, recipe.name, recipe.output), force) as write:
        with progress_bar("balancing") as progress:
            history = list(stages(recipe, progress=progress))
        model = history[-1][1]
        report = inspect(model)
        checks = verdict(model, report, recipe)
        files = model_files(
            folder, recipe.name, model, report, vacuum=recipe.vacuum, spec=recipe.output
        )
        files |= stage_files(folder, history) if each_stage else {}
        write(files)
    for line in (*guesses(*(d.crystal for d in model.domains)), *_charged(model, recipe)):
        click.echo(line, err=True)
    written = [str(p) for p in files]
    record: dict[str, Any] = {"files": written, "report": report.as_dict(), "failed": checks}
    record["stages"] = [{"stage": s, "formula": m.formula, "charge": m.charge} for s, m in history]
    table = report_lines(model, report, history, verbose)
    lines = written if quiet else [*table, "", *written]
    emit(record, "\n".join(lines), as_json)
    if checks:
        raise CheckError("Built, but: " + "; ".join(checks))


def _freed(recipe: Recipe, settings: tuple[str, ...], size: str | None) -> Iterator[str]:
    """What becomes of the recipe's formulas where another crystal or size is asked for."""
    keys = [text.partition("=")[0].strip().split(".") for text in settings]
    other = size is not None or any(k[0] == "domains" and k[2:] == ["crystal"] for k in keys)
    stated = any(k[0] == "composition" or k[:2] == ["balance", "target"] for k in keys)
    if other and recipe.has_formulas and not stated:
        yield (
            f"hetbuild: the formulas of {recipe.name} hold for its own crystals and size; formal "
            "charge 0 is asked for instead."
        )


def _charged(model: Model, recipe: Recipe) -> Iterator[str]:
    """A warning where nothing says what becomes of the charge."""
    accepted = any(step.allow_charge for step in recipe.steps)
    if model.charge and recipe.balance is None and not accepted:
        yield (
            f"hetbuild: warning: the model has formal charge {model.charge:+d} e. Add [balance] to "
            "the recipe, with moves that may restore neutrality, as "
            'moves = [{ action = "remove", ... }].'
        )


def _plan(recipe: Recipe) -> Iterator[str]:
    yield f"{recipe.name}: {recipe.title}"
    for name, spec in recipe.domains.items():
        yield f"carve {name} out of {spec.crystal}"
        for cut in spec.cuts:
            sign = ">=" if cut.keep == "above" else "<="
            yield f"cut {name}, keep planes {sign} {cut.at:g} of {cut.plane}"
    for joint in filter(None, (recipe.join, *recipe.joins)):
        how = "searched" if joint.registry.gap is None else "given"
        between = " and ".join(getattr(joint, "domains", ()))
        yield f"join{' ' * bool(between)}{between}, registry {how}"
    for move in recipe.balance.moves if recipe.balance else ():
        yield f"balance: may {move.action} {move.element} in {move.domain}"
