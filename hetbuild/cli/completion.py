"""What the shell completes: names of recipes, crystals and formats, and files."""

from __future__ import annotations

import click
from click.shell_completion import CompletionItem

HEADER = 1 << 20
"""Bytes of a model file that are searched for its domains."""


def recipe_names(ctx: click.Context, param: click.Parameter, text: str) -> list[CompletionItem]:
    """Shipped recipes, and files."""
    from hetbuild.library import recipes

    return _starting(list(recipes()), text)


def crystal_names(ctx: click.Context, param: click.Parameter, text: str) -> list[CompletionItem]:
    """Shipped crystals, and files."""
    from hetbuild.library import structures

    return _starting(list(structures()), text)


def format_names(ctx: click.Context, param: click.Parameter, text: str) -> list[CompletionItem]:
    """Formats of `export`."""
    from hetbuild.formats.catalogue import CP2K, FORMATS

    return _starting([*FORMATS, CP2K], text, files=False)


def domain_names(ctx: click.Context, param: click.Parameter, text: str) -> list[CompletionItem]:
    """Domains of the model named before, where its record tells them."""
    import json
    import re
    from pathlib import Path

    model = ctx.params.get("model")
    if model is None:
        return []
    try:
        with Path(str(model)).open("rb") as stream:
            head = stream.read(HEADER)
    except OSError:
        return []
    found = re.findall(rb'\\"name\\": \\"([A-Za-z0-9._+-]+)\\", \\"crystal\\"', head)
    return _starting([json.loads(f'"{n.decode()}"') for n in dict.fromkeys(found)], text, False)


def _starting(names: list[str], text: str, files: bool = True) -> list[CompletionItem]:
    """Names that begin so, in any case; files where none does."""
    found = [CompletionItem(n) for n in names if n.lower().startswith(text.lower())]
    return found or ([CompletionItem(text, type="file")] if files else [])
