"""Draw the picture of docs/sweep.md from the tables of two sweeps: python sweep.py [FOLDER]."""

from __future__ import annotations

import csv
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

from matplotlib.figure import Figure

BASE = """\
extends = "cspbcl3-pbs"
name = "sized"
size = "3 nm"
balance.target = { charge = 0 }
"""

SIZES = """\
name = "sizes"
recipe = "sized.toml"

[[axes]]                     # each halide on lead sulfide ...
key = "domains.perovskite.crystal"
values = ["CsPbCl3", "CsPbBr3"]

[[axes]]                     # ... from small to large
key = "size"
range = { first = 3, last = 5, unit = "nm" }
"""

TERMINATIONS = """\
name = "terminations"
recipe = "pbs-dot"

[[axes]]                     # what the {111} facets end in, and what may leave them
keys = ["domains.dot.facets.1", "balance.moves"]
values = [
    [{ form = [2, 2, 2], planes = 7, outermost = "cation" }, ["remove Pb in dot"]],
    [{ form = [2, 2, 2], planes = 7, outermost = "anion" }, ["remove S in dot"]],
    [{ form = [2, 2, 2], planes = 7, outermost = "anion", ligands = { anion = "Cl" } },
     ["remove Cl in dot", "remove Pb in dot"]],
]

[[axes]]
key = "size"
range = { first = 2, last = 4, unit = "nm" }
"""

ENDS = ["Pb", "S", "Cl for S"]
COLOURS = ["#b35806", "#2166ac", "#1b7837"]
Rows = list[dict[str, str]]


def swept(name: str, text: str, folder: Path) -> Rows:
    """The table of a sweep."""
    (folder / f"{name}.toml").write_text(text, encoding="utf-8")
    command = ["hetbuild", "sweep", f"{name}.toml", "-q", "--workers", "2"]
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    with (folder / name / "results.csv").open(encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def lines(rows: Rows, group: str, x: str, y: str) -> dict[str, tuple[list[float], list[float]]]:
    """Points (x, y) of the rows that are done, a line for each value of a column."""
    found: dict[str, tuple[list[float], list[float]]] = defaultdict(lambda: ([], []))
    for row in rows:
        if row["status"] == "done":
            found[row[group]][0].append(float(row[x].split()[0]))
            found[row[group]][1].append(float(row[y]))
    return found


def draw(folder: Path) -> None:
    """sweep.png: mismatch against size, coordination against termination."""
    with tempfile.TemporaryDirectory() as work:
        (Path(work) / "sized.toml").write_text(BASE, encoding="utf-8")
        sizes = swept("sizes", SIZES, Path(work))
        ends = swept("terminations", TERMINATIONS, Path(work))
    figure = Figure(figsize=(8.0, 3.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    for column, style in (("mismatch_1", "o-"), ("mismatch_2", "s--")):
        for colour, (crystal, (x, y)) in zip(
            COLOURS, lines(sizes, "domains.perovskite.crystal", "size", column).items(),
            strict=False,
        ):  # fmt: skip
            label = f"{crystal}, {'along' if column == 'mismatch_1' else 'across'}"
            left.plot(x, [100 * v for v in y], style, color=colour, label=label)
    left.set(xlabel="size of the perovskite / nm", ylabel="mismatch with PbS / %")
    left.axhline(0, color="0.8", lw=0.8, zorder=0)
    groups = lines(ends, "domains.dot.facets.1", "size", "coordination_facets")
    for colour, end, (x, y) in zip(COLOURS, ENDS, groups.values(), strict=True):
        right.plot(x, y, "o-", color=colour, label=f"{{111}} ends in {end}")
    right.set(xlabel="size of the PbS dot / nm", ylabel="anions around Pb on facets")
    for axes in (left, right):
        axes.legend(frameon=False, fontsize=8, loc="center right")
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(folder / "sweep.png", dpi=130, facecolor="white")


if __name__ == "__main__":
    draw(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
