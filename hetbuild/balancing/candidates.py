"""Single changes that balancing may make: where an ion can be added, removed or swapped."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from hetbuild.arguments import check_fields
from hetbuild.arrays import BoolArray, FloatArray, IntArray, Plane
from hetbuild.elements import number
from hetbuild.errors import InputError
from hetbuild.geometry.contacts import Floors, clear_of
from hetbuild.model import LedgerEntry, Model, Role, kept_digits
from hetbuild.selection.language import Selection, parse_selection
from hetbuild.selection.order import Order, parse_order
from hetbuild.selection.places import Places, chosen, meant

Action = Literal["add", "remove", "swap"]
SAME_SITE = 0.05
"""Å: vacant sites closer than this, listed from two cations, are one site."""

SAME_PLANE = 1e-3
"""Plane indices (multiples of d(hkl)) that differ by less are of one plane."""

MOVE = re.compile(
    r"(?P<action>add|remove|swap) (?P<element>\w+)(?: to (?P<to>\w+))? in (?P<domain>\S+)"
    r"(?: where (?P<which>.+?))?(?: by (?P<order>.+))?"
)
"""A move as text."""


@dataclass(frozen=True, slots=True)
class Move:
    """A kind of change the balancing may make.

    Examples
    --------
    >>> import hetbuild as hb
    >>> print(hb.Move("swap", "S", "sulfide", to="Cl"))
    swap S to Cl in sulfide
    """

    action: Action
    """``add``, ``remove`` or ``swap``."""
    element: str
    """Element added, removed, or swapped away."""
    domain: str
    """Name of the domain it acts in."""
    to: str = ""
    """Element swapped in."""
    bonded_to: tuple[str, ...] = ()
    """add: only sites bonded to such a cation of the domain; default: any cation."""
    facet: Plane | None = None
    """remove, swap: only ions on the outermost planes of this form; default: all at the surface."""
    role: Literal["", "lattice", "shared", "ligand", "compensation"] = ""
    """remove, swap: only ions of this role, as ``ligand``."""
    least_bonded_first: bool = False
    """remove, swap: ions with fewer neighbours go first, energy decides only among equals."""
    which: str = ""
    """Only places a selection means, as ``corner, bonds <= 2``; default: all at the surface."""
    order: str = ""
    """Which go first and what decides among equals, as ``corners first, spread``."""
    seed: int = 0
    """Of what is random in the order."""

    def __post_init__(self) -> None:
        check_fields(self)
        if (self.action == "swap") != bool(self.to):
            raise InputError("`to` belongs to action = 'swap', and only to it")
        if self.seed < 0:
            raise InputError(f"seed must be greater than or equal to 0; given {self.seed}")
        checks = (("to", number), ("which", parse_selection), ("order", parse_order))
        for name, parse in checks[not self.to :]:
            try:
                parse(getattr(self, name))
            except InputError as error:
                raise InputError(f"{name}: {error}") from None

    @classmethod
    def parse(cls, text: str) -> Move:
        """A move as the ledger prints it: "swap S to Cl in sulfide", and which and in what order.

        Raises
        ------
        InputError
            The text is no move.
        """
        found = MOVE.fullmatch(" ".join(text.split()))
        if found is None or (found["action"] == "swap") != (found["to"] is not None):
            raise InputError(
                f"{text!r} is no move; write 'add Cl in sulfide', 'remove Cl in sulfide' or "
                "'swap S to Cl in sulfide', and after it which and in what order, as 'remove Cl in "
                "sulfide where bonds <= 2 by least bonded first, spread'"
            )
        given: dict[str, Any] = found.groupdict()
        return cls(**{key: part for key, part in given.items() if part is not None})

    @property
    def selection(self) -> Selection:
        """What `which` says."""
        return parse_selection(self.which)

    @property
    def ordering(self) -> Order:
        """What `order` says, after the fewest neighbours where those go first."""
        order = parse_order(self.order, seed=self.seed)
        if self.least_bonded_first and "least bonded" not in order.ranks:
            return replace(order, ranks=("least bonded", *order.ranks))
        return order

    def __str__(self) -> str:
        what = f"{self.element} to {self.to}" if self.action == "swap" else self.element
        return f"{self.action} {what} in {self.domain}"


def repeated(moves: Sequence[Move]) -> Iterator[str]:
    """What is wrong with moves that are given more than once, in words."""
    for move, times in Counter(moves).items():
        if times > 1:
            yield f"the move '{move}' is given {times} times; it acts as often as needed."


ADDED_FLOORS = Floors(anion_anion=3.0, cation_anion=2.4, cation_cation=2.4)
"""Contacts an added ion must keep, Å: it stands on a lattice site next to a cut surface."""


@dataclass(frozen=True, eq=False)
class Candidates:
    """Every single change the moves allow, K in all."""

    move: IntArray
    """Index of the move each belongs to, shape (K,)."""
    places: Places
    """Where each acts, K places."""
    change: IntArray
    """Change of formal charge in e, shape (K,)."""

    @property
    def positions(self) -> FloatArray:
        """Å, shape (K, 3)."""
        return self.places.positions

    @property
    def atom(self) -> IntArray:
        """Atom removed or swapped, -1 for an added one, shape (K,)."""
        return self.places.atom

    def where(self, mask: BoolArray) -> Candidates:
        """The candidates where mask, shape (K,), is true."""
        return Candidates(self.move[mask], self.places.where(mask), self.change[mask])


def candidates(model: Model, moves: Sequence[Move], floors: Floors = ADDED_FLOORS) -> Candidates:
    """All places where the moves may act.

    Raises
    ------
    InputError
        A move names a domain or element that is not there.
    """
    each = [eligible(model, move, floors) for move in moves]
    change = [_charge_change(model, m, p.atom) for m, p in zip(moves, each, strict=True)]
    owner = np.repeat(np.arange(len(moves)), [len(p) for p in each])
    return Candidates(owner, Places.joined(model, each), np.concatenate(change))


def resolved(model: Model, moves: Sequence[Move]) -> list[Move]:
    """The moves with the element in place of every kind of ion they name.

    Raises
    ------
    InputError
        A kind has no or several elements in the domain of its move.
    """
    found = []
    for move in moves:
        domain = model.domain_named(move.domain)
        to = meant(move.to, model, domain) if move.to else ""
        found.append(replace(move, element=meant(move.element, model, domain), to=to))
    return found


def eligible(model: Model, move: Move, floors: Floors = ADDED_FLOORS) -> Places:
    """The places where a move, with elements for kinds, may act."""
    places = offered(model, move, floors)
    return places.where(chosen(move.selection, places))


def offered(model: Model, move: Move, floors: Floors = ADDED_FLOORS) -> Places:
    """The places of a move before its selection: vacant sites, or ions of its element."""
    domain = model.domain_named(move.domain)
    if move.action != "add":
        return Places.of(model, _offered_ions(model, domain, move))
    positions = vacancies(model, domain, move, floors)
    count = len(positions)
    return Places(
        model,
        positions,
        np.full(count, number(move.element)),
        np.full(count, _charge(model, move)),
        np.full(count, domain),
        np.full(count, -1),
    )


def vacancies(model: Model, domain: int, move: Move, floors: Floors) -> FloatArray:
    """Vacant sites of a domain's lattice for an ion, bonded to its cations; Å, shape (V, 3)."""
    d, bonds = model.domains[domain], model.domains[domain].crystal.bonds
    sign = np.sign(_charge(model, move))
    partners = _bond_partners(model, domain, move)
    places_of = model.lattice_positions
    site = _site_of(model, domain, partners)
    found = []
    for s in np.unique(site):
        from_here = (bonds.site == s) & (np.sign(d.crystal.charges[bonds.partner]) == sign)
        steps = bonds.vector[from_here] @ d.vectors
        found.append((places_of[partners[site == s]][:, None] + steps).reshape(-1, 3))
    if not found:
        return np.empty((0, 3))
    places = _distinct(np.concatenate(found))
    free = clear_of(places, _charge(model, move), model.positions, model.charges, floors)
    return kept_digits(places[free])


def apply(model: Model, moves: Sequence[Move], found: Candidates, chosen: IntArray) -> Model:
    """Carry out the chosen candidates and enter them in the ledger."""
    picked = found.where(np.isin(np.arange(len(found.move)), chosen))
    numbers, charges, role = model.numbers.copy(), model.charges.copy(), model.role.copy()
    keep = np.ones(len(model), dtype=bool)
    entries = []
    for i, move in enumerate(moves):
        atoms = picked.atom[picked.move == i]
        if move.action == "remove":
            keep[atoms] = False
        elif move.action == "swap":
            numbers[atoms], charges[atoms] = number(move.to), _charge(model, move, move.to)
            role[atoms] = Role.COMPENSATION
        entries += _entries(move, picked.positions[picked.move == i])
    changed = replace(model, numbers=numbers, charges=charges, role=role).where(keep)
    added = picked.where(picked.atom < 0)
    return replace(_with_added(changed, moves, added), ledger=(*model.ledger, *entries))


def _with_added(model: Model, moves: Sequence[Move], added: Candidates) -> Model:
    elements = np.array([number(m.element) for m in moves])[added.move]
    domains = np.array([model.domain_named(m.domain) for m in moves])[added.move]
    roles = np.full(len(elements), Role.COMPENSATION)
    return model.extended(
        numbers=elements,
        positions=added.positions,
        charges=added.change,
        domain=domains,
        role=roles,
    )


def _entries(move: Move, positions: FloatArray) -> list[LedgerEntry]:
    reason = _reason(move)
    element = f"{move.element}>{move.to}" if move.action == "swap" else move.element
    return [_entry(move.action, element, move.domain, r, reason) for r in positions]


def _reason(move: Move) -> str:
    """Why these, of all that were eligible."""
    order = move.ordering
    among = f" of {move.which!r}" if move.which else ""
    if order.ranks:
        firsts = " then ".join(r.replace("least bonded", "fewest neighbours") for r in order.ranks)
        return f"{firsts} first, then {order.tie}{among}"
    if order.tie != "lowest energy":
        return f"{order.tie}{among}"
    if move.which:
        return f"lowest energy{among}"
    return {
        "add": "vacant lattice site of lowest energy",
        "remove": "surface ion, lowest energy without it",
        "swap": "surface ion, lowest energy after the swap",
    }[move.action]


def _entry(
    action: str, element: str, domain: str, position: FloatArray, reason: str
) -> LedgerEntry:
    x, y, z = (float(c) for c in position)
    return LedgerEntry("balance", action, element, domain, (x, y, z), reason)


def _charge(model: Model, move: Move, element: str = "") -> int:
    """Formal charge in e that an element has in the move's domain; default: the one it acts on."""
    crystal = model.domains[model.domain_named(move.domain)].crystal
    return crystal.charge_of(element or move.element)


def _charge_change(model: Model, move: Move, atom: IntArray) -> IntArray:
    if move.action == "add":
        return np.full(len(atom), _charge(model, move))
    after = _charge(model, move, move.to) if move.action == "swap" else 0
    return np.asarray(after - model.charges[atom].astype(np.int64))


def _bond_partners(model: Model, domain: int, move: Move) -> IntArray:
    """Atoms of the domain whose vacant neighbour sites the move may fill."""
    mine = (model.domain == domain) & (model.charges * _charge(model, move) < 0)
    if move.bonded_to:
        mine &= np.isin(model.numbers, [number(e) for e in move.bonded_to])
    return np.flatnonzero(mine)


def _site_of(model: Model, domain: int, atoms: IntArray) -> IntArray:
    """Index of the crystal site each atom stands on, the nearest where none is known; (A,)."""
    known = model.site[atoms].astype(np.int64)
    nearest = model.domains[domain].nearest_sites(model.positions[atoms])[0]
    return np.asarray(np.where(known >= 0, known, nearest))


def _distinct(positions: FloatArray) -> FloatArray:
    """One of each group of positions that are the same site, in a fixed order."""
    key = np.rint(positions / SAME_SITE).astype(np.int64)
    order = np.lexsort(key.T)
    from scipy.spatial import cKDTree

    points = positions[order]
    later = cKDTree(points).query_pairs(SAME_SITE, output_type="ndarray")
    keep = np.ones(len(points), dtype=bool)
    keep[later.max(axis=1)] = False
    return np.asarray(points[keep])


def _offered_ions(model: Model, domain: int, move: Move) -> IntArray:
    """Atoms that a remove or swap may take: at the surface unless it says which."""
    mine = (model.domain == domain) & (model.numbers == number(move.element))
    if move.role:
        mine &= model.role == Role[move.role.upper()]
    atoms = np.flatnonzero(mine)
    if move.facet is not None:
        return atoms[_on_outermost(model, domain, move.facet)[atoms]]
    return atoms if move.which else atoms[Places.of(model, atoms).surface]


def _on_outermost(model: Model, domain: int, form: Plane) -> BoolArray:
    """Atoms on the outermost plane of any facet of the form, shape (N,)."""
    d = model.domains[domain]
    mine = model.domain == domain
    index = d.fractional(model.positions) @ d.crystal.equivalent_planes(form).T
    return np.asarray((mine[:, None] & (index > index[mine].max(axis=0) - SAME_PLANE)).any(axis=1))
