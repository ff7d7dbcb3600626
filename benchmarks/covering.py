"""Which test runs which line of the engine, and how long it takes: once for benchmarks/mutate.py.

    python benchmarks/covering.py OUT.json [tests/test_x.py ...]

Where OUT.json is there, what it says of the files given is renewed and the rest kept.
Crystals, models and fixtures are built once and shared, so the lines behind them are credited to
every test that uses them, not only to the first. Needs `coverage`.
"""

from __future__ import annotations

import functools
import json
import os
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
WINGS = (
    "crystal", "geometry", "assemble", "balancing", "exchanging", "matching", "analyse",
    "selection",
)  # fmt: skip


class Uses:
    """A pytest plugin: lines by context (a test, or something built once), and who uses what."""

    def __init__(self, coverage: Any) -> None:
        self.coverage = coverage
        self.stack = [""]
        self.used: dict[str, set[str]] = defaultdict(set)
        self.seconds: dict[str, float] = {}
        self.count = 0

    def built(self, label: str, make: Callable[[], Any]) -> tuple[str, Any]:
        """What make returns, and the name of the context in which it ran."""
        self.count += 1
        context = f"{label} #{self.count}"
        self.used[self.stack[-1]].add(context)
        self.enter(context)
        try:
            return context, make()
        finally:
            self.leave()

    def enter(self, context: str) -> None:
        self.stack.append(context)
        self.coverage.switch_context(context)

    def leave(self) -> None:
        self.stack.pop()
        self.coverage.switch_context(self.stack[-1])

    def pytest_runtest_protocol(self, item: Any) -> None:
        del self.stack[1:]
        self.enter(item.nodeid)
        self.start = time.process_time()
        for name in item.fixturenames:
            self.used[item.nodeid].add(f"fixture {name}")

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        self.seconds[nodeid] = time.process_time() - self.start

    def pytest_fixture_setup(self, fixturedef: Any) -> None:
        if fixturedef.scope != "function":
            self.enter(f"fixture {fixturedef.argname}")

    def pytest_fixture_post_finalizer(self, fixturedef: Any) -> None:
        """Nothing: a fixture's context ends with its setup."""

    def reach(self, context: str) -> set[str]:
        """All contexts behind one, itself among them."""
        seen, todo = {context}, [context]
        while todo:
            new = self.used.get(todo.pop(), set()) - seen
            seen |= new
            todo += new
        return seen


def remembering(uses: Uses) -> None:
    """Let every function that remembers its results say who used which of them."""
    plain_cache, plain_property = functools.lru_cache, functools.cached_property

    def ours(function: Any) -> bool:
        module = getattr(function, "__module__", "")
        return module.startswith(("hetbuild", "test_", "conftest"))

    def remembered(function: Any) -> Any:
        kept: dict[Any, tuple[str, Any]] = {}

        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            key = (args, tuple(sorted(kwargs.items())))
            if key not in kept:
                kept[key] = uses.built(function.__qualname__, lambda: function(*args, **kwargs))
            context, value = kept[key]
            uses.used[uses.stack[-1]].add(context)
            return value

        call.cache_clear = kept.clear  # type: ignore[attr-defined]  # as functools' own has it
        return call

    def lru_cache(maxsize: Any = 128, typed: bool = False) -> Any:
        if callable(maxsize):
            return remembered(maxsize) if ours(maxsize) else plain_cache(maxsize)
        plain = plain_cache(maxsize, typed)
        return lambda function: remembered(function) if ours(function) else plain(function)

    class Property(plain_property):  # type: ignore[type-arg]
        """A data descriptor: asked at every use."""

        def __get__(self, instance: Any, owner: Any = None) -> Any:
            if instance is None or not ours(self.func):
                return super().__get__(instance, owner)
            name = f" context of {self.attrname}"
            if name not in instance.__dict__:
                context, value = uses.built(self.func.__qualname__, lambda: self.func(instance))
                instance.__dict__[name] = context
                instance.__dict__[self.attrname] = value
            uses.used[uses.stack[-1]].add(instance.__dict__[name])
            return instance.__dict__[self.attrname]

        def __set__(self, instance: Any, value: Any) -> None:
            instance.__dict__[self.attrname] = value

    functools.lru_cache, functools.cache = lru_cache, lru_cache(None)
    functools.cached_property = Property  # type: ignore[misc]


def covered(files: list[str]) -> dict[str, Any]:
    """Seconds of each test, and for each file and line the tests that run it."""
    from coverage import Coverage

    coverage = Coverage(
        source=[str(ROOT / "hetbuild" / wing) for wing in WINGS], data_file=None, config_file=False
    )
    uses = Uses(coverage)
    remembering(uses)
    import pytest

    class Ends:
        """The end of a shared fixture's setup, around all that it runs."""

        @pytest.hookimpl(wrapper=True)
        def pytest_fixture_setup(self, fixturedef: Any) -> Generator[None, object, object]:
            result = yield
            if fixturedef.scope != "function":
                uses.leave()
            return result

    coverage.start()
    pytest.main(["-q", "-p", "no:cacheprovider", *files], plugins=[uses, Ends()])
    coverage.stop()
    behind = {test: uses.reach(test) for test in uses.seconds}
    data = coverage.get_data()
    lines: dict[str, dict[str, list[str]]] = {}
    for path in sorted(data.measured_files()):
        mine: dict[str, list[str]] = {}
        for line, contexts in sorted(data.contexts_by_lineno(path).items()):
            mine[str(line)] = [t for t, all_of in behind.items() if not all_of.isdisjoint(contexts)]
        lines[str(Path(path).relative_to(ROOT))] = mine
    return {"seconds": uses.seconds, "lines": lines}


def merged(old: dict[str, Any], new: dict[str, Any], files: list[str]) -> dict[str, Any]:
    """One map of two; of some files the new one alone."""

    def kept(test: str) -> bool:
        return bool(files) and test.partition("::")[0] not in files

    seconds = {test: s for test, s in old["seconds"].items() if kept(test)} | new["seconds"]
    lines: dict[str, dict[str, list[str]]] = defaultdict(dict)
    for module in old["lines"].keys() | new["lines"].keys():
        before, after = (one["lines"].get(module, {}) for one in (old, new))
        for line in sorted(before.keys() | after.keys(), key=int):
            stay = [test for test in before.get(line, ()) if kept(test)]
            lines[module][line] = sorted({*stay, *after.get(line, ())})
    return {"seconds": seconds, "lines": lines}


if __name__ == "__main__":
    for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
        os.environ[variable] = "1"
    sys.path.insert(0, str(ROOT))
    os.chdir(ROOT)
    out = Path(sys.argv[1])
    found = covered(sys.argv[2:])
    if out.is_file():
        found = merged(json.loads(out.read_text(encoding="utf-8")), found, sys.argv[2:])
    out.write_text(json.dumps(found), encoding="utf-8")
