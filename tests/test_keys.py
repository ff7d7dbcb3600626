"""Every key of a recipe, walked by the schema: given nonsense, it is refused by its name."""

from __future__ import annotations

import copy
import datetime
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from conftest import ROOT

from hetbuild.errors import HetbuildError, InputError
from hetbuild.recipe.check import check_ions
from hetbuild.recipe.read import load_tree, parse_recipe
from hetbuild.recipe.run import build
from hetbuild.recipe.schema import Recipe

sys.path.insert(0, str(ROOT / "docs" / "extensions"))
sys.dont_write_bytecode = True
SCHEMA = Recipe.model_json_schema()
TABLES: Mapping[str, Any] = {"Recipe": SCHEMA, **SCHEMA["$defs"]}
FORMULA = {"balance": {"target": {"formula": "Cs20Pb8Cl36"}, "moves": ["remove Cs in perovskite"]}}

FREE = {("Recipe", "title"), ("Recipe", "references")}
"""Any text will do."""

CALLED = {("Merging", "keep"): "merge", ("Add", "ligand"): "add"}
"""Keys of tables that may also be one text, which the message is about."""

BUILT: Mapping[tuple[str, str], tuple[float, str]] = {
    ("CutSpec", "at"): (12345, "cut above plane 12345"),
    ("FacetSpec", "planes"): (-12345, "facets enclose no volume"),
    ("FacetSpec", "distance"): (-12345, "facets enclose no volume"),
    ("RegistrySpec", "gap"): (-50, "gap -50 Å the domains collide"),
    ("SlabSpec", "first"): (12345, "slab from plane 12345"),
    ("SlabSpec", "last"): (-12345, "to -12345: first the lower one"),
    ("TargetSpec", "charge"): (99999, "The target needs charge"),
}
"""Values that are impossible for this crystal only, and what the build says."""


class Place(NamedTuple):
    """Where a recipe that builds states a key."""

    folder: Path
    tree: dict[str, Any]
    path: tuple[str | int, ...]

    def holding(self, value: object) -> dict[str, Any]:
        """The recipe with another value there."""
        tree = copy.deepcopy(self.tree)
        node: Any = tree
        for key in self.path[:-1]:
            node = node[key]
        node[self.path[-1]] = value
        return tree


@cache
def places() -> dict[tuple[str, str], Place]:
    found: dict[tuple[str, str], Place] = {}
    folders = ROOT / "examples" / "recipes", ROOT / "docs" / "keys"
    trees = [(p.parent, load_tree(p)) for folder in folders for p in sorted(folder.glob("*.toml"))]
    trees.append((folders[0], {**load_tree(folders[0] / "cspbcl3-cube-2.toml"), **FORMULA}))
    for folder, tree in trees:
        for table, key, path in stated({"$ref": "#/Recipe"}, tree, ()):
            found.setdefault((table, key), Place(folder, tree, path))
    return found


def stated(
    spec: dict[str, Any], value: Any, path: tuple[str | int, ...]
) -> Iterator[tuple[str, str, tuple[str | int, ...]]]:
    """Table, key and path of all that a piece of a recipe states."""
    from key_examples import _fits, _options

    for name, option in _options(spec, TABLES):
        properties = option.get("properties")
        if isinstance(value, dict) and properties is not None:
            for key, inner in value.items() if _fits(properties, value) else ():
                yield name, key, (*path, key)
                yield from stated(properties[key], inner, (*path, key))
        elif isinstance(value, dict):
            named = next(iter(option.get("patternProperties", {}).values()), None)
            named = named or option.get("additionalProperties")
            for key, inner in value.items() if isinstance(named, dict) else ():
                yield from stated(named, inner, (*path, key))
        elif isinstance(value, list):
            inside = [*option.get("prefixItems", ())] or [option.get("items", {})] * len(value)
            for i, (one, inner) in enumerate(zip(inside, value, strict=False)):
                yield from stated(one, inner, (*path, i))


def takes(spec: dict[str, Any], kind: str) -> bool:
    """Whether a place takes numbers, or texts, themselves."""
    options = [spec, *spec.get("anyOf", ())]
    return any(o.get("type") == kind and "enum" not in o and "const" not in o for o in options)


KEYS = [(table, key) for table, t in TABLES.items() for key in t.get("properties", {})]


def refused(place: Place, value: object) -> str:
    """The error of a recipe with this value, read and checked but not built."""
    with pytest.raises(HetbuildError) as caught:
        check_ions(parse_recipe(place.holding(value)).kept_in(place.folder))
    return str(caught.value)


def test_every_key_is_stated_by_a_recipe_that_builds() -> None:
    assert set(KEYS) <= set(places())


@pytest.mark.parametrize(("table", "key"), KEYS)
@pytest.mark.parametrize("value", [datetime.date(2026, 1, 1), {"nonsense": {"x": 1}}], ids=str)
def test_a_wrong_type_is_refused_by_name(table: str, key: str, value: object) -> None:
    place = places()[table, key]
    with pytest.raises(InputError) as caught:
        parse_recipe(place.holding(value))
    assert key in str(caught.value)


@pytest.mark.parametrize(("table", "key"), [k for k in KEYS if k not in FREE])
def test_an_impossible_value_is_refused_by_name(table: str, key: str) -> None:
    spec, place = TABLES[table]["properties"][key], places()[table, key]
    called = CALLED.get((table, key), key)
    if (table, key) in BUILT:
        value, text = BUILT[table, key]
        with pytest.raises(HetbuildError, match=text):
            build(parse_recipe(place.holding(value)).kept_in(place.folder))
    elif takes(spec, "number") or takes(spec, "integer"):
        assert called in refused(place, -12345)
        assert called in refused(place, float("nan"))
    elif takes(spec, "string"):
        assert called in refused(place, "no such thing")
    elif not takes(spec, "boolean"):
        assert called in refused(place, 7)
