"""The pair distribution function G(r) of a particle, as total scattering measures it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from hetbuild.arguments import checked
from hetbuild.arrays import BoolArray, FloatArray, Progress
from hetbuild.diffraction.debye import TOTAL, Kind, Partials, intensity, parts_of
from hetbuild.diffraction.pairs import PairHistograms, pair_histograms
from hetbuild.diffraction.peaks import maxima
from hetbuild.diffraction.scattering import LARGEST_S, form_factors
from hetbuild.elements import counts
from hetbuild.errors import InputError
from hetbuild.frozen import Frozen, FrozenDict
from hetbuild.model import Model

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Q_RANGE = (1.0, 20.0)
"""Default range of Q that is transformed, 1/Å: what a silver tube or a synchrotron reaches."""

R_MAX = 20.0
"""Default distance up to which G(r) is given, Å."""

R_STEP = 0.01
"""Distance between the points of G(r), Å."""

B_FACTOR = 1.0
"""Default B of all elements, Å²; U = 0.013 Å², usual for heavy atoms at room temperature."""

AHEAD = 0.3
"""Å before the shortest distance from which maxima are taken; those before it are ripples."""

LONGEST = 500.0
"""Å; beyond this no instrument resolves G(r)."""


@dataclass(frozen=True, eq=False)
class Pdf(Frozen):
    """A pair distribution function and its partials."""

    formula: str
    r: FloatArray
    """Å, shape (R,)."""
    partials: Partials
    """1/Å², shape (K, R); their sum is G(r)."""
    q_range: tuple[float, float]
    """1/Å, of the transform."""
    peaks: Mapping[str, tuple[tuple[float, float], ...]]
    """Maxima of the total and of each partial: r in Å and height in 1/Å²."""

    def __post_init__(self) -> None:
        self.r.flags.writeable = False

    def __repr__(self) -> str:
        low, high = self.q_range
        return f"<Pdf of {self.formula}, q {low:g} to {high:g} 1/Å>"

    @property
    def total(self) -> FloatArray:
        """G(r) in 1/Å², shape (R,)."""
        return self.partials.total

    @property
    def curves(self) -> dict[str, FloatArray]:
        """The total, then each partial, shape (R,) each, by name."""
        return self.partials.curves

    def plot(self) -> Figure:
        """A matplotlib figure; the extra ``hetbuild[plot]`` has matplotlib."""
        from hetbuild.diffraction.plot import plot_pdf

        return plot_pdf(self)

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON, the curves included."""
        return {
            "formula": self.formula,
            "q_range": list(self.q_range),
            "peaks": {
                name: [{"r": r, "height": height} for r, height in found]
                for name, found in self.peaks.items()
            },
            "r": np.round(self.r, 6).tolist(),
            "g": {name: curve.tolist() for name, curve in self.curves.items()},
        }


@checked
def pdf(
    model: Model,
    *,
    q_range: tuple[float, float] = Q_RANGE,
    r_max: float = R_MAX,
    b_factors: Mapping[str, float] | None = None,
    by: Kind = "domain",
    progress: Progress = None,
) -> Pdf:
    """G(r) of a particle, with partials by pairs of domains or of elements.

    See `pair_distribution`. b_factors: isotropic B in Å² by element, 0 for those not given; None: 1
    for all, since atoms at rest would show little but ripples of the range of q.

    Raises
    ------
    InputError
        A q range outside the tables of form factors, a length or B factors that are none.
    ImpossibleError
        The model repeats, or has fewer than two atoms.

    Examples
    --------
    >>> import hetbuild as hb
    >>> found = hb.pdf(hb.build("cspbcl3-cube-4"), by="element")
    >>> r, height = found.peaks["Pb-Cl"][0]
    >>> round(r, 1)
    2.8
    >>> figure = found.plot()
    """
    _check(q_range, r_max)
    r = np.asarray(R_STEP * np.arange(1, round(r_max / R_STEP) + 1), dtype=np.float64)
    pairs = pair_histograms(model, progress=progress)
    if b_factors is None:
        b_factors = dict.fromkeys(counts(model.numbers), B_FACTOR)
    found = pair_distribution(pairs, r, q_range, b_factors=b_factors, by=by)
    peaks = _peaks(pairs, r, found.curves, by)
    return Pdf(model.formula, r, found, q_range, FrozenDict(peaks))


def _check(q_range: tuple[float, float], r_max: float) -> None:
    low, high = q_range
    limit = 4.0 * np.pi * LARGEST_S
    if not 0.0 <= low < high <= limit:
        raise InputError(f"q runs from 0 to at most {limit:.1f} 1/Å; given {low:g} to {high:g}.")
    if not 1.0 <= r_max <= LONGEST:
        raise InputError(f"G(r) is given up to 1 to {LONGEST:g} Å; given {r_max:g}.")


def _peaks(
    pairs: PairHistograms, r: FloatArray, curves: Mapping[str, FloatArray], by: Kind
) -> dict[str, tuple[tuple[float, float], ...]]:
    """Distance and height of the maxima of each curve, those before its first distance left out."""
    names, of_pair, _ = parts_of(pairs, by)
    nearest = {name: _shortest(pairs, of_pair == k) for k, name in enumerate(names)}
    nearest[TOTAL] = _shortest(pairs, of_pair >= 0)
    return {
        name: tuple(
            (x, float(curve[i]))
            for i, x in maxima(r, curve)
            if x > nearest[name] - AHEAD and curve[i] > 0.0
        )
        for name, curve in curves.items()
    }


def _shortest(pairs: PairHistograms, which: BoolArray) -> float:
    """The shortest distance in some of the histograms, Å."""
    return float(np.flatnonzero(pairs.counts[which].any(axis=0))[0] * pairs.step)


def pair_distribution(
    pairs: PairHistograms,
    r: FloatArray,
    q_range: tuple[float, float] = Q_RANGE,
    *,
    b_factors: Mapping[str, float] | None = None,
    by: Kind = "domain",
) -> Partials:
    """G(r) in 1/Å², shape (K, R): the sine transform of F(q) = q (S(q) - 1) between two q.

    S(q) - 1 = (I(q) - sum of f_i²) / (N <f>²), with X-ray form factors far from edges; G(r) =
    2/pi times the integral of F(q) sin(qr) dq. Small angles left out, its base line is that of a
    measurement, -4 pi r rho gamma(r) of the particle; a sharp upper end makes the ripples that a
    measurement has. r: Å, shape (R,). Egami & Billinge, Underneath the Bragg Peaks (2003).
    """
    longest = float(pairs.distances[-1])
    spacing = np.pi / (4.0 * (longest + float(r[-1])))
    points = int(np.ceil((q_range[1] - q_range[0]) / spacing)) + 1
    q = np.linspace(*q_range, points)
    found = intensity(pairs, q, b_factors=b_factors, by=by, own=False)
    numbers, which = np.unique(pairs.species[:, 1], return_inverse=True)
    factors = form_factors(numbers, q / (4.0 * np.pi))[which]
    mean = pairs.atoms @ factors / pairs.atoms.sum()
    reduced = q * found.values / (pairs.atoms.sum() * mean**2)
    weights = np.full(points, q[1] - q[0])
    weights[[0, -1]] *= 0.5  # trapezoids
    values = np.empty((len(reduced), len(r)))
    for start in range(0, len(r), 256):
        part = slice(start, start + 256)
        values[:, part] = 2.0 / np.pi * (reduced * weights) @ np.sin(np.outer(q, r[part]))
    return Partials(found.names, values)
