"""A job script for SLURM beside a deck."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields

from hetbuild.errors import InputError, nearest

WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._,+-]*")
TIME = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?")
CLOCK = re.compile(r"(\d+-)?\d+(:\d\d){1,2}")
MEMORY = re.compile(r"\d+[KMGT]?")

SCRIPT = "job.sh"
"""Its name."""


@dataclass(frozen=True, slots=True)
class Slurm:
    """What a job asks for."""

    nodes: int = 1
    tasks: int = 1
    """MPI processes on each node."""
    cpus: int = 1
    """Threads of each process."""
    time: str = "24:00:00"
    """As SLURM writes it: [days-]hours:minutes:seconds."""
    partition: str = ""
    account: str = ""
    qos: str = ""
    mem: str = ""
    """On each node, as 180G."""
    launcher: str = "srun"
    """What starts the processes: srun or mpirun."""


def parse(text: str) -> Slurm:
    """Of ``nodes=4,tasks=32,time=24h``.

    Raises
    ------
    InputError
        An unknown key, or a value SLURM would not take.
    """
    known = {f.name: _READ[f.name] for f in fields(Slurm)}
    given: dict[str, object] = {}
    for part in filter(None, (p.strip() for p in text.split(","))):
        key, sign, value = part.partition("=")
        if key not in known:
            raise InputError(f"--slurm has no {key!r}; {nearest(key, known)}")
        if not sign or key in given:
            raise InputError(f"--slurm {text!r}: write each as KEY=VALUE, once.")
        given[key] = known[key](key, value)
    if not given:
        raise InputError(f"--slurm {text!r}: write KEY=VALUE, as nodes=4,tasks=32,time=24h.")
    return Slurm(**given)  # type: ignore[arg-type]  # each read by the reader of its key


def script(name: str, slurm: Slurm) -> str:
    """The text of job.sh: submit with ``sbatch job.sh``, again to go on where it stopped."""
    asked = {
        "job-name": name,
        "nodes": slurm.nodes,
        "ntasks-per-node": slurm.tasks,
        "cpus-per-task": slurm.cpus,
        "time": slurm.time,
        "partition": slurm.partition,
        "account": slurm.account,
        "qos": slurm.qos,
        "mem": slurm.mem,
        "output": f"{name}-slurm-%j.out",
    }
    lines = [f"#SBATCH --{key}={value}" for key, value in asked.items() if value]
    start = "srun" if slurm.launcher == "srun" else f"mpirun -np {slurm.nodes * slurm.tasks}"
    return "\n".join(
        [
            "#!/usr/bin/env bash",
            *lines,
            f"# Runs {name}, or goes on from its last step: submit again with sbatch {SCRIPT}.",
            "# Load CP2K first if your machine wants that, as: module load cp2k",
            "set -euo pipefail",
            'cd "${SLURM_SUBMIT_DIR:?submit with sbatch}"',
            'export OMP_NUM_THREADS="${SLURM_CPUS_PER_TASK:-1}"',
            f"exec ./run.sh {start} cp2k.psmp",
            "",
        ]
    )


def _count(key: str, value: str) -> int:
    if not value.isdecimal() or not 0 < int(value) < 10**6:
        raise InputError(f"--slurm {key}={value}: a whole number above zero.")
    return int(value)


def _time(key: str, value: str) -> str:
    found = TIME.fullmatch(value)
    if "0" in value and not re.search("[1-9]", value):  # SLURM takes 0 for no limit
        raise InputError(f"--slurm {key}={value}: a time above zero, as 24h or 90m.")
    if found and value:
        days, hours, minutes = (int(x or 0) for x in found.groups())
        hours += minutes // 60
        return f"{days}-{hours}:{minutes % 60:02d}:00" if days else f"{hours}:{minutes % 60:02d}:00"
    if CLOCK.fullmatch(value):
        return value
    raise InputError(f"--slurm {key}={value}: as 24h, 90m, 2d12h or 24:00:00.")


def _word(key: str, value: str) -> str:
    if not WORD.fullmatch(value):
        raise InputError(f"--slurm {key}={value}: letters, digits and . _ + - only.")
    return value


def _memory(key: str, value: str) -> str:
    if not MEMORY.fullmatch(value):
        raise InputError(f"--slurm {key}={value}: as 180G.")
    return value


def _launcher(key: str, value: str) -> str:
    if value not in ("srun", "mpirun"):
        raise InputError(f"--slurm {key}={value}: srun or mpirun.")
    return value


_READ: Mapping[str, Callable[[str, str], object]] = {
    "nodes": _count, "tasks": _count, "cpus": _count, "time": _time, "partition": _word,
    "account": _word, "qos": _word, "mem": _memory, "launcher": _launcher,
}  # fmt: skip
"""How each value is read."""
