"""What to add: one kind of ligand, and where."""

from __future__ import annotations

import re
from dataclasses import dataclass

from hetbuild.capping.binding import Mode
from hetbuild.errors import InputError
from hetbuild.numerals import MOST_CHARGE
from hetbuild.selection.language import parse_selection

ADD = re.compile(
    r"(?:(?P<amount>\d+(?:\.\d+)?)\s*(?P<percent>%)?\s+)?(?P<ligand>\S+) on (?P<on>.+)"
)
"""What to add, as text."""


@dataclass(frozen=True, slots=True)
class Add:
    """One kind of ligand, and where."""

    ligand: str
    """Name, SMILES, or an XYZ, MOL or SDF file."""
    on: str
    """Selection of the ions that leave, or that a neutral donor binds to, as "Cl, facet {1 1 1}".
    """
    count: int | None = None
    """How many ions; left out: the fraction."""
    fraction: float | None = None
    """Part of the ions selected, 0 to 1; default: all."""
    mode: Mode = "any"
    """How it must bind; default: with as many bonds as there is room for."""
    chain: int | None = None
    """Carbons of the n-alkyl group that stands in for the one of the name."""
    charge: int | None = None
    """Formal charge in e of a ligand from an XYZ file."""
    anchors: tuple[int, ...] = ()
    """Atoms that bind, counted from 1, where no known group does."""

    def __post_init__(self) -> None:
        parse_selection(self.on)
        if self.count is not None and self.fraction is not None:
            raise InputError(f"{self.ligand}: give either count or fraction")
        if self.count is not None and self.count < 0:
            raise InputError(f"{self.ligand}: count {self.count} is negative")
        if self.fraction is not None and not 0.0 <= self.fraction <= 1.0:
            raise InputError(f"{self.ligand}: fraction {self.fraction:g} is not in 0 to 1")
        if self.chain is not None and self.chain < 1:
            raise InputError(f"{self.ligand}: chain {self.chain}: give 1 carbon or more")
        if self.charge is not None and abs(self.charge) > MOST_CHARGE:
            raise InputError(
                f"{self.ligand}: charge {self.charge}: give -{MOST_CHARGE} to {MOST_CHARGE} e"
            )

    @classmethod
    def parse(cls, text: str) -> Add:
        """``oleate on Cl, facet {1 1 1}``, with a count or per cent before it.

        Raises
        ------
        InputError
            The text says no ligand and place.
        """
        found = ADD.fullmatch(" ".join(text.split()))
        whole = found is None or found["amount"] is None or "." not in found["amount"]
        if found is None or (not whole and not found["percent"]):
            raise InputError(
                f"{text!r} says no ligand and place; write 'oleate on Cl, facet {{1 1 1}}', "
                "'24 oleate on Cl, surface' or '50% octylammonium on Cs, surface'."
            )
        amount = found["amount"]
        if amount is None:
            return cls(found["ligand"], found["on"])
        if found["percent"]:
            return cls(found["ligand"], found["on"], fraction=float(amount) / 100)
        return cls(found["ligand"], found["on"], count=int(amount))
