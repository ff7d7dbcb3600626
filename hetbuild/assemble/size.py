"""A particle larger or smaller in whole lattice planes: facets, terminations and centre stay."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from hetbuild.assemble.carve import extent
from hetbuild.assemble.polyhedron import Facet
from hetbuild.crystal.crystal import Crystal
from hetbuild.crystal.lattice import primitive_plane
from hetbuild.errors import ImpossibleError, InputError
from hetbuild.rounding import ALIKE

STEPS = 3
"""Whole numbers of planes to either side of the estimate among which the nearest size is sought."""

FAR = 0.75
"""Plane spacings by which the nearest size may miss the one asked for: half a spacing is
rounding."""


@dataclass(frozen=True)
class Shape:
    """What a particle is carved by."""

    facets: tuple[Facet, ...]
    radius: float | None
    """Å."""
    centre: tuple[float, ...]
    """Offset from the datum in conventional axes."""
    site: str | None = None
    """Site of the datum."""


def size_of(crystal: Crystal, shape: Shape) -> float:
    """Size of a shape in Å, before any cut.

    With facets it is the extent along the normal of the first one, between it and the facet or the
    corner opposite; of a sphere alone the diameter.

    Raises
    ------
    InputError, ImpossibleError
        As `carve`.
    """
    if not shape.facets:
        if shape.radius is None:
            raise InputError("A particle needs facets or a sphere to have a size; given neither.")
        return 2 * shape.radius
    return extent(crystal, shape.facets, shape.centre, shape.site, shape.radius)


def scaled(crystal: Crystal, shape: Shape, size: float) -> Shape:
    """The shape with the reachable size nearest to `size` Å.

    Every facet moves by whole repeats of its planes, so that its termination and ligands stay, by
    as nearly the same factor as they allow. A single facet of a form that is listed too moves as
    far as the form does. A sphere takes any size.

    Raises
    ------
    InputError
        The size is not a finite length above zero.
    ImpossibleError
        The shape cannot be made so small.
    """
    if not 0 < size < np.inf:
        raise InputError(f"A size is a length above 0; given {size:g} Å.")
    now = size_of(crystal, shape)
    if not shape.facets:
        return replace(shape, radius=size / 2)
    first = shape.facets[0]
    repeat = repeat_of(crystal, first)
    # Two repeats where the opposite facet moves too, more where corners are opposite.
    larger = _moved(crystal, shape, 1 + repeat / first.planes)
    per_step = max(size_of(crystal, larger) - now, repeat * crystal.spacing(first.hkl))
    guess = round((size - now) / per_step)
    best = _nearest(
        crystal,
        (
            _moved(crystal, shape, 1 + steps * repeat / first.planes)
            for steps in range(guess - STEPS, guess + STEPS + 1)
        ),
        size,
    )
    if best is None or best[0] > FAR * per_step:
        raise ImpossibleError(
            f"This shape of {crystal.name}, {now / 10:.2f} nm now, grows by {per_step / 10:.2f} nm "
            f"and cannot be made {size / 10:.2f} nm: its facets would meet. Ask for a larger one."
        )
    return best[1]


def _nearest(crystal: Crystal, trials: Iterable[Shape], size: float) -> tuple[float, Shape] | None:
    """The first shape whose size is nearest to `size`, and how far off it is, Å; None: none."""
    best: tuple[float, Shape] | None = None
    for trial in trials:
        if min(f.planes for f in trial.facets) <= 0:
            continue
        try:
            miss = abs(size_of(crystal, trial) - size)
        except ImpossibleError:  # planes that meet before they enclose anything
            continue
        if best is None or miss < best[0] - ALIKE:
            best = miss, trial
    return best


def _moved(crystal: Crystal, shape: Shape, factor: float) -> Shape:
    """Every facet moved out to `factor` times its distance, in whole repeats."""
    forms = {f.hkl: f for f in shape.facets if not f.single}
    grown = []
    for facet in shape.facets:
        form = facet if not facet.single else _form_of(crystal, facet, forms)
        repeat = repeat_of(crystal, form)
        step = round(form.planes * (factor - 1) / repeat) * repeat
        # In Å, then in planes of the facet's own indices.
        away = step * crystal.spacing(form.hkl) / crystal.spacing(facet.hkl)
        grown.append(replace(facet, planes=facet.planes + away))
    radius = None if shape.radius is None else shape.radius * factor
    return replace(shape, facets=tuple(grown), radius=radius)


def _form_of(crystal: Crystal, facet: Facet, forms: dict[tuple[int, int, int], Facet]) -> Facet:
    """The listed form that a single facet belongs to, else itself."""
    direction = np.array(facet.hkl) / np.gcd.reduce(facet.hkl)
    for hkl, form in forms.items():
        planes = form.planes_of(crystal)
        if (planes / np.gcd.reduce(hkl) == direction).all(axis=1).any():
            return form
    return facet


def repeat_of(crystal: Crystal, facet: Facet) -> float:
    """After how many planes of the facet's indices the crystal repeats."""
    plane = np.array(primitive_plane(crystal.primitive, facet.hkl), dtype=float)
    return float(np.linalg.norm(facet.hkl) / np.linalg.norm(plane))


def parse_size(text: str | float) -> float:
    """Å of "8 nm" or "80 Å"; a number is in Å.

    Raises
    ------
    InputError
        Anything else.
    """
    given = text if isinstance(text, str) else f"{text:g} Å"
    found = re.fullmatch(r"\s*([0-9]*\.?[0-9]+)\s*(nm|Å|A)\s*", given)
    if found is None or float(found[1]) == 0:
        raise InputError(f"{text!r} is no size; write '8 nm' or '80 Å'")
    return float(found[1]) * (10 if found[2] == "nm" else 1)
