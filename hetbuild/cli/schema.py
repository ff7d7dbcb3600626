"""`hetbuild schema`: JSON Schema of recipes."""

from __future__ import annotations

import json

import click


@click.command()
def schema() -> None:
    """Print the JSON Schema of recipes."""
    from hetbuild.recipe.schema import Recipe

    click.echo(json.dumps(Recipe.model_json_schema(), indent=2))
