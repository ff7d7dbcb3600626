"""Draw a .vesta file of hetbuild as it opens in VESTA: view, colours, bonds, octahedra, plane.

python examples/render.py model.vesta picture.png; without arguments the CsPbCl3/PbS model is built
and drawn to cspbcl3-pbs.png. Needs matplotlib.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import matplotlib as mpl
import numpy as np
from scipy.spatial import ConvexHull, cKDTree

from hetbuild.build import build
from hetbuild.elements import symbol
from hetbuild.formats.vesta import read_sections, read_vesta, write_vesta
from hetbuild.library import find_recipe
from hetbuild.recipe import read_recipe

HALIDES = ("F", "Cl", "Br", "I")


def table(lines: list[str]) -> list[list[str]]:
    """Rows of a section, without the one of zeros that ends it."""
    return [line.split() for line in lines if line.strip()][:-1]


def draw(source: Path, picture: Path) -> None:
    """Draw a VESTA file down its own starting orientation."""
    mpl.use("Agg")
    import matplotlib.pyplot as plt
    from matplotlib.collections import LineCollection, PolyCollection

    numbers, positions, _ = read_vesta(source)
    sections = read_sections(source)
    axes = np.array([[float(x) for x in row.split()[:3]] for row in sections["SCENE"][:3]])
    places = positions @ axes.T
    elements = np.array([symbol(int(z)) for z in numbers])
    styles = table(sections["SITET"])
    labels = np.array([row[1] for row in styles])
    radius = np.array([float(row[2]) for row in styles])
    colour = np.array([[int(x) / 255 for x in row[3:6]] for row in styles])

    octahedra, bonds = [], []
    for row in table(sections["SBOND"]):
        centres, partners = (np.flatnonzero(elements == e) for e in row[1:3])
        near = cKDTree(positions[centres]).query_ball_tree(
            cKDTree(positions[partners]), float(row[4])
        )
        for centre, found in zip(centres, near, strict=True):
            bonds += [(places[centre], places[partners[k]]) for k in found]
            if row[2] in HALIDES and len(found) == 6:
                octahedra.append(places[partners[found]])

    figure, axis = plt.subplots(figsize=(7.2, 7.2), dpi=130)
    hulls = [corners[ConvexHull(corners[:, :2]).vertices] for corners in octahedra]
    hulls.sort(key=lambda h: h[:, 2].mean())
    axis.add_collection(
        PolyCollection(
            [h[:, :2] for h in hulls], facecolor="#6b7fa3", alpha=0.10, edgecolor="#33415c", lw=0.4
        )
    )
    ends = np.array(bonds)[:, :, :2]
    axis.add_collection(LineCollection(ends, colors="#777777", linewidths=0.5, alpha=0.5))
    order = np.argsort(places[:, 2], kind="stable")
    shared = np.char.endswith(labels, "_shared")
    axis.scatter(
        *places[order, :2].T,
        s=34 * radius[order] ** 2 * np.where(elements[order] == "Cs", 0.35, 1.0),
        c=colour[order],
        edgecolors=np.where(shared[order], "#7a0050", "#222222"),
        linewidths=0.4,
        zorder=2,
    )
    for _, h, k, l, distance, *_ in table(sections["SPLAN"]):  # noqa: E741 (Miller index)
        normal = axes @ (np.array([float(h), float(k), float(l)]))
        normal /= np.linalg.norm(normal)
        # The plane stands upright on the screen: a line where its normal has no depth.
        along = np.array([normal[1], -normal[0]])
        start = normal[:2] * float(distance) + along * (places[:, :2].mean(axis=0) @ along)
        span = 0.58 * np.ptp(places[:, :2] @ along)
        line = np.array([start - span * along, start + span * along])
        axis.plot(*line.T, color="magenta", lw=1.2, ls="--", zorder=3)
    for element in dict.fromkeys(elements):
        here = np.flatnonzero((elements == element) & ~shared)
        axis.scatter([], [], s=60, color=colour[here[0]], edgecolors="#222222", label=element)
    axis.scatter([], [], s=60, color=(1, 0, 1), edgecolors="#7a0050", label="shared Pb")
    axis.legend(loc="upper left", frameon=False, fontsize=9)
    axis.set_title(sections["TITLE"][0].split(" | ")[0], fontsize=8)
    axis.set_aspect("equal")
    axis.axis("off")
    axis.autoscale_view()
    figure.tight_layout()
    figure.savefig(picture, metadata={"Software": None})
    plt.close(figure)


def main(words: list[str]) -> None:
    """Draw the file named, or the model of the default recipe."""
    if words:
        draw(Path(words[0]), Path(words[1]))
        return
    model = build(read_recipe(find_recipe("cspbcl3-pbs")))
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "model.vesta"
        with source.open("w", encoding="utf-8") as stream:
            write_vesta(model, stream)
        draw(source, Path("cspbcl3-pbs.png"))


if __name__ == "__main__":
    main(sys.argv[1:])
