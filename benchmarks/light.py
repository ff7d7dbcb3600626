"""CPU time of what starts before any work: `import hetbuild` and `hetbuild --help` beside click.

    python benchmarks/light.py [runs]

Each in a process of its own, one after the other in turn, so that a busy machine slows all alike.
"""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys

CLICK_HELP = """
import click
@click.command()
def command():
    "Nothing."
command.main(["--help"], standalone_mode=False)
"""
CODES = {
    "python": "pass",
    "import hetbuild": "import hetbuild",
    "import click": "import click",
    "help of an empty click command": CLICK_HELP,
    "hetbuild --help": "import sys; sys.argv = ['hetbuild', '--help']\n"
    "from hetbuild.cli import main; main()",
}


def cpu_ms(code: str) -> float:
    """User and system time of a process that runs this code, ms."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", code], stdout=subprocess.DEVNULL, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return 1e3 * (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def main(runs: int = 20) -> None:
    """Print the shortest and the median of so many runs of each; the first of all warms up."""
    rounds = [{name: cpu_ms(code) for name, code in CODES.items()} for _ in range(runs + 1)][1:]
    for name in CODES:
        times = [r[name] for r in rounds]
        print(f"{name:32s} {min(times):6.1f} {statistics.median(times):6.1f} ms")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]))
