"""Run fuzzed inputs, each in a process that may crash: `python tests/fuzz/run.py --long`.

An input passes when the command ends by itself within 10 s of processor time and 2 GB, with exit
code 0, 1, 2 or 3, a text where it is not 0, no traceback and no warning of a library; when what it
prints with --json is JSON, without NaN; and when a command that refused its input left the folder
as it was.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

HERE = Path(__file__).parent
if str(HERE) not in sys.path:
    sys.path.insert(0, str(HERE))

from inputs import case, corpus  # noqa: E402

SECONDS, BYTES, WALL = 10, 2 * 1024**3, 900
SHORT, LONG = 2000, 100_000


def verdict(seed: int) -> str:
    """Run one input here: "exit N", or what is wrong with how it ended."""
    from hetbuild.cli import main

    given = case(seed)
    place = Path(tempfile.mkdtemp(dir="/dev/shm" if Path("/dev/shm").is_dir() else None))
    out, err = io.StringIO(), io.StringIO()
    warned: list[warnings.WarningMessage] | None = []
    code: object = 0
    before = sys.argv
    sys.argv = ["hetbuild", *given.words]
    try:
        for name, content in given.files.items():
            (place / name).write_bytes(content)
        signal.setitimer(signal.ITIMER_PROF, SECONDS)
        with (
            contextlib.chdir(place),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
            warnings.catch_warnings(record=True) as warned,
        ):
            warnings.simplefilter("always")
            main()
    except SystemExit as end:
        code = end.code
    except BaseException as error:
        last = traceback.extract_tb(error.__traceback__)
        ours = next((f for f in reversed(last) if "hetbuild" in f.filename), last[-1])
        where = f"{Path(ours.filename).name}:{ours.lineno}"
        return f"traceback {type(error).__name__} at {where}: {str(error)[:120]!r}"
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        sys.argv = before
        there = {str(p.relative_to(place)) for p in place.rglob("*")}
        same = there == set(given.files) and all(
            (place / n).read_bytes() == c for n, c in given.files.items()
        )
        pwned = any("PWNED" in name for name in there)
        shutil.rmtree(place)
    # What a user would see: not those that are for developers.
    hidden = (DeprecationWarning, PendingDeprecationWarning, ImportWarning, ResourceWarning)
    seen = [str(w.message) for w in warned or () if not issubclass(w.category, hidden)]
    if seen:
        return f"warning: {seen[0][:160]}"
    # An option before it may have taken --json for its value.
    begun = out.getvalue().lstrip()[:1] in ("{", "[")
    if code == 0 and "--json" in given.words and begun and not _is_json(out.getvalue()):
        return f"no JSON: {out.getvalue()[:160]!r}"
    return _judged(code, err.getvalue(), same, pwned)


def _is_json(text: str) -> bool:
    def none(constant: str) -> None:
        raise ValueError(constant)

    try:
        json.loads(text, parse_constant=none)
    except ValueError:
        return False
    return True


def _judged(code: object, text: str, same: bool, pwned: bool) -> str:
    if code not in (0, 1, 2, 3):
        return f"exit code {code!r}"
    if pwned:
        return "a name was run"
    if "Traceback" in text:
        return f"traceback in the text: {text[:200]!r}"
    if "Out of memory" in text:
        return "memory: over 2 GB"
    if code and not text.strip():
        return f"exit {code} without a text"
    if code in (1, 2) and not same:
        return f"exit {code}, but files changed"
    return f"exit {code}"


def results(seeds: Sequence[int]) -> Iterator[tuple[int, str]]:
    """Verdicts in order. A child does the work; where it dies, the next one goes on after it."""
    corpus()
    verdict(2)  # libraries are loaded before the limits are set
    i = 0
    while i < len(seeds):
        reader, writer = os.pipe()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # threads of BLAS do not matter to the child
            child = os.fork()
        if child == 0:
            _work(seeds[i:], writer)
        os.close(writer)
        with os.fdopen(reader) as lines:
            for line in lines:
                seed, _, text = line.rstrip("\n").partition(" ")
                yield int(seed), text
                i += 1
        _, status = os.waitpid(child, 0)
        if i < len(seeds) and status:
            if os.WIFEXITED(status):
                raise RuntimeError(f"the fuzzer itself failed at input {seeds[i]}")
            number = os.WTERMSIG(status)
            if number == signal.SIGPROF:
                yield seeds[i], f"hang: over {SECONDS} s"
            else:
                yield seeds[i], f"crash: signal {number}, status {status}"
            i += 1


def _work(seeds: Sequence[int], writer: int) -> None:
    """In the child: never returns."""
    resource.setrlimit(resource.RLIMIT_DATA, (BYTES, BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    with os.fdopen(os.dup(2), "w") as quiet, Path(os.devnull).open("w") as null:
        os.dup2(null.fileno(), 2)
        try:
            for k, seed in enumerate(seeds):
                signal.alarm(WALL)  # a wait for ever, as on a pipe, takes no processor time
                os.write(writer, f"{seed} {verdict(seed)}".replace("\n", " ").encode() + b"\n")
                if k >= 2000:  # what libraries pile up ends with the process
                    break
        except BaseException:
            traceback.print_exc(file=quiet)
            quiet.flush()
            os._exit(99)
    os._exit(0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--long", action="store_true", help=f"{LONG} inputs; default {SHORT}.")
    parser.add_argument("--first", type=int, default=0, help="First seed.")
    parser.add_argument("--count", type=int, help="How many.")
    parser.add_argument("--show", type=int, metavar="SEED", help="Write one input to ./SEED.")
    parser.add_argument("--slow", type=float, default=5.0, help="Seconds from which one is named.")
    given = parser.parse_args()
    if given.show is not None:
        shown = case(given.show)
        folder = Path(str(given.show))
        folder.mkdir(exist_ok=True)
        for name, content in shown.files.items():
            (folder / name).write_bytes(content)
        print(shown.words)
        print(verdict(given.show))
        return
    count = given.count or (LONG if given.long else SHORT)
    counts: Counter[str] = Counter()
    start = last = time.perf_counter()
    for seed, text in results(range(given.first, given.first + count)):
        now = time.perf_counter()
        took, last = now - last, now
        good = text.startswith("exit ") and text[5:].isdigit()
        counts[text if good else text.split(":")[0].split(" at ")[0]] += 1
        if not good or took > given.slow:
            print(f"{seed} {took:.1f} s {text}", flush=True)
    print(f"{count} inputs in {time.perf_counter() - start:.0f} s")
    for text, n in counts.most_common():
        print(f"{n:7d}  {text}")


if __name__ == "__main__":
    main()
