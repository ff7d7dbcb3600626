"""Draw a .vesta file of hetbuild as it opens in VESTA: view, colours, bonds, octahedra, plane.

python examples/render.py model.vesta picture.png; without arguments the CsPbCl3/PbS model is built
and drawn to cspbcl3-pbs.png. Needs matplotlib.
"""

from __future__ import annotations

import io
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from PIL import Image
from scipy.spatial import ConvexHull, cKDTree

from hetbuild.elements import symbol
from hetbuild.formats.vesta import write_vesta
from hetbuild.formats.vesta_file import read_sections, read_vesta
from hetbuild.library import find_recipe
from hetbuild.model import Model
from hetbuild.recipe.read import read_recipe
from hetbuild.recipe.run import build

HALIDES = ("F", "Cl", "Br", "I")
ROLES = {"": "", "_shared": "shared ", "_ligand": "ligand ", "_comp": "balancing "}
"""What a label ends in, and what the key calls such a site."""

BALL = 0.4
"""VESTA draws balls at this part of the radius in the file."""

INK = "#2b2f3a"
PLANE = "#c2187a"
OCTAHEDRON, PROFILE = "#4e6fb3", "#c2187a"


@dataclass(frozen=True)
class Scene:
    """What the file holds, in screen axes: right, up, towards the viewer, Å."""

    places: np.ndarray
    elements: np.ndarray
    roles: np.ndarray
    """Ends of the labels, keys of ROLES."""
    radius: np.ndarray
    colour: np.ndarray
    bonds: np.ndarray
    """Indices of the two sites of each bond, shape (B, 2); the centre of polyhedra first."""
    plane: tuple[np.ndarray, float] | None
    """Unit normal, and distance from the origin in Å."""
    title: str


def table(lines: list[str]) -> list[list[str]]:
    """Rows of a section, without the one of zeros that ends it."""
    return [line.split() for line in lines if line.strip()][:-1]


def read_scene(source: Path) -> Scene:
    """A VESTA file seen down its own starting orientation."""
    numbers, positions, vectors = read_vesta(source)
    sections = read_sections(source)
    axes = np.array([[float(x) for x in row.split()[:3]] for row in sections["SCENE"][:3]])
    elements = np.array([symbol(int(z)) for z in numbers])
    styles = table(sections["SITET"])
    bonds = []
    for row in table(sections["SBOND"]):
        centres, partners = (np.flatnonzero(elements == e) for e in row[1:3])
        near = cKDTree(positions[centres]).query_ball_tree(
            cKDTree(positions[partners]), float(row[4])
        )
        bonds += [(c, partners[k]) for c, found in zip(centres, near, strict=True) for k in found]
    plane = None
    for row in table(sections["SPLAN"]):
        normal = axes @ np.linalg.inv(vectors) @ np.array([float(x) for x in row[1:4]])
        plane = normal / np.linalg.norm(normal), float(row[4])
    return Scene(
        places=positions @ axes.T,
        elements=elements,
        roles=np.array([row[1][row[1].find("_") :] if "_" in row[1] else "" for row in styles]),
        radius=BALL * np.array([float(row[2]) for row in styles]),
        colour=np.array([[int(x) / 255 for x in row[3:6]] for row in styles]),
        bonds=np.array(bonds).reshape(-1, 2),
        plane=plane,
        title=sections["TITLE"][0].split(" | ")[0],
    )


def from_the_side(scene: Scene) -> Scene:
    """The scene turned by 90 degrees about the upward axis of the screen."""
    turn = np.array([[0.0, 0.0, -1.0], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0]])
    plane = None if scene.plane is None else (turn @ scene.plane[0], scene.plane[1])
    return replace(scene, places=scene.places @ turn.T, plane=plane, title="from the side")


def draw(source: Path, picture: Path, *, sides: int = 1) -> None:
    """Draw a VESTA file down its own starting orientation, and with 2 sides from the side too."""
    mpl.use("Agg")
    import matplotlib.pyplot as plt

    front = read_scene(source)
    scenes = [front, from_the_side(front)][:sides]
    spans = [np.ptp(s.places[:, :2], axis=0) + 5.5 for s in scenes]
    wide = sum(float(s[0]) for s in spans)
    size = (7.4 * sides, 7.4 * sides * spans[0][1] / wide)
    figure, axes = plt.subplots(
        1,
        sides,
        figsize=size,
        dpi=130 / sides**0.5,
        width_ratios=[s[0] for s in spans],
        squeeze=False,
    )
    for axis, scene in zip(axes[0], scenes, strict=True):
        draw_scene(axis, scene, key=scene is front)
    figure.tight_layout(pad=0.4)
    drawn = io.BytesIO()
    figure.savefig(drawn)
    plt.close(figure)
    # A palette takes a third of the bytes.
    Image.open(drawn).convert("RGB").quantize(256).save(picture, optimize=True)


def draw_scene(axis: Axes, scene: Scene, *, key: bool) -> None:
    """One view of the model, far things first. key: what the colours mean, and a scale."""
    draw_plane(axis, scene)
    draw_octahedra(axis, scene)
    draw_bonds(axis, scene)
    if key:
        draw_step_profile(axis, scene)
    balls(axis, scene.places, scene.radius, faded(scene))
    if key:
        draw_key(axis, scene)
    axis.set_title(scene.title, fontsize=9, color=INK)
    low, high = scene.places[:, :2].min(axis=0) - 3, scene.places[:, :2].max(axis=0) + 2.5
    axis.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), aspect="equal")
    axis.axis("off")


def faded(scene: Scene) -> np.ndarray:
    """Colours, paler with depth."""
    depth = scene.places[:, 2].max() - scene.places[:, 2]
    mist = 0.35 * (depth / max(depth.max(), 1.0))[:, None]
    return scene.colour * (1 - mist) + mist


def balls(axis: Axes, places: np.ndarray, radius: np.ndarray, colour: np.ndarray) -> None:
    """Shaded balls, far ones first: a dark rim, then discs that shrink towards the light."""
    from matplotlib.collections import EllipseCollection

    order = np.argsort(places[:, 2], kind="stable")
    steps = np.linspace(0, 1, 7)
    centre = places[order, None, :2] + np.array([-0.3, 0.35]) * (
        radius[order, None, None] * steps[:, None] * 0.9
    )
    size = 2 * radius[order, None] * (1 - 0.88 * steps)
    light = np.where(steps < 0.1, 0.25, 0.92 + 0.08 * steps)[:, None]
    white = (0.85 * steps**3)[:, None]
    tone = colour[order, None] * light * (1 - white) + white
    size[:, 0] += 0.10
    axis.add_collection(
        EllipseCollection(
            size.ravel(),
            size.ravel(),
            np.zeros(size.size),
            units="xy",
            offsets=centre.reshape(-1, 2),
            transOffset=axis.transData,
            facecolors=tone.reshape(-1, 3),
            linewidths=0,
            zorder=4,
        )
    )


def draw_octahedra(axis: Axes, scene: Scene) -> None:
    """Complete octahedra of halides, and what surrounds each shared cation."""
    from matplotlib.collections import PolyCollection

    hulls, colours = [], []
    for centre in np.unique(scene.bonds[:, 0]):
        corners = scene.bonds[scene.bonds[:, 0] == centre, 1]
        shared = scene.roles[centre] == "_shared"
        if shared or (len(corners) == 6 and np.isin(scene.elements[corners], HALIDES).all()):
            flat = scene.places[corners, :2]
            if np.linalg.matrix_rank(flat - flat[0], tol=1e-3) < 2:
                continue  # seen edge-on
            hulls.append(flat[ConvexHull(flat).vertices])
            colours.append(PROFILE if shared else OCTAHEDRON)
    axis.add_collection(
        PolyCollection(hulls, facecolors=colours, alpha=0.11, edgecolors="none", zorder=1)
    )
    axis.add_collection(
        PolyCollection(hulls, facecolors="none", edgecolors=colours, alpha=0.35, lw=0.6, zorder=1.5)
    )


def draw_bonds(axis: Axes, scene: Scene) -> None:
    """Each half in the colour of its end; those of shared cations stand out."""
    from matplotlib.collections import LineCollection

    ends = scene.places[scene.bonds][:, :, :2]
    middle = ends.mean(axis=1, keepdims=True)
    colour = 0.85 * faded(scene)
    for side in (0, 1):
        half = np.concatenate([ends[:, side : side + 1], middle], axis=1)
        axis.add_collection(
            LineCollection(half, colors=colour[scene.bonds[:, side]], linewidths=1.1, zorder=2)
        )
    strong = scene.roles[scene.bonds[:, 0]] == "_shared"
    axis.add_collection(LineCollection(ends[strong], colors=PROFILE, linewidths=2.2, zorder=2.5))


def draw_plane(axis: Axes, scene: Scene) -> None:
    """The interface stands upright on the screen: a line where its normal has no depth."""
    if scene.plane is None:
        return
    normal, distance = scene.plane
    along = np.array([normal[1], -normal[0]])
    x = scene.places[:, :2] @ along
    reach = np.array([x.min() - 2.5, x.max() + 2.5])
    line = normal[:2] * distance + reach[:, None] * along
    axis.plot(*line.T, color=PLANE, lw=1.3, ls=(0, (6, 3)), zorder=3)


def draw_step_profile(axis: Axes, scene: Scene) -> None:
    """Through the two rows of cations nearest to the plane on its upper side."""
    if scene.plane is None:
        return
    normal, distance = scene.plane
    centres = scene.places[np.unique(scene.bonds[:, 0])]
    height = np.round(centres @ normal - distance, 1)
    rows = np.unique(height[height > -0.05])[:2]
    steps = np.unique(np.round(centres[np.isin(height, rows), :2], 2), axis=0)
    axis.plot(*steps.T, color=PROFILE, lw=7, alpha=0.22, solid_joinstyle="round", zorder=3)


def draw_key(axis: Axes, scene: Scene) -> None:
    """What each colour is, and a scale."""
    for role, word in ROLES.items():
        for element in dict.fromkeys(scene.elements[scene.roles == role]):
            here = np.flatnonzero((scene.elements == element) & (scene.roles == role))
            axis.scatter(
                [], [], s=70, color=scene.colour[here[0]], edgecolors=INK, label=word + element
            )
    axis.legend(loc="upper left", frameon=False, fontsize=9, labelcolor=INK)
    right, bottom = scene.places[:, 0].max() + 1, scene.places[:, 1].min() - 2
    axis.plot([right - 10, right], [bottom, bottom], color=INK, lw=2.5, solid_capstyle="butt")
    axis.text(right - 5, bottom + 0.6, "1 nm", ha="center", fontsize=9, color=INK)


def draw_model(model: Model, picture: Path, *, sides: int = 1) -> None:
    """Draw a model as its VESTA file opens, and with 2 sides from the side too."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "model.vesta"
        with source.open("w", encoding="utf-8") as stream:
            write_vesta(model, stream)
        draw(source, picture, sides=sides)


def main(words: list[str]) -> None:
    """Draw the file named, or the model of the default recipe."""
    if words:
        draw(Path(words[0]), Path(words[1]))
        return
    draw_model(build(read_recipe(find_recipe("cspbcl3-pbs"))), Path("cspbcl3-pbs.png"), sides=2)


if __name__ == "__main__":
    main(sys.argv[1:])
