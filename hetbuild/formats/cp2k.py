"""CP2K input decks: an .inp file, its coordinates and a script that runs and resumes it.

The level is the one heterostructures of this kind are published at: Quickstep (doi
10.1063/5.0007045), PBE, DZVP-MOLOPT-SR-GTH basis sets (doi 10.1063/1.2770708), GTH potentials, an
isolated particle, orbital transformation. Options are few; what else a calculation needs is edited
in the file.

What fails silently in CP2K cannot be asked for: the particle is centred, a wavelet box is a cube
with room on every side, a Martyna-Tuckerman box is twice the particle, basis set and potential of
each element have the same valence, and positions follow the element in the coordinate file.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from hetbuild.arrays import IntArray
from hetbuild.elements import number, symbol
from hetbuild.errors import ImpossibleError, InputError
from hetbuild.formats import cp2k_xtb, slurm
from hetbuild.formats.cp2k_cell import cell
from hetbuild.formats.cp2k_electrons import (
    VALENCE,
    Tree,
    assumed,
    electrons,
    first_guess,
    multiplicity,
)
from hetbuild.formats.cp2k_options import Cp2kOptions
from hetbuild.formats.cp2k_states import Output, StateOptions, ranges, sections
from hetbuild.formats.cp2k_states import outputs as states_written
from hetbuild.formats.spin import open_shells
from hetbuild.formats.xyz import write_plain_xyz
from hetbuild.model import Model
from hetbuild.names import check_name

BASIS, POTENTIAL = "DZVP-MOLOPT-SR-GTH-q{}", "GTH-PBE-q{}"


DENSE = 200
"""Atoms up to which the exact preconditioner is the faster one."""

MANY = 1000
"""Atoms above which the Hessian of BFGS is too large."""


def deck(
    model: Model, name: str, options: Cp2kOptions | None = None, fixed: IntArray | None = None
) -> dict[str, str]:
    """Text by file name: NAME.inp, NAME-cp2k.xyz, run.sh; with `slurm` job.sh.

    fixed: indices of atoms that a geometry optimisation leaves where they are.

    Raises
    ------
    InputError
        An element without a basis set, a box that is too small or has the wrong shape, a name that
        is no name.
    ImpossibleError
        The model is charged and that is not allowed.
    """
    from io import StringIO

    chosen = options or Cp2kOptions()
    check_name(name, "deck")
    _check(model, chosen)
    coordinates = StringIO()
    write_plain_xyz(model, coordinates)
    head = [
        f"# {model.formula}, formal charge {model.charge:+d} e; written by hetbuild.",
        *assumed(model, chosen),
        f"# Run with: ./run.sh [mpirun -np 16 cp2k.psmp]; it resumes from {name}-1.restart.",
    ]
    tree = _input(model, name, chosen, np.empty(0, np.int64) if fixed is None else fixed)
    return {
        f"{name}.inp": "\n".join([*head, *_lines(tree)]) + "\n",
        f"{name}-cp2k.xyz": coordinates.getvalue(),
        "run.sh": SCRIPT.replace("NAME", name),
        **({slurm.SCRIPT: slurm.script(name, slurm.parse(chosen.slurm))} if chosen.slurm else {}),
    }


def force_eval(model: Model, name: str, options: Cp2kOptions) -> str:
    """The FORCE_EVAL section of a deck, without cell and coordinates: for a driver that has them.

    Raises
    ------
    InputError, ImpossibleError
        As `deck`.
    """
    _check(model, options)
    kinds = {
        key: section
        for key, section in _subsystem(model, name, options).items()
        if key.startswith("KIND")
    }
    tree = {"FORCE_EVAL": {"METHOD": "QS", "DFT": _dft(model, name, options), "SUBSYS": kinds}}
    return "\n".join(_lines(tree))


def _check(model: Model, options: Cp2kOptions) -> None:
    missing = sorted({symbol(int(z)) for z in model.numbers} - set(VALENCE))
    if missing:
        raise InputError(
            f"No basis set for {', '.join(missing)} among those this deck knows: "
            f"{', '.join(sorted(VALENCE, key=number))}. Write the deck without these elements, or "
            "add their &KIND by hand."
        )
    if model.charge and not options.allow_charge:
        raise ImpossibleError(
            f"The model has formal charge {model.charge:+d} e, and a deck is for a neutral one. "
            "Balance it, or accept the ion with --allow-charge."
        )


def _input(model: Model, name: str, options: Cp2kOptions, fixed: IntArray) -> Tree:
    run = {"energy": "ENERGY", "geo_opt": "GEO_OPT", "md": "MD", "none": "NONE"}[options.run]
    return {
        "GLOBAL": {"PROJECT": name, "RUN_TYPE": run, "PRINT_LEVEL": "LOW"},
        "FORCE_EVAL": {
            "METHOD": "QS",
            "DFT": _dft(model, name, options),
            "SUBSYS": _subsystem(model, name, options),
        },
        **({"MOTION": _motion(model, options, fixed)} if options.run in ("geo_opt", "md") else {}),
    }


def _dft(model: Model, name: str, options: Cp2kOptions) -> Tree:
    spin = multiplicity(model, options)
    common = {
        "CHARGE": model.charge,
        "MULTIPLICITY": spin,
        **({"UKS": "T"} if spin > 1 or open_shells(model) else {}),
        "WFN_RESTART_FILE_NAME": f"{name}-RESTART.wfn",
    }
    poisson = {"PERIODIC": "NONE", "POISSON_SOLVER": options.poisson.upper()}
    if model.cell is not None:
        # Slabs too: the vacuum parts their images, and one solver serves every cell.
        poisson = {"PERIODIC": "XYZ", "POISSON_SOLVER": "PERIODIC"}
    grid = {"CUTOFF": f"{options.cutoff:g}", "REL_CUTOFF": 50}
    if options.method == "xtb":
        return common | {
            "QS": cp2k_xtb.quickstep(periodic=model.cell is not None),
            # xTB needs no grid; what CP2K takes then draws an orbital with a point every 2.4 Å.
            **({"MGRID": grid} if options.cubes else {}),
            "POISSON": poisson,
            "SCF": cp2k_xtb.self_consistency(1e-5, options.nlumo, spin),
            **_print(model, options),
        }
    return {
        "BASIS_SET_FILE_NAME": "BASIS_MOLOPT",
        "POTENTIAL_FILE_NAME": "GTH_POTENTIALS",
        **common,
        "QS": {"METHOD": "GPW", "EPS_DEFAULT": "1.0E-12"},
        "MGRID": grid,
        "POISSON": poisson,
        "SCF": _scf(model, 1e-6),
        "XC": {"XC_FUNCTIONAL PBE": {}},
        **_print(model, options),
    }


def _states(options: Cp2kOptions) -> StateOptions:
    return StateOptions(options.pdos, options.nlumo, options.cubes, options.molden)


def _print(model: Model, options: Cp2kOptions) -> Tree:
    found = sections(model, _states(options))
    return {"PRINT": found} if found else {}


def outputs(model: Model, options: Cp2kOptions) -> list[Output]:
    """What CP2K will write about the states, and how much."""
    return states_written(
        model, _states(options), electrons(model), cell(model, options), options.cutoff
    )


def _scf(model: Model, precision: float) -> Tree:
    small = len(model) <= DENSE
    return {
        # Falls back to atomic densities where there is no wave function yet.
        "SCF_GUESS": "RESTART",
        "EPS_SCF": f"{precision:.1E}",
        "MAX_SCF": 30,
        "OT": {
            "MINIMIZER": "DIIS",
            "PRECONDITIONER": "FULL_ALL" if small else "FULL_SINGLE_INVERSE",
        },
        "OUTER_SCF": {"EPS_SCF": f"{precision:.1E}", "MAX_SCF": 20},
    }


def _subsystem(model: Model, name: str, options: Cp2kOptions) -> Tree:
    rows = (" ".join(f"{x:.8f}" for x in v) for v in cell(model, options))
    vectors = dict(zip("ABC", rows, strict=True))
    elements = sorted({symbol(int(z)) for z in model.numbers}, key=number)
    kinds = {
        f"KIND {e}": {
            "BASIS_SET": BASIS.format(VALENCE[e]),
            "POTENTIAL": POTENTIAL.format(VALENCE[e]),
            **first_guess(model, options, e),
        }
        for e in elements
    }
    return {
        "CELL": {**vectors, "PERIODIC": "NONE" if model.cell is None else "XYZ"},
        "TOPOLOGY": {
            "COORD_FILE_NAME": f"{name}-cp2k.xyz",
            "COORD_FILE_FORMAT": "XYZ",
            **({"CENTER_COORDINATES": {}} if model.cell is None else {}),
        },
        **(kinds if options.method == "pbe" else {}),
    }


def _motion(model: Model, options: Cp2kOptions, fixed: IntArray) -> Tree:
    held = {"CONSTRAINT": {"FIXED_ATOMS": {"LIST": ranges(fixed + 1)}}} if len(fixed) else {}
    if options.run == "md":
        # Protons of molecular cations need a shorter step than the heavy ions.
        step = 0.5 if (model.numbers == 1).any() else 2.0
        return held | {
            "MD": {
                "ENSEMBLE": "NVT",
                "TEMPERATURE": 300,
                "TIMESTEP": step,
                "STEPS": 5000,
                "THERMOSTAT": {"TYPE": "CSVR", "CSVR": {"TIMECON": 100}},
            }
        }
    return held | {
        "GEO_OPT": {"OPTIMIZER": "LBFGS" if len(model) > MANY else "BFGS", "MAX_ITER": 500}
    }


def _lines(tree: Tree, indent: int = 0) -> Iterator[str]:
    """A tree of sections as CP2K reads it: mappings are sections, lists repeat one."""
    space = " " * indent
    for key, value in tree.items():
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, Mapping):
                yield f"{space}&{key}"
                yield from _lines(item, indent + 2)
                yield f"{space}&END {key.split()[0]}"
            else:
                yield f"{space}{key} {item}".replace("#  ", "# ")


SCRIPT = """\
#!/usr/bin/env bash
# Runs NAME, or resumes it from its last step. Name your own launcher as arguments:
#   ./run.sh mpirun -np 16 cp2k.psmp
set -euo pipefail
cd "$(dirname "$0")"
if [ "$(id -u)" = 0 ]; then  # Open MPI refuses to start as root without these
    export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
fi
input='NAME.inp'
if [ -e 'NAME-1.restart' ]; then input='NAME-1.restart'; fi
exec "${@:-cp2k.psmp}" -i "$input" -o 'NAME.out'
"""
