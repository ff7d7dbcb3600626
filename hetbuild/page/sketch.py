"""A sketch of an interface: the ions on both sides seen along it, the plane, and what coincides."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hetbuild.arrays import FloatArray, IntArray
from hetbuild.crystal.lattice import Coincidence, plane_label
from hetbuild.elements import symbol
from hetbuild.formats.figure import new_figure
from hetbuild.formats.vesta import style
from hetbuild.geometry.view import View, view
from hetbuild.model import Model, Role

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from hetbuild.analyse.interface import MeasuredInterface

HEIGHT = 8.0
"""Å on either side of the plane that are drawn."""

WIDTH = 22.0
"""Å to the left and right of the middle, at most."""

SCALE = 6.2
"""Å an inch."""

BALL = 0.42
"""Part of VESTA's radius that ions are drawn with."""

PLANE = "#c2187a"


def interface_sketch(model: Model, measured: MeasuredInterface | None) -> Figure | None:
    """The interface of two domains edge on; None where there is none. Ions in line are drawn once.

    Raises
    ------
    InputError
        matplotlib is not installed.
    """
    seen = view(model)
    if seen.plane is None or model.interface is None:
        return None
    place, kind, role = _columns(model, seen)
    wide = float(np.abs(place[:, 0]).max()) + 2.0
    made = new_figure((2 * wide / SCALE, (2 * HEIGHT + 6.0) / SCALE))
    axes = made.subplots()
    _draw_ions(axes, place, kind, role)
    _draw_step_profile(axes, place[role == Role.SHARED])
    axes.axhline(0.0, color=PLANE, lw=1.2, ls=(0, (6, 3)))
    names = [d.name for d in model.domains]
    for side, name, hkl in zip((1, -1), names, model.interface.planes, strict=True):
        axes.text(
            -wide + 0.3,
            side * (HEIGHT + 0.6),
            f"{name} {plane_label(hkl)}",
            va="bottom" if side > 0 else "top",
            fontsize=9,
            parse_math=False,
        )
    pair = _on_screen(model, seen, measured)
    if pair is not None and max(pair.lengths) < 1.8 * wide:
        _draw_coincidence(axes, pair)
    axes.set(xlim=(-wide, wide), ylim=(-HEIGHT - 3.0, HEIGHT + 3.0), aspect="equal")
    axes.set_axis_off()
    return made


def _columns(model: Model, seen: View) -> tuple[FloatArray, IntArray, IntArray]:
    """Right and up from the plane's middle, Å, atomic number and role of each row of ions."""
    assert seen.plane is not None
    screen = seen.project(model.positions - seen.plane[1])
    shared = screen[model.role == Role.SHARED]
    screen[:, 0] -= float((shared if len(shared) else screen)[:, 0].mean())
    near = (np.abs(screen[:, 1]) <= HEIGHT) & (np.abs(screen[:, 0]) <= WIDTH)
    screen, numbers, role = screen[near], model.numbers[near], model.role[near]
    key = np.column_stack([np.rint(screen[:, :2] / 0.4).astype(int), numbers])
    # Of ions in line the nearest to the viewer, and before it one of the shared layer.
    order = np.lexsort((-screen[:, 2], role != Role.SHARED))
    first = order[np.unique(key[order], axis=0, return_index=True)[1]]
    return screen[first, :2], numbers[first], role[first]


def _draw_ions(axes: Axes, place: FloatArray, kind: IntArray, role: IntArray) -> None:
    from matplotlib.collections import EllipseCollection

    for z in np.unique(kind)[::-1]:
        radius, colour = style(symbol(int(z)))
        mine = np.flatnonzero(kind == z)
        shared = role[mine] == Role.SHARED
        size = np.full(len(mine), 2 * BALL * radius)
        axes.add_collection(
            EllipseCollection(
                size,
                size,
                np.zeros(len(mine)),
                units="xy",
                offsets=place[mine],
                offset_transform=axes.transData,
                facecolors=[tuple(c / 255 for c in colour)],
                edgecolors=[PLANE if s else "#30343b" for s in shared],
                linewidths=np.where(shared, 2.0, 0.5),
                zorder=3,
            )
        )
        axes.scatter([], [], s=50, color=[tuple(c / 255 for c in colour)], label=symbol(int(z)))
    axes.legend(loc="upper right", frameon=False, fontsize=8, ncols=len(np.unique(kind)))


def _draw_step_profile(axes: Axes, shared: FloatArray) -> None:
    """Through the shared cations from left to right."""
    if len(shared) > 1:
        line = shared[np.argsort(shared[:, 0], kind="stable")]
        axes.plot(*line.T, color=PLANE, lw=7, alpha=0.25, solid_joinstyle="round", zorder=2)


def _on_screen(model: Model, seen: View, measured: MeasuredInterface | None) -> Coincidence | None:
    """The coincidence that lies in the plane of the screen: what is not looked along."""
    pairs = measured.coincidences if measured is not None else ()
    first = model.domains[0]
    for pair in pairs:
        along = seen.axes @ (pair.first.vector @ first.vectors)
        if abs(along[2]) < 0.1 * np.linalg.norm(along):
            return pair
    return None


def _draw_coincidence(axes: Axes, pair: Coincidence) -> None:
    """Two measures of the same stretch, that of each domain on its side."""
    for side, length, label in zip((1, -1), pair.lengths, pair.labels, strict=True):
        y = side * (HEIGHT + 0.4)
        axes.annotate(
            "",
            (-length / 2, y),
            (length / 2, y),
            arrowprops={"arrowstyle": "|-|", "mutation_scale": 3, "lw": 1.0},
        )
        axes.text(
            0.0,
            y + 0.4 * side,
            f"{label}  {length:.3f} Å",
            ha="center",
            va="bottom" if side > 0 else "top",
            fontsize=8,
            parse_math=False,
        )
