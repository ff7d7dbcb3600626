"""Powder patterns of a particle: its Debye sum as a diffractometer shows it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from hetbuild.arrays import FloatArray
from hetbuild.diffraction.debye import Partials, intensity, parts_of
from hetbuild.diffraction.pairs import PairHistograms
from hetbuild.diffraction.scattering import LARGEST_S, Radiation, radiation
from hetbuild.errors import InputError
from hetbuild.frozen import Frozen

STEP = 0.02
"""Degrees 2 theta between the points of a pattern."""

TAIL = 30.0
"""Full widths at half maximum after which a profile is cut; 2 % of a Lorentzian lie beyond."""

LARGEST_FWHM = 5.0
"""Largest instrumental width, degrees 2 theta; no diffractometer has more."""

MOST_POINTS = 200_000
"""Largest number of points of a pattern."""


@dataclass(frozen=True, slots=True)
class Instrument:
    """What a diffractometer adds."""

    radiation: Radiation = field(default_factory=lambda: radiation("Cu"))
    polarisation: float = 1.0
    """A in (1 + A cos² 2 theta) / (1 + A): 1 for a tube, cos² 2 theta_M behind a monochromator,
    0 for a synchrotron's beam measured in the vertical plane."""
    fwhm: float = 0.0
    """Full width at half maximum of its profile, degrees 2 theta."""
    eta: float = 0.0
    """Lorentzian part of its profile, 0 to 1; the rest is Gaussian."""

    def __post_init__(self) -> None:
        if not 0.0 <= self.fwhm <= LARGEST_FWHM:
            most = f"0 to {LARGEST_FWHM:g} degrees"
            raise InputError(f"The instrument's width must be {most}; given {self.fwhm:g}.")
        if not 0.0 <= self.eta <= 1.0:
            raise InputError(f"The Lorentzian part must be 0 to 1; given {self.eta:g}.")
        if not 0.0 <= self.polarisation <= 1.0:
            raise InputError(f"A of the polarisation must be 0 to 1; given {self.polarisation:g}.")


TUBE = Instrument()
"""A copper tube and an ideal goniometer."""


@dataclass(frozen=True, eq=False)
class Pattern(Frozen):
    """A powder pattern of a particle and its partials."""

    two_theta: FloatArray
    """Degrees, evenly spaced, shape (T,)."""
    partials: Partials
    """Electrons² per particle times polarisation, shape (K, T)."""
    instrument: Instrument

    def __post_init__(self) -> None:
        self.two_theta.flags.writeable = False

    @property
    def total(self) -> FloatArray:
        """Shape (T,)."""
        return self.partials.total


def angles(start: float, stop: float, step: float = STEP) -> FloatArray:
    """Evenly spaced 2 theta in degrees, both ends included, shape (T,).

    Raises
    ------
    InputError
        Not 0 < start < stop < 180, a step that is not positive, or more than 200,000 points.
    """
    if not 0.0 < start < stop < 180.0:
        raise InputError(
            f"2 theta runs from above 0 to below 180 degrees; given {start:g} to {stop:g}."
        )
    if not 0.0 < step <= (stop - start) / 2.0 or (stop - start) / step > MOST_POINTS:
        raise InputError(
            f"A step of {step:g} degrees does not divide {start:g} to {stop:g} into 3 to "
            f"{MOST_POINTS} points."
        )
    points = int(np.floor((stop - start) / step + 1e-6)) + 1
    return np.asarray(start + step * np.arange(points), dtype=np.float64)


def powder_pattern(
    pairs: PairHistograms,
    two_theta: FloatArray,
    *,
    instrument: Instrument = TUBE,
    b_factors: Mapping[str, float] | None = None,
) -> Pattern:
    """The pattern at evenly spaced 2 theta in degrees, shape (T,).

    Each spectral line has its own f' and f''. b_factors: isotropic B in Å² by element.

    Raises
    ------
    InputError
        2 theta reaches beyond the tables of form factors at this wavelength.
    """
    _check_angles(two_theta, instrument.radiation)
    step = float(two_theta[1] - two_theta[0])
    profile = _profile(instrument, step)
    margin = len(profile) // 2
    wider = two_theta[0] + step * np.arange(-margin, len(two_theta) + margin)
    # Below the first angle lies the direct beam, which must not leak in through the profile's tail.
    sine = np.sin(np.radians(np.clip(wider, two_theta[0], 180.0) / 2.0))
    lines = []
    for wavelength, weight in instrument.radiation.lines:
        q = 4.0 * np.pi * np.minimum(sine / wavelength, LARGEST_S)
        found = intensity(pairs, q, wavelength=wavelength, b_factors=b_factors)
        lines.append(weight * found.values)
    a = instrument.polarisation
    polarised = (1.0 + a * np.cos(np.radians(wider)) ** 2) / (1.0 + a)
    values = _convolved(np.sum(lines, axis=0) * polarised, profile)
    return Pattern(two_theta.copy(), Partials(parts_of(pairs)[0], values), instrument)


def _profile(instrument: Instrument, step: float) -> FloatArray:
    """Pseudo-Voigt of the instrument on the pattern's points, sum 1, of odd length."""
    if instrument.fwhm < step / 10.0:
        return np.ones(1)
    reach = int(np.ceil((TAIL if instrument.eta else 3.0) * instrument.fwhm / step))
    x = np.arange(-reach, reach + 1) * step / instrument.fwhm
    gaussian = 2.0 * np.sqrt(np.log(2.0) / np.pi) * np.exp(-4.0 * np.log(2.0) * x**2)
    lorentzian = 2.0 / np.pi / (1.0 + 4.0 * x**2)
    profile = instrument.eta * lorentzian + (1.0 - instrument.eta) * gaussian
    return np.asarray(profile / profile.sum())


def _convolved(values: FloatArray, profile: FloatArray) -> FloatArray:
    """Each row with the profile, less its margins."""
    from scipy.signal import fftconvolve

    if len(profile) == 1:
        return values
    return np.asarray(fftconvolve(values, profile[None], mode="valid", axes=1))


def _check_angles(two_theta: FloatArray, source: Radiation) -> None:
    shortest = min(wavelength for wavelength, _ in source.lines)
    most = np.degrees(2.0 * np.arcsin(min(1.0, LARGEST_S * shortest)))
    if two_theta[-1] > most + 1e-9:
        raise InputError(
            f"Form factors are tabulated up to 2 theta = {most:.1f} degrees at {shortest:g} Å; "
            f"given {two_theta[-1]:g}."
        )
