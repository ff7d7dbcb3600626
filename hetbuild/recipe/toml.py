"""A recipe, as a model's record holds it, written as the TOML file that builds the model again."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

BARE = re.compile(r"[A-Za-z0-9_-]+")
"""Keys that need no quotes."""


def recipe_toml(record: Mapping[str, Any]) -> str:
    """TOML of a recipe as `provenance["recipe"]` holds it, what is left to defaults left out.

    Raises
    ------
    InputError
        The record is no recipe of this version.
    """
    from hetbuild.recipe.read import parse_recipe

    recipe = parse_recipe(record, "The recipe in the record")
    tree = recipe.model_dump(mode="json", exclude_defaults=True)
    # What kind a step is counts as a default of its kind, but must be said.
    for step, written in zip(recipe.steps, tree.get("steps", ()), strict=True):
        written["action"] = step.action
    return to_toml(tree)


def to_toml(tree: Mapping[str, Any]) -> str:
    """TOML of nested mappings, sequences and plain values. None, which TOML lacks, is left out."""
    return "\n".join(_table(tree, ())).strip() + "\n"


def toml_value(value: Any) -> str:
    """One value on one line; text, which TOML quotes, as it is."""
    if isinstance(value, str):
        return value
    return " ".join(line.strip() for line in _value(value).splitlines())


def _table(tree: Mapping[str, Any], path: Sequence[str]) -> Iterator[str]:
    """Values first, then tables; two levels deep have a header, deeper ones stay on one line."""
    tables = {k: v for k, v in tree.items() if isinstance(v, Mapping) and v and len(path) < 2}
    if path and len(tables) < len(tree):
        yield f"\n[{'.'.join(map(_key, path))}]"
    for key, value in tree.items():
        if key not in tables and value is not None:
            yield f"{_key(key)} = {_value(value)}"
    for key, value in tables.items():
        yield from _table(value, (*path, key))


def _value(value: Any) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case float():
            return repr(value)
        case str():
            # JSON's escapes are TOML's, but for the delete character.
            return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
        case Mapping():
            inside = [f"{_key(k)} = {_value(v)}" for k, v in value.items() if v is not None]
            return "{ " + ", ".join(inside) + " }" if inside else "{}"
        case _:
            return _list([_value(v) for v in value])


def _list(items: Sequence[str]) -> str:
    line = "[" + ", ".join(items) + "]"
    return line if len(line) < 90 else "[\n" + "".join(f"    {i},\n" for i in items) + "]"


def _key(key: str) -> str:
    return key if BARE.fullmatch(key) else _value(key)
