"""What a model is: composition, charge, contacts, coordination, interface, point group."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from itertools import product
from typing import Any

import numpy as np

from hetbuild.analyse.continuity import Continuation, continuity
from hetbuild.analyse.frames import closest_setting, fit_frame
from hetbuild.arrays import BoolArray, IntArray, Plane
from hetbuild.assemble.coherent import finite, strain_of
from hetbuild.crystal import lattice
from hetbuild.crystal.crystal import Crystal
from hetbuild.crystal.lattice import Coincidence, Direction, plane_label
from hetbuild.elements import number
from hetbuild.errors import ImpossibleError
from hetbuild.geometry.contacts import KINDS, Contact, closest_contacts, coordination
from hetbuild.geometry.point_group import point_group_symbol
from hetbuild.model import Domain, Model, Role

REPEATED = 14.0
"""Å beyond the cell to which a periodic model is repeated to be measured like a particle."""

COORDINATION_CUTOFF = 3.6
"""Å within which an anion counts as a neighbour of Pb: above Pb-S 2.97, below the next shell."""


@dataclass(frozen=True, slots=True)
class Tilt:
    """Angle between the nearest cell axes of two domains that are not parallel."""

    first: Plane
    second: Plane
    angle: float
    """Degrees."""


@dataclass(frozen=True, slots=True)
class MeasuredInterface:
    """An interface as the atoms show it."""

    planes: tuple[Plane, Plane]
    misalignment: float
    """Angle between the two plane normals, degrees."""
    coincidences: tuple[Coincidence, ...]
    """Parallel in-plane lattice vectors that nearly agree in length, shortest misfit cell first."""
    tilt: Tilt | None
    spread: tuple[float, float]
    """Rms distance in Å of the atoms from each fitted lattice."""
    domains: tuple[Domain, Domain]
    """The frames as fitted to the atoms."""

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "planes": [plane_label(p) for p in self.planes],
            "misalignment": round(self.misalignment, 6),
            "coincidences": [
                {"directions": c.labels, "lengths": c.lengths, "mismatch": c.mismatch}
                for c in self.coincidences
            ],
            "tilt": None if self.tilt is None else asdict(self.tilt),
            "spread": self.spread,
        }


@dataclass(frozen=True, slots=True)
class Report:
    """Everything `hetbuild inspect` prints."""

    formula: str
    charge: int
    formulas: Mapping[str, str]
    roles: Mapping[str, int]
    contacts: tuple[Contact, ...]
    """Closest contact of each kind across the interface, or inside a one-domain model."""
    coordination: Mapping[str, Mapping[int, int]]
    """Region (interface, facets, core) to {anions within 3.6 Å: how many Pb}."""
    interface: MeasuredInterface | None
    point_group: str
    """Of a particle; the space group of a periodic model."""
    continuity: tuple[Continuation, ...] = ()
    """Cations of one domain on sites of the other's cation sublattice."""
    cell: tuple[float, ...] | None = None
    """a, b, c in Å, alpha, beta, gamma in degrees of a periodic model."""
    strain: Mapping[str, tuple[float, float, float]] = field(default_factory=dict)
    """Of each domain of a periodic model: xx, yy and xy in the plane, dimensionless."""

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        result = asdict(replace(self, interface=None))
        result["interface"] = None if self.interface is None else self.interface.as_dict()
        return result


def inspect(model: Model, *, cation: str = "Pb") -> Report:
    """Measure a model. cation: the element whose coordination is counted.

    The interface is measured from the positions: the crystals' frames are fitted to the atoms anew,
    and frames stored with the model only choose among symmetry-equivalent labels.
    """
    around = finite(model, REPEATED)
    interface = measure_interface(around) if len(model.domains) == 2 else None
    return Report(
        formula=model.formula,
        charge=model.charge,
        formulas=model.formulas,
        roles={r.label: int((model.role == r).sum()) for r in Role if (model.role == r).any()},
        contacts=_contacts(around),
        coordination=coordination_by_region(around, cation, len(model)),
        interface=interface,
        point_group=point_group_symbol(model) if model.cell is None else _space_group(model),
        continuity=_continuity(model, interface),
        cell=None if model.cell is None else lattice.parameters(model.cell),
        strain={} if model.cell is None else {d.name: _in_plane(d) for d in model.domains},
    )


def _continuity(model: Model, interface: MeasuredInterface | None) -> tuple[Continuation, ...]:
    """By the frames the atoms show, else by those the model was built with."""
    if model.interface is not None and model.cell is not None:
        return continuity(model, model.interface.planes)
    if interface is not None:
        return continuity(model, interface.planes, interface.domains)
    return ()


def _in_plane(domain: Domain) -> tuple[float, float, float]:
    strain = strain_of(domain)
    return float(strain[0, 0]), float(strain[1, 1]), float(strain[0, 1])


def _space_group(model: Model) -> str:
    import spglib

    assert model.cell is not None
    fractional = model.positions @ np.linalg.inv(model.cell)
    found = spglib.get_spacegroup((model.cell, fractional, model.numbers), symprec=1e-2)
    return str(found)


def coordination_by_region(
    model: Model, cation: str, first: int | None = None
) -> dict[str, dict[int, int]]:
    """Histogram of anions within 3.6 Å of each cation, at the interface, on facets, in the core.

    first: count only so many atoms at the head of the model, those that are not images.

    Interface: the shared layer, and cations with an anion of another domain in reach. Core: cations
    with as many cations of their element around them as any other has. Facets: the rest.
    """
    chosen = model.numbers == number(cation)
    around = coordination(
        model.positions[chosen], model.positions[model.charges < 0], COORDINATION_CUTOFF
    )
    own = np.flatnonzero(chosen) < (len(model) if first is None else first)
    at_interface = _at_interface(model)[chosen]
    inside = _is_core(model, chosen)
    regions = {
        "interface": at_interface,
        "facets": ~at_interface & ~inside,
        "core": ~at_interface & inside,
    }
    return {
        name: {
            int(n): int(c)
            for n, c in zip(*np.unique(around[here & own], return_counts=True), strict=True)
        }
        for name, here in regions.items()
        if (here & own).any()
    }


def measure_interface(model: Model) -> MeasuredInterface | None:
    """Planes, coincident directions and tilt of a two-domain model, from its positions.

    The plane is the lattice plane of the first crystal that parts the cations of the two domains by
    the widest margin; the second's is the plane whose normal is nearest to it. None where the
    atoms of a domain do not show their lattice.
    """
    try:
        first, second = (_measured(model, i) for i in range(2))
    except ImpossibleError:
        return None
    planes, misalignment = _parting_planes(model, first[0], second[0])
    return MeasuredInterface(
        planes=planes,
        misalignment=misalignment,
        coincidences=_coincidences(first[0], second[0], planes),
        tilt=nearest_tilt(first[0], second[0]),
        spread=(first[1], second[1]),
        domains=(first[0], second[0]),
    )


def nearest_tilt(first: Domain, second: Domain, parallel: float = 0.5) -> Tilt | None:
    """The cell axes <100> of two domains that are nearest to each other without being parallel.

    parallel: degrees below which two axes count as parallel.
    """
    found = []
    for u, v in product(_cell_axes(first.crystal), _cell_axes(second.crystal)):
        apart = lattice.angle(np.array(u) @ first.vectors, np.array(v) @ second.vectors)
        if parallel < apart <= 90.0:
            found.append((round(apart, 6), -sum(u) - sum(v), u, v))
    if not found:
        return None
    apart, _, u, v = min(found)
    return Tilt((u[0], u[1], u[2]), (v[0], v[1], v[2]), apart)


def _cell_axes(crystal: Crystal) -> list[tuple[int, ...]]:
    """<100>, <010> and <001> with all symmetry-equivalent directions."""
    images = np.vstack([crystal.rotations @ axis for axis in np.eye(3, dtype=np.int64)])
    return [tuple(row) for row in np.unique(np.vstack([images, -images]), axis=0).tolist()]


def _contacts(model: Model) -> tuple[Contact, ...]:
    if len(model.domains) == 2:
        a, b = model.domain == 0, model.domain == 1
        return closest_contacts(
            model.positions[a], model.charges[a], model.positions[b], model.charges[b]
        )
    return _inner_contacts(model)


def _inner_contacts(model: Model) -> tuple[Contact, ...]:
    from scipy.spatial import cKDTree

    pairs = cKDTree(model.positions).query_pairs(6.0, output_type="ndarray")
    distance = np.linalg.norm(np.diff(model.positions[pairs], axis=1)[:, 0], axis=1)
    anions = (model.charges[pairs] < 0).sum(axis=1)
    found = []
    for kind, n in zip(KINDS, (2, 1, 0), strict=True):
        here = np.flatnonzero(anions == n)
        if len(here):
            k = here[distance[here].argmin()]
            found.append(Contact(kind, float(distance[k]), int(pairs[k, 0]), int(pairs[k, 1])))
    return tuple(found)


def _at_interface(model: Model) -> BoolArray:
    result = np.asarray(model.role == Role.SHARED)
    for i in range(len(model.domains)):
        mine = np.flatnonzero((model.domain == i) & (model.charges > 0))
        foreign = model.positions[(model.domain != i) & (model.charges < 0)]
        near = coordination(model.positions[mine], foreign, COORDINATION_CUTOFF) > 0
        result[mine[near]] = True
    return result


def _is_core(model: Model, chosen: BoolArray) -> BoolArray:
    """Cations surrounded by as many of their element as the best surrounded of their domain."""
    from scipy.spatial import cKDTree

    points, domain = model.positions[chosen], model.domain[chosen]
    result = np.zeros(len(points), dtype=bool)
    for i in np.unique(domain):
        mine = np.flatnonzero(domain == i)
        tree = cKDTree(points[mine])
        nearest = (
            tree.query(points[mine], k=min(2, len(mine)))[0][..., -1].min() if len(mine) > 1 else 0
        )
        around = tree.query_ball_point(points[mine], 1.2 * float(nearest), return_length=True)
        result[mine] = around == around.max()
    return result


def _measured(model: Model, index: int) -> tuple[Domain, float]:
    """The domain with the frame its atoms show, labelled like the stored frame."""
    domain = model.domains[index]
    mine = model.domain == index
    atoms = model.numbers[mine], model.positions[mine]
    try:
        fit = fit_frame(*atoms, domain.crystal)
    except ImpossibleError:
        # After an exchange that kept the lattice, the product may be strained beyond recognition.
        strained = replace(domain.crystal, vectors=domain.vectors.copy())
        fit = fit_frame(*atoms, strained)
    frame = closest_setting(fit, domain.crystal, domain.vectors)
    datum = frame.origin + domain.crystal.fractional[domain.datum] @ frame.vectors
    return Domain(domain.name, domain.crystal, frame.vectors, datum, domain.datum), fit.rms


def _parting_planes(
    model: Model, first: Domain, second: Domain
) -> tuple[tuple[Plane, Plane], float]:
    planes = _low_index_planes(6)
    normals = planes @ lattice.reciprocal(first.vectors)
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    cations = model.charges > 0
    above = (model.positions[cations & (model.domain == 0)] @ normals.T).min(axis=0)
    below = (model.positions[cations & (model.domain == 1)] @ normals.T).max(axis=0)
    # Of planes that part the domains almost equally well the lowest index is meant.
    margin = above - below
    size = np.abs(planes).sum(axis=1)
    best = int(np.lexsort((size, -np.round(margin, 1)))[0])
    other = planes @ lattice.reciprocal(second.vectors)
    other /= np.linalg.norm(other, axis=1, keepdims=True)
    off = np.degrees(np.arccos(np.clip(other @ normals[best], -1.0, 1.0)))
    partner = int(np.lexsort((size, np.round(off, 0)))[0])
    labels = (_as_spaced(first, planes[best]), _as_spaced(second, planes[partner]))
    return labels, float(off[partner])


def _low_index_planes(highest: int) -> IntArray:
    axis = np.arange(-highest, highest + 1)
    grid = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1).reshape(-1, 3)
    return np.asarray(grid[np.gcd.reduce(grid, axis=1) == 1])


def _as_spaced(domain: Domain, hkl: Any) -> Plane:
    """Indices of the lattice's own spacing: (-4 -4 2), not (-2 -2 1), of an F lattice."""
    return lattice.primitive_plane(domain.crystal.primitive, [int(i) for i in hkl])


def _coincidences(
    first: Domain, second: Domain, planes: tuple[Plane, Plane]
) -> tuple[Coincidence, ...]:
    """Two in-plane coincidences, at right angles where there are such, else as near to it.

    Where strain shears the cell, the second pair is parallel to 3 degrees only.
    """
    u, v = (_net_vectors(d, p) for d, p in zip((first, second), planes, strict=True))
    found: list[tuple[float, Coincidence]] = []
    for a, b in product(u, v):
        ca, cb = a.vector @ first.vectors, b.vector @ second.vectors
        apart = lattice.angle(ca, cb)
        if apart < 3.0:
            pair = lattice.coincidence(
                (a, float(np.linalg.norm(ca))), (b, float(np.linalg.norm(cb)))
            )
            if abs(pair.mismatch) < 0.05:
                found.append((apart, pair))
    parallel = sorted((c for apart, c in found if apart < 1.0), key=lambda c: c.lengths[0])
    if not parallel:
        return ()
    start = parallel[0].first.vector @ first.vectors

    def off_square(pair: Coincidence) -> float:
        return abs(lattice.angle(pair.first.vector @ first.vectors, start) - 90.0)

    def best(pairs: list[Coincidence]) -> list[Coincidence]:
        usable = [c for c in pairs if off_square(c) < 60.0]
        return sorted(usable, key=lambda c: (max(1.0, round(off_square(c))), c.lengths[0]))[:1]

    return tuple(parallel[:1] + (best(parallel) or best([c for _, c in found])))


def _net_vectors(domain: Domain, plane: Plane) -> list[Direction]:
    """Short primitive vectors of the plane's net, both senses."""
    u, v = (d.vector for d in domain.crystal.surface_net(plane))
    steps = [(m, n) for m, n in product(range(3, -4, -1), repeat=2) if np.gcd(m, n) == 1]
    return [Direction.of(m * u + n * v) for m, n in steps]
