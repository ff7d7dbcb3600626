"""A model out of positions alone, given the crystals it is made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from hetbuild.analyse.frames import origin_of, recognise
from hetbuild.analyse.report import measure_interface
from hetbuild.arrays import FloatArray, IntArray, Plane
from hetbuild.crystal.crystal import Crystal
from hetbuild.elements import symbol, usual_charge
from hetbuild.errors import InputError
from hetbuild.model import Domain, Model, Role

VACUUM = 5.0
"""Å without atoms; more, and the model ends there instead of going on across the cell."""

AROUND = 12.0
"""Å around the cell in which a periodic model is repeated to recognise it."""


def model_of(
    numbers: IntArray,
    positions: FloatArray,
    crystals: Sequence[Crystal],
    cell: FloatArray | None = None,
) -> Model:
    """The model with domains inferred from where atoms stand. positions: Å, shape (N, 3).

    cell: rows in Å, shape (3, 3), of a file that has one. Where no vacuum parts it from its images
    the model is periodic; a particle in a box stays finite.

    Raises
    ------
    InputError
        An element has no usual formal charge.
    ImpossibleError
        A crystal is not found in the particle.
    """
    charges = _charges(numbers)
    periodic = (False, False, False) if cell is None else _repeats(positions, cell)
    if cell is not None and any(periodic):
        positions = _closed_up(positions, cell, periodic)
        shifts = _shifts(cell, periodic)
    else:
        cell, shifts = None, np.zeros((1, 3))
    found = recognise(
        np.tile(numbers, len(shifts)), (shifts[:, None] + positions).reshape(-1, 3), crystals
    )
    domains = tuple(
        Domain(
            c.name, c, f.vectors, f.origin + c.fractional[c.datum(None)] @ f.vectors, c.datum(None)
        )
        for c, f in zip(crystals, found.frames, strict=True)
    )
    model = Model(
        numbers=numbers,
        positions=positions,
        charges=charges,
        domain=found.domain[: len(numbers)].astype(np.int8),
        role=np.full(len(numbers), Role.LATTICE, dtype=np.int8),
        domains=domains,
        provenance={"ambiguous": [int(i) for i in found.ambiguous if i < len(numbers)]},
        cell=cell,
        periodic=periodic,
    )
    return _conventionally_labelled(model)


def _repeats(positions: FloatArray, cell: FloatArray) -> tuple[bool, bool, bool]:
    """Along which cell vectors no vacuum parts the atoms."""
    fractional = np.sort(positions @ np.linalg.inv(cell) % 1.0, axis=0)
    gaps = np.diff(fractional, axis=0, append=fractional[:1] + 1.0).max(axis=0)
    heights = 1.0 / np.linalg.norm(np.linalg.inv(cell), axis=0)
    a, b, c = (gaps * heights < VACUUM).tolist()
    return a, b, c


def _closed_up(
    positions: FloatArray, cell: FloatArray, periodic: tuple[bool, bool, bool]
) -> FloatArray:
    """Across a vacuum in one piece, however the file wraps it."""
    fractional = positions @ np.linalg.inv(cell)
    for k in range(3):
        if not periodic[k]:
            x = np.sort(fractional[:, k] % 1.0)
            gap = np.diff(x, append=x[0] + 1.0)
            start = x[(int(gap.argmax()) + 1) % len(x)]
            fractional[:, k] = (fractional[:, k] - start + 1e-9) % 1.0 + start
    return np.asarray(fractional @ cell)


def _shifts(cell: FloatArray, periodic: tuple[bool, bool, bool]) -> FloatArray:
    """Images in the plane of the interface, none first. Of a superlattice the longest vector is
    taken for the stacking: along it the same crystal comes back out of step."""
    lengths = np.linalg.norm(cell, axis=1)
    used = [k for k in range(3) if periodic[k] and not (all(periodic) and k == lengths.argmax())]
    axes = [np.arange(-n, n + 1) for n in np.ceil(AROUND / lengths[used]).astype(int)]
    steps = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, len(used))
    order = np.argsort(np.abs(steps).sum(axis=1), kind="stable")
    return np.asarray(steps[order] @ cell[used])


def _conventionally_labelled(model: Model) -> Model:
    """Axes of each domain, of all symmetry-equivalent ones, that name the interface plainly.

    Positions alone fix axes only up to the point group. The plane's indices then fall in
    magnitude, and all but the last that is not zero are negative: (-2 1 0), (-4 -4 2), (1 0 0).
    """
    found = measure_interface(model) if len(model.domains) == 2 else None
    if found is None:
        return model
    domains = tuple(
        _plainest(d, plane) for d, plane in zip(found.domains, found.planes, strict=True)
    )
    return replace(model, domains=domains)


def _plainest(domain: Domain, plane: Plane) -> Domain:
    proper = domain.crystal.rotations[np.linalg.det(domain.crystal.rotations) > 0]
    labels = np.array(plane) @ proper
    best = max(range(len(proper)), key=lambda i: (_plainness(labels[i]), -i))
    vectors = proper[best].T @ domain.vectors
    crystal = domain.crystal
    corner = origin_of(crystal, vectors, domain.cartesian(domain.sites))
    return replace(
        domain, vectors=vectors, origin=corner + crystal.fractional[domain.datum] @ vectors
    )


def _plainness(hkl: IntArray) -> tuple[list[int], int]:
    """Larger is plainer."""
    nonzero = np.flatnonzero(hkl)
    sign = np.sign(hkl[nonzero])
    as_wanted = int((sign[:-1] < 0).sum() + (sign[-1] > 0))
    return np.abs(hkl).tolist(), as_wanted


def _charges(numbers: IntArray) -> IntArray:
    kinds, index = np.unique(numbers, return_inverse=True)
    charges = [usual_charge(int(z)) for z in kinds]
    unknown = [symbol(z) for z, q in zip(kinds, charges, strict=True) if q is None]
    if unknown:
        raise InputError(
            f"No usual formal charge for {', '.join(unknown)}: these atoms are foreign."
        )
    return np.array(charges, dtype=np.int8)[index]
