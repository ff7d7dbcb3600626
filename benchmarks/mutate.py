"""Do the tests bite? Small faults are put into the engine one at a time, and the tests must notice.

    python benchmarks/mutate.py --count 40 --seed 1 [--wing balancing] [--list]

A sample of all possible mutations of the wings below is drawn by the seed. For each, the package is
copied with that one change, and the tests of its wing run on the copy, up to the first failure.
What survives is printed with its line: a test is missing there, or the change changes nothing.
mutmut and cosmic-ray run on the tree in place and know no tests by folder; this is 200 lines.
"""

from __future__ import annotations

import argparse
import ast
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent

TESTS = {
    "crystal": "test_crystal test_lattice test_structures",
    "crystal/layers": "test_match",
    "crystal/planes": "test_match",
    "crystal/terminations": "test_match",
    "crystal/vicinal": "test_match",
    "geometry": "test_physics test_carve test_build",
    "assemble": "test_physics test_carve test_build test_family",
    "balancing": "test_physics test_build",
    "exchanging": "test_physics test_exchange",
    "matching": "test_match",
}
"""Test files of each wing or module, those that fail soonest first."""

WINGS = [name for name in TESTS if "/" not in name]

LIMIT = 900.0
"""Seconds after which a run counts as noticed: a mutant that never ends fails in CI too."""

SMALL = 1e-3
"""Constants up to this are tolerances against rounding: any near value does the same."""

COMPARE = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
}  # fmt: skip
OPERATOR = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
}  # fmt: skip
NAMES = {
    "argmin": "argmax", "argmax": "argmin", "min": "max", "max": "min", "any": "all", "all": "any",
    "floor": "ceil", "ceil": "floor",
}  # fmt: skip


@dataclass(frozen=True)
class Mutant:
    """One change of one line."""

    path: Path
    line: int
    what: str
    start: int
    end: int
    text: str
    """Put in the place of the bytes from start to end of the file."""

    @property
    def tests(self) -> list[str]:
        """Files of its module's tests, else of its wing's."""
        module = self.path.relative_to(ROOT / "hetbuild").with_suffix("")
        return TESTS.get(str(module), TESTS[module.parts[0]]).split()


class Finder(ast.NodeVisitor):
    """Every place of a module where a fault can be put; not in texts, types and errors."""

    def __init__(self, path: Path) -> None:
        self.path, self.source = path, path.read_bytes()
        self.starts = [0]
        for row in self.source.splitlines(keepends=True):
            self.starts.append(self.starts[-1] + len(row))
        self.found: list[Mutant] = []

    def add(self, node: ast.expr, new: ast.expr, what: str) -> None:
        start = self.starts[node.lineno - 1] + node.col_offset
        end = self.starts[(node.end_lineno or 0) - 1] + (node.end_col_offset or 0)
        text = f"({ast.unparse(new)})"
        self.found.append(Mutant(self.path, node.lineno, what, start, end, text))

    def visit_Raise(self, node: ast.Raise) -> None:
        """Errors are left as they are."""

    def visit_Assert(self, node: ast.Assert) -> None:
        """So are assertions,"""

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        """texts,"""

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        """and types."""
        if node.value is not None:
            self.visit(node.value)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        if "reject" in node.name or node.name.startswith(("_no_room", "_refuse", "as_dict")):
            return
        for part in (*node.args.defaults, *filter(None, node.args.kw_defaults), *node.body):
            self.visit(part)

    def visit_Compare(self, node: ast.Compare) -> None:
        kind = COMPARE.get(type(node.ops[0]))
        if kind is not None and len(node.ops) == 1:
            self.add(node, ast.Compare(node.left, [kind()], node.comparators), "comparison")
        self.generic_visit(node)

    def visit_BinOp(self, node: ast.BinOp) -> None:
        kind = OPERATOR.get(type(node.op))
        if kind is not None:
            self.add(node, ast.BinOp(node.left, kind(), node.right), "operator")
        self.generic_visit(node)

    def visit_BoolOp(self, node: ast.BoolOp) -> None:
        other = ast.Or() if isinstance(node.op, ast.And) else ast.And()
        self.add(node, ast.BoolOp(other, node.values), "and/or")
        self.generic_visit(node)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> None:
        self.add(node, node.operand, "sign")
        self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        value = node.value
        if isinstance(value, bool):
            self.add(node, ast.Constant(not value), "truth")
        elif isinstance(value, int | float) and abs(value) > SMALL:
            new = value + 1 if isinstance(value, int) else value * 1.25
            self.add(node, ast.Constant(new), "number")
        elif value == 0 and isinstance(value, int):
            self.add(node, ast.Constant(1), "number")

    def visit_Call(self, node: ast.Call) -> None:
        name = node.func.attr if isinstance(node.func, ast.Attribute) else None
        if name in NAMES and isinstance(node.func, ast.Attribute):
            changed = ast.Attribute(node.func.value, NAMES[name], ast.Load())
            self.add(node, ast.Call(changed, node.args, node.keywords), name)
        self.generic_visit(node)


def mutants(wings: list[str]) -> Iterator[Mutant]:
    for wing in wings:
        for path in sorted((ROOT / "hetbuild" / wing).glob("*.py")):
            finder = Finder(path)
            finder.visit(ast.parse(finder.source))
            yield from finder.found


def noticed(mutant: Mutant) -> bool:
    """Whether a test of its wing fails on a copy of the package with this change."""
    with tempfile.TemporaryDirectory() as name:
        copy = Path(name)
        for folder in ("hetbuild", "tests", "structures", "examples"):
            shutil.copytree(ROOT / folder, copy / folder)
        for file in ("pyproject.toml", "README.md"):
            shutil.copy(ROOT / file, copy)
        target = copy / mutant.path.relative_to(ROOT)
        source = target.read_bytes()
        target.write_bytes(source[: mutant.start] + mutant.text.encode() + source[mutant.end :])
        files = [f"tests/{name}.py" for name in mutant.tests]
        command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider"]
        there = [f for f in files if (copy / f).is_file()]
        try:
            done = subprocess.run(
                [*command, *there],
                cwd=copy,
                env={**os.environ, "PYTHONPATH": name},
                capture_output=True,
                timeout=LIMIT,
            )
        except subprocess.TimeoutExpired:
            return True
        return done.returncode != 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=40)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--wing", choices=WINGS, action="append")
    parser.add_argument("--list", action="store_true", help="print the sample, run nothing")
    given = parser.parse_args()
    every = list(mutants(given.wing or WINGS))
    sample = random.Random(given.seed).sample(every, min(given.count, len(every)))
    print(f"{len(sample)} of {len(every)} mutants", flush=True)
    survived = 0
    for i, mutant in enumerate(sample, 1):
        old = mutant.path.read_bytes()[mutant.start : mutant.end].decode()
        where = f"{mutant.path.relative_to(ROOT)}:{mutant.line}"
        change = " ".join(f"{where} {mutant.what}: {old} -> {mutant.text}".split())
        if given.list:
            print(change)
            continue
        start = time.monotonic()
        killed = noticed(mutant)
        survived += not killed
        word = "noticed " if killed else "SURVIVED"
        print(f"{i:3d} {word} {time.monotonic() - start:4.0f} s  {change}", flush=True)
    if not given.list:
        print(f"{survived} of {len(sample)} survived, {100 * survived / len(sample):.0f} %")


if __name__ == "__main__":
    main()
