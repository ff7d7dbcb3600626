"""GFN1-xTB (doi 10.1021/acs.jctc.7b00118) in CP2K: what its defaults get wrong for ionic particles.

Two of them, measured against tblite, an independent implementation:

* The Coulomb interaction of GFN1 is 1/R at long range and less at short; CP2K calculates the
  difference up to where it falls below COULOMB_SR_EPS, 1e-3 by default. As it falls with the cube
  of the distance, 60 ions of CsPbCl3 lose 0.66 eV, and forces are off by 0.22 eV/Å. With 1e-8
  forces agree to 3e-4 eV/Å and energies to 2e-4 eV/atom.
* Energy in GFN1 has a term cubic in the charges, so that it has no lowest value: orbital
  transformation from atomic densities falls into states of absurd charges, and a geometry
  optimisation follows (Pb-Cl of 1.03 Å). So does mixing a fifth of the new density to the old with
  144 ions, and extrapolation (DIIS, Broyden) far from the solution jumps between states.
  Diagonalization at the 300 K of GFN1's definition, a twentieth mixed in until DIIS is safe, comes
  evenly to the state that tblite finds; CP2K's check of the charges is left on.
"""

from __future__ import annotations

from typing import Any

REACH = 200
"""Bohr: all pairs of a particle."""

CLOSE = "1.0E-8"
"""Hartree: what is left out of the interaction of two charges at short range."""

TEMPERATURE = 300
"""K, of the electrons, as the method is defined."""

MIXED = 0.05
"""Of the new density in each step."""

NEAR = 0.01
"""Error of the density from which DIIS takes over; from 0.1, CP2K's own, it jumps away."""

EMPTY = 20
"""Empty orbitals that a temperature needs, at least."""


def quickstep(*, periodic: bool) -> dict[str, Any]:
    """The section QS."""
    # In a crystal the Ewald sum has the long range, and pairs without end would be counted.
    pairs = {} if periodic else {"COULOMB_SR_CUT": REACH, "COULOMB_SR_EPS": CLOSE}
    return {
        "METHOD": "xTB",
        "XTB": {
            "DO_EWALD": "T" if periodic else "F",
            **({"PARAMETER": pairs} if pairs else {}),
        },
    }


def self_consistency(precision: float, empty: int, multiplicity: int) -> dict[str, Any]:
    """The section SCF. empty: orbitals above the occupied ones that are wanted."""
    more = max(empty, EMPTY)
    return {
        "SCF_GUESS": "RESTART",
        "EPS_SCF": f"{precision:.1E}",
        "MAX_SCF": 500,
        "ADDED_MOS": more if multiplicity == 1 else f"{more} {more}",
        "DIAGONALIZATION": {},
        "EPS_DIIS": NEAR,
        "MIXING": {"METHOD": "DIRECT_P_MIXING", "ALPHA": MIXED},
        "SMEAR": {
            "METHOD": "FERMI_DIRAC",
            "ELECTRONIC_TEMPERATURE": TEMPERATURE,
            **({"FIXED_MAGNETIC_MOMENT": multiplicity - 1} if multiplicity > 1 else {}),
        },
    }
