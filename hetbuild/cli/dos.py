"""`hetbuild dos`: where the band edges of a calculated model live."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import click

from hetbuild.cli.console import document, emit
from hetbuild.cli.indices import Rows, several
from hetbuild.cli.models import read_model
from hetbuild.cli.options import MODEL, NUMBER, OUTPUT, as_json, force, quiet
from hetbuild.cli.tables import table
from hetbuild.errors import InputError

if TYPE_CHECKING:
    from hetbuild.electronic.structure import Density, Frontier, Structure, Zero
    from hetbuild.formats.cp2k_output import Cp2kRun
    from hetbuild.model import Model


@click.command(cls=Rows)
@click.argument("run", type=MODEL, nargs=-1, required=True)
@click.option("--model", type=MODEL, help="The model; default: the one beside the deck.")
@click.option("--width", type=NUMBER, default=0.1, help="Gaussian of a state, eV [0.1].")
@click.option(
    "--window",
    type=several(2, "--window"),
    metavar="LOW HIGH",
    help="Energies of the densities, eV.",
)
@click.option("--zero", type=click.Choice(["homo", "vacuum"]), default="homo")
@click.option("--frontier", type=click.IntRange(1), default=4, help="Groups listed each side [4].")
@click.option("-o", "--output", type=OUTPUT, help="Folder; default: NAME-dos.")
@as_json
@force
@quiet
def dos(
    run: tuple[Path, ...],
    model: Path | None,
    width: float,
    window: tuple[float, float] | None,
    zero: Zero,
    frontier: int,
    output: Path | None,
    as_json: bool,
    force: bool,
    quiet: bool,
) -> None:
    """Densities of states by domain, region and element of RUN, a folder where CP2K ran a deck.

    \b
    hetbuild export model.xyz --to cp2k --pdos atoms
    (cd model-cp2k && ./run.sh)
    hetbuild dos model-cp2k

    With --pdos atoms, the table of frontier orbitals has their shares by region and the inverse
    participation ratio. Energies are in eV from the highest occupied orbital, or with --zero vacuum
    as calculated.
    """
    from hetbuild.electronic.pdos import pdos_files, read_states
    from hetbuild.electronic.structure import density, electronic_structure
    from hetbuild.formats.files import refuse_existing, write_all

    ran_in, _ = pdos_files(run)
    read = read_model(model, None) if model is not None else _beside(ran_in)
    states = read_states(run, read)
    found = electronic_structure(states, read, zero=zero, frontier=frontier)
    curves = density(found, width=width, window=window)
    printed = _printed(ran_in, states.name)
    for line in _unfinished(printed):
        click.echo(f"warning: {line}", err=True)
    folder = output or Path(f"{states.name}-dos")
    refuse_existing([folder / f"{states.name}{end}" for end in ENDS], force)
    files = _files(folder, found, curves)
    write_all(files, force)
    _tell(found, [str(p) for p in files], printed, quiet, as_json)


ENDS = ("-dos.csv", "-states.csv", "-dos.json", "-dos.png")


def _beside(folder: Path) -> Model:
    """The model that the deck was written from, in the folder of the run."""
    decks = sorted(folder.glob("*.inp"))
    names = [f"{p.stem}{end}" for p in decks for end in ("-model.xyz", ".xyz")]
    for name in names:
        if (folder / name).is_file():
            return read_model(folder / name, None)
    raise InputError(
        f"Which model is {folder} of? None lies beside it"
        + (f" ({' or '.join(names)})" if names else "")
        + ": name it with --model MODEL.xyz."
    )


def _printed(folder: Path, name: str) -> Cp2kRun | None:
    """What CP2K printed in the run; None where it lies elsewhere."""
    from hetbuild.formats.cp2k_output import read_run

    path = folder / f"{name}.out"
    return read_run(path) if path.is_file() else None


def _unfinished(run: Cp2kRun | None) -> Iterator[str]:
    """What keeps the states from being those of a converged calculation."""
    if run is None:
        return
    if run.scf and not run.scf[-1]:
        yield f"{run.path}: the density of the last step is not converged."
    if run.geometry == "not converged":
        yield f"{run.path}: the geometry is not converged; these are states on the way."
    elif not run.finished:
        yield f"{run.path}: the run did not come to its end."


def _tell(
    found: Structure, written: list[str], run: Cp2kRun | None, quiet: bool, as_json: bool
) -> None:
    """The states in words, or paths only; what the run printed is in the JSON document."""
    record = {"files": written, **found.as_dict()}
    if run is not None:
        record["run"] = run.as_dict()
    text = written if quiet else [*_lines(found), "", *written]
    emit(record, "\n".join(text), as_json)


def _files(folder: Path, found: Structure, curves: Density) -> dict[Path, Callable[[TextIO], None]]:
    from hetbuild.electronic.plot import plot
    from hetbuild.electronic.tables import write_density, write_states
    from hetbuild.formats.figure import write_figure

    picture = io.BytesIO()
    write_figure(plot(found, curves), picture, "png")

    def record(stream: TextIO) -> None:
        stream.write(document(found.as_dict()) + "\n")

    def picture_file(stream: TextIO) -> None:
        stream.buffer.write(picture.getvalue())

    writers: list[Callable[[TextIO], None]] = [
        lambda stream: write_density(curves, stream),
        lambda stream: write_states(found, stream),
        record,
        picture_file,
    ]
    return {folder / f"{found.name}{end}": w for end, w in zip(ENDS, writers, strict=True)}


def _lines(found: Structure) -> Iterator[str]:
    from hetbuild.electronic.structure import ZEROS

    error = found.shares.error
    yield f"{'orbitals':14s} {len(found.energies)}, weights sum to 1 within {error:.0e}"
    yield (
        f"{'zero':14s} {ZEROS[found.zero]}; the highest occupied one is at {found.homo:.3f} eV of "
        "the calculation"
    )
    yield f"{'gap':14s} " + ("no empty orbitals" if found.gap is None else f"{found.gap:.3f} eV")
    for edge in found.edges:
        yield (
            f"{'edges':14s} {edge.domain}: valence {_energy(edge.valence)}, conduction "
            f"{_energy(edge.conduction)}, gap {_energy(edge.gap)}"
        )
    if found.alignment:
        yield f"{'alignment':14s} {found.alignment}"
    yield ""
    yield from _table(found.frontier)


def _energy(value: float | None) -> str:
    return "none calculated" if value is None else f"{value:+.3f} eV"


def _table(frontier: tuple[Frontier, ...]) -> Iterator[str]:
    """Frontier orbitals, highest first, with their shares in per cent."""
    names = list(frontier[0].domains)
    rows, below = [], []
    for f in frontier:
        label = f.label + (f" x{f.orbitals}" if f.orbitals > 1 else "")
        shares = []
        for name in names:
            inside = ", ".join(f"{100 * x:.0f}" for x in _regions(f, name).values())
            shares.append(f"{100 * f.domains[name]:.1f} %" + (f" ({inside})" if inside else ""))
        rows.append((label, f"{f.energy:+.3f}", "-" if f.ipr is None else f"{f.ipr:.4f}", *shares))
        most = sorted(f.elements.items(), key=lambda e: -e[1])[:3]
        below.append(", ".join(f"{e} {100 * share:.0f} %" for e, share in most))
    for name in names:
        if regions := ", ".join(_regions(frontier[0], name)):
            yield f"shares of {name}: in all ({regions})"
    yield from table(
        rows, "<>>" + ">" * len(names), head=("orbitals", "eV", "IPR", *names), below=below
    )


def _regions(f: Frontier, domain: str) -> dict[str, float]:
    """Shares in the regions of a domain."""
    return {
        name.removeprefix(f"{domain} "): share
        for name, share in f.regions.items()
        if name.startswith(f"{domain} ")
    }
