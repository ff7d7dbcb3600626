"""Composition profiles: the part of the ions that is exchanged as a function of where they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from hetbuild.arrays import FloatArray, IntArray
from hetbuild.errors import InputError
from hetbuild.selection.places import Places


@dataclass(frozen=True)
class Profile:
    """A fraction that changes from one value to another with a distance."""

    of: Literal["depth", "radius", "interface"]
    """Distance: below the surface, from the centre of the domain's ions, or from the interface."""
    near: float
    """Fraction at small distances, 0 to 1."""
    far: float
    """Fraction at large distances, 0 to 1."""
    at: float
    """Å at which it is halfway."""
    form: Literal["step", "linear", "erf"] = "step"
    """Sudden, on a straight line, or by the error function, as diffusion makes it."""
    width: float = 0.0
    """Å: length of the line, or standard deviation of the error function."""

    def __post_init__(self) -> None:
        if not (0 <= self.near <= 1 and 0 <= self.far <= 1):
            raise InputError(
                f"A profile goes from one fraction in 0 to 1 to another; given near {self.near:g} "
                f"and far {self.far:g}."
            )
        if not 0 <= self.at < np.inf:
            raise InputError(f"A profile at {self.at:g} Å: give a distance, 0 or more.")
        if (self.width > 0) == (self.form == "step"):
            raise InputError("A profile takes a width in Å above 0 unless it is a step.")

    def fraction(self, distance: FloatArray) -> FloatArray:
        """Fraction at distances in Å, shape (K,)."""
        from scipy.special import erf

        x = np.asarray(distance) - self.at
        match self.form:
            case "step":
                part = (x > 0).astype(float)
            case "linear":
                part = np.clip(x / self.width + 0.5, 0.0, 1.0)
            case "erf":
                part = 0.5 * (1 + erf(x / (np.sqrt(2) * self.width)))
        return np.asarray(self.near + (self.far - self.near) * part)


def distances(of: str, places: Places) -> FloatArray:
    """The distance in Å a profile depends on, of each place, shape (K,)."""
    match of:
        case "depth":
            return places.depth
        case "interface":
            return places.interface_distance
        case _:
            mine = np.isin(places.model.domain, np.unique(places.domain))
            centre = places.model.positions[mine].mean(axis=0)
            return np.asarray(np.linalg.norm(places.positions - centre, axis=1))


def drawn(profile: Profile, places: Places, seed: int) -> IntArray:
    """Places that a profile takes, as many as its fractions sum to, rounded; indices, sorted.

    Drawn by the seed: one of fraction 1 is always taken, one of fraction 0 never.
    """
    fraction = profile.fraction(distances(profile.of, places))
    count = int(np.floor(fraction.sum() + 0.5))
    chance = np.random.default_rng(seed).random(len(places))
    with np.errstate(divide="ignore"):
        # The log odds of the fraction against those of chance: above zero with that probability.
        odds = np.log(fraction) - np.log1p(-fraction) - np.log(chance) + np.log1p(-chance)
    return np.sort(np.argsort(-odds, kind="stable")[:count])
