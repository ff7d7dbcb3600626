"""`hetbuild recipes`: what is shipped."""

from __future__ import annotations

import click

from hetbuild.cli.console import emit
from hetbuild.cli.options import as_json
from hetbuild.cli.tables import table


@click.command()
@as_json
def recipes(as_json: bool) -> None:
    """List the shipped recipes."""
    from hetbuild.library import recipes as shipped
    from hetbuild.recipe.read import read_recipe

    titles = {name: read_recipe(path).title for name, path in shipped().items()}
    emit(titles, "\n".join(table(titles.items(), "<<")), as_json)
