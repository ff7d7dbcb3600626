"""From a match to a recipe: two half particles that meet along the planes found."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from itertools import product
from math import gcd

import numpy as np

from hetbuild.arrays import FloatArray, Plane
from hetbuild.crystal import lattice
from hetbuild.crystal.crystal import Crystal
from hetbuild.crystal.lattice import Coincidence, plane_label
from hetbuild.crystal.planes import PlaneLabel
from hetbuild.crystal.terminations import Termination
from hetbuild.elements import USUAL_CHARGES, counts, symbol
from hetbuild.errors import InputError
from hetbuild.geometry.contacts import Floors, floors_of
from hetbuild.matching.bicrystal import bicrystal
from hetbuild.matching.matches import Match
from hetbuild.matching.registry import Minimum, scan
from hetbuild.names import safe_name
from hetbuild.rounding import ALIKE, DIGITS

SLACK = 0.4
"""Å to either side of the registry found within which a build of the recipe searches its own."""

GAP_SLACK = (0.8, 2.0)
"""Å below and above the gap found within which a build searches its own: particles are not
strained, and do not fit everywhere."""


OPEN_GAP = (0.5, 5.0)
"""Å, the gaps a build searches where the scan found no minimum."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """A match with everything that makes a model of it."""

    match: Match
    crystals: tuple[Crystal, Crystal]
    sources: tuple[str, str]
    """Shipped name or CIF path of each crystal, as a recipe names it."""
    terminations: tuple[tuple[Termination, ...], tuple[Termination, ...]]
    """All there are."""
    chosen: tuple[int, int]
    """Which of them face each other."""
    registry: Minimum
    sizes: tuple[float, float]
    """Of each particle before the cut: edge of the cube of the same volume, Å."""


def propose(
    match: Match,
    crystals: tuple[Crystal, Crystal],
    sources: tuple[str, str],
    *,
    sizes: tuple[float, float] = (30.0, 30.0),
    chosen: tuple[int, int] | None = None,
) -> Proposal:
    """Choose terminations and registry for a match.

    chosen: as in `registry.scan`.

    Raises
    ------
    InputError
        A size that is not positive or too small, or no such termination.
    ImpossibleError
        A crystal without ions.
    """
    for crystal, size in zip(crystals, sizes, strict=True):
        if not 0 < size < np.inf:
            raise InputError(f"The size of {crystal.name} must be above 0 Å; given {size:g}.")
        cell = abs(float(np.linalg.det(crystal.vectors)))
        if size**3 < 4 * cell / _formula_units(crystal):
            raise InputError(
                f"A {crystal.name} particle of {size:g} Å holds less than four formula units; "
                "take a larger --size."
            )
    both, found = scan(match, crystals, chosen)
    first, second = (t.index(c) for t, c in zip(both, found.terminations, strict=True))
    return Proposal(match, crystals, sources, both, (first, second), found.minima[0], sizes)


def _formula_units(crystal: Crystal) -> int:
    return gcd(*counts(crystal.numbers).values())


def recipe_text(proposal: Proposal) -> str:
    """The recipe as TOML."""
    return "\n".join(_lines(proposal)) + "\n"


def _lines(p: Proposal) -> Iterator[str]:
    names = _names(p.crystals)
    planes = p.match.planes
    title = " || ".join(
        f"{c.name} {plane_label(q.asked)}" for c, q in zip(p.crystals, planes, strict=True)
    )
    yield "# Proposed by `hetbuild match`. Directions and mismatch of the coincidence cell:"
    for pair in p.match.cell:
        yield f"#   {_mismatch(pair)}"
    energy, gap = p.registry.energy, p.registry.gap
    if p.registry.bound:
        yield f"# Registry of {energy:.4f} eV/Å², gap {gap:.2f} Å: formal charges, rigid crystals."
    else:
        yield "# The ionic energy of these rigid faces has no minimum: the build searches the gap."
    yield f"name = {json.dumps(safe_name('-'.join([*names, *map(_digits, planes)])))}"
    yield f"title = {json.dumps(title, ensure_ascii=False)}"
    for i, name in enumerate(names):
        yield ""
        yield from _domain(p, i, name)
    yield ""
    yield from _join(p, names)
    yield ""
    yield from _balance(p, names)


def _mismatch(pair: Coincidence) -> str:
    first, second = pair.labels
    a, b = pair.lengths
    return f"{first} {a:.3f} Å || {second} {b:.3f} Å, {100 * pair.mismatch:+.2f} %"


def _names(crystals: tuple[Crystal, Crystal]) -> tuple[str, str]:
    first, second = (re.sub(r"[^a-z0-9_-]+", "-", c.name.lower()) for c in crystals)
    return (first, second) if first != second else (f"{first}-1", f"{second}-2")


def _digits(label: PlaneLabel) -> str:
    return "".join(str(abs(i)) for i in label.asked)


def _domain(p: Proposal, i: int, name: str) -> Iterator[str]:
    crystal, plane = p.crystals[i], p.match.planes[i]
    chosen = p.terminations[i][p.chosen[i]]
    scale = plane.scale
    listed = p.terminations[i]
    kind = "polar" if all(t.polar for t in listed) else "not polar"
    yield f"# {crystal.name} {plane_label(plane.asked)} is {kind}. Its terminations: plane index,"
    yield "# outermost layer, charge of it and dipole of the repeat behind it per surface cell;"
    yield "# the chosen one is marked."
    for t in listed:
        mark = ">" if t is chosen else " "
        ions = f"{t.formula:12s} {t.charge:+d} e {t.dipole:+9.3f} e Å"
        yield f"# {mark} {t.index * scale:8.4f}  {ions}"
    yield f"[domains.{name}]"
    # A basic string of TOML is a string of JSON.
    yield f"crystal = {json.dumps(p.sources[i], ensure_ascii=False)}"
    if unusual := _unusual_charges(crystal):
        yield f"charges = {{ {unusual} }}"
    yield "facets = ["
    for form, distance in morphology(crystal, p.sizes[i]):
        yield f"    {{ form = {list(form)}, distance = {distance:.3f} }},"
    yield "]"
    keep, at = ("above", "below")[i], _number(chosen.index * scale)
    yield f'cut = {{ plane = {list(plane.asked)}, keep = "{keep}", at = {at} }}'
    # Before the cut, so that the outermost layer of the interface stays.
    yield "trim = { fewer_than = 2, before_cut = true }"


def _unusual_charges(crystal: Crystal) -> str:
    """Charges the build would not know by itself, in TOML."""
    own = {e: crystal.charge_of(e) for e in counts(crystal.numbers)}
    told = {e: q for e, q in own.items() if q != USUAL_CHARGES.get(e)}
    return ", ".join(f"{e} = {q}" for e, q in told.items() if any(own.values()))


def _join(p: Proposal, names: tuple[str, str]) -> Iterator[str]:
    sides = bicrystal(p.match, p.crystals)
    anchors = []
    for i, side in enumerate(sides):
        level = p.terminations[i][p.chosen[i]].index * side.repeat
        # The second crystal is moved by the shift, so the point that meets the first lies back.
        x, y = (0.0, 0.0) if i == 0 else (-p.registry.shift[0], -p.registry.shift[1])
        anchors.append(np.array([x, y, level]) @ np.linalg.inv(side.frame))
    along, across = p.match.cell
    # Faces that do not bind in the scan are brought together by the search of the build.
    low, high = (
        (max(0.0, p.registry.gap - GAP_SLACK[0]), p.registry.gap + GAP_SLACK[1])
        if p.registry.bound
        else OPEN_GAP
    )
    yield "[join]"
    yield f"along = {_pair(names, [along.first.uvw, along.second.uvw])}"
    yield f"across = {_pair(names, [across.first.uvw, across.second.uvw])}"
    yield f"anchor = {_pair(names, anchors)}"
    yield from _floors(p.crystals)
    yield (
        f"registry.window = {{ along = {SLACK}, across = {SLACK}, gap = [{low:.2f}, {high:.2f}] }}"
    )


def _floors(crystals: tuple[Crystal, Crystal]) -> Iterator[str]:
    """Contacts to keep, where crystals have shorter ones than lead halides and sulfides."""
    own = floors_of(*crystals)
    if own != Floors():
        least = {f.name: np.floor(100 * getattr(own, f.name)) / 100 for f in fields(own)}
        yield "# Contacts to keep: 0.95 of the shortest in the crystals, which have short ones."
        written = ", ".join(f"{name} = {value:g}" for name, value in least.items())
        yield f"floors = {{ {written} }}"


def _pair(names: tuple[str, str], vectors: Sequence[Sequence[float] | FloatArray]) -> str:
    written = (
        f"{name} = [{', '.join(_number(float(x)) for x in v)}]"
        for name, v in zip(names, vectors, strict=True)
    )
    return "{ " + ", ".join(written) + " }"


def _number(value: float) -> str:
    return f"{round(value, 6) + 0.0:g}" if float(value).is_integer() else f"{value + 0.0:.6f}"


def _balance(p: Proposal, names: tuple[str, str]) -> Iterator[str]:
    yield "[balance]"
    yield "moves = ["
    for crystal, name in zip(p.crystals, names, strict=True):
        for z in np.unique(crystal.numbers):
            yield (
                f'    {{ action = "remove", element = "{symbol(int(z))}", domain = "{name}", '
                "least_bonded_first = true },"
            )
    yield "]"


def morphology(crystal: Crystal, size: float) -> list[tuple[Plane, float]]:
    """Forms of a free particle and their distances from its centre, Å.

    After Bravais, Friedel, Donnay and Harker (Am. Mineral. 22, 446 (1937)): the wider the spacing
    of the planes that reflect, the nearer the facet. Of the forms with indices up to 1, those that
    appear. size: edge of the cube of the same volume, Å.
    """
    from scipy.spatial import ConvexHull

    distance = {h: 1.0 / _reflecting_spacing(crystal, h) for h in _low_forms(crystal)}
    planes, corners = _polyhedron(crystal, distance)
    scale = size / ConvexHull(corners).volume ** (1 / 3)
    shown = {
        h
        for h, normal in planes
        if _spans_facet(corners[np.abs(corners @ normal - distance[h]) < ALIKE * distance[h]])
    }
    ordered = sorted(shown, key=lambda h: (round(distance[h], DIGITS), [-i for i in h]))
    return [(h, scale * distance[h]) for h in ordered]


def _reflecting_spacing(crystal: Crystal, hkl: Plane) -> float:
    """d of the lowest order of (hkl) that centring, glide planes and screw axes leave, Å."""
    labels = np.array(crystal.labels)
    for order in range(1, 7):
        phase = np.exp(2j * np.pi * order * (crystal.fractional @ np.array(hkl)))
        if any(abs(phase[labels == label].sum()) > ALIKE for label in set(crystal.labels)):
            return crystal.spacing(hkl) / order
    return crystal.spacing(lattice.primitive_plane(crystal.primitive, hkl))


def _low_forms(crystal: Crystal) -> list[Plane]:
    found: dict[Plane, None] = {}
    for hkl in product((-1, 0, 1), repeat=3):
        if any(hkl):
            a, b, c = max(map(tuple, crystal.equivalent_planes(hkl).tolist()))
            found[a, b, c] = None
    return list(found)


def _polyhedron(
    crystal: Crystal, distance: dict[Plane, float]
) -> tuple[list[tuple[Plane, FloatArray]], FloatArray]:
    """Form and unit normal of every facet, and all corners, shape (c, 3)."""
    from scipy.spatial import HalfspaceIntersection

    planes = [
        (h, lattice.plane_normal(crystal.vectors, facet))
        for h in distance
        for facet in crystal.equivalent_planes(h).tolist()
    ]
    spaces = np.array([[*normal, -distance[h]] for h, normal in planes])
    return planes, HalfspaceIntersection(spaces, np.zeros(3)).intersections


def _spans_facet(corners: FloatArray) -> bool:
    """Three corners that are not one: what only touches an edge or a corner is no facet."""
    if len(corners) < 3:
        return False
    extent = float(np.ptp(corners, axis=0).max())
    return bool(np.linalg.matrix_rank(corners - corners[0], tol=ALIKE + 1e-3 * extent) == 2)
