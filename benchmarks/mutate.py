"""Do the tests bite? Small faults are put into the engine one at a time, and a test must notice.

    python benchmarks/covering.py map.json
    python benchmarks/mutate.py map.json --count 100 --seed 1 [--wing balancing] [--list]

A sample of the mutants of benchmarks/mutants.py is drawn by the seed. For each, the tests that run
the changed line (by the map) run on a copy of the package, the shortest first, until one fails.
What survives is printed with its line: a test is missing there, or the change changes nothing.
mutmut and cosmic-ray run whole files of tests in a new process for each change: minutes each.
"""

from __future__ import annotations

import argparse
import compileall
import importlib
import json
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from mutants import ROOT, WINGS, Mutant, mutants, tests_of

BUDGET = 40.0
"""Seconds of tests that a mutant may take, at most, as measured for the map, with tracing: about a
third of it without. One that needs more has survived."""

ENDLESS = 4.0
"""A mutant that takes so many times the seconds of its tests never ends, and fails in CI too."""

START = 30.0
"""Seconds allowed beside, for imports and collecting."""

HEAVY = (
    "numpy", "scipy.spatial", "scipy.optimize", "scipy.sparse", "scipy.cluster", "spglib", "gemmi",
    "ase.build", "ase.io", "pydantic", "click", "pymatgen.core", "pymatgen.io.ase", "hypothesis",
    "pytest", "matplotlib.figure",
)  # fmt: skip
"""Imported once, before a process is forked for each mutant."""


class Chosen:
    """A pytest plugin: of what was collected only some tests, in a given order."""

    def __init__(self, order: list[str]) -> None:
        self.order = {test: i for i, test in enumerate(order)}

    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        items[:] = sorted(
            (item for item in items if item.nodeid in self.order),
            key=lambda item: self.order[item.nodeid],
        )


def affordable(tests: set[str], seconds: dict[str, float]) -> list[str]:
    """The shortest first, as many as the budget allows, one at least."""
    order = sorted(tests, key=lambda test: (seconds[test], test))
    total, kept = 0.0, []
    for test in order:
        total += seconds[test]
        if kept and total > BUDGET:
            break
        kept.append(test)
    return kept


def fails(copy: Path, order: list[str], seconds: float) -> bool:
    """Whether one of some tests fails, or they never end, in a process of their own."""
    child = os.fork()
    if child == 0:
        resource.setrlimit(resource.RLIMIT_CPU, 2 * (int(START + ENDLESS * seconds),))
        resource.setrlimit(resource.RLIMIT_AS, 2 * (8 << 30,))
        silent = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silent, 1)
        os.dup2(silent, 2)
        os.chdir(copy)
        sys.path.insert(0, str(copy))
        os.environ["PYTHONPATH"] = str(copy)
        sys.dont_write_bytecode = True
        for name in [name for name in sys.modules if name.partition(".")[0] == "hetbuild"]:
            del sys.modules[name]  # ASE's plugins import some of it
        import pytest

        files = list(dict.fromkeys(test.partition("::")[0] for test in order))
        options = ["-x", "-q", "-p", "no:cacheprovider", "-p", "no:benchmark"]
        options += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]  # of what is there already
        code = 1
        try:
            code = int(pytest.main([*options, *files], plugins=[Chosen(order)]))
        finally:
            sys.stdout.flush()
            os._exit(code)
    try:
        status = os.waitpid(child, 0)[1]
    except KeyboardInterrupt:
        os.kill(child, signal.SIGKILL)
        raise
    return status != 0


def noticed(mutant: Mutant, copy: Path, order: list[str], seconds: float) -> bool:
    """Whether a test fails on a copy of the package with this change."""
    if not order:
        return False
    target = copy / mutant.module
    source, times = target.read_bytes(), target.stat()
    target.write_bytes(source[: mutant.start] + mutant.text.encode() + source[mutant.end :])
    os.utime(target, (times.st_atime, times.st_mtime + 10))  # compiled again
    try:
        return fails(copy, order, seconds)
    finally:
        target.write_bytes(source)
        os.utime(target, ns=(times.st_atime_ns, times.st_mtime_ns))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("map", type=Path, help="written by benchmarks/covering.py")
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--wing", choices=WINGS, action="append")
    parser.add_argument(
        "--part", default="1/1", help="of the sample, as 2/3: for several processes"
    )
    parser.add_argument(
        "--only", action="append", default=[], help="instead of a sample: mutants printed with this"
    )
    parser.add_argument(
        "--without", action="append", default=[], help="a file of tests to leave out, repeatable"
    )
    parser.add_argument("--list", action="store_true", help="print the sample, run nothing")
    given = parser.parse_args()
    every = list(mutants(tuple(given.wing or WINGS)))
    sample = random.Random(given.seed).sample(every, min(given.count, len(every)))
    part, parts = map(int, given.part.split("/"))
    sample = sample[part - 1 :: parts]
    if given.only:
        sample = [m for m in every if any(text in str(m) for text in given.only)]
    print(f"{len(sample)} of {len(every)} mutants", flush=True)
    if given.list:
        print(*sample, sep="\n")
        return
    cover = json.loads(given.map.read_text(encoding="utf-8"))
    for test in [t for t in cover["seconds"] if t.partition("::")[0] in given.without]:
        del cover["seconds"][test]
    for name in HEAVY:
        importlib.import_module(name)
    with tempfile.TemporaryDirectory() as name:
        copy = Path(name)
        for folder in ("hetbuild", "tests", "structures", "examples", "benchmarks", "docs"):
            shutil.copytree(ROOT / folder, copy / folder)
        for file in ("pyproject.toml", "README.md", "CHANGELOG.md"):
            shutil.copy(ROOT / file, copy)
        for folder in ("hetbuild", "tests"):
            compileall.compile_dir(copy / folder, quiet=1)
        run(sample, copy, cover)


def run(sample: list[Mutant], copy: Path, cover: dict[str, Any]) -> None:
    """Print what became of each mutant, and the share of those that survived."""
    survived, seconds = 0, cover["seconds"]
    everything = affordable(set(seconds), seconds)[:200]
    if fails(copy, everything, sum(seconds[test] for test in everything)):
        raise SystemExit("mutate.py: tests fail without any change")
    for i, mutant in enumerate(sample, 1):
        order = affordable(tests_of(mutant, cover["lines"], seconds) & seconds.keys(), seconds)
        start = time.monotonic()
        killed = noticed(mutant, copy, order, sum(seconds[test] for test in order))
        survived += not killed
        word = "noticed " if killed else "SURVIVED"
        took = f"{time.monotonic() - start:4.0f} s of {len(order):4d} tests"
        print(f"{i:3d} {word} {took}  {mutant}", flush=True)
    print(f"{survived} of {len(sample)} survived, {100 * survived / len(sample):.0f} %")


if __name__ == "__main__":
    for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
        os.environ[variable] = "1"
    main()
