"""Models in a notebook: what they are, and a small picture."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from hetbuild.arrays import FloatArray, IntArray
from hetbuild.elements import symbol
from hetbuild.formats.vesta import PALETTE
from hetbuild.model import Model
from hetbuild.notebook import to_table

SIDE = 260
"""Longer side of the picture, pixels."""

OTHER = (1.5, 0x888888)
"""Radius in Å and colour of an element without an own one."""

SHRUNK = 0.62
"""Drawn radius over that of the palette, so that rows of ions stay apart."""

COLUMN = 0.35
"""Å: of atoms whose centres are nearer in the picture only the front one is drawn."""

VIEW = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]])
"""Right, up and towards the viewer: along the interface, its normal upwards; as of a particle."""


def to_html(model: Model) -> str:
    """A picture of the model beside its formula, charge and domains."""
    rows = [("charge", f"{model.charge:+d} e" if model.charge else "0 e, neutral")]
    rows += [
        (d.name, f"{model.formulas[d.name]} on {d.crystal.name} ({d.crystal.space_group})")
        for d in model.domains
    ]
    rows.append(("size", " x ".join(f"{x:.1f}" for x in _extent(model)) + " Å"))
    title = f"{model.formula}, {len(model)} atoms"
    return (
        f'<div style="display:flex;gap:1em;align-items:center">{to_svg(model)}'
        f"{to_table(title, rows)}</div>"
    )


def to_svg(model: Model) -> str:
    """The model seen along the interface as an SVG document, atoms in VESTA's colours."""
    if not len(model):
        return ""
    place = model.positions @ VIEW.T
    front = _visible(place)
    radius, colour = _looks(model.numbers[front])
    place = place[front]
    low = (place[:, :2] - radius[:, None]).min(axis=0)
    high = (place[:, :2] + radius[:, None]).max(axis=0)
    scale = SIDE / float((high - low).max())
    width, height = ((high - low) * scale).round(1)
    x = (place[:, 0] - low[0]) * scale
    y = (high[1] - place[:, 1]) * scale
    circles = "".join(_circles(x, y, radius * scale, colour))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" '
        f'viewBox="0 0 {width:g} {height:g}" stroke="#222" stroke-width="0.4">{circles}</svg>'
    )


def _extent(model: Model) -> FloatArray:
    if not len(model):
        return np.zeros(3)
    return np.asarray(model.positions.max(axis=0) - model.positions.min(axis=0))


def _visible(place: FloatArray) -> IntArray:
    """Atoms in front of all others of their column, farthest first. place: Å, shape (N, 3)."""
    order = np.argsort(place[:, 2], kind="stable")[::-1]
    columns = np.rint(place[order, :2] / COLUMN).astype(np.int64)
    _, first = np.unique(columns, axis=0, return_index=True)
    return np.asarray(order[np.sort(first)][::-1])


def _looks(numbers: IntArray) -> tuple[FloatArray, list[str]]:
    """Drawn radius in Å, shape (N,), and colour of each atom."""
    kinds, which = np.unique(numbers, return_inverse=True)
    looks = [PALETTE.get(symbol(z), OTHER) for z in kinds]
    radius = SHRUNK * np.array([r for r, _ in looks])
    return radius[which], [f"#{looks[i][1]:06x}" for i in which]


def _circles(x: FloatArray, y: FloatArray, r: FloatArray, colour: list[str]) -> Iterator[str]:
    for a, b, c, fill in zip(x, y, r, colour, strict=True):
        yield f'<circle cx="{a:.1f}" cy="{b:.1f}" r="{c:.1f}" fill="{fill}"/>'
