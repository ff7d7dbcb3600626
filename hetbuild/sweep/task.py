"""One variant built, written and measured: what a worker does."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hetbuild.errors import HetbuildError
from hetbuild.sweep.store import MODELS, ROW, STAGING, Store, write_atomically


def run_variant(
    folder: str,
    key: str,
    settings: Mapping[str, Any],
    recipe: Mapping[str, Any],
    beside: str,
    export: tuple[str, ...] = (),
    relax: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Build one variant into its folder, or enter why it failed; its line of the table.

    relax: arguments of `hetbuild.relax`, where the model is relaxed before it is written.

    Everything comes by argument: a worker on another machine knows nothing else. A variant that is
    done already is not built again, so a task that runs twice does no harm.
    """
    store = Store(Path(folder))
    if store.is_done(key):
        return store.row(key) or {}
    start = time.perf_counter()
    staging = Path(folder) / STAGING / f"{os.uname().nodename}~{os.getpid()}~{key}"
    row: dict[str, Any] = {"key": key, **settings}
    try:
        staging.mkdir(parents=True, exist_ok=True)
        row |= _built(staging, store.model(key), recipe, Path(beside), export, relax)
        row |= {"seconds": round(time.perf_counter() - start, 3), "status": "done"}
        write_atomically(staging / ROW, json.dumps(row, ensure_ascii=False) + "\n")
        _stand(staging, store.model(key))
        store.failure(key).unlink(missing_ok=True)
    except (HetbuildError, OSError, MemoryError) as error:
        row |= {"status": "failed", "error": str(error) or type(error).__name__}
        enter(store, key, row)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return row


def _built(
    staging: Path,
    final: Path,
    recipe: Mapping[str, Any],
    beside: Path,
    export: tuple[str, ...],
    relax: Mapping[str, Any] | None,
) -> dict[str, Any]:
    from hetbuild.analyse.report import inspect
    from hetbuild.formats.files import write_all
    from hetbuild.recipe.output import model_files
    from hetbuild.recipe.read import parse_recipe
    from hetbuild.recipe.run import build
    from hetbuild.recipe.verdict import verdict

    read = parse_recipe(recipe).kept_in(beside)
    model = build(read)
    report = inspect(model)
    checks = verdict(model, report, read)
    relaxation: dict[str, Any] = {}
    if relax is not None:
        model, relaxation = _relaxed(model, relax)
        report = inspect(model)
        if relaxation["fmax"] >= relax["fmax"]:
            checks.append(f"a force of {relaxation['fmax']:.3f} eV/Å is left after relaxing")
    files = model_files(staging, read.name, model, report, vacuum=read.vacuum, spec=read.output)
    for name in export:
        files |= _exported(staging, read.name, model, name)
    write_all(files, force=True)
    return (
        _measured(model, report)
        | relaxation
        | {
            "path": f"{MODELS}/{final.name}/{read.name}.xyz",
            "failed_checks": "; ".join(checks),
        }
    )


def _relaxed(model: Any, how: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
    """The relaxed model, and what the table says of it: eV, eV/Å."""
    from hetbuild.relaxing.relaxation import relax

    relaxed = relax(model, **how)
    done = relaxed.provenance["relaxations"][-1]
    return relaxed, {
        "energy_before": round(done["energy_before"], 6),
        "energy": round(done["energy_after"], 6),
        "fmax": round(done["fmax"], 6),
        "relax_steps": done["steps"],
    }


def _exported(staging: Path, stem: str, model: Any, name: str) -> dict[Path, Any]:
    from hetbuild.formats.catalogue import CP2K, cp2k_files, format_named
    from hetbuild.formats.cp2k_options import Cp2kOptions

    if name == CP2K:
        return dict(cp2k_files(model, staging, stem, Cp2kOptions()))
    chosen = format_named(name)
    return {staging / f"{stem}{chosen.ending}": lambda s: chosen.write(model, s, 10.0)}


def _measured(model: Any, report: Any) -> dict[str, Any]:
    """The columns of the table that every model has."""
    import numpy as np

    from hetbuild.geometry.electrostatics import coulomb_energy

    row: dict[str, Any] = {
        "formula": report.formula,
        "atoms": len(model),
        "charge": report.charge,
        "extent_nm": round(float(np.ptp(model.positions, axis=0).max()) / 10.0, 3),
    }
    if not any(model.periodic):
        row["coulomb_energy"] = round(coulomb_energy(model.positions, model.charges), 4)
    row |= {f"formula_{name}": text for name, text in report.formulas.items()}
    row |= {f"{c.kind}_contact": round(c.distance, 4) for c in report.contacts}
    for meeting in report.interfaces:
        if meeting.measured is None:
            continue
        which = "" if len(report.interfaces) == 1 else f"_{'_'.join(meeting.domains)}"
        row[f"planes{which}"] = " || ".join(str(p) for p in meeting.measured.as_dict()["planes"])
        for i, pair in enumerate(meeting.measured.coincidences, 1):
            row[f"mismatch{which}_{i}"] = round(pair.mismatch, 6)
    for region, histogram in report.coordination.items():
        total = sum(histogram.values())
        mean = sum(int(n) * count for n, count in histogram.items()) / max(total, 1)
        row[f"coordination_{region}"] = round(mean, 4)
    return row


def _stand(staging: Path, final: Path) -> None:
    """The folder appears under its name at once; where another worker was first, theirs stays."""
    try:
        staging.rename(final)
    except OSError:
        if not (final / ROW).is_file():
            raise


def enter(store: Store, key: str, row: Mapping[str, Any]) -> None:
    """Note a failure where the next run finds it."""
    try:
        write_atomically(store.failure(key), json.dumps(row, ensure_ascii=False) + "\n")
    except OSError:
        return  # a full disk: the row still goes back to the driver
