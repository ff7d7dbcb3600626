"""What is asked of a CP2K deck."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from hetbuild.errors import InputError
from hetbuild.formats import slurm
from hetbuild.formats.cp2k_states import Pdos

Run = Literal["energy", "geo_opt", "md", "none"]

Method = Literal["pbe", "xtb"]

Poisson = Literal["wavelet", "mt"]


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
        if self.molden and self.method == "xtb":
            raise InputError(
                "CP2K writes no molden file with GFN1-xTB: take cubes of the orbitals (--cubes 2), "
                "or PBE."
            )
        if self.slurm is not None:
            slurm.parse(self.slurm)
