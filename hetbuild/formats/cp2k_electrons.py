"""Electrons of a CP2K deck: how many, with what multiplicity, and where they start."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from hetbuild.elements import number, symbol
from hetbuild.errors import InputError
from hetbuild.formats.cp2k_options import Cp2kOptions
from hetbuild.formats.spin import FIRST_OF_SERIES, GROUND, open_shells, parallel_multiplicity
from hetbuild.model import Model

Tree = Mapping[str, Any]
"""Sections of an input by name, within each other."""

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


def assumed(model: Model, options: Cp2kOptions) -> list[str]:
    """What the deck takes the spins to be, where there are any."""
    shells, spin = open_shells(model), multiplicity(model, options)
    parallel = parallel_multiplicity(shells)
    if not shells and spin == 1:
        return []
    if not shells:
        how = "as asked" if options.multiplicity else "of an odd number of electrons"
        return [f"# No open shells by the formal charges; multiplicity {spin} {how}."]
    ions = ", ".join(f"{s} ({s.unpaired} unpaired)" for s in shells)
    if spin != parallel and options.multiplicity is None:
        how = (
            f"high spin, all parallel, and the odd electron: multiplicity {spin}. Set &BS of the "
            "ions. Another: --multiplicity."
        )
    elif spin == parallel:
        how = f"high spin, all parallel: multiplicity {spin}. Another: --multiplicity."
    else:
        how = f"multiplicity {spin} as asked. Set &BS of the ions for the arrangement you want."
    return [f"# Open shells: {ions}; {how}"]


def first_guess(model: Model, options: Cp2kOptions, element: str) -> Tree:
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
