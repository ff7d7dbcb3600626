"""The directive `messages`: every error a recipe can end with, out of the code that raises it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from docutils import nodes
from docutils.parsers.rst import Directive
from docutils.statemachine import StringList
from sphinx.application import Sphinx

EXITS = {"InputError": 2, "ValueError": 2, "ImpossibleError": 1, "CheckError": 3}
"""Exit code by the class raised; a ValueError of the schema becomes an InputError."""

CHAPTERS = {
    "Reading a recipe": ("recipe", "names.py", "library.py", "numerals.py", "indices.py"),
    "Crystals": ("crystal",),
    "Selections and orders": ("selection",),
    "Carving, cutting, joining": ("assemble", "geometry"),
    "Balancing": ("balancing",),
    "Steps": ("exchanging", "capping"),
    "Writing": (
        "formats/files.py",
        "formats/staging.py",
        "formats/cp2k.py",
        "formats/cp2k_options.py",
        "formats/cp2k_cell.py",
        "formats/cp2k_electrons.py",
        "formats/slurm.py",
    ),
}
"""Where in the package a chapter's messages are raised."""


def messages(package: Path, places: tuple[str, ...]) -> list[tuple[int, str]]:
    """Exit code and text of each error raised there; … stands for what depends on the case."""
    found = {}
    for place in places:
        path = package / place
        for module in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            tree = ast.parse(module.read_text(encoding="utf-8"))
            for call in ast.walk(tree):
                if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.args:
                    code = EXITS.get(call.func.id)
                    text = _text(call.args[0])
                    if code is not None and any(c.isalpha() for c in text):
                        found[text] = code
    return sorted(((code, text) for text, code in found.items()), key=lambda m: m[1].lstrip("… "))


def _text(node: ast.expr) -> str:
    """A literal as it is printed, with … for each value put into it."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(_text(part) for part in node.values)
    if isinstance(node, ast.BinOp):
        return _text(node.left) + _text(node.right)
    return "…"


def lines(package: Path) -> Iterator[str]:
    """Markdown of all chapters."""
    for title, places in CHAPTERS.items():
        yield f"## {title}"
        yield ""
        yield "| exit | message |"
        yield "|---|---|"
        for code, text in messages(package, places):
            plain = " ".join(text.split()).replace("|", "\\|").replace("`", "'")
            yield f"| {code} | `{plain}` |"
        yield ""


class Messages(Directive):
    """A section for each chapter."""

    def run(self) -> list[nodes.Node]:
        """Parsed as MyST."""
        import hetbuild

        package = Path(hetbuild.__file__).parent
        here = nodes.section()
        here.document = self.state.document
        text = StringList(list(lines(package)), source="messages")
        self.state.nested_parse(text, self.content_offset, here, match_titles=True)
        return here.children


def setup(app: Sphinx) -> dict[str, bool]:
    """Register with Sphinx."""
    app.add_directive("messages", Messages)
    return {"parallel_read_safe": True}
