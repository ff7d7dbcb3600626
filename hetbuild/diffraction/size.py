"""Sizes by Scherrer's equation, with the constant of the particle's shape and the reflection."""

from __future__ import annotations

from typing import Literal

import numpy as np

from hetbuild.arrays import FloatArray, Plane
from hetbuild.crystal.crystal import Crystal
from hetbuild.crystal.lattice import plane_normal

Shape = Literal["cube", "sphere"]

FIRST_CUBIC = 195
"""Number of the first cubic space group."""

SPHERE = float(np.cbrt(6.0 / np.pi))
"""Diameter of a sphere of unit volume."""


def scherrer_size(fwhm: float, two_theta: float, wavelength: float, constant: float) -> float:
    """Å: K λ / (width cos theta). fwhm, two_theta: degrees; wavelength: Å.

    Scherrer, Nachr. Ges. Wiss. Göttingen, 98 (1918); the pure width, free of instrument and Kα2.
    """
    return float(constant * wavelength / (np.radians(fwhm) * np.cos(np.radians(two_theta / 2.0))))


def scherrer_constant(shape: Shape, normal: FloatArray) -> float:
    """K for the width at half maximum, when size means the cube root of the volume.

    normal: unit vector along the reflection in the axes of the cube's edges, shape (3,). A profile
    is the Fourier transform of the volume a particle has in common with itself moved by t along the
    normal (Langford & Wilson, J. Appl. Cryst. 11, 102 (1978), doi 10.1107/S0021889878012844; their
    K_w: cube 0.886 for {100}, 0.834 for {110}, 0.855 for {111}). A sphere has 0.892, which is 1.107
    of its diameter (Patterson, Phys. Rev. 56, 978 (1939), doi 10.1103/PhysRev.56.978).
    """
    from scipy.optimize import brentq

    normal = np.abs(normal)
    longest = 1.0 / normal.max() if shape == "cube" else SPHERE
    nodes, weights = np.polynomial.legendre.leggauss(64)
    t = 0.5 * longest * (nodes + 1.0)
    v = _common_volume(shape, t, normal) * weights

    def above_half(x: float) -> float:
        return float(v @ np.cos(2.0 * np.pi * x * t) / v.sum() - 0.5)

    return 2.0 * float(brentq(above_half, 0.1, 1.0))


def constant_of(shape: Shape, crystal: Crystal, hkl: Plane) -> float:
    """K of a reflection: a cube's edges lie along cubic axes; other crystals count as spheres."""
    if crystal.space_group_number < FIRST_CUBIC:
        shape = "sphere"
    edges = crystal.vectors / np.linalg.norm(crystal.vectors, axis=1, keepdims=True)
    return scherrer_constant(shape, edges @ plane_normal(crystal.vectors, hkl))


def volume_size(ions: int, crystal: Crystal) -> float:
    """Å: cube root of the volume that so many ions fill in a crystal."""
    cell = abs(float(np.linalg.det(crystal.vectors)))
    return float(np.cbrt(ions * cell / len(crystal.numbers)))


def _common_volume(shape: Shape, t: FloatArray, normal: FloatArray) -> FloatArray:
    """Part of unit volume in common with itself moved by t, shape (T,), along a normal."""
    if shape == "cube":
        return np.asarray(np.prod(1.0 - t[:, None] * normal, axis=1))
    x = t / SPHERE
    return np.asarray(1.0 - 1.5 * x + 0.5 * x**3)
