"""Kill builds at random moments and look at what they leave: `python benchmarks/kills.py`.

Each build writes a set of files where no set was, or with --force over another one. Half of the
kills fall anywhere in the run, half while files are written and moved. After a kill every file must
belong to the old set or every one to the new set; after SIGTERM and SIGINT at once, after SIGKILL
when the next command has been there.
"""

from __future__ import annotations

import argparse
import hashlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

CODE = """
import sys, hetbuild.cli, hetbuild.formats.files as files
real = files._write
def write(*args):
    print("writing", flush=True)
    real(*args)
    print("written", flush=True)
files._write = write
sys.stdout, real_stdout = sys.stderr, sys.stdout
hetbuild.cli.main()
""".replace("flush=True", "file=real_stdout, flush=True")
"""The command line, which says when it begins and ends to write."""

OLD, NEW = "cspbcl3-cube-1", "cspbcl3-cube-2"
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)


def command(recipe: str) -> list[str]:
    words = ["build", recipe, "--set", "name=m", "--stages", "--force", "-q", "-o", "m"]
    return [sys.executable, "-c", CODE, *words]


def digests(folder: Path) -> dict[str, str]:
    """Of every file in a folder, by path, leftovers included."""
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    return {str(p.relative_to(folder)): hashlib.md5(p.read_bytes()).hexdigest() for p in files}


def timed(recipe: str, folder: Path) -> tuple[float, float]:
    """Seconds of an undisturbed run, and of its writing."""
    start = time.perf_counter()
    marks = []
    with subprocess.Popen(
        command(recipe), cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdout is not None
        for _ in process.stdout:
            marks.append(time.perf_counter())
    assert process.returncode == 0
    return time.perf_counter() - start, marks[1] - marks[0]


def kill(folder: Path, number: signal.Signals, aimed: bool, after: float) -> int | None:
    """Run a build and end it; its exit code."""
    with subprocess.Popen(
        command(NEW), cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        # A shell lets what runs in its background ignore Ctrl-C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:  # fmt: skip
        assert process.stdout is not None
        if aimed:
            process.stdout.readline()
        time.sleep(after)
        process.send_signal(number)
        return process.wait(900)


def state(folder: Path, old: dict[str, str], new: dict[str, str]) -> str:
    """Which set is there: old, new, none, mixed or damaged, and whether anything else is."""
    found = {k: v for k, v in digests(folder).items() if ".hetbuild-" not in k}
    if not found:
        return "none"
    if found == old:
        return "old"
    if found == new:
        return "new"
    known = set(old.values()) | set(new.values())
    return "mixed" if set(found.values()) <= known else "damaged"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    rng = random.Random(given.seed)
    counts: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as place:
        base = Path(place)
        sets = {}
        for recipe in (OLD, NEW):
            (base / recipe).mkdir()
            whole, writing = timed(recipe, base / recipe)
            sets[recipe] = digests(base / recipe)
        old, new = sets[OLD], sets[NEW]
        print(f"a run takes {whole:.2f} s, its writing {1000 * writing:.0f} ms")
        for i in range(given.kills):
            number, aimed, fresh = SIGNALS[i % 3], i // 3 % 2 == 0, i // 6 % 2 == 0
            folder = base / f"k{i}"
            if fresh:
                folder.mkdir()
            else:
                shutil.copytree(base / OLD, folder)
            after = rng.uniform(0.0, 1.2 * (writing if aimed else whole))
            code = kill(folder, number, aimed, after)
            counts[f"{number.name} ended with {code}"] += 1
            before = {} if fresh else old
            now = state(folder, before, new)
            left = list(folder.rglob(".hetbuild-*"))
            counts[f"{number.name}: {now}" + (" with leftovers" if left else "")] += 1
            if number == signal.SIGKILL:
                # The next command in that folder, as a user would look at the model.
                words = ["inspect", "m/m.xyz"] if (folder / "m").exists() else [
                    "carve", "PbS", "--radius", "5", "-o", "other.xyz"
                ]  # fmt: skip
                subprocess.run(
                    [sys.executable, "-c", CODE, *words],
                    cwd=folder, capture_output=True, check=True,
                )  # fmt: skip
                (folder / "other.xyz").unlink(missing_ok=True)
                now = state(folder, before, new)
                left = list(folder.rglob(".hetbuild-*"))
                counts[f"SIGKILL, next run: {now}" + (" with leftovers" if left else "")] += 1
            shutil.rmtree(folder)
            print(
                f"{i + 1} kills",
                *(f"{n} {line};" for line, n in sorted(counts.items())),
                flush=True,
            )
    for line, n in sorted(counts.items()):
        print(f"{n:5d}  {line}")


if __name__ == "__main__":
    main()
