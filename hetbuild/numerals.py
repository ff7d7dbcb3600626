"""Numbers as people write them, within what a model of atoms can mean."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

LARGEST = 1e6
"""No length in Å, plane index, energy in Ry or strain in % that means anything is larger."""

LARGEST_INDEX = 999
"""Of a Miller index; planes of higher ones are nearer than 0.01 Å to each other."""

MOST_CHARGE = 9
"""e, of a formal charge, either sign: +8 in OsO4, +9 in IrO4+."""

_DECIMAL = re.compile(r"[+-]?(\d{1,30}(\.\d{0,30})?|\.\d{1,30})([eE][+-]?\d{1,3})?", re.ASCII)
_FRACTION = re.compile(r"([+-]?\d{1,15})\s*/\s*(\d{1,15})", re.ASCII)


def parse_number(text: str) -> float:
    """The value of ``0.125``, ``1e-3`` or ``1/8``.

    Raises
    ------
    ValueError
        It is none of these, or beyond `LARGEST`.
    """
    given = text.strip()
    if fraction := _FRACTION.fullmatch(given):
        below = int(fraction[2])
        value = int(fraction[1]) / below if below else float("nan")
    elif _DECIMAL.fullmatch(given):
        value = float(given)
    else:
        value = float("nan")
    return limited(value)


def limited(value: float) -> float:
    """The value, if it is a number and not beyond `LARGEST`.

    Raises
    ------
    ValueError
        It is not.
    """
    if not -LARGEST <= value <= LARGEST:  # nor is NaN
        raise ValueError(f"no number between -{LARGEST:,.0f} and {LARGEST:,.0f}")
    return value


def rounded(value: Any, decimals: int, digits: int = 15) -> Any:
    """Plain values with every real number in them rounded, zero without a sign.

    decimals: after the point. digits: at most so many in all. Those beyond what means anything
    depend on how the processor adds up, and files should not.
    """
    if isinstance(value, float):
        before = len(f"{abs(value):.0f}") if math.isfinite(value) else 0
        return round(value, min(decimals, digits - before)) + 0.0
    if isinstance(value, Mapping):
        return {key: rounded(v, decimals, digits) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(v, decimals, digits) for v in value]
    return value
