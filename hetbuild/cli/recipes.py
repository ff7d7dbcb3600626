"""`hetbuild recipes`: what is shipped."""

from __future__ import annotations

import click

from hetbuild.cli.console import as_json, emit


@click.command()
@as_json
def recipes(as_json: bool) -> None:
    """List the shipped recipes."""
    from hetbuild.library import recipes as shipped
    from hetbuild.recipe.read import read_recipe

    titles = {name: read_recipe(path).title for name, path in shipped().items()}
    width = max(map(len, titles))
    text = "\n".join(f"{name:{width}s}  {title}" for name, title in titles.items())
    emit(titles, text, as_json)
