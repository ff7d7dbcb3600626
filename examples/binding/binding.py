"""Binding energy of MCl2 against M2+ and 2 Cl-, M = Pb or Mn, by CP2K: isolated and periodic ions.

    python binding.py --metal Pb --box 16 --solver isolated
    python binding.py --metal Mn --box 20 --solver periodic
    python binding.py --species Cl --box 16 --solver periodic --cutoff 80
    python binding.py --species MnCl2 --box 12 --solver periodic
    python binding.py --metal Mn --box 20 --solver periodic --unrelaxed

PBE, DZVP-MOLOPT-SR-GTH, GTH potentials. Mn is a sextet. README.md beside this file says what the
numbers mean. Needs cp2k.psmp; 400 Ry in a box of 16 Å takes some ten minutes a species on a core.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import tempfile
from math import cos, radians, sin
from pathlib import Path

HARTREE, KCAL = 27.211386245988, 627.5094740631
"""eV and kcal/mol of a hartree."""

COULOMB, MADELUNG = 14.399645, 2.837297
"""e^2 / (4 pi eps0) in eV Å; Madelung constant of point charges in a simple cubic lattice in a
neutralising background (Makov and Payne, doi 10.1103/PhysRevB.51.4014)."""

VALENCE = {"Pb": 4, "Mn": 15, "Cl": 7}
LENGTH = {"Pb": 2.45, "Mn": 2.15}
"""Å from M to Cl, where the optimisation starts."""

RELAXED = {"Pb": (2.50, 98.5), "Mn": (2.18, 180.0)}
"""Å from M to Cl and angle Cl-M-Cl, degrees, that it came to. A molecule has no charge: its images
hardly act on it, and one geometry does for every box."""

DECK = """\
&GLOBAL
  PROJECT {name}
  RUN_TYPE {run}
  PRINT_LEVEL LOW
&END GLOBAL
&FORCE_EVAL
  METHOD QS
  &DFT
    BASIS_SET_FILE_NAME BASIS_MOLOPT
    POTENTIAL_FILE_NAME GTH_POTENTIALS
    CHARGE {charge}
    MULTIPLICITY {multiplicity}
    {uks}
    &QS
      EPS_DEFAULT 1.0E-12
    &END QS
    &MGRID
      CUTOFF {cutoff}
      REL_CUTOFF 50
    &END MGRID
    &POISSON
      PERIODIC {periodic}
      POISSON_SOLVER {solver}
    &END POISSON
    &SCF
      EPS_SCF 1.0E-6
      MAX_SCF 40
      &OT
        MINIMIZER DIIS
        PRECONDITIONER FULL_ALL
      &END OT
      &OUTER_SCF
        EPS_SCF 1.0E-6
        MAX_SCF 10
      &END OUTER_SCF
    &END SCF
    &XC
      &XC_FUNCTIONAL PBE
      &END XC_FUNCTIONAL
    &END XC
  &END DFT
  &SUBSYS
    &CELL
      ABC {box} {box} {box}
      PERIODIC {periodic}
    &END CELL
    &COORD
{coordinates}
    &END COORD
{kinds}
  &END SUBSYS
&END FORCE_EVAL
"""

Atoms = list[tuple[str, float, float, float]]


def image_energy(charge: int, box: float) -> float:
    """eV by which a periodic, uncorrected ion of charge e in a cube of edge Å lies too low."""
    return charge**2 * MADELUNG * COULOMB / (2 * box)


def species(name: str, relaxed: bool = False) -> tuple[Atoms, int]:
    """Atoms about the origin, Å, and the charge: of an ion, as Cl, or a molecule, as PbCl2."""
    metal = name.removesuffix("Cl2")
    if name == metal:
        return [(name, 0.0, 0.0, 0.0)], -1 if name == "Cl" else 2
    if relaxed:
        d, half = RELAXED[metal][0], radians(RELAXED[metal][1] / 2)
        x, y = d * sin(half), d * cos(half)
        return [(metal, 0.0, 0.0, 0.0), ("Cl", x, y, 0.0), ("Cl", -x, y, 0.0)], 0
    d = LENGTH[metal]
    # Bent, so that the optimisation is free to find either shape.
    return [
        (metal, 0.0, 0.0, 0.0),
        ("Cl", 0.7 * d, 0.7 * d, 0.1),
        ("Cl", -0.7 * d, 0.7 * d, 0.1),
    ], 0


def deck(name: str, box: float, solver: str, cutoff: float, relaxed: bool = False) -> str:
    """CP2K's input for one species, optimised unless it stands relaxed."""
    atoms, charge = species(name, relaxed)
    sextet = "Mn" in name
    return DECK.format(
        name=name,
        run="GEO_OPT" if len(atoms) > 1 and not relaxed else "ENERGY",
        charge=charge,
        multiplicity=6 if sextet else 1,
        uks="UKS T" if sextet else "",
        cutoff=cutoff,
        box=box,
        periodic="XYZ" if solver == "periodic" else "NONE",
        solver="PERIODIC" if solver == "periodic" else "MT",
        coordinates="\n".join(
            f"      {e} " + " ".join(f"{v + box / 2:.6f}" for v in xyz) for e, *xyz in atoms
        ),
        kinds="\n".join(
            f"    &KIND {e}\n      BASIS_SET DZVP-MOLOPT-SR-GTH-q{VALENCE[e]}\n"
            f"      POTENTIAL GTH-PBE-q{VALENCE[e]}\n    &END KIND"
            for e in sorted({a[0] for a in atoms})
        ),
    )


def energy(name: str, box: float, solver: str, cutoff: float, relaxed: bool = False) -> float:
    """Energy in hartree of a species; a molecule is optimised, or taken as RELAXED."""
    allowed = dict.fromkeys(("OMPI_ALLOW_RUN_AS_ROOT", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM"), "1")
    environment = {"OMP_NUM_THREADS": "1"} | allowed | os.environ
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "run.inp").write_text(deck(name, box, solver, cutoff, relaxed))
        done = subprocess.run(
            ["cp2k.psmp", "-i", "run.inp"],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
        )
    found = re.findall(r"Total FORCE_EVAL.*?(-?\d+\.\d+)", done.stdout)
    if not found or "SCF run NOT converged" in done.stdout.rsplit("Total FORCE_EVAL", 1)[0][-9999:]:
        raise SystemExit(f"{name}: CP2K did not converge.\n{done.stdout[-2000:]}")
    return float(found[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--metal", choices=["Pb", "Mn"])
    parser.add_argument(
        "--species", choices=["Cl", "Pb", "Mn", "PbCl2", "MnCl2"], help="only the energy of one"
    )
    parser.add_argument("--box", type=float, default=16.0, help="edge of the cube, Å")
    parser.add_argument("--solver", choices=["isolated", "periodic"], default="isolated")
    parser.add_argument("--cutoff", type=float, default=400.0, help="Ry")
    parser.add_argument(
        "--unrelaxed", action="store_true", help="molecules as they came out once, not optimised"
    )
    given = parser.parse_args()
    settings = (given.box, given.solver, given.cutoff, given.unrelaxed)
    if given.species:
        found = energy(given.species, *settings)
        charge = species(given.species)[1]
        low = image_energy(charge, given.box) / HARTREE if given.solver == "periodic" else 0.0
        print(f"{given.species} {charge:+d}, {given.solver} in {given.box:g} Å: {found:.6f} Ha; "
              f"without its images {found + low:.6f} Ha")  # fmt: skip
        return
    if not given.metal:
        parser.error("name --metal or --species")
    molecule = energy(f"{given.metal}Cl2", *settings)
    ions = energy(given.metal, *settings) + 2 * energy("Cl", *settings)
    binding = (molecule - ions) * KCAL
    images = 0.0
    if given.solver == "periodic":
        images = (image_energy(2, given.box) + 2 * image_energy(-1, given.box)) / HARTREE * KCAL
    print(f"{given.metal}Cl2, {given.solver} in {given.box:g} Å: {binding:.2f} kcal/mol")
    print(f"without the images of the ions {binding - images:.2f} kcal/mol")


if __name__ == "__main__":
    main()
