"""The variants of a sweep: each a whole recipe, with a key that says what it is."""

from __future__ import annotations

import copy
import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from hetbuild import __version__
from hetbuild.errors import InputError, nearest
from hetbuild.sweep.spec import AxisSpec, PairsSpec, SweepSpec

MOST_VARIANTS = 20_000
"""Of one sweep: each is validated before the first is built, in about 1 ms."""


@dataclass(frozen=True, slots=True)
class Variant:
    """One model of a sweep."""

    key: str
    """Digest of the validated recipe, of its crystals, of what is written, and of hetbuild's
    version: the same key is the same model."""
    settings: Mapping[str, Any]
    """Value of each axis, by key."""
    recipe: Mapping[str, Any]
    """The whole recipe as plain values."""
    beside: str
    """Folder its CIF files are relative to."""
    export: tuple[str, ...]
    """Further formats written."""
    relax: Mapping[str, Any] | None = None
    """How the model is relaxed, as arguments of `relax`; None: it is not."""


def expand(spec: SweepSpec, beside: Path, *, trust: bool = False) -> tuple[Variant, ...]:
    """All variants: the product of the axes, each validated. beside: folder of the sweep file.

    trust: recipes may name CIF files outside their folders.

    Raises
    ------
    InputError
        A key no recipe has (the text gives the nearest), a variant that is no valid recipe, two
        that are the same, or no variant at all.
    """
    from hetbuild.recipe.read import parse_recipe

    found: dict[str, Variant] = {}
    relax = None if spec.relax is None else spec.relax.model_dump(mode="json")
    for settings, tree, folder in _trees(spec, beside, trust):
        label = said(settings) or "the recipe"
        recipe = parse_recipe(tree, where=label).model_dump(mode="json")
        key = _key(recipe, folder, spec.export, relax)
        if key in found:
            raise InputError(
                f"Two variants are the same model: {label}, and {said(found[key].settings)}. Give "
                "every value once, and check that its key is the one that matters."
            )
        found[key] = Variant(key, settings, recipe, str(folder), spec.export, relax)
    return tuple(found.values())


def said(settings: Mapping[str, Any]) -> str:
    """The value of each axis in a line, as a recipe states it."""
    from hetbuild.recipe.toml import toml_value

    return ", ".join(f"{key} = {toml_value(value)}" for key, value in settings.items())


def _trees(
    spec: SweepSpec, beside: Path, trust: bool
) -> Iterator[tuple[dict[str, Any], dict[str, Any], Path]]:
    """Settings, recipe and its folder of every combination."""
    from hetbuild.recipe.read import keep_inside

    axes = [list(_points(axis, beside)) for axis in spec.axes]
    count = math.prod(len(points) for points in axes)
    if count > MOST_VARIANTS:
        raise InputError(
            f"The axes multiply to {count} variants ({MOST_VARIANTS} at most): give fewer values, "
            "or several sweeps into one folder."
        )
    first = [] if spec.recipe is None else [_read(spec.recipe, beside)]
    for combination in product(*axes):
        bases = [*first, *(p.base for p in combination if p.base is not None)]
        tree, folder = bases[0]
        tree = copy.deepcopy(tree)
        if spec.steps:
            tree["steps"] = [*tree.get("steps", ()), *copy.deepcopy(spec.steps)]
        if spec.output:
            tree["output"] = {**tree.get("output", {}), **copy.deepcopy(spec.output)}
        settings: dict[str, Any] = {}
        for point in combination:
            settings |= point.settings
            for key, value in point.changes.items():
                _check_domain(tree, key)
                place(tree, key, value)
        if not trust:
            keep_inside(tree, folder / f"{spec.name}.toml")
        yield settings, tree, folder


@dataclass(frozen=True, slots=True)
class _Point:
    """One value of one axis."""

    settings: dict[str, Any]
    changes: dict[str, Any]
    base: tuple[dict[str, Any], Path] | None = None


def _points(axis: AxisSpec, beside: Path) -> Iterator[_Point]:
    if axis.recipe:
        for name in axis.recipe:
            yield _Point({"recipe": name}, {}, _read(name, beside))
    elif axis.match is not None:
        yield from _pairs(axis.match, beside)
    else:
        keys = axis.keys or (axis.key or "",)
        for value in axis.values or (axis.range.values if axis.range else ()):
            changes = dict(zip(keys, value if axis.keys else [value], strict=True))
            yield _Point(dict(changes), changes)


def _read(name: str, beside: Path) -> tuple[dict[str, Any], Path]:
    """A recipe as its file states it, what it extends included, and its folder."""
    from hetbuild.library import find_recipe, recipes
    from hetbuild.recipe.read import load_tree

    file = name not in recipes() and (name.endswith(".toml") or "/" in name)
    path = find_recipe(str(beside / name) if file else name)
    return load_tree(path), path.parent


def _pairs(spec: PairsSpec, beside: Path) -> Iterator[_Point]:
    import tomllib

    from hetbuild.crystal.crystal import read_crystal
    from hetbuild.library import find_structure
    from hetbuild.matching.proposal import propose, recipe_text
    from hetbuild.matching.search import match

    first, second = (read_crystal(find_structure(n, beside)) for n in (spec.first, spec.second))
    limit = spec.max_strain / 100
    matches = match(first, second, max_index=spec.max_index, max_strain=limit)
    orders = {"score": lambda m: m.score, "area": lambda m: sum(m.area)}
    found = tuple(sorted(matches, key=orders.get(spec.sort, lambda m: m.largest_strain)))
    if not found:
        raise InputError(
            f"No planes of {spec.first} and {spec.second} fit within {spec.max_strain:g} % to "
            f"index {spec.max_index}: raise axes.match.max_strain or max_index."
        )
    for chosen in found[: spec.rows]:
        proposal = propose(
            chosen, (first, second), (spec.first, spec.second), sizes=(spec.size, spec.size)
        )
        planes = " || ".join(str(p) for p in chosen.planes)
        yield _Point({"match": planes}, {}, (tomllib.loads(recipe_text(proposal)), beside))


def _check_domain(tree: Mapping[str, Any], key: str) -> None:
    """Refuse a key of a domain that the recipe does not have: it would begin a new one."""
    first, _, rest = key.partition(".")
    name, _, below = rest.partition(".")
    if first == "domains" and below and name not in tree.get("domains", {}):
        known = nearest(name, tree.get("domains", {}))
        raise InputError(f"Axis key {key!r}: the recipe has no domain {name!r}; {known}")


def place(tree: dict[str, Any], key: str, value: Any) -> None:
    """Set a dotted key, list items by number, as ``domains.sulfide.facets.0.planes``.

    Raises
    ------
    InputError
        There is no such place.
    """
    *path, last = key.split(".")
    node: Any = tree
    for part in path:
        node = _within(node, part, key)
    if isinstance(node, list):
        _within(node, last, key)
        node[int(last)] = value
    elif isinstance(node, dict) and last:
        node[last] = value
    else:
        raise InputError(f"Axis key {key!r}: there is nothing below {'.'.join(path)}.")


def _within(node: Any, part: str, key: str) -> Any:
    if isinstance(node, list):
        if not part.isascii() or not part.isdigit() or int(part) >= len(node):
            raise InputError(f"Axis key {key!r}: {part!r} is not one of 0 to {len(node) - 1}.")
        return node[int(part)]
    if not isinstance(node, dict) or not part:
        raise InputError(f"Axis key {key!r}: there is nothing below {part!r}.")
    return node.setdefault(part, {})


def _key(
    recipe: Mapping[str, Any],
    beside: Path,
    export: tuple[str, ...],
    relax: Mapping[str, Any] | None,
) -> str:
    from hetbuild.library import find_structure

    named = {d["crystal"] for d in recipe["domains"].values()}
    named |= {s["product"] for s in recipe["steps"] if s.get("product")}
    files = {n: hashlib.sha256(find_structure(n, beside).read_bytes()).hexdigest() for n in named}
    whole = [recipe, files, export, __version__, *([] if relax is None else [relax])]
    text = json.dumps(whole, sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
