"""Molecular ions: rigid ions of several atoms on the site of one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hetbuild.arrays import BoolArray, FloatArray, IntArray
from hetbuild.elements import number
from hetbuild.errors import ImpossibleError, InputError
from hetbuild.exchanging.same_site import Exchange, principal_strains, swap_entries
from hetbuild.exchanging.selection import meant_of, select, share
from hetbuild.geometry.bonds import MOLECULAR
from hetbuild.library import molecules
from hetbuild.model import DECIMALS, Model, kept_digits
from hetbuild.names import safe_name
from hetbuild.selection.places import Places
from hetbuild.selection.profile import Profile, drawn

if TYPE_CHECKING:
    from ase import Atoms

ALIASES: Mapping[str, str] = {
    "CH3NH3": "MA",
    "methylammonium": "MA",
    "CH(NH2)2": "FA",
    "formamidinium": "FA",
}
"""Other names of the shipped molecules."""

TURNS = 128
"""Orientations tried on each site."""

TILT = 90.0
"""Degrees by which an aligned molecule may lean, further with every try, where there is no room."""

H_FLOORS: Mapping[str, float] = {"anion": 2.0, "cation": 2.3, "H": 1.9, "heavy": 2.4}
"""Å an H keeps from others: H...Cl of N-H...Cl is 2.2 to 2.6 Å, Steiner, doi
10.1002/1521-3773(20020104)41:1<48::AID-ANIE48>3.0.CO;2-U."""

HEAVY_FLOORS: Mapping[str, float] = {"anion": 2.9, "cation": 3.0, "H": 2.4, "heavy": 2.9}
"""Å a C or N keeps from others."""

ANION_FLOORS: Mapping[str, float] = {"anion": 3.0, "cation": 2.2, "H": 2.0, "heavy": 2.9}
"""Å an atom other than H of a molecular anion keeps: Pb-O of carboxylates is 2.3 to 2.7 Å."""


OFF_SITE = 2.0
"""Å that a molecule may stand off its site where no orientation on it has room: a cation hemmed in
at an interface, which a molecule would push out."""

OFF_SITE_TRIES = 64
"""Such places tried, in units of the orientations tried on a site."""


@dataclass(frozen=True, eq=False)
class Molecule:
    """A rigid ion about its centre, the mean of its atoms."""

    name: str
    numbers: IntArray
    """Atomic numbers, shape (n,)."""
    positions: FloatArray
    """Å from the centre, shape (n, 3); the long axis along z."""
    charges: IntArray
    """Formal charges, e, shape (n,)."""


def is_molecule(name: str) -> bool:
    """Whether a shipped molecule has this name, or it is that of an XYZ file."""
    return ALIASES.get(name, name) in molecules() or name.endswith(".xyz")


def read_molecule(name: str, beside: Path | None = None) -> Molecule:
    """A shipped molecule by name, as MA, CH3NH3 or methylammonium, or one in an XYZ file.

    beside: folder a file is relative to. A file tells the charge of the ion in its comment line, as
    ``charge=-1``, or in a column formal_charge; a total charge goes to the atom, other than H, that
    is nearest to the middle.

    Raises
    ------
    InputError
        No such molecule, or a file that cannot be read, tells no charge, or holds one atom only.
    """
    from ase.io import read

    shipped = molecules()
    key = ALIASES.get(name, name)
    if key not in shipped and not name.endswith(".xyz"):
        raise InputError(
            f"No molecule is called {name!r}; there are {', '.join(shipped)}, and files *.xyz."
        )
    path = shipped[key] if key in shipped else (beside or Path()) / name
    try:
        atoms = read(path, format="extxyz")
    except (OSError, ValueError, KeyError, IndexError, StopIteration) as error:
        raise InputError(f"Cannot read the molecule {path}: {error}.") from None
    heavy = atoms.numbers > 1
    if len(atoms) < 2 or not heavy.any():
        raise InputError(f"{path} holds no molecule: it needs two atoms, one of them other than H.")
    positions = atoms.positions - atoms.positions.mean(axis=0)
    _, _, axes = np.linalg.svd(positions[heavy] - positions[heavy].mean(axis=0))
    axes *= np.sign(np.linalg.det(axes))
    return Molecule(
        key if key in shipped else safe_name(path.stem, "molecule"),
        atoms.numbers.astype(np.int64),
        np.asarray(positions @ axes.T[:, [1, 2, 0]]),
        _charges(path, atoms, positions),
    )


def _charges(path: Path, atoms: Atoms, positions: FloatArray) -> IntArray:
    """Formal charges of a molecule's atoms, e, shape (n,)."""
    if "formal_charge" in atoms.arrays:
        return np.asarray(np.rint(atoms.get_array("formal_charge")).astype(np.int64))
    total = atoms.info.get("charge")
    if not isinstance(total, int | np.integer) or total == 0:
        raise InputError(
            f"{path} tells no charge of the molecule: write charge=1 or charge=-1 in its second "
            "line, the comment."
        )
    heavy = np.flatnonzero(atoms.numbers > 1)
    middle = positions[heavy].mean(axis=0)
    nearest = heavy[np.linalg.norm(positions[heavy] - middle, axis=1).round(6).argmin()]
    charges = np.zeros(len(atoms), dtype=np.int64)
    charges[nearest] = int(total)
    return charges


def whole_molecules(model: Model, molecule: Molecule) -> IntArray:
    """Atoms of each molecule of this kind in a model, by bonds; shape (molecules, n)."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components
    from scipy.spatial import cKDTree

    atoms = np.flatnonzero(np.isin(model.numbers, np.unique(molecule.numbers)))
    longest = max(MOLECULAR.values())
    pairs = cKDTree(model.positions[atoms]).query_pairs(longest, output_type="ndarray")
    pairs = pairs[(model.numbers[atoms][pairs] > 1).any(axis=1)]
    shape = (len(atoms), len(atoms))
    graph = coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=shape)
    _, label = connected_components(graph, directed=False)
    size = np.bincount(label, minlength=1)
    order = np.lexsort((model.numbers[atoms], label))
    order = order[size[label[order]] == len(molecule.numbers)]
    groups = atoms[order].reshape(-1, len(molecule.numbers))
    alike = (model.numbers[groups] == np.sort(molecule.numbers)).all(axis=1)
    return np.asarray(groups[alike])


def replace_molecules(
    model: Model,
    domain: str,
    old: str,
    new: str,
    *,
    fraction: float = 1.0,
    order: str = "random",
    which: str = "",
    profile: Profile | None = None,
    seed: int = 0,
    along: tuple[float, float, float] | None = None,
    beside: Path | None = None,
) -> tuple[Model, Exchange]:
    """Exchange an ion for a molecule, a molecule for an ion, or one molecule for another.

    Molecules stand with the mean of their atoms on the site, turned at random by the seed, or with
    their long axis along a lattice direction [uvw] of the domain, leaning where there is no room.
    Of the orientations tried the first that keeps the contact floors is taken; where none does, the
    molecule stands beside its site, at most 2 Å off, which the report counts. fraction: as for
    single ions. which: of single ions only those a selection means, and the fraction is of those
    that are there. profile: fractions that change with place instead, of a molecule by its first
    atom. beside: folder that XYZ files of molecules are relative to.

    Raises
    ------
    InputError
        Unknown domain, nothing of the old ion in it, a fraction outside 0 to 1, or a selection of
        molecules.
    ImpossibleError
        No orientation of a molecule keeps clear of its surroundings.
    """
    index = model.domain_named(domain)
    leaving, coming = (read_molecule(n, beside) if is_molecule(n) else n for n in (old, new))
    old, new = (m if isinstance(m, str) else m.name for m in (leaving, coming))
    groups = _taken(model, index, (leaving, coming), (fraction, order, seed), which, profile)
    sites = kept_digits(model.positions[groups].mean(axis=1))
    role = model.role[groups[:, 0]] if len(groups) else np.empty(0, dtype=np.int8)
    left = model.where(~np.isin(np.arange(len(model)), groups))
    crystal = model.domains[index].crystal
    if isinstance(coming, Molecule):
        places = _placed(left, index, sites, coming, seed, along)
        kinds, charges = coming.numbers, coming.charges
    else:
        places = sites[:, None]
        kinds, charges = np.array([number(new)]), np.array([crystal.charge_of(new)])
    changed = _with_groups(left, index, kinds, charges, places, role)
    entries = swap_entries(sites, f"{old}>{new}", domain)
    changed = replace(changed, ledger=(*model.ledger, *entries))
    return changed, Exchange(
        domain=domain,
        product=crystal.name,
        taken={old: len(sites)},
        put={new: len(sites)},
        charge=changed.charge - model.charge,
        strain=principal_strains(model.domains[index], crystal),
        details=_off_site(places, sites),
    )


def _taken(
    model: Model,
    index: int,
    kinds: tuple[Molecule | str, Molecule | str],
    part: tuple[float, str, int],
    which: str,
    profile: Profile | None,
) -> IntArray:
    """Atoms of each ion or molecule that leaves, shape (groups, n); see `replace_molecules`.

    kinds: what leaves and what comes. part: fraction, order and seed.
    """
    leaving, coming = kinds
    fraction, order, seed = part
    domain = model.domains[index].name
    old, new = (m if isinstance(m, str) else m.name for m in kinds)
    groups, already = _groups(model, index, leaving), len(_groups(model, index, coming))
    if not len(groups) and not already:
        raise InputError(f"{domain} holds no {old} to exchange for {new}.")
    first = groups[:, 0] if len(groups) else np.empty(0, dtype=np.int64)
    if which:
        if isinstance(leaving, Molecule):
            raise InputError(
                f"which: {which!r} means ions by their bonds and sites, and {old} is a molecule; "
                "molecules that leave are chosen by fraction and order, or by a profile."
            )
        first, already = meant_of(model, first, which), 0
        if not len(first):
            raise InputError(f"{domain} holds no {old} that {which!r} means.")
    if profile is not None:
        taken = first[drawn(profile, Places.of(model, first), seed)]
    else:
        wanted = share(fraction, len(first) + already) - already
        taken = select(model, first, max(wanted, 0), order, seed)
    return groups[np.isin(groups[:, 0], taken)] if len(groups) else groups


def _off_site(places: FloatArray, sites: FloatArray) -> dict[str, float]:
    """How many molecules stand beside their site, and how far off in Å at most; none: empty."""
    off = np.linalg.norm(places.mean(axis=1) - sites, axis=1)
    beside = off > 1e-6
    if not beside.any():
        return {}
    return {"beside_site": int(beside.sum()), "off_at_most": round(float(off.max()), 3)}


def _groups(model: Model, index: int, ion: Molecule | str) -> IntArray:
    """Atoms of each ion or molecule of a kind in a domain, shape (count, atoms of one)."""
    if isinstance(ion, Molecule):
        groups = whole_molecules(model, ion)
        return np.asarray(groups[(model.domain[groups] == index).all(axis=1)])
    here = (model.domain == index) & (model.numbers == number(ion))
    return np.flatnonzero(here)[:, None]


def _with_groups(
    model: Model,
    index: int,
    numbers: IntArray,
    charges: IntArray,
    places: FloatArray,
    role: IntArray,
) -> Model:
    """Ions of one kind added. places: Å, shape (count, atoms of one, 3); role: shape (count,)."""
    count, size = places.shape[:2]

    return model.extended(
        numbers=np.tile(numbers, count),
        positions=places.reshape(-1, 3),
        charges=np.tile(charges, count),
        domain=np.full(count * size, index),
        role=np.repeat(role, size),
        on_sites=size == 1,
    )


def _placed(
    model: Model,
    index: int,
    sites: FloatArray,
    molecule: Molecule,
    seed: int,
    along: tuple[float, float, float] | None,
) -> FloatArray:
    """Atoms of a molecule on each site, clear of the rest and of each other; (S, n, 3), Å."""
    axis = None if along is None else np.asarray(along, float) @ model.domains[index].vectors
    turns = _turns(len(sites), axis, seed)
    trial = np.einsum("skij,nj->skni", turns, molecule.positions) + sites[:, None, None]
    allowed = _clear(model, trial, molecule)
    for site in np.flatnonzero(~allowed.any(axis=1)):
        beside = _beside(model, sites[site], molecule, (axis, seed + int(site)))
        trial[site, : len(beside)], allowed[site, : len(beside)] = beside, True
    if not allowed.any(axis=1).all():
        worst = sites[~allowed.any(axis=1)][0]
        raise ImpossibleError(_no_room(molecule, worst, np.asarray(~allowed.any(axis=1))))
    rows = np.arange(len(sites))
    for _ in range(TURNS):
        turn = allowed.argmax(axis=1)
        places = trial[rows, turn]
        clash = _clashing(places, molecule)
        if not clash.any():
            return np.asarray(np.round(places, DECIMALS))
        allowed[clash, turn[clash]] = False
        if not allowed.any(axis=1).all():
            break
    worst = sites[clash][0]
    raise ImpossibleError(_no_room(molecule, worst, np.asarray(clash)))


def _beside(
    model: Model, site: FloatArray, molecule: Molecule, how: tuple[FloatArray | None, int]
) -> FloatArray:
    """Up to TURNS ways to stand clear off a site that is hemmed in, nearest first; (T, n, 3), Å.

    how: lattice direction in Å that the molecule points along, or None; seed.
    """
    axis, seed = how
    turns = np.concatenate(_turns(OFF_SITE_TRIES, axis, seed))
    away = np.random.default_rng(seed).normal(size=(len(turns), 3))
    away /= np.linalg.norm(away, axis=1, keepdims=True)
    length = np.linspace(0.0, OFF_SITE, len(turns))[:, None]
    trial = np.einsum("kij,nj->kni", turns, molecule.positions) + (site + length * away)[:, None]
    return np.asarray(trial[_clear(model, trial[None], molecule)[0]][:TURNS])


def _no_room(molecule: Molecule, site: FloatArray, full: BoolArray) -> str:
    x, y, z = site
    count = int(full.sum())
    return (
        f"No room for {molecule.name} on {count} of {len(full)} sites, the first at "
        f"{x:.2f} {y:.2f} {z:.2f} Å: all {TURNS} orientations come too close to others. Try "
        "another seed, or a smaller fraction from the surface, which leaves the ions that the "
        "interface hems in."
    )


def _turns(count: int, axis: FloatArray | None, seed: int) -> FloatArray:
    """Rotations to try on each site, shape (count, TURNS, 3, 3)."""
    from scipy.spatial.transform import Rotation

    rng = np.random.default_rng(seed)
    total = count * TURNS
    if not total:
        return np.empty((0, TURNS, 3, 3))
    if axis is None:
        turns = Rotation.random(total, random_state=rng)
    else:
        upright = Rotation.align_vectors(axis[None], np.array([[0.0, 0.0, 1.0]]))[0]
        tilt = TILT * np.tile(np.linspace(0.0, 1.0, TURNS) ** 2, count)
        angles = np.stack([rng.uniform(0, 360, total), tilt, rng.uniform(0, 360, total)], axis=-1)
        turns = upright * Rotation.from_euler("ZXZ", angles, degrees=True)
    return np.asarray(turns.as_matrix().reshape(count, TURNS, 3, 3))


def _kinds(numbers: IntArray, charges: IntArray) -> dict[str, BoolArray]:
    """Which atoms are H or C and N of molecules, which are single cations or anions."""
    light = np.isin(numbers, (6, 7)) | (np.asarray(charges) == 0) & (numbers > 1)
    h = np.asarray(numbers == number("H"))
    single = ~light & ~h
    return {
        "anion": single & (charges < 0),
        "cation": single & (charges > 0),
        "H": h,
        "heavy": light,
    }


def _clear(model: Model, trial: FloatArray, molecule: Molecule) -> BoolArray:
    """Which trial orientations keep all floors to the model, shape (S, K)."""
    from scipy.spatial import cKDTree

    free = np.ones(trial.shape[:2], dtype=bool)
    kinds = _kinds(model.numbers, model.charges)
    heavy = HEAVY_FLOORS if molecule.charges.sum() > 0 else ANION_FLOORS
    for floors, atoms in ((H_FLOORS, molecule.numbers == 1), (heavy, molecule.numbers > 1)):
        if not atoms.any():
            continue
        for kind, mask in kinds.items():
            if mask.any():
                near = cKDTree(model.positions[mask]).query(trial[:, :, atoms])[0]
                free &= (near > floors[kind]).all(axis=2)
    return free


def _clashing(places: FloatArray, molecule: Molecule) -> BoolArray:
    """Molecules that come too close to one before them in the list, shape (S,)."""
    from scipy.spatial import cKDTree

    count, size = places.shape[:2]
    pairs = cKDTree(places.reshape(-1, 3)).query_pairs(HEAVY_FLOORS["heavy"], output_type="ndarray")
    first, second = pairs.T // size
    h = molecule.numbers[pairs % size] == 1
    limit = np.select(
        [h.all(axis=1), h.any(axis=1)], [H_FLOORS["H"], H_FLOORS["heavy"]], HEAVY_FLOORS["heavy"]
    )
    apart = np.linalg.norm(np.diff(places.reshape(-1, 3)[pairs], axis=1)[:, 0], axis=1)
    hit = (first != second) & (apart < limit)
    result = np.zeros(count, dtype=bool)
    result[np.maximum(first, second)[hit]] = True
    return result
