"""Recipes read from files or mappings, and every fault of one told at once.

Merging: a recipe that extends another states only what differs. Tables are merged key by key, to
any depth; every other value, lists included, replaces the base's. Of keys that exclude each other,
as charge, formula and domains of a target, the one stated replaces the base's (`REPLACES`).
Settings follow the same rule.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError

from hetbuild.arguments import checked
from hetbuild.capping.molecule import FILES
from hetbuild.errors import InputError, nearest
from hetbuild.library import find_recipe, read_file, recipes, structures
from hetbuild.names import check_name, shown
from hetbuild.numerals import LARGEST
from hetbuild.recipe.schema import REPLACES, STEPS, Recipe
from hetbuild.recipe.schema.domain import ONE_CUT, SEVERAL_CUTS

Settings = Mapping[str, Any] | Sequence[str]
"""Overrides: {"join.registry.gap": 0.9}, or "join.registry.gap=0.9" each."""

LARGEST_FILE = 200_000
"""Bytes of a recipe; those shipped have less than 5,000."""

DEEPEST = 12
"""Keys of a place in a recipe, from the top."""

LARGEST_VALUE = 2**63 - 1
"""No number of a recipe is larger: seeds may be as large, all others are below `LARGEST`."""

MOST_FAULTS = 20
"""Faults of a recipe that are listed."""

_Schema = TypeVar("_Schema")


@checked
def read_recipe(
    recipe: str | Path | Mapping[str, Any], settings: Settings = (), *, trust: bool = False
) -> Recipe:
    """Read and validate a recipe: a shipped name, a TOML file, or a mapping of the same keys.

    settings: keys to override, by their path. `extends = "other"` at the top of a recipe starts
    from another one: a file of the same folder, else a shipped recipe. CIF files named in a recipe
    are relative to its folder, those of a mapping to the working folder. trust: a file may name CIF
    files outside its folder; settings and mappings may in any case.

    Raises
    ------
    InputError
        The file cannot be read, is no TOML, or is no valid recipe; the text lists every fault. It
        names a CIF file outside its folder.

    Examples
    --------
    >>> import hetbuild as hb
    >>> recipe = hb.read_recipe("cspbcl3-cube-2", {"domains.perovskite.facets.0.planes": 2})
    >>> recipe.name, list(recipe.domains)
    ('cspbcl3-cube-2', ['perovskite'])
    """
    if isinstance(recipe, Mapping):
        base, where, folder = _extended(dict(recipe), None), "recipe", Path()
    else:
        path = find_recipe(recipe) if isinstance(recipe, str) else recipe
        base, where, folder = load_tree(path), str(recipe), path.parent
        if not trust:
            keep_inside(base, path)
    given = list(settings.items() if isinstance(settings, Mapping) else map(_parsed, settings))
    for key, value in given:
        _override(base, key, value)
    if given:
        where += f" with {shown(', '.join(key for key, _ in given))} set"
    return parse_recipe(base, where).kept_in(folder)


def parse_step(schema: type[_Schema], given: Mapping[str, Any]) -> _Schema:
    """Validate one step, or another part of a recipe.

    Raises
    ------
    InputError
        Not valid; the text lists every fault.
    """
    try:
        return TypeAdapter(schema).validate_python(given)
    except ValidationError as error:
        faults = "; ".join(_fault(e, given).removeprefix("recipe: ") for e in _errors(error))
        raise InputError(f"Not possible: {faults}.") from None


def parse_recipe(tree: Mapping[str, Any], where: str = "recipe") -> Recipe:
    """Validate a recipe given as a mapping.

    Raises
    ------
    InputError
        Not a valid recipe; the text lists every fault, with the nearest valid key.
    """
    _check_values(tree, where)
    try:
        recipe = Recipe.model_validate(tree)
    except ValidationError as error:
        found = _errors(error)
        faults = "\n".join("  " + _fault(e, tree) for e in found[:MOST_FAULTS])
        more = len(found) - MOST_FAULTS
        rest = f"\n  and {more} more faults" if more > 0 else ""
        raise InputError(f"{where} is not a valid recipe:\n{faults}{rest}") from None
    if wrong := next(_misplaced(tree), None):
        raise InputError(
            f"{where} is not a valid recipe:\n  {wrong}: true or false is no value of this key."
        )
    return recipe


def _misplaced(node: Any, place: str = "") -> Iterator[str]:
    """Where true or false stands for a number: Python counts them as 1 and 0, and so do schemas."""
    if isinstance(node, bool) and place.rpartition(".")[2] not in _switches():
        yield place
    inside = dict(enumerate(node)) if isinstance(node, list | tuple) else node
    for key, value in inside.items() if isinstance(inside, Mapping) else ():
        yield from _misplaced(value, f"{place}.{key}".lstrip("."))


def _check_values(tree: Mapping[str, Any], where: str) -> None:
    """Refuse what no key of a recipe takes, before libraries choke on it."""
    nodes: list[tuple[str, Any]] = [("", tree)]
    for _ in range(DEEPEST):
        below: list[tuple[str, Any]] = []
        for place, node in nodes:
            if isinstance(node, Mapping):
                below += [(f"{place}.{shown(k)[1:-1]}".strip("."), v) for k, v in node.items()]
            elif isinstance(node, list | tuple):
                below += [(f"{place}.{i}", v) for i, v in enumerate(node)]
            elif isinstance(node, int | float) and not -LARGEST_VALUE <= node <= LARGEST_VALUE:
                raise InputError(
                    f"{where} is not a valid recipe:\n  {place}: {shown(node)} is no number "
                    f"between -{LARGEST:,.0f} and {LARGEST:,.0f}."
                )
        nodes = below
    if nodes:
        raise InputError(f"{where} is nested too deep to be a recipe, at {nodes[0][0]}.")


@cache
def _switches() -> frozenset[str]:
    """Keys that are true or false somewhere in a recipe."""
    found: set[str] = set()
    nodes: list[Any] = [Recipe.model_json_schema()]
    while nodes:
        node = nodes.pop()
        if isinstance(node, dict):
            for key, value in node.get("properties", {}).items():
                kinds = [value, *value.get("anyOf", ())]
                found |= {key} if any(kind.get("type") == "boolean" for kind in kinds) else set()
            nodes += node.values()
        elif isinstance(node, list):
            nodes += node
    return frozenset(found)


def load_tree(path: Path, seen: tuple[Path, ...] = ()) -> dict[str, Any]:
    """What a recipe file states, on top of what it extends, not yet validated.

    Raises
    ------
    InputError
        A file cannot be read, is no TOML, or extends itself or nothing that is there.
    """
    if path in seen:
        raise InputError(f"{path} extends itself.")
    if len(seen) > DEEPEST:
        raise InputError(f"{seen[0]} extends more than {DEEPEST} recipes, one after the other.")
    content = read_file(path, "recipe", LARGEST_FILE)
    return _extended(_toml(content, str(path)), path, (*seen, path))


def _toml(content: bytes, where: str) -> dict[str, Any]:
    try:
        return tomllib.loads(content.decode("utf-8-sig"))
    except RecursionError:
        raise InputError(f"{where} is nested too deep to be a recipe.") from None
    except ValueError as error:  # no TOML, no UTF-8, an integer of thousands of digits
        raise InputError(f"{where} is not TOML: {error}") from None


def _extended(
    tree: dict[str, Any], path: Path | None, seen: tuple[Path, ...] = ()
) -> dict[str, Any]:
    """A recipe laid over the one it extends: a file beside it, else a shipped one."""
    tree = dict(tree)
    given = tree.pop("extends", None)
    if given is None:
        return tree
    stem = given.removesuffix(".toml") if isinstance(given, str) else given
    name = check_name(stem, f"recipe that {path or 'a recipe'} extends")
    beside = Path(f"{name}.toml") if path is None else path.with_name(f"{name}.toml")
    shipped = recipes()
    if not beside.is_file() and name not in shipped:
        raise InputError(
            f"{path or 'The recipe'} extends {name!r}, but there is no file {beside} and no "
            f"shipped recipe of this name (`hetbuild recipes` lists them); {nearest(name, shipped)}"
        )
    base = load_tree(beside if beside.is_file() else shipped[name], seen)
    if "steps" in tree:
        base.pop("title", None)  # it tells of the model before them
    return _merged(base, tree)


def keep_inside(tree: Mapping[str, Any], path: Path) -> None:
    """Refuse CIF files outside the folder of a recipe: it may come from anyone.

    Raises
    ------
    InputError
        The recipe of this path names one.
    """
    folder = path.parent.resolve()
    for name in _named_files(tree):
        try:
            inside = (folder / name).resolve().is_relative_to(folder)
        except (OSError, ValueError):
            inside = False
        if not inside:
            raise InputError(
                f"{path} names the file {shown(name)}, which is outside the folder of the "
                "recipe. Copy it there, name it with --set, or accept all this recipe names with "
                "--trust."
            )


def _named_files(tree: Mapping[str, Any]) -> Iterator[str]:
    """What a recipe, not yet validated, says in the places where a CIF file may stand."""
    domains, steps = tree.get("domains"), tree.get("steps")
    places = [(d, "crystal") for d in domains.values()] if isinstance(domains, dict) else []
    places += [(s, "product") for s in steps] if isinstance(steps, list) else []
    for step in steps if isinstance(steps, list) else ():
        ions = step.get("ions") if isinstance(step, dict) else None
        words = (*ions, *ions.values()) if isinstance(ions, dict) else ()
        yield from (w for w in words if isinstance(w, str) and w.endswith(".xyz"))
        yield from _ligand_files(step)
    for place, key in places:
        name = place.get(key) if isinstance(place, dict) else None
        if isinstance(name, str) and name not in structures():
            yield name


def _ligand_files(step: object) -> Iterator[str]:
    """Files of ligands that a step names, in tables or in texts as "acid.mol on Cl"."""
    adds = step.get("add") if isinstance(step, dict) else None
    for add in adds if isinstance(adds, list) else ():
        text = add.get("ligand") if isinstance(add, dict) else add
        words = (text, *text.split()) if isinstance(text, str) else ()
        yield from (w for w in dict.fromkeys(words) if w.lower().endswith(FILES))


def _merged(base: dict[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    """Tables key by key, anything else replaced; what excludes a key that is set is dropped."""
    dropped = {k for key in change for k in REPLACES.get(key, ())} - set(change)
    result = {k: v for k, v in base.items() if k not in dropped}
    for key, value in change.items():
        both = isinstance(value, dict) and isinstance(result.get(key), dict)
        result[key] = _merged(result[key], value) if both else value
    return result


def _parsed(setting: str) -> tuple[str, Any]:
    """``domains.sulfide.cut.at=4`` as key and value; the value is TOML, or a text as it stands."""
    key, sign, text = setting.partition("=")
    if not sign:
        raise _no_setting(setting)
    try:
        return key, tomllib.loads(f"value = {text}")["value"]
    except (ValueError, RecursionError, KeyError):
        return key, text


def _no_setting(setting: str) -> InputError:
    return InputError(f"--set {shown(setting)}: write key=value, as --set join.registry.gap=0.9.")


def _override(tree: dict[str, Any], setting: str, value: Any) -> None:
    """Set a key such as ``domains.sulfide.cut.at`` in a tree; list items by number."""
    keys = setting.strip().split(".")
    if not all(keys) or len(keys) > DEEPEST:
        raise _no_setting(setting)
    node: Any = tree
    for key in keys[:-1]:
        node = _descend(node, key, setting)
    if isinstance(node, list):
        _descend(node, keys[-1], setting)
        node[int(keys[-1])] = value
    elif isinstance(node, dict):
        for other in REPLACES.get(keys[-1], ()):
            node.pop(other, None)
        node[keys[-1]] = value
    else:
        raise InputError(f"--set {shown(setting)}: {keys[-2]} is a single value, without keys.")


def _descend(node: Any, key: str, setting: str) -> Any:
    if isinstance(node, list):
        if not (key.isascii() and key.isdigit()) or len(key) > 6 or int(key) >= len(node):
            allowed = f"one of 0 to {len(node) - 1}" if node else "there: the list is empty"
            raise InputError(f"--set {shown(setting)}: {shown(key)} is not {allowed}.")
        return node[int(key)]
    if not isinstance(node, dict):
        raise InputError(f"--set {shown(setting)}: nothing below {shown(key)}.")
    return node.setdefault(key, {})


def _errors(error: ValidationError) -> list[Any]:
    """Without what only follows: entries that are faulty are not counted, so a list seems short."""
    found = error.errors()
    places = [e["loc"] for e in found]
    return [
        e
        for e in found
        if e["type"] != "too_short"
        or not any(len(p) > len(e["loc"]) and p[: len(e["loc"])] == e["loc"] for p in places)
    ]


PLAIN = {
    "dict_type": "a table",
    "dataclass_type": "a table",
    "model_type": "a table",
    "model_attributes_type": "a table",
    "mapping_type": "a table",
    "list_type": "a list",
    "tuple_type": "a list",
    "iterable_type": "a list",
    "string_type": "a text",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
}
"""What is needed, in the words of TOML, by pydantic's type of the fault."""


def _fault(error: Mapping[str, Any], tree: Mapping[str, Any]) -> str:
    """One line: where, what is wrong, what is allowed."""
    tags = ("float", "BondedTo", "function-wrap", "[key]")
    place = [str(p) for p in _without_tags(error["loc"]) if p not in tags]
    where = ".".join(shown(p)[1:-1] for p in place) or "recipe"
    if error["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        return f"{where}: unknown key; {nearest(place[-1], _known_keys(place[:-1]))}"
    if error["type"] == "too_short":
        return f"{where}: nothing is given; give at least {error['ctx']['min_length']}"
    if error["type"] in PLAIN:
        return f"{where}: {PLAIN[error['type']]} is needed (given {shown(error.get('input'))})"
    if error["type"] in ("union_tag_invalid", "union_tag_not_found"):
        return f"{where}.{_choice(error['ctx'])}"
    given = error.get("input")
    simple = isinstance(given, str | int | float) and shown(given) not in error["msg"]
    tail = f" (given {shown(given)})" if simple else ""
    return f"{where}: {error['msg'].removeprefix('Value error, ')}{tail}"


def _choice(context: Mapping[str, Any]) -> str:
    """The key that says what a step does: missing, or none of those known."""
    key = context["discriminator"].strip("'")
    if "tag" not in context:
        return f"{key}: is missing; known are {', '.join(STEPS)}"
    return f"{key}: {shown(context['tag'])} is not known; {nearest(context['tag'], STEPS)}"


def _without_tags(place: Sequence[Any]) -> list[Any]:
    """A place without how the cuts of a domain are written, and without the action of a step."""
    return [
        key for i, key in enumerate(place)
        if not (key in (ONE_CUT, SEVERAL_CUTS) and i and place[i - 1] == "cut")
        if not (key in STEPS and i == 2 and place[0] == "steps")
    ]  # fmt: skip


def _known_keys(place: list[str]) -> list[str]:
    """Keys valid at a place of the recipe."""
    spec: Any = Recipe
    for key in place:
        if spec is None:
            return []
        if key in (known := _fields(spec)):  # others are names in a mapping, or places in a list
            spec = _spec_in(known[key])
    return sorted(_fields(spec)) if spec is not None else []


def _fields(spec: Any) -> dict[str, Any]:
    """Type of each key of a table."""
    if is_dataclass(spec):
        return {f.name: f.type for f in fields(spec)}
    return {name: field.annotation for name, field in spec.model_fields.items()}


def _spec_in(annotation: Any) -> Any:
    """The schema class inside a field's annotation, through mappings, tuples and options."""
    from typing import get_args

    if isinstance(annotation, type) and (
        issubclass(annotation, BaseModel) or is_dataclass(annotation)
    ):
        return annotation
    return next((s for a in get_args(annotation) if (s := _spec_in(a)) is not None), None)
