"""What part of each orbital lies in a domain, a region or an element, and on how many atoms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from hetbuild.analyse.regions import Region, regions
from hetbuild.arrays import FloatArray, IntArray
from hetbuild.electronic.pdos import States
from hetbuild.elements import symbol
from hetbuild.errors import CheckError, InputError
from hetbuild.model import Domain, Model

DEGENERATE = 1e-3
"""eV within which neighbouring orbitals are one group: the eigensolver mixes degenerate orbitals as
it likes, but what the group has in each domain is well defined."""

WHOLE = 1e-6
"""How far the weights of an orbital may miss 1."""

ROUNDED = 1e-4
"""How far a sum of the weights of atoms may miss that of their kind: both have eight digits."""


@dataclass(frozen=True, eq=False)
class Shares:
    """Parts of each orbital; every array of shape (M,), and those of one mapping sum to one."""

    domains: Mapping[str, FloatArray]
    regions: Mapping[str, FloatArray]
    """Core, facet and interface of each domain, as ``perovskite core``; empty without weights by
    atom."""
    elements: Mapping[str, FloatArray]
    group: IntArray
    """Number of the group of degenerate orbitals that each belongs to, shape (M,)."""
    ipr: FloatArray | None
    """Inverse participation ratio of its group: sum of w^2 over atoms / (sum of w)^2, with w the
    weight of the group by atom; 1 on one atom, 1/N spread evenly over N. None without weights by
    atom."""
    error: float
    """How far the weights of any orbital miss 1."""


def shares(states: States, model: Model) -> Shares:
    """Sort the weights of orbitals by what the model knows of its atoms.

    The inverse participation ratio is that of Toso et al. (doi 10.1038/s41467-022-31699-1) read as
    a sum over atoms of Löwdin weights; in a group of orbitals less than 1 meV apart weights are
    those of the group, because one orbital of it means nothing.

    Raises
    ------
    InputError
        The lists of atoms do not make up the domains, or the model's elements not those of the run.
    CheckError
        Weights do not sum to one: lists are missing or overlap.
    """
    by_atom = states.by_atom
    group = groups(states)
    if by_atom is not None:
        domains = {d.name: by_atom[:, model.domain == i].sum(axis=1) for i, d in _there(model)}
        by_region = _regions(by_atom, model)
        elements = {
            symbol(int(z)): by_atom[:, model.numbers == z].sum(axis=1)
            for z in np.unique(model.numbers)
        }
        _check_elements(elements, states)
        ipr = participation(mean_of_groups(by_atom, group))[group]
    else:
        domains, by_region, elements = _of_lists(states, model), {}, dict(states.elements)
        ipr = None
    error = float(np.abs(sum(domains.values()) - 1.0).max(initial=0.0))
    if error > WHOLE:
        raise CheckError(
            f"The weights of an orbital miss 1 by {error:.1e}: a PDOS file is missing, or the "
            "lists of atoms overlap."
        )
    return Shares(domains, by_region, elements, group, ipr, error)


def _check_elements(elements: Mapping[str, FloatArray], states: States) -> None:
    """The file of each element must have the weights that its atoms in the model sum to."""
    for element, own in elements.items():
        error = np.abs(own - states.elements.get(element, own)).max(initial=0.0)
        if error > ROUNDED:
            raise InputError(
                f"The weights of {element} by its atoms in the model and by the file of {element} "
                f"differ by up to {error:.2g}: the run is of another model, or its atoms are in "
                "another order."
            )


def _there(model: Model) -> list[tuple[int, Domain]]:
    return [(i, d) for i, d in enumerate(model.domains) if (model.domain == i).any()]


def _regions(by_atom: FloatArray, model: Model) -> dict[str, FloatArray]:
    where = regions(model)
    found = {}
    for i, d in enumerate(model.domains):
        for r in Region:
            here = (model.domain == i) & (where == r)
            if here.any():
                found[f"{d.name} {r.label}"] = by_atom[:, here].sum(axis=1)
    return found


def _of_lists(states: States, model: Model) -> dict[str, FloatArray]:
    """By domain, of lists that are domains."""
    found = {}
    for i, d in enumerate(model.domains):
        atoms = np.flatnonzero(model.domain == i)
        column = [k for k, own in enumerate(states.lists) if np.array_equal(np.sort(own), atoms)]
        if len(atoms) and not column:
            raise InputError(
                f"No list of the run holds the {len(atoms)} atoms of domain {d.name!r}, and there "
                "is none for each atom: the run is of another model, or has lists of its own."
            )
        if column:
            found[d.name] = np.asarray(states.weights[:, column[0]])
    return found


def groups(states: States) -> IntArray:
    """Number of the group of degenerate orbitals of each, shape (M,): same spin and occupation."""
    order = np.lexsort((states.energies, ~states.occupied, states.spin))
    energy, spin = states.energies[order], states.spin[order]
    empty = ~states.occupied[order]
    new = (np.diff(energy) > DEGENERATE) | (np.diff(spin) != 0) | np.diff(empty)
    number = np.empty(len(states), dtype=np.int64)
    number[order] = np.concatenate([[0], np.cumsum(new)])
    return number


def mean_of_groups(values: FloatArray, group: IntArray) -> FloatArray:
    """Mean over the orbitals of each group, shape (G, ...). values: shape (M, ...)."""
    count = np.bincount(group)
    total = np.zeros((len(count), *values.shape[1:]))
    np.add.at(total, group, values)
    return np.asarray(total / count.reshape(-1, *[1] * (values.ndim - 1)))


def participation(weights: FloatArray) -> FloatArray:
    """Inverse participation ratio of each row, shape (G,). weights: by atom, shape (G, N)."""
    return np.asarray((weights**2).sum(axis=1) / weights.sum(axis=1) ** 2)
