"""Every block of the README and of the documentation, run as a reader would, in a new folder.

A fenced ``sh`` block is run by bash; where a ``text`` block follows it, its lines must come out in
this order (a line ``...`` stands for any). ``python`` blocks of a page are one program. A block
under ``<!-- file: NAME -->`` is written to that file. A block under ``<!-- not run: WHY -->`` is
left alone, and so are the README's two set-up commands, which CI runs word for word.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from conftest import ROOT

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
PAGES = [p for p in PAGES if "extensions" not in p.parts and "_build" not in p.parts]
FENCE = re.compile(
    r"(?:^<!-- (?P<mark>file|not run|ci): (?P<note>[^>]*) -->\n)?"
    r"^```(?P<kind>[^\n]*)\n(?P<body>.*?)^```$",
    re.M | re.S,
)


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    kind: str
    body: str
    mark: str
    note: str


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page in order."""
    text = page.read_text(encoding="utf-8")
    return [
        Block(m["kind"], m["body"], m["mark"] or "", (m["note"] or "").strip())
        for m in FENCE.finditer(text)
    ]


def missing(wanted: str, output: str) -> str | None:
    """The first line of a page's output block that did not come out in this order."""
    lines = iter(" ".join(line.split()) for line in output.splitlines())
    for line in wanted.splitlines():
        asked = " ".join(line.split())
        if asked and asked != "..." and not any(asked == got for got in lines):
            return line
    return None


@pytest.fixture
def shell(tmp_path: Path) -> dict[str, str]:
    """An environment in which `hetbuild` and `python` are those under test."""
    bin_ = tmp_path / "work" / ".venv" / "bin"
    bin_.mkdir(parents=True)
    (bin_ / "activate").touch()
    program = bin_ / "hetbuild"
    program.write_text(
        f"#!{sys.executable}\nimport sys\nsys.argv[0] = 'hetbuild'\n"
        "from hetbuild.cli import main\nif __name__ == '__main__':\n    main()\n"
    )
    program.chmod(0o755)
    # No link: through one, Python would not find the libraries of its environment.
    python = bin_ / "python"
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    return {
        **os.environ,
        "PATH": f"{bin_}:{os.environ['PATH']}",
        "PYTHONPATH": path,
        "COLUMNS": "100",
    }


@pytest.mark.docs
@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_every_block_of_a_page_runs_as_printed(
    page: Path, tmp_path: Path, shell: dict[str, str]
) -> None:
    folder = tmp_path / "work"
    output, program = "", ""
    for block in blocks(page):
        if block.mark == "file":
            (folder / block.note).write_text(block.body, encoding="utf-8")
        elif block.mark in ("not run", "ci"):
            assert block.note
            if block.note == "install":  # CI runs it word for word; its last command is needed here
                subprocess.run(
                    ["bash", "-euc", "hetbuild build"], cwd=folder, env=shell, check=True
                )
        elif block.kind == "sh":
            done = subprocess.run(
                ["bash", "-euo", "pipefail", "-c", block.body],
                cwd=folder, env=shell, capture_output=True, text=True, check=False,
            )  # fmt: skip
            assert done.returncode == 0, f"{block.body}\n{done.stdout}\n{done.stderr}"
            output = done.stdout + done.stderr
        elif block.kind == "python":
            program += block.body
        elif block.kind == "text" and output:
            line = missing(block.body, output)
            assert line is None, f"not printed: {line!r}\nprinted:\n{output}"
            output = ""
    if program:
        (folder / "page.py").write_text(program, encoding="utf-8")
        command = [sys.executable, "page.py"]
        done = subprocess.run(
            command, cwd=folder, env=shell, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr


@pytest.mark.docs
@pytest.mark.parametrize(
    "script", sorted((ROOT / "docs" / "figures").glob("*.py")), ids=lambda p: p.stem
)
def test_pictures_are_drawn(script: Path, tmp_path: Path, shell: dict[str, str]) -> None:
    subprocess.run([sys.executable, str(script), str(tmp_path)], env=shell, check=True)
    drawn = list(tmp_path.glob("*.png"))
    assert drawn
    assert all((script.parent / p.name).exists() for p in drawn)


@pytest.mark.docs
def test_links_between_pages_lead_somewhere() -> None:
    for page in PAGES:
        text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.S)
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text):
            if "://" not in target and not target.startswith("gallery/"):
                assert (page.parent / target).exists(), f"{page.name}: {target}"


@pytest.mark.docs
@pytest.mark.parametrize(
    "recipe", sorted((ROOT / "docs" / "keys").glob("*.toml")), ids=lambda p: p.stem
)
def test_recipes_that_show_a_key_build(recipe: Path, tmp_path: Path, shell: dict[str, str]) -> None:
    done = subprocess.run(
        ["hetbuild", "build", str(recipe), "-o", "out"],
        cwd=tmp_path, env=shell, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_every_key_of_a_recipe_has_an_example(monkeypatch: pytest.MonkeyPatch) -> None:
    from hetbuild.recipe.schema import Recipe

    monkeypatch.syspath_prepend(str(ROOT / "docs" / "extensions"))
    from key_examples import examples

    schema = Recipe.model_json_schema()
    stated = examples(schema)
    bare = [
        f"{name}.{key}"
        for name, table in {"Recipe": schema, **schema["$defs"]}.items()
        for key in table.get("properties", {})
        if (name, key) not in stated
    ]
    assert not bare, "state them in a shipped recipe or in one of docs/keys"


@pytest.mark.docs
def test_messages_of_the_reference_are_those_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    import hetbuild

    monkeypatch.syspath_prepend(str(ROOT / "docs" / "extensions"))
    from messages import CHAPTERS, messages

    package = Path(hetbuild.__file__).parent
    found = {text for places in CHAPTERS.values() for _, text in messages(package, places)}
    assert "… extends itself." in found
    assert len(found) > 200


def test_every_key_of_a_recipe_is_described() -> None:
    from hetbuild.recipe.schema import Recipe

    schema = Recipe.model_json_schema()
    tables = {"Recipe": schema, **schema["$defs"]}
    bare = [
        f"{name}.{key}"
        for name, table in tables.items()
        for key, value in table.get("properties", {}).items()
        if len(value.get("description", "")) < 3
    ]
    assert not bare
