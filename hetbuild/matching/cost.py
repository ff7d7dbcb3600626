"""What a search for matches would take, in seconds and bytes, and when it is refused."""

from __future__ import annotations

import numpy as np

from hetbuild.arrays import Plane
from hetbuild.crystal import lattice
from hetbuild.crystal.crystal import Crystal
from hetbuild.crystal.planes import number_of_planes
from hetbuild.errors import ImpossibleError
from hetbuild.matching.nets import count_supercells

MOST_MEMORY = 2e9
"""Bytes of estimated memory above which a search is refused."""


PAIR_BYTES = 900.0
"""Memory of one pair of supercells that is compared: measured, 830 to 1170 for up to 10^6 pairs."""


NET_BYTES = 1e3
"""Memory of one supercell, of the second crystal four times as many: measured."""

PAIR_SECONDS, NET_SECONDS = 1e-3, 2e-6
"""Time for a pair of planes, and for each supercell or pair of supercells compared: measured."""

LONGEST = 3600.0
"""Seconds of estimated time above which a search is refused."""


def estimate(
    first: Crystal, second: Crystal, max_index: int, max_strain: float, max_area: float
) -> float:
    """About how many seconds a search over all plane pairs takes, from counts alone."""
    pairs = number_of_planes(first, max_index) * number_of_planes(second, max_index)
    # Net areas grow with the indices; (1 1 1) stands for a middling plane of a small search.
    a, b = (net_area(c, (1, 1, 1)) for c in (first, second))
    return pairs * search_seconds(a, b, max_strain, max_area)


def search_seconds(first: float, second: float, max_strain: float, max_area: float) -> float:
    """One plane pair with nets of these areas: what numpy and the tree search were timed at."""
    a, b = count_supercells(first, max_area), count_supercells(second, max_area)
    compared = a + 4 * b + a * b * (4 * max_strain) ** 2
    return PAIR_SECONDS + NET_SECONDS * compared


def search_bytes(first: float, second: float, max_strain: float, max_area: float) -> float:
    """Memory of one plane pair: supercells, and the pairs of them that are compared."""
    a, b = count_supercells(first, max_area), count_supercells(second, max_area)
    return NET_BYTES * (a + 4 * b) + PAIR_BYTES * 2.0 * a * b * max_strain**2


def net_area(crystal: Crystal, hkl: Plane) -> float:
    """Area of the primitive cell of a lattice plane, Å²."""
    plane = lattice.primitive_plane(crystal.primitive, hkl)
    volume = abs(float(np.linalg.det(crystal.primitive @ crystal.vectors)))
    return volume / crystal.spacing(plane)


def refuse_if_long(seconds: float) -> None:
    """Stop a search before it takes hours."""
    if seconds > LONGEST:
        hours = "thousands of" if seconds > 3.6e6 else f"about {seconds / 3600:.1f}"
        raise ImpossibleError(
            f"This search would take {hours} hours (limit 1): lower the highest index, the area or "
            "the strain, or give the planes."
        )


def refuse_if_large(memory: float) -> None:
    """Stop a search before it runs out of memory; bytes."""
    if memory > MOST_MEMORY:
        raise ImpossibleError(
            f"This search would take about {memory / 1e9:.1f} GB of memory (limit "
            f"{MOST_MEMORY / 1e9:g}): lower the area or the strain."
        )
