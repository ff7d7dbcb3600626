"""What a model is: composition, charge, contacts, coordination, interface, point group."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import combinations
from typing import Any

import numpy as np

from hetbuild.analyse.composition import Composition, composition
from hetbuild.analyse.continuity import Continuation, continuity
from hetbuild.analyse.interface import MeasuredInterface, measure_interface
from hetbuild.analyse.meetings import Pair, meetings
from hetbuild.analyse.regions import Region, regions
from hetbuild.analyse.shells import ShellReport, shells
from hetbuild.analyse.size import Size, sizes
from hetbuild.arguments import checked
from hetbuild.arrays import IntArray
from hetbuild.assemble.coherent import strain_of
from hetbuild.crystal import lattice
from hetbuild.elements import MOLECULAR, counts, number, symbol
from hetbuild.geometry.bonds import COUNTED, cation_limits
from hetbuild.geometry.bonds import MOLECULAR as MOLECULAR_BONDS
from hetbuild.geometry.contacts import KINDS, Contact, closest_contacts, coordination
from hetbuild.geometry.images import finite
from hetbuild.geometry.point_group import point_group_symbol
from hetbuild.model import Domain, Model, Role
from hetbuild.notebook import to_table

REPEATED = 14.0
"""Å beyond the cell to which a periodic model is repeated to be measured like a particle."""

SYMMETRIC = 0.01
"""Å within which atoms of a periodic model are images of each other by its space group."""

CONTACTS = 6.0
"""Å up to which contacts are looked for: ions of one sign in open crystals are no farther apart."""

PAIRS = 1_000_000
"""Pairs of neighbours measured at a time."""

DEBYE = 4.803204
"""D in one e Å (CODATA 2018)."""

ON_SITE = 0.01
"""Å within which an ion stands on its lattice site."""


@dataclass(frozen=True, slots=True)
class OffSite:
    """Ions that do not stand on their lattice sites: settled, relaxed, or displaced otherwise."""

    count: int
    """Ions further than 0.01 Å from their site."""
    total: int
    """Ions whose site is known."""
    rms: float
    """Of those counted, Å."""
    largest: float
    """Å."""


PLACES = {"interface": Region.INTERFACE, "facets": Region.FACET, "core": Region.CORE}
"""Regions in the order of a report."""


@dataclass(frozen=True, slots=True)
class Coordination:
    """Anions around the cations of one element."""

    within: float
    """Å up to which they are bonded, by the crystals of the model."""
    regions: Mapping[str, Mapping[int, int]]
    """Region (interface, facets, core) to {anions: how many cations}."""


@dataclass(frozen=True, slots=True)
class Meeting:
    """How two of the domains meet."""

    domains: tuple[str, str]
    measured: MeasuredInterface | None
    """None where the ions of one do not show its lattice."""
    contacts: tuple[Contact, ...]
    """Closest contact of each kind between the two; its atoms by their indices in the model."""

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        found = {} if self.measured is None else self.measured.as_dict()
        contacts = [asdict(contact) for contact in self.contacts]
        return {"domains": list(self.domains), "contacts": contacts, **found}


@dataclass(frozen=True, slots=True)
class Report:
    """Everything `hetbuild inspect` prints.

    Examples
    --------
    >>> import hetbuild as hb
    >>> sorted(hb.inspect(hb.build("cspbcl3-cube-2")).as_dict())[:3]
    ['cell', 'charge', 'charges']
    """

    formula: str
    charge: int
    composition: Composition
    """Atomic and mass per cent of the whole."""
    formulas: Mapping[str, str]
    charges: Mapping[str, int]
    """Formal charge of each domain, e; shared cations count where they stand."""
    dipole: float | None
    """Of the formal charges, D; None for a charged or periodic model, which has none."""
    compositions: Mapping[str, Composition]
    """Atomic and mass per cent of each domain."""
    roles: Mapping[str, int]
    contacts: tuple[Contact, ...]
    """Closest contact of each kind between two domains, or inside a one-domain model."""
    coordination: Mapping[str, Mapping[int, int]]
    """Region (interface, facets, core) to {anions within 3.6 Å: how many Pb}, as published."""
    interface: MeasuredInterface | None
    """Of the two domains; of more the first of `interfaces`."""
    point_group: str
    """Of a particle; the space group of a periodic model."""
    coordinations: Mapping[str, Coordination] = field(default_factory=dict)
    """Of every cation element, by its own bond limit."""
    continuity: tuple[Continuation, ...] = ()
    """Cations of one domain on sites of the other's cation sublattice."""
    cell: tuple[float, ...] | None = None
    """a, b, c in Å, alpha, beta, gamma in degrees of a periodic model."""
    sizes: Mapping[str, Size] = field(default_factory=dict)
    """How large each domain of a particle is."""
    shells: Mapping[str, ShellReport] = field(default_factory=dict)
    """Domains that enclose others."""
    strain: Mapping[str, tuple[float, float, float]] = field(default_factory=dict)
    """Of each domain of a periodic model: xx, yy and xy in the plane, dimensionless."""
    interfaces: tuple[Meeting, ...] = ()
    """Of every pair of domains that were joined, or that touch."""
    off_site: OffSite | None = None
    """None where all ions stand on their sites, or none is known."""

    def __repr__(self) -> str:
        said = [f"formal charge {self.charge:+d} e" if self.charge else "formal charge 0 e"]
        said += [f"{c.kind} {c.distance:.2f} Å" for c in self.contacts]
        return f"<Report of {self.formula}: {', '.join(said)}, {self.point_group}>"

    def _repr_html_(self) -> str:
        """What a notebook shows: charge, dipole, symmetry, domains, contacts, coordination."""
        rows = [("charge", f"{self.charge:+d} e" if self.charge else "0 e, neutral")]
        if self.dipole is not None:
            rows.append(("dipole", f"{self.dipole:.1f} D"))
        rows.append(("symmetry", self.point_group))
        for name, formula in self.formulas.items():
            across = self.sizes[name].across if name in self.sizes else ()
            size = f", {' x '.join(f'{x:.1f}' for x in across)} nm" if across else ""
            rows.append((name, f"{formula}, {self.charges[name]:+d} e{size}"))
        rows += [(c.kind, f"{c.distance:.3f} Å") for c in self.contacts]
        for cation, around in self.coordinations.items():
            for region, anions in around.regions.items():
                listed = ", ".join(f"{count} with {n}" for n, count in anions.items())
                rows.append((f"{cation} of {region}", f"{listed} anions"))
        return to_table(f"Report of {self.formula}", rows)

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        result = asdict(replace(self, interface=None, interfaces=()))
        result["interface"] = None if self.interface is None else self.interface.as_dict()
        result["interfaces"] = [meeting.as_dict() for meeting in self.interfaces]
        return result


@checked
def inspect(model: Model, *, cation: str = "Pb") -> Report:
    """Measure a model. cation: the element whose coordination is counted.

    The interface is measured from the positions: the crystals' frames are fitted to the atoms anew,
    and frames stored with the model only choose among symmetry-equivalent labels.

    Examples
    --------
    >>> import hetbuild as hb
    >>> report = hb.inspect(hb.build("cspbcl3-cube-2"))
    >>> report.formula, report.charge, [round(c.distance, 3) for c in report.contacts]
    ('Cs20Pb8Cl36', 0, [3.963, 2.803, 4.854])
    """
    around = finite(model, REPEATED)
    region = _regions(around)
    around_others = shells(model)
    met = () if around_others or len(model.domains) < 2 else meetings(model)
    interfaces = tuple(_meeting(around, pair) for pair in met)
    return Report(
        formula=model.formula,
        charge=model.charge,
        composition=composition(model.numbers),
        formulas=model.formulas,
        charges=_charges(model),
        dipole=dipole(model),
        compositions=_compositions(model),
        roles={r.label: int((model.role == r).sum()) for r in Role if (model.role == r).any()},
        contacts=_contacts(around, met),
        coordination=coordination_by_region(around, cation, len(model), region=region),
        coordinations=_coordinations(around, len(model), region),
        interface=interfaces[0].measured if interfaces else None,
        interfaces=interfaces,
        point_group=point_group_symbol(model) if model.cell is None else _space_group(model),
        continuity=_continuities(model, met, interfaces),
        cell=None if model.cell is None else lattice.parameters(model.cell),
        sizes=sizes(model),
        shells=around_others,
        strain={} if model.cell is None else {d.name: _in_plane(d) for d in model.domains},
        off_site=off_site(model),
    )


def _charges(model: Model) -> dict[str, int]:
    """Formal charge of each domain, e."""
    return {
        d.name: int(model.charges[model.domain == i].sum()) for i, d in enumerate(model.domains)
    }


def _compositions(model: Model) -> dict[str, Composition]:
    """Of each domain."""
    return {
        domain.name: composition(model.numbers[model.domain == i])
        for i, domain in enumerate(model.domains)
    }


def dipole(model: Model) -> float | None:
    """Dipole moment of the formal charges at the ions, D; None where it depends on the origin."""
    if model.cell is not None or model.charge:
        return None
    return float(np.linalg.norm(model.charges @ model.positions)) * DEBYE


def off_site(model: Model) -> OffSite | None:
    """How far ions stand off their lattice sites; None where none does, or no site is known."""
    known = model.site >= 0
    away = np.linalg.norm(model.positions - model.lattice_positions, axis=1)[known]
    far = away[away > ON_SITE]
    if not len(far):
        return None
    rms = float(np.sqrt((far**2).mean()))
    return OffSite(len(far), int(known.sum()), rms, float(far.max()))


def _meeting(model: Model, pair: Pair) -> Meeting:
    first, second = (model.domains[i].name for i in pair)
    ions = np.flatnonzero(model.molecule == 0)
    a, b = (ions[model.domain[ions] == i] for i in pair)
    found = closest_contacts(
        model.positions[a], model.charges[a], model.positions[b], model.charges[b]
    )
    contacts = tuple(replace(c, first=int(a[c.first]), second=int(b[c.second])) for c in found)
    return Meeting((first, second), measure_interface(model, pair), contacts)


def _continuities(
    model: Model, met: Sequence[Pair], interfaces: Sequence[Meeting]
) -> tuple[Continuation, ...]:
    """Of all interfaces."""
    return tuple(
        found
        for pair, meeting in zip(met, interfaces, strict=True)
        for found in _continuity(model, pair, meeting.measured)
    )


def _continuity(
    model: Model, pair: Pair, interface: MeasuredInterface | None
) -> tuple[Continuation, ...]:
    """By the frames the atoms show, else by those the model was built with."""
    if model.interface is not None and model.cell is not None:
        return continuity(model, model.interface.planes)
    if interface is not None:
        return continuity(model, interface.planes, interface.domains, pair=pair)
    return ()


def _in_plane(domain: Domain) -> tuple[float, float, float]:
    strain = strain_of(domain)
    return float(strain[0, 0]), float(strain[1, 1]), float(strain[0, 1])


def _space_group(model: Model) -> str:
    import spglib

    assert model.cell is not None
    fractional = model.positions @ np.linalg.inv(model.cell)
    found = spglib.get_spacegroup((model.cell, fractional, model.numbers), symprec=SYMMETRIC)
    return str(found)


def coordination_by_region(
    model: Model,
    cation: str,
    first: int | None = None,
    within: float = COUNTED,
    region: IntArray | None = None,
) -> dict[str, dict[int, int]]:
    """Histogram of anions near each cation, at the interface, on facets, in the core.

    cation: its element; within: Å. first: count only so many atoms at the head of the model, those
    that are not images. region: of each atom, shape (N,), by default as `regions` tells them from
    the lattice sites, so that a relaxed model has those of the model it was relaxed from.
    """
    chosen = np.flatnonzero(model.numbers == number(cation))
    around = coordination(model.positions[chosen], model.positions[model.charges < 0], within)
    own = chosen < (len(model) if first is None else first)
    place = (_regions(model) if region is None else region)[chosen]
    return {
        name: {
            int(n): int(c)
            for n, c in zip(*np.unique(around[here & own], return_counts=True), strict=True)
        }
        for name, which in PLACES.items()
        if ((here := place == which) & own).any()
    }


def _regions(model: Model) -> IntArray:
    """Region of each atom as if all stood on their lattice sites, shape (N,)."""
    return regions(replace(model, positions=model.lattice_positions))


def _coordinations(model: Model, first: int, region: IntArray) -> dict[str, Coordination]:
    """Of every cation element but those of molecules, each by its own bond limit."""
    limits: dict[str, float] = {}
    for domain in model.domains:
        for z, limit in cation_limits(domain.crystal).items():
            limits[symbol(z)] = max(limit, limits.get(symbol(z), 0.0))
    present = counts(model.numbers[model.charges > 0])
    return {
        e: Coordination(limits[e], coordination_by_region(model, e, first, limits[e], region))
        for e in present
        if e in limits
    }


def _contacts(model: Model, met: tuple[Pair, ...]) -> tuple[Contact, ...]:
    """Between ions: what ligand molecules keep to is reported with them."""
    model = model.where(model.molecule == 0)
    count = len(model.domains)
    if count != 2 and not met:
        return _inner_contacts(model)
    found: list[Contact] = []
    for i, j in combinations(range(count), 2):
        a, b = model.domain == i, model.domain == j
        found += closest_contacts(
            model.positions[a], model.charges[a], model.positions[b], model.charges[b]
        )
    kinds = ([c for c in found if c.kind == kind] for kind in KINDS)
    return tuple(min(same, key=lambda c: c.distance) for same in kinds if same)


def _inner_contacts(model: Model) -> tuple[Contact, ...]:
    from scipy.spatial import cKDTree

    pairs = cKDTree(model.positions).query_pairs(CONTACTS, output_type="ndarray")
    molecule = _molecules(model)
    closest: dict[str, Contact] = {}
    for start in range(0, len(pairs), PAIRS):
        i, j = pairs[start : start + PAIRS].T
        apart = (molecule[i] != molecule[j]) | (molecule[i] < 0)
        i, j = i[apart], j[apart]
        distance = np.linalg.norm(model.positions[j] - model.positions[i], axis=1)
        anions = (model.charges[i] < 0).astype(int) + (model.charges[j] < 0)
        for kind, n in zip(KINDS, (2, 1, 0), strict=True):
            here = np.flatnonzero(anions == n)
            if len(here):
                k = here[distance[here].argmin()]
                found = Contact(kind, float(distance[k]), int(i[k]), int(j[k]))
                if kind not in closest or found.distance < closest[kind].distance:
                    closest[kind] = found
    return tuple(closest[kind] for kind in KINDS if kind in closest)


def _molecules(model: Model) -> IntArray:
    """Number of the molecular ion that each atom is part of, -1 for other ions; shape (N,)."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components
    from scipy.spatial import cKDTree

    result = np.full(len(model), -1)
    atoms = np.flatnonzero(np.isin(model.numbers, [number(e) for e in MOLECULAR]))
    if len(atoms):
        longest = max(MOLECULAR_BONDS.values())
        i, j = cKDTree(model.positions[atoms]).query_pairs(longest, output_type="ndarray").T
        bonds = coo_matrix((np.ones(len(i)), (i, j)), shape=(len(atoms), len(atoms)))
        result[atoms] = connected_components(bonds, directed=False)[1]
    return result
