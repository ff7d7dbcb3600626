"""Columns of text for many atoms at once, written and read as arrays of characters.

Every column has one width, so that a file of a million atoms is one array of bytes: digits are made
and read by arithmetic on whole columns, names by look-up, never one atom at a time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import Any

import numpy as np
import numpy.typing as npt

from hetbuild.arrays import FloatArray, IntArray
from hetbuild.errors import InputError

Characters = npt.NDArray[np.uint8]
"""Text of one column, ASCII, shape (N, width)."""

DECIMALS = 8
"""Of a real number."""

LARGEST = 9e6
"""Largest real number written; with 8 decimals it still is exact in double precision."""

SPACE, NEWLINE, ZERO, MINUS, POINT = (ord(c) for c in " \n0-.")

ROWS = 100_000
"""Atoms written at a time."""

READ = 16_384
"""Atoms read at a time, so that what is worked on stays in the processor's cache."""


def width_of(values: FloatArray | IntArray) -> int:
    """Characters that the widest of these numbers takes; one width for all chunks of a file."""
    ends = (values.min(initial=0), values.max(initial=0))
    if np.issubdtype(values.dtype, np.integer):
        return max(len(str(int(x))) for x in ends)
    return max(len(f"{round(float(x), DECIMALS) + 0.0:.{DECIMALS}f}") for x in ends)


def numbers(values: FloatArray | IntArray, width: int) -> Characters:
    """Real or whole numbers by their type, shape (N,)."""
    if np.issubdtype(values.dtype, np.integer):
        return integers(values.astype(np.int64), width)
    return reals(values.astype(np.float64), width)


def reals(values: FloatArray, width: int = 0) -> Characters:
    """Numbers with 8 decimals, right-aligned, zero without a sign.

    values: shape (N,); width: at least so many characters each.

    Raises
    ------
    InputError
        A number is not finite or larger than 9e6.
    """
    if not (np.abs(values) <= LARGEST).all():
        raise InputError(
            f"A position is not finite or beyond {LARGEST:g} Å, which no file keeps exactly."
        )
    # The tenth decimal, not the last bits, says where a 5 in the ninth goes.
    scaled = np.rint(np.round(values * 10.0**DECIMALS, 2)).astype(np.int64)
    digits = _digits(np.abs(scaled), least=DECIMALS + 1)
    whole = digits.shape[1] - DECIMALS
    text = np.full((len(values), digits.shape[1] + 2), SPACE, dtype=np.uint8)
    text[:, 1 : whole + 1] = digits[:, :whole]
    text[:, whole + 1] = POINT
    text[:, whole + 2 :] = np.where(digits[:, whole:] == SPACE, ZERO, digits[:, whole:])
    # Between sign and point at least one digit: 0.5, not .5.
    text[:, whole] = np.where(text[:, whole] == SPACE, ZERO, text[:, whole])
    return _signed(text, scaled < 0, width)


def integers(values: IntArray, width: int = 0) -> Characters:
    """Whole numbers, right-aligned. values: shape (N,); width: at least so many characters."""
    whole = values.astype(np.int64)
    digits = _digits(np.abs(whole), least=1)
    text = np.hstack([np.full((len(whole), 1), SPACE, dtype=np.uint8), digits])
    return _signed(text, whole < 0, width)


def words(index: IntArray, table: Sequence[str]) -> Characters:
    """Names from a table, left-aligned. index: shape (N,)."""
    width = max((len(w) for w in table), default=1)
    letters = np.frombuffer(
        "".join(w.ljust(width) for w in table).encode("ascii"), dtype=np.uint8
    ).reshape(len(table), width)
    return np.asarray(letters[index])


def joined(columns: Sequence[Characters]) -> str:
    """Lines of columns a space apart, each ended."""
    rows = len(columns[0])
    gap = np.full((rows, 1), SPACE, dtype=np.uint8)
    end = np.full((rows, 1), NEWLINE, dtype=np.uint8)
    parts = [part for column in columns for part in (column, gap)]
    return np.hstack([*parts[:-1], end]).tobytes().decode("ascii")


def rows(form: str, *values: Iterable[Any]) -> Iterator[str]:
    """Text of one row after the other, of formats whose columns have no fixed width.

    form: what % makes a row of; values: those of each of its places, as many as there are rows.
    """
    columns = [v.tolist() if isinstance(v, np.ndarray) else v for v in values]
    whole = zip(*columns, strict=False)
    while part := tuple(chain.from_iterable(islice(whole, ROWS))):
        yield form * (len(part) // len(columns)) % part


def chunks(total: int, size: int = ROWS) -> Iterator[slice]:
    """Slices that a table of so many rows is written in."""
    return (slice(start, start + size) for start in range(0, total, size))


def split(text: bytes, rows: int) -> list[Characters] | None:
    """Columns of equally long lines; None where the lines differ or the columns run together."""
    if rows < 1 or not text or len(text) % rows:
        return None
    block = np.frombuffer(text, dtype=np.uint8).reshape(rows, -1)
    used = np.zeros(block.shape[1] - 1, dtype=bool)
    for part in chunks(rows, READ):
        lines = block[part]
        if not (lines[:, -1] == NEWLINE).all() or (lines[:, :-1] == NEWLINE).any():
            return None
        used |= (lines[:, :-1] != SPACE).any(axis=0)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], used, [False]]).astype(np.int8)))
    found = [block[:, a:b] for a, b in zip(edges[::2], edges[1::2], strict=True)]
    # A space inside a column would be a gap that only some rows have.
    whole = all(_unbroken(column[part]) for column in found for part in chunks(rows, READ))
    return found if whole else None


def read_reals(column: Characters) -> FloatArray | None:
    """Numbers of a column of `reals`, exactly; None where it is another kind, shape (N,)."""
    parts = chunks(len(column), READ)
    point = np.logical_and.reduce([(column[part] == POINT).all(axis=0) for part in parts])
    if point.sum() != 1 or column.shape[1] > 18:
        return None
    whole = read_integers(column[:, ~point])
    decimals = column.shape[1] - 1 - int(np.flatnonzero(point)[0])
    # Both are exact in double precision, so the quotient is the nearest number to the text.
    return None if whole is None else whole / 10.0**decimals


def read_integers(column: Characters) -> IntArray | None:
    """Whole numbers of a column; None where it is another kind, shape (N,)."""
    values = np.empty(len(column), dtype=np.int64)
    for part in chunks(len(column), READ):
        found = _read_part(column[part])
        if found is None:
            return None
        values[part] = found
    return values


def _read_part(column: Characters) -> IntArray | None:
    """Whole numbers of some rows of a column."""
    places = np.ascontiguousarray(column.T)  # one place after the other is read
    digit = places - np.uint8(ZERO)  # wraps round to large numbers below the zero
    is_digit, minus = digit <= 9, places == MINUS
    if not (is_digit | minus | (places == SPACE)).all():
        return None
    if (minus.sum(axis=0) > 1).any() or not is_digit[-1].all():
        return None
    digit[~is_digit] = 0
    value = np.zeros(len(column), dtype=np.int64)
    for place in digit:
        value *= 10
        value += place
    return np.where(minus.any(axis=0), -value, value)


def read_words(column: Characters) -> tuple[IntArray, list[str]]:
    """Index of each name, shape (N,), and the names."""
    width = -(-column.shape[1] // 8) * 8
    padded = np.full((len(column), width), SPACE, dtype=np.uint8)
    padded[:, : column.shape[1]] = column
    lanes = padded.view(np.uint64)
    if lanes.shape[1] == 1:
        _, first, index = np.unique(lanes[:, 0], return_index=True, return_inverse=True)
    else:
        _, first, index = np.unique(lanes, axis=0, return_index=True, return_inverse=True)
    names = [column[i].tobytes().decode("ascii").strip() for i in first]
    return index.ravel(), names


def _digits(values: npt.NDArray[np.int64], least: int) -> Characters:
    """Decimal digits, leading zeros as spaces; at least so many columns. values: not negative."""
    width = max(least, len(str(int(values.max(initial=0)))))
    text = np.empty((len(values), width), dtype=np.uint8)
    left = values.copy()
    for place in range(width - 1, -1, -1):
        left, digit = np.divmod(left, 10)
        text[:, place] = digit + ZERO
    leading = np.cumsum(text != ZERO, axis=1) == 0
    leading[:, -1] = False
    text[leading] = SPACE
    return text


def _signed(text: Characters, negative: npt.NDArray[np.bool_], width: int) -> Characters:
    """A minus in front of the first character, for which the first column must be free."""
    rows = np.flatnonzero(negative)
    first = (text[rows] != SPACE).argmax(axis=1)
    text[rows, first - 1] = MINUS
    used = (text != SPACE).any(axis=0)
    text = text[:, int(used.argmax()) :]
    missing = max(0, width - text.shape[1])
    return np.pad(text, ((0, 0), (missing, 0)), constant_values=SPACE)


def _unbroken(column: Characters) -> bool:
    """No row has a space between two characters."""
    filled = column != SPACE
    starts = filled[:, 0].astype(int) + (np.diff(filled.astype(np.int8), axis=1) == 1).sum(axis=1)
    return bool((starts == 1).all())
