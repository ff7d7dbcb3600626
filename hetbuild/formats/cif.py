"""CIF of a finite particle in a vacuum box."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TextIO

import gemmi
import numpy as np

from hetbuild.arrays import FloatArray, IntArray
from hetbuild.crystal import lattice
from hetbuild.crystal.crystal import Crystal
from hetbuild.crystal.setting import SYMPREC
from hetbuild.elements import counts, symbol
from hetbuild.errors import ImpossibleError
from hetbuild.formats.box import box, in_cell
from hetbuild.formats.columns import rows
from hetbuild.model import Model, Role

SITE = ("label", "type_symbol", "occupancy", "fract_x", "fract_y", "fract_z")
PARAMETERS = ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma")
OWN = ("domain", "role", "formal_charge")
"""Columns of the extension loop, keyed by the atom's label."""


HALL_NUMBERS = 530
"""Settings of space groups in the tables."""


def write_cif(model: Model, stream: TextIO, *, vacuum: float = 10.0) -> None:
    """P1 CIF with the model centred in an orthorhombic box. vacuum: Å on every side."""
    document = gemmi.cif.Document()
    block = document.add_new_block(model.provenance.get("recipe", {}).get("name", "model"))
    cell, shift = box(model, vacuum)
    for tag, value in _items(model, cell):
        block.set_pair(tag, value)
    block.init_loop("_space_group_symop_", ["operation_xyz"]).add_row(["'x, y, z'"])
    stream.write(document.as_string())
    stream.writelines(_atoms(model, in_cell(model.positions + shift, cell)))


def _atoms(model: Model, fractional: FloatArray) -> Iterator[str]:
    """The loops of the atoms, as gemmi would write them, without a document in memory."""
    named = labels(model)
    kinds = {int(z): symbol(z) for z in np.unique(model.numbers)}
    yield "\n".join(["\nloop_", *(f"_atom_site_{x}" for x in SITE), ""])
    species = (kinds[z] for z in model.numbers.tolist())
    yield from rows("%s %s 1.0 %.10f %.10f %.10f\n", named, species, *fractional.T)
    yield "\n".join(["\nloop_", *(f"_hetbuild_site_{x}" for x in ("label", *OWN)), ""])
    names = [gemmi.cif.quote(d.name) for d in model.domains]
    domains = (names[d] for d in model.domain.tolist())
    roles = {int(r): r.label for r in Role}
    words = (roles[r] for r in model.role.tolist())
    yield from rows("%s %s %s %+d\n", named, domains, words, model.charges)


def write_crystal_cif(crystal: Crystal, stream: TextIO) -> None:
    """CIF of a crystal with the operations of its space group and one site of each orbit.

    Axes are those hetbuild uses; the origin is moved to that of the tabulated space group, because
    some readers go by the group's name and not by the operations.
    """
    shift, orbits, operations = _tabulated(crystal)
    document = gemmi.cif.Document()
    block = document.add_new_block(crystal.name)
    block.set_pair("_chemical_formula_sum", gemmi.cif.quote(_spaced(crystal.numbers)))
    group = gemmi.find_spacegroup_by_ops(gemmi.GroupOps(operations))
    if group is not None:
        block.set_pair("_space_group_name_H-M_alt", gemmi.cif.quote(group.xhm()))
        block.set_pair("_space_group_IT_number", str(group.number))
    for name, value in zip(PARAMETERS, crystal.cell_parameters, strict=True):
        block.set_pair(f"_cell_{name}", f"{value:.8f}")
    loop = block.init_loop("_space_group_symop_", ["operation_xyz"])
    for operation in operations:
        loop.add_row([gemmi.cif.quote(operation.triplet())])
    charges = block.init_loop("_atom_type_", ["symbol", "oxidation_number"])
    for z in dict.fromkeys(crystal.numbers.tolist()):
        charges.add_row([symbol(z), f"{crystal.charges[crystal.numbers == z][0]:+d}"])
    sites = block.init_loop("_atom_site_", list(SITE))
    for i in np.unique(orbits):
        place = [f"{x:.12f}" for x in np.round(crystal.fractional[i] + shift, 12) % 1.0]
        label = gemmi.cif.quote(crystal.labels[i])
        sites.add_row([label, symbol(crystal.numbers[i]), "1.0", *place])
    stream.write(document.as_string())


def _tabulated(crystal: Crystal) -> tuple[FloatArray, IntArray, list[gemmi.Op]]:
    """Shift to an origin of the tables, orbit of each site, and the operations there.

    Of the settings the tables have of the group, by Hall number, the first with the crystal's axes.

    Raises
    ------
    ImpossibleError
        None has.
    """
    import spglib

    cell = (crystal.vectors, crystal.fractional, crystal.numbers)
    for hall in _settings(crystal.space_group_number):
        found = spglib.get_symmetry_dataset(cell, symprec=SYMPREC, hall_number=hall)
        if found is None:
            continue
        # x_setting = P x + p, so that in the crystal's own axes the origin moves by P^-1 p.
        shift = np.linalg.solve(found.transformation_matrix, found.origin_shift)
        operations = [
            _operation(w, t + shift - w @ shift)
            for w, t in zip(found.rotations, found.translations, strict=True)
        ]
        if gemmi.find_spacegroup_by_ops(gemmi.GroupOps(operations)) is not None:
            return shift, found.crystallographic_orbits, operations
    raise ImpossibleError(
        f"No setting of {crystal.space_group} in the tables has the axes of {crystal.name}, so its "
        "CIF would not say its symmetry. Write it from ASE: crystal.to_ase().write('x.cif')."
    )


def _settings(number: int) -> list[int]:
    """Hall numbers of a space group, that of its usual setting first."""
    import spglib

    return [h for h in range(1, HALL_NUMBERS + 1) if spglib.get_spacegroup_type(h).number == number]


def _operation(rotation: IntArray, translation: FloatArray) -> gemmi.Op:
    op = gemmi.Op()
    op.rot = (rotation * gemmi.Op.DEN).tolist()
    op.tran = np.rint(translation * gemmi.Op.DEN).astype(int).tolist()
    return op.wrap()


def _items(model: Model, cell: FloatArray) -> Iterator[tuple[str, str]]:
    yield "_chemical_formula_sum", gemmi.cif.quote(_spaced(model.numbers))
    yield "_space_group_name_H-M_alt", "'P 1'"
    yield "_space_group_IT_number", "1"
    for name, value in zip(PARAMETERS, lattice.parameters(cell), strict=True):
        yield f"_cell_{name}", f"{value:.8f}"


def _spaced(numbers: IntArray) -> str:
    return " ".join(f"{e}{n}" for e, n in counts(numbers).items())


def labels(model: Model) -> list[str]:
    """Pb1, Pb2, ...: the rank of each atom among its element."""
    rank = np.zeros(len(model), dtype=np.int64)
    for z in np.unique(model.numbers):
        here = model.numbers == z
        rank[here] = np.arange(1, here.sum() + 1)
    kinds = {int(z): symbol(z) for z in np.unique(model.numbers)}
    numbered = zip(model.numbers.tolist(), rank.tolist(), strict=True)
    return [f"{kinds[z]}{n}" for z, n in numbered]
