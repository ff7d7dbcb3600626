"""The Fourier transform of an image, its spots indexed from the model's lattices and measured.

Each domain is looked at through a window of its own outline with a cosine edge, so that neither the
particle's edge nor the other domain leaks into its spots. Positions found carry the uncertainty of
their scatter about one lattice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hetbuild.analyse.interface import nearest_tilt
from hetbuild.arguments import checked
from hetbuild.arrays import BoolArray, FloatArray, IntArray, Plane
from hetbuild.crystal import lattice
from hetbuild.frozen import Frozen
from hetbuild.microscopy.image import EXPONENT, Image
from hetbuild.model import Domain

FINEST = 1.4
"""Smallest plane spacing looked for, Å; a source size of 0.5 Å damps smaller ones to nothing."""

FAINT = 0.1
"""Structure factor, relative to the strongest, below which a reflection is not looked for."""

SEEN = 4.0
"""A spot is seen where the amplitude is this many times its median in the transform."""

PADDED = 1024
"""Smallest number of points along an edge of a transform, reached by padding with zeros."""

LOCATED = 0.05
"""Part of its width within which a peak can be located: envelopes and neighbours shift it."""

THINNEST = 5.0
"""Å: a domain counts as at least so thick when its reciprocal rods are taken, a unit cell."""

EDGE = 8.0
"""Å over which the common window of the domains falls to nothing: sharp edges make streaks."""

IN_PLANE = 2.0
"""Degrees to the screen within which an angle between two directions can be measured on it."""


@dataclass(frozen=True, slots=True)
class Spot:
    """A reflection and the maximum of the transform beside it."""

    hkl: Plane
    expected: tuple[float, float]
    """Projected reciprocal vector of the model, right and up, 1/Å."""
    found: tuple[float, float]
    """Maximum of the transform, 1/Å."""
    amplitude: float
    """Of the maximum, relative to the domain's strongest spot."""
    spacing: float
    """d(hkl) of the model as the screen shows it, Å: of a tilted plane, its projection."""
    measured: float
    """Å."""
    uncertainty: float
    """Standard deviation of `measured`, Å."""


@dataclass(frozen=True, slots=True)
class Angle:
    """An angle on the screen, by the model and as measured, in degrees."""

    first: str
    second: str
    model: float
    measured: float
    uncertainty: float
    """Standard deviation."""


@dataclass(frozen=True, eq=False)
class Pattern(Frozen):
    """The spots of one domain."""

    domain: str
    zone: Plane
    """Zone axis [uvw] nearest to the direction towards the viewer."""
    off_zone: float
    """Degrees between the two."""
    spots: tuple[Spot, ...]
    """Strongest first, one of each pair g and -g."""
    scatter: float
    """Rms distance of the spots from the lattice that fits them best, 1/Å."""
    distortion: FloatArray
    """Takes the model's reciprocal vectors on the screen to those measured, shape (2, 2)."""
    turn_uncertainty: float
    """Standard deviation of the orientation of the measured lattice, degrees."""
    angles: tuple[Angle, ...]
    """Between the strongest spots."""

    def __post_init__(self) -> None:
        self.distortion.flags.writeable = False


@dataclass(frozen=True, eq=False)
class Spectrum(Frozen):
    """The Fourier transform of an image and what it shows."""

    amplitude: FloatArray
    """Of the image with a cosine edge, shape (n, n), zero frequency at [n // 2, n // 2]; rows from
    the top, columns from the left, as an image."""
    step: float
    """1/Å a pixel."""
    patterns: tuple[Pattern, ...]
    """Of each domain, in order."""
    tilt: Angle | None
    """Between the nearest cell axes of two domains, where both lie on the screen."""

    def __post_init__(self) -> None:
        self.amplitude.flags.writeable = False

    def __repr__(self) -> str:
        zones = ((p.domain, " ".join(map(str, p.zone))) for p in self.patterns)
        seen = ", ".join(f"{domain} along [{uvw}]" for domain, uvw in zones)
        return f"<Spectrum: {seen}>"

    def as_dict(self) -> dict[str, Any]:
        """All but the pixels, as plain values for JSON."""
        return {
            "step": self.step,
            "tilt": None if self.tilt is None else asdict(self.tilt),
            "domains": {
                p.domain: {
                    "zone": list(p.zone),
                    "off_zone": p.off_zone,
                    "scatter": p.scatter,
                    "spots": [asdict(s) for s in p.spots],
                    "angles": [asdict(a) for a in p.angles],
                }
                for p in self.patterns
            },
        }


@checked
def spectrum(image: Image) -> Spectrum:
    """Fourier transform of an image, spots of each domain indexed and measured.

    Examples
    --------
    >>> import hetbuild as hb
    >>> found = hb.spectrum(hb.image(hb.build("cspbcl3-cube-4"))).patterns[0]
    >>> found.zone, found.spots[0].hkl
    ((0, 0, 1), (1, 1, 0))
    """
    whole = np.ones(image.pixels.shape) if not image.outlines else _whole_window(image)
    amplitude, step = transform(image.pixels, whole, image.sampling)
    patterns = tuple(_pattern(image, i) for i in range(len(image.model.domains)))
    return Spectrum(amplitude, step, patterns, _tilt(image, patterns))


def transform(pixels: FloatArray, window: FloatArray, sampling: float) -> tuple[FloatArray, float]:
    """Amplitude of the windowed image without its mean, and 1/Å a pixel.

    pixels, window: shape (rows, columns). The result is square, rows from the top.
    """
    from scipy.fft import fft2, fftshift, next_fast_len

    weight = float(window.sum())
    mean = float((pixels * window).sum()) / weight if weight else 0.0
    n = next_fast_len(max(PADDED, 2 * max(pixels.shape)))
    found = fftshift(np.abs(fft2((pixels - mean) * window, s=(n, n))))
    return np.asarray(found, dtype=float), 1.0 / (n * sampling)


def domain_window(image: Image, index: int) -> FloatArray:
    """1 well inside the outline of a domain, 0 outside, a cosine between; shape as the image."""
    depth = _depth_inside(image, image.outlines[index])
    widest = float(depth.max())
    if widest <= 0:
        return np.zeros(image.pixels.shape)
    return np.asarray(np.sin(0.5 * np.pi * np.clip(depth / widest, 0.0, 1.0)) ** 2)


def reflections(domain: Domain, axes: FloatArray, thickness: float) -> tuple[IntArray, FloatArray]:
    """Reflections that a domain of this thickness (Å) shows, one of each pair, and g on the screen.

    A particle of thickness t shows those within 1/(2 t) of the plane of the screen. axes: the
    view's, shape (3, 3). Returns hkl, shape (R, 3), and right, up in 1/Å, shape (R, 2).
    """
    lengths = np.linalg.norm(domain.vectors, axis=1)
    ranges = [np.arange(-m, m + 1) for m in np.floor(lengths / FINEST).astype(int)]
    hkl = np.stack(np.meshgrid(*ranges, indexing="ij"), axis=-1).reshape(-1, 3)
    g = hkl @ lattice.reciprocal(domain.vectors) @ axes.T
    size = np.linalg.norm(g, axis=1)
    upper = (g[:, 1] > 1e-6) | ((np.abs(g[:, 1]) <= 1e-6) & (g[:, 0] > 1e-6))
    near = upper & (size <= 1.0 / FINEST) & (np.abs(g[:, 2]) <= 0.5 / thickness)
    hkl, g = hkl[near], g[near]
    strength = _structure_factor(domain, hkl)
    strong = strength > FAINT
    return _apart(hkl[strong], g[strong], 0.5 / thickness)


def _apart(hkl: IntArray, g: FloatArray, least: float) -> tuple[IntArray, FloatArray]:
    """Of reflections that fall on one place of the screen, that nearest to its plane."""
    kept: list[int] = []
    for k in np.lexsort((np.linalg.norm(g, axis=1), np.round(np.abs(g[:, 2]), 6))):
        if not kept or np.linalg.norm(g[kept, :2] - g[k, :2], axis=1).min() > least:
            kept.append(int(k))
    return hkl[kept], g[kept, :2]


def _structure_factor(domain: Domain, hkl: IntArray) -> FloatArray:
    """|F| of atoms that scatter as Z^n, relative to all in phase, shape (R,)."""
    crystal = domain.crystal
    weight = np.asarray(crystal.numbers, dtype=float) ** EXPONENT
    phase = np.exp(2j * np.pi * (hkl @ crystal.fractional.T))
    return np.asarray(np.abs(phase @ weight) / weight.sum())


def _pattern(image: Image, index: int) -> Pattern:
    domain = image.model.domains[index]
    zone, off = nearest_zone(domain, image.view.axes[2])
    window = domain_window(image, index)
    mine = image.view.project(image.model.positions[image.model.domain == index])
    thickness = max(float(np.ptp(mine[:, 2])), THINNEST) if len(mine) else THINNEST
    hkl, g = reflections(domain, image.view.axes, thickness)
    amplitude, step = transform(image.pixels, window, image.sampling)
    # One over the window's width, which is the width of a spot.
    reach = 1.0 / max(float((window > 0.5).sum()) ** 0.5 * image.sampling, 1.0)
    found, height, single = _maxima(amplitude, step, g, min(reach, _half_way(g)))
    seen = single & (height > SEEN * float(np.median(amplitude)))
    order = np.flatnonzero(seen)[np.argsort(-height[seen], kind="stable")]
    return _measured(
        (domain.name, zone, off), hkl[order], g[order], found[order], height[order], reach
    )


def _measured(
    seen: tuple[str, Plane, float],
    hkl: IntArray,
    g: FloatArray,
    found: FloatArray,
    height: FloatArray,
    width: float,
) -> Pattern:
    """A lattice fitted to the spots; what they scatter about it is the uncertainty of each.

    seen: the domain's name, its nearest zone axis and degrees off it; width: of a spot, 1/Å.
    """
    if not len(g):
        return Pattern(*seen, (), 0.0, np.eye(2), 0.0, ())
    weight = np.sqrt(height / height[0])[:, None]
    fit = _fitted(g, found, weight)
    free = max(len(g) - 2, 1)
    scatter = float(np.sqrt(((weight * (g @ fit.T - found)) ** 2).sum() / (2 * free)))
    error = float(np.hypot(scatter, LOCATED * width))
    turn = np.degrees(error / np.sqrt(((weight * g) ** 2).sum()))
    spots = tuple(
        _spot(hkl[k], g[k], found[k], float(height[k] / height[0]), error / float(weight[k, 0]))
        for k in range(len(g))
    )
    return Pattern(*seen, spots, scatter, fit, float(turn), _angles(spots, error))


def _fitted(g: FloatArray, found: FloatArray, weight: FloatArray) -> FloatArray:
    """The linear map of g to what was found, shape (2, 2); of one row of spots, turn and scale."""
    if np.linalg.matrix_rank(g, tol=1e-3) == 2:
        return np.asarray(np.linalg.lstsq(weight * g, weight * found, rcond=None)[0].T)
    z, w = (weight * v @ np.array([[1], [1j]]) for v in (g, found))
    c = complex((z.conj() * w).sum() / (np.abs(z) ** 2).sum())
    return np.array([[c.real, -c.imag], [c.imag, c.real]])


def _spot(hkl: IntArray, g: FloatArray, found: FloatArray, height: float, error: float) -> Spot:
    h, k, m = (int(i) for i in hkl)
    size = float(np.linalg.norm(found))
    return Spot(
        hkl=(h, k, m),
        expected=(float(g[0]), float(g[1])),
        found=(float(found[0]), float(found[1])),
        amplitude=height,
        spacing=1.0 / float(np.linalg.norm(g)),
        measured=1.0 / size,
        uncertainty=error / size**2,
    )


def _angles(spots: Sequence[Spot], scatter: float, most: int = 3) -> tuple[Angle, ...]:
    """Between the strongest spots that are not in line."""
    result = []
    for a, b in combinations(spots[:most], 2):
        model = _between(a.expected, b.expected)
        if 1.0 < model < 179.0:
            error = scatter * float(np.hypot(a.measured, b.measured))
            measured = _between(a.found, b.found)
            first, second = lattice.plane_label(a.hkl), lattice.plane_label(b.hkl)
            result.append(Angle(first, second, model, measured, float(np.degrees(error))))
    return tuple(result)


def _between(a: Sequence[Any] | NDArray[Any], b: Sequence[Any] | NDArray[Any]) -> float:
    turn = np.arctan2(a[0] * b[1] - a[1] * b[0], a[0] * b[0] + a[1] * b[1])
    return float(abs(np.degrees(turn)))


def _tilt(image: Image, patterns: Sequence[Pattern]) -> Angle | None:
    """Directions of real space follow the inverse transpose of what reciprocal space follows."""
    if len(patterns) != 2 or not all(p.spots for p in patterns):
        return None
    first, second = image.model.domains
    axes = nearest_tilt(first, second)
    if axes is None:
        return None
    ends = []
    for domain, uvw in ((first, axes.first), (second, axes.second)):
        along = image.view.axes @ (np.array(uvw) @ domain.vectors)
        if abs(along[2]) > np.sin(np.radians(IN_PLANE)) * np.linalg.norm(along):
            return None
        ends.append(along[:2])
    turned = [np.linalg.solve(p.distortion.T, v) for p, v in zip(patterns, ends, strict=True)]
    error = float(np.hypot(patterns[0].turn_uncertainty, patterns[1].turn_uncertainty))
    names = [
        f"[{' '.join(map(str, uvw))}] of {p.domain}"
        for p, uvw in zip(patterns, (axes.first, axes.second), strict=True)
    ]
    model, measured = _between(ends[0], ends[1]), _between(turned[0], turned[1])
    return Angle(names[0], names[1], model, measured, error)


def nearest_zone(domain: Domain, towards: FloatArray, highest: int = 2) -> tuple[Plane, float]:
    """Zone axis with indices up to `highest` nearest to a direction, and degrees between them."""
    axis = np.arange(-highest, highest + 1)
    uvw = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1).reshape(-1, 3)
    uvw = uvw[np.gcd.reduce(uvw, axis=1) == 1]
    lines = uvw @ domain.vectors
    cosine = lines @ towards / (np.linalg.norm(lines, axis=1) * np.linalg.norm(towards))
    off = np.degrees(np.arccos(np.clip(cosine, -1.0, 1.0)))
    best = int(np.lexsort((np.abs(uvw).sum(axis=1), np.round(off, 3)))[0])
    u, v, w = (int(i) for i in uvw[best])
    return (u, v, w), float(off[best])


def _whole_window(image: Image) -> FloatArray:
    """The domains' windows together, flat inside: with a cosine edge."""
    depth = np.max([_depth_inside(image, o) for o in image.outlines], axis=0)
    return np.asarray(np.sin(0.5 * np.pi * np.clip(depth / EDGE, 0.0, 1.0)) ** 2)


def _depth_inside(image: Image, outline: FloatArray) -> FloatArray:
    """Å from each pixel to the nearest edge of a convex outline, negative outside."""
    rows, columns = image.pixels.shape
    if len(outline) < 3:
        return np.full((rows, columns), -1.0)
    x = image.corner[0] + image.sampling * np.arange(columns)
    y = image.corner[1] - image.sampling * np.arange(rows)
    depth = np.full((rows, columns), np.inf)
    for a, b in zip(outline, np.roll(outline, -1, axis=0), strict=True):
        along = (b - a) / np.linalg.norm(b - a)
        inward = along[0] * (y - a[1])[:, None] - along[1] * (x - a[0])[None, :]
        np.minimum(depth, inward, out=depth)
    return depth


def _half_way(g: FloatArray) -> float:
    """Nearly half the shortest distance between two of g, -g and the origin, 1/Å."""
    from scipy.spatial.distance import pdist

    return 0.45 * float(pdist(np.vstack([g, -g, [[0.0, 0.0]]])).min()) if len(g) else 1.0


def _maxima(
    amplitude: FloatArray, step: float, g: FloatArray, reach: float
) -> tuple[FloatArray, FloatArray, BoolArray]:
    """The highest point within `reach` (1/Å) of each g, shape (R, 2), its height, and whether it is
    a maximum, not a place on the slope of something else; shapes (R,).
    """
    middle = amplitude.shape[0] // 2
    n = max(2, round(reach / step))
    offset = np.stack(np.meshgrid(*2 * (np.arange(-n, n + 1),), indexing="ij"), -1).reshape(-1, 2)
    offset = offset[(offset**2).sum(axis=1) <= n**2]
    start = np.rint(np.stack([-g[:, 1], g[:, 0]], axis=1) / step).astype(int) + middle
    around = np.clip(start[:, None] + offset, 1, amplitude.shape[0] - 2)
    values = amplitude[around[..., 0], around[..., 1]]
    best = around[np.arange(len(g)), values.argmax(axis=1)] if len(g) else start
    fine = best + np.stack([_vertex(amplitude, best, axis) for axis in (0, 1)], axis=1)
    found = np.stack([fine[:, 1] - middle, middle - fine[:, 0]], axis=1) * step
    height = amplitude[best[:, 0], best[:, 1]]
    beside = [
        amplitude[best[:, 0] + i, best[:, 1] + j] for i in (-1, 0, 1) for j in (-1, 0, 1) if i or j
    ]
    return found, height, np.asarray(height >= np.max(beside, axis=0))


def _vertex(amplitude: FloatArray, best: IntArray, axis: int) -> FloatArray:
    """Where a parabola through three points along an axis is highest, in pixels from the middle."""
    aside = np.eye(2, dtype=int)[axis]
    before, here, after = (amplitude[tuple((best + k * aside).T)] for k in (-1, 0, 1))
    curve = before - 2 * here + after
    flat: BoolArray = np.abs(curve) < 1e-12
    return np.where(flat, 0.0, np.clip(0.5 * (before - after) / np.where(flat, 1, curve), -1, 1))
