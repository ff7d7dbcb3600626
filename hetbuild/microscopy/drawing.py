"""The figure of an image and its FFT; matplotlib, the extra ``hetbuild[plot]``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from hetbuild.arrays import FloatArray
from hetbuild.crystal.lattice import plane_label
from hetbuild.errors import InputError
from hetbuild.formats.figure import new_figure
from hetbuild.geometry.view import plane_of
from hetbuild.microscopy.fourier import Angle, Pattern, Spectrum
from hetbuild.microscopy.image import Image

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = ("#ffb347", "#5cc8ff", "#8ee37a", "#f78fd0")
"""Colours of the domains in order, on black; distinct for colour-blind readers too."""

PLANE = "#ff5ecf"
RIM = "#010101"
"""Around letters on an image; not black, which a page may take for its ink."""

SCALE_BARS = (5, 10, 20, 50, 100, 200, 500)
"""Å; the longest under a third of the width is drawn."""

REACH = 0.75
"""1/Å shown of the FFT on either side."""

LABELLED = 5
"""Spots of each domain that are labelled."""

WORD = 2.0
"""Å from one line of names to the next."""

EDGE_ON = 0.035
"""Sine of the angle to the screen up to which a plane is drawn as a line."""


def draw(image: Image, spectrum: Spectrum | None) -> Figure:
    """The image, and beside it the spectrum where there is one."""
    if spectrum is None:
        figure = new_figure((5.2, 5.4))
        draw_image(figure.add_subplot(), image)
        return figure
    lines = caption(spectrum)
    figure = new_figure((10.0, 5.2 + 0.16 * len(lines)))
    grid = figure.add_gridspec(2, 2, height_ratios=(5.2, 0.16 * len(lines)))
    draw_image(figure.add_subplot(grid[0, 0]), image)
    draw_spectrum(figure.add_subplot(grid[0, 1]), image, spectrum)
    below = figure.add_subplot(grid[1, :])
    below.set_axis_off()
    below.text(0.5, 1, "\n".join(lines), fontsize=7, ha="center", va="top", parse_math=False)
    return figure


def write_tiff(image: Image, stream: BinaryIO) -> None:
    """The pixels as 32-bit numbers, with the sampling as resolution."""
    try:
        from PIL import Image as Picture
    except ImportError:
        raise InputError(
            "TIFF needs Pillow, which comes with the extra: pip install 'hetbuild[plot]'."
        ) from None
    per_cm = 1e8 / image.sampling
    made = Picture.fromarray(image.pixels.astype(np.float32))
    made.save(stream, format="TIFF", dpi=(2.54 * per_cm, 2.54 * per_cm))


def draw_image(axes: Axes, image: Image) -> None:
    """The pixels with a scale bar, the domains' outlines and the interface, where it is edge on."""
    left, right, bottom, top = image.extent
    named: list[int] = []  # sides of the names that are written
    axes.imshow(image.pixels, cmap="gray", extent=(left, right, bottom, top), interpolation="none")
    for k, (domain, outline) in enumerate(zip(image.model.domains, image.outlines, strict=True)):
        if len(outline):
            colour = COLOURS[k % len(COLOURS)]
            axes.plot(*np.vstack([outline, outline[:1]]).T, color=colour, lw=0.9, ls=(0, (4, 3)))
            side = 1 if outline[:, 1].mean() >= (top + bottom) / 2 else -1
            inward = 1.0 + WORD * named.count(side)
            named.append(side)
            _word(
                axes,
                (left + 0.02 * (right - left), (top if side > 0 else bottom) - side * inward),
                domain.name,
                colour,
                ha="left",
                va="top" if side > 0 else "bottom",
            )
    _draw_interface(axes, image)
    _draw_scale(axes, image)
    axes.set_title(f"HAADF-STEM, {image.method}", fontsize=8)
    axes.set_axis_off()


def _draw_interface(axes: Axes, image: Image) -> None:
    """Every interface that is seen edge on, its planes named on either side."""
    names = [domain.name for domain in image.model.domains]
    for interface in image.model.interfaces:
        plane = plane_of(image.model, interface)
        normal = image.view.axes @ plane[0]
        if abs(normal[2]) > EDGE_ON:
            continue
        point = image.view.project(plane[1][None])[0, :2]
        along = np.array([normal[1], -normal[0]])
        along = along if along[0] >= 0 else -along  # planes are named at the right
        axes.axline(tuple(point), tuple(point + along), color=PLANE, lw=1.2, ls=(0, (6, 3)))
        axes.set(xlim=image.extent[:2], ylim=image.extent[2:])
        end = point + along * (image.extent[1] - point[0] - 0.8) / max(abs(along[0]), 0.2)
        for side, name, hkl in zip((1, -1), interface.domains, interface.planes, strict=True):
            place = end + side * 1.1 * normal[:2]
            place = np.clip(place, *(np.array(image.extent).reshape(2, 2).T))
            colour = COLOURS[names.index(name) % len(COLOURS)]
            _word(axes, place, plane_label(hkl), colour, ha="right", va="center")


def _draw_scale(axes: Axes, image: Image) -> None:
    left, right, bottom, _ = image.extent
    length = max(b for b in SCALE_BARS if b <= max(0.33 * (right - left), SCALE_BARS[0]))
    x, y = right - 1.5, bottom + 1.5
    axes.plot([x - length, x], [y, y], color="white", lw=3, solid_capstyle="butt")
    text = f"{length} Å" if length < 10 else f"{length / 10:g} nm"
    _word(axes, (x - length / 2, y + 0.8), text, "white", ha="center", va="bottom")


def draw_spectrum(axes: Axes, image: Image, spectrum: Spectrum) -> None:
    """Logarithm of the amplitude; each domain's spots in its colour, labelled by the model."""
    n, step = len(spectrum.amplitude), spectrum.step
    half = min(int(REACH / step), n // 2 - 1)
    middle = slice(n // 2 - half, n // 2 + half + 1)
    shown = np.log10(spectrum.amplitude[middle, middle] + 1e-12)
    edge = (half + 0.5) * step
    axes.imshow(
        shown,
        cmap="gray",
        extent=(-edge, edge, -edge, edge),
        vmin=float(np.median(shown)),
        vmax=float(shown.max()),
        interpolation="none",
    )
    for k, pattern in enumerate(spectrum.patterns):
        _draw_spots(axes, pattern, COLOURS[k % len(COLOURS)], 1 - 2 * (k % 2))
    _draw_common_normal(axes, image)
    axes.set(xlim=(-edge, edge), ylim=(-edge, edge))
    axes.set_title("FFT, spots labelled with (hkl) of the model", fontsize=8)
    axes.set_axis_off()


def caption(spectrum: Spectrum) -> list[str]:
    """What was measured in the FFT beside what the model has, a line each."""
    lines = []
    for p in spectrum.patterns:
        zone = "[" + " ".join(map(str, p.zone)) + "]"
        place = f"{p.domain} {zone}" + (f", {p.off_zone:.1f}° away" if p.off_zone > 0.05 else "")
        spots = "; ".join(
            f"{plane_label(s.hkl)} {s.measured:.2f} ± {s.uncertainty:.2f} Å (model {s.spacing:.2f})"
            for s in p.spots[:2]
        )
        lines.append(f"{place}: {spots or 'no spots'}")
    if spectrum.tilt is not None:
        lines.append(angle_text(spectrum.tilt))
    return lines


def angle_text(angle: Angle) -> str:
    """As ``[0 1 0] of perovskite to [0 0 1] of sulfide: 7.0 ± 0.4° (model 7.09°)``."""
    return (
        f"{angle.first} to {angle.second}: {angle.measured:.1f} ± {angle.uncertainty:.1f}° "
        f"(model {angle.model:.2f}°)"
    )


def _draw_spots(axes: Axes, pattern: Pattern, colour: str, side: int) -> None:
    """Circles at g and -g; side: 1 or -1, which of the two is labelled, so that domains' labels
    keep apart."""
    if not pattern.spots:
        return
    places = np.array([s.expected for s in pattern.spots])
    both = np.vstack([places, -places])
    axes.scatter(both[:, 0], both[:, 1], s=46, facecolors="none", edgecolors=colour, linewidths=0.8)
    near = [s for s in pattern.spots if np.hypot(*s.expected) < 0.9 * REACH][:LABELLED]
    for spot in near:
        x, y = (side * c for c in spot.expected)
        hkl = [side * i for i in spot.hkl]
        _word(axes, (x, y + 0.028), plane_label(hkl), colour, ha="center", va="bottom")


def _draw_common_normal(axes: Axes, image: Image) -> None:
    """Along the normal that the planes of the interface share."""
    plane, interface = image.view.plane, image.model.interface
    if plane is None or interface is None:
        return
    normal = image.view.axes @ plane[0]
    if abs(normal[2]) > EDGE_ON:
        return
    reach = 0.93 * REACH * normal[:2]
    axes.plot(*np.array([-reach, reach]).T, color=PLANE, lw=0.8, ls=(0, (6, 3)))
    text = " || ".join(plane_label(p) for p in interface.planes)
    _word(axes, -reach + np.array([0.02, 0.0]), text, PLANE, ha="left", va="bottom")


def _word(
    axes: Axes, place: FloatArray | tuple[float, float], text: str, colour: str, **where: Any
) -> None:
    """Letters with a dark rim, readable on any grey. The text is taken as it is, no markup."""
    from matplotlib.patheffects import withStroke

    axes.text(
        float(place[0]),
        float(place[1]),
        text,
        color=colour,
        fontsize=7.5,
        parse_math=False,
        path_effects=[withStroke(linewidth=2, foreground=RIM)],
        **where,
    )
