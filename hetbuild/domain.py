"""A domain: a crystal as it lies in a model, and the roles atoms have beside it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import IntEnum

import numpy as np

from hetbuild.arguments import checked
from hetbuild.arrays import FloatArray, IntArray, Plane
from hetbuild.crystal.crystal import Crystal
from hetbuild.crystal.lattice import check_plane
from hetbuild.errors import InputError
from hetbuild.frozen import Frozen, frozen
from hetbuild.names import check_name


class Role(IntEnum):
    """What an atom is in its model.

    Examples
    --------
    >>> import hetbuild as hb
    >>> [role.label for role in hb.Role]
    ['lattice', 'shared', 'ligand', 'compensation']
    """

    LATTICE = 0
    """On a site of its domain's crystal, as in the bulk."""
    SHARED = 1
    """Cation of the layer that two domains have in common."""
    LIGAND = 2
    """Surface ion that stands for a ligand or replaces the crystal's own termination."""
    COMPENSATION = 3
    """Added, or changed, to balance the charge."""

    @property
    def label(self) -> str:
        """Lower-case name, as files and recipes spell it."""
        return self.name.lower()


@dataclass(frozen=True, eq=False)
class Domain(Frozen):
    """A crystal as it lies in the model: its frame relates atoms to planes and sites.

    Examples
    --------
    >>> import hetbuild as hb
    >>> sulfide = hb.carve("PbS", [hb.Facet((1, 0, 0), 2)], site="Pb").domains[0]
    >>> sulfide.plane_index((2, 0, 0), sulfide.cartesian([[0.5, 0, 0]])).round(9).tolist()
    [1.0]
    """

    name: str
    crystal: Crystal
    vectors: FloatArray
    """Conventional lattice vectors a, b, c as rows in the model's axes, Å, shape (3, 3)."""
    origin: FloatArray
    """Where the datum site is in the model's axes, Å, shape (3,)."""
    datum: int
    """Index of the crystal site that planes and offsets are counted from."""

    def __post_init__(self) -> None:
        check_name(self.name, "domain")
        for name in ("vectors", "origin"):
            object.__setattr__(self, name, frozen(getattr(self, name)))

    def __repr__(self) -> str:
        return f"<Domain {self.name} of {self.crystal.name}>"

    @property
    def sites(self) -> FloatArray:
        """Coordinates of the crystal's sites counted from the datum, shape (n, 3)."""
        return np.asarray(self.crystal.fractional - self.crystal.fractional[self.datum])

    @checked
    def fractional(self, positions: FloatArray) -> FloatArray:
        """Conventional coordinates counted from the datum, shape (N, 3). positions: Å, (N, 3).

        Raises
        ------
        InputError
            No positions.
        """
        _check_rows(positions, "fractional: positions")
        return np.asarray((positions - self.origin) @ np.linalg.inv(self.vectors))

    @checked
    def cartesian(self, fractional: FloatArray) -> FloatArray:
        """Å in the model's axes, shape (N, 3), of coordinates counted from the datum.

        Raises
        ------
        InputError
            No coordinates.
        """
        _check_rows(fractional, "cartesian: fractional")
        return np.asarray(fractional @ self.vectors + self.origin)

    def site_positions(self, site: IntArray, cell: IntArray) -> FloatArray:
        """Where lattice sites are in the model's axes, Å, shape (N, 3).

        site: index of each in the crystal, shape (N,); cell: conventional cells from the datum's,
        shape (N, 3).
        """
        return self.cartesian(self.sites[site] + cell)

    def nearest_sites(self, positions: FloatArray) -> tuple[IntArray, IntArray, FloatArray]:
        """The lattice site nearest to each position, whatever ion it is for.

        positions: Å, shape (N, 3). Returns the site's index (N,), its cell (N, 3) and how far off
        the position is in Å, shape (N,).
        """
        fractional = self.fractional(positions)
        site = np.zeros(len(positions), dtype=np.int64)
        cell = np.zeros((len(positions), 3), dtype=np.int64)
        best = np.full(len(positions), np.inf)
        for i, place in enumerate(self.sites):
            whole = np.rint(fractional - place)
            off = np.linalg.norm((fractional - place - whole) @ self.vectors, axis=1)
            nearer = off < best - 1e-9
            site[nearer], best[nearer] = i, off[nearer]
            cell[nearer] = whole[nearer].astype(np.int64)
        return site, cell, best

    @checked
    def plane_index(self, hkl: Plane | IntArray, positions: FloatArray) -> FloatArray:
        """On which plane of (hkl), counted from the datum, atoms lie; shape (N,).

        positions: Å, shape (N, 3).

        Raises
        ------
        InputError
            (0 0 0), or what is no plane or no positions.
        """
        return np.asarray(self.fractional(positions) @ check_plane(np.asarray(hkl).tolist()))

    def moved(self, rotation: FloatArray, shift: FloatArray) -> Domain:
        """After x -> rotation @ x + shift. rotation: shape (3, 3); shift: Å, shape (3,)."""
        return replace(
            self, vectors=self.vectors @ rotation.T, origin=rotation @ self.origin + shift
        )


def _check_rows(array: FloatArray, what: str) -> None:
    """Stop where an array is not of rows of three."""
    if array.shape[-1:] != (3,):
        raise InputError(f"{what} must have shape (N, 3); given {array.shape}.")
