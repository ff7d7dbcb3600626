"""The model: atoms of one or more crystal domains, frozen, with all that a merge would lose."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hetbuild.arguments import checked, expect, shaped
from hetbuild.arrays import BoolArray, FloatArray, IntArray, Plane
from hetbuild.crystal.lattice import Coincidence, plane_label
from hetbuild.domain import Domain as Domain
from hetbuild.domain import Role as Role
from hetbuild.elements import counts, formula
from hetbuild.errors import InputError
from hetbuild.frozen import Frozen, frozen, frozen_tree, own

if TYPE_CHECKING:
    from ase import Atoms
    from pymatgen.core import Molecule, Structure


DECIMALS = 8
"""Positions are kept to 1e-8 Å, the precision of extended XYZ, so that files lose nothing."""


def kept_digits(positions: FloatArray) -> FloatArray:
    """Positions to the 1e-8 Å that are kept.

    Means of kept positions end in a 5 beyond: the tenth decimal says so, not the last bits.
    """
    return np.asarray(np.round(np.round(positions, DECIMALS + 2), DECIMALS))


TURNED = 16_384
"""Atoms that are turned at a time."""

SAME_SITE = 0.3
"""Å within which a position is a lattice site; far below any distance between two sites."""

PER_ATOM = ("numbers", "positions", "charges", "domain", "role", "site", "site_cell", "molecule")
"""Fields of Model with one row for each atom."""


@dataclass(frozen=True, slots=True)
class Interface:
    """How two domains were joined."""

    domains: tuple[str, str]
    """Names; the first lies on the growing side of the planes and owns the shared layer."""
    planes: tuple[Plane, Plane]
    """Parallel planes (hkl), one of each domain."""
    along: Coincidence
    """Parallel in-plane lattice directions that fix the orientation."""
    across: Coincidence | None
    """The in-plane pair normal to it, where both crystals have one."""
    shift: tuple[float, float]
    """Rigid shift of the second domain along and across, Å."""
    gap: float
    """Distance of the second domain from coincidence, along the normal, Å."""

    def __repr__(self) -> str:
        sides = zip(self.domains, self.planes, strict=True)
        met = " || ".join(f"{name} {plane_label(plane)}" for name, plane in sides)
        shift = "/".join(f"{x:.2f}" for x in self.shift)
        return f"<Interface {met}: shift {shift} Å, gap {self.gap:.2f} Å>"


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """One ion that came, went, changed or moved, and why."""

    step: str
    """Stage that did it, as ``balance``."""
    action: str
    """``add``, ``remove``, ``swap`` or ``move``."""
    element: str
    """Ion added or removed; ``S>Cl`` for a swap."""
    domain: str
    position: tuple[float, float, float]
    """Å in the axes of the model."""
    reason: str


@dataclass(frozen=True, eq=False)
class Model(Frozen):
    """A particle, several joined, or a periodic interface: N atoms with all that made them.

    Everything in it is read-only; arrays given to it are copied where others could write to them.
    Change a model by the functions that return a new one, or by `dataclasses.replace`. Models are
    equal where they are the same object; `hetbuild.compare` says how far two lie apart.

    Examples
    --------
    >>> import hetbuild as hb
    >>> cube = hb.build("cspbcl3-cube-2")
    >>> cube
    <Model Cs20Pb8Cl36: 64 atoms, formal charge 0 e, perovskite of CsPbCl3>
    """

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
    site: IntArray = field(default_factory=lambda: np.empty(0, dtype=np.int16))
    """Lattice site of each atom: index into the sites of its domain's crystal, -1 where it has
    none (an added atom, a molecule); shape (N,). Left out: none has."""
    site_cell: IntArray = field(default_factory=lambda: np.empty((0, 3), dtype=np.int16))
    """Conventional cell of that site, counted from the cell of the domain's datum, shape (N, 3)."""
    molecule: IntArray = field(default_factory=lambda: np.empty(0, dtype=np.int32))
    """Which ligand molecule each atom belongs to, counted from 1; 0: none; shape (N,)."""
    interface: Interface | None = None
    """How the two domains are joined; of more domains the first join, see `interfaces`."""
    ledger: tuple[LedgerEntry, ...] = ()
    provenance: Mapping[str, Any] = field(default_factory=dict)
    """Recipe, versions, digests: what is needed to build the model again."""
    cell: FloatArray | None = None
    """Cell vectors of a periodic model as rows, Å, shape (3, 3); None: a finite particle."""
    periodic: tuple[bool, bool, bool] = (False, False, False)
    """Along which cell vectors the model repeats; a slab in vacuum not along the third."""
    further_interfaces: tuple[Interface, ...] = ()
    """Those of the other joins, of a model of more than two domains."""

    def __post_init__(self) -> None:
        expect(self.numbers, np.ndarray, "Model: numbers", "Make models with build or carve.")
        n = len(self.numbers)
        if n and not len(self.site):
            object.__setattr__(self, "site", own(np.full(n, -1, dtype=np.int16)))
            object.__setattr__(self, "site_cell", own(np.zeros((n, 3), dtype=np.int16)))
        if n and not len(self.molecule):
            object.__setattr__(self, "molecule", own(np.zeros(n, dtype=np.int32)))
        for name in PER_ATOM:
            array = getattr(self, name)
            expect(array, np.ndarray, f"Model: {name}")
            shape = (n, 3) if name in ("positions", "site_cell") else (n,)
            if array.shape != shape:
                raise InputError(
                    f"Model of {n} atoms: {name} has shape {array.shape}, must be {shape}."
                )
            if name == "positions" and (np.signbit(array) & (array == 0.0)).any():
                # No -0.0: files would differ by how a zero came about.
                array = own(array + 0.0)
            object.__setattr__(self, name, frozen(array))
        names = [d.name for d in self.domains]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise InputError(
                f"Two domains are called {twice[0]}: a domain is known by its name, so give each "
                "its own."
            )
        if self.interface is None and self.further_interfaces:
            raise InputError("Model: further_interfaces follow an interface; give that first.")
        object.__setattr__(self, "provenance", frozen_tree(self.provenance))
        if self.cell is not None:
            object.__setattr__(self, "cell", frozen(self.cell))

    def __len__(self) -> int:
        return len(self.numbers)

    def __repr__(self) -> str:
        made_of = ", ".join(f"{d.name} of {d.crystal.name}" for d in self.domains)
        kind = "" if self.cell is None else "periodic, "
        charge = f"formal charge {self.charge:+d} e" if self.charge else "formal charge 0 e"
        return f"<Model {self.formula}: {len(self)} atoms, {charge}, {kind}{made_of}>"

    def _repr_html_(self) -> str:
        """What a notebook shows: formula, charge, domains and a picture."""
        return str(_format("html").to_html(self))

    @property
    def interfaces(self) -> tuple[Interface, ...]:
        """How the domains are joined: one for each join, in the order of the recipe.

        Examples
        --------
        >>> import hetbuild as hb
        >>> hb.build("cspbcl3-cube-2").interfaces
        ()
        """
        return () if self.interface is None else (self.interface, *self.further_interfaces)

    def with_interfaces(self, found: Sequence[Interface]) -> Model:
        """The same atoms with these interfaces between their domains."""
        first, *further = (*found,) or (None,)
        return replace(self, interface=first, further_interfaces=tuple(further))

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

    @checked
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

    @checked
    def where(self, mask: BoolArray | IntArray | slice) -> Model:
        """The atoms where mask, shape (N,), is true, at these indices, or those of a slice.

        Raises
        ------
        InputError
            The mask is not of one value for each atom, or an index is that of none.
        """
        if isinstance(mask, np.ndarray) and mask.dtype == np.bool_:
            shaped(mask, (len(self),), "where: mask")
        elif isinstance(mask, np.ndarray) and np.any((mask < 0) | (mask >= len(self))):
            raise InputError(f"where: indices of {len(self)} atoms are 0 to {len(self) - 1}.")
        return replace(self, **{name: own(getattr(self, name)[mask]) for name in PER_ATOM})

    def extended(
        self,
        *,
        numbers: IntArray,
        positions: FloatArray,
        charges: IntArray,
        domain: IntArray,
        role: IntArray,
        molecule: IntArray | None = None,
        on_sites: bool = True,
    ) -> Model:
        """With M more atoms at the end, on the sites of their domains that are there.

        positions: Å, shape (M, 3); the others as the fields of the same name, shape (M,).
        on_sites: False for atoms that stand on none, as those of a molecule.
        """
        site, cell = self._sites_at(positions, domain, SAME_SITE if on_sites else 0.0)
        more = {
            "numbers": numbers,
            "positions": positions,
            "charges": charges,
            "domain": domain,
            "role": role,
            "site": site,
            "site_cell": cell,
            "molecule": np.zeros(len(numbers), dtype=np.int32) if molecule is None else molecule,
        }
        joined: dict[str, Any] = {
            name: own(np.concatenate([old, values.astype(old.dtype)]))
            for name, values in more.items()
            for old in [getattr(self, name)]
        }
        return replace(self, **joined)

    @property
    def lattice_positions(self) -> FloatArray:
        """Where each atom's lattice site is, Å, shape (N, 3); the atom itself where it has none.

        Of a periodic model the image of the site nearest to the atom.
        """
        places = self.positions.copy()
        for i, domain in enumerate(self.domains):
            mine = np.flatnonzero((self.domain == i) & (self.site >= 0))
            places[mine] = domain.site_positions(self.site[mine], self.site_cell[mine])
        if self.cell is not None:
            cells = (places - self.positions) @ np.linalg.inv(self.cell)
            places -= np.rint(cells) @ self.cell
        return places

    def with_domain(self, index: int, domain: Domain) -> Model:
        """With one domain described anew, as another crystal or in another frame of the same one.

        Atoms keep their positions; their sites are looked up in the new description by the sites
        they had, so that displaced atoms are not mistaken.
        """
        domains = list(self.domains)
        old, domains[index] = domains[index], domain
        changed = replace(self, domains=tuple(domains))
        if domain.crystal is old.crystal:
            return changed
        mine = np.flatnonzero((self.domain == index) & (self.site >= 0))
        ideal = old.site_positions(self.site[mine], self.site_cell[mine])
        site, cell = self.site.copy(), self.site_cell.copy()
        site[mine], cell[mine] = changed._sites_at(ideal, self.domain[mine], SAME_SITE)
        return replace(changed, site=site, site_cell=cell)

    def _sites_at(
        self, positions: FloatArray, domain: IntArray, within: float
    ) -> tuple[IntArray, IntArray]:
        """Sites of each position's domain that are there within so many Å, else -1; cells."""
        site = np.full(len(positions), -1, dtype=np.int64)
        cell = np.zeros((len(positions), 3), dtype=np.int64)
        for i in np.unique(domain):
            mine = np.flatnonzero(domain == i)
            found, cells, off = self.domains[i].nearest_sites(positions[mine])
            here = off < within
            site[mine[here]], cell[mine[here]] = found[here], cells[here]
        return site, cell

    @checked
    def moved(self, rotation: FloatArray, shift: FloatArray) -> Model:
        """After x -> rotation @ x + shift, domain frames included.

        rotation: shape (3, 3); shift: Å, shape (3,).

        Raises
        ------
        InputError
            Arrays of other shapes.
        """
        shaped(rotation, (3, 3), "moved: rotation")
        shaped(shift, (3,), "moved: shift")
        positions = np.empty((len(self), 3))
        # In parts too small for BLAS to set all processors on them, which takes them longer.
        for start in range(0, len(self), TURNED):
            part = slice(start, start + TURNED)
            positions[part] = self.positions[part] @ rotation.T + shift
        return replace(
            self,
            positions=own(positions),
            domains=tuple(d.moved(rotation, shift) for d in self.domains),
            cell=None if self.cell is None else self.cell @ rotation.T,
        )

    @checked
    def to_ase(self, vacuum: float = 10.0) -> Atoms:
        """ASE Atoms that carry everything; `from_ase` gives the same model back, exactly.

        A particle stands in the middle of a box with `vacuum` Å on every side, not periodic (pbc is
        False along all three): programs that need a cell have one, and no calculator sees images.
        A periodic model keeps its cell and positions, and pbc says along which vectors it repeats.

        Raises
        ------
        InputError
            A vacuum that is negative or no number.

        Examples
        --------
        >>> import hetbuild as hb
        >>> atoms = hb.build("cspbcl3-cube-2").to_ase(vacuum=8.0)
        >>> atoms.cell.lengths().round(3).tolist(), atoms.pbc.any()
        ([27.21, 27.21, 27.21], np.False_)
        """
        return _format("ase").to_ase(self, vacuum)

    @classmethod
    def from_ase(cls, atoms: Atoms) -> Model:
        """The model that `to_ase` made these Atoms from.

        Raises
        ------
        InputError
            The Atoms carry no hetbuild record.
        """
        return _format("ase").from_ase(atoms)

    def to_pymatgen(self) -> Molecule | Structure:
        """pymatgen Molecule of a particle, Structure of a periodic model.

        Domain, role and formal charge (e) are site properties; `from_pymatgen` gives the same model
        back.

        Examples
        --------
        >>> import hetbuild as hb
        >>> molecule = hb.build("cspbcl3-cube-2").to_pymatgen()
        >>> molecule.composition.reduced_formula, molecule.charge
        ('Cs5Pb2Cl9', 0)
        """
        return _format("pymatgen").to_pymatgen(self)

    @classmethod
    def from_pymatgen(cls, made: Molecule | Structure) -> Model:
        """The model that `to_pymatgen` made this of.

        Raises
        ------
        InputError
            It carries no hetbuild record.
        """
        return _format("pymatgen").from_pymatgen(made)

    @checked
    def write(self, path: str | Path, *, vacuum: float = 10.0, force: bool = False) -> Path:
        """Write a file in the format its name ends in; returns its path.

        Endings: .xyz (extended, with everything), .vesta, .cif, .poscar, .lammps, .gro, .xsf, and
        -plain.xyz for element and position only. vacuum: Å around a particle in formats with a
        cell. force: overwrite a file that is there.

        Raises
        ------
        InputError
            An ending of no format, a file in the way, or a folder that cannot be written.

        Examples
        --------
        >>> import hetbuild as hb
        >>> hb.build("cspbcl3-cube-2").write("cube.vesta").name
        'cube.vesta'
        """
        return Path(_format("catalogue").write_model(self, path, vacuum, force))


def _format(name: str) -> Any:
    """A module of the formats, found by name when asked for: models import no format."""
    return import_module(f"hetbuild.formats.{name}")
