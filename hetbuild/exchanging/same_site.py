"""Same-site ion exchange: an ion of a domain gives its place to another.

The sites stay, so a domain keeps its frame; its crystal becomes the product where nothing of the
old ion is left.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

import numpy as np

from hetbuild.arrays import FloatArray, IntArray
from hetbuild.crystal.crystal import Crystal
from hetbuild.elements import counts, number, reduced
from hetbuild.errors import ImpossibleError, InputError
from hetbuild.exchanging.selection import meant_of, select, share
from hetbuild.geometry.shared import shared_by
from hetbuild.model import Domain, LedgerEntry, Model, kept_digits
from hetbuild.selection.places import Places
from hetbuild.selection.profile import Profile, drawn

Lattice = Literal["keep", "product"]

SAME_PLACE = 0.6
"""Å by which a site may lie elsewhere in a product crystal and still be the parent's site."""

FACING = 1.0
"""Å beyond the shortest distance between two domains within which an ion belongs to their contact,
the centre of which stays in place when a domain takes another lattice."""


@dataclass(frozen=True)
class Exchange:
    """What an exchange did."""

    domain: str
    product: str
    """Crystal the domain is made of afterwards."""
    taken: Mapping[str, int]
    """Ions that left, by element."""
    put: Mapping[str, int]
    """Ions, or molecules, that came."""
    charge: int
    """Change of formal charge, e."""
    strain: tuple[float, ...] = (0.0, 0.0, 0.0)
    """Principal strains the product lattice has in the model, against its own constants."""
    details: Mapping[str, Any] = field(default_factory=dict)
    """What else the kind of exchange has to report, as plain values."""

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def replace_ions(
    model: Model,
    domain: str,
    ions: Mapping[str, str],
    *,
    fraction: float = 1.0,
    order: str = "random",
    which: str = "",
    profile: Profile | None = None,
    seed: int = 0,
    product: Crystal | None = None,
    lattice: Lattice = "keep",
) -> tuple[Model, Exchange]:
    """Exchange ions of a domain on their sites.

    ions: new element by old one, as {"Cl": "Br"}. fraction: of the old and new ions together, so
    that repeating the call changes nothing. product: the crystal that a full exchange leads to;
    default: the parent with the new elements on its sites. lattice: keep the domain as it lies, or
    strain it about the interface to the product's constants (after Vegard for a part). which: of
    the ions only those a selection means, and the fraction is of these. order: which go first.
    profile: fractions that change with place instead.

    Raises
    ------
    InputError
        Unknown domain, element not in it, fraction outside 0 to 1, or a product lattice asked for
        without a product.
    """
    index = model.domain_named(domain)
    parent = model.domains[index].crystal
    if profile is None:
        atoms = _by_fraction(model, index, ions, fraction, order, seed, which)
    else:
        atoms = {old: _by_profile(model, index, old, which, profile, seed) for old in ions}
    taken = {old: len(leaving) for old, leaving in atoms.items()}
    changed = _swapped(model, index, ions, atoms)
    crystal = product_crystal(parent, ions, product)
    if lattice == "product":
        _check_known(product, domain)
        changed = strained(changed, index, crystal, _progress(changed, index, ions))
    if any(taken.values()) and not any(_count(changed, index, old) for old in ions):
        changed = changed.with_domain(index, _of_crystal(changed.domains[index], crystal))
        changed = renamed(changed, index, parent.name)
    return changed, Exchange(
        domain=domain,
        product=changed.domains[index].crystal.name,
        taken=taken,
        put={new: taken[old] for old, new in ions.items()},
        charge=changed.charge - model.charge,
        strain=principal_strains(changed.domains[index], crystal),
    )


def _swapped(
    model: Model, index: int, ions: Mapping[str, str], atoms: Mapping[str, IntArray]
) -> Model:
    """With these atoms of each old ion become the new one, on their sites and in the ledger."""
    domain = model.domains[index]
    numbers, charges, entries = model.numbers.copy(), model.charges.copy(), list(model.ledger)
    for old, new in ions.items():
        leaving = atoms[old]
        numbers[leaving], charges[leaving] = number(new), domain.crystal.charge_of(new)
        entries += swap_entries(model.positions[leaving], f"{old}>{new}", domain.name)
    return replace(model, numbers=numbers, charges=charges, ledger=tuple(entries))


def _check_known(product: Crystal | None, domain: str) -> None:
    if product is None:
        raise InputError(
            f"No crystal is known whose lattice {domain} could take; name it with product."
        )


def exchanged_atoms(
    model: Model,
    index: int,
    old: str,
    new: str,
    fraction: float,
    order: str,
    seed: int,
    which: str = "",
) -> IntArray:
    """Which atoms of a domain leave, so that `fraction` of old and new together is new."""
    mine = np.flatnonzero(model.domain == index)
    here, there = (mine[model.numbers[mine] == number(e)] for e in (old, new))
    already = len(meant_of(model, there, which))
    if not len(here) and not already:
        held = ", ".join(counts(model.numbers[model.domain == index]))
        raise InputError(
            f"{model.domains[index].name} holds no {old} to exchange for {new}; it holds {held}."
        )
    here = meant_of(model, here, which)
    wanted = share(fraction, len(here) + already) - already
    return select(model, here, max(wanted, 0), order, seed)


def _by_fraction(
    model: Model,
    index: int,
    ions: Mapping[str, str],
    fraction: float,
    order: str,
    seed: int,
    which: str,
) -> dict[str, IntArray]:
    """Which atoms of a domain leave, by their element."""
    return {
        old: exchanged_atoms(model, index, old, new, fraction, order, seed, which)
        for old, new in ions.items()
    }


def _by_profile(
    model: Model, index: int, old: str, which: str, profile: Profile, seed: int
) -> IntArray:
    """Which atoms of a domain leave by a composition profile."""
    mine = np.flatnonzero((model.domain == index) & (model.numbers == number(old)))
    here = meant_of(model, mine, which)
    if not len(here):
        raise InputError(f"{model.domains[index].name} holds no such {old} to exchange.")
    return here[drawn(profile, Places.of(model, here), seed)]


def swap_entries(positions: FloatArray, what: str, domain: str) -> list[LedgerEntry]:
    """Ledger entries of ions that changed on their sites."""
    return [
        LedgerEntry("exchange", "swap", what, domain, (float(x), float(y), float(z)), "on its site")
        for x, y, z in positions
    ]


def product_crystal(
    parent: Crystal, ions: Mapping[str, str], product: Crystal | None = None
) -> Crystal:
    """The parent's crystal after a full exchange.

    Raises
    ------
    InputError
        The product given does not have the new ions on the parent's sites.
    """
    numbers = parent.numbers.copy()
    charges = parent.charges.copy()
    for old, new in ions.items():
        here = parent.numbers == number(old)
        numbers[here], charges[here] = number(new), parent.charge_of(new)
    if product is None:
        return replace(
            parent,
            name="".join(
                e + (str(n) if n > 1 else "") for e, n in reduced(counts(numbers)).items()
            ),
            numbers=numbers,
            charges=charges,
            source=f"{parent.name} with {', '.join(f'{n} for {o}' for o, n in ions.items())}",
            sha256="",
        )
    site = same_sites(parent, numbers, product)
    if site is None:
        raise InputError(
            f"{product.name} does not have the sites of {parent.name} with "
            f"{', '.join(f'{n} for {o}' for o, n in ions.items())}; give the crystal of the "
            "product in the same structure type, or leave product out."
        )
    return product


def same_sites(parent: Crystal, numbers: IntArray, product: Crystal) -> IntArray | None:
    """Site of the product for each of the parent's, with these elements; None: another structure.

    numbers: elements wanted on the parent's sites, shape (n,).
    """
    if len(product.numbers) != len(numbers) or product.space_group != parent.space_group:
        return None
    apart = product.fractional[None] - parent.fractional[:, None]
    apart = np.linalg.norm((apart - np.rint(apart)) @ parent.vectors, axis=2)
    apart[numbers[:, None] != product.numbers[None]] = np.inf
    site = apart.argmin(axis=1)
    unique = len(np.unique(site)) == len(site)
    return site if unique and apart.min(axis=1).max() < SAME_PLACE else None


def strained(model: Model, index: int, crystal: Crystal, progress: float = 1.0) -> Model:
    """The domain strained homogeneously to the crystal's lattice, the interface staying in place.

    The fixed point is the middle of the shared layer, else of the domain's contact with the other,
    else of the domain. progress: share of the exchange that is done; the lattice goes with it from
    that of the domain's own crystal to the product's (Vegard).
    """
    domain = model.domains[index]
    own = domain.crystal.vectors
    goal = oriented(own + progress * (crystal.vectors - own), domain.vectors)
    return on_lattice(model, index, goal)


def on_lattice(model: Model, index: int, vectors: FloatArray) -> Model:
    """The domain deformed so that these are its lattice vectors; rows in the model's axes, Å.

    Raises
    ------
    ImpossibleError
        The model repeats: its cell holds the domain to the other one's lattice.
    """
    if model.cell is not None:
        raise ImpossibleError(
            "A periodic interface holds both domains to one cell, so none can take a lattice of "
            "its own. Keep the lattice (--lattice keep), or build the interface of the product."
        )
    domain = model.domains[index]
    deformation = np.linalg.inv(domain.vectors) @ vectors
    fixed = _fixed_point(model, index)
    positions = model.positions.copy()
    mine = model.domain == index
    positions[mine] = kept_digits((positions[mine] - fixed) @ deformation + fixed)
    origin = (domain.origin - fixed) @ deformation + fixed
    moved = replace(domain, vectors=vectors, origin=origin)
    return replace(model, positions=positions).with_domain(index, moved)


def principal_strains(domain: Domain, crystal: Crystal) -> tuple[float, ...]:
    """Principal strains of a crystal that lies on this domain's lattice, largest first, shape (3,).

    Finite (Biot) strain: stretches less one.
    """
    stretch = np.linalg.svd(np.linalg.inv(crystal.vectors) @ domain.vectors, compute_uv=False)
    return tuple(float(round(s - 1.0, 9)) + 0.0 for s in stretch)


def renamed(model: Model, index: int, before: str) -> Model:
    """A domain that is called as its crystal was before, as those of foreign files are, takes the
    name of the crystal it is of now; unless another has that name.
    """
    old, new = model.domains[index].name, model.domains[index].crystal.name
    if old != before or new in [d.name for d in model.domains]:
        return model
    domains = list(model.domains)
    domains[index] = replace(domains[index], name=new)
    interfaces = []
    for found in model.interfaces:
        a, b = (new if name == old else name for name in found.domains)
        interfaces.append(replace(found, domains=(a, b)))
    return replace(model, domains=tuple(domains)).with_interfaces(interfaces)


def _of_crystal(domain: Domain, crystal: Crystal) -> Domain:
    """The domain with a crystal on the same sites; its datum stays the site it is."""
    apart = crystal.fractional - domain.crystal.fractional[domain.datum]
    apart = np.linalg.norm((apart - np.rint(apart)) @ domain.vectors, axis=1)
    same_sign = np.sign(crystal.charges) == np.sign(domain.crystal.charges[domain.datum])
    datum = int(np.where(same_sign, apart, np.inf).argmin())
    return replace(domain, crystal=crystal, datum=datum)


def _count(model: Model, index: int, element: str) -> int:
    return int(((model.domain == index) & (model.numbers == number(element))).sum())


def _progress(model: Model, index: int, ions: Mapping[str, str]) -> float:
    """Share of the exchange that is done, for Vegard's rule."""
    new = sum(_count(model, index, e) for e in ions.values())
    return new / max(1, new + sum(_count(model, index, e) for e in ions))


def oriented(vectors: FloatArray, reference: FloatArray) -> FloatArray:
    """Lattice vectors turned rigidly as near to a reference as can be, rows in Å, shape (3, 3)."""
    from scipy.spatial.transform import Rotation

    # SciPy takes no read-only arrays here.
    rotation, _ = Rotation.align_vectors(np.array(reference), np.array(vectors))
    return np.asarray(rotation.apply(np.array(vectors)))


def _fixed_point(model: Model, index: int) -> FloatArray:
    from scipy.spatial import cKDTree

    mine = model.domain == index
    shared = shared_by(model, index)
    if shared.any():
        return np.asarray(model.positions[shared].mean(axis=0))
    if mine.all():
        return np.asarray(model.positions[mine].mean(axis=0))
    away = cKDTree(model.positions[~mine]).query(model.positions[mine])[0]
    near = away < away.min() + FACING
    return np.asarray(model.positions[mine][near].mean(axis=0))
