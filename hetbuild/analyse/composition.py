"""Composition in per cent, as EDX and ICP give it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from hetbuild.arrays import FloatArray, IntArray
from hetbuild.elements import counts, number


@dataclass(frozen=True, slots=True)
class Composition:
    """Parts of the elements, in the order of a formula; each sums to 100."""

    atomic: Mapping[str, float]
    """Atomic per cent by element."""
    mass: Mapping[str, float]
    """Per cent of the mass by element, with standard atomic weights."""


def composition(numbers: IntArray) -> Composition:
    """Of atoms by their atomic numbers, shape (N,); empty where there are none."""
    import gemmi

    count = counts(numbers)
    atoms = np.array(list(count.values()), dtype=float)
    weights = atoms * [gemmi.Element(number(e)).weight for e in count]
    return Composition(_per_cent(count, atoms), _per_cent(count, weights))


def _per_cent(elements: Mapping[str, int], amounts: FloatArray) -> dict[str, float]:
    parts = 100.0 * amounts / amounts.sum() if len(amounts) else amounts
    return dict(zip(elements, parts.tolist(), strict=True))
