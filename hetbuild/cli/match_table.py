"""The table of `hetbuild match`, the registries of a pair, and their map."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal, TextIO

import numpy as np

from hetbuild.arrays import Progress
from hetbuild.cli.tables import table
from hetbuild.crystal.crystal import Crystal
from hetbuild.crystal.lattice import Coincidence
from hetbuild.crystal.planes import PlaneLabel
from hetbuild.crystal.terminations import Termination
from hetbuild.crystal.vicinal import StepProfile, step_profile
from hetbuild.errors import InputError
from hetbuild.matching.continuation import Fit, cation_fit
from hetbuild.matching.matches import Match
from hetbuild.matching.registry import Registries, terminations_of

Order = Literal["score", "area", "strain", "cations"]
Row = tuple[Match, Fit]

POLAR = {(False, False): "-", (True, False): "1st", (False, True): "2nd", (True, True): "both"}
"""Which of the planes is polar whatever its termination."""


def rows(
    matches: Sequence[Match],
    crystals: tuple[Crystal, Crystal],
    *,
    order: Order = "score",
    most: int = 0,
    progress: Progress = None,
) -> list[Row]:
    """The first `most` matches (0: all) in an order, each with its cation continuity."""
    if order != "cations":
        matches = by_geometry(matches, order)[: most or None]
    found = []
    for done, match in enumerate(matches):
        found.append((match, cation_fit(match, crystals)))
        if progress is not None:
            progress((done + 1) / len(matches))
    if order == "cations":
        found.sort(key=lambda row: (-round(row[1].score, 6), round(row[0].score, 6)))
    return found[: most or None]


def row(
    matches: Sequence[Match],
    crystals: tuple[Crystal, Crystal],
    number: int,
    *,
    order: Order = "score",
    progress: Progress = None,
) -> Match:
    """Row `number`, from 1, of the table in an order.

    Raises
    ------
    InputError
        There is no such row.
    """
    if not 1 <= number <= len(matches):
        raise InputError(f"There are rows 1 to {len(matches)}; given {number}.")
    if order == "cations":
        return rows(matches, crystals, order=order, progress=progress)[number - 1][0]
    return by_geometry(matches, order)[number - 1]


def by_geometry(matches: Sequence[Match], order: Order) -> list[Match]:
    """Matches by score, area or strain, smallest first."""
    keys: dict[str, Callable[[Match], Any]] = {
        "score": lambda m: round(m.score, 6),
        "area": lambda m: (round(sum(m.area), 6), m.largest_strain),
        "strain": lambda m: (round(m.largest_strain, 9), m.score),
    }
    return sorted(matches, key=keys[order])


def match_lines(
    shown: Sequence[Row], total: int, crystals: tuple[Crystal, Crystal]
) -> Iterator[str]:
    """Lines for a terminal: the matches, then the best one in words."""
    first, second = (c.name for c in crystals)
    cells = [_cells(k + 1, match, fit, crystals) for k, (match, fit) in enumerate(shown)]
    head = ("", first, second, "area/Å²", "strain/%", "polar", "cations", "score")
    below = [_vectors(match) for match, _ in shown]
    yield from table(cells, "><<>>>>>", head=head, below=below)
    if total > len(shown):
        yield f"{len(shown)} of {total} matches; --rows 0 lists all."
    yield ""
    yield from _reading(*shown[0], crystals)


def record(match: Match, fit: Fit, crystals: tuple[Crystal, Crystal]) -> dict[str, Any]:
    """One match as plain values for JSON."""
    return match.as_dict() | {"cations": fit.as_dict(), "polar": polar(match, crystals)}


def polar(match: Match, crystals: tuple[Crystal, Crystal]) -> tuple[bool, bool]:
    """Whether every termination of the plane has a dipole, for both crystals."""
    first, second = (all(t.polar for t in side) for side in terminations_of(match, crystals))
    return first, second


def step_profiles_of(
    match: Match, crystals: tuple[Crystal, Crystal], cations: tuple[str | None, str | None]
) -> tuple[StepProfile, StepProfile]:
    """Both planes as terrace and step of a cation sublattice."""
    first, second = (
        step_profile(crystal, label.asked, cation)
        for crystal, label, cation in zip(crystals, match.planes, cations, strict=True)
    )
    return first, second


def registry_lines(found: Registries, names: tuple[str, str]) -> Iterator[str]:
    """Terminations and minima of a scan."""
    ends = " on ".join(
        f"{t.formula} of {name} ({t.charge:+d} e{', polar' if t.polar else ''})"
        for t, name in zip(found.terminations, names, strict=True)
    )
    yield f"{ends}, shifts of {names[1]}:"
    minima = [
        (*(f"{x:.2f}" for x in (*m.shift, m.gap)), f"{m.energy:.4f}", contacts)
        for m in found.minima
        for contacts in [", ".join(f"{c.kind} {c.distance:.2f}" for c in m.contacts)]
    ]
    head = ("along/Å", "across/Å", "gap/Å", "eV/Å²", "closest contacts/Å")
    yield from table(minima, ">>>><", head=head)
    if not all(m.bound for m in found.minima):
        yield (
            "The energy still falls at the widest or narrowest gap tried: rigid and uncompensated, "
            "these faces do not bind there."
        )


def termination_lines(listed: Sequence[Termination], label: PlaneLabel, name: str) -> Iterator[str]:
    """All terminations of one side, numbered from 1."""
    yield f"{name} {label}: plane index, outermost layer, charge, dipole of the repeat behind it"
    rows = [
        (
            f"{k:4d}",
            f"{t.index * label.scale:.4f}",
            t.formula,
            f"{t.charge:+d} e",
            f"{t.dipole:+.3f} e Å",
        )
        for k, t in enumerate(listed, 1)
    ]
    yield from table(rows, ">><>>")


def write_map(found: Registries, stream: TextIO, title: str) -> None:
    """Energy over the lateral shift as a PNG, two cells each way, minima marked."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    n, m = found.energy.shape
    i, j = np.meshgrid(np.arange(2 * n + 1) / n, np.arange(2 * m + 1) / m, indexing="ij")
    points = np.stack([i, j], axis=-1) @ found.cell
    energy = np.pad(np.tile(found.energy, (2, 2)), (0, 1), mode="wrap") * 1000.0
    extent = np.ptp(points.reshape(-1, 2), axis=0)
    wide, high = 7.0 * extent / extent.max()
    figure = Figure(figsize=(max(float(wide), 3.0) + 2.0, max(float(high), 3.0) + 1.0))
    FigureCanvasAgg(figure)
    axes = figure.add_subplot(aspect="equal")
    shown = axes.pcolormesh(points[..., 0], points[..., 1], energy, shading="gouraud")
    figure.colorbar(shown, label="meV/Å²")
    for k, minimum in enumerate(found.minima):
        fraction = np.array(minimum.shift) @ np.linalg.inv(found.cell) % 1.0
        images = (fraction + np.array([(a, b) for a in (0, 1) for b in (0, 1)])) @ found.cell
        axes.plot(*images.T, "o", mfc="none", mec="w")
        axes.annotate(str(k + 1), images[0], color="w", xytext=(4, 4), textcoords="offset points")
    axes.set(xlabel="shift along / Å", ylabel="shift across / Å", title=title)
    figure.tight_layout()
    figure.savefig(stream.buffer, format="png", dpi=150)


def _cells(
    number: int, match: Match, fit: Fit, crystals: tuple[Crystal, Crystal]
) -> tuple[str, ...]:
    return (
        str(number),
        str(match.planes[0]),
        str(match.planes[1]),
        f"{match.area[0]:.1f}/{match.area[1]:.1f}",
        f"{100 * match.principal[0]:+.2f} {100 * match.principal[1]:+.2f}",
        POLAR[polar(match, crystals)],
        str(fit),
        f"{match.score:.0f}",
    )


def _vectors(match: Match) -> str:
    """The vectors of the cell with their mismatch, its shear, and how the crystals lie."""
    vectors = ", ".join(f"{_parallel(p)} {100 * p.mismatch:+.2f} %" for p in match.cell)
    shear = f"{round(match.shear, 2) + 0.0:+.2f}"
    return f"{vectors}; shear {shear}°, misorientation {_misorientation(match)}°"


def _misorientation(match: Match) -> str:
    """The angle listed, and that of the other bicrystal where a half turn makes one."""
    if not match.half_turn:
        return f"{match.misorientation:.1f}"
    return f"{match.misorientation:.1f} or {match.turned_misorientation:.1f}"


def _parallel(pair: Coincidence) -> str:
    first, second = pair.labels
    return f"{first} || {second}"


def _reading(match: Match, fit: Fit, crystals: tuple[Crystal, Crystal]) -> Iterator[str]:
    names = [c.name for c in crystals]
    planes = " || ".join(f"{n} {p}" for n, p in zip(names, match.planes, strict=True))
    what = "cation rows" if fit.rows else "cations"
    along = " and ".join(
        f"{_parallel(p)} ({p.lengths[0]:.3f}/{p.lengths[1]:.3f} Å, {100 * p.mismatch:+.2f} %)"
        for p in match.cell
    )
    yield (
        f"Best: {planes}, {along}, {match.area[0]:.1f}/{match.area[1]:.1f} Å²; "
        f"{fit.count} of {fit.total} {what} of {fit.layer_of} continue sites of the other, "
        f"{fit.rms:.2f} Å off."
    )
