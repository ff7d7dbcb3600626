"""Molecules exchanged for ions, ions for molecules, and one molecule for another."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hetbuild.arrays import FloatArray, IntArray
from hetbuild.elements import number
from hetbuild.errors import InputError
from hetbuild.exchanging.molecule import Molecule, is_molecule, read_molecule, whole_molecules
from hetbuild.exchanging.room import placed
from hetbuild.exchanging.same_site import Exchange, principal_strains, swap_entries
from hetbuild.exchanging.selection import meant_of, select, share
from hetbuild.model import Model, kept_digits
from hetbuild.rounding import ALIKE
from hetbuild.selection.places import Places
from hetbuild.selection.profile import Profile, drawn

if TYPE_CHECKING:
    pass


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
        places = placed(left, index, sites, coming, seed, along)
    else:
        places = sites[:, None]
    changed = _with_groups(left, index, coming, places, role)
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
    beside = off > ALIKE
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
    model: Model, index: int, ion: Molecule | str, places: FloatArray, role: IntArray
) -> Model:
    """Ions of one kind added. places: Å, shape (count, atoms of one, 3); role: shape (count,)."""
    count, size = places.shape[:2]
    if isinstance(ion, Molecule):
        numbers, charges = ion.numbers, ion.charges
    else:
        crystal = model.domains[index].crystal
        numbers, charges = np.array([number(ion)]), np.array([crystal.charge_of(ion)])
    return model.extended(
        numbers=np.tile(numbers, count),
        positions=places.reshape(-1, 3),
        charges=np.tile(charges, count),
        domain=np.full(count * size, index),
        role=np.repeat(role, size),
        on_sites=size == 1,
    )
