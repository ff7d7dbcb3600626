"""A ligand molecule: its bond graph, formal charges, conformers, and the atoms that bind."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hetbuild.arrays import FloatArray, IntArray
from hetbuild.capping.names import check_chain, smiles_of, suggestion
from hetbuild.errors import ImpossibleError, InputError
from hetbuild.frozen import frozen
from hetbuild.library import check_file
from hetbuild.names import safe_name, shown
from hetbuild.rounding import NOTHING

if TYPE_CHECKING:
    from rdkit.Chem import Mol

FILES = (".xyz", ".mol", ".sdf")
"""Endings of files that hold a ligand."""

CONFORMERS = 8
"""Shapes tried: the stretched one, and others by ETKDG, doi 10.1021/acs.jcim.0c00025."""

TRANS, SKEW = 180.0, 120.0
"""Degrees: dihedral angle of the bonds of a straight chain, and of one beside a double bond."""

SHOWN = 80
"""Characters of a SMILES in an error text."""

LARGEST = 400
"""Atoms of the largest ligand."""


@dataclass(frozen=True, slots=True)
class Anchor:
    """A group that binds to ions of a surface."""

    name: str
    smarts: str
    donors: tuple[int, ...]
    """Which atoms of the pattern bind."""
    charges: tuple[int, ...]
    """Formal charges in e of the molecules it binds in."""


ANCHORS = (
    Anchor("carboxylate", "[CX3](=[OX1])[OX1-]", (1, 2), (-1, -2, 0)),
    Anchor("phosphonate", "[PX4](=[OX1])([OX1-])[OX1-]", (1, 2, 3), (-2,)),
    Anchor("hydrogenphosphonate", "[PX4](=[OX1])([OX1-])[OX2H]", (1, 2), (-1,)),
    Anchor("phosphinate", "[PX4](=[OX1])([OX1-])", (1, 2), (-1,)),
    Anchor("sulfonate", "[SX4](=[OX1])(=[OX1])[OX1-]", (1, 2, 3), (-1, 0)),
    Anchor("thiolate", "[SX1-]", (0,), (-1, -2)),
    Anchor("ammonium", "[NX4+]", (0,), (1,)),
    Anchor("phosphine oxide", "[PX4]=[OX1]", (1,), (0,)),
    Anchor("phosphine", "[PX3]", (0,), (0,)),
    Anchor("amine", "[NX3;!$(N-[C,S,P]=*);!$(N=*)]", (0,), (0,)),
)
"""Groups known to bind, the first that fits counts."""


@dataclass(frozen=True, eq=False)
class Ligand:
    """A molecule of n atoms that binds to a surface by its donors."""

    name: str
    smiles: str
    """Canonical, with its formal charges."""
    numbers: IntArray
    """Atomic numbers, shape (n,)."""
    charges: IntArray
    """Formal charges, e, shape (n,)."""
    bonds: IntArray
    """First atom, second atom and order of each bond, shape (b, 3)."""
    anchor: str
    """Name of the group that binds."""
    donors: IntArray
    """Atoms that bind, shape (d,)."""
    conformers: FloatArray
    """Å, shape (c, n, 3): the middle of the donors at 0, their bonds upwards along z, the first
    two donors along x."""

    def __post_init__(self) -> None:
        for name in ("numbers", "charges", "bonds", "donors", "conformers"):
            object.__setattr__(self, name, frozen(getattr(self, name)))

    def __len__(self) -> int:
        return len(self.numbers)

    @property
    def charge(self) -> int:
        """Formal charge, e."""
        return int(self.charges.sum())

    @property
    def near_donors(self) -> IntArray:
        """Donors and the atoms bonded to them, sorted."""
        pairs = self.bonds[:, :2]
        touched = np.isin(pairs, self.donors).any(axis=1)
        return np.union1d(self.donors, pairs[touched])


def read_ligand(
    text: str,
    *,
    chain: int | None = None,
    charge: int | None = None,
    anchors: tuple[int, ...] = (),
    beside: Path | None = None,
) -> Ligand:
    """A ligand by name, by SMILES, or from an XYZ, MOL or SDF file.

    chain: carbons of the n-alkyl group that stands in for the one of the name. charge: formal
    charge in e of an XYZ file, which holds none. anchors: atoms that bind, counted from 1, where
    no known group does. beside: folder that files are relative to.

    Raises
    ------
    InputError
        RDKit is missing, the text is no ligand, it has no group that binds, or the charge differs.
    ImpossibleError
        No three-dimensional shape of it is found.
    """
    _rdkit()
    check_chain(chain)
    if text.lower().endswith(FILES):
        graph = _from_file(Path(text) if beside is None else beside / text, charge)
        name, shaped = safe_name(Path(text).stem, "ligand"), True
    else:
        named = smiles_of(text, chain)
        if chain is not None and named is None:
            raise InputError(f"A stand-in chain belongs to a name, not to {shown(text)}.")
        graph, name, shaped = _from_smiles(named or text, text), text, False
        name = name if chain is None else f"{name}-C{chain}"
    return _ligand(graph, name, charge, anchors, shaped)


def _rdkit() -> None:
    try:
        import rdkit  # noqa: F401 (only whether it is there)
    except ImportError:
        raise InputError(
            "Ligands need RDKit, which is not installed: pip install 'hetbuild[ligands]'."
        ) from None


def _from_smiles(smiles: str, given: str) -> Mol:
    from rdkit import Chem, rdBase

    with rdBase.BlockLogs():
        graph = Chem.MolFromSmiles(smiles)
    if graph is None or not graph.GetNumAtoms():
        raise InputError(
            f"{shown(given)} is no ligand: RDKit cannot parse it as SMILES, and "
            f"{suggestion(given)}."
        )
    return Chem.AddHs(graph)


def _from_file(path: Path, charge: int | None) -> Mol:
    from rdkit import Chem, rdBase
    from rdkit.Chem import rdDetermineBonds

    check_file(path)
    try:
        with rdBase.BlockLogs():
            if path.suffix.lower() != ".xyz":
                graph = next(iter(Chem.SDMolSupplier(str(path), removeHs=False)), None)
            else:
                graph = Chem.MolFromXYZFile(str(path))
                if graph is not None and charge is None:
                    raise InputError(
                        f"{path}: an XYZ file holds no charge; say it, as ligand charge -1."
                    )
                if graph is not None:
                    rdDetermineBonds.DetermineBonds(graph, charge=charge, useHueckel=False)
                    Chem.SanitizeMol(graph)
    except (OSError, RuntimeError, ValueError) as error:
        why = " ".join(str(error).split())[:200]
        raise InputError(f"{path} holds no molecule RDKit can read: {why}.") from None
    if graph is None or not graph.GetNumConformers():
        raise InputError(f"{path} holds no molecule with positions that RDKit can read.")
    return graph


def _ligand(
    graph: Mol, name: str, charge: int | None, anchors: tuple[int, ...], shaped: bool
) -> Ligand:
    from rdkit import Chem

    said = name if len(name) <= SHOWN else f"{name[:SHOWN]}..."
    if len(Chem.GetMolFrags(graph)) > 1:
        raise InputError(f"{said} is not one molecule: write one ligand, without its counter-ion.")
    if graph.GetNumAtoms() > LARGEST:
        raise InputError(f"{said} has {graph.GetNumAtoms()} atoms; at most {LARGEST}.")
    atoms = list(graph.GetAtoms())
    charges = np.array([a.GetFormalCharge() for a in atoms], dtype=np.int64)
    if charge is not None and charges.sum() != charge:
        raise InputError(f"{said} has formal charge {charges.sum():+d} e, not {charge:+d} e.")
    kind, donors = _donors(graph, said, int(charges.sum()), anchors)
    flat = Chem.Mol(graph)
    Chem.Kekulize(flat, clearAromaticFlags=True)
    bonds = [
        (b.GetBeginAtomIdx(), b.GetEndAtomIdx(), int(b.GetBondTypeAsDouble()))
        for b in flat.GetBonds()
    ]
    shapes = _positions(graph, name, shaped)
    pairs = np.array(bonds, dtype=np.int64).reshape(-1, 3)
    return Ligand(
        name,
        Chem.MolToSmiles(Chem.RemoveHs(graph)),
        np.array([a.GetAtomicNum() for a in atoms], dtype=np.int64),
        charges,
        pairs,
        kind,
        donors,
        np.stack([_upright(shape, donors, pairs, charges) for shape in shapes]),
    )


def _donors(graph: Mol, name: str, charge: int, anchors: tuple[int, ...]) -> tuple[str, IntArray]:
    """Name of the group that binds and its donors."""
    from rdkit import Chem

    if anchors:
        index = np.array(anchors, dtype=np.int64) - 1
        if not ((index >= 0) & (index < graph.GetNumAtoms())).all():
            raise InputError(
                f"Anchors {', '.join(map(str, anchors))} of {name}: count its "
                f"{graph.GetNumAtoms()} atoms from 1."
            )
        return "given", index
    for anchor in ANCHORS:
        found = graph.GetSubstructMatch(Chem.MolFromSmarts(anchor.smarts))
        if found and charge in anchor.charges:
            return anchor.name, np.array([found[k] for k in anchor.donors], dtype=np.int64)
    known = ", ".join(a.name for a in ANCHORS)
    raise InputError(
        f"{name} of formal charge {charge:+d} e has no group that binds: known are {known}, each "
        "deprotonated (or protonated) as it binds, as CC(=O)[O-]. Or name its atoms with anchors."
    )


def _positions(graph: Mol, name: str, shaped: bool) -> list[FloatArray]:
    """Shapes of a molecule in Å, the stretched one first; of a file its own alone."""
    from rdkit import rdBase
    from rdkit.Chem import rdDistGeom, rdForceFieldHelpers

    if shaped:
        return [np.array(graph.GetConformer().GetPositions())]
    with rdBase.BlockLogs():  # UFF's typing of N+ and P is not used, its warnings are no news
        options: Any = rdDistGeom.ETKDGv3()
        options.randomSeed = 1
        found = list(rdDistGeom.EmbedMultipleConfs(graph, CONFORMERS, options))
        if not found:
            raise ImpossibleError(f"RDKit finds no three-dimensional shape of {name}.")
        _stretch(graph, found[0])
        if rdForceFieldHelpers.MMFFHasAllMoleculeParams(graph):
            rdForceFieldHelpers.MMFFOptimizeMoleculeConfs(graph, maxIters=100)
        elif rdForceFieldHelpers.UFFHasAllMoleculeParams(graph):
            rdForceFieldHelpers.UFFOptimizeMoleculeConfs(graph, maxIters=100)
    return [np.array(graph.GetConformer(k).GetPositions()) for k in found]


def _stretch(graph: Mol, conformer: int) -> None:
    """Turn every chain of a conformer to all-trans; beside a double bond to the skew minimum."""
    from rdkit import Chem
    from rdkit.Chem import rdMolTransforms

    shape = graph.GetConformer(conformer)
    turning = "[!#1]~[!#1;!$(*#*)]-&!@[!#1;!$(*#*)]~[!#1]"
    done: set[tuple[int, int]] = set()
    for i, j, k, m in graph.GetSubstructMatches(Chem.MolFromSmarts(turning)):
        if (min(j, k), max(j, k)) in done:
            continue
        done.add((min(j, k), max(j, k)))
        beside = any(
            bond.GetBondTypeAsDouble() == 2.0 and bond.GetOtherAtom(atom).GetAtomicNum() == 6
            for atom in (graph.GetAtomWithIdx(j), graph.GetAtomWithIdx(k))
            for bond in atom.GetBonds()
        )
        rdMolTransforms.SetDihedralDeg(shape, i, j, k, m, SKEW if beside else TRANS)


def _upright(shape: FloatArray, donors: IntArray, bonds: IntArray, charges: IntArray) -> Any:
    """The shape with its donors at 0 and what they are bonded to above, see `Ligand`."""
    moved = shape - shape[donors].mean(axis=0)
    ends = np.concatenate([bonds[:, :2], bonds[:, 1::-1]])
    heads = np.setdiff1d(ends[np.isin(ends[:, 0], donors), 1], donors)
    heavy = np.array([h for h in heads if (ends[:, 0] == h).sum() > 1], dtype=np.int64)
    up = moved[heavy if len(heavy) else heads].mean(axis=0)
    if np.linalg.norm(up) < 1e-3:
        up = moved.mean(axis=0)
    z = up / max(float(np.linalg.norm(up)), NOTHING)
    rough = moved[donors[1]] - moved[donors[0]] if len(donors) > 1 else moved.sum(axis=0)
    x = rough - (rough @ z) * z
    if np.linalg.norm(x) < 1e-3:
        x = np.cross(z, np.eye(3)[np.abs(z).argmin()])
    x = x / np.linalg.norm(x)
    return moved @ np.stack([x, np.cross(z, x), z]).T
