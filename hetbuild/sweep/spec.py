"""What a sweep file says: a base recipe, axes that change it, what is written for each model."""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from hetbuild.errors import InputError, nearest
from hetbuild.formats.catalogue import CP2K, format_named
from hetbuild.library import read_file
from hetbuild.names import shown
from hetbuild.recipe.read import PLAIN
from hetbuild.recipe.schema.values import Name

LARGEST_FILE = 1_000_000
"""Bytes of a sweep: one may list thousands of values."""

WORD = re.compile("[A-Za-z0-9-]+|[0-9.]+")
"""A name or a version: no path, no file, no command with arguments."""

MOST_VALUES = 100_000
"""Of one range; more is a slip of the pen."""


class _Spec(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class RangeSpec(_Spec):
    """Numbers from `first` to `last`, both included, `step` apart."""

    first: float
    last: float
    step: float = 1.0
    unit: str = ""
    """Written behind each number, as nm; left out: numbers."""

    @model_validator(mode="after")
    def _finite(self) -> RangeSpec:
        if not self.step > 0 or not self.first <= self.last:
            raise ValueError("a range takes step above 0 and first no larger than last")
        if not (self.last - self.first) / self.step < MOST_VALUES:
            raise ValueError(f"more than {MOST_VALUES} values in one range")
        return self

    @property
    def values(self) -> tuple[Any, ...]:
        """All of them; whole numbers as integers."""
        count = int((self.last - self.first) / self.step + 1e-9) + 1
        numbers = [round(self.first + k * self.step, 9) for k in range(count)]
        whole = all(n == int(n) for n in numbers)
        plain = [int(n) if whole else n for n in numbers]
        return tuple(f"{n:g} {self.unit}" if self.unit else n for n in plain)


class PairsSpec(_Spec):
    """Recipes of the best rows of `hetbuild match` of two crystals."""

    first: str
    """Crystal: a shipped name, or a CIF file beside the sweep."""
    second: str
    rows: int = Field(default=3, ge=1)
    """How many of the matches, best first."""
    sort: Literal["score", "area", "strain"] = "score"
    max_index: int = 2
    max_strain: float = 3.5
    """%."""
    size: float = 30.0
    """Of each particle, Å."""


class AxisSpec(_Spec):
    """One direction of the sweep. Axes multiply; the keys of one axis change together."""

    key: str | None = None
    """Key of the recipe, as domains.perovskite.crystal."""
    keys: tuple[str, ...] = ()
    """Several that change together; each value is then a list with one for each key."""
    values: tuple[Any, ...] = ()
    range: RangeSpec | None = None
    """Instead of values."""
    recipe: tuple[str, ...] = ()
    """Instead of a key: base recipes, shipped names or TOML files beside the sweep."""
    match: PairsSpec | None = None
    """Instead of a key: recipes made of matches."""

    @model_validator(mode="after")
    def _one_kind(self) -> AxisSpec:
        kinds = [self.key is not None, bool(self.keys), bool(self.recipe), self.match is not None]
        if sum(kinds) != 1:
            raise ValueError("an axis takes one of key, keys, recipe and match")
        if self.key is None and not self.keys:
            if self.values or self.range:
                raise ValueError("values and range belong to key or keys")
            return self
        if bool(self.values) == (self.range is not None):
            raise ValueError("a key takes either values, at least one, or a range")
        if self.keys:
            wrong = [v for v in self.values if not isinstance(v, list | tuple)]
            wrong += [v for v in self.values if v not in wrong and len(v) != len(self.keys)]
            if self.range or wrong:
                raise ValueError(
                    f"each of the values must be a list of {len(self.keys)}, one for each of keys"
                )
        return self


class RelaxSpec(_Spec):
    """Every model is relaxed, as by `hetbuild relax`."""

    calculator: str = "chgnet"
    """chgnet, sevennet, gfn1, cp2k, or package.module:Class of any ASE calculator."""
    options: dict[str, Any] = {}
    """Keyword options of the calculator."""
    optimizer: Literal["lbfgs", "fire"] = "lbfgs"
    fmax: float = Field(default=0.05, gt=0)
    """Largest force left, eV/Å."""
    steps: int = Field(default=500, ge=0)
    """At most."""
    fixed_core: float | None = Field(default=None, ge=0)
    """Atoms deeper than this below the surface stay, Å."""
    only_interface: float | None = Field(default=None, gt=0)
    """Only atoms this near to another domain move, Å."""
    vacuum: float | None = Field(default=None, ge=0)
    """Around the particle in a periodic box, Å; default: as the calculator needs."""


class SweepSpec(_Spec):
    """A sweep: which models, and what is written for each."""

    name: Name
    """Names the folder."""
    recipe: str | None = None
    """Base recipe: a shipped name, or a TOML file beside the sweep."""
    axes: tuple[AxisSpec, ...] = ()
    steps: tuple[dict[str, Any], ...] = ()
    """Done to every model after the steps of its recipe, as in a recipe: exchange, etch, ..."""
    relax: RelaxSpec | None = None
    """How every model is relaxed after that; left out: it is not."""
    output: dict[str, Any] = {}
    """Decks and job scripts of every model, as in a recipe: output.cp2k."""
    export: tuple[str, ...] = ()
    """Further formats of each model, as `hetbuild export --to`: poscar, lammps, cp2k, ..."""

    @field_validator("export")
    @classmethod
    def _known(cls, export: tuple[str, ...]) -> tuple[str, ...]:
        for name in export:
            try:
                if name != CP2K:
                    format_named(name)
            except InputError as error:
                raise ValueError(str(error)) from None
        return export

    @model_validator(mode="after")
    def _one_base(self) -> SweepSpec:
        bases = [a for a in self.axes if a.recipe or a.match]
        if len(bases) + (self.recipe is not None) != 1:
            raise ValueError("state one base: recipe, or one axis of recipe or match")
        keys = Counter(key for a in self.axes for key in (a.keys or (a.key,)) if key)
        if twice := [key for key, count in keys.items() if count > 1]:
            raise ValueError(
                f"{', '.join(twice)} is the key of two axes: give all its values in one of them"
            )
        return self


def read_sweep(path: Path) -> SweepSpec:
    """Read and validate a sweep file.

    Raises
    ------
    InputError
        It cannot be read, is no TOML, or is no sweep; the text lists every fault.
    """
    try:
        tree = tomllib.loads(read_file(path, "sweep", LARGEST_FILE).decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:  # no TOML, no UTF-8, an endless integer
        raise InputError(f"{path} is not TOML: {error}") from None
    try:
        return SweepSpec.model_validate(tree)
    except ValidationError as error:
        faults = "\n".join("  " + _fault(e) for e in error.errors())
        raise InputError(f"{path} is not a valid sweep:\n{faults}") from None


def refuse_code(spec: SweepSpec, path: Path) -> None:
    """Refuse a calculator that may be any program: a sweep may come from anyone.

    Raises
    ------
    InputError
        The sweep of this path names a class beyond those with a name and ASE's own, or an option
        with more than a word in it, as the command of a program or a file of weights.
    """
    if spec.relax is None:
        return
    name, options = spec.relax.calculator, spec.relax.options
    if ":" in name and not name.startswith("ase.calculators."):
        what = f"the calculator {shown(name)}"
    elif not all(map(_is_word, options.values())) or "command" in options:
        what = f"the options {shown(options)} of its calculator"
    else:
        return
    raise InputError(
        f"{path} names {what}, which may run any program. Read what that is; to run it, add "
        "--trust."
    )


def _is_word(value: Any) -> bool:
    """A number, or a text that is no path and no command; of a table or list all."""
    if isinstance(value, dict):
        return all(map(_is_word, (*value, *value.values())))
    if isinstance(value, list):
        return all(map(_is_word, value))
    return not isinstance(value, str) or WORD.fullmatch(value) is not None


def _fault(error: Any) -> str:
    place = [str(p) for p in error["loc"]]
    where = ".".join(place) or "sweep"
    if error["type"] == "extra_forbidden":
        inner = {**RangeSpec.model_fields, **PairsSpec.model_fields}
        inner = dict(RelaxSpec.model_fields) if place[0] == "relax" else inner
        known = {1: SweepSpec.model_fields, 3: AxisSpec.model_fields}.get(len(place), inner)
        return f"{where}: unknown key; {nearest(place[-1], known)}"
    if error["type"] in PLAIN:
        return f"{where}: {PLAIN[error['type']]} is needed (given {shown(error['input'])})"
    return f"{where}: {error['msg'].removeprefix('Value error, ')}"
