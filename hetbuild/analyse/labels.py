"""A model out of positions alone, given the crystals it is made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from hetbuild.analyse.assignment import Assignment, assign
from hetbuild.analyse.frames import FrameFit, fit_frame, origin_of
from hetbuild.analyse.interface import measure_interface
from hetbuild.analyse.layers import hosts, shared_layer
from hetbuild.analyse.meetings import meetings
from hetbuild.analyse.one_particle import of_one_particle
from hetbuild.analyse.sites import charges_of, is_filled, may_take, site_keys
from hetbuild.arrays import BoolArray, FloatArray, IntArray, Plane
from hetbuild.crystal.crystal import Crystal
from hetbuild.elements import counts, number, parse_formula, symbol
from hetbuild.errors import ImpossibleError, InputError, nearest
from hetbuild.model import Domain, Model, Role
from hetbuild.rounding import NOTHING

VACUUM = 5.0
"""Å without atoms along an axis of the cell from which the model ends there instead of
repeating."""

AROUND = 12.0
"""Å around the cell in which a periodic model is repeated to recognise it."""

ON_SITE = 1.5
"""Å within which a site explains an ion."""

EXPLAINED = 0.8
"""Share of the ions that the crystals named must explain, of all and of each element."""

UNCERTAIN = 4.5
"""Log-likelihood below which the domain of an ion is said to be uncertain: odds of 1 to 90."""

LISTED = 15
"""Most uncertain ions listed of a model of a thousand."""

GROWTH = 0.13
"""For larger models this times N^(2/3) are listed, as their interface grows."""


def model_of(
    numbers: IntArray,
    positions: FloatArray,
    crystals: Sequence[Crystal],
    cell: FloatArray | None = None,
    *,
    names: Sequence[str] | None = None,
    formulas: Mapping[str, str] | None = None,
) -> Model:
    """The model with domains inferred from where atoms stand. positions: Å, shape (N, 3).

    cell: rows in Å, shape (3, 3), of a file that has one. Where no vacuum parts it from its images
    the model is periodic; a particle in a box stays finite. crystals: one for each domain; one that
    comes several times is looked for as often. names: of the domains, default those of
    the crystals. formulas: composition of a domain where it is known, by the domain's name, its
    crystal, or the kind of that (perovskite, sulfide, chalcohalide).

    The provenance lists as ``ambiguous`` the ions whose domain is uncertain, least certain first.
    A crystal whose ions continue the anion sublattice of another, as the PbS layer of a particle
    exchanged to Cu2S, becomes part of that one's domain.

    Raises
    ------
    InputError
        An element has no usual formal charge or fits no crystal; a formula that cannot be met.
    ImpossibleError
        A crystal is not found in the particle, or the crystals explain too few of its ions.
    """
    charges = _charges(numbers, crystals)
    _check_elements(numbers, crystals)
    names = _called(crystals, names)
    wanted = _wanted(numbers, crystals, names, formulas or {})
    periodic = (False, False, False) if cell is None else _repeats(positions, cell)
    cell = cell if any(periodic) else None
    positions = positions if cell is None else _closed_up(positions, cell, periodic)
    shifts = np.zeros((1, 3)) if cell is None else _shifts(cell, periodic)
    found = _assigned(numbers, positions, shifts, crystals, wanted)
    model = _with_labels(numbers, positions, charges, crystals, names, found)
    return _conventionally_labelled(shared_layer(replace(model, cell=cell, periodic=periodic)))


def _with_labels(
    numbers: IntArray,
    positions: FloatArray,
    charges: IntArray,
    crystals: Sequence[Crystal],
    names: tuple[str, ...],
    found: Assignment,
) -> Model:
    """A model whose atoms have the domains and sites that were found."""
    explained = _check_explained(numbers, crystals, found)
    host = hosts(numbers, crystals, found.domain, found.residual)
    kept = sorted(set(host))
    model = Model(
        numbers=numbers,
        positions=positions,
        charges=charges,
        domain=np.array([kept.index(k) for k in host], dtype=np.int8)[found.domain],
        role=_ligands(numbers, crystals, found),
        domains=tuple(_domain(names[k], crystals[k], found.frames[k]) for k in kept),
        site=found.site.astype(np.int16),
        site_cell=found.cell.astype(np.int16),
        provenance={"explained": explained, "ambiguous": _ambiguous(numbers, names, found, host)},
    )
    return _on_host(model, np.array(host)[found.domain] != found.domain)


def _assigned(
    numbers: IntArray,
    positions: FloatArray,
    shifts: FloatArray,
    crystals: Sequence[Crystal],
    wanted: Mapping[tuple[int, int], int],
) -> Assignment:
    """Crystal and site of each ion, seen among its images at these shifts, Å, shape (S, 3)."""
    if len(shifts) > 1 and wanted:
        raise InputError("A periodic model takes no --formula: images would count.")
    if len(shifts) > 1 and len({c.name for c in crystals}) < len(crystals):
        raise InputError("A periodic model takes each crystal once: images would count.")
    tiled = np.tile(numbers, len(shifts))
    places = (shifts[:, None] + positions).reshape(-1, 3)
    frames = _frames(tiled, places, crystals)
    return assign(tiled, places, crystals, frames, wanted).first(len(numbers))


def _called(crystals: Sequence[Crystal], names: Sequence[str] | None) -> tuple[str, ...]:
    """A name for each domain; of one that is given none, or an empty one, that of its crystal.

    Where several would be called so, they are numbered.
    """
    given = tuple(names or [""] * len(crystals))
    if len(given) != len(crystals):
        raise InputError(
            f"names: {len(given)} for {len(crystals)} crystals "
            f"({', '.join(c.name for c in crystals)}); give each one, in their order."
        )
    called = [name or c.name for name, c in zip(given, crystals, strict=True)]
    return tuple(
        name if given[i] or called.count(name) == 1 else f"{name}-{called[:i].count(name) + 1}"
        for i, name in enumerate(called)
    )


def _frames(
    numbers: IntArray, positions: FloatArray, crystals: Sequence[Crystal]
) -> list[FrameFit]:
    """Where each crystal lies; of one that comes again in what its other particles leave over."""
    names = [c.name for c in crystals]
    found: list[FrameFit] = []
    left = {name: np.arange(len(numbers)) for name in names}
    for crystal in crystals:
        ions = left[crystal.name]
        here = numbers[ions], positions[ions]
        seed = _exclusive(crystal, crystals, numbers)
        again = names[: len(found)].count(crystal.name)
        try:
            frame = fit_frame(*here, crystal, seed_element=seed)
        except ImpossibleError:
            if not again:
                raise
            raise ImpossibleError(
                f"{crystal.name} is named {names.count(crystal.name)} times, but in what "
                f"{again} of its particles leave over its lattice was not found. Name each "
                "crystal once for each particle of it."
            ) from None
        if names.count(crystal.name) > 1:
            frame = of_one_particle(*here, crystal, frame)
            left[crystal.name] = np.delete(ions, frame.matched)
        found.append(frame)
    return found


def _on_host(model: Model, guests: BoolArray) -> Model:
    """With the sites that ions of a layer have in the crystal it continues; cations have none."""
    site, cell = model.site.copy(), model.site_cell.copy()
    site[guests], cell[guests] = -1, 0
    for k, domain in enumerate(model.domains):
        anions = np.flatnonzero(guests & (model.domain == k) & (model.charges < 0))
        n = len(domain.crystal.numbers)
        mine = (model.domain == k) & (site >= 0)
        taken = np.sort(site_keys(site[mine], cell[mine], n))
        found, cells, off = domain.nearest_sites(model.positions[anions])
        keys = site_keys(found, cells, n)
        first = np.zeros(len(anions), dtype=bool)
        first[np.unique(keys, return_index=True)[1]] = True
        fits = first & ~is_filled(taken, keys) & (domain.crystal.charges[found] < 0)
        here = fits & (off < ON_SITE)
        site[anions[here]], cell[anions[here]] = found[here], cells[here]
    return replace(model, site=site, site_cell=cell)


def _domain(name: str, crystal: Crystal, frame: FrameFit) -> Domain:
    datum = crystal.datum(None)
    return Domain(
        name,
        crystal,
        frame.vectors,
        frame.origin + crystal.fractional[datum] @ frame.vectors,
        datum,
    )


def _exclusive(crystal: Crystal, crystals: Sequence[Crystal], numbers: IntArray) -> int | None:
    """An element of the particle that only this crystal has."""
    others = {int(z) for c in crystals if c.name != crystal.name for z in c.numbers}
    own = [int(z) for z in np.unique(crystal.numbers) if int(z) not in others and z in numbers]
    return max(own, default=None)


def _check_elements(numbers: IntArray, crystals: Sequence[Crystal]) -> None:
    fits = may_take(numbers, crystals).any(axis=1)
    alien = [symbol(int(z)) for z in np.unique(numbers)[~fits]]
    if alien:
        made = ", ".join(f"{c.name} ({', '.join(counts(c.numbers))})" for c in crystals)
        raise InputError(
            f"{', '.join(alien)} fits none of the crystals named: {made}. Name with --crystals all "
            "that the file is made of; hetbuild crystals lists those that are shipped."
        )
    for crystal in crystals:
        absent = [symbol(int(z)) for z in np.setdiff1d(crystal.numbers, numbers)]
        if absent:
            raise ImpossibleError(
                f"The lattice of {crystal.name} was not found: the file has no {absent[0]}."
            )


def _check_explained(numbers: IntArray, crystals: Sequence[Crystal], found: Assignment) -> float:
    """Share of the ions near their sites; an error where it is too small."""
    near = (found.site >= 0) & (found.off < ON_SITE)
    share = {
        symbol(int(z)): float(near[numbers == z].mean())
        for z in np.unique(numbers)
        if (numbers == z).sum() >= 8
    }
    least = min([float(near.mean()), *share.values()])
    if least < EXPLAINED:
        listing = ", ".join(f"{e} {100 * x:.0f} %" for e, x in share.items())
        raise ImpossibleError(
            f"{', '.join(c.name for c in crystals)} explain {100 * near.mean():.0f} % of the ions "
            f"({listing}) by sites within {ON_SITE:g} Å; {100 * EXPLAINED:.0f} % of each element "
            "is the least. Name with --crystals every crystal the file is made of, as "
            "CsPbCl3,Cu2S,PbS where a layer of the parent was kept."
        )
    return round(float(near.mean()), 4)


def _wanted(
    numbers: IntArray,
    crystals: Sequence[Crystal],
    names: Sequence[str],
    formulas: Mapping[str, str],
) -> dict[tuple[int, int], int]:
    """Ions of each element in the domains whose formula is given, as `assign` takes them."""
    have, wanted = counts(numbers), {}
    kinds = [_kind(c) for c in crystals]
    for name, text in formulas.items():
        named = [i for i in range(len(names)) if name in (names[i], crystals[i].name, kinds[i])]
        if len(named) != 1:
            known = dict.fromkeys([*names, *(c.name for c in crystals), *kinds])
            raise InputError(f"--formula {name}={text}: no one domain; {nearest(name, known)}")
        asked = parse_formula(text)
        for element in {*have, *asked}:
            n = asked.get(element, 0)
            if n > have.get(element, 0):
                raise InputError(
                    f"--formula {name}={text} asks for {n} {element}; the file has "
                    f"{have.get(element, 0)}."
                )
            wanted[named[0], number(element)] = n
    _check_sum(have, names, wanted)
    return wanted


def _check_sum(
    have: Mapping[str, int], names: Sequence[str], wanted: Mapping[tuple[int, int], int]
) -> None:
    """Formulas of all domains must leave no ion over, of some they must not need too many."""
    given = {k for k, _ in wanted}
    for element, n in have.items():
        total = sum(m for (_, z), m in wanted.items() if z == number(element))
        if total > n or (len(given) == len(names) and total != n):
            raise InputError(f"The formulas given hold {total} {element}; the file has {n}.")


def _kind(crystal: Crystal) -> str:
    """What a crystal is called in speech, by its anions."""
    chalcogens = crystal.numbers[crystal.charges == -2]
    if (crystal.charges == -1).any():
        return "chalcohalide" if len(chalcogens) else "perovskite"
    names = {8: "oxide", 16: "sulfide", 34: "selenide", 52: "telluride"}
    return next((names[z] for z in chalcogens.tolist() if z in names), "other")


def _ligands(numbers: IntArray, crystals: Sequence[Crystal], found: Assignment) -> IntArray:
    """Role of each ion by its site: halides of a crystal that has none are ligands; (N,)."""
    bare = np.array([not (c.charges == -1).any() for c in crystals])
    halide = np.isin(numbers, [9, 17, 35, 53])
    role = np.where(bare[found.domain] & halide, Role.LIGAND, Role.LATTICE)
    return role.astype(np.int8)


def _ambiguous(
    numbers: IntArray, names: Sequence[str], found: Assignment, host: Sequence[int]
) -> list[dict[str, Any]]:
    """Ions whose domain is uncertain, with how far off they are from a site in each, Å."""
    one = np.array(host)
    extra = np.where(one[None] == one[found.domain][:, None], np.inf, found.extra)
    margin = extra.min(axis=1)
    most = max(LISTED, round(GROWTH * len(numbers) ** (2 / 3)))
    order = np.argsort(margin, kind="stable")[:most]
    return [
        {
            "index": int(i),
            "element": symbol(int(numbers[i])),
            "domain": names[one[found.domain[i]]],
            "residuals": {
                name: round(float(r), 3)
                for name, r in zip(names, found.residual[i], strict=True)
                if np.isfinite(r)
            },
        }
        for i in order
        if margin[i] < UNCERTAIN
    ]


def _repeats(positions: FloatArray, cell: FloatArray) -> tuple[bool, bool, bool]:
    """Along which cell vectors no vacuum parts the atoms."""
    fractional = np.sort(positions @ np.linalg.inv(cell) % 1.0, axis=0)
    gaps = np.diff(fractional, axis=0, append=fractional[:1] + 1.0).max(axis=0)
    heights = 1.0 / np.linalg.norm(np.linalg.inv(cell), axis=0)
    a, b, c = (gaps * heights < VACUUM).tolist()
    return a, b, c


def _closed_up(
    positions: FloatArray, cell: FloatArray, periodic: tuple[bool, bool, bool]
) -> FloatArray:
    """Across a vacuum in one piece, however the file wraps it."""
    fractional = positions @ np.linalg.inv(cell)
    for k in range(3):
        if not periodic[k]:
            x = np.sort(fractional[:, k] % 1.0)
            gap = np.diff(x, append=x[0] + 1.0)
            start = x[(int(gap.argmax()) + 1) % len(x)]
            fractional[:, k] = (fractional[:, k] - start + NOTHING) % 1.0 + start
    return np.asarray(fractional @ cell)


def _shifts(cell: FloatArray, periodic: tuple[bool, bool, bool]) -> FloatArray:
    """Images in the plane of the interface, none first. Of a superlattice the longest vector is
    taken for the stacking: along it the same crystal comes back out of step."""
    lengths = np.linalg.norm(cell, axis=1)
    used = [k for k in range(3) if periodic[k] and not (all(periodic) and k == lengths.argmax())]
    axes = [np.arange(-n, n + 1) for n in np.ceil(AROUND / lengths[used]).astype(int)]
    steps = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, len(used))
    order = np.argsort(np.abs(steps).sum(axis=1), kind="stable")
    return np.asarray(steps[order] @ cell[used])


def _conventionally_labelled(model: Model) -> Model:
    """Axes of each domain, of all symmetry-equivalent ones, that name the interface plainly.

    Positions alone fix axes only up to the point group. The plane's indices then fall in
    magnitude, and all but the last that is not zero are negative: (-2 1 0), (-4 -4 2), (1 0 0).
    """
    named: set[int] = set()
    for pair in meetings(model):
        found = measure_interface(model, pair)
        if found is None:
            continue
        for i, plane in zip(pair, found.planes, strict=True):
            if i not in named:  # of a domain between others the first interface counts
                model = _in_frame(model, i, _plainest(model.domains[i], plane))
            named.add(i)
    return model


def _in_frame(model: Model, index: int, domain: Domain) -> Model:
    """With another of the equivalent frames of a domain; sites stay where they are."""
    mine = np.flatnonzero((model.domain == index) & (model.site >= 0))
    ideal = model.domains[index].site_positions(model.site[mine], model.site_cell[mine])
    site, cell = model.site.copy(), model.site_cell.copy()
    site[mine], cell[mine], _ = domain.nearest_sites(ideal)
    domains = list(model.domains)
    domains[index] = domain
    return replace(model, domains=tuple(domains), site=site, site_cell=cell)


def _plainest(domain: Domain, plane: Plane) -> Domain:
    proper = domain.crystal.rotations[np.linalg.det(domain.crystal.rotations) > 0]
    labels = np.array(plane) @ proper
    best = max(range(len(proper)), key=lambda i: (_plainness(labels[i]), -i))
    vectors = proper[best].T @ domain.vectors
    crystal = domain.crystal
    corner = origin_of(crystal, vectors, domain.cartesian(domain.sites))
    return replace(
        domain, vectors=vectors, origin=corner + crystal.fractional[domain.datum] @ vectors
    )


def _plainness(hkl: IntArray) -> tuple[list[int], int]:
    """Larger is plainer."""
    nonzero = np.flatnonzero(hkl)
    sign = np.sign(hkl[nonzero])
    as_wanted = int((sign[:-1] < 0).sum() + (sign[-1] > 0))
    return np.abs(hkl).tolist(), as_wanted


def _charges(numbers: IntArray, crystals: Sequence[Crystal]) -> IntArray:
    charges = charges_of(numbers, crystals)
    unknown = [symbol(int(z)) for z in np.unique(numbers[charges == 0])]
    if unknown:
        raise InputError(
            f"No usual formal charge for {', '.join(unknown)}: these atoms are foreign. Where the "
            "file has the atoms of a model that hetbuild wrote, --like MODEL takes its labels."
        )
    return charges
