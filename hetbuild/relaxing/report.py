"""A model before and after relaxation: what moved, the interface, what got worse."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from itertools import combinations
from typing import Any

import numpy as np

from hetbuild.analyse.regions import Region, regions
from hetbuild.analyse.report import REPEATED
from hetbuild.arguments import checked
from hetbuild.arrays import FloatArray, IntArray
from hetbuild.crystal import lattice
from hetbuild.elements import symbol
from hetbuild.geometry.contacts import KINDS, Floors, closest_contacts
from hetbuild.geometry.images import finite
from hetbuild.model import Domain, Interface, Model
from hetbuild.relaxing.coordination import (
    Coordinated,
    InterfaceCation,
    Pair,
    coordinated,
    interface_cations,
)

FAR = 1.5
"""Å: an ion that moved more has left its place."""

SHORTER = 0.05
"""Å by which a closest contact must shrink to be called worse."""

REACH = 4.5
"""Å within which contacts inside a domain are looked for; above every first-shell distance."""


@dataclass(frozen=True)
class Moved:
    """How far the atoms of a part went, once the model is laid on its start."""

    rms: float
    """Å."""
    most: float
    """90 % moved less, Å."""
    largest: float
    """Å."""
    atom: int
    """Index of the one that moved farthest."""
    element: str
    left: int
    """Atoms that moved more than 1.5 Å."""


@dataclass(frozen=True)
class Lattice:
    """The lattice that best fits the atoms of a domain on their sites."""

    before: tuple[float, ...]
    """a, b, c in Å, alpha, beta, gamma in degrees."""
    after: tuple[float, ...]
    strain: tuple[float, float, float]
    """Principal strains from before to after, largest first, dimensionless."""
    spread: Pair
    """Rms distance of the atoms from that lattice, Å."""


@dataclass(frozen=True)
class InterfaceChange:
    """The second domain against the first, by the lattices that fit their atoms, Å."""

    along: Pair
    across: Pair
    gap: Pair
    """Distance from coincidence along the normal, as in the recipe; and the two shifts in the
    plane."""


@dataclass(frozen=True, eq=False)
class BeforeAfter:
    """What a relaxation did to a model."""

    domains: Mapping[str, Moved]
    lattices: Mapping[str, Lattice]
    """Of domains with enough atoms on sites."""
    coordination: Mapping[str, tuple[Coordinated, ...]]
    """By region (core, facet, interface) of the model before."""
    interface: InterfaceChange | None
    """Of the two domains; of more the first of `interfaces`."""
    contacts: Mapping[str, Mapping[str, Pair]]
    """Closest contacts by kind, ``across`` the interface and ``inside`` the domains, Å."""
    worse: tuple[str, ...]
    """What is worse than before, in words."""
    interfaces: Mapping[str, InterfaceChange] = field(default_factory=dict)
    """Every interface whose domains show their lattices, by its domains, as ``rod-cap``."""
    interface_cations: tuple[InterfaceCation, ...] = ()
    """Of the model before, one by one."""

    def __repr__(self) -> str:
        moved = ", ".join(f"{name} {part.rms:.3f} Å" for name, part in self.domains.items())
        return f"<BeforeAfter: moved, rms: {moved}; {len(self.worse)} things worse>"

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


@checked
def before_after(before: Model, after: Model, *, held: bool = False) -> BeforeAfter:
    """Compare a model with what became of it, atom by atom.

    held: atoms were kept in place, or the model is periodic: it is not laid on its start.

    The model as a whole may have turned or drifted: displacements are those left after the best
    superposition (Kabsch, doi 10.1107/S0567739476001873).

    Examples
    --------
    >>> import hetbuild as hb
    >>> cube = hb.build("cspbcl3-cube-2")
    >>> hb.before_after(cube, cube).worse
    ()
    """
    positions = after.positions if held or before.cell is not None else _laid(before, after)
    moved = np.linalg.norm(positions - before.positions, axis=1)
    # Of a periodic model the images are neighbours too: the first atoms are the model's own.
    piece = finite(before, REPEATED)
    own = np.arange(len(piece)) < len(before)
    laid, there = (_with_images(before, piece, p) for p in (positions, after.positions))
    region = regions(piece)
    around = {
        r.label: found for r in Region if (found := coordinated(piece, there, own & (region == r)))
    }
    contacts = _contacts(piece, replace(piece, positions=there))
    interfaces = _interfaces(piece, laid)
    return BeforeAfter(
        domains=_domains(moved, before),
        lattices=_lattices(piece, laid),
        coordination=around,
        interface=next(iter(interfaces.values()), None),
        interfaces=interfaces,
        contacts=contacts,
        worse=tuple(_worse(moved, around, contacts)),
        interface_cations=interface_cations(piece, there, own & (region == Region.INTERFACE)),
    )


def _with_images(model: Model, piece: Model, positions: FloatArray) -> FloatArray:
    """Positions of the model's atoms, shape (N, 3), and of their images in the piece."""
    shape = (-1, *positions.shape)
    shifts = piece.positions.reshape(shape) - model.positions
    return np.asarray((positions + shifts).reshape(-1, 3))


def _laid(before: Model, after: Model) -> FloatArray:
    """Positions after, superposed on those before, shape (N, 3)."""
    from scipy.spatial.transform import Rotation

    a, b = before.positions.mean(axis=0), after.positions.mean(axis=0)
    if len(before) < 3:
        return np.asarray(after.positions - b + a)
    rotation, _ = Rotation.align_vectors(before.positions - a, after.positions - b)
    return np.asarray(rotation.apply(after.positions - b) + a)


def _domains(moved: FloatArray, before: Model) -> dict[str, Moved]:
    """How far each domain that has atoms went. moved: of each atom, Å, shape (N,)."""
    atoms = {d.name: np.flatnonzero(before.domain == i) for i, d in enumerate(before.domains)}
    return {name: _moved(moved, before, mine) for name, mine in atoms.items() if len(mine)}


def _moved(moved: FloatArray, model: Model, mine: IntArray) -> Moved:
    far = int(mine[moved[mine].argmax()])
    return Moved(
        rms=float(np.sqrt((moved[mine] ** 2).mean())),
        most=float(np.quantile(moved[mine], 0.9)),
        largest=float(moved[far]),
        atom=far,
        element=symbol(int(model.numbers[far])),
        left=int((moved[mine] > FAR).sum()),
    )


def _fit(model: Model, positions: FloatArray, index: int) -> tuple[Domain, float] | None:
    """The domain's frame as atoms on sites show it, and their rms distance from it, Å."""
    mine = np.flatnonzero((model.domain == index) & (model.site >= 0))
    domain = model.domains[index]
    ideal = domain.sites[model.site[mine]] + model.site_cell[mine]
    design = np.column_stack([ideal, np.ones(len(mine))])
    if len(mine) < 8 or np.linalg.matrix_rank(design) < 4:
        return None
    found = np.linalg.lstsq(design, positions[mine], rcond=None)[0]
    off = np.linalg.norm(design @ found - positions[mine], axis=1)
    frame = Domain(
        domain.name, domain.crystal, np.array(found[:3]), np.array(found[3]), domain.datum
    )
    return frame, float(np.sqrt((off**2).mean()))


def _lattice(model: Model, positions: FloatArray, index: int) -> Lattice | None:
    first, second = _fit(model, model.positions, index), _fit(model, positions, index)
    if first is None or second is None:
        return None
    stretch = np.linalg.svd(np.linalg.solve(first[0].vectors, second[0].vectors))[1] - 1.0
    return Lattice(
        before=lattice.parameters(first[0].vectors),
        after=lattice.parameters(second[0].vectors),
        strain=(float(stretch[0]), float(stretch[1]), float(stretch[2])),
        spread=(first[1], second[1]),
    )


def _lattices(model: Model, positions: FloatArray) -> dict[str, Lattice]:
    """Of each domain whose atoms show one."""
    return {
        d.name: fit
        for i, d in enumerate(model.domains)
        if (fit := _lattice(model, positions, i)) is not None
    }


def _interfaces(model: Model, positions: FloatArray) -> dict[str, InterfaceChange]:
    """Of each interface whose domains show their lattices."""
    return {
        "-".join(built.domains): change
        for built in model.interfaces
        if (change := _interface(model, positions, built)) is not None
    }


def _interface(model: Model, positions: FloatArray, built: Interface) -> InterfaceChange | None:
    """Shift and gap of the second domain, as built plus what the fitted lattices moved."""
    indices = [model.domain_named(name) for name in built.domains]
    first = model.domains[indices[0]]
    along = built.along.first.vector @ first.vectors
    normal = lattice.plane_normal(first.vectors, built.planes[0])
    axes = np.array([along, np.cross(normal, along), -normal])
    axes /= np.linalg.norm(axes, axis=1, keepdims=True)
    pairs = []
    for where in (model.positions, positions):
        fits = [_fit(model, where, i) for i in indices]
        if fits[0] is None or fits[1] is None:
            return None
        centre = _meeting(model, indices)
        first_moved, second_moved = (
            fit[0].cartesian(model.domains[i].fractional(centre)) - centre
            for fit, i in zip(fits, indices, strict=True)
            if fit is not None
        )
        pairs.append(axes @ (second_moved - first_moved)[0])
    start = np.array([built.shift[0], built.shift[1], built.gap])
    values = [(float(start[k] + pairs[0][k]), float(start[k] + pairs[1][k])) for k in range(3)]
    return InterfaceChange(*values)


def _meeting(model: Model, indices: list[int]) -> FloatArray:
    """The middle of the interface, Å, shape (1, 3)."""
    from scipy.spatial import cKDTree

    a, b = (model.positions[model.domain == i] for i in indices)
    apart, partner = cKDTree(b).query(a)
    near = apart < apart.min() + 1.0
    return np.asarray((a[near] + b[partner[near]]).mean(axis=0, keepdims=True) / 2)


def _contacts(before: Model, after: Model) -> dict[str, dict[str, Pair]]:
    """Closest contacts by kind, across the interface and inside domains."""
    found: dict[str, dict[str, Pair]] = {}
    for where, measure in (("across", _across), ("inside", _inside)):
        first, second = measure(before), measure(after)
        both = {k: (first[k], second[k]) for k in KINDS if k in first and k in second}
        if both:
            found[where] = both
    return found


def _across(model: Model) -> dict[str, float]:
    if len(np.unique(model.domain)) < 2:
        return {}
    found: dict[str, float] = {}
    for i, j in combinations(np.unique(model.domain).tolist(), 2):
        a, b = model.domain == i, model.domain == j
        for c in closest_contacts(
            model.positions[a], model.charges[a], model.positions[b], model.charges[b]
        ):
            found[c.kind] = min(c.distance, found.get(c.kind, c.distance))
    return found


def _inside(model: Model) -> dict[str, float]:
    from scipy.spatial import cKDTree

    pairs = cKDTree(model.positions).query_pairs(REACH, output_type="ndarray")
    pairs = pairs[model.domain[pairs[:, 0]] == model.domain[pairs[:, 1]]]
    pairs = pairs[(model.charges[pairs] != 0).all(axis=1)]
    apart = np.linalg.norm(model.positions[pairs[:, 0]] - model.positions[pairs[:, 1]], axis=1)
    anions = (model.charges[pairs] < 0).sum(axis=1)
    return {
        kind: float(apart[anions == n].min())
        for kind, n in zip(KINDS, (2, 1, 0), strict=True)
        if (anions == n).any()
    }


def _worse(
    moved: FloatArray,
    around: Mapping[str, tuple[Coordinated, ...]],
    contacts: Mapping[str, Mapping[str, Pair]],
) -> list[str]:
    found = []
    for region, elements in around.items():
        for c in elements:
            if c.lost:
                found.append(
                    f"{c.lost} {c.element} of the {region} lost an anion within {c.cutoff:g} Å "
                    f"({c.gained} gained one)"
                )
    limits = Floors().by_kind
    for where, kinds in contacts.items():
        for kind, (first, second) in kinds.items():
            if second < limits[kind] <= first:
                found.append(f"{kind} contact {where} now {second:.2f} Å, floor {limits[kind]:g} Å")
            elif second < first - SHORTER and second < limits[kind]:
                found.append(f"{kind} contact {where} from {first:.2f} to {second:.2f} Å")
    far = int((moved > FAR).sum())
    if far:
        found.append(f"{far} atoms moved more than {FAR:g} Å from where they were")
    return found
