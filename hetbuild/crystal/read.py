"""Sites of a bulk phase as CIF files, ASE and pymatgen describe it, with formal charges."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hetbuild.arguments import expect
from hetbuild.arrays import FloatArray, IntArray
from hetbuild.crystal import lattice
from hetbuild.crystal.charges import formal_charges
from hetbuild.crystal.setting import Cell
from hetbuild.elements import counts, formula, reduced, symbol
from hetbuild.errors import InputError
from hetbuild.library import read_file
from hetbuild.names import safe_name, shown
from hetbuild.numerals import MOST_CHARGE

if TYPE_CHECKING:
    import gemmi
    from ase import Atoms
    from pymatgen.core import Structure


SHORTEST_EDGE, LONGEST_EDGE = 1.0, 200.0
"""Å: edges of the cell of a crystal. What is wider is a particle in a box."""

MOST_SITES = 4000
"""Sites in the cell of a crystal; zeolites have a few hundred."""

LARGEST_FILE = 50_000_000
"""Bytes of a CIF: with all its reflections one has up to 20 MB."""

FAR = 100.0
"""Fractional coordinates are within so many cells of the origin."""


@dataclass(frozen=True, eq=False)
class Described:
    """A phase as its source describes it, in any cell."""

    cell: Cell
    charges: IntArray
    """e, shape (n,)."""
    labels: tuple[str, ...] | None
    """Of each site, length n; None: the source has none."""
    name: str
    guessed: tuple[str, ...]
    """Elements whose charge nobody stated and only neutrality tells."""
    foreign: Mapping[str, int]
    """Charges stated for elements that are not the phase's own, e."""
    source: str = ""
    status: str = ""
    sha256: str = ""


def from_cif(path: str | Path, charges: Mapping[str, int] | None, name: str | None) -> Described:
    """The phase in a CIF file; see `Crystal.from_cif`."""
    file = Path(path)
    block, small, content = _read_cif(file)
    listed = list(small.sites)
    if not listed:
        raise InputError(f"{file} holds no atoms: a crystal needs an _atom_site_ loop.")
    vectors = _checked_cell(str(file), np.array(small.cell.orth.mat.tolist()).T)
    _check_positions(file, listed)
    sites = list(small.get_all_unit_cell_sites())
    _check_sites(file, sites)
    fractional = np.array([(s.fract.x, s.fract.y, s.fract.z) for s in sites])
    numbers = np.array([s.element.atomic_number for s in sites])
    stated = dict(_oxidation_numbers(file, block)) | dict(charges or {})
    by_site, guessed = _charges(str(file), numbers, stated)
    return Described(
        (vectors, fractional, numbers),
        charges=by_site,
        labels=tuple(s.label for s in sites),
        name=name or safe_name(file.stem, "crystal"),
        guessed=guessed,
        foreign=_foreign(numbers, charges),
        source=_citation(block, content),
        status=_comment(content, "Status"),
        sha256=hashlib.sha256(content).hexdigest(),
    )


def from_ase(atoms: Atoms, charges: Mapping[str, int] | None, name: str | None) -> Described:
    """The phase in ASE Atoms; see `Crystal.from_ase`."""
    from ase import Atoms as AseAtoms

    expect(atoms, AseAtoms, "The crystal")
    if atoms.cell.rank < 3 or not len(atoms):
        raise InputError(
            f"A crystal needs atoms in a cell of three vectors; these Atoms are {atoms}. "
            "Set their cell, or make them with ase.spacegroup.crystal."
        )
    numbers = np.array(atoms.numbers, dtype=np.int64)
    called = name or _formula_unit(numbers)
    cell = (np.array(atoms.cell), atoms.get_scaled_positions(), numbers)
    return _unlabelled(called, cell, charges or {}, charges)


def from_pymatgen(
    structure: Structure, charges: Mapping[str, int] | None, name: str | None
) -> Described:
    """The phase in a pymatgen Structure; see `Crystal.from_pymatgen`."""
    from pymatgen.core import Structure as PmgStructure

    expect(structure, PmgStructure, "The crystal")
    numbers = np.array([_only_element(site, structure).Z for site in structure], dtype=np.int64)
    called = name or _formula_unit(numbers)
    stated = _oxidation_states(structure, called) | dict(charges or {})
    cell = (np.array(structure.lattice.matrix), np.array(structure.frac_coords), numbers)
    return _unlabelled(called, cell, stated, charges)


def _unlabelled(
    name: str, cell: Cell, stated: Mapping[str, int], charges: Mapping[str, int] | None
) -> Described:
    _checked_cell(name, cell[0])
    if not (np.abs(cell[1]) < FAR).all():  # or NaN
        raise InputError(
            f"{name}: fractional coordinates must be numbers within {FAR:g}; those of site "
            f"{int(np.argmin((np.abs(cell[1]) < FAR).all(axis=1)))} are not."
        )
    by_site, guessed = _charges(name, cell[2], stated)
    return Described(cell, by_site, None, name, guessed, _foreign(cell[2], charges))


def _only_element(site: Any, structure: Structure) -> Any:
    if not site.is_ordered:
        raise InputError(
            f"{structure.composition.reduced_formula} has partly occupied sites "
            f"({site.species_string}); atoms can only be placed on sites of occupancy 1. Give an "
            "ordered model of this phase."
        )
    specie = site.specie
    return getattr(specie, "element", specie)


def _oxidation_states(structure: Structure, name: str) -> dict[str, int]:
    """Charges the structure's species carry, by element; none where they carry none."""
    found: dict[str, set[float]] = {}
    for site in structure:
        state = getattr(site.specie, "oxi_state", None)
        if state is not None:
            found.setdefault(str(site.specie.symbol), set()).add(float(state))
    for element, states in found.items():
        if len(states) > 1 or not next(iter(states)).is_integer():
            listing = ", ".join(f"{s:+g}" for s in sorted(states))
            raise InputError(
                f"{name}: {element} has the oxidation states {listing}; give one whole charge for "
                f"each element, as charges={{{element!r}: 2}}."
            )
    return {e: int(next(iter(s))) for e, s in found.items()}


def _formula_unit(numbers: IntArray) -> str:
    return formula(reduced(counts(numbers)))


def _read_cif(file: Path) -> tuple[gemmi.cif.Block, gemmi.SmallStructure, bytes]:
    import gemmi

    content = read_file(file, "crystal", LARGEST_FILE)
    try:
        document = gemmi.cif.read_string(_text(content))
        if not len(document):
            raise InputError(f"{file} is empty: a CIF has a data_ block with a cell and atoms.")
        block = document.sole_block()
        small = gemmi.make_small_structure_from_block(block)
        # By operations, else Hall's symbol, else Hermann and Mauguin's, else the number.
        small.determine_and_set_spacegroup("S.H2N")
        _check_symmetry(file, small)
    except (ValueError, RuntimeError, IndexError) as error:
        why = " ".join(str(error).split())[:200]
        raise InputError(f"{file} is not a CIF of one crystal: {why}") from None
    return block, small, content


def _check_symmetry(file: Path, small: gemmi.SmallStructure) -> None:
    """Refuse symmetry that is stated and not understood: without it most of the cell is missing."""
    said = small.spacegroup_hm
    if small.spacegroup is not None:
        return
    try:
        fault = small.check_spacegroup()
    except UnicodeDecodeError:  # gemmi's text ends within a character of an operation
        fault = "a character there is none of 0-9, x, y, z, signs"
    if small.symops:
        # A group that the tables do not list, as of a larger cell, is one.
        if fault.startswith("space group from symops not found"):
            return
        raise InputError(
            f"{file}: its {len(small.symops)} symmetry operations are no space group "
            f"({shown(fault.splitlines()[0])}). Correct _space_group_symop_operation_xyz, or list "
            "all atoms of the cell with the one operation x,y,z."
        )
    if said or small.spacegroup_number:
        raise InputError(
            f"{file}: there is no space group {shown(said or small.spacegroup_number)}, and no "
            "symmetry operations are listed. Correct _space_group_name_H-M_alt, or list them."
        )


def _checked_cell(where: str, vectors: FloatArray) -> FloatArray:
    """The vectors, if they are those of a crystal: libraries below survive no others."""
    with np.errstate(all="ignore"):
        parameters = lattice.parameters(vectors)
    lengths = np.array(parameters[:3])
    fits = ((lengths > SHORTEST_EDGE) & (lengths < LONGEST_EDGE)).all()
    if not fits or not abs(np.linalg.det(vectors)) > 1e-3 * lengths.prod():  # or NaN
        text = " ".join(f"{x:g}" for x in parameters)
        raise InputError(
            f"{where}: {text} is no cell. A crystal needs three lengths between {SHORTEST_EDGE:g} "
            f"and {LONGEST_EDGE:g} Å and three angles in degrees that span a volume."
        )
    return vectors


def _check_positions(file: Path, sites: Sequence[gemmi.SmallStructure.Site]) -> None:
    if len(sites) > MOST_SITES:
        raise InputError(
            f"{file} lists {len(sites)} sites; a crystal has {MOST_SITES} at most. A particle in a "
            "box is read by hetbuild inspect --crystals."
        )
    places = np.array([(s.fract.x, s.fract.y, s.fract.z) for s in sites])
    good = (np.abs(places) < FAR).all(axis=1)
    wrong = [s.label for s, ok in zip(sites, good, strict=True) if not ok]
    if wrong:
        raise InputError(
            f"{file}: the fractional coordinates of {', '.join(wrong[:5])} are not numbers within "
            f"{FAR:g}; give _atom_site_fract_x, y and z."
        )


def _check_sites(file: Path, sites: Sequence[gemmi.SmallStructure.Site]) -> None:
    if len(sites) > MOST_SITES:
        raise InputError(f"{file} has {len(sites)} sites in its cell; {MOST_SITES} are the most.")
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


def _oxidation_numbers(file: Path, block: gemmi.cif.Block) -> list[tuple[str, int]]:
    import gemmi

    table = block.find(["_atom_type_symbol", "_atom_type_oxidation_number"])
    stated = []
    for row in table:
        text = row.str(1).strip()
        if text in ("", "?", "."):  # CIF's words for unknown and inapplicable
            continue
        # 2 and +2 are CIF, 2+ is how chemists write it.
        value = re.fullmatch(r"([+-]?)([0-9])(?:\.0*)?([+-]?)", text)
        if value is None or (value[1] and value[3]):
            raise InputError(
                f"{file}: {shown(text)} is no oxidation number of {shown(row.str(0))}; write a "
                f"whole number between -{MOST_CHARGE} and {MOST_CHARGE}."
            )
        sign = -1 if "-" in (value[1], value[3]) else 1
        stated.append((gemmi.Element(row.str(0)).name, sign * int(value[2])))
    return stated


def _charges(
    where: str, numbers: IntArray, stated: Mapping[str, int]
) -> tuple[IntArray, tuple[str, ...]]:
    """Formal charge of each site in e, and the elements whose charge was guessed."""
    held = counts(numbers)
    try:
        by_element, guessed = formal_charges(held, stated)
    except InputError as error:
        raise InputError(f"{where}: {error}") from None
    q = np.array([by_element[symbol(int(z))] for z in numbers], dtype=np.int64)
    if q.sum():
        given = ", ".join(f"{e} {by_element[e]:+d}" for e in held)
        raise InputError(
            f"{where}: the cell {formula(held)} has formal charge {q.sum():+d} e with {given}; a "
            "bulk crystal must be neutral. State the right charges, with `charges` in the recipe's "
            "domain or --charge, or correct the CIF."
        )
    return q, guessed


def _foreign(numbers: IntArray, charges: Mapping[str, int] | None) -> dict[str, int]:
    """Charges stated for elements that the crystal does not hold."""
    own = set(counts(numbers))
    return {e: q for e, q in (charges or {}).items() if e not in own}


def _citation(block: gemmi.cif.Block, content: bytes) -> str:
    """The comment line 'Source: ...' of the file, else its DOI item."""
    if source := _comment(content, "Source"):
        return source
    doi = block.find_value("_journal_paper_doi") or block.find_value("_citation_doi")
    return f"doi {_one_line(doi)}" if doi else ""


def _text(content: bytes) -> str:
    """Names of authors come in all encodings; what is read of a CIF is ASCII in each."""
    return content.decode("utf-8-sig", errors="replace")


def _one_line(text: str) -> str:
    """Printed characters only: it goes into tables, and into the record of a model."""
    return "".join(c for c in " ".join(text.split()) if c.isprintable())


def _comment(content: bytes, key: str) -> str:
    """The rest of the first comment line '# key: ...', empty where there is none."""
    for line in _text(content).splitlines():
        if line.startswith(f"# {key}:"):
            return _one_line(line.removeprefix(f"# {key}:"))
    return ""
