"""Bragg lines of a bulk phase: where its powder pattern has reflections, and how strong."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from hetbuild.arrays import ComplexArray, FloatArray, IntArray
from hetbuild.crystal.crystal import Crystal
from hetbuild.crystal.lattice import reciprocal
from hetbuild.diffraction.scattering import Radiation, dispersion, form_factors
from hetbuild.elements import symbol
from hetbuild.frozen import Frozen

WEAKEST = 0.1
"""Intensity, % of the strongest line, below which a line is not listed."""


@dataclass(frozen=True, eq=False)
class BraggLines(Frozen):
    """Powder lines of one crystal by rising angle; each is a form {hkl}."""

    crystal: str
    hkl: IntArray
    """Indices of one plane of each form, shape (L, 3)."""
    spacing: FloatArray
    """d(hkl) in Å, shape (L,)."""
    two_theta: FloatArray
    """Degrees, for the mean wavelength of the radiation, shape (L,)."""
    intensity: FloatArray
    """% of the strongest, with multiplicity, Lorentz factor and polarisation, shape (L,)."""

    def __post_init__(self) -> None:
        for array in (self.hkl, self.spacing, self.two_theta, self.intensity):
            array.flags.writeable = False

    def __len__(self) -> int:
        return len(self.spacing)

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "crystal": self.crystal,
            "hkl": self.hkl.tolist(),
            "d": self.spacing.tolist(),
            "two_theta": self.two_theta.tolist(),
            "intensity": self.intensity.tolist(),
        }


def bragg_lines(
    crystal: Crystal,
    source: Radiation,
    *,
    up_to: float = 80.0,
    b_factors: Mapping[str, float] | None = None,
    polarisation: float = 1.0,
) -> BraggLines:
    """Lines of a crystal up to 2 theta, in degrees, with at least 0.1 % of the strongest.

    b_factors: isotropic B in Å² by element; polarisation: A in (1 + A cos² 2 theta) / (1 + A).
    """
    wavelength = source.mean
    planes = planes_to(crystal, wavelength / 2.0 / np.sin(np.radians(up_to / 2.0)))
    forms, multiplicity = _forms(crystal, planes)
    length = np.linalg.norm(forms @ reciprocal(crystal.vectors), axis=1)
    theta = np.arcsin(np.clip(wavelength * length / 2.0, 0.0, 1.0))
    squared = np.abs(structure_factors(crystal, forms, wavelength, b_factors or {})) ** 2
    polarised = (1.0 + polarisation * np.cos(2 * theta) ** 2) / (1.0 + polarisation)
    # A reflection at 90 degrees has no room to be divided by the cosine of its angle.
    lorentz = 1.0 / (np.sin(theta) ** 2 * np.maximum(np.cos(theta), 1e-6))
    strength = multiplicity * squared * polarised * lorentz
    strength *= 100.0 / strength.max() if len(strength) else 1.0
    kept = np.flatnonzero(strength >= WEAKEST)
    # Last bits depend on the processor: of lines alike in both the lower indices go first.
    order = kept[np.lexsort((-np.round(strength[kept], 6), np.round(length[kept], 9)))]
    return BraggLines(
        crystal=crystal.name,
        hkl=forms[order],
        spacing=1.0 / length[order],
        two_theta=np.degrees(2.0 * theta[order]),
        intensity=strength[order],
    )


def planes_to(crystal: Crystal, smallest: float) -> IntArray:
    """All (hkl), both senses, whose spacing is at least `smallest` in Å; shape (n, 3)."""
    highest = np.floor(np.linalg.norm(crystal.vectors, axis=1) / smallest).astype(int)
    axes = [np.arange(-n, n + 1) for n in highest]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    length = np.linalg.norm(grid @ reciprocal(crystal.vectors), axis=1)
    return np.asarray(grid[(length > 0.0) & (length <= 1.0 / smallest)])


def structure_factors(
    crystal: Crystal, hkl: IntArray, wavelength: float, b_factors: Mapping[str, float]
) -> ComplexArray:
    """F(hkl) of the conventional cell in electrons, shape (n,); hkl: shape (n, 3)."""
    s = 0.5 * np.linalg.norm(hkl @ reciprocal(crystal.vectors), axis=1)
    elements, which = np.unique(crystal.numbers, return_inverse=True)
    factors = form_factors(elements, s) + dispersion(elements, wavelength)[:, None]
    b = np.array([b_factors.get(symbol(int(z)), 0.0) for z in elements])
    factors *= np.exp(-b[:, None] * s**2)
    phases = np.exp(2j * np.pi * (crystal.fractional @ hkl.T))
    return np.asarray((factors[which] * phases).sum(axis=0))


def _forms(crystal: Crystal, planes: IntArray) -> tuple[IntArray, IntArray]:
    """One plane of each form, the largest by h, then k, then l; and how many planes it has.

    Friedel's law makes (hkl) and (-h -k -l) one.
    """
    laue = np.unique(np.concatenate([crystal.rotations, -crystal.rotations]), axis=0)
    base = 2 * int(np.abs(planes).max(initial=1)) * 3 + 1
    code = np.array([base**2, base, 1])
    best, chosen = np.full(len(planes), -(base**3)), planes.copy()
    for rotation in laue:
        image = planes @ rotation
        rank = image @ code
        better = rank > best
        best[better], chosen[better] = rank[better], image[better]
    forms, multiplicity = np.unique(chosen, axis=0, return_counts=True)
    return forms, multiplicity
