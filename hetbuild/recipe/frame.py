"""Facets a recipe names in the frame of a join, as indices of the domain's crystal.

The frame of a domain has the plane of its cut or of its first join, whose normal points away from
the other domain, the direction `along` in it, and `across`, the second pair of directions or at
right angles to both.
"""

from __future__ import annotations

from fractions import Fraction
from math import lcm

import numpy as np

from hetbuild.arrays import FloatArray, Plane
from hetbuild.crystal.crystal import Crystal, read_crystal
from hetbuild.crystal.lattice import plane_normal
from hetbuild.errors import InputError
from hetbuild.library import find_structure
from hetbuild.recipe.schema import DomainSpec, FacetSpec, JoinsSpec, Recipe

HIGHEST = 12
"""Miller index up to which a plane is sought normal to a direction."""

SQUARE = 1e-3
"""Part of the largest index by which the others may miss integers."""


def in_indices(recipe: Recipe) -> Recipe:
    """The recipe with every facet that a word names given by its indices.

    Raises
    ------
    InputError
        The domain has no cut or no join to be named by, or no plane of small indices lies so.
    """
    changed = {
        name: spec.model_copy(update={"facets": _named(recipe, name, spec)})
        for name, spec in recipe.domains.items()
        if any(f.side for f in spec.facets)
    }
    return (
        recipe.model_copy(update={"domains": {**recipe.domains, **changed}}) if changed else recipe
    )


def _named(recipe: Recipe, name: str, spec: DomainSpec) -> tuple[FacetSpec, ...]:
    crystal = read_crystal(find_structure(spec.crystal, recipe.folder), charges=spec.charges)
    found = []
    for i, facet in enumerate(spec.facets):
        if facet.side is not None:
            where = f"domains.{name}.facets.{i}.side = {facet.side!r}"
            hkl = _plane(recipe, name, spec, crystal, facet.side, where)
            facet = facet.model_copy(update={"facet": hkl, "side": None})
        found.append(facet)
    return tuple(found)


def _plane(
    recipe: Recipe, name: str, spec: DomainSpec, crystal: Crystal, word: str, where: str
) -> Plane:
    """Indices of the facet a word names; those of the interface as cut or join writes them."""
    join = next((j for j in recipe.joins if name in j.domains), recipe.join)
    if isinstance(join, JoinsSpec):
        met, sign = join.planes[name], 1 if join.domains[0] == name else -1
    elif spec.cuts:
        met, sign = spec.cuts[0].plane, 1 if spec.cuts[0].keep == "above" else -1
    else:
        raise InputError(f"{where}: the domain has no cut to count from; give indices.")
    h, k, l = met  # noqa: E741 (Miller index)
    if word in ("away", "toward"):
        sign *= 1 if word == "away" else -1
        return sign * h, sign * k, sign * l
    if join is None or name not in join.along:
        raise InputError(f"{where}: no join tells the directions of {name}; give indices.")
    along = np.array(join.along[name]) @ crystal.vectors
    across = np.cross(sign * plane_normal(crystal.vectors, met), along)
    if join.across is not None:
        across = np.array(join.across[name]) @ crystal.vectors
    normal = along if word.endswith("along") else across
    found = _indices(crystal, -normal if word.startswith("-") else normal)
    if found is None:
        raise InputError(
            f"{where}: no plane of {crystal.name} with indices up to {HIGHEST} is normal to that "
            "direction; give indices."
        )
    return found


def _indices(crystal: Crystal, normal: FloatArray) -> Plane | None:
    """The plane normal to a Cartesian vector; None where its indices are not small integers."""
    real = crystal.vectors @ normal
    real = real / np.abs(real).max()
    parts = [Fraction(float(x)).limit_denominator(HIGHEST) for x in real]
    scale = lcm(*(p.denominator for p in parts))
    whole = np.array([int(p * scale) for p in parts])
    if np.abs(whole / scale - real).max() > SQUARE or np.abs(whole).max() > HIGHEST:
        return None
    h, k, l = (int(i) for i in whole // np.gcd.reduce(whole))  # noqa: E741 (Miller index)
    return h, k, l
