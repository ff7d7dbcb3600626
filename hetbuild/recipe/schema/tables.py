"""Tables of a recipe: what holds for all, and those whose schema is a dataclass of the engine."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, ClassVar

from pydantic import (
    BaseModel,
    ConfigDict,
    SerializerFunctionWrapHandler,
    WrapValidator,
    model_serializer,
)

from hetbuild.assemble.merge import Merging
from hetbuild.assemble.registry import Window
from hetbuild.assemble.settle import Settling
from hetbuild.balancing.candidates import Move
from hetbuild.capping.add import Add
from hetbuild.errors import HetbuildError
from hetbuild.formats.cp2k_options import Cp2kOptions
from hetbuild.geometry.contacts import Floors
from hetbuild.indices import parse_plane
from hetbuild.names import shown
from hetbuild.selection.profile import Profile


class Spec(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    if_used: ClassVar[frozenset[str]] = frozenset()
    """Keys that records leave out while they are empty: models that have no need of a key that came
    later are recorded as they were before."""

    @model_serializer(mode="wrap")
    def _as_record(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        written: dict[str, Any] = write(self)
        return {k: v for k, v in written.items() if k not in self.if_used or v}


def _table(description: dict[str, Any]) -> None:
    """Of a docstring the schema takes what goes before the examples."""
    text = str(description.get("description", ""))
    description["description"] = text.partition("\n\nExamples\n")[0]
    if facet := description.get("properties", {}).get("facet"):  # read by `_move`
        facet["anyOf"].insert(1, {"type": "string"})


def _strict(engine: type) -> None:
    """Let a dataclass of the engine be a table of the recipe, as strict as the others.

    The dataclass is the only source of its keys, defaults and their meaning.
    """
    engine.__pydantic_config__ = ConfigDict(  # type: ignore[attr-defined]  # where pydantic looks
        extra="forbid", use_attribute_docstrings=True, json_schema_extra=_table
    )


for _engine in (Floors, Window, Merging, Settling, Move, Profile, Cp2kOptions, Add):
    _strict(_engine)


def _profile(value: object, read: Callable[[object], Profile]) -> Profile:
    try:
        return read(value)
    except HetbuildError as error:
        raise ValueError(str(error)) from None


def _facet(text: str) -> tuple[int, int, int]:
    try:
        return parse_plane(text, form=True)
    except ValueError as error:
        raise ValueError(f"facet {shown(text)}: {error}") from None


def _move(value: object, read: Callable[[object], Move]) -> Move:
    """A move as a table, or as text: "swap S to Cl in sulfide"."""
    try:
        if isinstance(value, str):
            return Move.parse(value)
        if isinstance(value, Mapping) and isinstance(value.get("facet"), str):
            value = {**value, "facet": _facet(value["facet"])}
        return read(value)
    except HetbuildError as error:
        raise ValueError(str(error)) from None


def _add(value: object, read: Callable[[object], Add]) -> Add:
    """A ligand as a table, or as text: "24 oleate on Cl, facet {1 1 1}"."""
    try:
        return Add.parse(value) if isinstance(value, str) else read(value)
    except HetbuildError as error:
        raise ValueError(str(error)) from None


def _merge(value: object, read: Callable[[object], Merging | None]) -> Merging | None:
    """`merge = "sulfide"` for { keep = "sulfide" }."""
    try:
        return Merging(value) if isinstance(value, str) else read(value)
    except HetbuildError as error:
        raise ValueError(str(error)) from None


def _settle(value: object, read: Callable[[object], Settling | None]) -> Settling | None:
    """`settle = true` for the defaults, `settle = false` to switch it off."""
    if isinstance(value, bool):
        return Settling() if value else None
    try:
        return read(value)
    except HetbuildError as error:
        raise ValueError(str(error)) from None


MergeText = Annotated[
    Merging | None, WrapValidator(_merge, json_schema_input_type=Merging | str | None)
]
SettleSwitch = Annotated[
    Settling | None, WrapValidator(_settle, json_schema_input_type=Settling | bool | None)
]
ProfileTable = Annotated[Profile, WrapValidator(_profile, json_schema_input_type=Profile)]
AddText = Annotated[Add, WrapValidator(_add, json_schema_input_type=Add | str)]
MoveText = Annotated[Move, WrapValidator(_move, json_schema_input_type=Move | str)]
