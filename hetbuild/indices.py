"""Planes and directions as people write them: of commands, recipes and selections alike.

``1 1 -1``, ``1,1,-1`` and ``11-1`` are the same; round brackets go around a plane, curly ones
around a form and square ones around a direction.
"""

from __future__ import annotations

import re

from hetbuild.arrays import Plane
from hetbuild.numerals import LARGEST_INDEX, parse_number

PLANE, FORM, DIRECTION, POINT = "(1 1 -1)", "{1 1 -1}", "[1 1 -1]", "(0 0 1/2)"
"""A plane, a form, a direction and a point as messages show them."""

_TOGETHER = re.compile(r"[+-]?\d[+-]?\d[+-]?\d", re.ASCII)
_ONE = re.compile(r"[+-]?\d", re.ASCII)
_WHOLE = re.compile(r"[+-]?\d{1,30}", re.ASCII)


def parse_plane(text: str, *, form: bool = False) -> Plane:
    """Indices (hkl) of ``1 1 -1``, ``(1 1 -1)`` or ``11-1``; of a form, also ``{1 1 -1}``.

    Raises
    ------
    ValueError
        It is no plane; the text says what is wrong.
    """
    parts = _parts(text, "(){}" if form else "()")
    if len(parts) != 3 or not all(_WHOLE.fullmatch(p) for p in parts):
        raise ValueError(
            f'three whole numbers are wanted, as "1 1 -1" or {FORM if form else PLANE}'
        )
    h, k, l = (int(p) for p in parts)  # noqa: E741 (Miller index)
    if max(abs(h), abs(k), abs(l)) > LARGEST_INDEX:
        raise ValueError(f"Miller indices are -{LARGEST_INDEX} to {LARGEST_INDEX}")
    if not (h or k or l):
        raise ValueError("(0 0 0) is no lattice plane")
    return h, k, l


def parse_vector(text: str, shown: str = DIRECTION) -> tuple[float, float, float]:
    """Components of ``0 0 1``, ``[1/2 1/2 0]`` or ``-110``, in conventional axes.

    shown: how a message writes one, `DIRECTION` or `POINT`; its brackets are those allowed.

    Raises
    ------
    ValueError
        It has no three numbers; the text says what is wrong.
    """
    parts = _parts(text, shown[0] + shown[-1])
    try:
        x, y, z = (parse_number(p) for p in parts)
    except ValueError:
        raise ValueError(f'three numbers are wanted, as "{shown[1:-1]}" or {shown}') from None
    return x, y, z


def _parts(text: str, brackets: str) -> list[str]:
    """The three numbers apart; of a text that is no triple, whatever it has."""
    plain = text.strip()
    for opening, closing in zip(brackets[::2], brackets[1::2], strict=True):
        if plain[:1] == opening and plain[-1:] == closing:
            plain = plain[1:-1].strip()
            break
    if _TOGETHER.fullmatch(plain):
        return _ONE.findall(plain)
    return plain.replace(",", " ").split()
