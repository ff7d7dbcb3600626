"""Ligands in the place of ions, or bound to under-coordinated cations; the charge stays."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

from hetbuild.arrays import Progress
from hetbuild.capping.add import Add
from hetbuild.capping.filling import Attached, Filling
from hetbuild.capping.molecule import read_ligand
from hetbuild.capping.room import CLEARANCE
from hetbuild.errors import ImpossibleError, InputError
from hetbuild.model import Model

NoRoom = Literal["refuse", "skip"]

CLEARANCES = (0.3, 1.0)
"""Least and most part of the van der Waals sum that may be asked for: bonded atoms have about 0.4
of it, and beyond the whole nothing is a contact."""

LISTED = 12
"""Sites without room that a text lists."""


def attach(
    model: Model,
    adds: Sequence[Add],
    *,
    order: str = "spread",
    seed: int = 0,
    clearance: float = CLEARANCE,
    no_room: NoRoom = "refuse",
    beside: Path | None = None,
    progress: Progress = None,
) -> tuple[Model, tuple[Attached, ...]]:
    """Ligands on the surface of a particle; its formal charge stays what it was.

    An ionic ligand takes the place of an ion of its charge, two that of an ion of twice its charge;
    a neutral one is added to a cation. Kinds are placed one after the other, sites in an order with
    a seed. clearance: part of the van der Waals sum that no contact may fall under. no_room: where
    fewer find room than asked, refuse, or skip what has none. beside: folder files are relative to.

    Raises
    ------
    InputError
        A ligand or selection that is none, a charge that does not fit the site, a periodic model.
    ImpossibleError
        No ion is selected, fewer than asked, or there is no room; the text says how many fit.
    """
    _check(model, clearance)
    state = Filling(model, order, seed, clearance, progress)
    done = []
    for k, add in enumerate(adds):
        ligand = read_ligand(
            add.ligand, chain=add.chain, charge=add.charge, anchors=add.anchors, beside=beside
        )
        state.share = (k, len(adds))
        report = state.attached(add, ligand)
        if no_room == "refuse" and report.sites < report.asked:
            raise ImpossibleError(_no_room(report, clearance))
        done.append(report)
    return state.result(), tuple(done)


def _check(model: Model, clearance: float) -> None:
    if model.cell is not None:
        raise ImpossibleError("Ligands stand on particles; this model is periodic.")
    least, most = CLEARANCES
    if not least <= clearance <= most:
        raise InputError(
            f"clearance {clearance:g}: give a part of the vdW sum in {least:g} to {most:g}."
        )


def _no_room(report: Attached, clearance: float) -> str:
    return (
        f"Room for {report.sites} of the {report.asked} sites that {report.ligand} was to take, "
        f"with contacts of at least {clearance:g} of the van der Waals sum. "
        f"Without room: {'; '.join(_sites(report))}. Ask for fewer, for a shorter chain, for "
        "a smaller clearance, or let those without room be skipped."
    )


def _sites(report: Attached) -> Iterator[str]:
    for ion, x, y, z in report.no_room[:LISTED]:
        yield f"{ion} at {x:.2f} {y:.2f} {z:.2f} Å"
    if len(report.no_room) > LISTED:
        yield f"and {len(report.no_room) - LISTED} more"
