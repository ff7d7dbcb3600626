"""Symmetry-distinct planes of a crystal, their surface nets and the symmetry of these."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from math import gcd

import numpy as np

from hetbuild.arrays import FloatArray, IntArray, Plane
from hetbuild.crystal import lattice
from hetbuild.crystal.crystal import Crystal
from hetbuild.crystal.lattice import Direction, plane_label
from hetbuild.errors import InputError

COPRIME = 0.83
"""Fraction of integer triples without a common divisor: 1/zeta(3) = 0.832 of all."""


@dataclass(frozen=True, slots=True)
class PlaneLabel:
    """One plane by all the names it goes by."""

    asked: Plane
    """As the user wrote it."""
    lattice: Plane
    """Along `asked`, with the spacing of successive lattice planes: (4 4 2) of an F lattice."""
    reduced: Plane
    """Along `asked`, coprime: (2 2 1)."""
    representative: Plane
    """The symmetry-equivalent plane that stands for the form in a list, as `lattice`."""

    def __str__(self) -> str:
        return plane_label(self.asked)

    @property
    def scale(self) -> float:
        """Plane index of `asked` where that of `lattice` is 1: 1/2 for (2 2 1) of an F lattice."""
        i = max(range(3), key=lambda k: abs(self.lattice[k]))
        return self.asked[i] / self.lattice[i]

    @property
    def text(self) -> str:
        """``(-4 -4 2) = (-2 -2 1) reduced, form {4 4 2}``."""
        parts = [plane_label(self.asked)]
        if self.lattice != self.asked:
            parts.append(f"lattice planes {plane_label(self.lattice)}")
        if self.reduced not in (self.asked, self.lattice):
            parts.append(f"reduced {plane_label(self.reduced)}")
        parts.append("form {" + plane_label(self.representative)[1:-1] + "}")
        return ", ".join(parts)


@dataclass(frozen=True, eq=False)
class PlaneNet:
    """The primitive surface net of a plane, in the plane's own Cartesian axes."""

    label: PlaneLabel
    net: tuple[Direction, Direction]
    """Two shortest vectors, right-handed about the plane normal."""
    frame: FloatArray
    """Unit vectors x (along net[0]), y, normal as rows in the crystal's axes, shape (3, 3)."""
    flat: FloatArray
    """The net's vectors as rows in x, y, Å, shape (2, 2)."""
    symmetries: IntArray
    """Operations that keep the plane's sense, on coefficients of the net as rows, (s, 2, 2)."""
    handed: IntArray
    """+1 for rotations, -1 for reflections of the plane, shape (s,)."""

    @property
    def area(self) -> float:
        """Of the primitive cell, Å²."""
        return float(np.linalg.det(self.flat))


def plane_net(crystal: Crystal, hkl: Sequence[int]) -> PlaneNet:
    """The primitive surface net of (hkl).

    Raises
    ------
    InputError
        Not three integers, or (0 0 0).
    """
    label = plane_label_of(crystal, hkl)
    net = crystal.surface_net(label.lattice)
    vectors = np.array([d.vector for d in net])
    cartesian = vectors @ crystal.vectors
    normal = lattice.plane_normal(crystal.vectors, label.lattice)
    x = cartesian[0] / np.linalg.norm(cartesian[0])
    frame = np.array([x, np.cross(normal, x), normal])
    kept = (np.einsum("j,mji->mi", label.lattice, crystal.rotations) == label.lattice).all(axis=1)
    images = np.einsum("mij,rj->mri", crystal.rotations[kept], vectors)
    symmetries = np.rint(images @ np.linalg.pinv(vectors)).astype(np.int64)
    handed = np.rint(np.linalg.det(symmetries)).astype(np.int64)
    return PlaneNet(label, (net[0], net[1]), frame, cartesian @ frame[:2].T, symmetries, handed)


def plane_label_of(crystal: Crystal, hkl: Sequence[int]) -> PlaneLabel:
    """All names of the plane (hkl)."""
    asked = _indices(lattice.check_plane(hkl))
    planes = lattice.primitive_plane(crystal.primitive, asked)
    common = reduce(gcd, asked)
    reduced = _indices(np.array(asked) // common)
    images = _images(np.array([planes]), crystal.rotations)
    return PlaneLabel(asked, planes, reduced, _indices(_largest(images)[0]))


def number_of_planes(crystal: Crystal, max_index: int) -> float:
    """About how many symmetry-distinct planes there are up to an index, without listing them."""
    coprime = COPRIME * ((2 * max_index + 1) ** 3 - 1)
    return 1.0 + coprime / len(crystal.rotations)


def distinct_pairs(
    first: Crystal, second: Crystal, max_index: int
) -> tuple[tuple[Plane, Plane], ...]:
    """All plane pairs with coprime indices up to `max_index` that no symmetry maps on each other.

    Each crystal may be relabelled by a rotation of its own point group; both at once by a rotary
    inversion of each, which gives the mirror image of the pair. Senses count: (h k l) and
    (-h -k -l) are listed apart where no rotation maps one on the other.

    Raises
    ------
    InputError
        max_index below 1.
    """
    if max_index < 1:
        raise InputError(f"The highest plane index must be at least 1; given {max_index}.")
    mirrored = _has_improper(first) and _has_improper(second)
    return tuple(_pairs(_forms(first, max_index), _forms(second, max_index), mirrored))


@dataclass(frozen=True, eq=False)
class _Forms:
    """Planes no rotation maps on each other; `twin`: index of the mirror image, or own."""

    planes: IntArray
    twin: IntArray


def _pairs(a: _Forms, b: _Forms, mirrored: bool) -> Iterator[tuple[Plane, Plane]]:
    for i, p in enumerate(a.planes):
        for j, q in enumerate(b.planes):
            # Of a pair and its mirror image, the one that comes first is listed.
            image = (int(a.twin[i]), int(b.twin[j]))
            if not mirrored or (i, j) <= image:
                yield _indices(p), _indices(q)


def _forms(crystal: Crystal, max_index: int) -> _Forms:
    axis = np.arange(-max_index, max_index + 1)
    grid = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1).reshape(-1, 3)
    planes = grid[np.gcd.reduce(grid, axis=1) == 1]
    proper = np.linalg.det(crystal.rotations) > 0
    forms = np.unique(_largest(_images(planes, crystal.rotations[proper])), axis=0)
    # Low indices first, and of equals the largest: (1 0 0), (1 1 0), (1 1 1), (2 1 0).
    forms = forms[np.lexsort((*-forms.T[::-1], (forms**2).sum(axis=1)))]
    if proper.all():
        return _Forms(forms, np.arange(len(forms)))
    operation = crystal.rotations[~proper][:1]
    image = _images(forms, operation)[0]
    twins = _largest(_images(image, crystal.rotations[proper]))
    place = {_indices(f): i for i, f in enumerate(forms)}
    return _Forms(forms, np.array([place[_indices(t)] for t in twins]))


def _images(planes: IntArray, operations: IntArray) -> IntArray:
    """Shape (m, P, 3)."""
    return np.asarray(np.einsum("pj,mji->mpi", planes, operations))


def _largest(images: IntArray) -> IntArray:
    """Of each plane's images the one that is largest by h, then k, then l; shape (P, 3)."""
    base = 2 * int(np.abs(images).max()) + 1
    rank = (images @ np.array([base**2, base, 1])).argmax(axis=0)
    return np.asarray(images[rank, np.arange(images.shape[1])])


def _has_improper(crystal: Crystal) -> bool:
    return bool((np.linalg.det(crystal.rotations) < 0).any())


def _indices(row: Sequence[int] | IntArray) -> Plane:
    h, k, l = (int(x) for x in row)  # noqa: E741 (Miller index)
    return h, k, l
