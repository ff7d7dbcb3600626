"""A SLURM of one node for the tests: munge, slurmctld and slurmd with a private configuration."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "sinfo")

CONFIGURATION = """
ClusterName=hetbuild
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
SlurmctldPort=16817
SlurmdPort=16818
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
JobAcctGatherType=jobacct_gather/none
ReturnToService=2
MailProg=/bin/true
NodeName={host} NodeAddr=127.0.0.1 CPUs={cores} State=UNKNOWN
PartitionName=short Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""


def available() -> bool:
    """All programs are there, and so is the right to start them."""
    found = all(shutil.which(p, path="/usr/sbin:/usr/bin:/sbin:/bin") for p in PROGRAMS)
    return found and os.geteuid() == 0


@contextmanager
def cluster(folder: Path) -> Iterator[dict[str, str]]:
    """The environment in which sbatch reaches the cluster; it stops at the end."""
    host = os.uname().nodename.split(".")[0]
    for name in ("state", "spool"):
        (folder / name).mkdir()
    text = CONFIGURATION.format(host=host, folder=folder, cores=os.cpu_count())
    (folder / "slurm.conf").write_text(text)
    key = folder / "munge.key"
    key.write_bytes(os.urandom(128))
    key.chmod(0o600)
    folder.chmod(0o755)
    environment = {**os.environ, "SLURM_CONF": str(folder / "slurm.conf")}
    environment["PATH"] += ":/usr/sbin"
    munge = ["munged", "-F", f"--socket={folder}/munge.socket", f"--key-file={key}", "--force"]
    munge += [f"--pid-file={folder}/munge.pid", f"--log-file={folder}/munge.log"]
    munge += [f"--seed-file={folder}/munge.seed"]
    services: list[subprocess.Popen[bytes]] = []
    try:
        for command in (munge, ["slurmctld", "-D"], ["slurmd", "-D", "-N", host]):
            services.append(
                subprocess.Popen(
                    command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
                )
            )
            time.sleep(1.0)
        _wait_for_nodes(environment, folder)
        yield environment
    finally:
        for service in reversed(services):
            service.terminate()
        for service in services:
            service.wait(30)


def _wait_for_nodes(environment: dict[str, str], folder: Path) -> None:
    for _ in range(60):
        done = subprocess.run(
            ["sinfo", "-h", "-o", "%T"],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.stdout.strip() in ("idle", "mixed", "allocated"):
            return
        time.sleep(1.0)
    logs = "\n".join(p.read_text(errors="replace")[-2000:] for p in folder.glob("*.log"))
    raise RuntimeError(f"SLURM did not start: {done.stdout}{done.stderr}\n{logs}")
