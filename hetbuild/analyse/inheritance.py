"""Labels of a model handed on to a file of the same atoms, in any order, relaxed or not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from hetbuild.analyse.compare import compare, compare_periodic
from hetbuild.analyse.frames import robust_weights
from hetbuild.analyse.interface import by_sites
from hetbuild.arrays import FloatArray, IntArray
from hetbuild.elements import counts
from hetbuild.errors import ImpossibleError, InputError
from hetbuild.geometry.pairing import pair_elements
from hetbuild.geometry.rigid import superposed
from hetbuild.model import PER_ATOM, Model

IN_ORDER = 1.6
"""Å: rms distance, atom by atom in the order of the file, below which that order is taken to be the
parent's."""
SAME = 1.5
"""Å: median distance above which a file is not the same particle."""
ROUNDS = 10
"""Times that atoms are paired and each domain deformed in turn."""
WIDTH = 0.6
"""Å: ions displaced by more than this count little in the fit of a deformed lattice."""
FEWEST = 12
"""Atoms that tell a deformation."""


def labelled_like(
    parent: Model, numbers: IntArray, positions: FloatArray, cell: FloatArray | None = None
) -> Model:
    """The atoms of a file with the labels, roles, sites and provenance of a model of the same.

    numbers: shape (N,); positions: Å, shape (N, 3), in any order and orientation, each domain
    strained and relaxed as it may be; cell: rows in Å, of a parent that repeats. Atoms are paired
    one to one within each element at least cost, each domain of the parent being deformed affinely
    to the file. Frames are fitted anew.

    Raises
    ------
    InputError
        The compositions differ; the text says by what.
    ImpossibleError
        The file is another particle.
    """
    _check(parent, numbers)
    if parent.cell is not None:
        return _like_periodic(parent, numbers, positions, parent.cell if cell is None else cell)
    partner = _partners(parent, numbers, positions)
    order = np.empty(len(partner), dtype=np.int64)
    order[partner] = np.arange(len(partner))
    return _handed_on(parent, order, positions)


def _check(parent: Model, numbers: IntArray) -> None:
    have, wanted = counts(numbers), counts(parent.numbers)
    if have != wanted:
        differ = ", ".join(
            f"{e} {have.get(e, 0)} instead of {wanted.get(e, 0)}"
            for e in {**wanted, **have}
            if have.get(e) != wanted.get(e)
        )
        raise InputError(
            f"--like needs a model of the same atoms, but the file has {differ}. Name its crystals "
            "instead (--crystals A,B), or give the model it was made from."
        )


def _partners(parent: Model, numbers: IntArray, positions: FloatArray) -> IntArray:
    """Atom of the file for each of the parent, shape (N,)."""
    n = len(numbers)
    if np.array_equal(numbers, parent.numbers):
        rotation, shift = superposed(parent.positions, positions)
        off = np.linalg.norm(positions @ rotation.T + shift - parent.positions, axis=1)
        if np.sqrt((off**2).mean()) < IN_ORDER:
            return np.arange(n)
    partner = compare((parent.numbers, parent.positions), (numbers, positions)).partner
    for _ in range(ROUNDS):
        places = _deformed(parent, positions[partner])
        found = pair_elements(parent.numbers, places, numbers, positions)
        if np.array_equal(found, partner):
            break
        partner = found
    off = float(np.median(np.linalg.norm(positions[partner] - places, axis=1)))
    if off > SAME:
        raise ImpossibleError(
            f"The file has the atoms of the model given with --like, but is another particle: laid "
            f"on it, half of them are more than {off:.1f} Å away; {SAME:g} Å is the most."
        )
    return partner


def _deformed(parent: Model, targets: FloatArray) -> FloatArray:
    """The parent's atoms, each domain laid affinely on its targets; Å, shape (N, 3)."""
    places = np.empty_like(targets)
    for k in range(len(parent.domains)):
        mine = parent.domain == k
        design = np.hstack([parent.positions[mine], np.ones((int(mine.sum()), 1))])
        if mine.sum() < FEWEST or np.linalg.matrix_rank(design) < 4:
            rotation, shift = superposed(targets, parent.positions)
            places[mine] = parent.positions[mine] @ rotation.T + shift
            continue
        weight = np.ones(int(mine.sum()))
        for _ in range(3):
            root = np.sqrt(weight)[:, None]
            solution = np.linalg.lstsq(design * root, targets[mine] * root, rcond=None)[0]
            places[mine] = design @ solution
            off = np.linalg.norm(places[mine] - targets[mine], axis=1)
            weight = robust_weights(off, WIDTH)
    return places


def _handed_on(parent: Model, order: IntArray, positions: FloatArray) -> Model:
    """The parent's labels in the order of the file. order: parent's atom of each, shape (N,)."""
    labels = {name: getattr(parent, name)[order] for name in PER_ATOM if name != "positions"}
    model = replace(parent, **labels, positions=positions)
    turned = superposed(positions, parent.positions[order])
    domains = []
    for k, domain in enumerate(model.domains):
        mine = np.flatnonzero((model.domain == k) & (model.site >= 0))
        if len(mine) < FEWEST:  # too few to tell a strain: the frame goes along with the particle
            domains.append(domain.moved(*turned))
            continue
        here = model.site[mine], model.site_cell[mine], positions[mine]
        domains.append(by_sites(domain, *here)[0])
    return replace(model, domains=tuple(domains))


def _like_periodic(
    parent: Model, numbers: IntArray, positions: FloatArray, cell: FloatArray
) -> Model:
    """The same where the cell repeats; atoms go to the image nearest to the parent's."""
    assert parent.cell is not None
    found = compare_periodic(
        (parent.numbers, parent.positions), (numbers, positions), (parent.cell, cell)
    )
    order = np.empty(len(numbers), dtype=np.int64)
    order[found.partner] = np.arange(len(numbers))
    shift = found.shift @ np.linalg.inv(parent.cell)
    fractional = positions @ np.linalg.inv(cell) + shift
    home = (parent.positions @ np.linalg.inv(parent.cell))[order]
    fractional -= np.rint(fractional - home)
    return replace(_handed_on(parent, order, fractional @ cell), cell=cell)
