"""High-angle annular dark-field (HAADF) STEM images of a model, by projection.

At high angles scattering is nearly incoherent and goes with about the atomic number squared, less
screening: the intensity is the sum over atoms of Z^n, n near 1.6, blurred by probe, source and
thermal motion (Pennycook & Jesson, doi 10.1016/0304-3991(91)90004-P). Particles of a few nm are
thin enough for that to follow multislice with frozen phonons.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from hetbuild.analyse.interface import with_interface
from hetbuild.arguments import checked
from hetbuild.arrays import FloatArray
from hetbuild.errors import InputError
from hetbuild.frozen import Frozen
from hetbuild.geometry.images import finite
from hetbuild.geometry.view import View, view, zone_view
from hetbuild.model import Model
from hetbuild.rounding import DIGITS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

EXPONENT = 1.6
"""Power of the atomic number an atom scatters with."""

SOURCE = 0.5
"""Standard deviation in Å of the Gaussian that stands for probe, source and thermal motion: 0.3 Å
of probe and motion, which fits multislice of a point source, with a source of 0.4 Å."""

SAMPLING = 0.1
"""Default sampling, Å per pixel."""

MARGIN = 4.0
"""Å of vacuum around the particle."""

REPEATED = 15.0
"""Å beyond its cell that a periodic model is repeated to be seen."""

MOST_PIXELS = 8192
"""Largest number of pixels along an edge of an image."""


@dataclass(frozen=True, eq=False)
class Image(Frozen):
    """An image of a model, with what is needed to read it."""

    pixels: FloatArray
    """Intensity, shape (rows, columns): the first row is the top, the first column the left."""
    sampling: float
    """Å a pixel."""
    corner: tuple[float, float]
    """Screen coordinates right, up in Å of the centre of pixel [0, 0]."""
    view: View
    model: Model
    method: str
    """How it was calculated."""
    outlines: tuple[FloatArray, ...] = field(default=())
    """Convex outline of each domain's atoms in screen coordinates right, up, Å, shapes (k, 2)."""

    def __post_init__(self) -> None:
        for array in (self.pixels, *self.outlines):
            array.flags.writeable = False

    def __repr__(self) -> str:
        rows, columns = self.pixels.shape
        return f"<Image of {self.model.formula}: {columns} x {rows} pixels of {self.sampling:g} Å>"

    @property
    def extent(self) -> tuple[float, float, float, float]:
        """Left, right, bottom, top edge in screen coordinates, Å."""
        rows, columns = self.pixels.shape
        left, top = self.corner[0] - self.sampling / 2, self.corner[1] + self.sampling / 2
        return left, left + columns * self.sampling, top - rows * self.sampling, top

    def at(self, points: FloatArray) -> FloatArray:
        """Row and column, fractions allowed, of screen coordinates right, up; shapes (N, 2)."""
        column = (points[:, 0] - self.corner[0]) / self.sampling
        row = (self.corner[1] - points[:, 1]) / self.sampling
        return np.stack([row, column], axis=1)

    def as_dict(self) -> dict[str, Any]:
        """All but the pixels, as plain values for JSON."""
        return {
            "method": self.method,
            "sampling": self.sampling,
            "shape": list(self.pixels.shape),
            "corner": list(self.corner),
            "axes": self.view.axes.tolist(),
            "outlines": {
                d.name: o.round(4).tolist()
                for d, o in zip(self.model.domains, self.outlines, strict=True)
            },
        }

    def plot(self, *, fft: bool = True) -> Figure:
        """A figure with scale bar, outlines and interface; beside it the FFT with its spots.

        Raises
        ------
        InputError
            matplotlib, the extra ``hetbuild[plot]``, is not installed.
        """
        from hetbuild.microscopy.drawing import draw
        from hetbuild.microscopy.fourier import spectrum

        return draw(self, spectrum(self) if fft else None)


@checked
def image(
    model: Model,
    *,
    zone: Sequence[float] | None = None,
    of: str | None = None,
    tilt: tuple[float, float] = (0.0, 0.0),
    exponent: float = EXPONENT,
    source: float = SOURCE,
    sampling: float = SAMPLING,
) -> Image:
    """Projected HAADF-STEM image: atoms as Z^exponent, blurred by a Gaussian of sigma `source` Å.

    zone: axis [u v w] of the domain named `of` (default: the first) that points towards the viewer;
    left out: the view of the VESTA file, down the interface. tilt: degrees the model is turned by
    about the right axis of that view, then about its up axis. sampling: Å a pixel. A periodic model
    is repeated by 15 Å.

    Raises
    ------
    InputError
        No such domain, [0 0 0], `of` without a zone, or a number out of range.

    Examples
    --------
    >>> import hetbuild as hb
    >>> made = hb.image(hb.build("cspbcl3-cube-2"), zone=(0, 0, 1))
    >>> made.pixels.shape, made.sampling
    ((194, 194), 0.1)
    """
    _check(source, exponent)
    model = with_interface(finite(model, REPEATED))
    seen = chosen_view(model, zone, of, tilt)
    shape, corner = frame(seen.project(model.positions), sampling)
    weights = model.numbers.astype(float) ** exponent
    blank = Image(
        np.zeros(shape), sampling, corner, seen, model, f"Z^{exponent:g}, source {source:g} Å"
    )
    places = blank.at(seen.project(model.positions)[:, :2])
    pixels = blurred(deposited(places, weights, shape), source / sampling) / sampling**2
    return Image(pixels, sampling, corner, seen, model, blank.method, outlines(model, seen.project))


def _check(source: float, exponent: float) -> None:
    if not 0.0 < source < 10.0:
        raise InputError(f"A source of {source:g} Å cannot be; give 0.2 to 1 Å, as {SOURCE:g}.")
    if not 0.0 < exponent < 4.0:
        raise InputError(f"Z^{exponent:g} is no HAADF contrast; give 1.5 to 2, as {EXPONENT:g}.")


def chosen_view(
    model: Model,
    zone: Sequence[float] | None = None,
    of: str | None = None,
    tilt: tuple[float, float] = (0.0, 0.0),
) -> View:
    """The view that a zone axis, a domain and two tilts name; see `image`."""
    if not len(model):
        raise InputError("The model has no atoms to be seen.")
    if zone is None:
        if of is not None:
            raise InputError(f"{of!r} is named without a zone axis: give one, as 0 0 1.")
        seen = view(model)
    else:
        seen = zone_view(model, 0 if of is None else model.domain_named(of), zone)
    return seen.tilted(*tilt) if any(tilt) else seen


def frame(
    screen: FloatArray, sampling: float, margin: float = MARGIN
) -> tuple[tuple[int, int], tuple[float, float]]:
    """Rows and columns of an image of atoms at these screen coordinates, and its corner in Å."""
    if not 0.01 <= sampling <= 1.0:
        raise InputError(f"A sampling of {sampling:g} Å a pixel is out of range: 0.01 to 1 Å.")
    low, high = screen[:, :2].min(axis=0) - margin, screen[:, :2].max(axis=0) + margin
    columns, rows = (int(n) for n in np.ceil((high - low) / sampling) + 1)
    if max(rows, columns) > MOST_PIXELS:
        raise InputError(
            f"{columns} x {rows} pixels of {sampling:g} Å are too many; the longest edge may have "
            f"{MOST_PIXELS}. Give a coarser sampling, from {max(high - low) / MOST_PIXELS:.2g} Å."
        )
    return (rows, columns), (float(low[0]), float(high[1]))


def deposited(places: FloatArray, weights: FloatArray, shape: tuple[int, int]) -> FloatArray:
    """Weights shared among the four pixels around each place; places: row, column, shape (N, 2)."""
    whole = np.floor(places).astype(np.int64)
    part = places - whole
    result = np.zeros(shape[0] * shape[1])
    for row in (0, 1):
        for column in (0, 1):
            share = np.abs(1 - row - part[:, 0]) * np.abs(1 - column - part[:, 1])
            index = np.ravel_multi_index((whole[:, 0] + row, whole[:, 1] + column), shape, "clip")
            result += np.bincount(index, weights * share, minlength=result.size)
    return result.reshape(shape)


def blurred(pixels: FloatArray, sigma: float) -> FloatArray:
    """Convolved with a Gaussian of this standard deviation in pixels; nothing beyond the edge."""
    from scipy.ndimage import gaussian_filter

    # Sharing a weight among neighbouring pixels has spread it by a variance of 1/6 on average.
    narrowed = max(sigma**2 - 1.0 / 6.0, 1e-4) ** 0.5
    return np.asarray(gaussian_filter(pixels, narrowed, mode="constant", truncate=6.0))


def outlines(model: Model, project: Any) -> tuple[FloatArray, ...]:
    """Convex outline of each domain's atoms on the screen, Å, shapes (k, 2)."""
    screen = project(model.positions)[:, :2]
    return tuple(_hull(screen[model.domain == i]) for i in range(len(model.domains)))


def _hull(points: FloatArray) -> FloatArray:
    from scipy.spatial import ConvexHull, QhullError

    try:
        corners = points[ConvexHull(points).vertices]
        # From the leftmost, the lowest of those: where Qhull begins hangs on the last bits.
        first = int(np.lexsort(np.round(corners, DIGITS).T[::-1])[0])
        return np.asarray(np.roll(corners, -first, axis=0))
    except (QhullError, ValueError):  # fewer than three, or on a line
        return points[:0].copy()
