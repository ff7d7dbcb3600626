"""The recipe: everything that defines a model, as TOML, validated as a whole before building."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from pydantic import Field, PrivateAttr, ValidationError, model_validator

from hetbuild.assemble.size import parse_size
from hetbuild.errors import InputError, nearest
from hetbuild.formats.cp2k_options import Cp2kOptions
from hetbuild.notebook import to_table
from hetbuild.recipe.schema.balance import BalanceSpec, TargetSpec
from hetbuild.recipe.schema.consistency import check_domains
from hetbuild.recipe.schema.domain import DomainSpec
from hetbuild.recipe.schema.join import JoinSpec, JoinsSpec, MeetingSpec
from hetbuild.recipe.schema.steps import StepSpec
from hetbuild.recipe.schema.tables import Spec
from hetbuild.recipe.schema.values import FormulaText, Length, Line, Name, SizeText

MOST_DOMAINS = 32
"""A core with an arm on each of 24 facets, and more shells than anyone has grown."""

VACUUM = 10.0
"""Å around a particle in its box, unless the recipe says otherwise."""


class OutputSpec(Spec):
    """Files beside those every build writes."""

    cp2k: Cp2kOptions | None = None
    """A CP2K deck beside the model, with these options; left out: none."""


REPLACES: Mapping[str, frozenset[str]] = {
    "charge": frozenset(["formula", "domains"]),
    "formula": frozenset(["charge", "domains"]),
    "domains": frozenset(["charge", "formula"]),
    "point": frozenset(["site", "offset"]),
    "site": frozenset(["point"]),
    "offset": frozenset(["point"]),
    "size": frozenset(["composition"]),
}
"""Keys of one table that a key excludes: set in a recipe, it replaces those of the extended one."""


class Recipe(Spec):
    """A model, from bulk crystals to balanced particle.

    Examples
    --------
    >>> import hetbuild as hb
    >>> hb.read_recipe("cspbcl3-pbs").join.shared
    'perovskite'
    """

    name: Name
    """Names the files it writes."""
    title: Line = ""
    """One line that says what the model is; written into files and shown in lists."""
    references: tuple[Line, ...] = ()
    """Papers the model follows; written into its record."""
    domains: Mapping[Name, DomainSpec] = Field(min_length=1, max_length=MOST_DOMAINS)
    """By name, in order: the first lies above the interface, a shell comes after what it is around.
    """
    join: JoinSpec | None = None
    """How two domains meet."""
    joins: tuple[JoinsSpec, ...] = ()
    """How any number of domains meet, two by two; together they must connect all, without a circle.
    """
    balance: BalanceSpec | None = None
    """How the charge, or a composition, is reached."""
    steps: tuple[StepSpec, ...] = ()
    """What is done to the balanced model, in order."""
    size: SizeText | None = None
    """Size of the first domain, as "8 nm"; the others grow by the same factor. See domains.size."""
    composition: FormulaText | None = None
    """Formula the finished model must have; a build that misses it exits with 3."""
    output: OutputSpec = OutputSpec()
    """What is written besides, as a CP2K deck."""
    vacuum: Length = VACUUM
    """Å between the particle and its box in CIF."""

    if_used: ClassVar[frozenset[str]] = frozenset({"joins"})
    _folder: Path = PrivateAttr(Path())
    _as_given: Recipe | None = PrivateAttr(None)

    def __repr__(self) -> str:
        made_of = ", ".join(f"{name} of {d.crystal}" for name, d in self.domains.items())
        steps = f", {len(self.steps)} steps" if self.steps else ""
        return f"<Recipe {self.name}: {made_of}{steps}>"

    __str__ = __repr__

    def _repr_html_(self) -> str:
        """What a notebook shows: title, domains, steps and references."""
        rows = [(name, d.crystal) for name, d in self.domains.items()]
        rows += [(f"step {i}", step.action) for i, step in enumerate(self.steps, 1)]
        rows += [("reference", reference) for reference in self.references]
        return to_table(f"{self.name}: {self.title}" if self.title else self.name, rows)

    @property
    def as_given(self) -> Recipe:
        """The recipe this one writes out in full; itself where it is no such."""
        return self._as_given or self

    @property
    def folder(self) -> Path:
        """Where the recipe was read from; CIF files it names are relative to it."""
        return self._folder

    def kept_in(self, folder: Path) -> Recipe:
        """The same recipe as read from this folder."""
        copy = self.model_copy()
        copy._folder = folder
        return copy

    @property
    def meetings(self) -> tuple[JoinsSpec, ...]:
        """Every join of particles: those of [[joins]], or that of [join] with the planes cut."""
        if self.join is None or self.join.periodic is not None:
            return self.joins
        first, second = self.domains
        planes = {name: self.domains[name].cuts[0].plane for name in (first, second)}
        fields = {k: getattr(self.join, k) for k in MeetingSpec.model_fields}
        return (JoinsSpec(domains=(first, second), planes=planes, **fields),)

    @model_validator(mode="after")
    def _consistent(self) -> Recipe:
        names = list(self.domains)
        check_domains(self, names)
        named = [] if self.balance is None else [m.domain for m in self.balance.moves]
        named += [] if self.balance is None else list(self.balance.target.domains)
        # Ligands go wherever their selections say where a step names none.
        named += [s.domain for s in self.steps if s.domain or s.action != "ligands"]
        sized = [n for n, d in self.domains.items() if d.size] if self.size is None else names
        target = self.balance.target if self.balance else None
        texts = any(isinstance(t, str) for t in target.domains.values()) if target else False
        if sized and target and (target.formula or texts):
            raise ValueError(
                "the formulas of balance.target hold for one size only: with size, say "
                "balance.target = { charge = 0 }"
            )
        if self.size and any(d.slab for d in self.domains.values()):
            raise ValueError("slabs have no size: change slab.first and slab.last")
        for name in named:
            if name not in names:
                raise ValueError(f"unknown domain {name!r}; {nearest(name, names)}")
        return self

    def with_size(self, text: str) -> Recipe:
        """The recipe at another size: "6 nm" of the first domain, or "sulfide=6 nm" of one.

        Raises
        ------
        InputError
            No such domain or size, or the recipe asks for formulas, which hold for one size only.
        """
        name, sign, size = text.rpartition("=")
        if not sign:
            return self._again({"size": size})
        if name not in self.domains:
            raise InputError(f"--size {text!r}: {nearest(name, self.domains)}")
        own = self.domains[name].model_copy(update={"size": parse_size(size)})
        return self._again({"domains": {**self.domains, name: own}})

    @property
    def has_formulas(self) -> bool:
        """Whether it asks for a formula, which holds for its own crystals and sizes only."""
        target = self.balance.target if self.balance else TargetSpec()
        texts = any(isinstance(t, str) for t in target.domains.values())
        return bool(self.composition or target.formula or texts)

    def without_formulas(self) -> Recipe:
        """The recipe for other crystals or sizes: formulas give way to formal charge 0."""
        if not self.has_formulas:
            return self
        update: dict[str, object] = {"composition": None}
        target = self.balance.target if self.balance else None
        if target and (target.formula or any(isinstance(t, str) for t in target.domains.values())):
            assert self.balance is not None
            free = self.balance.model_copy(update={"target": TargetSpec(charge=0)})
            update["balance"] = free
        return self._again(update)

    def written_out(self, update: Mapping[str, object]) -> Recipe:
        """The same in more words, as copies of a domain that a join repeats; it keeps its record.

        Raises
        ------
        InputError
            What comes of it is no valid recipe.
        """
        longer = self._again(update)
        longer._as_given = self.as_given
        return longer

    def _again(self, update: Mapping[str, object]) -> Recipe:
        """A changed copy, validated, that knows the same folder."""
        fields = {k: getattr(self, k) for k in type(self).model_fields} | dict(update)
        try:
            return Recipe.model_validate(fields).kept_in(self.folder)
        except ValidationError as error:
            faults = "; ".join(e["msg"].removeprefix("Value error, ") for e in error.errors())
            raise InputError(f"Not possible: {faults}.") from None

    def with_charges(self, charges: Mapping[str, int]) -> Recipe:
        """The recipe with formal charges in e, by element, stated for every domain."""
        domains = {
            name: spec.model_copy(update={"charges": {**spec.charges, **charges}})
            for name, spec in self.domains.items()
        }
        return self.model_copy(update={"domains": domains})
