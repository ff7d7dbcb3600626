"""The canonical setting of a crystal: one description, whatever cell and origin its file used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from hetbuild.arrays import FloatArray, IntArray
from hetbuild.elements import symbol
from hetbuild.errors import InputError
from hetbuild.rounding import ALIKE, NOTHING

Cell = tuple[FloatArray, FloatArray, IntArray]
"""Lattice vectors as rows in Å (3, 3), fractional coordinates (n, 3), atomic numbers (n,)."""

SYMPREC = 5e-3
"""Å by which sites may miss their symmetry: CIFs give 0.333 for 1/3 of a 10 Å axis."""

NEAREST = 0.5
"""Å: no two atoms are nearer, those of H2 are 0.74 Å apart."""

SAME_METRIC = 1e-3
"""Difference of metric tensors, by their largest entry, below which two cells are the same."""

SITE_STEPS = 1e4
"""Steps of a cell edge to which coordinates are rounded before sites are put in order, as CIFs
give four decimals."""

ON_POINT = 1e-3
"""Fraction of a cell within which a shift of the origin is a lattice translation."""

CENTRING: Mapping[str, FloatArray] = {
    "P": np.eye(3),
    "A": np.array([[1, 0, 0], [0, 0.5, -0.5], [0, 0.5, 0.5]]),
    "C": np.array([[0.5, -0.5, 0], [0.5, 0.5, 0], [0, 0, 1]]),
    "I": np.array([[-0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0.5, 0.5, -0.5]]),
    "F": np.array([[0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]]),
    "R": np.array([[2, 1, 1], [-1, 1, 1], [-1, -2, 1]]) / 3,
}
"""Primitive vectors (rows) in conventional axes, by the first letter of the space group."""


@dataclass(frozen=True, eq=False)
class Setting:
    """A crystal in its canonical standardised conventional cell of n sites."""

    vectors: FloatArray
    """Lattice vectors a, b, c as rows, Å, shape (3, 3)."""
    numbers: IntArray
    """Shape (n,)."""
    fractional: FloatArray
    """Shape (n, 3)."""
    charges: IntArray
    """e, shape (n,)."""
    labels: tuple[str, ...]
    """Of each site's orbit, length n."""
    space_group: str
    space_group_number: int
    rotations: IntArray
    """Point group, shape (m, 3, 3)."""


def canonical_setting(
    cell: Cell, charges: IntArray, labels: Sequence[str] | None, name: str
) -> Setting:
    """Standardised cell by spglib (doi 10.1080/27660400.2024.2384822), then made canonical.

    charges: e, shape (n,). labels: of each site, length n; left out: the element, numbered where it
    is on several distinct sites. name: for error texts.

    Raises
    ------
    InputError
        No symmetry can be found.
    """
    import spglib

    _check_apart(cell, labels, name)
    data = spglib.get_symmetry_dataset(cell, symprec=SYMPREC)
    if data is None:
        raise InputError(f"{name}: spglib finds no symmetry in its cell, not even translations.")
    first = {int(p): i for i, p in reversed(list(enumerate(data.mapping_to_primitive)))}
    origin = np.array([first[int(p)] for p in data.std_mapping_to_primitive])
    standard = (data.std_lattice, data.std_positions % 1.0, data.std_types)
    symmetry = spglib.get_symmetry_dataset(standard, symprec=SYMPREC)
    vectors, centring = np.array(data.std_lattice), CENTRING[data.international[0]]
    operations = _representatives(symmetry.rotations, symmetry.translations)
    fractional, axes = _canonical(vectors, centring, data.std_types, data.std_positions, operations)
    order = _order(data.std_types, fractional)
    numbers = np.array(data.std_types, dtype=np.int64)[order]
    orbit = data.crystallographic_orbits[origin[order]]
    return Setting(
        vectors=vectors,
        numbers=numbers,
        fractional=fractional[order],
        charges=charges[origin][order],
        labels=_orbit_labels(numbers, orbit) if labels is None else tuple(labels[o] for o in orbit),
        space_group=str(data.international),
        space_group_number=int(data.number),
        rotations=_conjugated(operations[0], axes),
    )


def _check_apart(cell: Cell, labels: Sequence[str] | None, name: str) -> None:
    """Refuse two atoms in one place, as of a file that lists atoms and their images too."""
    from scipy.spatial import cKDTree

    vectors, fractional, numbers = cell
    places = fractional % 1.0
    shifts = np.array(list(product((-1, 0, 1), repeat=3)))
    images = (places + shifts[:, None, :]).reshape(-1, 3)
    # Of the images only those that may be near the cell's own atoms.
    margin = NEAREST * np.linalg.norm(np.linalg.inv(vectors), axis=0)
    at = np.flatnonzero(((images > -margin) & (images < 1 + margin)).all(axis=1))
    own = len(numbers) * (len(shifts) // 2) + np.arange(len(numbers))
    tree = cKDTree(images[at] @ vectors)
    distance, found = tree.query(places @ vectors, k=2, distance_upper_bound=NEAREST)
    near = [
        (float(d), i, int(at[j]) % len(numbers))
        for i, row in enumerate(zip(distance, found, strict=True))
        for d, j in zip(*row, strict=True)
        if d < NEAREST and at[j] != own[i]
    ]
    if near:
        d, i, j = min(near)
        called = [symbol(int(z)) for z in numbers] if labels is None else labels
        raise InputError(
            f"{name}: the sites {called[i]} and {called[j]} are {d:.3f} Å apart, and no two atoms "
            f"are nearer than {NEAREST:g} Å. Does the source list atoms and their images too?"
        )


def _orbit_labels(numbers: IntArray, orbit: IntArray) -> tuple[str, ...]:
    """Element of each site, numbered where it has several orbits; length n."""
    names = {}
    for z in dict.fromkeys(numbers.tolist()):
        of_element = list(dict.fromkeys(orbit[numbers == z].tolist()))
        for i, o in enumerate(of_element, 1):
            names[o] = symbol(z) + (str(i) if len(of_element) > 1 else "")
    return tuple(names[o] for o in orbit.tolist())


def _representatives(rotations: IntArray, translations: FloatArray) -> tuple[IntArray, FloatArray]:
    """One operation of the space group per rotation."""
    _, index = np.unique(rotations.reshape(-1, 9), axis=0, return_index=True)
    return np.array(rotations[index], dtype=np.int64), np.array(translations[index])


def _conjugated(rotations: IntArray, axes: IntArray) -> IntArray:
    inverse = np.rint(np.linalg.inv(axes)).astype(np.int64)
    return np.array([axes @ w @ inverse for w in rotations])


def _canonical(
    vectors: FloatArray,
    primitive: FloatArray,
    numbers: IntArray,
    fractional: FloatArray,
    operations: tuple[IntArray, FloatArray],
) -> tuple[FloatArray, IntArray]:
    """Choose among the equal descriptions x -> R x + t of one standardised cell.

    They are the proper elements of the group's normaliser that keep the cell. The description whose
    sorted site list is smallest is the same for every CIF of the crystal.
    """
    best: tuple[Any, FloatArray, IntArray] | None = None
    for axes in lattice_rotations(vectors, primitive):
        turned = fractional @ axes.T
        for shift in _origin_shifts(axes, primitive, turned, operations):
            moved = (turned + shift + ALIKE) % 1.0 - ALIKE
            order = _order(numbers, moved)
            key = tuple(np.rint(moved[order] * SITE_STEPS).astype(int).ravel())
            if best is None or key < best[0]:
                best = (key, moved, axes)
    assert best is not None  # the identity always qualifies
    # Sites on special positions are exact again, so that plane indices are.
    return np.round(best[1], 12) % 1.0, best[2]


def _order(numbers: IntArray, fractional: FloatArray) -> IntArray:
    """Sites by falling atomic number, then by coordinates."""
    x, y, z = np.rint(fractional.T * SITE_STEPS)
    return np.lexsort((z, y, x, -numbers))


def lattice_rotations(vectors: FloatArray, primitive: FloatArray) -> list[IntArray]:
    """Proper rotations with entries -1, 0, 1 that keep the conventional cell and its centring.

    A turn by 60 degrees keeps a hexagonal cell but takes obverse to reverse centring.
    """
    metric = vectors @ vectors.T
    grid = np.array(np.meshgrid(*9 * [[-1, 0, 1]], indexing="ij")).reshape(9, -1).T
    matrices = grid.reshape(-1, 3, 3)
    matrices = matrices[np.rint(np.linalg.det(matrices)) == 1]
    images = np.einsum("mji,jk,mkl->mil", matrices, metric, matrices)
    kept = np.abs(images - metric).max(axis=(1, 2)) < SAME_METRIC * metric.max()
    cells = primitive @ np.swapaxes(matrices[kept], 1, 2) @ np.linalg.inv(primitive)
    centred = np.abs(cells - np.rint(cells)).max(axis=(1, 2)) < ALIKE
    return [m.astype(np.int64) for m in matrices[kept][centred]]


def _origin_shifts(
    axes: IntArray,
    primitive: FloatArray,
    turned: FloatArray,
    operations: tuple[IntArray, FloatArray],
) -> FloatArray:
    """Shifts t for which x -> axes x + t maps the space group onto itself, shape (s, 3)."""
    rotations, translations = operations
    images = _conjugated(rotations, axes)
    place = {w.tobytes(): i for i, w in enumerate(rotations)}
    index = [place.get(w.tobytes(), -1) for w in images]
    if -1 in index:
        return np.empty((0, 3))
    parts = np.array([0, 1 / 4, 1 / 3, 1 / 2, 2 / 3, 3 / 4])
    shifts = np.array(np.meshgrid(parts, parts, parts, indexing="ij")).reshape(3, -1).T
    change = np.einsum("mij,sj->smi", np.eye(3) - images, shifts)
    residual = translations @ axes.T - translations[index]
    cells = (change + residual) @ np.linalg.inv(primitive)
    shifts = shifts[(np.abs(cells - np.rint(cells)) < ON_POINT).all(axis=(1, 2))]
    polar = rotations.mean(axis=0)
    if np.abs(polar).max() < NOTHING:
        return np.asarray(shifts)
    # Along a polar axis any origin will do: let each site in turn stand at zero.
    drop = (turned[None] + shifts[:, None]) @ polar.T
    return np.asarray((shifts[:, None] - drop).reshape(-1, 3))
