"""Figures: made without a window, written with the same bytes each time."""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO

from hetbuild.errors import InputError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ENDINGS = (".png", ".svg", ".pdf")
"""Files a figure can be written to."""


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
    with mpl.rc_context({"svg.hashsalt": "hetbuild", "svg.fonttype": "none"}):
        figure.savefig(stream, format=kind, metadata={stamp: None})
