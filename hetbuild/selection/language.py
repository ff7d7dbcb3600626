"""The words a recipe says with which ions are meant, parsed once.

A selection is conditions joined by commas or "and"; "or" separates alternatives and binds least:

    anion, bonds <= 2, not interface within 4 Å
    site Pb1 and interior or at (0 0 1/2)
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import get_args

import numpy as np

from hetbuild.arrays import Plane
from hetbuild.elements import KINDS, KindName, number
from hetbuild.errors import HetbuildError, InputError, nearest
from hetbuild.indices import POINT, parse_plane, parse_vector

COMPARE: Mapping[str, np.ufunc] = {
    "<=": np.less_equal,
    ">=": np.greater_equal,
    "<": np.less,
    ">": np.greater,
    "=": np.equal,
}

PLACES = ("corner", "edge", "facet", "surface", "interior", "exposed")
"""Position classes."""

ROLES = ("lattice", "shared", "ligand", "compensation")
"""Roles of an atom in its model, as `Role`."""

EXAMPLES = (
    "an element, " + ", ".join(KINDS) + ", " + ", ".join(PLACES) + ", " + ", ".join(ROLES) + ", "
    "in sulfide, site Pb1, bonds <= 2, bonds to Pb <= 2, facet (1 1 1), facet {1 1 1}, "
    "depth 3 to 6 Å, interface within 6 Å, at (0 0 1/2)"
)
"""What a condition can be, for error texts."""


@dataclass(frozen=True, slots=True)
class Ion:
    """An element, or every element of a kind."""

    element: str = ""
    kind: KindName | None = None


@dataclass(frozen=True, slots=True)
class InDomain:
    """The ions of one domain."""

    name: str


@dataclass(frozen=True, slots=True)
class OnSite:
    """A site of the crystal, by its label."""

    label: str


@dataclass(frozen=True, slots=True)
class Place:
    """A position class."""

    name: str


@dataclass(frozen=True, slots=True)
class InRole:
    """What an atom is in its model."""

    name: str


@dataclass(frozen=True, slots=True)
class Bonds:
    """How many ions of opposite charge, or of one element of them, are bonded to it."""

    comparison: str
    count: int
    partner: str = ""


@dataclass(frozen=True, slots=True)
class Depth:
    """How deep below the surface, Å."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class NearInterface:
    """How far from the cations of another domain at most, Å."""

    distance: float


@dataclass(frozen=True, slots=True)
class OnFacet:
    """The outermost plane of a facet (hkl), or of any facet of a form {hkl}."""

    hkl: Plane
    form: bool


@dataclass(frozen=True, slots=True)
class At:
    """One site, by its offset from the domain's datum in conventional axes."""

    offset: tuple[float, float, float]


Condition = Ion | InDomain | OnSite | Place | InRole | Bonds | Depth | NearInterface | OnFacet | At


@dataclass(frozen=True, slots=True)
class Term:
    """A condition, or that it does not hold."""

    condition: Condition
    holds: bool
    text: str


@dataclass(frozen=True, slots=True)
class Selection:
    """Which ions are meant: those that meet every term of one of the alternatives."""

    alternatives: tuple[tuple[Term, ...], ...]
    text: str

    def __str__(self) -> str:
        return self.text


def parse_selection(text: str) -> Selection:
    """The selection a text says; empty: every ion.

    Raises
    ------
    InputError
        A condition is none; the text lists those there are.
    """
    # Commas inside brackets separate indices, not conditions.
    flat = re.sub(r"[({][^)}]*[)}]", lambda m: m[0].replace(",", " "), text)
    if not flat.strip():
        return Selection(((),), "")
    parts = [
        tuple(_term(t) for t in re.split(r"\s*,\s*|\s+and\s+", part.strip()))
        for part in re.split(r"\s+or\s+", flat)
    ]
    return Selection(tuple(parts), " ".join(text.split()))


def _term(text: str) -> Term:
    holds = not text.startswith("not ")
    plain = text.removeprefix("not ").strip()
    for pattern, make in FORMS:
        if found := re.fullmatch(pattern, plain):
            return Term(make(*found.groups()), holds, text)
    raise InputError(_unknown(plain))


def _unknown(text: str) -> str:
    words = [*KINDS, *PLACES, *ROLES]
    hint = nearest(text, words).partition("Known")[0] if re.fullmatch(r"[a-z]+", text) else ""
    hint = hint if hint.startswith("did") else ""
    return f"Selection: {text!r} is no condition; {hint or ''}conditions are {EXAMPLES}."


def _ion(word: str) -> Ion:
    if word in get_args(KindName):
        return Ion(kind=word)  # type: ignore[arg-type]  # narrowed by the line above
    try:
        number(word)
    except HetbuildError:
        raise InputError(_unknown(word)) from None
    return Ion(element=word)


def _number(text: str) -> float:
    try:
        return float(Fraction(text))
    except (ValueError, ZeroDivisionError):
        raise InputError(f"Selection: {text!r} is no number; write 0.5 or 1/2.") from None


def _bonds(partner: str | None, comparison: str, count: str) -> Bonds:
    if partner:
        number(partner)
    return Bonds(comparison, int(count), partner or "")


def _depth(comparison: str, distance: str) -> Depth:
    d = _number(distance)
    return Depth(-float("inf"), d) if comparison.startswith("<") else Depth(d, float("inf"))


def _facet(opening: str, indices: str) -> OnFacet:
    try:
        return OnFacet(parse_plane(indices), opening == "{")
    except ValueError as error:
        raise InputError(f"Selection: facet ({indices.strip()}): {error}.") from None


def _at(offset: str) -> At:
    try:
        return At(parse_vector(offset, POINT))
    except ValueError as error:
        raise InputError(f"Selection: at ({offset.strip()}): {error}.") from None


_LENGTH = r"([\d./]+)\s*(?:Å|A)?"

FORMS: tuple[tuple[str, Callable[..., Condition]], ...] = (
    (r"in (\S+)", InDomain),
    (r"site (\S+)", OnSite),
    (r"bonds\s*(?:to (\w+)\s*)?(<=|>=|<|>|=)\s*(\d+)", _bonds),
    (rf"depth\s*(<=|>=|<|>)\s*{_LENGTH}", _depth),
    (rf"depth {_LENGTH} to {_LENGTH}", lambda a, b: Depth(_number(a), _number(b))),
    (rf"interface within {_LENGTH}", lambda d: NearInterface(_number(d))),
    (r"facet\s*([({])([^)}]*)[)}]", _facet),
    (r"at\s*\(([^)]*)\)", _at),
    (r"(" + "|".join(PLACES) + ")", Place),
    (r"(" + "|".join(ROLES) + ")", InRole),
    (r"(\w+)", _ion),
)
"""Pattern of each kind of condition, and what makes it of the groups found; first match counts."""
