"""How large each domain of a particle is."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

import numpy as np

from hetbuild.arrays import FloatArray
from hetbuild.model import Model


@dataclass(frozen=True, slots=True)
class Size:
    """Extents of a domain, from ion centre to ion centre."""

    across: tuple[float, float, float]
    """Between the outermost (1 0 0), (0 1 0) and (0 0 1) planes of its crystal, nm."""
    longest: float
    """Between the two ions farthest apart, nm."""


def sizes(model: Model) -> dict[str, Size]:
    """Size of each domain of a particle by name; none of a periodic model or an empty domain.

    Without ligand molecules.
    """
    if model.cell is not None:
        return {}
    found = {}
    for i, domain in enumerate(model.domains):
        positions = model.positions[(model.domain == i) & (model.molecule == 0)]
        if not len(positions):
            continue
        fractional = domain.fractional(positions)
        # Of the lattice as it stands: an exchanged or strained domain has not that of its crystal.
        spacing = 1.0 / np.linalg.norm(np.linalg.inv(domain.vectors), axis=0)
        a, b, c = (float(x) for x in np.ptp(fractional, axis=0) * spacing / 10)
        found[domain.name] = Size((a, b, c), _diameter(positions) / 10)
    return found


def _diameter(positions: FloatArray) -> float:
    """Largest distance between two of these positions, shape (N, 3), Å."""
    from scipy.spatial import ConvexHull, QhullError
    from scipy.spatial.distance import pdist

    with suppress(QhullError, ValueError):  # too few ions, or all in a plane
        positions = positions[ConvexHull(positions).vertices]
    return float(pdist(positions).max()) if len(positions) > 1 else 0.0
