"""The Debye sum: what a particle scatters, averaged over all its orientations.

I(q) = sum over i, j of f_i f_j* sin(q r_ij) / (q r_ij), with q = 4 pi sin(theta) / λ. Debye, Ann.
Phys. 351, 809 (1915), doi 10.1002/andp.19153510606.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from hetbuild.arrays import ComplexArray, FloatArray, IntArray
from hetbuild.diffraction.pairs import PairHistograms
from hetbuild.diffraction.scattering import LARGEST_S, dispersion, form_factors
from hetbuild.elements import number, symbol
from hetbuild.errors import InputError
from hetbuild.frozen import Frozen

OVERSAMPLING = 32
"""Points of the transform per wave of the longest distance; a cubic spline between them is then
within 2e-5 of that wave, and closer for all shorter distances."""

TOTAL = "total"
"""Name of the whole particle's curve."""

Kind = Literal["domain", "element"]
"""What the pairs of partials are pairs of."""


@dataclass(frozen=True, eq=False)
class Partials(Frozen):
    """A quantity of a particle that is a sum over pairs of domains, or of elements."""

    names: tuple[str, ...]
    """``perovskite``, ``sulfide``, and ``perovskite x sulfide`` for their cross term; or ``Pb-Pb``,
    ``Pb-S``; length K."""
    values: FloatArray
    """One curve for each, shape (K, X); their sum is that of the particle."""

    def __post_init__(self) -> None:
        self.values.flags.writeable = False

    @property
    def total(self) -> FloatArray:
        """Of the whole particle, shape (X,)."""
        return np.asarray(self.values.sum(axis=0))

    @property
    def curves(self) -> dict[str, FloatArray]:
        """``total``, then each partial where there are several, shape (X,) each, by name."""
        named = dict(zip(self.names, self.values, strict=True))
        return {TOTAL: self.total} | (named if len(named) > 1 else {})

    def of(self, name: str) -> FloatArray:
        """One curve by name, shape (X,).

        Raises
        ------
        InputError
            There is none of this name.
        """
        if name not in self.names:
            raise InputError(f"No partial {name!r}; there are {', '.join(self.names)}.")
        return np.asarray(self.values[self.names.index(name)])


def intensity(
    pairs: PairHistograms,
    q: FloatArray,
    *,
    wavelength: float | None = None,
    b_factors: Mapping[str, float] | None = None,
    by: Kind = "domain",
    own: bool = True,
) -> Partials:
    """Coherent scattering of a particle in electrons², by pairs of domains or of elements.

    q: 4 pi sin(theta) / λ in 1/Å, shape (X,). wavelength: Å, for f' and f''; None: far from edges,
    both zero. b_factors: isotropic B in Å² by element, 0 where not given. Atoms are taken to move
    independently, so pairs are damped by exp(-(B_i + B_j) s²), s = q / 4 pi, and the scattering of
    each atom with itself is not; own: False leaves that out. No Lorentz factor: the sum is over all
    orientations already.

    Raises
    ------
    InputError
        q beyond the tables of form factors, negative B factors or those of unknown elements.
    """
    s = np.asarray(q, dtype=float) / (4.0 * np.pi)
    _check_range(s)
    factors = _factors(pairs, s, wavelength)
    damping = np.exp(-_b_of(pairs, b_factors or {})[:, None] * s**2)
    first, second = pairs.pairs.T
    product = (factors[first] * np.conj(factors[second])).real * damping[first] * damping[second]
    curves = product * sine_transforms(pairs, q)
    names, of_pair, of_species = parts_of(pairs, by)
    values = np.zeros((len(names), len(s)))
    np.add.at(values, of_pair, curves)
    if own:
        np.add.at(values, of_species, pairs.atoms[:, None] * np.abs(factors) ** 2)
    return Partials(names, values)


def sine_transforms(pairs: PairHistograms, q: FloatArray) -> FloatArray:
    """Sum over the distances r of each histogram of count sin(qr) / (qr), shape (P, X).

    q: 1/Å, shape (X,). By fast Fourier transform on a fine mesh of q and a spline through it.
    """
    from scipy.fft import next_fast_len, rfft
    from scipy.interpolate import CubicSpline

    r = pairs.distances
    length = next_fast_len(OVERSAMPLING * len(r), real=True)
    spacing = 2.0 * np.pi / (length * pairs.step)
    low = max(int(np.min(q) / spacing) - 2, 0)
    high = int(np.max(q) / spacing) + 4
    mesh = np.arange(low, high) * spacing
    result = np.empty((len(pairs.pairs), len(q)))
    # A bin shared linearly is a triangle; its transform is known and divided out.
    x = 0.5 * q * pairs.step
    sharpened = np.sinc(x / np.pi) ** -2
    for k, counts in enumerate(pairs.counts):
        waves = np.zeros(len(r))
        waves[1:] = counts[1:] / r[1:]
        transform = -rfft(waves, n=length).imag[low:high]
        # At q = 0 the transform is zero and its quotient by q the number of pairs.
        values = np.divide(transform, mesh, out=np.full(len(mesh), counts.sum()), where=mesh > 0)
        result[k] = CubicSpline(mesh, values)(q) * sharpened
    return result


def parts_of(
    pairs: PairHistograms, by: Kind = "domain"
) -> tuple[tuple[str, ...], IntArray, IntArray]:
    """Names of the partials, and which of them each histogram (P,) and each species (S,) is of.

    Each domain, or element, by itself comes first, then the cross terms.
    """
    kind = pairs.species[:, 0 if by == "domain" else 1]
    both = np.sort(kind[pairs.pairs], axis=1)
    present = np.unique(both, axis=0)
    cross = present[:, 0] != present[:, 1]
    parts = np.concatenate([present[~cross], present[cross]])
    return (
        tuple(_name(pairs, by, a, b) for a, b in parts.tolist()),
        _place(parts, both),
        _place(parts, np.stack([kind, kind], axis=1)),
    )


def _name(pairs: PairHistograms, by: Kind, first: int, second: int) -> str:
    if by == "element":
        return f"{symbol(second)}-{symbol(first)}"
    names = pairs.domains
    return names[first] if first == second else f"{names[first]} x {names[second]}"


def _place(parts: IntArray, wanted: IntArray) -> IntArray:
    """Row of `parts` that equals each row of `wanted`, shape (W,)."""
    return np.asarray((parts[None] == wanted[:, None]).all(axis=2).argmax(axis=1))


def _factors(pairs: PairHistograms, s: FloatArray, wavelength: float | None) -> ComplexArray:
    numbers, which = np.unique(pairs.species[:, 1], return_inverse=True)
    factors = form_factors(numbers, s).astype(np.complex128)
    if wavelength is not None:
        factors += dispersion(numbers, wavelength)[:, None]
    return factors[which]


def _b_of(pairs: PairHistograms, given: Mapping[str, float]) -> FloatArray:
    """B of each species, Å², shape (S,)."""
    for element, b in given.items():
        number(element)
        if not 0.0 <= b < np.inf:
            raise InputError(f"B of {element} must be 0 Å² or more; given {b:g}.")
    return np.array([given.get(symbol(int(z)), 0.0) for z in pairs.species[:, 1]])


def _check_range(s: FloatArray) -> None:
    largest = 4.0 * np.pi * LARGEST_S
    if not len(s) or s.min() < 0.0 or s.max() > LARGEST_S + 1e-9:
        raise InputError(
            f"q must lie between 0 and {largest:.1f} 1/Å, where form factors are tabulated; given "
            f"{4 * np.pi * s.min():.2f} to {4 * np.pi * s.max():.2f}."
            if len(s)
            else "A pattern needs at least one q."
        )
