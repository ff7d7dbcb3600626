"""The verbs of the command line that take several wings, as functions on models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO, TypeAlias

import numpy as np

from hetbuild.analyse import compare as laid
from hetbuild.analyse.comparison import Comparison
from hetbuild.analyse.inheritance import labelled_like
from hetbuild.analyse.labels import model_of
from hetbuild.analyse.whereabouts import Whereabouts, whereabouts
from hetbuild.arguments import checked, expect
from hetbuild.arrays import FloatArray, IntArray, Progress
from hetbuild.assemble.carve import refuse_if_large
from hetbuild.capping.attach import NoRoom
from hetbuild.capping.room import CLEARANCE
from hetbuild.crystal.crystal import Crystal, crystal_of
from hetbuild.errors import InputError
from hetbuild.exchanging.etch import Shared
from hetbuild.exchanging.same_site import Lattice
from hetbuild.formats.files import refuse_existing, write_all
from hetbuild.formats.staging import recover
from hetbuild.formats.xyz import read_positions, read_xyz
from hetbuild.library import check_file
from hetbuild.model import Model
from hetbuild.page.document import page
from hetbuild.recipe.read import parse_step
from hetbuild.recipe.run import BYTES_PER_ION
from hetbuild.recipe.schema import EtchSpec, LigandsSpec
from hetbuild.recipe.steps import exchange_spec, run_step

if TYPE_CHECKING:
    from ase import Atoms

    Atomic: TypeAlias = Model | Atoms | str | Path


Crystals: TypeAlias = "str | Path | Crystal | Sequence[str | Path | Crystal]"


@checked
def read_model(
    path: str | Path,
    crystals: Crystals = (),
    *,
    like: Model | str | Path | None = None,
    formulas: Mapping[str, str] | None = None,
    names: Sequence[str] | None = None,
    frame: int | None = None,
) -> Model:
    """The model in a file: one hetbuild wrote, or any file of atoms that ASE reads.

    crystals: what the particle is made of, shipped names, CIF files or crystals; atoms are then
    sorted into domains by the lattices they show. One that there are several particles of is named
    for each; the domains are then called PbS-1, PbS-2. formulas: compositions that are known,
    as {"perovskite": "Cs126Pb80Cl276"}. names: of the domains, default those of the crystals. like:
    a model of the same atoms, in any order, whose labels they take. frame: of a trajectory, counted
    from 1; default: the last whole one. What is uncertain is in `model.provenance["ambiguous"]`.

    Raises
    ------
    InputError
        The file cannot be read, or carries no hetbuild record and nothing else says what it is.
    ImpossibleError
        A crystal is not found in the particle, or too few atoms fit; or `like` is another particle.

    Examples
    --------
    >>> import hetbuild as hb
    >>> path = hb.build("cspbcl3-cube-2").write("cube.xyz")
    >>> hb.read_model(path)
    <Model Cs20Pb8Cl36: 64 atoms, formal charge 0 e, perovskite of CsPbCl3>
    >>> hb.read_model(path, "CsPbCl3", names=["cube"]).formulas
    {'cube': 'Cs20Pb8Cl36'}
    """
    recover(Path(path).parent)
    check_file(Path(path))
    _refuse_if_large(Path(path))
    given = [crystals] if isinstance(crystals, str | Path | Crystal) else list(crystals)
    if like is not None and (given or formulas):
        raise InputError("A parent (--like) tells all labels: leave crystals and formulas out.")
    if formulas and not given:
        raise InputError("Formulas need crystals: name those the file is made of (--crystals).")
    if names and not given:
        raise InputError("Names of domains need crystals: name those the file is made of.")
    if like is None and not given and frame is None:
        return read_xyz(Path(path))
    if like is None and not given:
        raise InputError("A frame has no labels: name crystals (--crystals) or a parent (--like).")
    numbers, positions, cell = read_positions(Path(path), frame)
    if like is not None:
        parent = like if isinstance(like, Model) else read_model(like)
        return labelled_like(parent, numbers, positions, cell)
    bulk = [crystal_of(c) for c in given]
    return model_of(numbers, positions, bulk, cell, names=names, formulas=formulas)


LEAST_LINE = 8
"""Bytes of the shortest line of an atom."""


def _refuse_if_large(path: Path) -> None:
    """Before a file is read whose atoms would not fit; XYZ says first how many there are."""
    try:
        with path.open("rb") as stream:
            count = int(stream.readline(20)) if path.suffix == ".xyz" else 0
        atoms = min(count, path.stat().st_size // LEAST_LINE)
    except (OSError, ValueError):
        return  # reading it says what is wrong
    refuse_if_large(atoms * BYTES_PER_ION, None, f"model of {atoms} atoms in {path}")


@checked
def compare(first: Atomic, second: Atomic) -> Comparison:
    """Lay the second model on the first and say how far atoms lie apart, as after a relaxation.

    Each is a model, ASE Atoms, or a file of either. The order and orientation of the atoms do not
    matter. Where the first is a periodic model, atoms may be shifted and wrapped into the cell.
    Models of different composition are compared by the elements they have in common.

    Raises
    ------
    InputError
        No element in common, or a file that cannot be read.

    Examples
    --------
    >>> import hetbuild as hb
    >>> cube = hb.build("cspbcl3-cube-2")
    >>> atoms = cube.to_ase()
    >>> atoms.rotate(30, "z")
    >>> round(hb.compare(cube, atoms).rmsd, 6)
    0.0
    """
    a, b = _placed(first), _placed(second)
    atoms = (a.numbers, a.positions), (b.numbers, b.positions)
    where = a.where, b.where
    if a.cell is None:
        return laid.compare(*atoms, a.parts, where=where)
    cells = a.cell, a.cell if b.cell is None else b.cell
    return laid.compare_periodic(*atoms, cells, a.parts, where=where)


@dataclass(frozen=True, eq=False)
class _Placed:
    numbers: IntArray
    positions: FloatArray
    cell: FloatArray | None
    parts: Mapping[str, IntArray] | None = None
    where: Whereabouts | None = None


def _placed(given: Atomic) -> _Placed:
    """Atoms with their cell where they repeat, and those of each domain where there are any."""
    from ase import Atoms

    expect(given, (Model, Atoms, str, Path), "What is compared")
    if isinstance(given, str | Path):
        path = Path(given)
        recover(path.parent)
        try:
            given = read_xyz(path)
        except InputError:  # no record: distances by element
            return _Placed(*read_positions(path))
    if isinstance(given, Model):
        parts = {d.name: np.flatnonzero(given.domain == i) for i, d in enumerate(given.domains)}
        return _Placed(given.numbers, given.positions, given.cell, parts, whereabouts(given))
    cell = np.array(given.cell) if given.pbc.any() and given.cell.rank == 3 else None
    return _Placed(given.numbers.astype(np.int16), np.array(given.positions), cell)


@checked
def exchange(
    model: Model,
    ions: Mapping[str, str] | None = None,
    *,
    product: str | None = None,
    domain: str | None = None,
    fraction: float = 1.0,
    which: str | None = None,
    order: str | None = None,
    seed: int = 0,
    lattice: Lattice = "keep",
    along: Sequence[float] | None = None,
    keep_planes: int | None = None,
    keep_thickness: float | None = None,
    deficit: float = 0.0,
    compensate: Sequence[str] = (),
    allow_charge: bool = False,
    progress: Progress = None,
) -> Model:
    """Exchange ions on their sites or, without `ions`, a domain's cations for those of a product.

    ions: new ion by old one, as {"Cl": "Br"} or {"Cs": "MA"}, molecules by name. product: crystal
    of the product, a shipped name or CIF file; alone it asks for a topotactic exchange, in which
    the anions stay and cations take other interstitial sites. domain: default the only one that
    can be meant. fraction: part that is exchanged, 0 to 1, of the ions that `which` means, in an
    `order` with a `seed`, as "interior" and "outermost first, spread". along: direction [uvw] of
    molecules, shape (3,). keep_planes, keep_thickness (Å): cations that stay at the interface.
    deficit: x of Cu(2-x)S. compensate: moves that may restore neutrality, as "remove Cl in
    sulfide". What was done is in `model.provenance["steps"]`.

    Raises
    ------
    InputError
        An option that does not belong to the exchange, an ion or domain that is not there.
    ImpossibleError
        The product does not fit, or a charge is left that nothing may restore.

    Examples
    --------
    >>> import hetbuild as hb
    >>> hb.exchange(hb.build("cspbcl3-cube-2"), {"Cl": "Br"})
    <Model Cs20Pb8Br36: 64 atoms, formal charge 0 e, perovskite of CsPbBr3>
    """
    options: dict[str, Any] = {
        "fraction": fraction, "order": order, "seed": seed, "along": along, "deficit": deficit,
        "which": which, "keep_thickness": keep_thickness, "compensate": tuple(compensate),
        "allow_charge": allow_charge,
    }  # fmt: skip
    if lattice != "keep":
        options["lattice"] = lattice
    if keep_planes is not None:
        options["keep_planes"] = keep_planes
    if not ions and product is None:
        raise InputError("Say what to exchange: ions, as {'Cl': 'Br'}, or a product, as 'Cu2S'.")
    spec = exchange_spec(model, dict(ions or {}), product, domain, options)
    return run_step(model, spec, progress=progress)


@checked
def etch(
    model: Model,
    domain: str,
    *,
    shared: Shared = "bonded",
    compensate: Sequence[str] = (),
    allow_charge: bool = False,
    progress: Progress = None,
) -> Model:
    """Dissolve a domain and balance what is left, by its halide unless told otherwise.

    shared: which cations of its shared layer stay: those ``bonded`` to three anions of the other
    domain, all (``keep``), or none (``drop``). compensate, allow_charge: as for `exchange`.

    Raises
    ------
    InputError
        No such domain.
    ImpossibleError
        It is the only one, or a charge is left that nothing may restore.

    Examples
    --------
    >>> import hetbuild as hb
    >>> cube = hb.build("cspbcl3-cube-2")
    >>> hb.etch(cube, "perovskite")
    Traceback (most recent call last):
    hetbuild.errors.ImpossibleError: perovskite is the only domain: etching it would leave nothing.
    """
    given = {"domain": domain, "shared": shared, "compensate": tuple(compensate)}
    spec = parse_step(EtchSpec, given | {"allow_charge": allow_charge})
    return run_step(model, spec, progress=progress)


@checked
def ligands(
    model: Model,
    add: str | Sequence[str | Mapping[str, Any]],
    *,
    order: str = "spread",
    seed: int = 0,
    clearance: float = CLEARANCE,
    no_room: NoRoom = "refuse",
    progress: Progress = None,
) -> Model:
    """Put whole molecules on the surface of a particle; its formal charge stays.

    add: what and where, one after the other, as "oleate on Cl, facet {1 1 1}", "24 oleate on Cl",
    "50% octylammonium on Cs, surface", or mappings with the keys ligand, on, count, fraction, mode,
    chain, charge and anchors. Ligands are names, SMILES, or XYZ, MOL and SDF files. order, seed:
    which ions go first. clearance: part of the van der Waals sum that no contact may fall under.
    no_room: where fewer find room than asked, "refuse" or "skip". What was done is in
    `model.provenance["steps"]`, the molecule of each atom in `model.molecule`.

    Raises
    ------
    InputError
        A ligand or selection that is none, a charge that does not fit the site, or no RDKit.
    ImpossibleError
        Fewer ions than asked for, or no room; the text says how many fit.

    Examples
    --------
    >>> import hetbuild as hb
    >>> cube = hb.build("cspbcl3-cube-2")
    >>> hb.ligands(cube, ["6 methylammonium on Cs, surface", "6 formate on Cl, surface"]).formula
    'Cs14C12H42N6Pb8O12Cl30'
    """
    kinds = (add,) if isinstance(add, str) else tuple(add)
    given = {"add": kinds, "order": order, "seed": seed, "clearance": clearance}
    spec = parse_step(LigandsSpec, given | {"no_room": no_room, "allow_charge": True})
    return run_step(model, spec, progress=progress)


@checked
def report(
    model: Model,
    path: str | Path,
    *,
    parts: Sequence[str] = ("xrd", "image"),
    force: bool = False,
    progress: Progress = None,
) -> Path:
    """Show a model in one HTML file that needs no network: 3D, composition, interface, recipe.

    parts: which of ``xrd`` and ``image``, which take matplotlib, to include. force: overwrite.

    Raises
    ------
    InputError
        An unknown part, a file in the way, or matplotlib is not installed.
    ImpossibleError
        The file cannot be written.

    Examples
    --------
    >>> import hetbuild as hb
    >>> hb.report(hb.build("cspbcl3-cube-2"), "cube.html", parts=["image"]).name
    'cube.html'
    """
    place = Path(path)
    refuse_existing([place], force)
    written = page(model, parts=parts, progress=progress)

    def write(stream: TextIO) -> None:
        stream.write(written)

    write_all({place: write}, force)
    return place
