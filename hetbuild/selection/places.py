"""Places of a model, occupied or vacant, and what conditions can ask of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from hetbuild.arrays import BoolArray, FloatArray, IntArray
from hetbuild.elements import KINDS, counts, number
from hetbuild.errors import InputError, nearest
from hetbuild.geometry.depth import below_hull, flat_faces
from hetbuild.geometry.exposure import exposed
from hetbuild.geometry.neighbours import bonded, bulk_coordination
from hetbuild.model import SAME_SITE, Model, Role
from hetbuild.selection.language import (
    COMPARE,
    At,
    Bonds,
    Depth,
    InDomain,
    InRole,
    Ion,
    NearInterface,
    OnFacet,
    OnSite,
    Place,
    Selection,
    Term,
)

ONE_PLANE = 0.4
"""Largest part of d(hkl) that ON_FACET may be: the next plane does not count."""

ON_FACET = 0.5
"""Å by which an ion may lie below a flat face, or below the outermost ion of a facet, and be on it:
ligands and vacancies make faces uneven."""


@dataclass(frozen=True, eq=False)
class Places:
    """K places of a model: atoms of it, or vacant sites with the ion that would stand there."""

    model: Model
    positions: FloatArray
    """Å, shape (K, 3)."""
    numbers: IntArray
    """Atomic numbers, shape (K,)."""
    charges: IntArray
    """Formal charges in e, shape (K,)."""
    domain: IntArray
    """Index of the domain, shape (K,)."""
    atom: IntArray
    """Index of the atom that stands there, -1 where none does, shape (K,)."""

    @classmethod
    def of(cls, model: Model, atoms: IntArray | None = None) -> Places:
        """The places of these atoms, shape (K,); default: all."""
        index = np.arange(len(model)) if atoms is None else np.asarray(atoms)
        return cls(
            model,
            model.positions[index],
            model.numbers[index],
            model.charges[index],
            model.domain[index],
            index,
        )

    @classmethod
    def joined(cls, model: Model, parts: Sequence[Places]) -> Places:
        """The places of several lists, one after the other."""
        names = ("positions", "numbers", "charges", "domain", "atom")
        return cls(model, *(np.concatenate([getattr(p, n) for p in parts]) for n in names))

    def __len__(self) -> int:
        return len(self.numbers)

    def where(self, mask: BoolArray | IntArray) -> Places:
        """The places where mask, shape (K,), is true, or at these indices."""
        return Places(
            self.model,
            self.positions[mask],
            self.numbers[mask],
            self.charges[mask],
            self.domain[mask],
            self.atom[mask],
        )

    @cached_property
    def bonds(self) -> IntArray:
        """Ions of opposite charge bonded to each, shape (K,)."""
        return self.bonds_to("")

    def bonds_to(self, partner: str) -> IntArray:
        """Ions of this element, with no name of any, of opposite charge bonded to each; (K,)."""
        z = number(partner) if partner else None
        result = np.zeros(len(self), dtype=np.int64)
        for d in np.unique(self.domain):
            for sign in (-1, 1):
                mine = (self.domain == d) & (np.sign(self.charges) == sign)
                result[mine] = bonded(
                    self.model, int(d), self.positions[mine], self._lattice[mine], sign, z
                )
        return result

    @cached_property
    def surface(self) -> BoolArray:
        """Which have fewer bonds than their site has in the bulk, shape (K,)."""
        result = np.zeros(len(self), dtype=bool)
        for d in np.unique(self.domain):
            mine = self.domain == d
            full = bulk_coordination(self.model.domains[int(d)].crystal, self._lattice[mine])
            result[mine] = self.bonds[mine] < full
        return result

    @cached_property
    def flat_faces(self) -> IntArray:
        """On how many flat faces of its domain each lies, shape (K,)."""
        result = np.zeros(len(self), dtype=np.int64)
        for d in np.unique(self.domain):
            mine = self.domain == d
            ions = (self.model.domain == d) & (self.model.molecule == 0)
            domain = self.model.positions[ions]
            result[mine] = flat_faces(domain, self.positions[mine], ON_FACET)
        return result

    @cached_property
    def depth(self) -> FloatArray:
        """Å below the convex hull of the particle without ligand molecules, shape (K,)."""
        return below_hull(self.model.positions[self.model.molecule == 0], self.positions)

    @cached_property
    def interface_distance(self) -> FloatArray:
        """Å from each to the nearest cation of another domain, or of the shared layer; (K,).

        Raises
        ------
        InputError
            The model has no interface.
        """
        from scipy.spatial import cKDTree

        model = self.model
        cation, result = model.charges > 0, np.full(len(self), np.inf)
        for d in np.unique(self.domain):
            other = cation & ((model.domain != d) | (model.role == Role.SHARED))
            if len(model.domains) < 2 or not other.any():
                raise InputError(
                    "This model has no interface to be near; choose by depth, surface or place."
                )
            mine = self.domain == d
            result[mine] = cKDTree(model.positions[other]).query(self.positions[mine])[0]
        return result

    @cached_property
    def _lattice(self) -> IntArray:
        """Element of the crystal whose site each stands on, its own where it has none; (K,)."""
        numbers = self.numbers.astype(np.int64)
        model = self.model
        for i, d in enumerate(model.domains):
            mine = np.flatnonzero((self.domain == i) & (self.atom >= 0))
            site = model.site[self.atom[mine]]
            numbers[mine[site >= 0]] = d.crystal.numbers[site[site >= 0]]
        return numbers


def chosen(selection: Selection, places: Places) -> BoolArray:
    """Which places a selection means, shape (K,).

    Raises
    ------
    InputError
        It names a domain or site that is not there, or the interface of a model without one.
    """
    result = np.zeros(len(places), dtype=bool)
    for terms in selection.alternatives:
        met = np.ones(len(places), dtype=bool)
        for term in sorted(terms, key=_is_slow):
            if _is_slow(term):
                met[met] = meets(term, places.where(met))
            else:
                met &= meets(term, places)
        result |= met
    return result


def explained(selection: Selection, places: Places) -> str:
    """How many places each condition leaves, one after the other: why so few are eligible."""
    texts = []
    for terms in selection.alternatives:
        left = places
        steps = []
        for term in terms:
            left = left.where(meets(term, left))
            steps.append(f"{len(left)} {term.text!r}")
        if steps:
            texts.append("of them " + ", of these ".join(steps))
    held = ", ".join(f"{n} {e}" for e, n in counts(places.numbers).items()) or "none"
    return f"{held}{'; ' if texts else ''}{'; or '.join(texts)}"


def _is_slow(term: Term) -> bool:
    """Whether it looks around every place: asked last, and only of those the others leave."""
    return term.condition == Place("exposed")


def meets(term: Term, places: Places) -> BoolArray:
    """Which places meet one term, shape (K,)."""
    found = _condition(term, places)
    return np.asarray(found if term.holds else ~found)


def _condition(term: Term, places: Places) -> BoolArray:
    match term.condition:
        case Ion(element, kind):
            return _ions(element, kind, places)
        case InDomain(name):
            return np.asarray(places.domain == places.model.domain_named(name))
        case OnSite(label):
            return _on_site(label, places)
        case Place(name):
            return _in_class(name, places)
        case InRole(name):
            role = np.full(len(places), Role.COMPENSATION, dtype=np.int64)
            here = places.atom >= 0
            role[here] = places.model.role[places.atom[here]]
            return np.asarray(role == Role[name.upper()])
        case Bonds(comparison, count, partner):
            return np.asarray(COMPARE[comparison](places.bonds_to(partner), count))
        case Depth(low, high):
            return np.asarray((places.depth >= low) & (places.depth <= high))
        case NearInterface(distance):
            return np.asarray(places.interface_distance <= distance)
        case OnFacet(hkl, form):
            return _on_facet(hkl, form, places)
        case At(offset):
            return _at(offset, places)


def _ions(element: str, kind: str | None, places: Places) -> BoolArray:
    if kind is None:
        return np.asarray(places.numbers == number(element))
    return KINDS[kind](places.numbers, places.charges)


def _on_site(label: str, places: Places) -> BoolArray:
    found = np.zeros(len(places), dtype=bool)
    known: set[str] = set()
    for i, domain in enumerate(places.model.domains):
        names = domain.crystal.labels, domain.crystal.site_names
        known |= {*names[0], *names[1]}
        wanted = [k for labels in names for k, text in enumerate(labels) if text == label]
        mine = np.flatnonzero((places.domain == i) & (places.atom >= 0))
        found[mine] = np.isin(places.model.site[places.atom[mine]], wanted)
    if label not in known:
        raise InputError(f"Selection: no site is called {label!r}; {nearest(label, known)}")
    return found


def _in_class(name: str, places: Places) -> BoolArray:
    match name:
        case "surface":
            return places.surface
        case "interior":
            return ~places.surface
        case "exposed":
            return exposed(places.model.positions, places.positions)
        case "corner":
            return np.asarray(places.flat_faces >= 3)
        case "edge":
            return np.asarray(places.flat_faces == 2)
        case _:
            return np.asarray(places.flat_faces == 1)


def _on_facet(hkl: Sequence[int], form: bool, places: Places) -> BoolArray:
    """On the outermost plane of a facet of its domain, or of any of a form."""
    found = np.zeros(len(places), dtype=bool)
    model = places.model
    for i, domain in enumerate(model.domains):
        mine = places.domain == i
        planes = domain.crystal.equivalent_planes(hkl) if form else np.array([hkl])
        ions = model.positions[(model.domain == i) & (model.molecule == 0)]
        outermost = (domain.fractional(ions) @ planes.T).max(axis=0)
        index = domain.fractional(places.positions[mine]) @ planes.T
        near = min(ON_FACET / domain.crystal.spacing(hkl), ONE_PLANE)
        found[mine] = (index > outermost - near).any(axis=1)
    return found


def _at(offset: Sequence[float], places: Places) -> BoolArray:
    found = np.zeros(len(places), dtype=bool)
    for i, domain in enumerate(places.model.domains):
        mine = places.domain == i
        away = places.positions[mine] - domain.cartesian(np.asarray(offset, dtype=float))
        found[mine] = np.linalg.norm(away, axis=1) < SAME_SITE
    return found


def meant(word: str, model: Model, domain: int) -> str:
    """The element a word means in a domain: itself, or the only one of its kind there.

    Raises
    ------
    InputError
        No such element or kind, or the kind has none or several elements in the domain.
    """
    if word not in KINDS:
        number(word)
        return word
    mine = model.domain == domain
    crystal = model.domains[domain].crystal
    z = np.concatenate([crystal.numbers, model.numbers[mine].astype(np.int64)])
    q = np.concatenate([crystal.charges, model.charges[mine].astype(np.int64)])
    found = list(counts(z[KINDS[word](z, q)]))
    name = model.domains[domain].name
    if not found:
        raise InputError(f"There is no {word} in {name}, which holds {', '.join(counts(z))}.")
    if len(found) > 1:
        raise InputError(f"{word!r} is {' or '.join(found)} in {name}; name the element.")
    return found[0]
