"""The whole chain at several sizes: time and peak memory of each step, and how they grow.

python benchmarks/chain.py [planes ...]: cubes of CsPbCl3 of so many Pb along the edge,
cut, balanced, exchanged, inspected, written, read and compared. Each size runs in a process
of its own.

python benchmarks/chain.py --pair [nm ...]: the heterostructure cspbcl3-pbs at these sizes of
its perovskite, from the recipe to its files; then exchanged, recognised from bare positions.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np

EDGES = (6, 13, 27, 59)
"""Pb along the edge: about 1,300, 12,000, 103,000 and 1,048,000 ions."""

PAIRS = (3, 7, 15, 32)
"""nm of the perovskite: about 1,200, 11,000, 107,000 and 1,019,000 ions."""

ALONE = {"OPENBLAS_NUM_THREADS": "1"}
"""Threads that wait for each other would count as processor time."""

T = TypeVar("T")


def timed(name: str, work: Callable[[], T]) -> T:
    """Run a step and print what it took."""
    start = time.process_time()
    result = work()
    told(name, time.process_time() - start)
    return result


def told(name: str, took: float) -> None:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"{name}\t{took:.3f}\t{peak:.3f}", flush=True)


def chain(edge: int) -> None:
    """All steps at one size."""
    import hetbuild as hb

    crystal = hb.Crystal.named("CsPbCl3")
    centre = (0, 0, 0) if edge % 2 else (0.5, 0.5, 0.5)
    facets = [hb.Facet((1, 0, 0), edge / 2)]
    cube = hb.carve(crystal, facets, site="Pb", centre=centre, name="perovskite")
    cube = timed(
        "carve", lambda: hb.carve(crystal, facets, site="Pb", centre=centre, name="perovskite")
    )
    print(f"ions\t{len(cube)}\t0", flush=True)
    timed("cut", lambda: hb.cut(cube, (-2, 1, 0), keep="above", at=-1.0))
    move = hb.Move("remove", "Cs", "perovskite", least_bonded_first=True)
    model = timed("balance", lambda: hb.balance(cube, [move]))
    timed("exchange", lambda: hb.exchange(model, {"Cl": "Br"}, domain="perovskite"))
    timed("inspect", lambda: hb.inspect(model))
    with tempfile.TemporaryDirectory() as folder:
        paths = {s: Path(folder) / f"model.{s}" for s in ("xyz", "cif", "vesta")}
        for suffix, path in paths.items():
            timed(f"write {suffix}", lambda p=path: model.write(p))
        timed("read xyz", lambda: hb.read_model(paths["xyz"]))
    order = np.random.default_rng(0).permutation(len(model))
    turned = model.to_ase()[order]
    turned.rotate(33.0, (1, 2, 3))
    timed("compare", lambda: hb.compare(model, turned))


def pair(size: int) -> None:
    """The heterostructure at one size: every stage of the build, what is measured and written."""
    import hetbuild as hb
    from hetbuild.analyse.labels import model_of
    from hetbuild.formats.files import write_all
    from hetbuild.recipe.output import model_files
    from hetbuild.recipe.read import read_recipe
    from hetbuild.recipe.run import stages

    recipe = read_recipe("cspbcl3-pbs").without_formulas().with_size(f"{size} nm")
    hb.inspect(hb.build("cspbcl3-cube-1"))  # what is imported counts for no step
    began = time.process_time()
    for name, model in stages(recipe):  # noqa: B007 (the last one is measured below)
        told(name, time.process_time() - began)
        began = time.process_time()
    print(f"ions\t{len(model)}\t0", flush=True)
    report = timed("inspect", lambda: hb.inspect(model))
    with tempfile.TemporaryDirectory() as folder:
        files = model_files(Path(folder), "model", model, report)
        timed("write all five", partial(write_all, files, force=False))
    del files, report
    timed("exchange", lambda: hb.exchange(model, {"Cl": "Br"}, domain="perovskite"))
    crystals = [d.crystal for d in model.domains]
    timed("labels", lambda: model_of(model.numbers, model.positions, crystals))


def table(edges: list[int], option: str = "--one") -> None:
    """Time in s and peak memory in GB of each step, a column for each size."""
    found: list[dict[str, tuple[float, float]]] = []
    for edge in edges:
        command = [sys.executable, __file__, option, str(edge)]
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, env={**os.environ, **ALONE}
        )
        rows = (line.split("\t") for line in done.stdout.splitlines())
        found.append({name: (float(a), float(b)) for name, a, b in rows})
        if done.returncode:
            print(done.stderr[-400:], file=sys.stderr)
    ions = [f["ions"][0] for f in found]
    print("| step | " + " | ".join(f"{n:,.0f} ions" for n in ions) + " | exponent |")
    print("|---|" + "---|" * (len(ions) + 1))
    for name in dict.fromkeys(k for f in found for k in f if k != "ions"):
        cells = [f"{f[name][0]:.2f} s, {f[name][1]:.2f} GB" if name in f else "-" for f in found]
        times = [(n, f[name][0]) for n, f in zip(ions, found, strict=True) if name in f]
        growth = "-"
        if len(times) > 1 and times[-2][1] > 0.02:
            (n0, t0), (n1, t1) = times[-2:]
            growth = f"{np.log(t1 / t0) / np.log(n1 / n0):.2f}"
        print(f"| {name} | " + " | ".join(cells) + f" | {growth} |", flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        chain(int(sys.argv[2]))
    elif sys.argv[1:2] == ["--one-pair"]:
        pair(int(sys.argv[2]))
    elif sys.argv[1:2] == ["--pair"]:
        table([int(x) for x in sys.argv[2:]] or list(PAIRS), "--one-pair")
    else:
        table([int(x) for x in sys.argv[1:]] or list(EDGES))
