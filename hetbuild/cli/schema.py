"""`hetbuild schema`: JSON Schema of recipes."""

from __future__ import annotations

import json

import click

from hetbuild.cli.console import emit
from hetbuild.cli.options import as_json


@click.command()
@as_json
def schema(as_json: bool) -> None:
    """Print the JSON Schema of recipes, which is one JSON document with or without --json."""
    from hetbuild.recipe.schema import Recipe

    found = Recipe.model_json_schema()
    emit(found, json.dumps(found, indent=2), as_json)
