"""Small faults that can be put into the engine, one at a time: for benchmarks/mutate.py.

A mutant is worth running only if it can matter. What is left out, by rule:

* texts, errors, assertions, types, decorators and `strict=`: no result depends on them;
* zero, powers of ten below SMALL and digits of rounding: tolerances against rounding, any near
  value does the same;
* `<` for `<=` between lengths, which differ at a tie that computed numbers do not have: there the
  comparison is turned round instead. Where one side is a whole number other than 0, both are tried;
* constants of a module that say how much work is done (EFFORT), where more gives the same, or that
  lie between two scales far apart (WINDOWS): half or twice the value does the same by design;
* the lines of EQUIVALENT, each with its reason.

Numbers change by what matters: whole numbers up to ten by one, all others by a factor of two.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
WINGS = (
    "crystal", "geometry", "assemble", "balancing", "exchanging", "matching", "analyse",
    "selection",
)  # fmt: skip

SMALL = 1e-3
"""Constants up to this are tolerances against rounding: any near value does the same."""

EFFORT = {
    "BYTES_PER_ATOM", "BYTES_PER_COLUMN", "CANDIDATES", "CENTRES", "CHUNK", "COARSE", "DIRECTIONS",
    "CONTACTS", "EQUALS", "EXACT", "FEWEST", "GROWTH", "GRID", "HEIGHTS", "KEPT", "LARGE",
    "LONGEST", "MOST", "MOST_FACETS", "MOST_LISTED", "MOST_MEMORY", "MOST_SHIFTS", "MOST_SITES",
    "NEAREST",
    "OFF_SITE_TRIES", "PAIR_BYTES", "PAIRS", "PEAKS", "PENALTIES", "RANDOM_FILLINGS", "REFINED",
    "REPLICAS", "ROUNDS", "ROWS", "SAMPLE", "SEEDS", "SHIFTED", "SHIFTS", "SHIFT_ROUNDS", "STEPS",
    "STRAINED", "SWEEPS", "TRIES", "TURNS",
}  # fmt: skip
"""Numbers of tries, samples and rounds, sizes held at a time, limits of what is too large.
GRID and COARSE are spacings that a refinement follows."""

WINDOWS = {
    "ALL_BUT_A_FEW", "ANGLE_TOLERANCE", "AROUND", "CLAIMED", "CLOSE", "DISTINCT", "ENOUGH",
    "EXPLAINED", "FACING", "FAR", "FILLED", "FIRM", "FLAT", "FORBIDDEN", "HOPELESS", "IN_ORDER",
    "ITSELF", "LAYER", "LENGTH_TOLERANCE", "LOCAL", "NARROW", "NEAR", "NEAR_THING", "OF_A_CORNER",
    "PARALLEL", "POOL", "SAME", "SAME_DIRECTION", "SAME_PLACE", "SAME_PLANE", "SAME_SITE",
    "SETTLED", "SHEARED", "SHELL", "SHORTEST", "STANDS_ON", "STEP", "SUBSTITUTE", "SYMMETRIC",
    "TAIL", "TOLERANCE", "TOO_FEW", "UNCERTAIN", "VACUUM", "WIDTH",
}  # fmt: skip
"""Distances within which two places are one, far above rounding and far below any between atoms;
the widths of what recognises a lattice in displaced atoms."""

EQUIVALENT: dict[str, dict[str, str]] = {
    "hetbuild/crystal/bonds.py": {
        "reach = np.arange(-2, 3)": "cells beyond the first shell add no bond",
    },
    "hetbuild/geometry/electrostatics.py": {
        "rows = max(1, CHUNK": "how many rows are held at a time",
    },
}
"""By file and text of a line: why no change of it changes a result."""

OPPOSITE = {
    ast.Lt: ast.GtE, ast.LtE: ast.Gt, ast.Gt: ast.LtE, ast.GtE: ast.Lt, ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq, ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is,
}  # fmt: skip
TIES = {ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt}
OPERATOR = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
}  # fmt: skip
NAMES = {
    "argmin": "argmax", "argmax": "argmin", "min": "max", "max": "min", "any": "all", "all": "any",
    "floor": "ceil", "ceil": "floor",
}  # fmt: skip


NONE_OR_REST = ("reshape", "full", "where")
"""Calls in which -1 stands for what is left, or for none: another negative number does the same."""


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
    runs: range
    """Lines that run when the change matters; empty for what runs at import."""
    name: str
    """Of the constant or field whose value changed, where it runs at import."""

    @property
    def module(self) -> str:
        return str(self.path.relative_to(ROOT))

    def __str__(self) -> str:
        old = self.path.read_bytes()[self.start : self.end].decode()
        return " ".join(f"{self.module}:{self.line} {self.what}: {old} -> {self.text}".split())


class Finder(ast.NodeVisitor):
    """Every place of a module where a fault can be put."""

    def __init__(self, path: Path) -> None:
        self.path, self.source = path, path.read_bytes()
        self.starts = [0]
        for row in self.source.splitlines(keepends=True):
            self.starts.append(self.starts[-1] + len(row))
        self.found: list[Mutant] = []
        self.runs, self.name, self.inside = range(0), "", False

    def add(self, node: ast.expr, new: ast.expr, what: str) -> None:
        start = self.starts[node.lineno - 1] + node.col_offset
        end = self.starts[(node.end_lineno or 0) - 1] + (node.end_col_offset or 0)
        text = f"({ast.unparse(new)})"
        self.found.append(
            Mutant(self.path, node.lineno, what, start, end, text, self.runs, self.name)
        )

    def visit(self, node: ast.AST) -> None:
        if isinstance(node, ast.stmt) and self.inside:
            body = getattr(node, "body", None)
            end = body[0].lineno - 1 if body else (node.end_lineno or node.lineno)
            self.runs = range(node.lineno, max(end, node.lineno) + 1)
        super().visit(node)

    def visit_Raise(self, node: ast.Raise) -> None:
        """Errors are left as they are,"""

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> None:
        """and what words them,"""
        if not isinstance(node.body[-1], ast.Raise):
            self.generic_visit(node)

    def visit_Assert(self, node: ast.Assert) -> None:
        """assertions,"""

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        """texts,"""

    def visit_keyword(self, node: ast.keyword) -> None:
        """and checks of equal length,"""
        if node.arg != "strict":
            self.visit(node.value)

    def visit_If(self, node: ast.If) -> None:
        """and what type checkers read."""
        if not (isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"):
            self.generic_visit(node)

    def assigned(self, target: ast.expr, value: ast.expr) -> None:
        if not self.inside:
            self.name = target.id if isinstance(target, ast.Name) else ""
        self.visit(value)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            self.assigned(node.target, node.value)

    def visit_Assign(self, node: ast.Assign) -> None:
        if self.inside:
            self.generic_visit(node)
        else:
            self.assigned(node.targets[0], node.value)

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        for part in node.body:
            self.visit(part)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        if "reject" in node.name or node.name.startswith(("_no_room", "_refuse", "as_dict")):
            return
        if node.name in ("__repr__", "__str__"):
            return
        before = self.runs, self.name, self.inside
        first = node.body[1] if ast.get_docstring(node) and node.body[1:] else node.body[0]
        self.runs, self.name, self.inside = range(first.lineno, first.lineno + 1), "", True
        for part in (*node.args.defaults, *filter(None, node.args.kw_defaults), *node.body):
            self.visit(part)
        self.runs, self.name, self.inside = before

    def visit_Compare(self, node: ast.Compare) -> None:
        if len(node.ops) == 1:
            left, right, kind = node.left, node.comparators, type(node.ops[0])
            if kind in OPPOSITE:
                self.add(node, ast.Compare(left, [OPPOSITE[kind]()], right), "comparison")
            if kind in TIES and (_whole(left) or _whole(right[0])):
                self.add(node, ast.Compare(left, [TIES[kind]()], right), "tie")
        self.generic_visit(node)

    def visit_BinOp(self, node: ast.BinOp) -> None:
        kind = OPERATOR.get(type(node.op))
        union = isinstance(node.op, ast.BitOr) and not self.inside  # of types
        if kind is not None and not union:
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
        if not self.inside and self.name in EFFORT | WINDOWS:
            return
        if isinstance(value, bool):
            self.add(node, ast.Constant(not value), "truth")
        elif isinstance(value, int):
            self.add(node, ast.Constant(2 * value if abs(value) > 10 else value + 1), "number")
        elif isinstance(value, float) and abs(value) > SMALL:
            self.add(node, ast.Constant(2 * value), "number")

    def visit_Call(self, node: ast.Call) -> None:
        called = node.func
        name = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
        if name in NONE_OR_REST:
            for part in (*node.args, *(k.value for k in node.keywords)):
                if ast.unparse(part) != "-1":
                    self.visit(part)
            self.visit(called)
            return
        if name in NAMES:
            new: ast.expr = ast.Name(NAMES[name], ast.Load())
            if isinstance(called, ast.Attribute):
                new = ast.Attribute(called.value, NAMES[name], ast.Load())
            self.add(node, ast.Call(new, node.args, node.keywords), name)
        if name == "round":  # its digits are a tolerance
            for part in (called, *node.args[:-1]):
                self.visit(part)
        else:
            self.generic_visit(node)


def _whole(node: ast.expr) -> bool:
    """Whether an expression is a whole number by its looks: a literal but 0, a length, a size."""
    if isinstance(node, ast.Constant):  # with 0 signs are told, of charges and of lengths
        return isinstance(node.value, int) and node.value != 0
    if isinstance(node, ast.Call):
        return getattr(node.func, "id", getattr(node.func, "attr", "")) == "len"
    return isinstance(node, ast.Attribute) and node.attr in ("size", "ndim")


def mutants(wings: tuple[str, ...] = WINGS) -> Iterator[Mutant]:
    """All of some wings, but for those of EQUIVALENT."""
    for wing in wings:
        for path in sorted((ROOT / "hetbuild" / wing).glob("*.py")):
            finder = Finder(path)
            finder.visit(ast.parse(finder.source))
            rows = finder.source.decode().splitlines()
            same = EQUIVALENT.get(str(path.relative_to(ROOT)), {})
            for text in same:
                if not any(text in row for row in rows):
                    raise SystemExit(f"mutants.py: EQUIVALENT names a line that is gone: {text}")
            for mutant in finder.found:
                if not any(text in rows[mutant.line - 1] for text in same):
                    yield mutant


def tests_of(
    mutant: Mutant, lines: dict[str, dict[str, list[str]]], every: Iterable[str]
) -> set[str]:
    """Of every test those that run what a mutant changes.

    What runs at import, a constant or a field's default, is run by every test that runs a line of
    the wings with its name, or stands in a file that has it.
    """
    if mutant.runs:
        mine = lines.get(mutant.module, {})
        return {test for line in mutant.runs for test in mine.get(str(line), ())}
    found = set()
    word = re.compile(rf"\b{re.escape(mutant.name)}\b") if mutant.name else None
    for module, by_line in lines.items():
        if word is None and module != mutant.module:
            continue
        rows = (ROOT / module).read_text(encoding="utf-8").splitlines()
        for number, tests in by_line.items():
            if word is None or word.search(rows[int(number) - 1]):
                found |= set(tests)
    if word is not None:
        files = {test.partition("::")[0] for test in every}
        named = {f for f in files if word.search((ROOT / f).read_text(encoding="utf-8"))}
        found |= {test for test in every if test.partition("::")[0] in named}
    return found
