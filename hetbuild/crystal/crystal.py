"""Bulk crystals: lattice, sites, symmetry and formal charges, read from CIF.

A crystal is brought to one canonical description of its standardised conventional cell, so that
nothing built from it depends on the cell, the origin or the axes its CIF happened to use.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hetbuild.arrays import FloatArray, Index, IntArray
from hetbuild.crystal import lattice
from hetbuild.crystal.charges import formal_charges, state
from hetbuild.elements import counts, formula, number, symbol, usual_charge
from hetbuild.errors import InputError
from hetbuild.names import check_label, check_name, safe_name

if TYPE_CHECKING:
    import gemmi

SYMPREC = 5e-3
"""Å by which sites may miss their symmetry: CIFs give 0.333 for 1/3 of a 10 Å axis."""

BOND_FACTOR = 1.25
"""A first-shell bond is at most this many times the shortest distance of its two elements."""

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
class Bonds:
    """First-shell cation-anion bonds of a crystal, each listed from both ends."""

    site: IntArray
    """Index of the site the bond starts from, shape (B,)."""
    partner: IntArray
    """Index of the site it ends at, shape (B,)."""
    vector: FloatArray
    """From start to end in conventional axes, shape (B, 3)."""
    length: FloatArray
    """Å, shape (B,)."""


@dataclass(frozen=True, eq=False)
class Crystal:
    """A neutral bulk phase in its canonical standardised conventional cell."""

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
        for array in (self.vectors, self.numbers, self.fractional, self.charges, self.rotations):
            array.flags.writeable = False

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
        by_label = [i for i, label in enumerate(self.labels) if label == name]
        by_element = [i for i, z in enumerate(self.numbers) if symbol(int(z)) == name]
        found = by_label or by_element
        labels = sorted({self.labels[i] for i in found})
        if len(labels) != 1:
            known = ", ".join(sorted(set(self.labels)))
            what = f"is on {len(labels)} distinct sites of" if labels else "is no site of"
            raise InputError(f"{name!r} {what} {self.name}; name one of its sites: {known}.")
        return found[0]

    def spacing(self, hkl: Index) -> float:
        """d(hkl) in Å of the indices as given."""
        return lattice.spacing(self.vectors, hkl)

    def equivalent_planes(self, hkl: Index) -> IntArray:
        """All facets (hkl) of the form {hkl}, sorted, shape (m, 3)."""
        h = lattice.check_plane(hkl)
        return np.unique(np.einsum("j,mji->mi", h, self.rotations), axis=0)[::-1]

    def surface_net(self, hkl: Index) -> tuple[lattice.Direction, ...]:
        """The two shortest primitive lattice vectors in (hkl)."""
        return lattice.surface_net(self.vectors, self.primitive, hkl)

    @cached_property
    def bonds(self) -> Bonds:
        """First-shell bonds: up to 1.25 times the shortest distance of each element pair."""
        return _first_shell(self)


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
    """Read a bulk phase from a CIF file.

    charges: formal charge in e by element symbol, of ligands and dopants too. Elements not given
    take the CIF's `_atom_type_oxidation_number`, else `formal_charges` says.

    Raises
    ------
    InputError
        The file cannot be read, holds no atoms, has partly occupied sites, or its formula is not
        neutral.
    """
    file = Path(path)
    block, small, content = _read_cif(file)
    sites = list(small.get_all_unit_cell_sites())
    _check_sites(file, sites)
    cell = small.cell
    vectors = np.array(cell.orth.mat.tolist()).T
    fractional = np.array([(s.fract.x, s.fract.y, s.fract.z) for s in sites])
    numbers = np.array([s.element.atomic_number for s in sites])
    stated = dict(_oxidation_numbers(block)) | dict(charges or {})
    by_site, guessed = _charges(file, numbers, stated)
    crystal = _standardise(
        (vectors, fractional, numbers),
        labels=[s.label for s in sites],
        charges=by_site,
        name=name or safe_name(file.stem, "crystal"),
        source=_citation(block, content),
        status=_comment(content, "Status"),
        sha256=hashlib.sha256(content).hexdigest(),
    )
    own = set(counts(numbers))
    foreign = {e: q for e, q in (charges or {}).items() if e not in own}
    return replace(crystal, guessed=guessed, foreign_charges=foreign)


def _read_cif(file: Path) -> tuple[gemmi.cif.Block, gemmi.SmallStructure, bytes]:
    import gemmi

    try:
        content = file.read_bytes()
        block = gemmi.cif.read_string(content.decode()).sole_block()
        small = gemmi.make_small_structure_from_block(block)
    except OSError as error:
        raise InputError(f"Cannot read crystal file {file}: {error.strerror}.") from None
    except (ValueError, RuntimeError) as error:
        raise InputError(f"{file} is not a CIF of one crystal: {error}") from None
    small.determine_and_set_spacegroup("S.H2")
    return block, small, content


def _check_sites(file: Path, sites: Sequence[gemmi.SmallStructure.Site]) -> None:
    if not sites:
        raise InputError(f"{file} holds no atoms: a crystal needs an _atom_site_ loop.")
    unknown = sorted({s.label for s in sites if s.element.atomic_number == 0})
    if unknown:
        raise InputError(f"{file}: no element can be told for the sites {', '.join(unknown)}.")
    partial = {s.label: s.occ for s in sites if abs(s.occ - 1.0) > 1e-3}
    if partial:
        listing = ", ".join(f"{label} {occ:g}" for label, occ in sorted(partial.items()))
        raise InputError(
            f"{file} has partly occupied sites ({listing}); atoms can only be placed on sites of "
            "occupancy 1. Give an ordered model of this phase."
        )


def _oxidation_numbers(block: gemmi.cif.Block) -> list[tuple[str, int]]:
    import gemmi

    table = block.find(["_atom_type_symbol", "_atom_type_oxidation_number"])
    return [(gemmi.Element(r.str(0)).name, round(float(r.str(1)))) for r in table]


def _charges(
    file: Path, numbers: IntArray, stated: Mapping[str, int]
) -> tuple[IntArray, tuple[str, ...]]:
    """Formal charge of each site, and the elements whose charge was guessed."""
    held = counts(numbers)
    try:
        by_element, guessed = formal_charges(held, stated)
    except InputError as error:
        raise InputError(f"{file}: {error}") from None
    q = np.array([by_element[symbol(int(z))] for z in numbers], dtype=np.int64)
    if q.sum():
        given = ", ".join(f"{e} {by_element[e]:+d}" for e in held)
        raise InputError(
            f"{file}: the cell {formula(held)} has formal charge {q.sum():+d} e with {given}; a "
            "bulk crystal must be neutral. State the right charges, with `charges` in the recipe's "
            "domain or --charge, or correct the CIF."
        )
    return q, guessed


def _citation(block: gemmi.cif.Block, content: bytes) -> str:
    """The comment line 'Source: ...' of the file, else its DOI item."""
    if source := _comment(content, "Source"):
        return source
    doi = block.find_value("_journal_paper_doi") or block.find_value("_citation_doi")
    return f"doi {_one_line(doi)}" if doi else ""


def _one_line(text: str) -> str:
    """Printed characters only: it goes into tables, and into the record of a model."""
    return "".join(c for c in " ".join(text.split()) if c.isprintable())


def _comment(content: bytes, key: str) -> str:
    """The rest of the first comment line '# key: ...', empty where there is none."""
    for line in content.decode().splitlines():
        if line.startswith(f"# {key}:"):
            return _one_line(line.removeprefix(f"# {key}:"))
    return ""


def _standardise(
    cell: tuple[FloatArray, FloatArray, IntArray],
    *,
    labels: list[str],
    charges: IntArray,
    name: str,
    source: str,
    status: str,
    sha256: str,
) -> Crystal:
    """Standardised cell by spglib (doi 10.1080/27660400.2024.2384822), then made canonical."""
    import spglib

    data = spglib.get_symmetry_dataset(cell, symprec=SYMPREC)
    if data is None:
        raise InputError(f"{name}: no symmetry found; two of its sites may coincide.")
    first = {int(p): i for i, p in reversed(list(enumerate(data.mapping_to_primitive)))}
    origin = np.array([first[int(p)] for p in data.std_mapping_to_primitive])
    orbit_label = {int(o): labels[int(o)] for o in data.crystallographic_orbits}
    standard = (data.std_lattice, data.std_positions % 1.0, data.std_types)
    symmetry = spglib.get_symmetry_dataset(standard, symprec=SYMPREC)
    vectors, centring = np.array(data.std_lattice), CENTRING[data.international[0]]
    operations = _representatives(symmetry.rotations, symmetry.translations)
    fractional, axes = _canonical(vectors, centring, data.std_types, data.std_positions, operations)
    order = _order(data.std_types, fractional)
    return Crystal(
        name=name,
        vectors=vectors,
        numbers=np.array(data.std_types, dtype=np.int64)[order],
        fractional=fractional[order],
        charges=charges[origin][order],
        labels=tuple(orbit_label[int(data.crystallographic_orbits[i])] for i in origin[order]),
        space_group=str(data.international),
        space_group_number=int(data.number),
        rotations=_conjugated(operations[0], axes),
        source=source,
        status=status,
        sha256=sha256,
    )


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
    for axes in _lattice_rotations(vectors, primitive):
        turned = fractional @ axes.T
        for shift in _origin_shifts(axes, primitive, turned, operations):
            moved = (turned + shift + 1e-6) % 1.0 - 1e-6
            order = _order(numbers, moved)
            key = tuple(np.rint(moved[order] * 1e4).astype(int).ravel())
            if best is None or key < best[0]:
                best = (key, moved, axes)
    assert best is not None  # the identity always qualifies
    # Sites on special positions are exact again, so that plane indices are.
    return np.round(best[1], 12) % 1.0, best[2]


def _order(numbers: IntArray, fractional: FloatArray) -> IntArray:
    """Sites by falling atomic number, then by coordinates."""
    x, y, z = np.rint(fractional.T * 1e4)
    return np.lexsort((z, y, x, -numbers))


def _lattice_rotations(vectors: FloatArray, primitive: FloatArray) -> list[IntArray]:
    """Proper rotations with entries -1, 0, 1 that keep the conventional cell and its centring.

    A turn by 60 degrees keeps a hexagonal cell but takes obverse to reverse centring.
    """
    metric = vectors @ vectors.T
    grid = np.array(np.meshgrid(*9 * [[-1, 0, 1]], indexing="ij")).reshape(9, -1).T
    matrices = grid.reshape(-1, 3, 3)
    matrices = matrices[np.rint(np.linalg.det(matrices)) == 1]
    images = np.einsum("mji,jk,mkl->mil", matrices, metric, matrices)
    kept = np.abs(images - metric).max(axis=(1, 2)) < 1e-3 * metric.max()
    cells = primitive @ np.swapaxes(matrices[kept], 1, 2) @ np.linalg.inv(primitive)
    centred = np.abs(cells - np.rint(cells)).max(axis=(1, 2)) < 1e-6
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
    shifts = shifts[(np.abs(cells - np.rint(cells)) < 1e-3).all(axis=(1, 2))]
    polar = rotations.mean(axis=0)
    if np.abs(polar).max() < 1e-9:
        return np.asarray(shifts)
    # Along a polar axis any origin will do: let each site in turn stand at zero.
    drop = (turned[None] + shifts[:, None]) @ polar.T
    return np.asarray((shifts[:, None] - drop).reshape(-1, 3))


def _first_shell(crystal: Crystal) -> Bonds:
    reach = np.arange(-2, 3)
    cells = np.array(np.meshgrid(reach, reach, reach, indexing="ij")).reshape(3, -1).T
    i, j = np.nonzero(np.sign(crystal.charges)[:, None] * np.sign(crystal.charges)[None] < 0)
    vector = (crystal.fractional[j] - crystal.fractional[i])[:, None] + cells[None]
    length = np.linalg.norm(vector @ crystal.vectors, axis=2)
    shortest = length.min(axis=1)
    pair = np.minimum(crystal.numbers[i], crystal.numbers[j]) * 200 + np.maximum(
        crystal.numbers[i], crystal.numbers[j]
    )
    kinds, kind = np.unique(pair, return_inverse=True)
    limit = np.array([shortest[kind == k].min() for k in range(len(kinds))]) * BOND_FACTOR
    p, q = np.nonzero(length <= limit[kind][:, None])
    return Bonds(i[p], j[p], vector[p, q], length[p, q])
