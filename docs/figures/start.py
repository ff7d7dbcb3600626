"""Draw the pictures of docs/start.md: python docs/figures/start.py [FOLDER]."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

import hetbuild as hb
from hetbuild.analyse.report import inspect
from hetbuild.geometry.view import view
from hetbuild.page.sketch import interface_sketch

AXIS = {"perovskite": "#b35806", "sulfide": "#2166ac"}


def draw(folder: Path) -> None:
    """interface.png: the interface edge on, with what the lines of the report measure."""
    model = hb.build("cspbcl3-pbs")
    report = inspect(model)
    figure = interface_sketch(model, report.interface)
    assert figure is not None
    axes = figure.axes[0]
    tilt = report.interface.tilt
    seen = view(model)
    lines = zip(model.domains, (tilt.first, tilt.second), (4, -12), strict=True)
    for domain, uvw, lift in lines:
        x, y, _ = seen.project((np.array(uvw) @ domain.vectors)[None])[0]
        step = 10.0 * np.array([x, y]) / np.hypot(x, y)
        axes.annotate(
            "", step, (0.0, 0.0), zorder=6,
            arrowprops={"arrowstyle": "-|>", "color": AXIS[domain.name], "lw": 2.2},
        )  # fmt: skip
        label = "[{} {} {}] of {}".format(*uvw, domain.name)
        label += f", tilt {tilt.angle:.2f}°" if lift < 0 else ""
        axes.annotate(
            label, step, (4, lift), textcoords="offset points", fontsize=8,
            color=AXIS[domain.name], zorder=7,
            bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 1},
        )  # fmt: skip
    figure.savefig(folder / "interface.png", dpi=150, facecolor="white")


if __name__ == "__main__":
    draw(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
