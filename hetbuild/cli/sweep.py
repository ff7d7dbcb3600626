"""`hetbuild sweep`: many models from one recipe."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hetbuild.cli.console import emit, progress_bar
from hetbuild.cli.options import OUTPUT, as_json, bundled, quiet
from hetbuild.errors import CheckError, InputError

if TYPE_CHECKING:
    from hetbuild.sweep.store import Store
    from hetbuild.sweep.variants import Variant


@dataclass(frozen=True)
class Machines:
    """Where variants are built; one of these at most is given."""

    workers: int | None
    """Processes on this machine."""
    scheduler: str | None
    """Address of a dask scheduler."""
    slurm: str | None
    """Options of jobs, as text."""


@click.command()
@click.argument("sweep", type=click.Path(path_type=Path))
@click.option("-o", "--output", type=OUTPUT, help="Folder; default: the name.")
@click.option("--workers", type=click.IntRange(1), help="Processes on this machine [cores].")
@click.option("--scheduler", metavar="ADDRESS", help="A dask scheduler that is running.")
@click.option("--slurm", metavar="OPTIONS", help="As queue=long,cores=4,memory=8GB,jobs=10.")
@click.option("--retry-failed", is_flag=True, help="Build again what failed before.")
@click.option("--status", is_flag=True, help="What is done; builds nothing.")
@click.option("--dry-run", is_flag=True, help="How many models and about how long; builds nothing.")
@click.option(
    "--results", default="results.csv", show_default=True, help="Table: .csv, .json or .parquet."
)
@click.option("--ase-db", metavar="FILE", help="Also an ASE database of all models that are done.")
@click.option(
    "--trust", is_flag=True, help="Let SWEEP name its own calculator and CIF files elsewhere."
)
@as_json
@quiet
@bundled(Machines, "machines")
def sweep(
    sweep: Path,
    output: Path | None,
    machines: Machines,
    retry_failed: bool,
    status: bool,
    dry_run: bool,
    results: str,
    ase_db: str | None,
    trust: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Build every variant of SWEEP, a TOML file of a recipe and axes, into one folder.

    What is done is never built again: a sweep that was killed goes on where it stopped, and axes
    may grow. A variant that fails is entered in the table with its error and holds nothing up.
    """
    from hetbuild.sweep.spec import read_sweep, refuse_code
    from hetbuild.sweep.store import open_store
    from hetbuild.sweep.variants import expand

    _check_options(results, ase_db, machines)
    jobs = _slurm(machines.slurm)
    spec = read_sweep(sweep)
    if not trust:
        refuse_code(spec, sweep)
    variants = expand(spec, sweep.resolve().parent, trust=trust)
    folder = output or Path(spec.name)
    store = open_store(folder, spec.name, make=not (status or dry_run))
    pending = _pending(store, variants, retry_failed)
    if status or dry_run:
        record = _standing(store, variants, pending)
        emit(record, "\n".join(_told(record, dry_run)), as_json)
        return
    start = time.monotonic()
    _run(store, pending, machines, jobs)
    rows = [row for v in variants if (row := store.row(v.key)) is not None]
    rows += _lost(variants, rows)
    _write(folder, rows, results, ase_db)
    tried = f"{len(pending)} tried now in {time.monotonic() - start:.1f} s"
    written = [folder / name for name in (results, ase_db) if name is not None]
    _tell(written, rows, "" if quiet else tried, as_json)


def _tell(written: list[Path], rows: list[dict[str, Any]], tried: str, as_json: bool) -> None:
    """What became of all variants, with what was `tried` now; a check fails where one failed.

    written: the table, and the database where one was asked for.
    """
    failed = [r for r in rows if r["status"] == "failed"]
    table, *databases = written
    lines = [str(path) for path in written]
    if tried:
        lines.insert(0, f"{len(rows) - len(failed)} of {len(rows)} done, {tried}")
    record: dict[str, Any] = {"folder": str(table.parent), "results": str(table)}
    if databases:
        record["ase_db"] = str(databases[0])
    record["variants"] = rows
    emit(record, "\n".join(lines), as_json)
    if failed:
        raise CheckError(
            f"{len(failed)} of {len(rows)} variants failed, the first with: {failed[0]['error']} "
            f"They are in {table}; `--retry-failed` tries them again."
        )


def _check_options(results: str, ase_db: str | None, machines: Machines) -> None:
    if sum(x is not None for x in astuple(machines)) > 1:
        raise InputError("Give one of --workers, --scheduler and --slurm.")
    if Path(results).name != results or Path(results).suffix not in (".csv", ".json", ".parquet"):
        raise InputError(
            f"--results {results!r}: a name in the folder that ends in .csv, .json or .parquet."
        )
    if ase_db is not None and (Path(ase_db).name != ase_db or Path(ase_db).suffix != ".db"):
        raise InputError(f"--ase-db {ase_db!r}: a name in the folder that ends in .db.")


def _slurm(text: str | None) -> dict[str, Any] | None:
    """``queue=long,cores=4``; whole numbers as such, repeated keys as lists."""
    if text is None:
        return None
    found: dict[str, Any] = {}
    for part in text.split(","):
        key, sign, value = (p.strip() for p in part.partition("="))
        if not sign or not key.isidentifier() or not value:
            raise InputError(f"--slurm {text!r}: write option=value, separated by commas.")
        given: Any = int(value) if value.isascii() and value.isdigit() else value
        if key in ("job_directives_skip", "job_extra_directives", "job_script_prologue"):
            found.setdefault(key, []).append(given)
        else:
            found[key] = given
    return found


def _pending(store: Store, variants: tuple[Variant, ...], retry: bool) -> list[Variant]:
    open_ = [v for v in variants if not store.is_done(v.key)]
    return open_ if retry else [v for v in open_ if not store.has_failed(v.key)]


def _run(
    store: Store,
    pending: list[Variant],
    machines: Machines,
    slurm: dict[str, Any] | None,
) -> None:
    from hetbuild.sweep.cluster import available_cores, client, run
    from hetbuild.sweep.task import enter

    if not pending:
        return
    most = min(machines.workers or available_cores(), len(pending))
    with (
        client(workers=most, scheduler=machines.scheduler, slurm=slurm) as connected,
        progress_bar(f"{len(pending)} models") as progress,
    ):
        for count, row in enumerate(run(str(store.folder.resolve()), pending, connected), 1):
            if row["status"] == "failed":
                enter(store, row["key"], row)
            if progress is not None:
                progress(count / len(pending))


def _lost(variants: tuple[Variant, ...], rows: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Variants of which nothing is known: a disk too full to enter their failure."""
    known = {row["key"] for row in rows}
    for v in variants:
        if v.key not in known:
            yield {"key": v.key, **v.settings, "status": "failed", "error": "nothing was written."}


def _write(folder: Path, rows: list[dict[str, Any]], results: str, ase_db: str | None) -> None:
    from hetbuild.sweep.database import write_database
    from hetbuild.sweep.store import write_table

    try:
        write_table(rows, folder / results)
        if ase_db is not None:
            write_database([r for r in rows if r["status"] == "done"], folder / ase_db)
    except OSError as error:
        raise InputError(f"Cannot write into {folder}: {error.strerror}.") from None


def _standing(
    store: Store, variants: tuple[Variant, ...], pending: list[Variant]
) -> dict[str, Any]:
    from hetbuild.sweep.estimate import estimate

    settings = {v.key: dict(v.settings) for v in variants}

    done = [row for v in variants if store.is_done(v.key) and (row := store.row(v.key))]
    failed = [row for v in variants if not store.is_done(v.key) and (row := store.row(v.key))]
    return {
        "folder": str(store.folder),
        "variants": len(variants),
        "done": len(done),
        "failed": [
            {"key": r["key"], "settings": settings[r["key"]], "error": r.get("error", "")}
            for r in failed
        ],
        "pending": len(pending),
        "cpu_seconds": round(estimate(pending, done), 1),
        "settings": list(settings.values()),
    }


def _told(record: dict[str, Any], dry_run: bool) -> Iterator[str]:
    from hetbuild.sweep.variants import said

    many = "variant" if record["variants"] == 1 else "variants"
    yield (
        f"{record['variants']} {many}: {record['done']} done, {len(record['failed'])} failed, "
        f"{record['pending']} to build, about {record['cpu_seconds']:.0f} s on one core"
    )
    for failed in record["failed"]:
        which = said(failed["settings"]) or "the recipe"
        yield f"failed {failed['key']} ({which}): {failed['error']}"
    if dry_run:
        for settings in record["settings"]:
            yield said(settings)
