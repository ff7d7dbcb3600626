"""`hetbuild recipes`: what is shipped."""

from __future__ import annotations

import click

from hetbuild.cli.completion import recipe_names
from hetbuild.cli.console import emit
from hetbuild.cli.options import as_json
from hetbuild.cli.tables import table


@click.command()
@click.argument("name", required=False, shell_complete=recipe_names)
@as_json
def recipes(name: str | None, as_json: bool) -> None:
    """List the shipped recipes, or print the one of NAME as it is shipped.

    \b
    hetbuild recipes cdse-tetrapod > mine.toml
    """
    from hetbuild.library import find_recipe
    from hetbuild.library import recipes as shipped
    from hetbuild.recipe.read import read_recipe

    if name is not None:
        text = find_recipe(name).read_text(encoding="utf-8")
        emit({"name": name, "toml": text}, text.rstrip("\n"), as_json)
        return
    titles = {name: read_recipe(path).title for name, path in shipped().items()}
    emit(titles, "\n".join(table(titles.items(), "<<")), as_json)
