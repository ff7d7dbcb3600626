"""Matches: coincidence cells of plane pairs, their strain and misorientation, and a table."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from typing import Any, Self

from hetbuild.arrays import Plane
from hetbuild.crystal.lattice import Coincidence, Direction
from hetbuild.crystal.planes import PlaneLabel
from hetbuild.notebook import to_table

SCALE = 0.01
"""Strain that doubles the score of a cell."""

SHOWN = 20
"""Matches that a notebook shows."""


@dataclass(frozen=True, slots=True)
class Match:
    """A coincidence cell of one plane pair. Mismatch and strain are those of the second crystal.

    Examples
    --------
    >>> import hetbuild as hb
    >>> best = hb.match("PbS", "PbSe", max_index=1)[0]
    >>> round(100 * best.largest_strain, 1), round(best.misorientation, 1)
    (3.2, 0.0)
    """

    planes: tuple[PlaneLabel, PlaneLabel]
    """Parallel planes; both normals point the same way."""
    cell: tuple[Coincidence, Coincidence]
    """The two vectors of the primitive coincidence cell, right-handed about the normals."""
    area: tuple[float, float]
    """Of the cell in each crystal, Å²."""
    angle: tuple[float, float]
    """Between the two cell vectors in each crystal, degrees."""
    strain: tuple[tuple[float, float], tuple[float, float]]
    """Symmetric 2D (Biot) strain from the first crystal to the second; x along the first cell
    vector, y normal to it in the plane. A match with the opposite sign strains the second."""
    principal: tuple[float, float]
    """Principal strains, smaller first: no direction of the plane is strained more."""
    misorientation: float
    """Smallest rotation that makes the conventional axes parallel, over both point groups, deg.
    For axes of different shape: those of the standardised cells, a along x and b in the xy plane.
    """
    half_turn: bool
    """True: the second crystal turned by 180° about the normal fits as well and is another
    bicrystal; the one of smaller misorientation is listed, `turned` gives the other."""
    turned_misorientation: float
    """That of the other one, degrees; of the same one where there is no other."""

    def __repr__(self) -> str:
        planes = " || ".join(map(str, self.planes))
        strain = " ".join(f"{100 * p:+.2f}" for p in self.principal)
        return f"<Match {planes}: {self.area[0]:.1f}/{self.area[1]:.1f} Å², strain {strain} %>"

    def turned(self) -> Match:
        """The same cell with the second crystal turned by 180° about the normal."""
        a, b = (
            replace(p, second=Direction(p.second.multiplier, _opposite(p.second.uvw)))
            for p in self.cell
        )
        return replace(
            self,
            cell=(a, b),
            misorientation=self.turned_misorientation,
            turned_misorientation=self.misorientation,
        )

    @property
    def shear(self) -> float:
        """How much wider the cell's angle is in the second crystal, degrees."""
        return self.angle[1] - self.angle[0]

    @property
    def largest_strain(self) -> float:
        """Largest principal strain by size, dimensionless."""
        return max(abs(p) for p in self.principal)

    @property
    def score(self) -> float:
        """Area x (1 + (largest principal strain / 1 %)²) in Å²; small is good.

        A cell strained by 1 % counts like an unstrained one of twice its area.
        """
        return sum(self.area) / 2 * (1.0 + (self.largest_strain / SCALE) ** 2)

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "planes": [asdict(p) for p in self.planes],
            "cell": [
                {"directions": c.labels, "lengths": c.lengths, "mismatch": c.mismatch}
                for c in self.cell
            ],
            "area": self.area,
            "angle": self.angle,
            "shear": self.shear,
            "strain": self.strain,
            "principal": self.principal,
            "misorientation": self.misorientation,
            "half_turn": self.half_turn,
            "turned_misorientation": self.turned_misorientation,
            "score": self.score,
        }


class Matches(tuple[Match, ...]):
    """What a search found, best score first: a tuple that shows as a table.

    Examples
    --------
    >>> import hetbuild as hb
    >>> hb.match("PbS", "PbSe", max_index=1)[:1]
    (<Match (1 1 1) || (1 1 1): 15.3/16.2 Å², strain +3.17 +3.17 %>,)
    """

    names: tuple[str, str]
    """Of the two crystals."""

    def __new__(cls, found: Iterable[Match], names: tuple[str, str] = ("first", "second")) -> Self:
        made = super().__new__(cls, tuple(found))
        made.names = names
        return made

    def __reduce__(self) -> tuple[type[Matches], tuple[tuple[Match, ...], tuple[str, str]]]:
        return Matches, (tuple(self), self.names)

    def __repr__(self) -> str:
        head = f"<{len(self)} matches of {' and '.join(self.names)}"
        rest = f"and {len(self) - SHOWN} more" if len(self) > SHOWN else ""
        return "\n  ".join(filter(None, (head, *map(repr, self[:SHOWN]), rest))) + ">"

    def _repr_html_(self) -> str:
        """What a notebook shows: planes, vectors, area, strain, misorientation and score."""
        rows = [
            (
                *map(str, m.planes),
                ", ".join(" || ".join(pair.labels) for pair in m.cell),
                f"{m.area[0]:.1f}/{m.area[1]:.1f}",
                " ".join(f"{100 * p:+.2f}" for p in m.principal),
                f"{m.misorientation:.1f}",
                f"{m.score:.0f}",
            )
            for m in self[:SHOWN]
        ]
        head = (*self.names, "vectors", "area/Å²", "strain/%", "misorientation/°", "score/Å²")
        title = f"{len(self)} matches of {' and '.join(self.names)}"
        if len(self) > SHOWN:
            title += f", the best {SHOWN}"
        return to_table(title, rows, head)


def _opposite(uvw: Plane) -> Plane:
    u, v, w = uvw
    return -u, -v, -w
