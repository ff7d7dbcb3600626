"""Which domains of a particle are shells around others, told by the positions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hetbuild.geometry.depth import all_below
from hetbuild.model import Model
from hetbuild.rounding import ALIKE


@dataclass(frozen=True, slots=True)
class ShellReport:
    """A domain that encloses others."""

    encloses: tuple[str, ...]
    """Names of the domains inside it."""
    strain: tuple[float, float, float]
    """Principal strains, change of length by length, of its frame against its crystal."""


def shells(model: Model) -> dict[str, ShellReport]:
    """The domains, by name, inside whose convex hull every ion of another lies; finite models."""
    if model.cell is not None or len(model.domains) < 2:
        return {}
    parts = [model.positions[model.domain == i] for i in range(len(model.domains))]
    names = [d.name for d in model.domains]
    found = {}
    for name, domain, outer in zip(names, model.domains, parts, strict=True):
        inside = tuple(
            n
            for n, p in zip(names, parts, strict=True)
            if n != name and len(p) and len(outer) > 3 and all_below(outer, p, ALIKE)
        )
        if inside:
            deformation = np.linalg.solve(domain.crystal.vectors, domain.vectors)
            a, b, c = (float(s) - 1 for s in np.linalg.svd(deformation, compute_uv=False))
            found[name] = ShellReport(inside, (a, b, c))
    return found
