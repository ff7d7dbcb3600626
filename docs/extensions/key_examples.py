"""For every key of a recipe a value that stands in a recipe which builds.

Shipped recipes come first, then `docs/keys`, then the recipes printed on the pages: a key has the
example of the first that states it.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

DOCS = Path(__file__).resolve().parents[1]
WIDEST = 72
"""Characters an example may take in a table; longer lists and tables are cut."""


def examples(schema: dict[str, Any]) -> dict[tuple[str, str], Any]:
    """Value by table of the schema and key. schema: that of a recipe, `Recipe` its own table."""
    found: dict[tuple[str, str], Any] = {}
    tables = {"Recipe": schema, **schema.get("$defs", {})}
    for text in _recipes():
        tree = tomllib.loads(text)
        tree.pop("extends", None)  # no key of the schema: it is gone before validation
        for name, key, value in _stated({"$ref": "#/Recipe"}, tree, tables):
            found.setdefault((name, key), value)
    return found


def shown(value: Any) -> str:
    """As TOML on one line."""
    text = _toml(value)
    return text if len(text) <= WIDEST else text[: WIDEST - 2].rstrip(" ,") + " …"


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{k} = {_toml(v)}" for k, v in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


def _recipes() -> Iterator[str]:
    for folder in (DOCS.parent / "examples" / "recipes", DOCS / "keys"):
        yield from (p.read_text(encoding="utf-8") for p in sorted(folder.glob("*.toml")))
    for page in sorted(DOCS.rglob("*.md")):
        text = page.read_text(encoding="utf-8")
        yield from re.findall(r"^<!-- file: \S+\.toml -->\n```toml\n(.*?)^```$", text, re.M | re.S)


def _stated(
    spec: dict[str, Any], value: Any, tables: Mapping[str, Any]
) -> Iterator[tuple[str, str, Any]]:
    """Table, key and value of all that a piece of a recipe states."""
    for name, option in _options(spec, tables):
        properties = option.get("properties")
        if isinstance(value, dict) and properties is not None:
            if _fits(properties, value):
                for key, inner in value.items():
                    yield name, key, inner
                    yield from _stated(properties[key], inner, tables)
        elif isinstance(value, dict):
            named = next(iter(option.get("patternProperties", {}).values()), None)
            named = named or option.get("additionalProperties")
            for inner in value.values() if isinstance(named, dict) else ():
                yield from _stated(named, inner, tables)
        elif isinstance(value, list):
            places = [*option.get("prefixItems", ())] or [option.get("items", {})] * len(value)
            for place, inner in zip(places, value, strict=False):
                yield from _stated(place, inner, tables)


def _fits(properties: Mapping[str, Any], value: Mapping[str, Any]) -> bool:
    """Whether a table is of this kind: no unknown key, and its `action` the right one."""
    return set(value) <= set(properties) and all(
        v in (properties[k].get("const", v), *properties[k].get("enum", ()))
        for k, v in value.items()
        if "const" in properties[k] or "enum" in properties[k]
    )


def _options(
    spec: dict[str, Any], tables: Mapping[str, Any], name: str = ""
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every table or type a place may hold, with its name."""
    if "$ref" in spec:
        name = spec["$ref"].rsplit("/", 1)[-1]
        yield from _options(tables[name], tables, name)
    for kind in ("anyOf", "oneOf", "allOf"):
        for option in spec.get(kind, ()):
            yield from _options(option, tables)
    yield name, spec
