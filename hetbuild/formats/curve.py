"""Curves as columns of text: measured patterns read, computed ones written."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TextIO

import numpy as np

from hetbuild.arrays import FloatArray
from hetbuild.errors import InputError
from hetbuild.library import check_file

COMMENTS = ("#", "!", ";", "%", "/", "'", '"', "*")
"""What lines without data begin with, in the exports of diffractometers."""

FEWEST = 10
"""Points of a pattern."""


def read_curve(path: Path) -> tuple[FloatArray, FloatArray, FloatArray | None]:
    """A measured curve: x, y and, from a third column, the standard deviation of y; shape (M,).

    Columns are parted by blanks, tabs, commas or semicolons. Lines that begin with a sign of
    comment are passed over, and so are words before the first line of numbers.

    Raises
    ------
    InputError
        The file cannot be read, a line is no row of two or three numbers like the first, x does not
        rise or fall throughout, or there are fewer than 10 points.
    """
    rows = _rows(path, _text(path))
    if len(rows) < FEWEST:
        raise InputError(
            f"{path} holds {len(rows)} rows of two or three numbers, 2 theta, intensity and its "
            f"standard deviation; a pattern takes at least {FEWEST}."
        )
    numbers = np.array([row for _, row in rows])
    if numbers[0, 0] > numbers[-1, 0]:
        rows, numbers = rows[::-1], numbers[::-1]
    wrong = np.flatnonzero(np.diff(numbers[:, 0]) <= 0.0)
    if len(wrong):
        number, row = rows[int(wrong[0]) + 1]
        raise InputError(
            f"{path}, line {number}: {row[0]:g} does not follow {numbers[wrong[0], 0]:g}; the "
            "first column must be 2 theta, rising throughout."
        )
    if not np.ptp(numbers[:, 1]) > 0.0:
        raise InputError(f"{path}: all intensities are {numbers[0, 1]:g}; there is no pattern.")
    sigma = numbers[:, 2] if numbers.shape[1] == 3 and (numbers[:, 2] > 0.0).all() else None
    return numbers[:, 0], numbers[:, 1], sigma


def write_curves(
    x: tuple[str, FloatArray], curves: Mapping[str, FloatArray], stream: TextIO
) -> None:
    """Comma-separated columns under their names: x, then each curve; shape (X,) each."""
    stream.write(",".join([x[0], *curves]) + "\n")
    _write(x[1], list(curves.values()), stream, ",")


def write_xy(title: str, x: FloatArray, y: FloatArray, stream: TextIO) -> None:
    """Two columns under a line of comment, as other programs read them; x, y: shape (X,)."""
    stream.write(f"# {title}\n")
    _write(x, [y], stream, " ")


def _write(x: FloatArray, curves: list[FloatArray], stream: TextIO, between: str) -> None:
    for row in np.column_stack([x, *curves]).tolist():
        stream.write(between.join([f"{row[0]:.6g}", *(f"{v:.8g}" for v in row[1:])]) + "\n")


def _text(path: Path) -> str:
    check_file(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.") from None
    if b"\0" in content or content.lstrip()[:1] == b"<":
        raise InputError(
            f"{path} is no columns of text: export the pattern as xy, 2 theta and intensity."
        )
    # Names and degree signs in comments come in all encodings; numbers are ASCII in each.
    return content.decode("utf-8", errors="replace").lstrip("\ufeff")


def _rows(path: Path, text: str) -> list[tuple[int, list[float]]]:
    """Line number and numbers of each row."""
    rows: list[tuple[int, list[float]]] = []
    for number, line in enumerate(text.splitlines(), start=1):
        stripped = line.strip()
        if not stripped or stripped.startswith(COMMENTS):
            continue
        row = _numbers(stripped)
        if row is None and not rows:
            continue  # the head of the table
        if row is None or len(row) != (len(rows[0][1]) if rows else len(row)):
            shown = stripped[:40]
            raise InputError(
                f"{path}, line {number}: {shown!r} is not {len(rows[0][1])} numbers like the rows "
                "before it: 2 theta, intensity and perhaps its standard deviation."
            )
        rows.append((number, row))
    return rows


def _numbers(line: str) -> list[float] | None:
    """Two or three finite numbers; None where a line is anything else."""
    try:
        row = [float(word) for word in re.split(r"\s*[,;]\s*|\s+", line.rstrip(",;"))]
    except ValueError:
        return None
    return row if len(row) in (2, 3) and np.isfinite(row).all() else None
