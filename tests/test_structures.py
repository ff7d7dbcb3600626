"""The bulk phases in structures/: all readers see the neutral crystal that the header states."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import gemmi
import numpy as np
import pytest
from ase.data import covalent_radii

from hetbuild.arrays import FloatArray

ROOT = Path(__file__).resolve().parent.parent
FILES = sorted((ROOT / "structures").glob("*.cif"))
PARTIAL = Path(__file__).resolve().parent / "data" / "Cu1.8S.cif"

SYMPREC = 1e-3
"""Å."""

ANIONS = frozenset(["O", "S", "Se", "Te", "P", "As", "Cl", "Br", "I"])

COVALENT = frozenset(["InP", "InAs", "GaAs", "SnS"])
"""Phases with an ion that has no Shannon radius; their bonds are compared with covalent radii."""

FLOORS: Mapping[int, float] = {0: 2.7, 1: 2.2, 2: 3.3}
"""No two atoms of a phase are closer than this, in Å, by how many of the two are anions."""

OXIDE_FLOORS: Mapping[int, float] = {0: 2.7, 1: 1.9, 2: 3.1}
"""The same for oxides, whose anion is smaller."""

RADII: Mapping[str, float] = {
    "Cs": 1.88,
    "Pb": 1.19,
    "Cu": 0.60,
    "Ag": 1.00,
    "Zn": 0.60,
    "Cd": 0.78,
    "Hg": 0.96,
    "In": 0.62,
    "Bi": 1.03,
    "Mn": 0.83,
    "Sn": 1.22,
    "O": 1.40,
    "S": 1.84,
    "Se": 1.98,
    "Te": 2.21,
    "Cl": 1.81,
    "Br": 1.96,
    "I": 2.20,
}
"""Shannon's ionic radii in Å (doi 10.1107/S0567739476001551): Cs twelvefold, Pb and the anions
sixfold, Cu, Ag, Zn, Cd, Hg, In fourfold, Sn eightfold (doi 10.1107/S0567740869003220)."""

RADII_TOLERANCE = 0.12
"""Relative deviation of a shortest cation-anion distance from the sum of the radii."""

every_phase = pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)


@cache
def block(path: Path) -> Any:
    return gemmi.cif.read(str(path)).sole_block()


@cache
def small(path: Path) -> Any:
    return gemmi.make_small_structure_from_block(block(path))


def oxidation_numbers(path: Path) -> dict[str, int]:
    table = block(path).find(["_atom_type_symbol", "_atom_type_oxidation_number"])
    return {row.str(0): int(row.str(1)) for row in table}


@cache
def by_gemmi(path: Path) -> tuple[list[float], list[str], FloatArray]:
    """Cell in Å and degrees, elements, fractional coordinates (n, 3) of all sites."""
    sites = small(path).get_all_unit_cell_sites()
    fractional = np.array([site.fract.tolist() for site in sites])
    return list(small(path).cell.parameters), [site.element.name for site in sites], fractional


def by_pymatgen(path: Path) -> tuple[list[float], list[str], FloatArray]:
    from pymatgen.io.cif import CifParser

    structure = CifParser(path, frac_tolerance=0).parse_structures(primitive=False)[0]
    elements = [site.specie.symbol for site in structure]
    return list(structure.lattice.parameters), elements, np.array(structure.frac_coords)


def by_ase(path: Path) -> tuple[list[float], list[str], FloatArray]:
    import ase.io

    atoms: Any = ase.io.read(path)
    scaled = np.array(atoms.get_scaled_positions())
    return list(atoms.cell.cellpar()), atoms.get_chemical_symbols(), scaled


def vectors(path: Path) -> FloatArray:
    """Lattice vectors as rows, Å."""
    return np.array(small(path).cell.orth.mat.tolist()).T


def distances(path: Path) -> FloatArray:
    """Shortest distance of each two sites, over all images but the site itself, Å, shape (n, n)."""
    _, _, fractional = by_gemmi(path)
    images = np.array(np.meshgrid(*3 * [[-1, 0, 1]], indexing="ij")).reshape(3, -1).T
    steps = fractional[None, :] - fractional[:, None]
    steps -= np.rint(steps)
    lengths = np.linalg.norm((steps[:, :, None] + images) @ vectors(path), axis=3)
    itself = np.flatnonzero((images == 0).all(axis=1))
    n = np.arange(len(fractional))
    lengths[n, n, itself] = np.inf
    return np.asarray(lengths.min(axis=2))


def test_there_are_structures() -> None:
    assert {"CsPbCl3", "PbS", "Cu2S", "Pb4S3Cl2"} <= {path.stem for path in FILES}


@every_phase
@pytest.mark.parametrize("read", [by_pymatgen, by_ase], ids=["pymatgen", "ase"])
def test_readers_agree(path: Path, read: Any) -> None:
    cell, elements, fractional = by_gemmi(path)
    other_cell, other_elements, other_fractional = read(path)
    assert other_cell == pytest.approx(cell, abs=1e-6)
    assert len(other_elements) == len(elements)
    assert Counter(other_elements) == Counter(elements)
    steps = other_fractional[None, :] - fractional[:, None]
    misfit = np.linalg.norm((steps - np.rint(steps)) @ vectors(path), axis=2)
    partner = misfit.argmin(axis=1)
    assert misfit.min(axis=1).max() < SYMPREC
    assert sorted(partner) == list(range(len(elements)))
    assert [other_elements[j] for j in partner] == elements


@every_phase
def test_stated_contents(path: Path) -> None:
    _, elements, _ = by_gemmi(path)
    cell_units = int(block(path).find_value("_cell_formula_units_Z"))
    formula = gemmi.cif.as_string(block(path).find_value("_chemical_formula_sum"))
    stated = re.findall(r"([A-Z][a-z]?)(\d*)", formula)
    assert {e: int(n or 1) * cell_units for e, n in stated} == Counter(elements)
    table = block(path).find("_atom_site_", ["label", "site_symmetry_multiplicity", "occupancy"])
    multiplicities = Counter(site.label for site in small(path).get_all_unit_cell_sites())
    assert {row.str(0): int(row.str(1)) for row in table} == multiplicities
    assert {float(row.str(2)) for row in table} == {1.0}
    mass = sum(gemmi.Element(e).weight for e in elements) * 1.66053907
    density = float(block(path).find_value("_exptl_crystal_density_diffrn"))
    assert density == pytest.approx(mass / small(path).cell.volume, abs=2e-3)


# spglib 2.8 warns of its own coming change of error handling on every call.
@pytest.mark.filterwarnings("ignore:Set OLD_ERROR_HANDLING:DeprecationWarning")
@every_phase
def test_space_group(path: Path) -> None:
    import spglib

    _, elements, fractional = by_gemmi(path)
    cell: Any = vectors(path)  # spglib's types want nested sequences; it takes arrays
    positions: Any = fractional
    numbers = [gemmi.Element(e).atomic_number for e in elements]
    found = spglib.get_symmetry_dataset((cell, positions, numbers), symprec=SYMPREC)
    assert found is not None
    assert found.number == int(block(path).find_value("_space_group_IT_number"))
    assert len(set(found.crystallographic_orbits)) == len(small(path).sites)
    name = gemmi.cif.as_string(block(path).find_value("_space_group_name_H-M_alt"))
    group = gemmi.SpaceGroup(name.replace(" :", ":"))
    assert group.number == found.number
    column = block(path).find_values("_space_group_symop_operation_xyz")
    operations = {gemmi.Op(gemmi.cif.as_string(text)).triplet() for text in column}
    assert operations == {operation.triplet() for operation in group.operations()}


@every_phase
def test_neutral(path: Path) -> None:
    _, elements, _ = by_gemmi(path)
    charge = oxidation_numbers(path)
    assert set(charge) == set(elements)
    assert sum(charge[e] for e in elements) == 0


@every_phase
def test_distances(path: Path) -> None:
    _, elements, _ = by_gemmi(path)
    lengths = distances(path)
    shortest: dict[tuple[str, str], float] = {}
    for (i, j), length in np.ndenumerate(lengths):
        a, b = sorted((elements[i], elements[j]))
        shortest[a, b] = min(shortest.get((a, b), np.inf), float(length))
    covalent = {e: covalent_radii[gemmi.Element(e).atomic_number] for e in elements}
    for pair, least in shortest.items():
        anions = sum(e in ANIONS for e in pair)
        floors = OXIDE_FLOORS if "O" in elements else FLOORS
        assert least > floors[anions], pair
        if anions == 1:
            radius = covalent if path.stem in COVALENT else RADII
            contact = sum(radius[e] for e in pair)
            assert least == pytest.approx(contact, rel=RADII_TOLERANCE), pair


@every_phase
def test_header_has_a_source_and_a_status(path: Path) -> None:
    source, status, *_ = path.read_text(encoding="ascii").splitlines()
    assert re.fullmatch(r"# Source: .{10,}", source)
    assert status.split()[2].rstrip(":;,") in {"published", "derived", "idealised"}
    assert block(path).name == path.stem


def test_readme_lists_every_file() -> None:
    lines = (ROOT / "structures" / "README.md").read_text(encoding="utf-8").splitlines()
    listed = {line.split("`")[1] for line in lines if line.startswith("| `")}
    assert listed == {path.stem for path in FILES}


def test_partial_occupancy_example_is_partial() -> None:
    occupancies = {site.label: site.occ for site in small(PARTIAL).sites}
    assert occupancies == {"S1": 1.0, "Cu1": pytest.approx(0.9)}
