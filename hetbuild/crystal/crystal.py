"""Bulk crystals: lattice, sites, symmetry and formal charges.

A crystal is brought to one canonical description of its standardised conventional cell, so that
nothing built from it depends on the cell, the origin or the axes its source happened to use.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hetbuild.arguments import checked, expect
from hetbuild.arrays import FloatArray, Index, IntArray
from hetbuild.crystal import lattice, read
from hetbuild.crystal.bonds import Bonds, first_shell
from hetbuild.crystal.charges import state
from hetbuild.crystal.setting import CENTRING, canonical_setting
from hetbuild.crystal.subgroups import subgroup
from hetbuild.elements import KINDS, counts, formula, number, symbol, usual_charge
from hetbuild.errors import InputError, nearest
from hetbuild.frozen import Frozen, frozen, frozen_tree
from hetbuild.library import find_structure, structures
from hetbuild.names import check_label, check_name
from hetbuild.notebook import to_table

if TYPE_CHECKING:
    from ase import Atoms
    from pymatgen.core import Structure


@dataclass(frozen=True, eq=False)
class Crystal(Frozen):
    """A neutral bulk phase in its canonical standardised conventional cell.

    Make one with `from_cif`, `from_ase`, `from_pymatgen` or `named`. All arrays are read-only.

    Examples
    --------
    >>> import hetbuild as hb
    >>> pbs = hb.Crystal.named("PbS")
    >>> pbs.space_group, pbs.formula, round(pbs.spacing((4, 4, 2)), 4)
    ('Fm-3m', 'Pb4S4', 0.9894)
    """

    name: str
    """What the user calls it: the stem of the CIF, by the rule of `hetbuild.names`."""
    vectors: FloatArray
    """Conventional lattice vectors a, b, c as rows, Å, shape (3, 3), right-handed."""
    numbers: IntArray
    """Atomic numbers of all sites of the conventional cell, shape (n,)."""
    fractional: FloatArray
    """Their coordinates in [0, 1), shape (n, 3)."""
    charges: IntArray
    """Formal charges in e, shape (n,); they sum to zero."""
    labels: tuple[str, ...]
    """Label of each site: that of its symmetry-distinct site in the CIF, length n."""
    space_group: str
    """Hermann-Mauguin symbol, as ``Fm-3m``."""
    space_group_number: int
    """Number in the International Tables, 1 to 230."""
    rotations: IntArray
    """Point group: integer matrices acting on fractional columns, shape (m, 3, 3)."""
    source: str = ""
    """Citation given by the CIF."""
    status: str = field(default="", compare=False)
    """What the CIF says of its numbers: published, derived or idealised, and what is unchecked."""
    sha256: str = field(default="", compare=False)
    """Digest of the CIF's bytes."""
    guessed: tuple[str, ...] = ()
    """Elements whose formal charge is the only one that makes the formula neutral."""
    foreign_charges: Mapping[str, int] = field(default_factory=dict)
    """Formal charges in e stated for elements that are not the crystal's own: ligands, dopants."""

    def __post_init__(self) -> None:
        check_name(self.name, "crystal")
        for label in self.labels:
            check_label(label, self.name)
        for name in ("vectors", "numbers", "fractional", "charges", "rotations"):
            array = getattr(self, name)
            expect(array, np.ndarray, f"Crystal: {name}", "Make crystals with Crystal.from_cif.")
            object.__setattr__(self, name, frozen(array))
        object.__setattr__(self, "foreign_charges", frozen_tree(self.foreign_charges))

    def __repr__(self) -> str:
        edges = " x ".join(f"{x:.4g}" for x in self.cell_parameters[:3])
        return f"<Crystal {self.name}: {self.formula}, {self.space_group}, {edges} Å>"

    def _repr_html_(self) -> str:
        """What a notebook shows: space group, cell, charges and where it is from."""
        a, b, c, *angles = self.cell_parameters
        ions = dict(zip(map(symbol, map(int, self.numbers)), self.charges.tolist(), strict=True))
        rows = [
            ("space group", f"{self.space_group} ({self.space_group_number})"),
            ("a, b, c", f"{a:.4f}, {b:.4f}, {c:.4f} Å"),
            ("α, β, γ", ", ".join(f"{angle:.2f}" for angle in angles) + "°"),
            ("charges", ", ".join(f"{element} {q:+d}" for element, q in ions.items()) + " e"),
            *((name, text) for name in ("source", "status") if (text := getattr(self, name))),
        ]
        return to_table(f"{self.name}, {self.formula}", rows)

    @classmethod
    @checked
    def from_cif(
        cls, path: str | Path, *, charges: Mapping[str, int] | None = None, name: str | None = None
    ) -> Crystal:
        """The bulk phase in a CIF file.

        charges: formal charge in e by element symbol, of ligands and dopants too. Elements not
        given take the CIF's `_atom_type_oxidation_number`, else the element's usual charge, else
        the only one that makes the crystal neutral (listed in `guessed`). name: default the stem of
        the file.

        Raises
        ------
        InputError
            The file cannot be read, holds no atoms, has partly occupied sites, or its formula is
            not neutral.
        """
        return _canonical(read.from_cif(path, charges, name))

    @classmethod
    @checked
    def from_ase(
        cls, atoms: Atoms, *, charges: Mapping[str, int] | None = None, name: str | None = None
    ) -> Crystal:
        """The bulk phase in ASE Atoms with a cell of three vectors; any cell of it will do.

        charges: as for `from_cif`; name: default the formula unit.

        Raises
        ------
        InputError
            No Atoms, no full cell, no neutral formula, or no symmetry found.

        Examples
        --------
        >>> import hetbuild as hb
        >>> from ase.build import bulk
        >>> hb.Crystal.from_ase(bulk("PbS", "rocksalt", a=5.936))
        <Crystal PbS: Pb4S4, Fm-3m, 5.936 x 5.936 x 5.936 Å>
        """
        return _canonical(read.from_ase(atoms, charges, name))

    @classmethod
    @checked
    def from_pymatgen(
        cls,
        structure: Structure,
        *,
        charges: Mapping[str, int] | None = None,
        name: str | None = None,
    ) -> Crystal:
        """The bulk phase in an ordered pymatgen Structure; any cell of it will do.

        Oxidation states of its species are taken as formal charges, unless `charges` (e, by
        element symbol) says otherwise; name: default the formula unit.

        Raises
        ------
        InputError
            No Structure, partly occupied sites, several or fractional oxidation states of one
            element, no neutral formula, or no symmetry found.
        """
        return _canonical(read.from_pymatgen(structure, charges, name))

    @classmethod
    @checked
    def named(cls, name: str, *, charges: Mapping[str, int] | None = None) -> Crystal:
        """A crystal that travels with hetbuild; `hetbuild.structures()` lists their names.

        Raises
        ------
        InputError
            None is called so; the text lists all.

        Examples
        --------
        >>> import hetbuild as hb
        >>> hb.Crystal.named("CsPbCl3")
        <Crystal CsPbCl3: CsPbCl3, Pm-3m, 5.605 x 5.605 x 5.605 Å>
        """
        shipped = structures()
        if name not in shipped:
            raise InputError(f"No shipped crystal is called {name!r}; {nearest(name, shipped)}")
        return cls.from_cif(shipped[name], charges=charges)

    def to_ase(self) -> Atoms:
        """The conventional cell as ASE Atoms, periodic, formal charges (e) as initial charges."""
        from ase import Atoms as AseAtoms

        return AseAtoms(
            numbers=self.numbers,
            scaled_positions=self.fractional,
            cell=self.vectors,
            pbc=True,
            charges=self.charges,
        )

    def to_pymatgen(self) -> Structure:
        """The conventional cell as pymatgen Structure, formal charges (e) as oxidation states."""
        from pymatgen.core import Species
        from pymatgen.core import Structure as PmgStructure

        species = [
            Species(symbol(z), int(q)) for z, q in zip(self.numbers, self.charges, strict=True)
        ]
        return PmgStructure(self.vectors, species, self.fractional)

    @property
    def primitive(self) -> FloatArray:
        """Primitive lattice vectors as rows in conventional axes, shape (3, 3)."""
        return CENTRING[self.space_group[0]]

    @property
    def formula(self) -> str:
        """Contents of one conventional cell, as ``Pb4S4``."""
        return formula(counts(self.numbers))

    @property
    def cell_parameters(self) -> tuple[float, ...]:
        """a, b, c in Å, alpha, beta, gamma in degrees."""
        return lattice.parameters(self.vectors)

    @checked
    def ions(self, word: str) -> tuple[str, ...]:
        """The elements a word means in the crystal: itself, or all of a kind, as ``anion``.

        Raises
        ------
        InputError
            The word is neither, or the crystal has no ion of the kind.
        """
        if word not in KINDS:
            number(word)
            return (word,)
        found = tuple(counts(self.numbers[KINDS[word](self.numbers, self.charges)]))
        if not found:
            raise InputError(
                f"{word!r}: {self.name} has none; its ions are {', '.join(counts(self.numbers))}."
            )
        return found

    @checked
    def charge_of(self, element: str) -> int:
        """Formal charge in e of an ion of this element in or on the crystal.

        Raises
        ------
        InputError
            It is none of the crystal's, none was stated for it, and it has no usual one.
        """
        z = number(element)
        here = np.flatnonzero(self.numbers == z)
        if len(here):
            return int(self.charges[here[0]])
        charge = self.foreign_charges.get(element, usual_charge(z))
        if charge is None:
            raise InputError(f"No formal charge is known for {element}; {state(element)}.")
        return charge

    @cached_property
    def site_names(self) -> tuple[str, ...]:
        """A name for each site of the cell: its label, numbered where others share it."""
        return numbered(self.labels)

    @checked
    def datum(self, name: str | None) -> int:
        """Index of the site called `name`, an element or a CIF label; None: the first cation.

        Among equivalent sites it is the first in canonical order, so it does not depend on the CIF.

        Raises
        ------
        InputError
            No such site, or an element on several distinct sites.
        """
        if name is None:
            return int(np.argmax(self.charges > 0))
        if name in KINDS and len(elements := self.ions(name)) == 1:
            name = elements[0]
        by_label = [i for i, label in enumerate(self.labels) if label == name]
        by_element = [i for i, z in enumerate(self.numbers) if symbol(int(z)) == name]
        found = by_label or by_element
        labels = sorted({self.labels[i] for i in found})
        if len(labels) != 1:
            known = ", ".join(sorted(set(self.labels)))
            what = f"is on {len(labels)} distinct sites of" if labels else "is no site of"
            raise InputError(f"{name!r} {what} {self.name}; name one of its sites: {known}.")
        return found[0]

    @checked
    def spacing(self, hkl: Index) -> float:
        """d(hkl) in Å of the indices as given."""
        return lattice.spacing(self.vectors, hkl)

    @checked
    def equivalent_planes(self, hkl: Index, point_group: str = "") -> IntArray:
        """All facets (hkl) of the form {hkl}, sorted, shape (m, 3).

        point_group: of the form, as ``-43m`` or ``3m [1 1 1]``; default: that of the crystal.

        Raises
        ------
        InputError
            The point group is no subgroup of the crystal's, or means several.
        """
        h = lattice.check_plane(hkl)
        rotations = self.rotations
        if point_group:
            rotations = subgroup(rotations, point_group, self.name).rotations
        return np.unique(np.einsum("j,mji->mi", h, rotations), axis=0)[::-1]

    @checked
    def surface_net(self, hkl: Index) -> tuple[lattice.Direction, ...]:
        """The two shortest primitive lattice vectors in (hkl)."""
        return lattice.surface_net(self.vectors, self.primitive, hkl)

    @cached_property
    def bonds(self) -> Bonds:
        """First-shell bonds: up to 1.25 times the shortest distance of each element pair."""
        return first_shell(self.vectors, self.numbers, self.fractional, self.charges)


def numbered(labels: Sequence[str]) -> tuple[str, ...]:
    """Labels made unique: those that occur more than once get a number, as ``Pb1.3``."""
    total, seen = Counter(labels), Counter[str]()
    names = []
    for label in labels:
        seen[label] += 1
        names.append(f"{label}.{seen[label]}" if total[label] > 1 else label)
    return tuple(names)


def read_crystal(
    path: str | Path, *, charges: Mapping[str, int] | None = None, name: str | None = None
) -> Crystal:
    """Read a bulk phase from a CIF file; see `Crystal.from_cif`."""
    return Crystal.from_cif(path, charges=charges, name=name)


def crystal_of(given: Crystal | str | Path, beside: Path | None = None) -> Crystal:
    """A crystal itself, or the one of a shipped name or a CIF file, relative to `beside` if given.

    Raises
    ------
    InputError
        Nothing of these.
    """
    if isinstance(given, Crystal):
        return given
    expect(
        given, (Crystal, str, Path), "A crystal", "Give a shipped name, a CIF file or a Crystal."
    )
    return Crystal.from_cif(find_structure(str(given), beside))


def _canonical(described: read.Described) -> Crystal:
    s = canonical_setting(described.cell, described.charges, described.labels, described.name)
    return Crystal(
        name=described.name,
        vectors=s.vectors,
        numbers=s.numbers,
        fractional=s.fractional,
        charges=s.charges,
        labels=s.labels,
        space_group=s.space_group,
        space_group_number=s.space_group_number,
        rotations=s.rotations,
        source=described.source,
        status=described.status,
        sha256=described.sha256,
        guessed=described.guessed,
        foreign_charges=described.foreign,
    )
