"""Figures of powder patterns and pair distribution functions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from hetbuild.arrays import BoolArray, FloatArray
from hetbuild.diffraction.bragg import BraggLines
from hetbuild.diffraction.peaks import maxima
from hetbuild.formats.figure import new_figure
from hetbuild.rounding import DIGITS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from hetbuild.diffraction.fit import PatternFit
    from hetbuild.diffraction.pdf import Pdf
    from hetbuild.diffraction.xrd import Xrd

COLOURS = ("#0b6e4f", "#1f4e9c", "#b3541e", "#6a3d9a")
"""Colours of the domains, in their order."""

CROSS = "#999999"
"""Colour of the cross terms between domains."""

SIZE = (7.0, 4.6)
"""Width and height of the figure, inches."""

LABELLED = 10.0
"""% of its strongest a line must have to be labelled with its indices."""

APART = 3.0
"""Degrees between two labels of one row, so that they do not overlap."""


def plot_pattern(found: Xrd, measured: PatternFit | None = None) -> Figure:
    """Total, partials and cross terms over 2 theta; the bulk phases' lines as ticks below.

    measured: drawn instead of the partials, with what was fitted to it and the difference.
    """
    made = new_figure(SIZE)
    heights = [4.0, 0.35 * len(found.lines)]
    above, below = made.subplots(2, 1, sharex=True, height_ratios=heights)
    x = found.pattern.two_theta
    if measured is None:
        tops = [found.pattern.total[i] for i, _ in maxima(x, found.pattern.total)]
        highest = max(tops, default=float(found.pattern.total.max()))
        draw_curves(above, x, {name: 100.0 * y / highest for name, y in found.curves.items()})
        above.set(ylabel="intensity / % of the highest maximum", title=found.formula)
        limits = float(x[0]), float(x[-1])
    else:
        draw_comparison(above, measured)
        above.set(ylabel="intensity as measured", title=found.formula)
        limits = float(measured.two_theta[0]), float(measured.two_theta[-1])
    draw_ticks(below, found.lines, limits)
    below.set_xlabel(f"2θ / °, {found.pattern.instrument.radiation.name}")
    return made


def plot_pdf(found: Pdf) -> Figure:
    """G(r) and its partials."""
    made = new_figure(SIZE)
    axes = made.add_subplot()
    draw_curves(axes, found.r, found.curves)
    low, high = found.q_range
    axes.set(xlim=(0.0, float(found.r[-1])), xlabel="r / Å", ylabel="G(r) / Å⁻²")
    axes.set_title(f"{found.formula}, q {low:g} to {high:g} Å⁻¹")
    return made


def draw_curves(axes: Axes, x: FloatArray, curves: Mapping[str, FloatArray]) -> None:
    """The total in black, each part in a colour of its own, cross terms of domains in grey."""
    total, *parts = curves
    # To what is seen: limits of the axes, and with them every path, follow the last bits.
    curves = {name: np.round(curve, DIGITS) for name, curve in curves.items()}
    axes.plot(x, curves[total], color="black", lw=1.2, label=total)
    colours = (
        iter(COLOURS) if len(parts) <= len(COLOURS) else iter([f"C{k}" for k in range(10)] * 9)
    )
    for name in parts:
        colour = CROSS if " x " in name else next(colours)
        axes.plot(x, curves[name], color=colour, lw=0.9, label=name)
    axes.legend(frameon=False, fontsize="small")


def draw_comparison(axes: Axes, found: PatternFit) -> None:
    """Measured points, the fitted pattern on its background, and their difference underneath."""
    x = found.two_theta
    axes.plot(x, found.measured, ".", color=CROSS, ms=2, label="measured")
    axes.plot(x, found.calculated, color="black", lw=1.2, label="model, scaled")
    axes.plot(x, found.background, color=COLOURS[2], lw=0.7, ls="--", label="background")
    low = min(float(found.measured.min()), float(found.background.min()))
    rest = found.measured - found.calculated
    axes.plot(x, rest - rest.max() + low, color=COLOURS[1], lw=0.7, label="difference")
    axes.legend(frameon=False, fontsize="small", title=f"Rwp {100 * found.rwp:.1f} %")


def draw_ticks(axes: Axes, lines: Mapping[str, BraggLines], limits: tuple[float, float]) -> None:
    """A row of ticks for each domain's bulk phase, the strong lines with their indices."""
    for row, phase in enumerate(lines.values()):
        colour = COLOURS[row % len(COLOURS)]
        here = (phase.two_theta >= limits[0]) & (phase.two_theta <= limits[1])
        axes.vlines(phase.two_theta[here], -row - 0.3, -row, color=colour, lw=0.8)
        for k in _labelled(phase, here):
            text = " ".join(str(int(i)) for i in phase.hkl[k])
            x = float(phase.two_theta[k])
            axes.text(x, -row, text, color=colour, fontsize=5.5, ha="center", va="bottom")
        axes.text(
            1.01,
            -row - 0.15,
            phase.crystal,
            color=colour,
            fontsize="small",
            va="center",
            transform=axes.get_yaxis_transform(),
        )
    axes.set(xlim=limits, ylim=(-len(lines) + 0.6, 0.45), yticks=[])


def _labelled(phase: BraggLines, here: BoolArray) -> list[int]:
    """Lines to label, the strongest first, none too near to one labelled already."""
    chosen: list[int] = []
    for k in np.argsort(-phase.intensity, kind="stable"):
        clear = np.abs(phase.two_theta[chosen] - phase.two_theta[k]) >= APART
        if here[k] and phase.intensity[k] >= LABELLED and clear.all():
            chosen.append(int(k))
    return chosen
