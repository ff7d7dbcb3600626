"""Values a recipe writes as text or number, and what is read from them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field

from hetbuild.assemble.size import parse_size
from hetbuild.crystal.subgroups import parse_point_group
from hetbuild.elements import number, parse_formula
from hetbuild.errors import HetbuildError, InputError
from hetbuild.indices import POINT, parse_plane, parse_vector
from hetbuild.names import PATTERN, check_name, shown
from hetbuild.numerals import LARGEST_INDEX, MOST_CHARGE, limited, parse_number
from hetbuild.selection.language import parse_selection
from hetbuild.selection.order import parse_order


def _number(value: object) -> object:
    """Numbers may be written as fractions, "1/8"."""
    try:
        if isinstance(value, str):
            return parse_number(value)
        if isinstance(value, int | float) and not isinstance(value, bool):
            return limited(value)
    except ValueError as error:
        raise ValueError(f"{shown(value)} is {error}; write 0.125 or '1/8'") from None
    return value


def _length(value: float) -> float:
    if value < 0:
        raise ValueError(f"a length cannot be negative; given {value:g} Å")
    return value


def _part(value: float) -> float:
    if not 0 <= value <= 1:
        raise ValueError(f"a part is 0 to 1; given {value:g}")
    return value


def _as_fault(parse: Callable[[str], object], value: str) -> None:
    """What a parser refuses, as a fault of the recipe."""
    try:
        parse(value)
    except HetbuildError as error:
        raise ValueError(str(error)) from None


def _read_by(parse: Callable[[str], object]) -> BeforeValidator:
    """A text that this parser can read."""

    def check(value: object) -> object:
        if isinstance(value, str):
            _as_fault(parse, value)
        return value

    return BeforeValidator(check)


def _plane(value: object) -> object:
    """[1, 1, -1] as it is; of "1 1 -1" its indices."""
    return _read(parse_plane, value)


def _form(value: object) -> object:
    return _read(lambda text: parse_plane(text, form=True), value)


def _direction(value: object) -> object:
    return _read(parse_vector, value)


def _somewhere(uvw: tuple[float, float, float]) -> tuple[float, float, float]:
    if not any(uvw):
        raise ValueError("[0 0 0] is no direction")
    return uvw


def _point(value: object) -> object:
    return _read(lambda text: parse_vector(text, POINT), value)


def _read(parse: Callable[[str], object], value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return parse(value)
    except ValueError as error:
        raise ValueError(f"{shown(value)}: {error}") from None


def _lattice(plane: tuple[int, int, int]) -> tuple[int, int, int]:
    if not any(plane):
        raise ValueError("(0 0 0) is no lattice plane")
    return plane


def _point_group(value: object) -> object:
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)  # 432 without quotes
    if isinstance(value, str):
        _as_fault(parse_point_group, value)
    return value


def _name(value: object) -> object:
    try:
        return check_name(value, "recipe or domain")
    except InputError as error:
        raise ValueError(str(error)) from None


def _line(value: object) -> object:
    """Titles and references may be wrapped in the recipe; they go into lines of other files."""
    text = " ".join(value.split()) if isinstance(value, str) else value
    if isinstance(text, str) and not text.isprintable():
        raise ValueError("it has control characters; write plain text")
    return text


def _formula_or_charge(value: object) -> object:
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise ValueError('give a formula, as "Cs175Pb125Cl425", or a whole charge in e')
    if isinstance(value, str):
        _as_fault(parse_formula, value)
    return value


def _size(value: object) -> object:
    """Å of "8 nm" or "80 Å"."""
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        try:
            return parse_size(value)
        except HetbuildError as error:
            raise ValueError(str(error)) from None
    return value


Number = Annotated[float, BeforeValidator(_number, json_schema_input_type=float | str)]
Length = Annotated[Number, AfterValidator(_length)]
Part = Annotated[Number, AfterValidator(_part)]
Miller = Annotated[int, Field(ge=-LARGEST_INDEX, le=LARGEST_INDEX)]
_Triple = tuple[Miller, Miller, Miller]
Plane = Annotated[
    _Triple, BeforeValidator(_plane, json_schema_input_type=_Triple | str), AfterValidator(_lattice)
]
Form = Annotated[
    _Triple, BeforeValidator(_form, json_schema_input_type=_Triple | str), AfterValidator(_lattice)
]
Charge = Annotated[int, Field(ge=-MOST_CHARGE, le=MOST_CHARGE)]
Count = Annotated[int, Field(ge=0, le=1_000_000)]
_Components = tuple[Number, Number, Number]
Direction = Annotated[
    _Components,
    BeforeValidator(_direction, json_schema_input_type=_Components | str),
    AfterValidator(_somewhere),
]
Point = Annotated[_Components, BeforeValidator(_point, json_schema_input_type=_Components | str)]
Name = Annotated[str, BeforeValidator(_name), Field(json_schema_extra={"pattern": PATTERN})]
Line = Annotated[str, BeforeValidator(_line)]
SelectionText = Annotated[str, _read_by(parse_selection)]
OrderText = Annotated[str, _read_by(parse_order)]
PointGroupText = Annotated[str, BeforeValidator(_point_group)]
ElementText = Annotated[str, _read_by(lambda text: text and number(text))]
FormulaText = Annotated[str, _read_by(parse_formula)]
FormulaOrCharge = Annotated[
    str | int, BeforeValidator(_formula_or_charge, json_schema_input_type=str | int)
]
SizeText = Annotated[float, BeforeValidator(_size, json_schema_input_type=float | str)]
