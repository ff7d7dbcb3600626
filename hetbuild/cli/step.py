"""What `exchange` and `etch` share: their parent, and the files of the daughter."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from hetbuild.cli.models import DEFAULT_RECIPE, read_model

if TYPE_CHECKING:
    from hetbuild.cli.options import Daughter
    from hetbuild.model import Model
import click

from hetbuild.cli.console import emit, progress_bar


def run_and_write(
    source: Path | None,
    parent: Model,
    spec: Any,
    daughter: Daughter,
) -> None:
    """Run one step on a model and write what comes of it."""
    from hetbuild.analyse.report import inspect
    from hetbuild.cli.report_text import report_lines
    from hetbuild.formats.files import write_all
    from hetbuild.recipe.output import daughter_name, model_files
    from hetbuild.recipe.steps import run_step, stage_name

    stem = source.stem if source is not None else DEFAULT_RECIPE
    with progress_bar("working") as progress:
        model = run_step(parent, spec, progress=progress)
    name = daughter_name(stem, parent, model)
    report = inspect(model)
    files = model_files(daughter.output or Path(name), name, model, report)
    write_all(files, daughter.force)
    written = [str(p) for p in files]
    history = [("parent", parent), (stage_name(spec), model)]
    record = {
        "files": written,
        "report": report.as_dict(),
        "steps": model.provenance["steps"],
        "parent": {"formula": parent.formula, "charge": parent.charge},
    }
    lines = written
    if not daughter.quiet:
        lines = [*report_lines(model, report, history, daughter.verbose), "", *written]
    emit(record, "\n".join(lines), daughter.as_json)


def default_model() -> Model:
    """The model of the default recipe where `build` writes it, else built now."""
    from hetbuild.recipe.run import build as make

    path = Path(DEFAULT_RECIPE) / f"{DEFAULT_RECIPE}.xyz"
    if path.is_file():
        return read_model(path)
    click.echo(f"No {path} here: building {DEFAULT_RECIPE} first.", err=True)
    with progress_bar("balancing") as progress:
        return make(DEFAULT_RECIPE, progress=progress)
