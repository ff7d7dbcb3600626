"""Figures of powder patterns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from hetbuild.arrays import BoolArray, FloatArray
from hetbuild.diffraction.bragg import BraggLines
from hetbuild.diffraction.peaks import maxima
from hetbuild.errors import InputError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from hetbuild.diffraction.xrd import Xrd

COLOURS = ("#0b6e4f", "#1f4e9c", "#b3541e", "#6a3d9a")
"""Of the domains, in their order."""

CROSS = "#999999"
"""Of cross terms."""

SIZE = (7.0, 4.6)
"""Inches."""

LABELLED = 10.0
"""% of its strongest a line must have to be labelled with its indices."""

APART = 3.0
"""Degrees between two labels of one row, so that they do not overlap."""


def empty_figure(size: tuple[float, float] = SIZE) -> Figure:
    """A figure that needs no window system. size: inches.

    Raises
    ------
    InputError
        matplotlib is not installed.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise InputError(
            "Figures need matplotlib, which is not installed: pip install 'hetbuild[plot]'."
        ) from None
    made = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(made)
    return made


def plot_pattern(found: Xrd) -> Figure:
    """Total, partials and cross terms over 2 theta; the bulk phases' lines as ticks below."""
    made = empty_figure()
    heights = [4.0, 0.35 * len(found.lines)]
    above, below = made.subplots(2, 1, sharex=True, height_ratios=heights)
    x = found.pattern.two_theta
    highest = max((found.pattern.total[i] for i, _ in maxima(x, found.pattern.total)), default=1.0)
    draw_curves(above, x, {name: 100.0 * y / highest for name, y in found.curves.items()})
    above.set(ylabel="intensity / % of the highest maximum", title=found.formula)
    draw_ticks(below, found.lines, (float(x[0]), float(x[-1])))
    below.set_xlabel(f"2θ / °, {found.pattern.instrument.radiation.name}")
    return made


def draw_curves(axes: Axes, x: FloatArray, curves: Mapping[str, FloatArray]) -> None:
    """The total in black, each part in its domain's colour, cross terms in grey."""
    domains = iter(COLOURS)
    for k, (name, y) in enumerate(curves.items()):
        colour = "black" if k == 0 else CROSS if " x " in name else next(domains, CROSS)
        axes.plot(x, y, color=colour, lw=1.2 if k == 0 else 0.9, label=name)
    axes.legend(frameon=False, fontsize="small")


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
