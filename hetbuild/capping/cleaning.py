"""A ligand that nearly fits, bent until it does: MMFF94 of the molecule alone.

Everything else stays where it is, the donors too. What is around holds the molecule off by
flat-bottomed distance restraints: they push below the limit of a contact, and nowhere else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hetbuild.arrays import FloatArray
from hetbuild.capping.molecule import Ligand

if TYPE_CHECKING:
    from rdkit.Chem import Mol

STEPS = 200
"""Largest number of steps of the minimiser."""

STIFF = 50.0
"""kcal/(mol Å²) of a restraint, a tenth of a bond's."""

MARGIN = 0.03
"""Part of a limit that restraints hold off more than is asked, since they give way a little."""

WITHIN = 1.5
"""Å beyond its limit up to which a pair is restrained: as far as an atom may move."""


def bent(
    ligand: Ligand, positions: FloatArray, others: FloatArray, limits: FloatArray
) -> FloatArray | None:
    """Positions in Å, shape (n, 3), relaxed beside fixed points; None: no force field for it.

    positions: of the ligand, Å, shape (n, 3); others: points it keeps off, Å, shape (P, 3);
    limits: shortest distance of each pair in Å, 0 where any is right, shape (n, P).
    """
    import rdkit.ForceField  # noqa: F401 (older ones know its classes only then)
    from rdkit.Chem import rdForceFieldHelpers

    graph = _graph(ligand, positions)
    properties = rdForceFieldHelpers.MMFFGetMoleculeProperties(graph)
    if properties is None:
        return None
    field = rdForceFieldHelpers.MMFFGetMoleculeForceField(graph, properties)
    apart = np.linalg.norm(positions[:, None] - others, axis=2)
    pairs = np.argwhere((limits > 0) & (apart < limits + WITHIN))
    used, index = np.unique(pairs[:, 1], return_inverse=True)
    points = [field.AddExtraPoint(*map(float, others[k]), fixed=True) - 1 for k in used]
    for (atom, other), k in zip(pairs.tolist(), index.tolist(), strict=True):
        least = float(limits[atom, other]) * (1.0 + MARGIN)
        field.MMFFAddDistanceConstraint(atom, points[k], False, least, 1e3, STIFF)
    for donor in ligand.donors.tolist():
        field.AddFixedPoint(donor)
    field.Initialize()
    field.Minimize(maxIts=STEPS)
    return np.array(field.Positions()).reshape(-1, 3)[: len(ligand)]


def _graph(ligand: Ligand, positions: FloatArray) -> Mol:
    """The molecule as RDKit has it, its atoms in the order of the ligand."""
    from rdkit import Chem
    from rdkit.Geometry import Point3D

    graph = Chem.RWMol()
    for z, q in zip(ligand.numbers.tolist(), ligand.charges.tolist(), strict=True):
        atom = Chem.Atom(z)
        atom.SetFormalCharge(q)
        atom.SetNoImplicit(True)
        graph.AddAtom(atom)
    orders = {1: Chem.BondType.SINGLE, 2: Chem.BondType.DOUBLE, 3: Chem.BondType.TRIPLE}
    for a, b, order in ligand.bonds.tolist():
        graph.AddBond(a, b, orders[order])
    shape = Chem.Conformer(len(ligand))
    for i, place in enumerate(positions.tolist()):
        shape.SetAtomPosition(i, Point3D(*place))
    graph.AddConformer(shape)
    Chem.SanitizeMol(graph)
    return graph
