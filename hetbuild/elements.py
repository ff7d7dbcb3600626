"""Chemical elements: symbols, usual formal charges, formulas."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

import gemmi
import numpy as np

from hetbuild.arrays import BoolArray, IntArray
from hetbuild.errors import InputError
from hetbuild.names import shown

USUAL_CHARGES: Mapping[str, int] = (
    dict.fromkeys(["Li", "Na", "K", "Rb", "Cs", "Cu", "Ag", "Tl"], 1)
    | dict.fromkeys(["Mg", "Ca", "Sr", "Ba", "Zn", "Cd", "Hg", "Sn", "Pb", "Ge", "Mn"], 2)
    | dict.fromkeys(["Al", "Ga", "In", "Sb", "Bi"], 3)
    | dict.fromkeys(["P", "As"], -3)
    | dict.fromkeys(["O", "S", "Se", "Te"], -2)
    | dict.fromkeys(["F", "Cl", "Br", "I"], -1)
)
"""Formal charge in e of an element in halides, chalcogenides, phosphides and arsenides."""

HALIDES = frozenset(["F", "Cl", "Br", "I"])
CHALCOGENS = frozenset(["O", "S", "Se", "Te"])

KindName = Literal["cation", "anion", "halide", "chalcogen"]

A_CATIONS = frozenset(["Li", "Na", "K", "Rb", "Cs"])
"""Written first in a perovskite's formula."""

MOLECULAR = ("C", "H", "N")
"""Elements of molecular A cations, written next."""


def _among(elements: frozenset[str], numbers: IntArray, charges: IntArray) -> BoolArray:
    z = [gemmi.Element(e).atomic_number for e in elements]
    return np.asarray(np.isin(numbers, z) & (np.asarray(charges) < 0))


KINDS: Mapping[str, Callable[[IntArray, IntArray], BoolArray]] = {
    "cation": lambda _, q: np.asarray(np.asarray(q) > 0),
    "anion": lambda _, q: np.asarray(np.asarray(q) < 0),
    "halide": lambda z, q: _among(HALIDES, z, q),
    "chalcogen": lambda z, q: _among(CHALCOGENS, z, q),
}
"""Kinds of ion a recipe may name in place of an element, and which ions they are: of atomic numbers
and formal charges in e, each shape (N,), a mask of shape (N,)."""


def symbol(z: int) -> str:
    """Symbol of atomic number z."""
    return gemmi.Element(int(z)).name


def number(element: str) -> int:
    """Atomic number of a symbol.

    Raises
    ------
    InputError
        No such element.
    """
    found = gemmi.Element(element)
    if found.atomic_number == 0 or found.name != element:
        raise InputError(
            f"{shown(element)} is no chemical element; give a symbol such as Pb or Cl."
        )
    return found.atomic_number


def usual_charge(z: int) -> int | None:
    """Usual formal charge in e, None where there is no usual one."""
    return USUAL_CHARGES.get(symbol(z))


def counts(numbers: IntArray) -> dict[str, int]:
    """Atoms of each element by symbol, written in the order of a formula. numbers: shape (N,)."""
    n = np.bincount(np.asarray(numbers, dtype=np.int64))
    found = {symbol(z): int(n[z]) for z in np.flatnonzero(n).tolist()}
    return {e: found[e] for e in sorted(found, key=_formula_rank)}


def reduced(count: Mapping[str, int]) -> dict[str, int]:
    """Atoms of one formula unit."""
    divisor = int(np.gcd.reduce(list(count.values())))
    return {e: n // divisor for e, n in count.items()}


def formula(count: Mapping[str, int]) -> str:
    """``Cs126Pb337S221Cl358``: A cations, other cations, chalcogens, halogens, heavy ones first."""
    present = sorted((e for e, n in count.items() if n), key=_formula_rank)
    return "".join(e + (str(count[e]) if count[e] != 1 else "") for e in present)


def parse_formula(text: str) -> dict[str, int]:
    """Atoms of each element in ``Cs126Pb80Cl276``.

    Raises
    ------
    InputError
        Not a formula of known elements, or an element twice.
    """
    import re

    parts = re.findall(r"([A-Z][a-z]?)([0-9]{0,9})", text)
    if not parts or "".join(e + n for e, n in parts) != text:
        raise InputError(f"{shown(text)} is not a formula; write it like Cs126Pb80Cl276.")
    if len({e for e, _ in parts}) != len(parts):
        raise InputError(f"{shown(text)} names an element twice; write each element once.")
    return {e: int(n or 1) for e, n in parts if number(e)}


def _formula_rank(element: str) -> tuple[int, int]:
    charge = USUAL_CHARGES.get(element, 1)
    if element in MOLECULAR:  # Hill's order, after the metals among the A cations
        return 0, 1 + MOLECULAR.index(element)
    rank = (0 if element in A_CATIONS else 1) if charge > 0 else (2 if charge < -1 else 3)
    return rank, -number(element)
