"""Figures: made without a window, written with the same bytes each time."""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING, BinaryIO

from hetbuild.errors import InputError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ENDINGS = (".png", ".svg", ".pdf")
"""Files a figure can be written to."""

HASHED = re.compile(r'id="([A-Za-z]\w*?[0-9a-f]{10})"')
"""Ids that matplotlib gives clip paths, markers and paths."""


def new_figure(size: tuple[float, float]) -> Figure:
    """An empty figure of this size in inches.

    Raises
    ------
    InputError
        matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise InputError(
            "Figures need matplotlib, which is not installed: pip install 'hetbuild[plot]'."
        ) from None
    return Figure(figsize=size, layout="constrained", dpi=150)


def write_figure(figure: Figure, stream: BinaryIO, kind: str) -> None:
    """As png, svg or pdf; the same figure gives the same bytes."""
    import matplotlib as mpl

    stamp = {"png": "Software", "svg": "Date", "pdf": "CreationDate"}[kind]
    held = io.BytesIO()
    with mpl.rc_context({"svg.hashsalt": "hetbuild", "svg.fonttype": "none"}):
        figure.savefig(held, format=kind, metadata={stamp: None})
    content = held.getvalue()
    stream.write(numbered(content.decode()).encode() if kind == "svg" else content)


def numbered(svg: str) -> str:
    """With ids by their order: matplotlib's are hashes of coordinates to their last bits."""
    for k, old in enumerate(dict.fromkeys(HASHED.findall(svg))):
        svg = svg.replace(f'"{old}"', f'"i{k}"').replace(f"#{old}", f"#i{k}")
    return svg
