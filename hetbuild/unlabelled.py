"""A model out of positions alone, given the crystals it is made of."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hetbuild.crystal import Crystal
from hetbuild.elements import symbol, usual_charge
from hetbuild.errors import InputError
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
    return Model(
        numbers=numbers,
        positions=positions,
        charges=_charges(numbers),
        domain=found.domain.astype(np.int8),
        role=np.full(len(numbers), Role.LATTICE, dtype=np.int8),
        domains=domains,
        provenance={"ambiguous": [int(i) for i in found.ambiguous]},
    )


def _charges(numbers: IntArray) -> IntArray:
    kinds, index = np.unique(numbers, return_inverse=True)
    charges = [usual_charge(int(z)) for z in kinds]
    unknown = [symbol(z) for z, q in zip(kinds, charges, strict=True) if q is None]
    if unknown:
        raise InputError(
            f"No usual formal charge for {', '.join(unknown)}: these atoms are foreign."
        )
    return np.array(charges, dtype=np.int8)[index]
