"""Dask runs a sweep: on this machine, on a scheduler that is there, or as SLURM jobs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from shutil import which
from typing import Any

from hetbuild.errors import ImpossibleError, InputError
from hetbuild.sweep.task import run_variant
from hetbuild.sweep.variants import Variant

RETRIES = 3
"""How often a variant goes to another worker after one was killed with it."""

SUBMIT = "sbatch"
"""Program that submits SLURM jobs."""

WAIT = 10.0
"""Seconds in which a scheduler must answer."""


def available_cores() -> int:
    """Processors this process may use."""
    import os

    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def client(
    *, workers: int | None = None, scheduler: str | None = None, slurm: Mapping[str, Any] | None
) -> Iterator[Any]:
    """A dask client: of `scheduler`, of SLURM jobs, else of `workers` processes on this machine.

    slurm: options of `dask_jobqueue.SLURMCluster`, and `jobs`, how many to ask for.

    Raises
    ------
    InputError
        dask is not installed, an option SLURM's cluster does not take.
    ImpossibleError
        No scheduler answers at the address.
    """
    try:
        import dask
        from distributed import Client
    except ImportError:
        raise InputError("Sweeps need dask: pip install 'hetbuild[cluster]'.") from None
    settings = {
        "distributed.scheduler.allowed-failures": RETRIES,
        "distributed.worker.daemon": True,
        "distributed.admin.log-format": "%(message)s",
        "logging.distributed": "error",
    }
    with dask.config.set(settings):
        if scheduler is not None:
            with _connected(scheduler) as connected:
                yield connected
            return
        cluster = _slurm(slurm) if slurm is not None else _local(workers or available_cores())
        with cluster, Client(cluster) as connected:
            yield connected


def _local(workers: int) -> Any:
    """Processes on this machine, one model at a time in each."""
    from distributed import LocalCluster

    try:
        return LocalCluster(
            n_workers=workers, threads_per_worker=1, dashboard_address=":0", silence_logs=50
        )
    except (OSError, RuntimeError) as error:
        raise ImpossibleError(
            f"No worker processes start on this machine: {error} Try fewer with --workers, and see "
            "that the folder for temporary files can be written into."
        ) from None


def _connected(scheduler: str) -> Any:
    """A client of a scheduler that runs somewhere."""
    from distributed import Client

    try:
        return Client(scheduler, timeout=WAIT)
    except (OSError, ValueError, TimeoutError) as error:
        raise ImpossibleError(
            f"No dask scheduler answers at {scheduler!r}: {error or 'no answer'}. Start "
            "one with `dask scheduler`, or leave --scheduler out."
        ) from None


def _slurm(options: Mapping[str, Any]) -> Any:
    try:
        from dask_jobqueue import SLURMCluster
    except ImportError:
        raise InputError("--slurm needs dask-jobqueue: pip install 'hetbuild[cluster]'.") from None
    given = dict(options)
    jobs = given.pop("jobs", 1)
    if not isinstance(jobs, int) or jobs < 1:
        raise InputError(f"--slurm: jobs={jobs} is no number of jobs; give 1 or more.")
    missing = [name for name in ("cores", "memory") if name not in given and not _configured(name)]
    if missing:
        raise InputError(f"--slurm: a job needs {' and '.join(missing)}, as cores=4,memory=8GB.")
    if which(SUBMIT) is None:
        raise ImpossibleError(
            f"--slurm: there is no {SUBMIT} on this machine; start the sweep where jobs are "
            "submitted from, or leave --slurm out."
        )
    try:
        made = SLURMCluster(**given)
    except (TypeError, ValueError) as error:
        # What dask says first; the rest is about its own code.
        says = str(error).partition(". Very likely")[0].rstrip(".")
        raise InputError(
            f"--slurm: {says}. It takes the options of dask_jobqueue.SLURMCluster, as "
            "queue=long,cores=4,memory=8GB,walltime=02:00:00,jobs=10."
        ) from None
    made.scale(jobs=jobs)
    return made


def _configured(option: str) -> bool:
    """Dask's own configuration of this machine states the option of SLURM jobs."""
    import dask

    return dask.config.get(f"jobqueue.slurm.{option}", None) is not None


def run(folder: str, variants: Sequence[Variant], connected: Any) -> Iterator[dict[str, Any]]:
    """Lines of the table as variants end, in the order they end.

    A variant whose worker was killed goes to others; one that kills its workers fails alone.
    """
    from distributed import as_completed

    futures = {
        connected.submit(
            run_variant, folder, v.key, v.settings, v.recipe, v.beside, v.export, v.relax,
            key=f"variant-{v.key}", pure=True,
        ): v
        for v in variants
    }  # fmt: skip
    for future in as_completed(futures):
        variant = futures[future]
        try:
            yield future.result()
        except Exception as error:  # whatever took the worker down: this variant fails alone
            yield {
                "key": variant.key,
                **variant.settings,
                "status": "failed",
                "error": f"{type(error).__name__}: {error}",
            }
        future.release()
