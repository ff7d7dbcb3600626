"""Carve a particle out of a bulk crystal: facets, spheres, terminations, ligands."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from hetbuild.arguments import checked
from hetbuild.arrays import FloatArray, IntArray
from hetbuild.assemble.polyhedron import ON_PLANE, Facet, HalfSpaces, corners, half_spaces
from hetbuild.crystal.crystal import Crystal, crystal_of
from hetbuild.crystal.lattice import check_plane
from hetbuild.elements import counts, formula, number, symbol
from hetbuild.errors import ImpossibleError, InputError
from hetbuild.frozen import own
from hetbuild.model import Domain, Model, Role, kept_digits

ON_FACET = 1e-4
"""Plane indices (multiples of d(hkl)) within which an ion lies on the outermost plane of a facet:
positions are rounded."""

BYTES_PER_ATOM = 120
"""Peak memory of carving: positions three times over and a handful of small integers."""

BYTES_PER_COLUMN = 60
"""Peak memory per column of cells in the particle's bounding box."""


@checked
def carve(
    crystal: Crystal | str | Path,
    facets: Sequence[Facet] = (),
    *,
    centre: Sequence[float] = (0.0, 0.0, 0.0),
    site: str | None = None,
    radius: float | None = None,
    name: str = "particle",
    memory: int | None = None,
) -> Model:
    """Carve the part of a crystal inside all facets and, if given, a sphere.

    crystal: itself, a shipped name or a CIF file; centre: offset from the datum `site` in
    conventional axes, shape (3,); radius: Å; memory: bytes the particle may take (default: what the
    machine has free). Each column of cells along c is cut to the interval inside the shape at once,
    so the work grows with the surface and only the atoms that stay are ever made.

    Raises
    ------
    InputError
        Facets that are not planes of the crystal, a site or element it does not have, or a centre
        or radius that is not finite.
    ImpossibleError
        The facets do not close, less than a formula unit is inside, or the particle would not fit
        in memory.

    Examples
    --------
    >>> import hetbuild as hb
    >>> hb.carve("PbS", [hb.Facet((1, 0, 0), 2.0)], site="Pb")
    <Model Pb365S364: 729 atoms, formal charge +2 e, particle of PbS>
    """
    crystal = crystal_of(crystal)
    datum = crystal.datum(site)
    domain = Domain(name, crystal, crystal.vectors.copy(), np.zeros(3), datum)
    middle = np.asarray(centre, dtype=float)
    if middle.shape != (3,) or not np.isfinite(middle).all():
        raise InputError(f"A centre takes three finite numbers; given {list(centre)}.")
    spaces = half_spaces(domain, facets, middle)
    low, high = _bounds(domain, spaces, middle, radius)
    refuse_if_large(_columns(low, high) * BYTES_PER_COLUMN, memory, "bounding box")
    _refuse_if_crowded(domain, spaces, radius, memory)
    columns = [_intervals(domain, s, spaces, middle, radius, low, high) for s in domain.sites]
    total = sum(int(count.sum()) for _, _, count in columns)
    if total == 0:
        raise ImpossibleError(
            f"Nothing of {crystal.name} is inside the shape: make its facets or radius larger, or "
            "move its centre."
        )
    _refuse_if_tiny(crystal, [int(count.sum()) for _, _, count in columns])
    refuse_if_large(total * BYTES_PER_ATOM, memory, f"particle of {total} atoms")
    return _with_ligands(_fill(domain, columns, total), spaces, middle)


def extent(
    crystal: Crystal,
    facets: Sequence[Facet],
    centre: Sequence[float] = (0.0, 0.0, 0.0),
    site: str | None = None,
    radius: float | None = None,
) -> float:
    """Å that a shape measures along the normal of its first facet; arguments as of `carve`.

    Raises
    ------
    InputError, ImpossibleError
        As `carve`.
    """
    datum = crystal.datum(site)
    domain = Domain("shape", crystal, crystal.vectors.copy(), np.zeros(3), datum)
    spaces = half_spaces(domain, facets, np.asarray(centre, dtype=float))
    hkl = check_plane(facets[0].hkl)
    if radius is None:
        height = corners(domain, spaces) @ hkl
    else:
        sides = [spaces.limit[(spaces.hkl == s * hkl).all(axis=1)] for s in (1, -1)]
        height = np.array([min([radius / crystal.spacing(facets[0].hkl), *x]) for x in sides])
        height[1] *= -1
    return float(np.ptp(height)) * crystal.spacing(facets[0].hkl)


def gauge(
    domain: Domain,
    facets: Sequence[Facet],
    centre: Sequence[float],
    radius: float | None,
    positions: FloatArray,
) -> FloatArray:
    """How many times as far from the centre as the surface of a shape positions are, shape (N,).

    Along the ray from the centre through each: below 1 inside, 1 on the surface. positions: Å, (N,
    3); the shape as for `carve`, its centre counted from the domain's datum.
    """
    middle = np.asarray(centre, dtype=float)
    offset = domain.fractional(positions) - middle
    ratio = np.zeros(len(positions))
    if len(facets):
        spaces = half_spaces(domain, facets, middle)
        ratio = (offset @ spaces.hkl.T / spaces.limit).max(axis=1)
    if radius is not None:
        away = np.linalg.norm(offset @ domain.vectors, axis=1) / radius
        ratio = np.maximum(ratio, away)
    return np.asarray(ratio)


def available_memory() -> float:
    """Memory this process may still take, bytes; infinite where the system does not tell.

    What is free, and no more than the limit set for a process (`ulimit -d`, `ulimit -v`). psutil
    knows on every system, if it is installed; without it Linux does.
    """
    return min(_free_memory(), _limit_of_process())


def _limit_of_process() -> float:
    try:
        from resource import RLIM_INFINITY, RLIMIT_AS, RLIMIT_DATA, getrlimit
    except ImportError:  # Windows
        return float("inf")
    soft = [getrlimit(kind)[0] for kind in (RLIMIT_AS, RLIMIT_DATA)]
    return float(min((s for s in soft if s != RLIM_INFINITY), default=float("inf")))


def _free_memory() -> float:
    try:
        from psutil import virtual_memory
    except ImportError:
        pass
    else:
        return float(virtual_memory().available)
    try:
        return float(os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (AttributeError, OSError, ValueError):  # Windows has no sysconf, macOS no such name
        return float("inf")


def _bounds(
    domain: Domain, spaces: HalfSpaces, centre: FloatArray, radius: float | None
) -> tuple[FloatArray, FloatArray]:
    """Box around the shape in conventional coordinates from the datum, each shape (3,)."""
    if radius is not None:
        if not 0 < radius < np.inf:
            raise InputError(f"A sphere needs a finite radius above 0 Å; given {radius:g}.")
        # The extent of a sphere along axis i is its radius times |reciprocal vector i|.
        reach = radius * np.linalg.norm(np.linalg.inv(domain.vectors), axis=0)
        return centre - reach, centre + reach
    if not len(spaces.hkl):
        raise InputError("A particle needs facets or a sphere; given neither.")
    found = corners(domain, spaces)
    return centre + found.min(axis=0), centre + found.max(axis=0)


def _columns(low: FloatArray, high: FloatArray) -> int:
    return int(np.prod(np.floor(high[:2]) - np.ceil(low[:2]) + 3.0))


def _intervals(
    domain: Domain,
    site: FloatArray,
    spaces: HalfSpaces,
    centre: FloatArray,
    radius: float | None,
    low: FloatArray,
    high: FloatArray,
) -> tuple[FloatArray, IntArray, IntArray]:
    """Columns of one site: their foot (c, 2), their first cell (c,), how many atoms each (c,)."""
    ranges = [
        np.arange(np.ceil(a - s - ON_PLANE), np.floor(b - s + ON_PLANE) + 1)
        for a, b, s in zip(low[:2], high[:2], site[:2], strict=True)
    ]
    cells = np.stack(np.meshgrid(*ranges, indexing="ij"), axis=-1).reshape(-1, 2)
    foot = cells + site[:2]
    offset = np.append(foot - centre[:2], np.full((len(foot), 1), site[2] - centre[2]), axis=1)
    first = np.full(len(foot), low[2] - site[2])
    last = np.full(len(foot), high[2] - site[2])
    for h, limit in zip(spaces.hkl, spaces.limit, strict=True):
        _clip_plane(first, last, limit - offset @ h, int(h[2]))
    if radius is not None:
        first, last = _clip_sphere(first, last, offset @ domain.vectors, domain.vectors[2], radius)
    start = np.ceil(first - ON_PLANE)
    count = np.maximum(np.floor(last + ON_PLANE) - start + 1, 0).astype(np.int64)
    return foot[count > 0], start[count > 0].astype(np.int64), count[count > 0]


def _clip_plane(first: FloatArray, last: FloatArray, room: FloatArray, step: int) -> None:
    """Narrow the columns to step * k <= room, in place."""
    if step > 0:
        np.minimum(last, room / step, out=last)
    elif step < 0:
        np.maximum(first, room / step, out=first)
    else:
        last[room < -ON_PLANE] = -np.inf


def _clip_sphere(
    first: FloatArray, last: FloatArray, foot: FloatArray, step: FloatArray, radius: float
) -> tuple[FloatArray, FloatArray]:
    """Narrow the columns to |foot + k step| <= radius. foot: Å, shape (c, 3); step: Å, (3,)."""
    square = float(step @ step)
    half = foot @ step / square
    root = half**2 - ((foot**2).sum(axis=1) - (radius + ON_PLANE) ** 2) / square
    reach = np.sqrt(np.maximum(root, 0.0))
    first = np.where(root < 0, np.inf, np.maximum(first, -half - reach))
    last = np.where(root < 0, -np.inf, np.minimum(last, -half + reach))
    return first, last


def _fill(
    domain: Domain, columns: list[tuple[FloatArray, IntArray, IntArray]], total: int
) -> Model:
    """Write the atoms of every column into arrays made once."""
    positions = np.empty((total, 3))
    cells = np.empty((total, 3), dtype=np.int16)
    sizes = [int(count.sum()) for _, _, count in columns]
    end = 0
    for site, (foot, start, count) in zip(domain.sites, columns, strict=True):
        begin, end = end, end + int(count.sum())
        part, cell = positions[begin:end], cells[begin:end]
        part[:, :2] = np.repeat(foot, count, axis=0)
        rank = np.arange(len(part)) - np.repeat(np.cumsum(count) - count, count)
        part[:, 2] = site[2] + rank + np.repeat(start, count)
        cell[:] = np.rint(part - site)
        part[:] = kept_digits(part @ domain.vectors)
    return Model(
        numbers=own(np.repeat(domain.crystal.numbers.astype(np.int16), sizes)),
        positions=own(positions),
        charges=own(np.repeat(domain.crystal.charges.astype(np.int8), sizes)),
        domain=own(np.zeros(total, dtype=np.int8)),
        role=own(np.full(total, Role.LATTICE, dtype=np.int8)),
        site=own(np.repeat(np.arange(len(sizes), dtype=np.int16), sizes)),
        site_cell=own(cells),
        domains=(domain,),
    )


def _with_ligands(model: Model, spaces: HalfSpaces, centre: FloatArray) -> Model:
    """Turn the ions on a facet's outermost plane into its ligands."""
    from dataclasses import replace

    if not any(f.ligands for f in spaces.owner):
        return model
    numbers, charges, role = model.numbers.copy(), model.charges.copy(), model.role.copy()
    offset = model.domains[0].fractional(model.positions) - centre
    for h, limit, facet in zip(spaces.hkl, spaces.limit, spaces.owner, strict=True):
        on_plane = np.abs(offset @ h - limit) < ON_FACET
        for element, ligand, charge in _substitutions(facet, model.domains[0].crystal):
            here = on_plane & (model.numbers == number(element))
            numbers[here], charges[here], role[here] = number(ligand), charge, Role.LIGAND
    return replace(model, numbers=numbers, charges=charges, role=role)


def _substitutions(facet: Facet, crystal: Crystal) -> Iterator[tuple[str, str, int]]:
    for word, ligand in facet.ligands:
        for element in crystal.ions(word):
            yield element, ligand, crystal.charge_of(ligand)


def check_whole(model: Model) -> None:
    """Stop where ligands, trimming or balancing leave too little of a domain to be its crystal.

    Raises
    ------
    ImpossibleError
        A domain holds less than one formula unit of its crystal.
    """
    for index, domain in enumerate(model.domains):
        have = counts(model.numbers[model.domain == index])
        unit = _unit(domain.crystal)
        if any(have.get(e, 0) < n for e, n in unit.items()):
            raise ImpossibleError(
                f"Of {domain.name} {formula(have) or 'nothing'} is left, less than one formula "
                f"unit {formula(unit)} of {domain.crystal.name}: make its size, facets or radius "
                "larger."
            )


def _refuse_if_tiny(crystal: Crystal, inside: list[int]) -> None:
    """inside: ions on each site of the conventional cell."""
    unit = _unit(crystal)
    have = {
        e: sum(n for n, z in zip(inside, crystal.numbers, strict=True) if symbol(z) == e)
        for e in unit
    }
    if any(have[e] < n for e, n in unit.items()):
        raise ImpossibleError(
            f"The shape holds {formula(have)}, less than one formula unit {formula(unit)} of "
            f"{crystal.name}: make its facets or radius larger, or move its centre."
        )


def _unit(crystal: Crystal) -> dict[str, int]:
    """Ions of one formula unit, by element."""
    per_cell = counts(crystal.numbers)
    units = int(np.gcd.reduce(list(per_cell.values())))
    return {e: n // units for e, n in per_cell.items()}


def _refuse_if_crowded(
    domain: Domain, spaces: HalfSpaces, radius: float | None, memory: int | None
) -> None:
    """Stop before millions of columns are looked at: a ball or a polyhedron tells its volume."""
    if radius is None:
        from scipy.spatial import ConvexHull, QhullError

        try:
            cells = float(ConvexHull(corners(domain, spaces)).volume)
        except QhullError:  # flat, or nearly: it holds few
            return
    elif not len(spaces.hkl):
        cells = 4 / 3 * np.pi * radius**3 / abs(float(np.linalg.det(domain.vectors)))
    else:
        return
    about = cells * len(domain.sites)
    # Whole planes more or less: what nearly fits is counted.
    refuse_if_large(0.5 * about * BYTES_PER_ATOM, memory, f"particle of about {about:.2g} atoms")


def refuse_if_large(need: float, memory: int | None, what: str) -> None:
    """Stop before a particle takes more bytes than it may, or than are free (memory: None)."""
    free = available_memory() if memory is None else memory
    if need > free:
        raise ImpossibleError(
            f"The {what} would take about {need / 2**30:.1f} GiB of memory and {free / 2**30:.1f} "
            "GiB are free: make the particle smaller."
        )
