"""A model out of positions alone, given the crystals it is made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from hetbuild.crystal import Crystal
from hetbuild.elements import symbol, usual_charge
from hetbuild.errors import InputError
from hetbuild.inspect import measure_interface
from hetbuild.lattice import FloatArray, IntArray
from hetbuild.model import Domain, Model, Role
from hetbuild.recognise import recognise


def model_of(numbers: IntArray, positions: FloatArray, crystals: Sequence[Crystal]) -> Model:
    """The model with domains inferred from where atoms stand. positions: Å, shape (N, 3).

    Raises
    ------
    InputError
        An element has no usual formal charge.
    ImpossibleError
        A crystal is not found in the particle.
    """
    found = recognise(numbers, positions, crystals)
    domains = tuple(
        Domain(
            c.name, c, f.vectors, f.origin + c.fractional[c.datum(None)] @ f.vectors, c.datum(None)
        )
        for c, f in zip(crystals, found.frames, strict=True)
    )
    model = Model(
        numbers=numbers,
        positions=positions,
        charges=_charges(numbers),
        domain=found.domain.astype(np.int8),
        role=np.full(len(numbers), Role.LATTICE, dtype=np.int8),
        domains=domains,
        provenance={"ambiguous": [int(i) for i in found.ambiguous]},
    )
    return _conventionally_labelled(model)


def _conventionally_labelled(model: Model) -> Model:
    """Axes of each domain, of all symmetry-equivalent ones, that name the interface plainly.

    Positions alone fix axes only up to the point group. The plane's indices then fall in
    magnitude, and all but the last that is not zero are negative: (-2 1 0), (-4 -4 2), (1 0 0).
    """
    found = measure_interface(model) if len(model.domains) == 2 else None
    if found is None:
        return model
    domains = tuple(
        replace(d, vectors=_plainest(d, plane))
        for d, plane in zip(found.domains, found.planes, strict=True)
    )
    return replace(model, domains=domains)


def _plainest(domain: Domain, plane: tuple[int, int, int]) -> FloatArray:
    proper = domain.crystal.rotations[np.linalg.det(domain.crystal.rotations) > 0]
    labels = np.array(plane) @ proper
    best = max(range(len(proper)), key=lambda i: (_plainness(labels[i]), -i))
    return np.asarray(proper[best].T @ domain.vectors)


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
