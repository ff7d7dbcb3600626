"""`hetbuild relax`: a model, or a crystal, to the minimum of a calculator's energy."""

from __future__ import annotations

import ast
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hetbuild.cli.console import document, emit, progress_bar
from hetbuild.cli.models import read_model
from hetbuild.cli.options import (
    MODEL,
    NUMBER,
    OUTPUT,
    Labels,
    as_json,
    force,
    label_options,
    quiet,
)
from hetbuild.errors import CheckError, ImpossibleError, InputError

if TYPE_CHECKING:
    from hetbuild.model import Model
    from hetbuild.relaxing.calculators import Chosen
    from hetbuild.relaxing.optimise import Frame, Settings
    from hetbuild.relaxing.session import Session


USUAL, FINE = 0.05, 0.01
"""Largest force left in a particle and in a crystal, eV/Å."""


@click.command()
@click.argument("model", type=MODEL)
@click.option(
    "--calculator",
    default="chgnet",
    metavar="NAME",
    help="chgnet (default), sevennet, gfn1, cp2k, or package.module:Class of any ASE calculator.",
)
@click.option(
    "-O",
    "--option",
    "options",
    multiple=True,
    metavar="KEY=VALUE",
    help="Keyword option of the calculator; repeatable.",
)
@click.option("--optimizer", type=click.Choice(["lbfgs", "fire"]), default="lbfgs")
@click.option("--fmax", type=NUMBER, help="Largest force left, eV/Å [0.05; crystals 0.01].")
@click.option("--steps", type=int, default=500, help="At most; earlier runs count [500].")
@click.option("--max-step", type=NUMBER, default=0.2, help="Å an atom moves in a step [0.2].")
@click.option("--fixed-core", type=NUMBER, metavar="Å", help="Hold atoms deeper than this.")
@click.option(
    "--only",
    type=(click.Choice(["interface"]), float),
    metavar="interface Å",
    help="Move only atoms this near to another domain.",
)
@click.option("--vacuum", type=NUMBER, metavar="Å", help="Around the particle in a periodic box.")
@click.option("--cell", is_flag=True, help="A crystal: relax its lattice too.")
@click.option("-o", "--output", type=OUTPUT, help="Folder; default: NAME-relaxed.")
@label_options
@as_json
@force
@quiet
def relax(model: Path, cell: bool, **given: Any) -> None:
    """Relax MODEL, or a crystal with --cell, and say what changed.

    \b
    hetbuild relax cspbcl3-pbs/cspbcl3-pbs.xyz
    hetbuild relax model.xyz --calculator mace.calculators:mace_mp -O model=small
    hetbuild relax PbS --cell

    The trajectory is written as it goes: stopped or killed, the same command goes on from it, and
    Ctrl-C keeps the frame of lowest energy. Exit code 3: the force wanted was not reached.
    """  # fmt: skip
    from hetbuild.library import structures
    from hetbuild.relaxing.optimise import Settings

    # What torch and the packages on it say to developers is nothing to users.
    for package in ("torch", "chgnet", "sevenn", "e3nn", "torch_geometric"):
        warnings.filterwarnings("ignore", module=rf"{package}(\.|$)")
    bulk = cell or (str(model) in structures() and not model.exists())
    fmax = given["fmax"] if given["fmax"] is not None else FINE if bulk else USUAL
    settings = Settings(given["optimizer"], fmax, given["steps"], given["max_step"])
    options = dict(_option(text) for text in given["options"])
    if bulk:
        _crystal(model, options, settings, cell, given)
    else:
        _model(model, options, settings, given)


def _option(text: str) -> tuple[str, Any]:
    """A keyword and its value: a number, True, None, a list, or else text."""
    key, sign, value = text.partition("=")
    if not sign or not key.isidentifier():
        raise InputError(f"--option {text!r}: write KEY=VALUE, as -O model=small.")
    try:
        return key, ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return key, value


def _crystal(
    name: Path, options: dict[str, Any], settings: Settings, cell: bool, given: dict[str, Any]
) -> None:
    """Relax a bulk crystal and write it as CIF."""
    from hetbuild.cli.relax_text import crystal_lines
    from hetbuild.crystal.crystal import read_crystal
    from hetbuild.formats.cif import write_crystal_cif
    from hetbuild.formats.files import refuse_existing, write_all
    from hetbuild.library import find_structure
    from hetbuild.relaxing.bulk import relax_crystal
    from hetbuild.relaxing.calculators import calculator

    for option in ("fixed_core", "only", "vacuum"):
        if given[option] is not None:
            raise InputError(f"--{option.replace('_', '-')} is for particles, {name} is a crystal.")
    if name.suffix not in ("", ".cif"):
        raise InputError(f"--cell relaxes a crystal (a shipped one, or a CIF file), not {name}.")
    crystal = read_crystal(find_structure(str(name)))
    folder = given["output"] or Path(f"{crystal.name}-relaxed")
    path = folder / f"{crystal.name}.cif"
    refuse_existing([path], given["force"])
    chosen = calculator(given["calculator"], options, numbers=crystal.numbers)
    _warn_of_unread(chosen)
    with progress_bar("relaxing") as progress:
        found = relax_crystal(crystal, chosen, settings, cell=cell, progress=progress)
    write_all({path: lambda s: write_crystal_cif(found.crystal, s)}, given["force"])
    record = {"files": [str(path)], "calculator": chosen.version, **found.as_dict()}
    lines = [str(path)] if given["quiet"] else [*crystal_lines(found, chosen), "", str(path)]
    emit(record, "\n".join(lines), given["as_json"])
    if not found.converged:
        raise CheckError(_unreached(found.fmax, settings, found.steps))


def _model(path: Path, options: dict[str, Any], settings: Settings, given: dict[str, Any]) -> None:
    """Relax a model, going on where an earlier run stopped."""
    from hetbuild.relaxing.calculators import calculator
    from hetbuild.relaxing.relaxation import held_atoms
    from hetbuild.relaxing.session import Session

    model = _read(path, given["labels"])
    only = None if given["only"] is None else given["only"][1]
    held = held_atoms(model, given["fixed_core"], only)
    folder = given["output"] or Path(f"{path.stem}-relaxed")
    chosen = calculator(
        given["calculator"], options, model=model, numbers=model.numbers, vacuum=given["vacuum"]
    )
    _warn_of_unread(chosen)
    name = f"{path.stem}-relaxed"
    session = Session(model, chosen, settings, held, folder / f"{name}-trajectory.xyz")
    results = _result_paths(folder, name)
    try:
        earlier = session.begin(results, given["force"])
        if earlier:
            click.echo(f"Going on from step {earlier} of {session.path}.", err=True)
        interrupted = _run(session)
        _finish(session, folder, name, interrupted, given)
    finally:
        session.close()


def _read(path: Path, labels: Labels) -> Model:
    """The model; a CIF file without a record may be meant as a crystal."""
    try:
        return read_model(path, labels)
    except InputError as error:
        if path.suffix != ".cif" or labels.given or not path.is_file():
            raise
        raise InputError(f"{error} Is it a bulk crystal? Add --cell.") from None


def _warn_of_unread(chosen: Chosen) -> None:
    for option in chosen.unread:
        click.echo(
            f"warning: {chosen.name} takes --option {option} and seems never to use it: its code "
            "has no such name.",
            err=True,
        )


def _run(session: Session) -> bool:
    """Take all frames; whether Ctrl-C ended that, with a frame to keep."""
    try:
        for frame in session.frames():
            _show(frame, len(session.model))
    except ImpossibleError as error:
        raise ImpossibleError(
            f"{error} The frames before it are in {session.path}; the same command goes on."
        ) from None
    except KeyboardInterrupt:
        if session.first is None:
            raise
        return True
    finally:
        if sys.stderr.isatty():
            click.echo(err=True)
    return False


def _result_paths(folder: Path, name: str) -> list[Path]:
    from hetbuild.recipe.output import paths

    return [*paths(folder, name), folder / f"{name}-before-after.json"]


def _show(frame: Frame, atoms: int) -> None:
    if sys.stderr.isatty():
        click.echo(
            f"\rstep {frame.step:4d}  {frame.energy / atoms:12.6f} eV/atom  fmax "
            f"{frame.fmax:8.4f} eV/Å ",
            nl=False,
            err=True,
        )


def _finish(
    session: Session, folder: Path, name: str, interrupted: bool, given: dict[str, Any]
) -> None:
    """Write what came of it, report it, and end with the right exit code."""
    from hetbuild.analyse.report import inspect
    from hetbuild.cli.relax_text import before_after_lines
    from hetbuild.formats.files import write_all
    from hetbuild.recipe.output import model_files
    from hetbuild.relaxing.report import before_after

    relaxed = session.relaxed(best=interrupted)
    report = inspect(relaxed)
    found = before_after(session.model, relaxed, held=bool(len(session.held)))
    how = relaxed.provenance["relaxations"][-1]
    record = {"relaxation": how, "before_after": found.as_dict()}

    def write_change(stream: Any) -> None:
        stream.write(document(record) + "\n")

    files = model_files(folder, name, relaxed, report)
    files[folder / f"{name}-before-after.json"] = write_change
    write_all(files, force=True)  # what is in the way is of an earlier part of this run
    written = [str(p) for p in (*files, session.path)]
    lines = [] if given["quiet"] else [*before_after_lines(how, found, len(relaxed)), ""]
    emit({"files": written, **record, "report": report.as_dict()}, "\n".join([*lines, *written]),
         given["as_json"])  # fmt: skip
    if interrupted:
        click.echo(
            f"Interrupted: kept the frame of lowest energy, step {how['steps']}. The same command "
            "goes on.",
            err=True,
        )
        raise click.exceptions.Abort
    if not how["converged"]:
        raise CheckError(_unreached(how["fmax"], session.settings, how["steps"]))


def _unreached(fmax: float, settings: Settings, steps: int) -> str:
    return (
        f"Not relaxed after {steps} steps: a force of {fmax:.3f} eV/Å is left, wanted below "
        f"{settings.fmax:g}. The last frame is written; the same command with more --steps goes on."
    )
