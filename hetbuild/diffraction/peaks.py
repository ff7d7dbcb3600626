"""Maxima of a powder pattern, the Bragg lines nearest to them, and their widths."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from hetbuild.arrays import FloatArray, Plane
from hetbuild.diffraction.bragg import BraggLines

PROMINENCE = 0.04
"""Fraction of the highest maximum below which a maximum is ignored: the ripples between the lines
of a finite particle stay below it."""

WEAK = 0.1
"""Fraction of a line's intensity below which a neighbouring line does not affect its width."""

LINE_FLOOR = 2.0
"""% of the strongest line of its phase a line must have to name a maximum."""

LINE_REACH = 1.0
"""Degrees within which a line names a maximum."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a bulk phase."""

    phase: str
    """The crystal's name."""
    hkl: Plane
    two_theta: float
    """Degrees."""


@dataclass(frozen=True, slots=True)
class Peak:
    """A maximum of a powder pattern."""

    two_theta: float
    """Degrees."""
    spacing: float
    """d in Å, by Bragg's law at the mean wavelength."""
    height: float
    """% of the highest maximum listed."""
    line: Line | None = None
    """The nearest line; None: none within a degree."""
    fwhm: float | None = None
    """Pure width at half maximum in degrees: of one wavelength, without instrument and thermal
    motion. None: not determined, or the line overlaps others."""
    size: float | None = None
    """By Scherrer's equation, cube root of the volume, Å."""

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def maxima(x: FloatArray, y: FloatArray, prominence: float = PROMINENCE) -> list[tuple[int, float]]:
    """Maxima of y(x) that stand out: index of the point and x of the parabola through three.

    prominence: how far y must fall on both sides before it rises higher, as a part of the highest
    maximum. x: evenly spaced, shape (X,).
    """
    from scipy.signal import find_peaks

    every, _ = find_peaks(y)
    if not len(every):
        return []
    highest = float(y[every].max())
    found, _ = find_peaks(y, prominence=prominence * abs(highest))
    result = []
    for i in found:
        left, middle, right = y[i - 1 : i + 2]
        bend = left - 2.0 * middle + right
        off = 0.5 * (left - right) / bend if bend < 0.0 else 0.0
        result.append((int(i), float(x[i] + off * (x[1] - x[0]))))
    return result


def peaks_of(
    two_theta: FloatArray, curve: FloatArray, lines: Sequence[BraggLines], wavelength: float
) -> tuple[Peak, ...]:
    """Maxima of a pattern by rising angle, each with the line nearest to it.

    two_theta: degrees, evenly spaced, shape (T,); curve: shape (T,); wavelength: the mean, Å.
    """
    found = maxima(two_theta, curve)
    highest = max((curve[i] for i, _ in found), default=1.0)
    return tuple(
        Peak(
            x,
            wavelength / 2.0 / float(np.sin(np.radians(x / 2.0))),
            float(100.0 * curve[i] / highest),
            _nearest(x, lines),
        )
        for i, x in found
    )


def half_width(two_theta: FloatArray, curve: FloatArray, at: float) -> float | None:
    """Full width at half maximum of the peak at 2 theta, in degrees.

    The height counts from zero, as that of a Debye sum without thermal motion does. None where the
    curve does not fall to half on both sides, or rises again before it does.
    """
    near = int(np.argmin(np.abs(two_theta - at)))
    top = _climb(curve, near)
    half = 0.5 * curve[top]
    left = _crossing(two_theta[: top + 1][::-1], curve[: top + 1][::-1], half)
    right = _crossing(two_theta[top:], curve[top:], half)
    return None if left is None or right is None else right - left


def overlapped(lines: BraggLines, line: Line, width: float) -> bool:
    """Whether another line lies within a width, degrees, of this one.

    Lines under a tenth of its strength do not count.
    """
    own = int(np.argmin(np.abs(lines.two_theta - line.two_theta)))
    near = np.abs(lines.two_theta - lines.two_theta[own]) < width
    return bool((near & (lines.intensity > WEAK * lines.intensity[own])).sum() > 1)


def _climb(curve: FloatArray, start: int) -> int:
    """The point of the maximum that uphill steps from `start` lead to."""
    i = start
    while 0 < i < len(curve) - 1 and max(curve[i - 1], curve[i + 1]) > curve[i]:
        i += 1 if curve[i + 1] > curve[i - 1] else -1
    return i


def _crossing(x: FloatArray, y: FloatArray, half: float) -> float | None:
    """Where y, falling from its first point, reaches `half`."""
    below = np.flatnonzero(y <= half)
    if not len(below):
        return None
    k = int(below[0])
    rises = np.diff(y[: k + 1]) > 0.0
    if rises.any():
        return None
    return float(x[k - 1] + (y[k - 1] - half) / (y[k - 1] - y[k]) * (x[k] - x[k - 1]))


def _nearest(x: float, lines: Sequence[BraggLines]) -> Line | None:
    """The line nearest to an angle."""
    found: list[tuple[float, str, Plane, float]] = []
    for phase in lines:
        strong = np.flatnonzero(phase.intensity >= LINE_FLOOR)
        off = np.abs(phase.two_theta[strong] - x)
        if len(off) and off.min() <= LINE_REACH:
            k = int(strong[off.argmin()])
            h, k_, l = (int(i) for i in phase.hkl[k])  # noqa: E741 (Miller index)
            found.append((float(off.min()), phase.crystal, (h, k_, l), float(phase.two_theta[k])))
    return Line(*min(found)[1:]) if found else None
