"""Figure of an electronic structure: density of states by domain above, localisation below."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hetbuild.arrays import BoolArray, FloatArray
from hetbuild.electronic.structure import ZEROS, Density, Structure
from hetbuild.formats.figure import new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = ("#d9822b", "#2b7fd9", "#4f9d4a", "#b04fa0")
"""Of the domains, in their order, as on the page of a report."""

SIZE = (7.0, 5.0)
"""Inches."""


def plot(found: Structure, curves: Density) -> Figure:
    """Densities of states by domain; below, the inverse participation ratio of each orbital in the
    colour of the domain that has most of it."""
    made = new_figure(SIZE)
    with_ipr = found.shares.ipr is not None
    axes = made.subplots(2 if with_ipr else 1, 1, sharex=True, squeeze=False)[:, 0]
    above = axes[0]
    above.plot(curves.energies, curves.total, color="black", lw=1.0, label="total")
    for colour, (name, values) in zip(COLOURS * 9, curves.parts["domain"].items(), strict=False):
        above.fill_between(curves.energies, values, color=colour, alpha=0.35, lw=0)
        above.plot(curves.energies, values, color=colour, lw=1.0, label=name)
    above.set(ylabel=f"states / eV⁻¹ (σ = {curves.width:g} eV)", ylim=(0, None))
    above.legend(frameon=False, fontsize="small")
    gap = "" if found.gap is None else f", gap {found.gap:.2f} eV"
    above.set_title(f"{found.name}{gap}", fontsize="medium")
    if found.shares.ipr is not None:
        low, high = curves.energies[0], curves.energies[-1]
        _draw_ipr(
            axes[1], found, found.shares.ipr, (found.energies > low) & (found.energies < high)
        )
    for panel in axes:
        _mark_gap(panel, found)
    axes[-1].set_xlabel(f"energy / eV, zero: {ZEROS[found.zero]}")
    axes[-1].set_xlim(curves.energies[0], curves.energies[-1])
    return made


def _draw_ipr(panel: Axes, found: Structure, ipr: FloatArray, seen: BoolArray) -> None:
    names = list(found.shares.domains)
    most = np.argmax(np.stack(list(found.shares.domains.values())), axis=0)
    for i, name in enumerate(names):
        mine = (most == i) & seen
        colour = COLOURS[i % len(COLOURS)]
        panel.vlines(found.energies[mine], 0, ipr[mine], color=colour, lw=0.6, label=name)
        panel.plot(found.energies[mine], ipr[mine], ".", color=colour, ms=3)
    panel.set(ylabel="IPR (Σw² / (Σw)²)", ylim=(0, None))


def _mark_gap(panel: Axes, found: Structure) -> None:
    top = float(found.energies[found.states.occupied].max())
    if found.gap is not None:
        panel.axvspan(top, top + found.gap, color="#eeeeee", lw=0, zorder=0)
