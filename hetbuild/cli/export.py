"""`hetbuild export`: a model for another program."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import click

from hetbuild.cli.completion import format_names
from hetbuild.cli.console import emit
from hetbuild.cli.indices import Rows, several
from hetbuild.cli.models import read_model
from hetbuild.cli.options import MODEL, NUMBER, Labels, OutputPath, as_json, force, label_options
from hetbuild.errors import InputError

if TYPE_CHECKING:
    from hetbuild.model import Model

FORMAT_NAMES = (
    "vesta", "cif", "xyz", "plain-xyz", "poscar", "lammps", "gromacs", "mol2", "pdb", "xsf", "cp2k"
)  # fmt: skip

VACUUM = 10.0
"""Å around a particle in the box of a format that has one."""


@click.command(cls=Rows)
@click.argument("model", type=MODEL)
@click.option(
    "--to",
    "to",
    required=True,
    metavar="FORMAT",
    shell_complete=format_names,
    help=f"{', '.join(FORMAT_NAMES)}.",
)
@click.option(
    "-o", "--output", type=OutputPath(), help="File, or a folder for it; for cp2k a folder."
)
@click.option("--vacuum", type=NUMBER, help="Å around the particle in its box [10]; cp2k: --box.")
@click.option("--run", type=click.Choice(["energy", "geo_opt", "md", "none"]), help="cp2k: what.")
@click.option("--method", type=click.Choice(["pbe", "xtb"]), help="cp2k: PBE or GFN1-xTB.")
@click.option("--cutoff", type=NUMBER, metavar="RY", help="cp2k: plane-wave cutoff [400].")
@click.option("--poisson", type=click.Choice(["wavelet", "mt"]), help="cp2k: Poisson solver.")
@click.option(
    "--box",
    type=several(3, "--box"),
    metavar="A B C",
    help="cp2k: edges in Å [smallest for the solver].",
)
@click.option("--fixed-core", type=NUMBER, metavar="Å", help="cp2k: fix atoms deeper than this.")
@click.option(
    "--pdos",
    type=click.Choice(["domains", "atoms"]),
    is_flag=False,
    flag_value="domains",
    help="cp2k: densities of states by domain (as a bare flag), or with weights by atom.",
)
@click.option("--nlumo", type=click.IntRange(0), help="cp2k: empty orbitals in them [20].")
@click.option(
    "--cubes", type=click.IntRange(0), metavar="N", help="cp2k: N frontier orbitals each."
)
@click.option("--molden", is_flag=True, default=None, help="cp2k: all orbitals, a large file.")
@click.option("--slurm", metavar="nodes=4,tasks=32,time=24h", help="cp2k: a job script too.")
@click.option("--multiplicity", type=click.IntRange(1), help="cp2k: 2S + 1 [high spin, parallel].")
@click.option("--allow-charge", is_flag=True, default=None, help="cp2k: accept a charged model.")
@label_options
@as_json
@force
def export(
    model: Path,
    to: str,
    output: str | None,
    vacuum: float | None,
    labels: Labels,
    as_json: bool,
    force: bool,
    **options: Any,
) -> None:
    """Write MODEL, or a crystal as CIF with its symmetry, for another program.

    \b
    hetbuild export cspbcl3-pbs/cspbcl3-pbs.xyz --to vesta
    hetbuild export cspbcl3-pbs/cspbcl3-pbs.xyz --to cp2k --run geo_opt
    hetbuild export cspbcl3-pbs/cspbcl3-pbs.xyz --to cp2k --pdos atoms --slurm nodes=4,tasks=32
    hetbuild export PbS --to cif
    """
    from hetbuild.formats.files import write_all

    files = _exported(model, to, output, vacuum, labels, options)
    write_all(files, force)
    emit({"files": [str(p) for p in files]}, "\n".join(str(p) for p in files), as_json)


def _exported(
    model: Path,
    to: str,
    output: str | None,
    vacuum: float | None,
    labels: Labels,
    options: dict[str, Any],
) -> dict[Path, Callable[[TextIO], None]]:
    """Path and writer of each file that `export` makes."""
    from hetbuild.formats.catalogue import CP2K, check_ending, format_named
    from hetbuild.library import structures
    from hetbuild.names import safe_name

    given = {k: v for k, v in options.items() if v is not None}
    if to != CP2K:
        chosen = format_named(to)
        if given:
            named = ", ".join("--" + k.replace("_", "-") for k in given)
            raise InputError(f"{named} belongs to --to cp2k, not to --to {to}.")
    elif vacuum is not None:
        raise InputError("CP2K's box goes by its Poisson solver: say its edges with --box A B C.")
    if str(model) in structures() and not model.exists():
        path = _file(output, f"{model}.cif")
        check_ending(path, "cif")
        return {path: _crystal_writer(str(model), to)}
    read = read_model(model, labels)
    name = safe_name(model.stem)
    if to == CP2K:
        return _deck(read, Path(output or f"{name}-cp2k"), name, given)
    path = _file(output, f"{name}{chosen.ending}")
    check_ending(path, to)
    return {path: lambda s: chosen.write(read, s, VACUUM if vacuum is None else vacuum)}


def _deck(
    model: Model, folder: Path, name: str, given: dict[str, Any]
) -> dict[Path, Callable[[TextIO], None]]:
    """Files of a CP2K deck and the model beside it; says what CP2K will write of the states."""
    from hetbuild.formats.catalogue import cp2k_files
    from hetbuild.formats.cp2k import outputs
    from hetbuild.formats.cp2k_options import Cp2kOptions
    from hetbuild.formats.xyz import write_xyz
    from hetbuild.recipe.read import parse_step

    options = parse_step(Cp2kOptions, given)
    files = cp2k_files(model, folder, name, options)
    for expected in outputs(model, options):
        click.echo(f"CP2K will write {expected}.", err=True)
    # What the states belong to is read back from here by `hetbuild dos`.
    return files | {folder / f"{name}-model.xyz": lambda s: write_xyz(model, s)}


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
