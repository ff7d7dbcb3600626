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
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from hetbuild.arrays import FloatArray, IntArray
from hetbuild.elements import number, symbol
from hetbuild.errors import ImpossibleError, InputError
from hetbuild.formats import cp2k_xtb, slurm
from hetbuild.formats.cp2k_states import Output, Pdos, StateOptions, ranges, sections
from hetbuild.formats.cp2k_states import outputs as states_written
from hetbuild.formats.spin import FIRST_OF_SERIES, GROUND, open_shells, parallel_multiplicity
from hetbuild.formats.xyz import write_plain_xyz
from hetbuild.model import Model
from hetbuild.names import check_name

Run = Literal["energy", "geo_opt", "md", "none"]
Method = Literal["pbe", "xtb"]
Poisson = Literal["wavelet", "mt"]
Tree = Mapping[str, Any]

VALENCE: Mapping[str, int] = (
    dict.fromkeys(["H"], 1)
    | dict.fromkeys(["Li", "Al"], 3)
    | dict.fromkeys(["C", "Ge", "Sn", "Pb"], 4)
    | dict.fromkeys(["N", "P", "As", "Sb", "Bi"], 5)
    | dict.fromkeys(["O", "S", "Se", "Te"], 6)
    | dict.fromkeys(["F", "Cl", "Br", "I"], 7)
    | dict.fromkeys(["Na", "K", "Rb", "Cs"], 9)
    | dict.fromkeys(["Mg", "Ca", "Sr", "Ba"], 10)
    | dict.fromkeys(["Cu", "Ag"], 11)
    | dict.fromkeys(["Zn", "Cd", "Hg"], 12)
    | dict.fromkeys(["Ga", "In", "Tl"], 13)
    | {"Mn": 15}
)
"""Valence electrons of the DZVP-MOLOPT-SR-GTH basis set; the potential must have as many."""

BASIS, POTENTIAL = "DZVP-MOLOPT-SR-GTH-q{}", "GTH-PBE-q{}"

MARGIN = 6.0
"""Å from the outermost atom to the wall of a wavelet box, where the density is below 1e-6."""

LEAST_MARGIN = 5.0
"""Å: with less CP2K warns of density on the wall."""

TAIL = 2.0
"""Å that the density reaches beyond the outermost atom, for the twofold box of Martyna-Tuckerman;
PbCl2 needs 16 Å."""

DENSE = 200
"""Atoms up to which the exact preconditioner is the faster one."""

MANY = 1000
"""Atoms above which the Hessian of BFGS is too large."""


@dataclass(frozen=True, slots=True)
class Cp2kOptions:
    """What a deck asks CP2K to do."""

    run: Run = "energy"
    """Energy, geometry optimisation, molecular dynamics, or none: read all input and stop."""
    method: Method = "pbe"
    """PBE as published, or GFN1-xTB (doi 10.1021/acs.jctc.7b00118) to check a big model."""
    cutoff: float = 400.0
    """Plane-wave cutoff, Ry."""
    poisson: Poisson = "wavelet"
    """Solver for an isolated charge: wavelet in a cube, or Martyna-Tuckerman in a box of 2x."""
    box: tuple[float, float, float] | None = None
    """Edges in Å; default: the smallest that the solver takes."""
    fixed_core: float | None = None
    """geo_opt, md: atoms deeper than this below the surface stay where they are, Å."""
    pdos: Pdos = "none"
    """Densities of states by domain, or with a list for each atom."""
    nlumo: int = 20
    """Empty orbitals in the densities of states."""
    cubes: int = 0
    """So many of the highest occupied and of the lowest empty orbitals as cube files."""
    molden: bool = False
    """All orbitals as a molden file, a large one."""
    slurm: str | None = None
    """A job script beside the deck, as ``nodes=4,tasks=32,time=24h``."""
    allow_charge: bool = False
    """Accept a model that is not neutral; the deck has its formal charge."""
    multiplicity: int | None = None
    """2S + 1; default: that of high-spin ions, all parallel, or of one odd electron."""

    def __post_init__(self) -> None:
        if self.cutoff <= 0:
            raise InputError(f"A cutoff of {self.cutoff:g} Ry; it must be positive, 400 is usual.")
        least = {"fixed_core": 0, "nlumo": 0, "cubes": 0, "multiplicity": 1}
        for name, low in least.items():
            value = getattr(self, name)
            if value is not None and not low <= value:
                raise InputError(f"{name} {value:g}: give {low} or more.")
        if self.slurm is not None:
            slurm.parse(self.slurm)


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
        *_assumed(model, chosen),
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


def cell(model: Model, options: Cp2kOptions) -> FloatArray:
    """Cell vectors in Å as rows, shape (3, 3): a box around a particle, or a model's own cell.

    Raises
    ------
    InputError
        The box given does not fit the particle and the solver.
    """
    if model.cell is not None:
        if options.box is not None:
            raise InputError("A periodic model has a cell of its own: leave the box out.")
        return np.asarray(model.cell)
    extent = np.ptp(model.positions, axis=0)
    if options.poisson == "wavelet":
        least = np.full(3, extent.max() + 2 * LEAST_MARGIN)
        usual = np.full(3, np.ceil(extent.max() + 2 * MARGIN))
    else:
        least = 2 * (extent + 2 * TAIL)
        usual = np.ceil(least)
    if options.box is None:
        return np.diag(usual)
    box = np.asarray(options.box, dtype=float)
    size = " x ".join(f"{e:.1f}" for e in extent)
    if options.poisson == "wavelet" and np.ptp(box) > 1e-6:
        raise InputError(
            f"A box of {_edges(box)} Å with the wavelet Poisson solver, which needs a cube: CP2K "
            "stops at any other. Give three equal edges, or use the MT solver."
        )
    if (box < least - 1e-6).any():
        enough = _edges(np.ceil(10 * least) / 10)
        raise InputError(
            f"A box of {_edges(box)} Å is too small for a particle of {size} Å: with the "
            f"{options.poisson} Poisson solver it must be at least {enough} Å. CP2K would "
            "give a wrong energy without a word."
        )
    return np.diag(box)


def _edges(box: FloatArray) -> str:
    return " x ".join(f"{e:.1f}" for e in box)


def electrons(model: Model) -> int:
    """Valence electrons of the model with its formal charge."""
    kinds, count = np.unique(model.numbers, return_counts=True)
    valence = np.array([VALENCE[symbol(int(z))] for z in kinds])
    return int(valence @ count) - model.charge


def multiplicity(model: Model, options: Cp2kOptions) -> int:
    """2S + 1 of the deck: as asked, else of high-spin ions all parallel, else the least.

    Raises
    ------
    InputError
        The one asked for does not go with the number of electrons.
    """
    count = electrons(model)
    spin = options.multiplicity
    if spin is None:
        shells = parallel_multiplicity(open_shells(model))
        # An odd electron that no formal charge explains is one more.
        return shells if (count - shells) % 2 else shells + 1
    if not 1 <= spin <= count + 1 or (count - spin) % 2 == 0:
        parity = "odd" if count % 2 == 0 else "even"
        raise InputError(
            f"A multiplicity of {spin} with {count} electrons: it must be {parity}, and "
            f"{count + 1} at most."
        )
    return spin


def _assumed(model: Model, options: Cp2kOptions) -> list[str]:
    """What the deck takes the spins to be, where there are any."""
    shells = open_shells(model)
    if not shells:
        return []
    ions = ", ".join(f"{s} ({s.unpaired} unpaired)" for s in shells)
    spin = multiplicity(model, options)
    if spin == parallel_multiplicity(shells):
        how = f"high spin, all parallel: multiplicity {spin}. Another: --multiplicity."
    else:
        how = f"multiplicity {spin} as asked. Set &BS of the ions for the arrangement you want."
    return [f"# Open shells: {ions}; {how}"]


def _guess(model: Model, options: Cp2kOptions, element: str) -> Tree:
    """First guess of an element's ions, where all are of one open shell and parallel.

    NEL is twice the change from the neutral atom, in which both spins are alike.
    """
    shells = open_shells(model)
    mine = [s for s in shells if s.element == element]
    alike = len(mine) == 1 and mine[0].count == int((model.numbers == number(element)).sum())
    parallel = multiplicity(model, options) == parallel_multiplicity(shells)
    if not alike or not parallel or element not in GROUND:
        return {}
    d, s = GROUND[element]
    n = mine[0].electrons
    up, down = min(n, 5), max(0, n - 5)
    shell = 3 if number(element) < FIRST_OF_SERIES[1] else 4
    spins = {"ALPHA": 2 * up - d, "BETA": 2 * down - d}
    return {
        "BS": {
            spin: {"NEL": f"{change:+d} {-s:+d}", "L": "2 0", "N": f"{shell} {shell + 1}"}
            for spin, change in spins.items()
        }
    }


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
    if options.method == "xtb":
        return common | {
            "QS": cp2k_xtb.quickstep(periodic=model.cell is not None),
            "POISSON": poisson,
            "SCF": cp2k_xtb.self_consistency(1e-5, options.nlumo, spin),
            **_print(model, options),
        }
    return {
        "BASIS_SET_FILE_NAME": "BASIS_MOLOPT",
        "POTENTIAL_FILE_NAME": "GTH_POTENTIALS",
        **common,
        "QS": {"METHOD": "GPW", "EPS_DEFAULT": "1.0E-12"},
        "MGRID": {"CUTOFF": f"{options.cutoff:g}", "REL_CUTOFF": 50},
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
            **_guess(model, options, e),
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
