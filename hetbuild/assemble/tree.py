"""Particles of any number of domains: a tree that grows by one join after the other.

Each join is done as if there were no other: in its own interface axes, with its own registry. Only
the new domain is then moved, to where the domains that are there already stand.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations

import numpy as np

from hetbuild.arrays import FloatArray
from hetbuild.assemble.join import ROUNDED, join
from hetbuild.assemble.merge import Merging
from hetbuild.assemble.orientation import Orientation, align, anchored
from hetbuild.assemble.registry import Registry, Window, search_registry
from hetbuild.assemble.settle import Settling
from hetbuild.crystal.lattice import plane_label
from hetbuild.errors import ImpossibleError, InputError
from hetbuild.geometry.contacts import Contact, Floors, closest_contacts
from hetbuild.model import PER_ATOM, Model, kept_digits


@dataclass(frozen=True)
class Joint:
    """How two domains of a particle meet."""

    domains: tuple[str, str]
    """Names; the first lies above the planes, the second below."""
    orientation: Orientation
    anchor: tuple[Sequence[float], Sequence[float]]
    """Points brought together, from each domain's datum in conventional axes."""
    registry: Registry | None = None
    """None: searched."""
    window: Window = field(default_factory=Window)
    floors: Floors = field(default_factory=Floors)
    shared: str | None = None
    """Domain that owns the shared layer."""
    merging: Merging | None = None
    settling: Settling | None = None

    @property
    def yields(self) -> str | None:
        """The domain whose ions go where both have one; None: nothing is merged."""
        if self.merging is None:
            return None
        return next(n for n in self.domains if n != self.merging.keep)


def planted(joints: Sequence[Joint]) -> list[tuple[Joint, str]]:
    """The joins in an order in which each adds one domain to a tree, with the domain it adds.

    The tree starts with the first domain of the first join. Of joins that can be next the first
    goes first.
    """
    there, left, order = {joints[0].domains[0]}, list(joints), []
    while left:
        joint = next(j for j in left if there & set(j.domains))
        (new,) = set(joint.domains) - there
        there.add(new)
        left.remove(joint)
        order.append((joint, new))
    return order


def grown(model: Model, part: Model, joint: Joint) -> Model:
    """The model with one domain more, joined to one that it has.

    A model of one domain comes to the axes of the interface; one of several stays where it is.

    Raises
    ------
    InputError
        As `join.align`; or the domains lie on the wrong sides of their planes.
    ImpossibleError
        As `join.search_registry`.
    """
    above = part.domains[0].name == joint.domains[0]
    pair = (part, model) if above else (model, part)
    ends = [m.domain_named(name) for m, name in zip(pair, joint.domains, strict=True)]
    between = ends[0], ends[1]
    first, second = align(*pair, joint.orientation, between=between)
    first, second = anchored(first, second, joint.anchor, between=between)
    _check_sides(first, second, joint, between)
    registry = joint.registry or search_registry(
        first.where(first.domain == between[0]),
        second.where(second.domain == between[1]),
        joint.window,
        joint.floors,
        merging=joint.merging,
        settling=joint.settling,
    )
    made = join(
        first, second, joint.orientation, registry, shared_with=joint.shared, between=between
    )
    return made if len(model.domains) == 1 else _put_back(made, model, above)


def check_unjoined(model: Model, joints: Sequence[Joint]) -> None:
    """Refuse a model in which two domains that no join brings together collide.

    What the loosest of the joins allows is allowed.

    Raises
    ------
    ImpossibleError
        Ions of the two are closer than that.
    """
    joined = {frozenset(joint.domains) for joint in joints}
    kinds = {kind: min(j.floors.by_kind[kind] for j in joints) for kind in joints[0].floors.by_kind}
    for i, j in combinations(range(len(model.domains)), 2):
        names = model.domains[i].name, model.domains[j].name
        if frozenset(names) in joined:
            continue
        for contact in contacts_between(model, i, j):
            if contact.distance < kinds[contact.kind] - ROUNDED:
                raise ImpossibleError(
                    f"{names[0]} and {names[1]}, which are not joined, collide: {contact.kind} "
                    f"{contact.distance:.2f} Å, limit {kinds[contact.kind]:g} Å. Make them thinner "
                    "or shorter, or join them to places further apart."
                )


def in_order(model: Model, names: Sequence[str]) -> Model:
    """The same model with its domains, and their atoms, in the order of these names."""
    if [d.name for d in model.domains] == list(names):
        return model
    old = [model.domain_named(name) for name in names]
    new = np.argsort(old)[model.domain].astype(np.int8)
    atoms = np.argsort(new, kind="stable")
    renumbered = replace(model, domain=new, domains=tuple(model.domains[i] for i in old))
    return replace(renumbered, **{name: getattr(renumbered, name)[atoms] for name in PER_ATOM})


def contacts_between(model: Model, i: int, j: int) -> tuple[Contact, ...]:
    """Closest contact of each kind between two domains, ions of molecules left out."""
    a, b = (np.flatnonzero((model.domain == k) & (model.molecule == 0)) for k in (i, j))
    found = closest_contacts(
        model.positions[a], model.charges[a], model.positions[b], model.charges[b]
    )
    return tuple(replace(c, first=int(a[c.first]), second=int(b[c.second])) for c in found)


def _put_back(made: Model, model: Model, above: bool) -> Model:
    """A join in the axes of the model that was there, whose atoms and frames stay as they are."""
    new, old = (slice(0, 1), slice(1, None)) if above else (slice(-1, None), slice(0, -1))
    seen, was = made.domains[old][0], model.domains[0]
    turn: FloatArray = np.asarray(np.linalg.solve(seen.vectors, was.vectors).T, dtype=np.float64)
    shift = was.origin - turn @ seen.origin
    back = made.moved(turn, shift)
    positions: FloatArray = kept_digits(back.positions)
    kept = np.ones(len(made), dtype=bool)
    kept[made.domain == (0 if above else len(made.domains) - 1)] = False
    positions[kept] = model.positions
    there, added = model.domains, back.domains[new]
    domains = (*added, *there) if above else (*there, *added)
    return replace(back, positions=positions, domains=domains)


def _check_sides(first: Model, second: Model, joint: Joint, between: tuple[int, int]) -> None:
    """Refuse domains that would fill each other: a plane has the wrong sign."""
    height = [
        float(m.positions[m.domain == i, 2].mean()) if (m.domain == i).any() else 0.0
        for m, i in zip((first, second), between, strict=True)
    ]
    if height[0] > height[1]:
        return
    (a, b), (p, q) = joint.domains, map(plane_label, joint.orientation.planes)
    raise InputError(
        f"{a} must lie above its plane {p} and {b} below {q}, but their middles are "
        f"{height[0]:.1f} and {height[1]:.1f} Å above the anchor. Negate the plane of the one that "
        "is on the wrong side (with its directions), or name the domains the other way round."
    )
