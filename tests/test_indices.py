"""Planes and directions: one way to write them, in every command, recipe and selection."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from hetbuild.cli import VERBS, cli
from hetbuild.cli.indices import Row
from hetbuild.errors import InputError
from hetbuild.indices import POINT, parse_plane, parse_vector
from hetbuild.recipe.read import read_recipe
from hetbuild.recipe.schema import Recipe
from hetbuild.selection.language import At, OnFacet, parse_selection

INDEX = st.integers(-999, 999)
WITHOUT_JSON = {"help"}
"""Help is text for people; a program reads the commands from click itself."""

SAMPLES = {
    "plane": "-1 1 2",
    "planes": "0 0 1/1 -1 2",
    "form": "1 1 -1:12.5",
    "facet": "1 1 -1:12.5",
    "direction": "0 -1 1/2",
    "point": "0 1/2 -1/2",
}
"""A text of each kind of row."""


def commands() -> Iterator[tuple[str, click.Command]]:
    context = click.Context(cli)
    for verb in VERBS:
        command = cli.get_command(context, verb)
        assert command is not None
        yield verb, command


def rows() -> Iterator[tuple[str, click.Command, click.Parameter]]:
    for verb, command in commands():
        for parameter in command.params:
            if isinstance(parameter.type, Row):
                yield verb, command, parameter


@given(INDEX, INDEX, INDEX)
def test_a_plane_reads_the_same_however_it_is_written(h: int, k: int, l: int) -> None:  # noqa: E741
    assume(any((h, k, l)))
    for text in (f"{h} {k} {l}", f"({h} {k} {l})", f"{h},{k},{l}", f" ( {h}, {k},  {l} )"):
        assert parse_plane(text) == (h, k, l)
    assert parse_plane(f"{{{h} {k} {l}}}", form=True) == (h, k, l)
    assert parse_vector(f"[{h} {k} {l}]") == (h, k, l)
    if max(abs(h), abs(k), abs(l)) < 10:
        assert parse_plane(f"{h}{k}{l}") == (h, k, l) == parse_vector(f"[{h}{k}{l}]")


@pytest.mark.parametrize(
    "text", ["", "1 1", "1 1 1 1", "1 1 x", "1/2 0 0", "[1 1 1]", "(1 1 1", "{1 1 1}", "1111", "11"]
)
def test_what_is_no_plane_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="three whole numbers are wanted, as"):
        parse_plane(text)


def test_planes_that_cannot_be() -> None:
    with pytest.raises(ValueError, match=r"\(0 0 0\) is no lattice plane"):
        parse_plane("000")
    with pytest.raises(ValueError, match="Miller indices are -999 to 999"):
        parse_plane("1000 0 0")
    with pytest.raises(ValueError, match="three numbers are wanted, as"):
        parse_vector("(0 0 1)")
    assert parse_vector("(0 0 1/2)", POINT) == (0, 0, 0.5)


def test_every_command_prints_json() -> None:
    without = {v for v, c in commands() if not any("--json" in p.opts for p in c.params)}
    assert without == WITHOUT_JSON


def test_all_that_takes_a_plane_or_direction_takes_a_row() -> None:
    plain = [
        f"{verb} {p.opts[0]}"
        for verb, command in commands()
        for p in command.params
        if p.metavar and any(w in p.metavar for w in ("H K L", "U V W", "X Y Z", "A B C"))
        if not isinstance(p.type, Row)
    ]
    assert not plain
    assert len(list(rows())) >= 14


@pytest.mark.parametrize(
    ("verb", "command", "row"), list(rows()), ids=lambda x: getattr(x, "name", x)
)
def test_one_word_or_several(verb: str, command: click.Command, row: click.Parameter) -> None:
    assert isinstance(row.type, Row)
    text = SAMPLES.get(row.type.name, " ".join(["4", "5.5", "6"][: row.type.most]))
    others = [
        part
        for p in command.params
        if p.required and p is not row
        for part in ([p.opts[0], "x"] if isinstance(p, click.Option) else ["x"])
    ]
    before = [] if isinstance(row, click.Argument) else [row.opts[0]]

    def read(*words: str) -> Any:
        with command.make_context(verb, [*others, *before, *words]) as context:
            return context.params[str(row.name)]

    assert read(text) == read(*text.split()) is not None
    with pytest.raises(InputError, match=f"'{text.rpartition(' ')[0]}'"):
        read(*text.split()[:-1])


def triples(spec: Any, path: str = "", text: bool = False) -> Iterator[tuple[str, bool]]:
    """Every triple of numbers in a JSON Schema, and whether a text is taken in its place."""
    if isinstance(spec, list):
        for value in spec:
            yield from triples(value, path)
    if not isinstance(spec, dict):
        return
    if spec.get("type") == "array" and len(spec.get("prefixItems", ())) == 3:
        yield path, text
    options = spec.get("anyOf", [])
    for option in options:
        yield from triples(option, path, any(o.get("type") == "string" for o in options))
    for key, value in spec.items():
        if key != "anyOf":
            yield from triples(value, f"{path}/{key}")


def test_every_plane_and_direction_of_a_recipe_takes_a_text() -> None:
    found = dict(triples(Recipe.model_json_schema()))
    assert len(found) >= 10
    lengths = {p for p in found if p.endswith("Cp2kOptions/properties/box")}
    assert {path for path, text in found.items() if not text} == lengths


def test_a_recipe_in_texts_is_the_recipe_in_numbers() -> None:
    written = {
        "domains.perovskite.cut.plane": "(-2 1 0)",
        "domains.perovskite.facets.0.form": "{1 0 0}",
        "domains.sulfide.cut.plane": "-4-42",
        "join.along.perovskite": "[0 0 1]",
        "join.anchor.perovskite": "(1/2, 1/2, 1/2)",
        "balance.moves.0.facet": "{1 0 0}",
    }
    numbers: dict[str, object] = {
        "domains.perovskite.cut.plane": [-2, 1, 0],
        "domains.perovskite.facets.0.form": [1, 0, 0],
        "domains.sulfide.cut.plane": [-4, -4, 2],
        "join.along.perovskite": [0, 0, 1],
        "join.anchor.perovskite": ["1/2", "1/2", "1/2"],
        "balance.moves.0.facet": [1, 0, 0],
    }
    assert read_recipe("cspbcl3-pbs", written) == read_recipe("cspbcl3-pbs", numbers)
    with pytest.raises(InputError, match=r"cut\.plane.*'1 1': three whole numbers are wanted"):
        read_recipe("cspbcl3-pbs", {"domains.sulfide.cut.plane": "1 1"})
    with pytest.raises(InputError, match=r"cut\.plane.*\(0 0 0\) is no lattice plane"):
        read_recipe("cspbcl3-pbs", {"domains.sulfide.cut.plane": [0, 0, 0]})


def test_selections_read_them_too() -> None:
    for text in ("facet (1 1 -1)", "facet (1,1,-1)", "facet (11-1)"):
        assert parse_selection(text).alternatives[0][0].condition == OnFacet((1, 1, -1), False)
    assert parse_selection("facet {111}").alternatives[0][0].condition == OnFacet((1, 1, 1), True)
    assert parse_selection("at (0 0 1/2)").alternatives[0][0].condition == At((0, 0, 0.5))
