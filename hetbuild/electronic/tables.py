"""Tables of an electronic structure: CSV of states and of densities."""

from __future__ import annotations

from typing import TextIO

import numpy as np

from hetbuild.electronic.structure import Density, Structure, ordered


def write_states(found: Structure, stream: TextIO) -> None:
    """A line an orbital: energy in eV, occupation, spin, group, inverse participation ratio, and
    its share in each domain, region and element."""
    parts = [
        (f"{kind}:{name}", values)
        for kind, of in (
            ("domain", found.shares.domains),
            ("region", found.shares.regions),
            ("element", found.shares.elements),
        )
        for name, values in of.items()
    ]
    head = ["energy_eV", "occupation", "spin", "group", "ipr", *(name for name, _ in parts)]
    stream.write(",".join(head) + "\n")
    order = ordered(found)
    ipr = found.shares.ipr
    columns = [
        found.energies, found.states.occupations, found.states.spin, found.shares.group,
        np.full(len(order), np.nan) if ipr is None else ipr, *(values for _, values in parts),
    ]  # fmt: skip
    formats = ["%.6f", "%.6f", "%d", "%d", "%.6f"] + ["%.8f"] * len(parts)
    np.savetxt(stream, np.column_stack(columns)[order], fmt=formats, delimiter=",")


def write_density(found: Density, stream: TextIO) -> None:
    """A line an energy: eV, then states per eV, in all and by domain, region and element."""
    parts = [
        (f"{kind}:{name}", values)
        for kind, of in found.parts.items()
        for name, values in of.items()
    ]
    stream.write(",".join(["energy_eV", "total", *(name for name, _ in parts)]) + "\n")
    columns = [found.energies, found.total, *(values for _, values in parts)]
    np.savetxt(stream, np.column_stack(columns), fmt="%.6f", delimiter=",")
