"""Which files a build writes, and what goes into each."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TextIO

from hetbuild.analyse.report import Report
from hetbuild.formats import slurm
from hetbuild.formats.catalogue import Writer, cp2k_files
from hetbuild.formats.cif import write_cif
from hetbuild.formats.columns import DECIMALS
from hetbuild.formats.record import to_record
from hetbuild.formats.vesta import write_vesta
from hetbuild.formats.xyz import write_plain_xyz, write_xyz
from hetbuild.model import LedgerEntry, Model, kept_digits
from hetbuild.names import safe_name
from hetbuild.numerals import rounded
from hetbuild.recipe.schema import VACUUM, OutputSpec


def paths(folder: Path, name: str, spec: OutputSpec | None = None) -> list[Path]:
    """The files of a build: extended XYZ, CIF, plain XYZ for CP2K, VESTA, record; and a deck."""
    ends = [".xyz", ".cif", "-cp2k.xyz", ".vesta", ".json"]
    deck = [folder / f"{name}.inp", folder / "run.sh"] if spec and spec.cp2k else []
    deck += [folder / slurm.SCRIPT] if spec and spec.cp2k and spec.cp2k.slurm else []
    return [folder / f"{name}{end}" for end in ends] + deck


def model_files(
    folder: Path,
    name: str,
    model: Model,
    report: Report,
    *,
    vacuum: float = VACUUM,
    spec: OutputSpec | None = None,
) -> dict[Path, Writer]:
    """Each file of a build with what writes it. vacuum: Å around the particle in a box."""
    # All files of what the XYZ file keeps.
    model = replace(model, positions=kept_digits(model.positions))
    writers: list[Writer] = [
        partial(_call, write_xyz, model),
        lambda stream: write_cif(model, stream, vacuum=vacuum),
        partial(_call, write_plain_xyz, model),
        lambda stream: write_vesta(model, stream, vacuum=vacuum),
        lambda stream: _write_record(model, report, stream),
    ]
    files = dict(zip(paths(folder, name), writers, strict=True))
    if spec is not None and spec.cp2k is not None:
        files |= cp2k_files(model, folder, name, spec.cp2k)
    return files


def daughter_name(stem: str, parent: Model, model: Model) -> str:
    """What the product of an exchange is called: its crystals in the parent's name.

    cspbcl3-pbs becomes cspbbr3-pbs; a name without the crystal's gets the product's at its end, and
    one whose crystals stay is an ``-exchanged`` one, or with molecules on it a ``-ligands`` one.
    stem: that of the parent's file, whatever it is called; the name made of it obeys the rule for
    names.
    """
    stem = safe_name(stem)
    before = [d.crystal.name.lower() for d in parent.domains]
    after = [d.crystal.name.lower() for d in model.domains]
    if len(after) < len(before):
        return safe_name("-".join(after))
    name = stem
    for old, new in zip(before, after, strict=True):
        if old != new:
            name = name.replace(old, new) if old in name else f"{name}-{new}"
    what = (
        "ligands" if model.molecule.max(initial=0) > parent.molecule.max(initial=0) else "exchanged"
    )
    return safe_name(name if name != stem else f"{stem}-{what}")


def stage_files(folder: Path, history: Sequence[tuple[str, Model]]) -> dict[Path, Writer]:
    """An extended XYZ file for each stage, numbered in order."""
    return {
        folder / "stages" / f"{i}-{stage}.xyz": partial(_call, write_xyz, model)
        for i, (stage, model) in enumerate(history, 1)
    }


def _call(write: Callable[[Model, TextIO], None], model: Model, stream: TextIO) -> None:
    write(model, stream)


def _write_record(model: Model, report: Report, stream: TextIO) -> None:
    measured = {"report": report.as_dict(), "ledger": _ledger(model)}
    record = rounded(measured, DECIMALS) | {"provenance": to_record(model)["provenance"]}
    json.dump(record, stream, indent=2, ensure_ascii=False)
    stream.write("\n")


def _ledger(model: Model) -> list[dict[str, object]]:
    from dataclasses import fields

    names = [f.name for f in fields(LedgerEntry)]
    return [{name: getattr(entry, name) for name in names} for entry in model.ledger]
