"""The house: how long functions are, and which modules stand outside the wings."""

from __future__ import annotations

import ast
from pathlib import Path

from conftest import ROOT

import hetbuild

PACKAGE = Path(hetbuild.__file__).parent
LONGEST = 60
"""Lines of a function, signature and docstring included."""

LONG, FEW = 40, 15
"""No more than so many functions are longer than this, and none without its docstring."""

GROUND = {
    "__init__", "__main__", "arguments", "arrays", "domain", "elements", "errors", "frozen",
    "indices", "library", "model", "names", "notebook", "numerals", "rounding", "verbs",
}  # fmt: skip
"""Modules beside the wings; a new one belongs into a wing, or here and into ARCHITECTURE.md."""


def lines(node: ast.stmt) -> int:
    return (node.end_lineno or 0) - node.lineno + 1


def test_no_function_is_too_long() -> None:
    functions = [
        (f"{path.relative_to(PACKAGE)}: {node.name}", node)
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    assert len(functions) > 500
    length = {name: lines(node) for name, node in functions}
    assert {name: n for name, n in length.items() if n > LONGEST} == {}
    assert sum(n > LONG for n in length.values()) <= FEW, sorted(
        length.items(), key=lambda i: -i[1]
    )
    bare = {name: lines(n) - lines(n.body[0]) * bool(ast.get_docstring(n)) for name, n in functions}
    assert {name: n for name, n in bare.items() if n > LONG} == {}


def test_the_ground_floor_is_listed() -> None:
    modules = {path.stem for path in PACKAGE.glob("*.py")}
    assert modules == GROUND
    page = (ROOT / "ARCHITECTURE.md").read_text()
    wings = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    told = {name for name in wings if f"{name}/" in page}
    told |= {name for name in modules if name.startswith("__") or name in page}
    assert told == wings | modules


def test_the_command_line_starts_small() -> None:
    text = (PACKAGE / "cli" / "__init__.py").read_text()
    assert len(text.splitlines()) < 100


def test_the_conda_recipe_needs_what_the_package_needs() -> None:
    import tomllib

    from ruamel.yaml import YAML

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    recipe = YAML(typ="safe").load((ROOT / "recipe" / "recipe.yaml").read_text(encoding="utf-8"))
    needed = {d.replace(">=", " >=") for d in project["dependencies"]}
    assert set(recipe["requirements"]["run"]) == {*needed, f"python {project['requires-python']}"}
    assert recipe["context"]["version"] == hetbuild.__version__
    assert recipe["build"]["python"]["entry_points"] == [
        f"{name} = {target}" for name, target in project["scripts"].items()
    ]
