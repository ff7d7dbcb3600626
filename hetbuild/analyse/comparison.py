"""A comparison: what two models that are laid on each other tell, site by site."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from hetbuild.analyse.counterparts import counterparts, expansions, rms
from hetbuild.analyse.whereabouts import Whereabouts
from hetbuild.arrays import FloatArray, IntArray
from hetbuild.elements import counts, symbol
from hetbuild.frozen import Frozen, own
from hetbuild.geometry.pairing import pair
from hetbuild.notebook import to_table
from hetbuild.rounding import DIGITS

WORST = 5
"""Atoms listed of each part."""

IN_PLACE = 1.0
"""Å within which an atom of another element stands in the place of one: sites are farther apart."""


@dataclass(frozen=True)
class Displaced:
    """An atom and how far it moved."""

    index: int
    """In the first model."""
    partner: int
    """In the second."""
    element: str
    distance: float
    """Å."""


@dataclass(frozen=True)
class Unmatched:
    """An atom of one model that has no counterpart within 2 Å in the other."""

    index: int
    """In its own model."""
    element: str
    domain: str
    """Empty where the model has none."""
    group: str
    """``interface``, ``facet``, ``edge``, ``corner`` or ``inside``; empty where not known."""
    site: str
    """Lattice site with its cell, as ``Cs1 (2 0 -1)``; empty where not known."""


@dataclass(frozen=True, eq=False)
class Comparison(Frozen):
    """The second model laid on the first.

    Examples
    --------
    >>> import hetbuild as hb
    >>> cube = hb.build("cspbcl3-cube-2")
    >>> found = hb.compare(cube, cube)
    >>> round(found.rmsd, 6), list(found.by_part), found.missing
    (0.0, ['perovskite'], ())
    """

    rmsd: float
    """Root mean square distance of atoms and their counterparts, those within 2 Å, Å. Atoms without
    one did not move there: they are listed in `missing` and `added`."""
    rmsd_all: float
    """The same of all atoms paired one to one, whatever their distance, Å."""
    median: float
    """Of atoms and their counterparts, Å."""
    ninety: float
    """Distance that 90 % of these do not exceed, Å."""
    by_part: Mapping[str, float]
    """Rms by domain, or by element where there are no domains, Å; those of which no atom has a
    counterpart are left out."""
    by_element: Mapping[str, float]
    """Rms by element, Å; without those of which no atom has a counterpart."""
    expansion: Mapping[str, tuple[float, float]]
    """By part, how much larger it is in the second model, linear and dimensionless, and the rms
    distance of counterparts in Å that is left when its homogeneous strain is taken out."""
    largest: Mapping[str, tuple[Displaced, ...]]
    """By the same parts, the atoms that moved most, farthest first."""
    partner: IntArray
    """Atom of the second model for each of the first, all paired one to one as far as they go, -1
    where none is left, shape (N,)."""
    rotation: FloatArray
    """x_first = rotation @ x_second + shift; shape (3, 3)."""
    shift: FloatArray
    """Å, shape (3,)."""
    displacement: FloatArray
    """From each atom of the first model to its partner as laid on it, Å, zero where it has none,
    shape (N, 3)."""
    missing: tuple[Unmatched, ...] = ()
    """Atoms of the first without counterpart in the second."""
    added: tuple[Unmatched, ...] = ()
    """Atoms of the second without counterpart in the first."""
    replaced: tuple[tuple[Unmatched, Unmatched], ...] = ()
    """Of these, an atom of the first and the one of another element within 1 Å of its place."""
    surplus: tuple[Mapping[str, int], Mapping[str, int]] = field(default_factory=lambda: ({}, {}))
    """Atoms by element that only the first, and only the second, has more of."""

    def __post_init__(self) -> None:
        for array in (self.partner, self.rotation, self.shift, self.displacement):
            own(array)

    def __repr__(self) -> str:
        return (
            f"<Comparison: rmsd {self.rmsd:.4f} Å, {len(self.missing)} sites of the first and "
            f"{len(self.added)} of the second without counterpart>"
        )

    def _repr_html_(self) -> str:
        """What a notebook shows: distances as a whole, by domain and by element."""
        rows = [
            ("rms", f"{self.rmsd:.4f} Å"),
            ("median", f"{self.median:.4f} Å"),
            ("90 % within", f"{self.ninety:.4f} Å"),
            *((name, f"{part:.4f} Å") for name, part in self.by_part.items()),
            *((name, f"{part:.4f} Å") for name, part in self.by_element.items()),
            ("missing", str(len(self.missing))),
            ("added", str(len(self.added))),
        ]
        return to_table("Distances of atoms and their counterparts", rows)

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "rmsd": self.rmsd,
            "rmsd_all": self.rmsd_all,
            "median": self.median,
            "ninety_per_cent": self.ninety,
            "by_part": dict(self.by_part),
            "by_element": dict(self.by_element),
            "expansion": {name: list(values) for name, values in self.expansion.items()},
            "largest": {name: [asdict(d) for d in part] for name, part in self.largest.items()},
            "missing": [asdict(u) for u in self.missing],
            "added": [asdict(u) for u in self.added],
            "replaced": [[old.index, new.index] for old, new in self.replaced],
            "surplus": [dict(s) for s in self.surplus],
            "rotation": self.rotation.tolist(),
            "shift": self.shift.tolist(),
        }


def comparison(
    numbers: IntArray,
    others: IntArray,
    positions: tuple[FloatArray, FloatArray],
    partner: IntArray,
    motion: tuple[FloatArray, FloatArray],
    parts: Mapping[str, IntArray] | None,
    where: tuple[Whereabouts | None, Whereabouts | None],
) -> Comparison:
    """From pairs and positions, those of the second laid on the first."""
    a, b = positions
    elements = {symbol(int(z)): np.flatnonzero(numbers == z) for z in np.unique(numbers)}
    groups = {name: atoms for name, atoms in (parts or elements).items() if len(atoms)}
    near = counterparts(numbers, others, positions, groups if parts else None)
    lost, alone = _without_counterpart(near, len(b))
    if len(lost) == len(near):  # nothing stands where it stood: what can be given is all pairs
        near = partner
    met, apart = near >= 0, _distance(a, b, near)
    elements = {name: atoms for name, atoms in elements.items() if met[atoms].any()}
    groups = {name: atoms for name, atoms in groups.items() if met[atoms].any()}
    missing, added = _unmatched(numbers, lost, where[0]), _unmatched(others, alone, where[1])
    return Comparison(
        rmsd=rms(apart),
        rmsd_all=rms(_distance(a, b, partner)),
        median=float(np.nanmedian(apart)),
        ninety=float(np.nanquantile(apart, 0.9)),
        by_part={name: rms(apart[atoms]) for name, atoms in groups.items()},
        by_element={name: rms(apart[atoms]) for name, atoms in elements.items()},
        expansion=expansions(a, b, near, groups),
        largest={name: _worst(numbers, apart, near, atoms) for name, atoms in groups.items()},
        partner=partner,
        rotation=motion[0],
        shift=motion[1],
        displacement=_displacement(a, b, partner),
        missing=missing,
        added=added,
        replaced=_replaced(missing, added, a[lost], b[alone]),
        surplus=_surplus(numbers, others),
    )


def _displacement(a: FloatArray, b: FloatArray, partner: IntArray) -> FloatArray:
    """From each of a to its partner in b, Å, zero where it has none, shape (N, 3)."""
    paired = np.flatnonzero(partner >= 0)
    displacement = np.zeros_like(a)
    displacement[paired] = b[partner[paired]] - a[paired]
    return displacement


def _distance(a: FloatArray, b: FloatArray, partner: IntArray) -> FloatArray:
    """Of each of a to its partner in b, Å, NaN where it has none, shape (N,)."""
    apart = np.linalg.norm(_displacement(a, b, partner), axis=1)
    return np.where(partner >= 0, apart, np.nan)


def _without_counterpart(near: IntArray, others: int) -> tuple[IntArray, IntArray]:
    """Atoms of the first that have none, and of so many others those that are none."""
    return np.flatnonzero(near < 0), np.setdiff1d(np.arange(others), near[near >= 0])


def _replaced(
    missing: tuple[Unmatched, ...], added: tuple[Unmatched, ...], a: FloatArray, b: FloatArray
) -> tuple[tuple[Unmatched, Unmatched], ...]:
    """What stands in the place of what: exchanged ions, to a chemist."""
    if not len(a) or not len(b):
        return ()
    near = pair(a, b, IN_PLACE)
    pairs = [(missing[i], added[near[i]]) for i in np.flatnonzero(near >= 0)]
    return tuple((old, new) for old, new in pairs if old.element != new.element)


def _surplus(numbers: IntArray, others: IntArray) -> tuple[dict[str, int], dict[str, int]]:
    """Atoms by element that only the first, and only the second, has more of."""
    have, wanted = Counter(counts(numbers)), Counter(counts(others))
    return dict(have - wanted), dict(wanted - have)


def _worst(
    numbers: IntArray, distance: FloatArray, partner: IntArray, atoms: IntArray
) -> tuple[Displaced, ...]:
    paired = atoms[partner[atoms] >= 0]
    order = paired[np.argsort(-np.round(distance[paired], DIGITS), kind="stable")[:WORST]]
    return tuple(
        Displaced(int(i), int(partner[i]), symbol(int(numbers[i])), float(distance[i]))
        for i in order
    )


def _unmatched(
    numbers: IntArray, atoms: IntArray, where: Whereabouts | None
) -> tuple[Unmatched, ...]:
    return tuple(
        Unmatched(
            int(i),
            symbol(int(numbers[i])),
            "" if where is None else str(where.domain[i]),
            "" if where is None else str(where.group[i]),
            "" if where is None else str(where.site[i]),
        )
        for i in atoms
    )
