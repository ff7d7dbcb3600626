"""Unpaired electrons of open d shells, from formal charges.

A deck that leaves them out is silently wrong: CP2K pairs all electrons. Halides and chalcogenides
are weak ligands, so ions are taken to be high spin, and all of them parallel, which is
one definite state; which arrangement is lowest is for calculations to tell.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hetbuild.elements import symbol
from hetbuild.model import Model

FIRST_OF_SERIES = (21, 39)
"""Sc and Y: the d series in which ions of these materials have open shells."""

GROUND: dict[str, tuple[int, int]] = {"Mn": (5, 2), "Cu": (10, 1), "Ag": (10, 1)}
"""Outer d and s electrons of neutral atoms, from which a first guess is made."""


@dataclass(frozen=True, slots=True)
class OpenShell:
    """One kind of ion with unpaired electrons."""

    element: str
    charge: int
    """e."""
    electrons: int
    """In its d shell."""
    count: int
    """Such ions in the model."""

    @property
    def unpaired(self) -> int:
        """Of one ion, high spin."""
        return min(self.electrons, 10 - self.electrons)

    def __str__(self) -> str:
        """As ``2 Mn2+ d5``."""
        return f"{self.count} {self.element}{self.charge}+ d{self.electrons}"


def open_shells(model: Model) -> list[OpenShell]:
    """Ions with open d shells, by element and formal charge: d electrons = group - charge."""
    pairs = np.stack([model.numbers.astype(int), model.charges.astype(int)], axis=1)
    found = []
    for (z, charge), count in zip(*np.unique(pairs, axis=0, return_counts=True), strict=True):
        starts = [first for first in FIRST_OF_SERIES if first <= z < first + 10]
        electrons = int(z) - starts[0] + 3 - int(charge) if starts and charge > 0 else 0
        if 0 < electrons < 10:
            found.append(OpenShell(symbol(int(z)), int(charge), electrons, int(count)))
    return found


def parallel_multiplicity(shells: list[OpenShell]) -> int:
    """2S + 1 where all unpaired electrons are parallel."""
    return 1 + sum(s.count * s.unpaired for s in shells)
