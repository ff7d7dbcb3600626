"""A computed pattern laid over a measured one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from hetbuild.arrays import FloatArray
from hetbuild.errors import ImpossibleError, InputError

MAX_SHIFT = 0.5
"""Degrees 2 theta by which the measured scale may be off, unless told."""

DEGREE = 3
"""Default degree of the polynomial background."""

MAX_DEGREE = 12
"""Highest degree of the background: a higher polynomial would follow the peaks."""

LARGEST_SHIFT = 5.0
"""Largest zero shift, degrees 2 theta; more would match another pattern."""

FLOOR = 0.01
"""Part of the highest intensity below which a point counts no more than one that high: counting
statistics alone would give the emptiest points all the weight."""

TRIALS = 41
"""Zero shifts tried before the best is refined, against fits that lock on a neighbouring peak."""


@dataclass(frozen=True, eq=False)
class PatternFit:
    """How well a computed pattern describes a measured one."""

    two_theta: FloatArray
    """As measured, degrees, shape (M,)."""
    measured: FloatArray
    """Shape (M,)."""
    calculated: FloatArray
    """Scaled and shifted, background included, shape (M,)."""
    background: FloatArray
    """Shape (M,)."""
    scale: float
    """Measured units per computed one."""
    shift: float
    """Degrees by which the measured pattern lies above the computed one."""
    rwp: float
    """Weighted profile residual, sqrt(sum w (y - y_calc)² / sum w y²), dimensionless."""
    rwp_background: float
    """The same with the background taken off the denominator's y."""

    def __post_init__(self) -> None:
        for array in (self.two_theta, self.measured, self.calculated, self.background):
            array.flags.writeable = False

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "scale": self.scale,
            "shift": self.shift,
            "rwp": self.rwp,
            "rwp_background": self.rwp_background,
            "two_theta": self.two_theta.tolist(),
            "measured": self.measured.tolist(),
            "calculated": self.calculated.tolist(),
            "background": self.background.tolist(),
        }


def fit_pattern(
    computed: tuple[FloatArray, FloatArray],
    measured: tuple[FloatArray, FloatArray],
    *,
    sigma: FloatArray | None = None,
    degree: int = DEGREE,
    max_shift: float = MAX_SHIFT,
) -> PatternFit:
    """Fit scale, polynomial background and shift of 2 theta, nothing of the model.

    Parameters
    ----------
    computed, measured
        2 theta in degrees and intensity, shapes (T,) and (M,); the computed one reaches `max_shift`
        further on both sides.
    sigma
        Standard deviations of the measured intensities, shape (M,); None: as of counts, but no
        point better known than one of 1 % of the maximum.
    degree
        Of the background.
    max_shift
        Degrees.

    Raises
    ------
    InputError
        A degree or shift that is none, or fewer points than twice the parameters.
    ImpossibleError
        Nothing of the computed pattern is in the measured one: its best scale is not positive.
    """
    x, y = measured
    _check(len(x), degree, max_shift)
    weight = 1.0 / (np.sqrt(np.maximum(y, FLOOR * np.abs(y).max())) if sigma is None else sigma)
    place = (2.0 * x - x[0] - x[-1]) / (x[-1] - x[0])
    base = np.polynomial.chebyshev.chebvander(place, degree)
    return _fitted(computed, measured, weight, base, max_shift)


def _fitted(
    computed: tuple[FloatArray, FloatArray],
    measured: tuple[FloatArray, FloatArray],
    weight: FloatArray,
    base: FloatArray,
    max_shift: float,
) -> PatternFit:
    """The fit with these weights, shape (M,), and background polynomials, shape (M, degree + 1)."""
    x, y = measured

    def columns(shift: float) -> FloatArray:
        return np.column_stack([np.interp(x - shift, *computed), base])

    def best(shift: float) -> FloatArray:
        """Scale and background at a shift, by linear least squares."""
        return np.asarray(np.linalg.lstsq(columns(shift) * weight[:, None], y * weight)[0])

    def residual(shift: float) -> FloatArray:
        return np.asarray(weight * (y - columns(shift) @ best(shift)))

    shift = _best_shift(residual, max_shift)
    values = best(shift)
    if not values[0] > 0.0:
        raise ImpossibleError(
            "The computed pattern is not found in the measured one: fitted, its scale is "
            f"{values[0]:.3g}. Check the wavelength, the range and that the file is 2 theta."
        )
    calculated, background = columns(shift) @ values, base @ values[1:]
    misfit = float((weight * (y - calculated)) @ (weight * (y - calculated)))
    return PatternFit(
        two_theta=x.copy(),
        measured=y.copy(),
        calculated=calculated,
        background=background,
        scale=float(values[0]),
        shift=shift,
        rwp=float(np.sqrt(misfit / ((weight * y) ** 2).sum())),
        rwp_background=float(np.sqrt(misfit / ((weight * (y - background)) ** 2).sum())),
    )


def _best_shift(residual: Callable[[float], FloatArray], max_shift: float) -> float:
    """The shift of least squares: the best of several, refined."""
    from scipy.optimize import least_squares

    if max_shift == 0.0:
        return 0.0
    trials = np.linspace(-max_shift, max_shift, TRIALS).tolist()
    start = min(trials, key=lambda s: float((residual(s) ** 2).sum()))
    # The start may be an end of the range, and must lie inside it.
    limits = (-max_shift - 1e-9, max_shift + 1e-9)
    found = least_squares(lambda s: residual(float(s[0])), [start], bounds=limits)
    return float(found.x[0])


def _check(points: int, degree: int, max_shift: float) -> None:
    if not 0 <= degree <= MAX_DEGREE:
        raise InputError(f"The background's degree must be 0 to {MAX_DEGREE}; given {degree}.")
    if not 0.0 <= max_shift <= LARGEST_SHIFT:
        most = f"0 to {LARGEST_SHIFT:g} degrees"
        raise InputError(f"The shift allowed must be {most}; given {max_shift:g}.")
    if points < 2 * (degree + 3):
        raise InputError(
            f"{points} points do not decide {degree + 3} parameters: give at least "
            f"{2 * (degree + 3)}, or a lower degree of the background."
        )
