"""Sweeps: axes, keys, what is built once, what fails alone, kills."""

from __future__ import annotations

import csv
import itertools
import json
import os
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import numpy as np
import pytest
import slurm
from ase import Atoms
from born_mayer import BornMayer
from conftest import called
from test_cli import run

from hetbuild.errors import ImpossibleError, InputError
from hetbuild.formats.xyz import read_xyz
from hetbuild.sweep import cluster
from hetbuild.sweep.database import write_database
from hetbuild.sweep.spec import read_sweep
from hetbuild.sweep.store import open_store, write_table
from hetbuild.sweep.task import enter, run_variant
from hetbuild.sweep.variants import Variant, expand, said

CUBES = """
name = "cubes"
[[axes]]
recipe = ["cspbcl3-cube-1", "cspbbr3-cube-1", "cspbi3-cube-1"]
[[axes]]
key = "vacuum"
range = { first = 8, last = 9 }
"""


def variants(text: str, folder: Path) -> tuple[Variant, ...]:
    (folder / "sweep.toml").write_text(text)
    return expand(read_sweep(folder / "sweep.toml"), folder)


def build(folder: Path, variant: Variant) -> dict[str, object]:
    v = variant
    return run_variant(str(folder), v.key, v.settings, v.recipe, v.beside, v.export, v.relax)


def test_axes_multiply_and_keys_of_one_axis_change_together(tmp_path: Path) -> None:
    found = variants(CUBES, tmp_path)
    assert len(found) == len({v.key for v in found}) == 6
    assert [v.settings["vacuum"] for v in found] == [8, 9] * 3
    zipped = variants(
        'name = "z"\nrecipe = "cspbcl3-cube-1"\n[[axes]]\nkeys = ["name", "vacuum"]\n'
        'values = [["a", 8], ["b", 9]]\n',
        tmp_path,
    )
    assert [(v.recipe["name"], v.recipe["vacuum"]) for v in zipped] == [("a", 8.0), ("b", 9.0)]


def test_keys_depend_on_what_is_built_and_on_nothing_else(tmp_path: Path) -> None:
    first = variants(CUBES, tmp_path)
    reordered = CUBES.replace(
        '"cspbcl3-cube-1", "cspbbr3-cube-1"', '"cspbbr3-cube-1", "cspbcl3-cube-1"'
    )
    assert {v.key for v in variants(reordered, tmp_path)} == {v.key for v in first}
    other = variants(CUBES.replace("first = 8", "first = 7"), tmp_path)
    assert len({v.key for v in other} - {v.key for v in first}) == 3
    exported = variants(
        'export = ["poscar"]\n' + CUBES.replace('name = "cubes"', 'name = "cubes"'), tmp_path
    )
    assert not {v.key for v in exported} & {v.key for v in first}


def test_pairs_of_a_match_become_recipes(tmp_path: Path) -> None:
    found = variants(
        'name = "pairs"\n[[axes]]\n'
        'match = { first = "CsPbCl3", second = "PbS", rows = 2, size = 20 }\n',
        tmp_path,
    )
    assert len(found) == 2
    assert all(set(v.recipe["domains"]) for v in found)
    assert found[0].settings["match"] != found[1].settings["match"]


BASE = 'name = "x"\nrecipe = "cspbcl3-cube-1"\n'
FACET = "domains.perovskite.facets.7.planes"


def axis(key: str, values: str) -> str:
    return f"{BASE}[[axes]]\nkey = {key!r}\n{values}"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (axis("vacum", "values = [1]"), "did you mean 'vacuum'"),
        (axis("vacuum", "values = []"), "at least one"),
        (axis("vacuum", "values = [8]").replace("key =", "kye ="), "did you mean 'key'"),
        (axis("vacuum", "values = [8, 8]"), "same model"),
        (axis("vacuum.a", "values = [8]"), "vacuum"),
        (axis(FACET, "values = [8]"), "'7' is not one of"),
        (axis("vacuum", "values = [8]").replace("recipe =", "title ="), "unknown key"),
        ('name = "x"\n[[axes]]\nkey = "vacuum"\nvalues = [8]', "state one base"),
        (BASE.replace('"x"', '"../x"'), "name: '../x' cannot be the name of a recipe"),
        (BASE.replace('"x"', '"nul"'), "Windows has no files called so"),
        (BASE.replace('"x"', "9"), "name"),
        ('name = "x"\nrecipe = "cspbcl3-cube-1"\naxes = 5', "axes: a list is needed .given 5"),
        (CUBES.replace("[[axes]]", 'export = ["../x"]\n[[axes]]', 1), "No format is called '../x'"),
        (axis("domains.perovskite.crystal", 'values = ["../../x.cif"]'), "outside the folder"),
        (axis("vacuum", "range = { first = 1, last = 1e300 }"), "more than"),
        ('name = "x"\nrecipe = "nowhere"', "No shipped recipe"),
        ("name =", "not TOML"),
        (CUBES + "[relax]\ncalculater = 'chgnet'", "did you mean 'calculator'"),
        (CUBES + "[relax]\nfmax = 0", "relax.fmax"),
        (CUBES + "[output.cp2k]\nrun = 'fast'", "output.cp2k.run"),
        (CUBES + "[[steps]]\naction = 'replac'", "steps"),
        (
            axis("domains.perovskit.size", "values = ['3 nm']"),
            "no domain 'perovskit'; did you mean 'perovskite'",
        ),
        (
            axis("vacuum", "values = [8]") + "\n[[axes]]\nkey = 'vacuum'\nvalues = [9]",
            "vacuum is the key of two axes: give all its values in one",
        ),
        (
            axis("vacuum", "values = [8]") + "\n[[axes]]\nkeys = ['title', 'vacuum']\n"
            "values = [['a', 9]]",
            "vacuum is the key of two axes",
        ),
    ],
)
def test_errors_of_a_sweep_file(text: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=says):
        variants(text, tmp_path)


@pytest.mark.parametrize(
    ("relax", "ok"),
    [
        ('calculator = "os:system"\noptions = { command = "touch PWNED" }', False),
        ('calculator = "born_mayer:BornMayer"', False),
        ('calculator = "cp2k"\noptions = { command = "touch" }', False),
        ('calculator = "sevennet"\noptions = { model = "weights.pth" }', False),
        ('calculator = "ase.calculators.lammpslib:LAMMPSlib"\n'
         'options = { lmpcmds = ["shell touch PWNED"] }', False),
        ('calculator = "ase.calculators.morse:MorsePotential"\noptions = { r0 = 2.9 }', True),
        ('calculator = "chgnet"\noptions = { model = "0.3.0" }', True),
        ('calculator = "cp2k"\noptions = { method = "xtb", box = [20, 20, 20] }', True),
    ],
)  # fmt: skip
def test_a_sweep_runs_no_program_of_its_own(tmp_path: Path, relax: str, ok: bool) -> None:
    (tmp_path / "s.toml").write_text(f"{CUBES}\n[relax]\n{relax}\n")
    words = ["sweep", "s.toml", "--workers", "1", "--dry-run"]
    done = called(*words, cwd=tmp_path)
    assert done.returncode == (0 if ok else 2), done.stderr
    if not ok:
        assert "may run any program" in done.stderr
        assert called(*words, "--trust", cwd=tmp_path).returncode == 0
    assert not (tmp_path / "PWNED").exists()


def test_a_table_holds_no_formulas(tmp_path: Path) -> None:
    """A spreadsheet would run them; numbers stay numbers."""
    values = ["=cmd|'/C calc'!A0", "@x", "-x", "+1", "-1/8", "-1.5e-3", "plain", -2]
    write_table([{"key": "a", "title": v} for v in values], tmp_path / "t.csv")
    with (tmp_path / "t.csv").open() as stream:
        held = [row["title"] for row in csv.DictReader(stream)]
    assert held == ["'=cmd|'/C calc'!A0", "'@x", "'-x", *map(str, values[3:])]


def test_a_variant_is_built_once_and_stands_whole(tmp_path: Path) -> None:
    (first, *_) = variants(CUBES, tmp_path)
    folder = tmp_path / "cubes"
    store = open_store(folder, "cubes")
    row = build(folder, first)
    assert row["status"] == "done"
    assert row["formula"] == "Cs4PbCl6"
    model = read_xyz(folder / str(row["path"]))
    assert model.charge == 0
    apart = [
        14.39964 * q * p / np.linalg.norm(r - s)
        for (q, r), (p, s) in itertools.combinations(
            zip(model.charges.astype(float), model.positions, strict=True), 2
        )
    ]
    assert row["coulomb_energy"] == pytest.approx(sum(apart), abs=1e-4)
    before = {p: p.stat().st_mtime_ns for p in folder.rglob("*")}
    assert build(folder, first) == row == store.row(first.key)
    assert {p: p.stat().st_mtime_ns for p in folder.rglob("*")} == before


RELAXED = (
    CUBES
    + """
[relax]
calculator = "born_mayer:BornMayer"
fmax = 0.1
"""
)


def test_variants_are_relaxed_and_keys_say_how(tmp_path: Path) -> None:
    plain, (first, *_) = variants(CUBES, tmp_path), variants(RELAXED, tmp_path)
    finer = variants(RELAXED.replace("fmax = 0.1", "fmax = 0.01"), tmp_path)
    assert len({plain[0].key, first.key, finer[0].key}) == 3
    open_store(tmp_path / "cubes", "cubes")
    row = build(tmp_path / "cubes", first)
    assert row["status"] == "done", row
    model = read_xyz(tmp_path / "cubes" / str(row["path"]))
    (done,) = model.provenance["relaxations"]
    assert done["calculator"] == "born_mayer:BornMayer"
    # The written positions have the energy and the force of the table.
    atoms = Atoms(numbers=model.numbers, positions=model.positions)
    atoms.calc = BornMayer()
    assert atoms.get_potential_energy() == pytest.approx(row["energy"], abs=1e-5)
    assert float(str(row["energy"])) < float(str(row["energy_before"]))
    assert np.linalg.norm(atoms.get_forces(), axis=1).max() < 0.1
    assert row["failed_checks"] == ""


def test_a_relaxation_that_stops_short_is_said(tmp_path: Path) -> None:
    (first, *_) = variants(RELAXED + "steps = 1\n", tmp_path)
    open_store(tmp_path / "cubes", "cubes")
    assert "is left after relaxing" in str(build(tmp_path / "cubes", first)["failed_checks"])
    (first, *_) = variants(RELAXED.replace("born_mayer:Born", "nowhere:Born"), tmp_path)
    row = build(tmp_path / "cubes", first)
    assert row["status"] == "failed"
    assert "nowhere" in str(row["error"])


STEPS = """
name = "steps"
recipe = "cspbcl3-cube-2"
[[steps]]
action = "replace"
ions = { Cl = "Br" }
domain = "perovskite"
[[axes]]
key = "steps.0.fraction"
values = [0.5, 1]
[output.cp2k]
run = "geo_opt"
slurm = "nodes=2,tasks=16,time=4h"
"""


def test_variants_are_exchanged_and_get_decks_with_job_scripts(tmp_path: Path) -> None:
    found = variants(STEPS, tmp_path)
    store = open_store(tmp_path / "steps", "steps")
    rows = [build(tmp_path / "steps", v) for v in found]
    assert [r["formula"] for r in rows] == ["Cs20Pb8Br18Cl18", "Cs20Pb8Br36"]
    for variant in found:
        folder = store.model(variant.key)
        deck = (folder / "cspbcl3-cube-2.inp").read_text()
        assert "GEO_OPT" in deck
        assert "#SBATCH --nodes=2" in (folder / "job.sh").read_text()
        assert os.access(folder / "run.sh", os.X_OK)
    with pytest.raises(InputError, match="did you mean 'fraction'"):
        variants(STEPS.replace("0.fraction", "0.fracton"), tmp_path)


def test_a_failure_is_entered_and_holds_nothing_up(tmp_path: Path) -> None:
    text = (
        'name = "f"\nrecipe = "cspbcl3-cube-1"\n[[axes]]\nkey = "balance.target"\n'
        'values = [{ formula = "Cs4PbCl6" }, { formula = "Cs40PbCl6" }]\n[[axes]]\n'
        'key = "composition"\nvalues = ["Cs4PbCl6"]\n'
    )
    good, bad = variants(text, tmp_path)
    store = open_store(tmp_path / "f", "f")
    assert build(tmp_path / "f", bad)["status"] == "failed"
    assert "Cs +" in str((store.row(bad.key) or {})["error"])
    assert build(tmp_path / "f", good)["status"] == "done"
    assert not store.is_done(bad.key)
    assert not any((tmp_path / "f" / ".staging").iterdir())


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    open_store(tmp_path / "a", "a")
    with pytest.raises(InputError, match="holds the sweep 'a'"):
        open_store(tmp_path / "a", "b")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.tex").touch()
    with pytest.raises(InputError, match="holds no sweep"):
        open_store(tmp_path / "other", "b")


def test_a_folder_that_cannot_be_written_into_is_refused_before_anything_is_built(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_store(tmp_path / "a", "a")
    shut = tmp_path / "a" / "failed"
    # As root, whom no permission stops, tests are told by the system's own answer.
    monkeypatch.setattr(os, "access", lambda place, _: Path(place) != shut)
    with pytest.raises(InputError, match=rf"Cannot write into {shut}: no permission, so nothing"):
        open_store(tmp_path / "a", "a")
    open_store(tmp_path / "a", "a", make=False)
    monkeypatch.undo()
    shut.rmdir()
    shut.write_text("")
    with pytest.raises(InputError, match=rf"Cannot write into {tmp_path / 'a'}: File exists"):
        open_store(tmp_path / "a", "a")


def test_values_are_said_as_a_recipe_writes_them(tmp_path: Path) -> None:
    settings = {"size": "3 nm", "ligands": {"anion": "Cl"}, "moves": [1, {"a": [2.5, True]}]}
    assert said(settings) == (
        'size = 3 nm, ligands = { anion = "Cl" }, moves = [1, { a = [2.5, true] }]'
    )
    many = {"moves": ["remove halide in dot by least bonded first, symmetric"] * 3}
    assert "\n" not in said(many)
    assert tomllib.loads(said(many)) == many
    write_table([{"key": "a", **settings}], tmp_path / "t.csv")
    with (tmp_path / "t.csv").open() as stream:
        (row,) = csv.DictReader(stream)
    assert (row["size"], row["ligands"]) == ("3 nm", '{ anion = "Cl" }')
    assert tomllib.loads(f"x = {row['moves']}")["x"] == settings["moves"]


def test_leftovers_of_killed_workers_go(tmp_path: Path) -> None:
    open_store(tmp_path / "a", "a")
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    host = os.uname().nodename
    left = tmp_path / "a" / ".staging" / f"{host}~{dead.pid}~key"
    mine = tmp_path / "a" / ".staging" / f"{host}~{os.getpid()}~key"
    left.mkdir(parents=True)
    mine.mkdir()
    open_store(tmp_path / "a", "a")
    assert not left.exists()
    assert mine.exists()


def test_tables_in_three_formats_say_the_same(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    rows = [{"key": "a", "x": 1}, {"key": "b", "x": 2.5, "y": "text"}]
    for suffix in ("csv", "json", "parquet"):
        write_table(rows, tmp_path / f"t.{suffix}")
    assert json.loads((tmp_path / "t.json").read_text()) == rows
    with (tmp_path / "t.csv").open() as stream:
        assert [r["y"] for r in csv.DictReader(stream)] == ["", "text"]
    assert parquet.read_table(tmp_path / "t.parquet").to_pylist()[1]["x"] == 2.5
    with pytest.raises(InputError, match=r"\.csv, \.json or \.parquet"):
        write_table(rows, tmp_path / "t.xlsx")


def test_the_command_builds_all_then_nothing(tmp_path: Path) -> None:
    pytest.importorskip("distributed")
    (tmp_path / "s.toml").write_text(CUBES)
    told = run("sweep", "s.toml", "--dry-run", cwd=tmp_path)
    assert told.stdout.startswith("6 variants: 0 done, 0 failed, 6 to build")
    assert not (tmp_path / "cubes").exists()
    done = run("sweep", "s.toml", "--workers", "2", "--json", "--ase-db", "all.db", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)["variants"]
    assert {r["formula"] for r in rows} == {"Cs4PbCl6", "Cs4PbBr6", "Cs4PbI6"}
    from ase.db import connect

    with connect(tmp_path / "cubes" / "all.db") as database:
        assert {row.composition for row in database.select(ions=11)} == {r["formula"] for r in rows}
    assert json.loads(done.stdout)["ase_db"] == "cubes/all.db"
    before = _times(tmp_path)
    assert run("sweep", "s.toml", "-q", cwd=tmp_path).stdout == "cubes/results.csv\n"
    assert before == _times(tmp_path)
    assert "6 done, 0 failed, 0 to build" in run("sweep", "s.toml", "--status", cwd=tmp_path).stdout


def test_errors_of_the_command(tmp_path: Path) -> None:
    (tmp_path / "s.toml").write_text(CUBES)
    for words, says in (
        (["--workers", "2", "--scheduler", "tcp://127.0.0.1:1"], "Give one of"),
        (["--results", "../r.csv"], "--results"),
        (["--slurm", "queue"], "option=value"),
        (["--ase-db", "x.json"], "--ase-db"),
    ):
        result = run("sweep", "s.toml", *words, cwd=tmp_path)
        assert result.returncode == 2
        assert says in result.stderr
    assert not (tmp_path / "cubes").exists()


def test_status_says_which_variant_failed(tmp_path: Path) -> None:
    (tmp_path / "s.toml").write_text(axis("vacuum", "values = [8, 9]"))
    store = open_store(tmp_path / "x", "x")
    (_, bad) = variants((tmp_path / "s.toml").read_text(), tmp_path)
    enter(store, bad.key, {"key": bad.key, "status": "failed", "error": "It went wrong."})
    told = run("sweep", "s.toml", "--status", cwd=tmp_path)
    assert f"failed {bad.key} (vacuum = 9): It went wrong." in told.stdout
    again = run("sweep", "s.toml", "--status", "--retry-failed", "--json", cwd=tmp_path)
    found = json.loads(again.stdout)
    assert found["failed"][0]["settings"] == {"vacuum": 9}
    assert (found["pending"], found["done"]) == (2, 0)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"jobs": 0, "cores": 1, "memory": "1GB"}, "jobs=0 is no number of jobs; give 1 or more"),
        ({"jobs": "x", "cores": 1, "memory": "1GB"}, "jobs=x is no number of jobs"),
        ({"cores": 1}, "a job needs memory, as cores=4,memory=8GB"),
        ({}, "a job needs cores and memory"),
        (
            {"cores": 1, "memory": "1GB", "nosuch": 1},
            r"--slurm: Got unexpected keyword argument 'nosuch'\. It takes",
        ),
    ],
)
def test_options_of_slurm_that_it_does_not_take(
    options: dict[str, object], says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("dask_jobqueue")
    monkeypatch.setattr(cluster, "which", lambda _: "/usr/bin/sbatch")

    def cluster_of(**given: object) -> None:  # as dask's own, which leaves half of itself behind
        (foreign,) = set(given) - {"cores", "memory"}
        raise ValueError(f"Got unexpected keyword argument {foreign!r}. Very likely this is ...")

    monkeypatch.setattr("dask_jobqueue.SLURMCluster", cluster_of)
    with pytest.raises(InputError, match=says), cluster.client(slurm=options):
        pass


def test_no_slurm_and_no_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("dask_jobqueue")
    monkeypatch.setattr(cluster, "which", lambda _: None)
    with (
        pytest.raises(ImpossibleError, match="there is no sbatch on this machine"),
        cluster.client(slurm={"cores": 1, "memory": "1GB"}),
    ):
        pass

    def fails(**_: object) -> None:
        raise RuntimeError("Nanny failed to start.")

    monkeypatch.setattr("distributed.LocalCluster", fails)
    with (
        pytest.raises(ImpossibleError, match=r"No worker processes .*Nanny failed to start"),
        cluster.client(workers=1, slurm=None),
    ):
        pass


def test_no_scheduler_and_no_dask(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "WAIT", 0.5)
    address = "tcp://127.0.0.1:9"  # the port of discard: nobody listens
    with (
        pytest.raises(ImpossibleError, match=f"No dask scheduler answers at '{address}'.*dask sch"),
        cluster.client(scheduler=address, slurm=None),
    ):
        pass
    monkeypatch.setitem(sys.modules, "dask_jobqueue", None)
    with (
        pytest.raises(InputError, match=r"dask-jobqueue: pip install 'hetbuild\[cluster\]'"),
        cluster.client(slurm={"queue": "long"}),
    ):
        pass
    monkeypatch.setitem(sys.modules, "dask", None)
    with (
        pytest.raises(InputError, match=r"need dask: pip install 'hetbuild\[cluster\]'"),
        cluster.client(slurm=None),
    ):
        pass


def _times(folder: Path) -> list[int]:
    return sorted(p.stat().st_mtime_ns for p in (folder / "cubes" / "models").rglob("*"))


MANY = """
name = "many"
[[axes]]
recipe = [{recipes}]
[[axes]]
key = "vacuum"
range = {{ first = 5, last = {last}, step = 0.25 }}
"""


def many(folder: Path, last: float) -> None:
    names = [f'"cspb{x}3-cube-{n}"' for x in ("cl", "br") for n in (1, 2)]
    (folder / "s.toml").write_text(MANY.format(recipes=", ".join(names), last=last))


@pytest.mark.cluster
def test_kills_lose_nothing_and_build_nothing_twice(tmp_path: Path) -> None:
    """A worker and then the driver are killed; the next run ends with each variant built once."""
    many(tmp_path, 9.75)  # 80 variants
    code = "from hetbuild.cli import main; main()"
    command = [sys.executable, "-c", code, "sweep", "s.toml", "--workers", "2"]
    driver = subprocess.Popen(command, cwd=tmp_path, start_new_session=True)
    models = tmp_path / "many" / "models"
    assert _wait(lambda: models.is_dir() and len(list(models.iterdir())) >= 8)
    workers = _workers(driver.pid)
    os.kill(workers[0], signal.SIGKILL)
    assert _wait(lambda: len(list(models.iterdir())) >= 30)
    os.killpg(driver.pid, signal.SIGKILL)
    driver.wait()
    first = {p.name: (p / "row.json").stat().st_mtime_ns for p in models.iterdir()}
    assert 30 <= len(first) < 80
    again = run("sweep", "s.toml", "--workers", "2", cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert len(list(models.iterdir())) == 80
    # A worker may outlive its driver for a moment; what it leaves goes with the next run.
    assert run("sweep", "s.toml", "-q", cwd=tmp_path).returncode == 0
    assert all((models / k / "row.json").stat().st_mtime_ns == t for k, t in first.items())
    assert not any((tmp_path / "many" / ".staging").iterdir())
    assert all(len(list(p.iterdir())) == 6 for p in models.iterdir())


HUNDREDS = """
name = "hundreds"
[[axes]]                     # sizes and halides
recipe = [{recipes}]
[[axes]]                     # which Cs of the terminations leave
key = "balance.moves"
values = [
    ["remove Cs in perovskite"],
    ["remove Cs in perovskite by spread"],
    ["remove Cs in perovskite by symmetric"],
    ["remove Cs in perovskite by least bonded first"],
    ["remove Cs in perovskite by corners first"],
]
[[axes]]
key = "vacuum"
range = {{ first = 5, last = {last} }}
[relax]                      # no step: it tells how often a model was made
calculator = "tallied:Tallied"
options = {{ tally = "{tally}" }}
steps = 0
"""
MOST_OVERHEAD = 0.010
"""Seconds a task may take beside its work."""


FULL = 60_000
"""Bytes a file may have: more than those of a model of 64 ions, less than those of 365."""


def hundreds(tally: Path, sizes: tuple[int, ...], last: int) -> str:
    names = [f'"cspb{x}3-cube-{n}"' for n in sizes for x in ("br", "cl")]
    return HUNDREDS.format(tally=tally, recipes=", ".join(names), last=last)


@pytest.mark.cluster
def test_two_hundred_variants_none_twice_with_little_overhead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hetbuild.sweep.cluster import client
    from hetbuild.sweep.cluster import run as run_all

    monkeypatch.setenv("PYTHONPATH", _tests_first())
    tally = tmp_path / "tally"
    found = variants(hundreds(tally, (1, 2), 14), tmp_path)
    folder = tmp_path / "hundreds"
    store = open_store(folder, "hundreds")
    warm = variants(hundreds(Path(os.devnull), (1, 2), 5), tmp_path)[:2]
    with client(workers=2, slurm=None) as connected:
        list(run_all(str(folder), warm, connected))  # what workers import is not of a task
        rows = list(run_all(str(folder), found, connected))
        # Done already: nothing is left of a task but what it takes to hand it out and in again.
        start, cpu = time.perf_counter(), time.process_time()
        again = list(run_all(str(folder), found, connected))
        wall, cpu = time.perf_counter() - start, time.process_time() - cpu
    assert {r["status"] for r in rows} == {"done"}
    assert len(found) == len({v.key for v in found}) == len({r["key"] for r in rows}) == 200
    assert len(tally.read_text().splitlines()) == 200
    assert all(store.is_done(v.key) for v in found)
    assert sorted(r["key"] for r in again) == sorted(r["key"] for r in rows)
    print(f"{1e3 * wall / 200:.1f} ms by the clock, {1e3 * cpu / 200:.1f} ms CPU, a task")
    # Where others use the processors the clock tells of them.
    busy = os.getloadavg()[0] > 1 + len(os.sched_getaffinity(0))
    assert (cpu if busy else wall) / 200 < MOST_OVERHEAD


@pytest.mark.cluster
def test_kills_and_a_full_disk_lose_and_double_nothing(tmp_path: Path) -> None:
    """A worker and the driver are killed, and the file of one variant does not fit."""
    tally = tmp_path / "tally"
    # 80 small ones, and 20 of which a file is larger than a file may be.
    (tmp_path / "s.toml").write_text(
        hundreds(tally, (1, 2, 4), 8).replace('"cspbbr3-cube-4", ', "")
    )
    environment = {**os.environ, "PYTHONPATH": _tests_first()}
    command = [sys.executable, "-c", "from hetbuild.cli import main; main()"]
    command += ["sweep", "s.toml", "--trust", "--workers", "2"]
    models, failed = (tmp_path / "hundreds" / name for name in ("models", "failed"))

    def begun(most: int | None) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            command, cwd=tmp_path, env=environment, start_new_session=True,
            preexec_fn=None if most is None else lambda: resource.setrlimit(
                resource.RLIMIT_FSIZE, (most, most)),
        )  # fmt: skip

    driver = begun(FULL)
    assert _wait(lambda: models.is_dir() and len(list(models.iterdir())) >= 10)
    os.kill(_workers(driver.pid)[0], signal.SIGKILL)
    assert _wait(lambda: len(list(models.iterdir())) >= 30)
    os.killpg(driver.pid, signal.SIGKILL)
    driver.wait()
    kept = {p.name: (p / "row.json").stat().st_mtime_ns for p in models.iterdir()}
    assert begun(FULL).wait(400) == 3  # the large ones fail, and no other
    small = sum(1 for p in models.iterdir())
    told = [json.loads(p.read_text()) for p in failed.iterdir()]
    assert {r["recipe"] for r in told} == {"cspbcl3-cube-4"}
    assert all("too large" in r["error"] for r in told)
    assert small == 80
    assert len(told) == 20
    command.append("--retry-failed")
    assert begun(None).wait(400) == 0
    assert len(list(models.iterdir())) == 100
    assert not any(failed.iterdir())
    assert not any((tmp_path / "hundreds" / ".staging").iterdir())
    assert all((models / k / "row.json").stat().st_mtime_ns == t for k, t in kept.items())
    assert all(len(list(p.iterdir())) == 6 for p in models.iterdir())
    with (tmp_path / "hundreds" / "results.csv").open() as stream:
        keys = [row["key"] for row in csv.DictReader(stream)]
    assert sorted(keys) == sorted(p.name for p in models.iterdir())
    # 100 models, the 20 that did not fit once more, and what two kills of two workers cut short.
    assert 100 + 20 <= len(tally.read_text().splitlines()) <= 100 + 20 + 4


FULL_DISK = """
name = "disk"
[[axes]]
recipe = ["cspbcl3-cube-1", "cspbcl3-cube-4"]
[[axes]]
key = "vacuum"
range = {{ first = 5, last = 9 }}
[relax]
calculator = "tallied:Tallied"
options = {{ tally = "{tally}" }}
steps = 0
"""


@pytest.mark.cluster
def test_a_disk_that_is_full_spoils_only_what_finds_no_room(tmp_path: Path) -> None:
    """Five variants of 36 kB, five of 196 kB and a disk of 1 MB; then one of 8 MB."""
    disk, tally = tmp_path / "disk", tmp_path / "tally"
    disk.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)]
    if shutil.which("mount") is None:
        pytest.skip("no mount command: nothing to make a small disk with")
    mounted = subprocess.run(words, capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {mounted.stderr.strip()}")
    try:
        _fill_up_and_go_on(disk, tally)
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


def _fill_up_and_go_on(disk: Path, tally: Path) -> None:
    (disk / "s.toml").write_text(FULL_DISK.format(tally=tally))
    environment = {**os.environ, "PYTHONPATH": _tests_first()}
    command = [sys.executable, "-c", "from hetbuild.cli import main; main()"]
    command += ["sweep", "s.toml", "--trust", "--workers", "2"]
    models, failed = (disk / "disk" / name for name in ("models", "failed"))

    def ended(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*command, *words], cwd=disk, env=environment, capture_output=True, text=True,
            check=False, timeout=400,
        )  # fmt: skip

    first = ended()
    assert first.returncode == 3, first.stderr
    told = [json.loads(p.read_text()) for p in failed.iterdir()]
    kept = {p.name: (p / "row.json").stat().st_mtime_ns for p in models.iterdir()}
    assert 1 <= len(told) <= 2
    assert {r["recipe"] for r in told} == {"cspbcl3-cube-4"}
    assert all("No space left" in r["error"] for r in told)
    assert len(kept) + len(told) == 10
    assert all(len(list(p.iterdir())) == 6 for p in models.iterdir())
    rows = [json.loads((p / "row.json").read_text()) for p in models.iterdir()]
    assert all(len(read_xyz(disk / "disk" / row["path"])) == row["atoms"] for row in rows)
    assert not any((disk / "disk" / ".staging").iterdir())
    subprocess.run(["mount", "-o", "remount,size=8m", str(disk)], check=True)
    again = ended("--retry-failed")
    assert again.returncode == 0, again.stderr
    assert len(list(models.iterdir())) == 10
    assert not any(failed.iterdir())
    assert all((models / k / "row.json").stat().st_mtime_ns == t for k, t in kept.items())
    with (disk / "disk" / "results.csv").open() as stream:
        keys = [row["key"] for row in csv.DictReader(stream)]
    assert sorted(keys) == sorted(p.name for p in models.iterdir())
    # Each was made once, and once more what found no room.
    assert len(tally.read_text().splitlines()) == 10 + len(told)


def _tests_first() -> str:
    return os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])


def _wait(ready: object, seconds: float = 240.0) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if ready():  # type: ignore[operator]
            return True
        time.sleep(0.1)
    return False


def _workers(driver: int) -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rsplit(")", 1)[1].split()
            words = (path.parent / "cmdline").read_text()
        except OSError:
            continue
        if int(fields[1]) == driver and "spawn_main" in words:
            found.append(int(path.parent.name))
    return sorted(found)


@pytest.mark.slurm
@pytest.mark.skipif(not slurm.available(), reason="no SLURM programs, or not root")
def test_forty_variants_as_slurm_jobs_one_of_them_cancelled(tmp_path: Path) -> None:
    many(tmp_path, 7.25)  # 40 variants
    (tmp_path / "slurm").mkdir()
    options = "queue=short,cores=1,memory=1GB,walltime=00:10:00,jobs=2,job_directives_skip=--mem"
    with slurm.cluster(tmp_path / "slurm") as environment:
        code = "from hetbuild.cli import main; main()"
        command = [sys.executable, "-c", code, "sweep", "s.toml", "--slurm", options]
        driver = subprocess.Popen(command, cwd=tmp_path, env=environment)
        models = tmp_path / "many" / "models"
        assert _wait(lambda: models.is_dir() and len(list(models.iterdir())) >= 5)
        listed = ["squeue", "-h", "-t", "R", "-o", "%i"]
        jobs = subprocess.run(listed, env=environment, capture_output=True, text=True, check=True)
        subprocess.run(["scancel", jobs.stdout.split()[0]], env=environment, check=True)
        assert driver.wait(400) == 0
    assert len(list(models.iterdir())) == 40
    assert not any((tmp_path / "many" / "failed").iterdir())


def test_a_database_that_cannot_be_written_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a full disk, which is SQLite's own error: the database before stays."""

    def full(*given: object, **options: object) -> None:
        Path(str(given[0])).write_text("half")
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr("ase.db.connect", full)
    (tmp_path / "all.db").write_text("before")
    with pytest.raises(InputError, match=r"all\.db: database or disk is full"):
        write_database([], tmp_path / "all.db")
    assert [p.name for p in tmp_path.iterdir()] == ["all.db"]
    assert (tmp_path / "all.db").read_text() == "before"
