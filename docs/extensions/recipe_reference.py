"""The directive `recipe-reference`: every key of a recipe, out of the schema itself."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from docutils import nodes
from docutils.parsers.rst import Directive
from docutils.statemachine import StringList
from key_examples import examples, shown
from sphinx.application import Sphinx


def kind(spec: dict[str, Any], schemas: dict[str, Any]) -> str:
    """What a key takes, in words."""
    if "$ref" in spec:
        return f"table [{title(spec['$ref'])}](#{anchor(spec['$ref'])})"
    if "anyOf" in spec or "oneOf" in spec:
        kinds = [kind(s, schemas) for s in spec.get("anyOf", spec.get("oneOf", []))]
        return " or ".join(dict.fromkeys(k for k in kinds if k != "nothing"))
    if "enum" in spec:
        return ", ".join(f"`{v!r}`".replace("'", '"') for v in spec["enum"])
    if "const" in spec:
        return f'`"{spec["const"]}"`'
    if "prefixItems" in spec:
        inner = [kind(s, schemas) for s in spec["prefixItems"]]
        same = len(set(inner)) == 1
        return f"{len(inner)} x {inner[0]}" if same else ", ".join(inner)
    if spec.get("type") == "array":
        return f"list of {kind(spec.get('items', {}), schemas)}"
    if spec.get("type") == "object":
        inner = next(iter(spec.get("patternProperties", {}).values()), None)
        inner = inner or spec.get("additionalProperties") or {}
        return f"{kind(inner, schemas)} by name"
    names = {"integer": "integer", "number": "number", "string": "text", "boolean": "true or false"}
    return names.get(spec.get("type", ""), "nothing" if spec.get("type") == "null" else "anything")


def title(ref: str) -> str:
    """Name of a table of the schema."""
    return ref.rsplit("/", 1)[-1].removeprefix("_").removesuffix("Spec")


def anchor(ref: str) -> str:
    """Where its section is."""
    return "recipe-" + title(ref).lower()


def sections(schema: dict[str, Any]) -> Iterator[str]:
    """Markdown of all tables, the recipe itself first."""
    schemas = {"Recipe": schema, **schema.get("$defs", {})}
    stated = examples(schema)
    for name, spec in schemas.items():
        if "properties" not in spec:
            continue
        yield f"({anchor(name)})="
        yield f"## {title(name)}"
        yield ""
        yield " ".join(spec.get("description", "").partition("\nExamples\n")[0].split())
        yield ""
        yield "| key | takes | default | meaning |"
        yield "|---|---|---|---|"
        for key, value in spec["properties"].items():
            needed = key in spec.get("required", ())
            default = "**required**" if needed else _default(value)
            meaning = " ".join(str(value.get("description", "")).split())
            takes = kind(value, schemas).replace("|", "\\|")
            example = shown(stated[name, key]).replace("|", "\\|")
            # A table too long for the line has examples of its keys in a section of its own.
            whole = not (isinstance(stated[name, key], dict) and example.endswith("…"))
            example = f" `{key} = {example}`" if whole else ""
            yield f"| `{key}` | {takes} | {default} | {meaning}{example} |"
        yield ""


def _default(value: dict[str, Any]) -> str:
    """As it would stand in a recipe; empty for nothing."""
    given = value.get("default")
    return (
        "" if given in (None, "", [], {}) or isinstance(given, dict) else f"`{json.dumps(given)}`"
    )


class RecipeReference(Directive):
    """Parsed as MyST, so that tables link to each other."""

    def run(self) -> list[nodes.Node]:
        """One section for each table."""
        from hetbuild.recipe.schema import Recipe

        lines = StringList(list(sections(Recipe.model_json_schema())), source="schema")
        here = nodes.section()
        here.document = self.state.document
        self.state.nested_parse(lines, self.content_offset, here, match_titles=True)
        return here.children


def setup(app: Sphinx) -> dict[str, bool]:
    """Register with Sphinx."""
    app.add_directive("recipe-reference", RecipeReference)
    return {"parallel_read_safe": True}
