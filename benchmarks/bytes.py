"""The same bytes whatever the machine: `python benchmarks/bytes.py [RECIPE ...]`.

Builds recipes (default: all shipped ones), exchanges, etches and caps where there is something to,
exports, measures patterns, pages, densities of states and relaxations, once for each setting of the
surroundings that should not matter: the kernels OpenBLAS takes for its processor, its threads,
Python's hash seed, locale and time zone. The md5 of every file, and of what is printed, must be
that of the first setting. With --together, two runs beside the first change all of these at once:
half the time, and where files differ a run without it says for which of them.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

FIRST = {
    "OPENBLAS_CORETYPE": "Haswell", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1",
    "PYTHONHASHSEED": "0", "LC_ALL": "C.UTF-8", "TZ": "UTC",
}  # fmt: skip
"""Whatever the caller's environment sets, these are set anew."""

OTHERS: dict[str, dict[str, str]] = {
    "Prescott": {"OPENBLAS_CORETYPE": "Prescott"},
    "SkylakeX": {"OPENBLAS_CORETYPE": "SkylakeX"},
    "2 threads": {"OMP_NUM_THREADS": "2", "OPENBLAS_NUM_THREADS": "2"},
    "hash seed 1": {"PYTHONHASHSEED": "1"},
    "LC_ALL=C, Asia/Kathmandu": {"LC_ALL": "C", "TZ": "Asia/Kathmandu"},
}

TOGETHER: dict[str, dict[str, str]] = {
    "Prescott, 2 threads, hash seed 1, LC_ALL=C, Asia/Kathmandu": {
        "OPENBLAS_CORETYPE": "Prescott", "OMP_NUM_THREADS": "2", "OPENBLAS_NUM_THREADS": "2",
        "PYTHONHASHSEED": "1", "LC_ALL": "C", "TZ": "Asia/Kathmandu",
    },
    "SkylakeX, 2 threads, hash seed 2, LC_ALL=tr_TR.UTF-8, America/St_Johns": {
        "OPENBLAS_CORETYPE": "SkylakeX", "OMP_NUM_THREADS": "2", "OPENBLAS_NUM_THREADS": "2",
        "PYTHONHASHSEED": "2", "LC_ALL": "tr_TR.UTF-8", "TZ": "America/St_Johns",
    },
}  # fmt: skip

AFTER = (
    ["exchange", "--cl-to-br"],
    ["exchange", "--cl-to-br", "--fraction", "0.5"],
    ["exchange", "--pb-to-cu"],
    ["etch", "--remove", "perovskite"],
    ["etch", "--remove", "sulfide"],
)
"""What is done with models of the main recipe and the small one like it."""

ONCE = (
    ["carve", "PbS", "--radius", "12", "-o", "carved.xyz", "--json"],
    ["carve", "CsPbBr3", "--form", "1 0 0:9", "--form", "1 1 1:10", "-o", "cut.xyz", "--json"],
    ["match", "CsPbCl3", "PbS", "--json"],
    ["match", "CsPbBr3-orthorhombic", "PbSe", "--max-index", "1", "--json"],
    ["match", "CsPbCl3", "PbS", "--registry", "1", "--json"],
    ["match", "CsPbCl3", "PbS", "--recipe", "1"],
    ["planes", "Pb4S3Cl2", "1", "0", "0", "--json"],
)
"""What needs no model."""

MEASURED = (
    ["inspect", "{model}", "--json"],
    ["angles", "{model}", "--json"],
    ["xrd", "{model}", "--json", "-o", "{name}/xrd.csv"],
    ["report", "{model}", "-o", "{name}/page.html"],
)
"""What every model is asked, those of fewer ions than LARGE."""

LARGE = 3000

MAIN, SMALL = "cspbcl3-pbs", "cspbcl3-pbs-small"
ON_SMALL = (
    ["compare", f"{SMALL}-relaxed/{SMALL}-relaxed.xyz", f"{SMALL}/{SMALL}.xyz", "--json"],
    ["xrd", f"{SMALL}/{SMALL}.xyz", "--pdf", "--json", "-o", "pdf.csv"],
    ["ligands", f"{SMALL}/{SMALL}.xyz", "--add", "4 acetate on Cl, surface", "-o", "capped"],
    ["dos", "run", "--json"],
)


def work(recipes: list[str]) -> None:
    """Build everything in this process, in the working folder."""
    from hetbuild.formats.catalogue import FORMATS

    for words in ONCE:
        run(*words)
    for name in recipes:
        start = time.process_time()
        run("build", name, "--stages", "--json", "-o", name)
        model = f"{name}/{name}.xyz"
        for kind in (*FORMATS, "cp2k"):
            run("export", model, "--to", kind, "-o", place(name, kind))
        if int(Path(model).read_text(encoding="utf-8").split("\n", 1)[0]) < LARGE:
            for words in MEASURED:
                run(*(word.format(name=name, model=model) for word in words))
        for k, (verb, *words) in enumerate(AFTER if name in (MAIN, SMALL) else ()):
            run(verb, model, *words, "-o", f"{name}-{k}-{verb}")
        print(f"  {time.process_time() - start:6.1f} s CPU {name}", flush=True)
    if SMALL in recipes:
        _after_small()


def _after_small() -> None:
    """The ionic calculator and the made-up run of CP2K of the tests, on the small model."""
    import hetbuild as hb

    sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
    from test_electronic import ENERGIES, weights_of, write_run

    model = hb.read_model(f"{SMALL}/{SMALL}.xyz")
    write_run(Path("run"), model, weights_of(model, len(ENERGIES)))
    ionic = ["--calculator", "born_mayer:BornMayer", "--fmax", "1", "--json"]
    run("relax", f"{SMALL}/{SMALL}.xyz", *ionic, "-o", f"{SMALL}-relaxed")
    for words in ON_SMALL:
        run(*words)


def place(name: str, kind: str) -> str:
    from hetbuild.formats.catalogue import FORMATS as KNOWN

    return f"{name}/deck" if kind == "cp2k" else f"{name}/exported-{kind}{KNOWN[kind].ending}"


def run(*words: str) -> None:
    """A command, with what it prints in a file of its own; one that fails is told and compared."""
    from click.testing import CliRunner

    from hetbuild.cli import cli

    result = CliRunner().invoke(cli, list(words))
    said = Path("said") / f"{'-'.join(words).replace('/', '_')}.txt"
    said.parent.mkdir(exist_ok=True)
    why = "" if isinstance(result.exception, SystemExit | None) else repr(result.exception)
    text = f"{result.exit_code}\n{result.stdout}\n{result.stderr}{why}"
    said.write_text(text, encoding="utf-8")
    if result.exit_code:
        print(f"exit {result.exit_code}: {' '.join(words)}: {result.stderr.strip()}{why[:300]}")


def digests(folder: Path, recipes: list[str], settings: dict[str, str]) -> dict[str, str]:
    """md5 of every file that the recipes give under these settings."""
    folder.mkdir()
    code = [sys.executable, str(Path(__file__).resolve()), "--work", *recipes]
    subprocess.run(code, cwd=folder, env=os.environ | FIRST | settings, check=True)
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    return {str(p.relative_to(folder)): hashlib.md5(p.read_bytes()).hexdigest() for p in files}


def runs(kernel: str) -> bool:
    """Whether this processor has what a kernel needs."""
    flags = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    return kernel != "SkylakeX" or "avx512bw" in flags


def compare(folder: Path, recipes: list[str], others: dict[str, dict[str, str]]) -> int:
    """How many files differ, over all settings; each is told."""
    start = time.perf_counter()
    first = digests(folder / "first", recipes, {})
    print(f"{len(first)} files of {len(recipes)} recipes, {time.perf_counter() - start:.0f} s")
    wrong = 0
    for name, settings in others.items():
        if not runs(settings.get("OPENBLAS_CORETYPE", "")):
            print(f"{name}: not on this processor")
            continue
        other = digests(folder / name.replace("/", "-"), recipes, settings)
        unlike = sorted(f for f in first.keys() | other.keys() if first.get(f) != other.get(f))
        print(f"{name}: {len(unlike)} differ", *unlike[:20], sep="\n  ", flush=True)
        wrong += len(unlike)
    return wrong


def shipped() -> list[str]:
    from hetbuild.library import recipes

    return sorted(recipes())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recipes", nargs="*", help="shipped names; default: all")
    parser.add_argument("--keep", type=Path, help="folder for the files, to look at them")
    parser.add_argument("--together", action="store_true", help="all settings at once, twice")
    parser.add_argument("--work", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.work:
        work(asked.recipes)
        return 0
    recipes = asked.recipes or shipped()
    others = TOGETHER if asked.together else OTHERS
    if asked.keep:
        asked.keep.mkdir(parents=True)
        return min(compare(asked.keep.resolve(), recipes, others), 1)
    with tempfile.TemporaryDirectory() as folder:
        return min(compare(Path(folder), recipes, others), 1)


if __name__ == "__main__":
    sys.exit(main())
