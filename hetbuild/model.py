"""The model: atoms of one or more crystal domains, frozen, with all that a merge would lose."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import IntEnum
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from hetbuild.crystal.crystal import Crystal
from hetbuild.crystal.lattice import Coincidence, FloatArray, IntArray
from hetbuild.elements import counts, formula
from hetbuild.errors import InputError

if TYPE_CHECKING:
    from ase import Atoms
    from pymatgen.core import Molecule

BoolArray = npt.NDArray[np.bool_]

DECIMALS = 8
"""Positions are kept to 1e-8 Å, the precision of extended XYZ, so that files lose nothing."""


class Role(IntEnum):
    """What an atom is in its model."""

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
class Domain:
    """A crystal as it lies in the model: its frame relates atoms to planes and sites."""

    name: str
    crystal: Crystal
    vectors: FloatArray
    """Conventional lattice vectors a, b, c as rows in the model's axes, Å, shape (3, 3)."""
    origin: FloatArray
    """Where the datum site is in the model's axes, Å, shape (3,)."""
    datum: int
    """Index of the crystal site that planes and offsets are counted from."""

    def __post_init__(self) -> None:
        for array in (self.vectors, self.origin):
            array.flags.writeable = False

    @property
    def sites(self) -> FloatArray:
        """Coordinates of the crystal's sites counted from the datum, shape (n, 3)."""
        return self.crystal.fractional - self.crystal.fractional[self.datum]

    def fractional(self, positions: FloatArray) -> FloatArray:
        """Conventional coordinates counted from the datum, shape (N, 3). positions: Å, (N, 3)."""
        return np.asarray((positions - self.origin) @ np.linalg.inv(self.vectors))

    def cartesian(self, fractional: FloatArray) -> FloatArray:
        """Å in the model's axes, shape (N, 3), of coordinates counted from the datum."""
        return np.asarray(fractional @ self.vectors + self.origin)

    def plane_index(
        self, hkl: tuple[int, int, int] | IntArray, positions: FloatArray
    ) -> FloatArray:
        """On which plane of (hkl), counted from the datum, atoms lie; shape (N,)."""
        return self.fractional(positions) @ np.asarray(hkl, dtype=float)

    def moved(self, rotation: FloatArray, shift: FloatArray) -> Domain:
        """After x -> rotation @ x + shift. rotation: shape (3, 3); shift: Å, shape (3,)."""
        return replace(
            self, vectors=self.vectors @ rotation.T, origin=rotation @ self.origin + shift
        )


@dataclass(frozen=True, slots=True)
class Interface:
    """How two domains were joined."""

    domains: tuple[str, str]
    """Names; the first lies on the growing side of the planes and owns the shared layer."""
    planes: tuple[tuple[int, int, int], tuple[int, int, int]]
    """Parallel planes (hkl), one of each domain."""
    along: Coincidence
    """Parallel in-plane lattice directions that fix the orientation."""
    across: Coincidence | None
    """The in-plane pair normal to it, where both crystals have one."""
    shift: tuple[float, float]
    """Rigid shift of the second domain along and across, Å."""
    gap: float
    """Distance of the second domain from coincidence, along the normal, Å."""


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """One ion that came, went or changed, and why."""

    step: str
    """Stage that did it, as ``balance``."""
    action: str
    """``add``, ``remove`` or ``swap``."""
    element: str
    """Ion added or removed; ``S>Cl`` for a swap."""
    domain: str
    position: tuple[float, float, float]
    """Å in the axes of the model."""
    reason: str


@dataclass(frozen=True, eq=False)
class Model:
    """A finite particle, or several joined. All arrays are read-only."""

    numbers: IntArray
    """Atomic numbers, shape (N,)."""
    positions: FloatArray
    """Å, shape (N, 3)."""
    charges: IntArray
    """Formal charges in e, shape (N,)."""
    domain: IntArray
    """Index into `domains`, shape (N,)."""
    role: IntArray
    """Values of `Role`, shape (N,)."""
    domains: tuple[Domain, ...]
    interface: Interface | None = None
    ledger: tuple[LedgerEntry, ...] = ()
    provenance: Mapping[str, Any] = field(default_factory=dict)
    """Recipe, versions, digests: what is needed to build the model again."""
    cell: FloatArray | None = None
    """Cell vectors of a periodic model as rows, Å, shape (3, 3); None: a finite particle."""
    periodic: tuple[bool, bool, bool] = (False, False, False)
    """Along which cell vectors the model repeats; a slab in vacuum not along the third."""

    def __post_init__(self) -> None:
        n = len(self.numbers)
        shapes = {"positions": (n, 3), "charges": (n,), "domain": (n,), "role": (n,)}
        for name, shape in shapes.items():
            given = getattr(self, name).shape
            if given != shape:
                raise InputError(f"Model of {n} atoms: {name} has shape {given}, must be {shape}.")
        for array in (self.numbers, self.positions, self.charges, self.domain, self.role):
            array.flags.writeable = False

    def __len__(self) -> int:
        return len(self.numbers)

    @property
    def charge(self) -> int:
        """Formal charge in e."""
        return int(self.charges.sum())

    @property
    def formula(self) -> str:
        """As ``Cs126Pb337S221Cl358``."""
        return formula(counts(self.numbers))

    @property
    def formulas(self) -> dict[str, str]:
        """Formula of each domain by name."""
        return {
            d.name: formula(counts(self.numbers[self.domain == i]))
            for i, d in enumerate(self.domains)
        }

    def domain_named(self, name: str) -> int:
        """Index of a domain.

        Raises
        ------
        InputError
            The model has no such domain.
        """
        names = [d.name for d in self.domains]
        if name not in names:
            raise InputError(f"No domain {name!r} in this model; it has {', '.join(names)}.")
        return names.index(name)

    def where(self, mask: BoolArray) -> Model:
        """The atoms where mask, shape (N,), is true."""
        return replace(
            self,
            numbers=self.numbers[mask],
            positions=self.positions[mask],
            charges=self.charges[mask],
            domain=self.domain[mask],
            role=self.role[mask],
        )

    def moved(self, rotation: FloatArray, shift: FloatArray) -> Model:
        """After x -> rotation @ x + shift, domain frames included."""
        return replace(
            self,
            positions=self.positions @ rotation.T + shift,
            domains=tuple(d.moved(rotation, shift) for d in self.domains),
            cell=None if self.cell is None else self.cell @ rotation.T,
        )

    def to_ase(self) -> Atoms:
        """ASE Atoms that carry everything; `from_ase` gives the same model back."""
        from hetbuild.formats.ase import to_ase

        return to_ase(self)

    @classmethod
    def from_ase(cls, atoms: Atoms) -> Model:
        """The model that `to_ase` made these Atoms from.

        Raises
        ------
        InputError
            The Atoms carry no hetbuild record.
        """
        from hetbuild.formats.ase import from_ase

        return from_ase(atoms)

    def to_pymatgen(self) -> Molecule:
        """pymatgen Molecule with domain, role and formal charge as site properties."""
        from hetbuild.formats.pymatgen import to_pymatgen

        return to_pymatgen(self)
