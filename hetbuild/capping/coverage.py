"""What ligands do to a particle: their density by facet, contacts, outer size, organic mass."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from hetbuild.arrays import FloatArray, IntArray
from hetbuild.capping.room import contact_radii
from hetbuild.crystal import lattice
from hetbuild.elements import symbol
from hetbuild.model import Domain, Model

LIKE = 10.0
"""Degrees by which a face of the hull may be turned from a facet and count to its form."""

NEAR = 4.5
"""Å within which contacts are looked for; the largest van der Waals sums are 5."""


@dataclass(frozen=True, slots=True)
class Facet:
    """The facets of one form of a domain."""

    domain: str
    form: str
    """``{1 1 1}``; ``other`` for what is turned more than 10 degrees from all low-index facets."""
    area: float
    """Of the hull of the ions, nm²."""
    ligands: Mapping[str, int]
    """Molecules by kind."""
    density: float
    """Molecules per nm²."""


@dataclass(frozen=True, slots=True)
class Contact:
    """The closest contact of one kind, by its part of the van der Waals sum."""

    kind: str
    """``ligand-core`` or ``ligand-ligand``."""
    elements: str
    distance: float
    """Å."""
    part: float
    """Of the van der Waals sum."""


@dataclass(frozen=True, slots=True)
class Coverage:
    """Ligands of a particle."""

    facets: tuple[Facet, ...]
    contacts: tuple[Contact, ...]
    """Donors, and atoms bonded to them, against the core are bonds and left out."""
    core_size: float
    """Distance of the two ions farthest apart, nm."""
    outer_size: float
    """The same of all atoms."""
    organic_mass: float
    """Per cent of the mass in ligands, the loss of thermogravimetry."""


def coverage(model: Model) -> Coverage:
    """Measure the ligands of a particle.

    Sizes are from centre to centre; areas are those of the convex hull of the ions, those that gave
    way to ligands among them.
    """
    core = np.flatnonzero(model.molecule == 0)
    return Coverage(
        _facets(model),
        _contacts(model),
        _across(model.positions[core]),
        _across(model.positions),
        _organic(model),
    )


def kinds_of(model: Model) -> list[tuple[str, IntArray, IntArray]]:
    """Name, molecules of it that are in the model, and donors, of each kind of ligand."""
    held = np.unique(model.molecule[model.molecule > 0])
    found: list[tuple[str, IntArray, IntArray]] = []
    for kind in model.provenance.get("ligands", ()):
        first, last = kind["molecules"]
        mine = held[(held >= first) & (held <= last)]
        found.append((kind["name"], mine, np.array(kind["donors"], dtype=np.int64)))
    return found


@dataclass(frozen=True, eq=False)
class _Faces:
    """Triangles of the hull of a core as it was before ligands replaced ions."""

    planes: FloatArray
    """Outward normal and offset of each, shape (T, 4)."""
    areas: FloatArray
    """nm², shape (T,)."""
    owners: IntArray
    """Domain of two corners at least, shape (T,)."""
    forms: Any
    """Name of each form, shape (T,)."""


def _faces(model: Model) -> _Faces | None:
    """None where the ions enclose no volume."""
    from scipy.spatial import ConvexHull, QhullError

    core = model.molecule == 0
    left = [e for e in model.ledger if e.step == "ligands" and e.action == "swap"]
    places = np.array([e.position for e in left]).reshape(-1, 3)
    their = np.array([model.domain_named(e.domain) for e in left], dtype=model.domain.dtype)
    ions = np.concatenate([model.positions[core], places])
    try:
        hull = ConvexHull(ions)
    except (QhullError, ValueError):
        return None
    a, b, c = np.swapaxes(ions[hull.simplices], 0, 1)
    areas = np.linalg.norm(np.cross(b - a, c - a), axis=1) / 200.0  # half a product, Å² in nm²
    owners = np.sort(np.concatenate([model.domain[core], their])[hull.simplices], axis=1)[:, 1]
    forms = np.empty(len(areas), dtype=object)
    for i, domain in enumerate(model.domains):
        forms[owners == i] = _form(domain, hull.equations[owners == i, :3])
    return _Faces(hull.equations, areas, owners, forms)


def _facets(model: Model) -> tuple[Facet, ...]:
    """Area of each form of each domain, and the ligands whose donors lie outermost on it."""
    faces = _faces(model)
    if faces is None:
        return ()
    start = first_atoms(model)
    held: dict[tuple[int, str], dict[str, int]] = {}
    for name, molecules, donors in kinds_of(model):
        for m in molecules.tolist():
            middle = model.positions[start[m] + donors].mean(axis=0)
            height = faces.planes[:, :3] @ middle + faces.planes[:, 3]
            own = faces.owners == model.domain[start[m]]
            f = int(np.where(own, height, -np.inf if own.any() else height).argmax())
            counted = held.setdefault((int(faces.owners[f]), str(faces.forms[f])), {})
            counted[name] = counted.get(name, 0) + 1
    found = []
    for i, domain in enumerate(model.domains):
        for form in sorted(set(faces.forms[faces.owners == i])):
            area = float(faces.areas[(faces.owners == i) & (faces.forms == form)].sum())
            here = held.get((i, form), {})
            found.append(Facet(domain.name, form, area, here, sum(here.values()) / area))
    return tuple(found)


def first_atoms(model: Model) -> dict[int, int]:
    """Index of the first atom of each molecule; the atoms of one stand together."""
    first = np.concatenate([[0], np.flatnonzero(np.diff(model.molecule)) + 1])
    return dict(zip(model.molecule[first].tolist(), first.tolist(), strict=True))


def _form(domain: Domain, normals: FloatArray) -> Any:
    """The low-index form nearest to each normal, or ``other``; shape (F,)."""
    planes = np.array([h for h in product((1, 0, -1), repeat=3) if any(h)])
    directions = planes @ lattice.reciprocal(domain.vectors)
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    cosine = normals @ directions.T
    near = cosine.argmax(axis=1)
    names = []
    for plane in planes:
        form = domain.crystal.equivalent_planes(plane)[0]
        names.append("{" + " ".join(str(int(i)) for i in form) + "}")
    close = cosine.max(axis=1) > np.cos(np.radians(LIKE))
    return np.where(close, np.array(names)[near], "other")


def _contacts(model: Model) -> tuple[Contact, ...]:
    from scipy.spatial import cKDTree

    pairs = cKDTree(model.positions).query_pairs(NEAR, output_type="ndarray")
    first, second = model.molecule[pairs].T
    pairs = pairs[(first != second) & ((first > 0) | (second > 0))]
    distance = np.linalg.norm(np.diff(model.positions[pairs], axis=1)[:, 0], axis=1)
    part = distance / contact_radii(model.numbers)[pairs].sum(axis=1)
    with_core = (model.molecule[pairs] == 0).any(axis=1)
    head = near_donors(model)[pairs].any(axis=1)
    found = []
    for kind, mine in (("ligand-core", with_core & ~head), ("ligand-ligand", ~with_core)):
        here = np.flatnonzero(mine)
        if len(here):
            k = here[part[here].argmin()]
            names = "-".join(symbol(int(z)) for z in np.sort(model.numbers[pairs[k]]))
            found.append(Contact(kind, names, float(distance[k]), float(part[k])))
    return tuple(found)


def near_donors(model: Model) -> Any:
    """Atoms that are donors, or bonded to one, shape (N,)."""
    mask = np.zeros(len(model), dtype=bool)
    start = first_atoms(model)
    for kind, (_, molecules, donors) in zip(
        model.provenance.get("ligands", ()), kinds_of(model), strict=True
    ):
        bonds = np.array(kind["bonds"], dtype=np.int64).reshape(-1, 3)[:, :2]
        near = np.union1d(donors, bonds[np.isin(bonds, donors).any(axis=1)])
        for m in molecules.tolist():
            mask[start[m] + near] = True
    return mask


def _across(positions: FloatArray) -> float:
    """Largest distance between two of these positions in nm."""
    from scipy.spatial import ConvexHull
    from scipy.spatial.distance import pdist

    if len(positions) > 4:
        positions = positions[ConvexHull(positions).vertices]
    return float(pdist(positions).max()) / 10 if len(positions) > 1 else 0.0


def _organic(model: Model) -> float:
    from ase.data import atomic_masses

    mass = atomic_masses[model.numbers]
    return float(100.0 * mass[model.molecule > 0].sum() / mass.sum())
