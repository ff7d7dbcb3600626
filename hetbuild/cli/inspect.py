"""`hetbuild inspect`: what a model is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hetbuild.cli.console import emit
from hetbuild.cli.models import read_model
from hetbuild.cli.options import Labels, as_json, charge_option, label_options

if TYPE_CHECKING:
    from hetbuild.formats.cp2k_output import Cp2kRun


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@label_options
@charge_option
@as_json
def inspect(model: Path, labels: Labels, charges: tuple[str, ...], as_json: bool) -> None:
    """Measure MODEL: composition, charge, contacts, coordination, interface, symmetry.

    A file written by hetbuild needs nothing else; of any other, name the crystals it is made of, or
    with --like the model it came from. Of RUN-pos-1.xyz beside RUN.out, as CP2K leaves them, the
    run's energies and convergence are said as well.
    """
    from hetbuild.analyse.report import inspect as measure
    from hetbuild.cli.report_text import report_lines
    from hetbuild.formats.cp2k_output import output_beside, read_run

    read = read_model(model, labels, charges)
    report = measure(read)
    record, lines = report.as_dict(), report_lines(read, report, [], False)
    printed = output_beside(model)
    if printed is not None:
        run = read_run(printed)
        record, lines = {**record, "run": run.as_dict()}, [*run_lines(run, len(read)), *lines]
    emit(record, "\n".join(lines), as_json)


def run_lines(run: Cp2kRun, atoms: int) -> Iterator[str]:
    """What a CP2K run came to."""
    end = "" if run.finished else ", did not come to its end"
    yield f"{'run':14s} CP2K {run.version}, {len(run.energies)} steps{end}"
    if run.energies:
        first, last = run.energies[0], run.energies[-1]
        yield f"{'energy':14s} {last:.4f} eV, {last / atoms:.4f} eV/atom" + (
            f", {last - first:+.4f} eV since the first step" if len(run.energies) > 1 else ""
        )
    missed = run.scf.count(False)
    text = "of every step converged" if not missed else f"of {missed} steps NOT converged"
    yield f"{'density':14s} {text if run.scf else 'of no step converged yet'}"
    if run.geometry:
        yield f"{'geometry':14s} {run.geometry}"
