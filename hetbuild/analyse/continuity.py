"""Does a cation sublattice go on across an interface?

That the cations of one crystal take the sites where those of the other would have stood is the
papers' reason why lead chalcogenides and chalcohalides grow on perovskites with their lattices
aligned (Toso et al., doi 10.1038/s41467-022-31699-1).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hetbuild.arrays import FloatArray, IntArray, Plane
from hetbuild.crystal import lattice
from hetbuild.elements import symbol
from hetbuild.model import Domain, Model

LAYER = 1.0
"""Å from the outermost cation within which cations form the layer at the interface."""

ON_SITE = 1.2
"""Å within which a cation continues a site: a third of the shortest cation distance, 3.7 Å."""


@dataclass(frozen=True, slots=True)
class Continuation:
    """Cations of one domain on sites of the other's cation sublattice."""

    lattice_of: str
    """Domain whose sites are continued."""
    site: str
    """Element of these sites."""
    domain: str
    """Domain whose outermost cations stand there."""
    cation: str
    count: int
    """How many stand on such sites."""
    total: int
    """Outermost cations of this element."""
    rms: float
    """Distance from the sites, Å."""
    largest: float
    """Å."""


def continuity(
    model: Model,
    planes: tuple[Plane, Plane],
    domains: tuple[Domain, Domain] | None = None,
    *,
    pair: tuple[int, int] = (0, 1),
) -> tuple[Continuation, ...]:
    """Which outermost cations of each domain continue the sites of the other, and how far off.

    planes: (hkl) of each domain at the interface. domains: frames fitted to the atoms, where they
    are better than the stored ones. pair: which domains of the model they are. Sites of each
    element of the other crystal count apart; those that no cation continues are left out.
    """
    frames = domains or (model.domains[pair[0]], model.domains[pair[1]])
    normal = lattice.plane_normal(frames[0].vectors, planes[0])
    found = []
    for mine, other in ((1, 0), (0, 1)):
        outer = _outermost(model, pair[mine], normal if mine == 1 else -normal)
        away, site = _nearest_cation_sites(frames[other], model.positions[outer])
        for z in np.unique(model.numbers[outer])[::-1]:
            ofz = model.numbers[outer] == z
            for target in np.unique(site[ofz & (away < ON_SITE)])[::-1]:
                on = ofz & (site == target) & (away < ON_SITE)
                found.append(
                    Continuation(
                        lattice_of=frames[other].name,
                        site=symbol(int(target)),
                        domain=frames[mine].name,
                        cation=symbol(int(z)),
                        count=int(on.sum()),
                        total=int(ofz.sum()),
                        rms=float(np.sqrt((away[on] ** 2).mean())),
                        largest=float(away[on].max()),
                    )
                )
    return tuple(found)


def _outermost(model: Model, index: int, outward: FloatArray) -> IntArray:
    """Cations of a domain in its layer at the interface."""
    cations = np.flatnonzero((model.domain == index) & (model.charges > 0))
    height = model.positions[cations] @ outward
    return np.asarray(cations[height > height.max(initial=-np.inf) - LAYER])


def _nearest_cation_sites(domain: Domain, positions: FloatArray) -> tuple[FloatArray, IntArray]:
    """Distance in Å to the nearest cation site of a lattice without end, and its element; (N,)."""
    crystal = domain.crystal
    cations = crystal.charges > 0
    apart = domain.fractional(positions)[:, None] - domain.sites[cations]
    away = np.linalg.norm((apart - np.rint(apart)) @ domain.vectors, axis=2)
    nearest = away.argmin(axis=1)
    return away[np.arange(len(positions)), nearest], crystal.numbers[cations][nearest].astype(int)
