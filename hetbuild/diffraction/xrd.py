"""The powder pattern of a model with all that helps to read it: lines, maxima, sizes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from hetbuild.arguments import checked
from hetbuild.arrays import FloatArray, Progress
from hetbuild.crystal.crystal import Crystal
from hetbuild.diffraction.bragg import BraggLines, bragg_lines
from hetbuild.diffraction.debye import TOTAL
from hetbuild.diffraction.fit import DEGREE, MAX_SHIFT, PatternFit, fit_pattern
from hetbuild.diffraction.pairs import PairHistograms, pair_histograms
from hetbuild.diffraction.pattern import STEP, Instrument, Pattern, angles, powder_pattern
from hetbuild.diffraction.peaks import Peak, half_width, overlapped, peaks_of
from hetbuild.diffraction.scattering import Radiation, radiation
from hetbuild.diffraction.size import Shape, constant_of, scherrer_size, volume_size
from hetbuild.frozen import FrozenDict
from hetbuild.model import Model

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RANGE = (10.0, 80.0)
"""Default range of a pattern, degrees 2 theta."""

STRONG = 10.0
"""% of the highest maximum below which the tails of others spoil a maximum's width."""


@dataclass(frozen=True, slots=True)
class Size:
    """How large a domain is by its peaks and by its atoms; cube roots of the volume, Å."""

    scherrer: float | None
    """Median over the resolved maxima; None where there are none."""
    peaks: int
    """How many those are."""
    known: float
    """From the number of ions and the volume each has in the bulk."""


@dataclass(frozen=True, eq=False)
class Xrd:
    """A powder pattern, read."""

    formula: str
    pattern: Pattern
    lines: Mapping[str, BraggLines]
    """Bulk lines of each domain's crystal, by domain."""
    peaks: Mapping[str, tuple[Peak, ...]]
    """Maxima of the total and of each domain's own partial, by name."""
    sizes: Mapping[str, Size]
    """By domain."""
    pairs: PairHistograms
    """The distances it was made from."""

    def __repr__(self) -> str:
        source = self.pattern.instrument.radiation.name
        maxima = len(self.peaks[TOTAL])
        return f"<Xrd of {self.formula}, {source}: {maxima} maxima>"

    @property
    def total(self) -> FloatArray:
        """The whole particle's pattern, electrons² times polarisation, shape (T,)."""
        return self.pattern.total

    def plot(self, measured: PatternFit | None = None) -> Figure:
        """A matplotlib figure; the extra ``hetbuild[plot]`` has matplotlib.

        measured: what `compare` gave, to draw a measured pattern under it.
        """
        from hetbuild.diffraction.plot import plot_pattern

        return plot_pattern(self, measured)

    def compare(
        self,
        two_theta: FloatArray,
        measured: FloatArray,
        *,
        sigma: FloatArray | None = None,
        degree: int = DEGREE,
        max_shift: float = MAX_SHIFT,
    ) -> PatternFit:
        """Lay the total over a measured pattern; see `hetbuild.diffraction.fit.fit_pattern`."""
        computed = self.pattern.two_theta, self.pattern.total
        measurement = two_theta, measured
        return fit_pattern(computed, measurement, sigma=sigma, degree=degree, max_shift=max_shift)

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON, the curves included, to 1e-9 of their maximum: less is noise."""
        source = self.pattern.instrument.radiation
        most = max(float(np.abs(curve).max()) for curve in self.curves.values())
        decimals = 8 - int(np.floor(np.log10(most))) if most > 0.0 else 8
        return {
            "formula": self.formula,
            "radiation": {"name": source.name, "lines": [list(line) for line in source.lines]},
            "peaks": {name: [p.as_dict() for p in found] for name, found in self.peaks.items()},
            "sizes": {
                name: {"scherrer": s.scherrer, "peaks": s.peaks, "known": s.known}
                for name, s in self.sizes.items()
            },
            "lines": {name: lines.as_dict() for name, lines in self.lines.items()},
            "two_theta": np.round(self.pattern.two_theta, 6).tolist(),
            "intensity": {n: np.round(c, decimals).tolist() for n, c in self.curves.items()},
        }

    @property
    def curves(self) -> dict[str, FloatArray]:
        """The total, then each partial, shape (T,) each, by name."""
        return self.pattern.partials.curves


@checked
def xrd(
    model: Model,
    *,
    two_theta: tuple[float, float] = RANGE,
    step: float = STEP,
    wavelength: str | float = "Cu",
    b_factors: Mapping[str, float] | None = None,
    polarisation: float = 1.0,
    fwhm: float = 0.0,
    eta: float = 0.0,
    shape: Shape = "cube",
    progress: Progress = None,
) -> Xrd:
    """The powder pattern of a particle by the Debye sum, with partials, lines and sizes.

    Parameters
    ----------
    two_theta, step
        First and last angle, and the distance of points, in degrees.
    wavelength
        An anode, for Kα1 and Kα2; ``Cu1`` for Kα1 alone; or Å.
    b_factors
        Isotropic B in Å² by element, 0 where not given.
    polarisation
        A in (1 + A cos² 2 theta) / (1 + A): 1 for a tube, 0 for none.
    fwhm, eta
        Width in degrees and Lorentzian part, 0 to 1, of the instrument's profile.
    shape
        Whose Scherrer constants to use, ``cube`` or ``sphere``.

    Raises
    ------
    InputError
        Angles, a wavelength, a profile or B factors that are none.
    ImpossibleError
        The model repeats, or has fewer than two atoms.

    Examples
    --------
    >>> import hetbuild as hb
    >>> found = hb.xrd(hb.build("cspbcl3-cube-4"))
    >>> for peak in found.peaks["total"][:3]:
    ...     print(f"{peak.two_theta:.1f}", peak.line.hkl)
    22.4 (1, 1, 0)
    31.9 (2, 0, 0)
    39.2 (2, 1, 1)
    >>> figure = found.plot()
    """
    source = radiation(str(wavelength))
    instrument = Instrument(source, polarisation=polarisation, fwhm=fwhm, eta=eta)
    mesh = angles(*two_theta, step)
    pairs = pair_histograms(model, progress=progress)
    pattern = powder_pattern(pairs, mesh, instrument=instrument, b_factors=b_factors)
    return _read(model, pairs, pattern, two_theta[1], b_factors, shape)


def _read(
    model: Model,
    pairs: PairHistograms,
    pattern: Pattern,
    last: float,
    b_factors: Mapping[str, float] | None,
    shape: Shape,
) -> Xrd:
    """The pattern with bulk lines up to a last angle, its maxima, and the sizes they tell."""
    mesh, instrument = pattern.two_theta, pattern.instrument
    source, a = instrument.radiation, instrument.polarisation
    crystals = {d.name: d.crystal for i, d in enumerate(model.domains) if (model.domain == i).any()}
    lines = {
        name: bragg_lines(c, source, up_to=last, b_factors=b_factors, polarisation=a)
        for name, c in crystals.items()
    }
    # Sizes are read off one wavelength without any width of the instrument.
    pure = powder_pattern(pairs, mesh, instrument=_ideal(instrument))
    peaks = {TOTAL: peaks_of(mesh, pattern.total, list(lines.values()), source.mean)}
    for name, crystal in crystals.items():
        found = peaks_of(mesh, pattern.partials.of(name), [lines[name]], source.mean)
        peaks[name] = tuple(_sized(p, pure, name, lines[name], crystal, shape) for p in found)
    sizes = {name: _size(model, name, crystal, peaks[name]) for name, crystal in crystals.items()}
    return Xrd(
        model.formula, pattern, FrozenDict(lines), FrozenDict(peaks), FrozenDict(sizes), pairs
    )


def _size(model: Model, name: str, crystal: Crystal, peaks: tuple[Peak, ...]) -> Size:
    """Of a domain, by its maxima and by its ions."""
    own = [p.size for p in peaks if p.size is not None]
    typical = float(np.median(own)) if own else None
    return Size(typical, len(own), volume_size(_ions(model, name), crystal))


def _ions(model: Model, name: str) -> int:
    """Ions of a domain, a molecular one as one: only the atom that carries its charge counts."""
    charges = model.charges[model.domain == model.domain_named(name)]
    return int(np.count_nonzero(charges)) or len(charges)


def _ideal(instrument: Instrument) -> Instrument:
    """One wavelength, the first, and no width of its own."""
    source = instrument.radiation
    single = Radiation(source.name, ((source.lines[0][0], 1.0),))
    return replace(instrument, radiation=single, fwhm=0.0)


def _sized(
    peak: Peak, pure: Pattern, name: str, lines: BraggLines, crystal: Crystal, shape: Shape
) -> Peak:
    """A maximum of one domain with its width and size, where it is strong and stands alone.

    pure: the pattern of one wavelength without instrument and thermal motion.
    """
    width = half_width(pure.two_theta, pure.partials.of(name), peak.two_theta)
    if peak.line is None or width is None or peak.height < STRONG:
        return peak
    if overlapped(lines, peak.line, width):
        return peak
    constant = constant_of(shape, crystal, peak.line.hkl)
    wavelength = pure.instrument.radiation.mean
    size = scherrer_size(width, peak.two_theta, wavelength, constant)
    return replace(peak, fwhm=width, size=size)
