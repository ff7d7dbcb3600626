"""The electronic structure of a model: frontier orbitals, gap, alignment, densities of states."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from hetbuild.arrays import FloatArray, IntArray
from hetbuild.electronic.pdos import States
from hetbuild.electronic.shares import Shares, mean_of_groups, shares
from hetbuild.errors import InputError
from hetbuild.model import Model

Zero = Literal["homo", "vacuum"]

OWN = 0.5
"""Share of an orbital in a domain from which it counts as that domain's."""

BELOW = 6.0
"""eV below the highest occupied orbital where densities begin: the p bands of halides and
chalcogenides are above it."""

ABOVE = 5
"""Widths above the highest orbital where densities end."""

TAILS = 6
"""Widths beyond which a Gaussian adds nothing: exp(-18) of its height."""

POINTS = 5
"""Of a density's grid within one width."""


@dataclass(frozen=True, slots=True)
class Frontier:
    """A group of degenerate orbitals near the gap."""

    label: str
    """HOMO, HOMO-1, LUMO, LUMO+1, counted in groups."""
    energy: float
    """eV from the zero."""
    orbitals: int
    """How many are degenerate."""
    spin: int
    ipr: float | None
    domains: Mapping[str, float]
    """Shares, which sum to one."""
    regions: Mapping[str, float]
    elements: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Edge:
    """Band edges of a domain: the nearest orbitals that lie in it by more than half."""

    domain: str
    valence: float | None
    """eV from the zero; None where no occupied orbital is the domain's."""
    conduction: float | None
    """None where none of the empty orbitals that were calculated is the domain's."""

    @property
    def gap(self) -> float | None:
        """eV."""
        if self.valence is None or self.conduction is None:
            return None
        return self.conduction - self.valence


@dataclass(frozen=True, eq=False)
class Structure:
    """All of it, on one energy scale."""

    name: str
    zero: Zero
    homo: float
    """Energy of the highest occupied orbital as calculated, eV."""
    gap: float | None
    """eV between the highest occupied and the lowest empty orbital; None without empty ones."""
    energies: FloatArray
    """eV from the zero, shape (M,)."""
    states: States
    shares: Shares
    frontier: tuple[Frontier, ...]
    """Falling energy."""
    edges: tuple[Edge, ...]
    alignment: str
    """How the gaps of two domains lie: straddling, staggered or broken; empty where unknown."""

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON; arrays are in the tables."""
        from dataclasses import asdict

        return {
            "name": self.name,
            "unit": "eV",
            "zero": ZEROS[self.zero],
            "homo_as_calculated": self.homo,
            "gap": self.gap,
            "orbitals": len(self.energies),
            "weights_miss_one_by": self.shares.error,
            "frontier": [asdict(f) for f in self.frontier],
            "edges": [{**asdict(e), "gap": e.gap} for e in self.edges],
            "alignment": self.alignment,
        }


ZEROS: Mapping[Zero, str] = {
    "homo": "the highest occupied orbital",
    "vacuum": "the calculation's own, the vacuum of an isolated particle",
}


def electronic_structure(
    states: States, model: Model, *, zero: Zero = "homo", frontier: int = 4
) -> Structure:
    """Read the orbitals of a calculation on a model.

    frontier: groups of orbitals listed on either side of the gap.

    Raises
    ------
    InputError, CheckError
        As `shares`; or no orbital is occupied.
    """
    found = shares(states, model)
    occupied = states.occupied
    if not occupied.any():
        raise InputError(f"{states.name}: no orbital is occupied, so there is no highest one.")
    homo = float(states.energies[occupied].max())
    energies = states.energies - (homo if zero == "homo" else 0.0)
    empty = energies[~occupied]
    edges = tuple(_edge(name, share, energies, occupied) for name, share in found.domains.items())
    return Structure(
        name=states.name,
        zero=zero,
        homo=homo,
        gap=float(empty.min() - energies[occupied].max()) if len(empty) else None,
        energies=energies,
        states=states,
        shares=found,
        frontier=_frontier(energies, occupied, states, found, frontier),
        edges=edges,
        alignment=_alignment(edges),
    )


def _edge(name: str, share: FloatArray, energies: FloatArray, occupied: Any) -> Edge:
    below, above = energies[occupied & (share > OWN)], energies[~occupied & (share > OWN)]
    return Edge(
        name,
        float(below.max()) if len(below) else None,
        float(above.min()) if len(above) else None,
    )


def _alignment(edges: tuple[Edge, ...]) -> str:
    """Type I straddling, II staggered, III broken."""
    if len(edges) != 2 or any(e.valence is None or e.conduction is None for e in edges):
        return ""
    a, b = edges
    assert a.valence is not None and a.conduction is not None  # noqa: PT018
    assert b.valence is not None and b.conduction is not None  # noqa: PT018
    if a.conduction < b.valence or b.conduction < a.valence:
        return "broken (type III)"
    inside = (a.valence - b.valence) * (a.conduction - b.conduction)
    return "straddling (type I)" if inside < 0 else "staggered (type II)"


def _frontier(
    energies: FloatArray, occupied: Any, states: States, found: Shares, count: int
) -> tuple[Frontier, ...]:
    mean = mean_of_groups(energies, found.group)
    full = mean_of_groups(occupied.astype(float), found.group) > OWN
    below = np.flatnonzero(full)[np.argsort(-mean[full])][:count]
    above = np.flatnonzero(~full)[np.argsort(mean[~full])][:count]
    names = {int(g): "HOMO" + (f"-{k}" if k else "") for k, g in enumerate(below)}
    names |= {int(g): "LUMO" + (f"+{k}" if k else "") for k, g in enumerate(above)}
    order = [int(g) for g in (*above[::-1], *below)]
    return tuple(_group(g, names[g], mean, states, found) for g in order)


def _group(g: int, label: str, mean: FloatArray, states: States, found: Shares) -> Frontier:
    mine = np.flatnonzero(found.group == g)

    def of(parts: Mapping[str, FloatArray]) -> dict[str, float]:
        return {name: float(values[mine].mean()) for name, values in parts.items()}

    return Frontier(
        label=label,
        energy=float(mean[g]),
        orbitals=len(mine),
        spin=int(states.spin[mine[0]]),
        ipr=None if found.ipr is None else float(found.ipr[mine[0]]),
        domains=of(found.domains),
        regions=of(found.regions),
        elements=of(found.elements),
    )


@dataclass(frozen=True, eq=False)
class Density:
    """Densities of states on a grid: electrons that states would take, per eV."""

    energies: FloatArray
    """eV from the zero, shape (E,)."""
    total: FloatArray
    """1/eV, both spins, shape (E,)."""
    parts: Mapping[str, Mapping[str, FloatArray]]
    """By ``domain``, ``region``, ``element``: each part's density, shape (E,)."""
    width: float
    """Standard deviation of the Gaussian of each state, eV."""


def density(
    found: Structure, *, width: float = 0.1, window: tuple[float, float] | None = None
) -> Density:
    """Broaden the orbitals to densities of states. window: eV from the zero; default: from 6 eV
    below the highest occupied orbital to the highest that was calculated.

    Raises
    ------
    InputError
        A width or a window that is none.
    """
    if width <= 0:
        raise InputError(f"A width of {width:g} eV; it must be above zero, 0.1 is usual.")
    homo = float(found.energies[found.states.occupied].max())
    low, high = window or (homo - BELOW, float(found.energies.max()) + ABOVE * width)
    if low >= high:
        raise InputError(f"A window from {low:g} to {high:g} eV is empty: the lower end first.")
    grid = np.linspace(low, high, int(np.ceil((high - low) / width * POINTS)) + 1)
    near = (found.energies > low - TAILS * width) & (found.energies < high + TAILS * width)
    apart = (grid[:, None] - found.energies[near]) / width
    electrons = 1.0 if found.states.spin.any() else 2.0
    peaks = electrons * np.exp(-(apart**2) / 2) / (width * np.sqrt(2 * np.pi))
    kinds = {
        "domain": found.shares.domains,
        "region": found.shares.regions,
        "element": found.shares.elements,
    }
    parts = {
        kind: {name: peaks @ share[near] for name, share in of.items()}
        for kind, of in kinds.items()
    }
    return Density(grid, peaks.sum(axis=1), parts, width)


def ordered(found: Structure) -> IntArray:
    """Orbitals by rising energy, shape (M,)."""
    return np.argsort(found.energies, kind="stable")
