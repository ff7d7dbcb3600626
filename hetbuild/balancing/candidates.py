"""Single changes that balancing may make: where an ion can be added, removed or swapped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from hetbuild.arrays import BoolArray, FloatArray, IntArray, Plane
from hetbuild.crystal.bonds import BOND_FACTOR
from hetbuild.elements import number, symbol
from hetbuild.errors import ImpossibleError
from hetbuild.geometry.contacts import Floors, clear_of, coordination
from hetbuild.model import DECIMALS, LedgerEntry, Model, Role

Action = Literal["add", "remove", "swap"]
SAME_SITE = 0.05
"""Å: vacant sites closer than this, listed from two cations, are one site."""


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
    element: str
    """Element added, removed, or swapped away."""
    domain: str
    to: str = ""
    """Element swapped in."""
    bonded_to: tuple[str, ...] = ()
    """add: only sites bonded to such a cation of the domain; default: any cation."""
    facet: Plane | None = None
    """remove, swap: only ions on the outermost planes of this form; default: all at the surface."""
    role: str = ""
    """remove, swap: only ions of this role, as ``ligand``."""
    least_bonded_first: bool = False
    """remove, swap: ions with fewer neighbours go first, energy decides only among equals."""

    def __str__(self) -> str:
        what = f"{self.element} to {self.to}" if self.action == "swap" else self.element
        return f"{self.action} {what} in {self.domain}"


ADDED_FLOORS = Floors(anion_anion=3.0, cation_anion=2.4, cation_cation=2.4)
"""Contacts an added ion must keep, Å: it stands on a lattice site next to a cut surface."""


@dataclass(frozen=True, eq=False)
class Candidates:
    """Every single change the moves allow, K in all."""

    move: IntArray
    """Index of the move each belongs to, shape (K,)."""
    positions: FloatArray
    """Å, shape (K, 3)."""
    change: IntArray
    """Change of formal charge in e, shape (K,)."""
    atom: IntArray
    """Atom removed or swapped, -1 for an added one, shape (K,)."""
    neighbours: IntArray
    """Ions of opposite charge bonded there, shape (K,)."""

    def where(self, mask: BoolArray) -> Candidates:
        """The candidates where mask, shape (K,), is true."""
        return Candidates(
            *(
                np.asarray(getattr(self, name))[mask]
                for name in ("move", "positions", "change", "atom", "neighbours")
            )
        )


def candidates(model: Model, moves: Sequence[Move], floors: Floors = ADDED_FLOORS) -> Candidates:
    """All places where the moves may act.

    Raises
    ------
    InputError
        A move names a domain or element that is not there.
    """
    parts = []
    for i, move in enumerate(moves):
        domain = model.domain_named(move.domain)
        if move.action == "add":
            positions = vacancies(model, domain, move, floors)
            atom = np.full(len(positions), -1)
        else:
            atom = _surface_ions(model, domain, move)
            positions = model.positions[atom]
        change = _charge_change(model, move, atom)
        around = _bonded(model, domain, positions, np.sign(_charge(model, move)))
        parts.append(Candidates(np.full(len(atom), i), positions, change, atom, around))
    names = ("move", "positions", "change", "atom", "neighbours")
    return Candidates(*(np.concatenate([getattr(p, n) for p in parts]) for n in names))


def vacancies(model: Model, domain: int, move: Move, floors: Floors) -> FloatArray:
    """Vacant sites of a domain's lattice for an ion, bonded to its cations; Å, shape (V, 3)."""
    d, bonds = model.domains[domain], model.domains[domain].crystal.bonds
    sign = np.sign(_charge(model, move))
    partners = _bond_partners(model, domain, move)
    site = _site_of(model, domain, partners)
    found = []
    for s in np.unique(site):
        from_here = (bonds.site == s) & (np.sign(d.crystal.charges[bonds.partner]) == sign)
        steps = bonds.vector[from_here] @ d.vectors
        found.append((model.positions[partners[site == s]][:, None] + steps).reshape(-1, 3))
    if not found:
        return np.empty((0, 3))
    places = _distinct(np.concatenate(found))
    free = clear_of(places, _charge(model, move), model.positions, model.charges, floors)
    return np.round(places[free], DECIMALS)


def trim(model: Model, domain: str, fewer_than: int, elements: Sequence[str] = ()) -> Model:
    """Remove ions with fewer than so many neighbours of opposite charge, until none is left.

    Raises
    ------
    ImpossibleError
        That removes the whole domain.
    """
    index = model.domain_named(domain)
    chosen = [number(e) for e in elements]
    while True:
        mine = model.domain == index
        around = bonded_neighbours(model, index)
        loose = mine & (around < fewer_than)
        if chosen:
            loose &= np.isin(model.numbers, chosen)
        if not loose.any():
            return model
        if loose.sum() == mine.sum():
            raise ImpossibleError(
                f"No ion of {domain} has {fewer_than} neighbours: trimming would remove all of it."
            )
        reason = f"fewer than {fewer_than} neighbours"
        entries = [
            _entry("trim", "remove", symbol(z), domain, r, reason)
            for z, r in zip(model.numbers[loose], model.positions[loose], strict=True)
        ]
        model = replace(model.where(~loose), ledger=(*model.ledger, *entries))


def bonded_neighbours(model: Model, domain: int) -> IntArray:
    """Bonded ions of opposite charge around every atom by the domain's bond limits, shape (N,)."""
    result = np.zeros(len(model), dtype=np.int64)
    for sign in (-1, 1):
        mine = np.flatnonzero((model.domain == domain) & (np.sign(model.charges) == sign))
        result[mine] = _bonded(model, domain, model.positions[mine], sign)
    return result


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
    reasons = {
        "add": "vacant lattice site of lowest energy",
        "remove": "surface ion, lowest energy without it",
        "swap": "surface ion, lowest energy after the swap",
    }
    reason = reasons[move.action]
    if move.least_bonded_first:
        reason = "fewest neighbours first, then lowest energy"
    element = f"{move.element}>{move.to}" if move.action == "swap" else move.element
    return [_entry("balance", move.action, element, move.domain, r, reason) for r in positions]


def _entry(
    step: str, action: str, element: str, domain: str, position: FloatArray, reason: str
) -> LedgerEntry:
    x, y, z = (float(c) for c in position)
    return LedgerEntry(step, action, element, domain, (x, y, z), reason)


def _charge(model: Model, move: Move, element: str = "") -> int:
    """Formal charge in e that an element has in the move's domain; default: the one it acts on."""
    crystal = model.domains[model.domain_named(move.domain)].crystal
    return crystal.charge_of(element or move.element)


def _charge_change(model: Model, move: Move, atom: IntArray) -> IntArray:
    if move.action == "add":
        return np.full(len(atom), _charge(model, move))
    after = _charge(model, move, move.to) if move.action == "swap" else 0
    return np.asarray(after - model.charges[atom].astype(np.int64))


def _bond_radii(model: Model, domain: int) -> dict[int, float]:
    """Up to which distance in Å a cation of the domain's crystal, by atomic number, has bonds."""
    crystal = model.domains[domain].crystal
    start = crystal.numbers[crystal.bonds.site]
    cations = np.unique(crystal.numbers[crystal.charges > 0])
    return {
        int(z): float(crystal.bonds.length[start == z].min()) * BOND_FACTOR
        for z in cations
        if (start == z).any()
    }


def _bonded(model: Model, domain: int, positions: FloatArray, sign: int) -> IntArray:
    """Neighbours of opposite charge around ions of this sign, shape (P,).

    The cation of each pair sets the limit: an anion counts every cation up to that cation's bond
    radius, a cation the anions up to its own.
    """
    result = np.zeros(len(positions), dtype=np.int64)
    radii = _bond_radii(model, domain)
    if sign < 0:
        for z, radius in radii.items():
            result += coordination(positions, model.positions[model.numbers == z], radius)
        return result
    anions = model.positions[model.charges < 0]
    from scipy.spatial import cKDTree

    own = _own_radius(model, positions, radii)
    if len(positions) and len(anions):
        result += cKDTree(anions).query_ball_point(positions, own, return_length=True)
    return result


def _own_radius(model: Model, positions: FloatArray, radii: dict[int, float]) -> FloatArray:
    """Bond radius of the cation that stands at each position, Å, shape (P,)."""
    from scipy.spatial import cKDTree

    _, atom = cKDTree(model.positions).query(positions)
    return np.array([radii.get(int(z), 0.0) for z in model.numbers[atom]])


def _bond_partners(model: Model, domain: int, move: Move) -> IntArray:
    """Atoms of the domain whose vacant neighbour sites the move may fill."""
    mine = (model.domain == domain) & (model.charges * _charge(model, move) < 0)
    if move.bonded_to:
        mine &= np.isin(model.numbers, [number(e) for e in move.bonded_to])
    return np.flatnonzero(mine)


def _site_of(model: Model, domain: int, atoms: IntArray) -> IntArray:
    """Index of the crystal site each atom stands on, shape (A,)."""
    from scipy.spatial import cKDTree

    d = model.domains[domain]
    wrapped = np.round(d.fractional(model.positions[atoms]), 6) % 1.0
    tree = cKDTree(np.round(d.sites, 6) % 1.0, boxsize=1.0)
    return np.asarray(tree.query(wrapped)[1])


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


def _surface_ions(model: Model, domain: int, move: Move) -> IntArray:
    """Atoms that a remove or swap may take: at the surface, of the right element and role."""
    mine = (model.domain == domain) & (model.numbers == number(move.element))
    if move.role:
        mine &= model.role == Role[move.role.upper()]
    if move.facet is not None:
        mine &= _on_outermost(model, domain, move.facet)
    else:
        mine &= bonded_neighbours(model, domain) < _bulk_coordination(model, domain, move.element)
    return np.flatnonzero(mine)


def _bulk_coordination(model: Model, domain: int, element: str) -> int:
    """Neighbours of the element in the bulk; an ion foreign to the crystal is always surface."""
    crystal = model.domains[domain].crystal
    number_of = np.bincount(crystal.bonds.site, minlength=len(crystal.numbers))
    here = crystal.numbers == number(element)
    return int(number_of[here].max()) if here.any() else int(number_of.max()) + 1


def _on_outermost(model: Model, domain: int, form: Plane) -> BoolArray:
    """Atoms on the outermost plane of any facet of the form, shape (N,)."""
    d = model.domains[domain]
    mine = model.domain == domain
    index = d.fractional(model.positions) @ d.crystal.equivalent_planes(form).T
    return np.asarray((mine[:, None] & (index > index[mine].max(axis=0) - 1e-3)).any(axis=1))
