"""Steps of a recipe, one table for each action."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, model_validator

from hetbuild.capping.room import CLEARANCE
from hetbuild.recipe.schema.tables import AddText, MoveText, ProfileTable, Spec
from hetbuild.recipe.schema.values import (
    Charge,
    Count,
    Direction,
    ElementText,
    Length,
    Number,
    OrderText,
    Part,
    SelectionText,
)


class _StepSpec(Spec):
    domain: str
    """Name of the domain it acts on."""
    seed: int = Field(default=0, ge=0, lt=2**63)
    """Of every random choice."""
    compensate: tuple[MoveText, ...] = ()
    """Moves that may restore neutrality, as "remove Cl in sulfide"."""
    allow_charge: bool = False
    """Accept a model that is not neutral."""
    charges: Mapping[str, Charge] = Field(default_factory=dict)
    """Formal charges in e of ions that come in, by element, where they are not the usual ones."""


class _ExchangeSpec(_StepSpec):
    product: str | None = None
    """Crystal of the product: a shipped name or a CIF file (relative to the recipe)."""
    fraction: Number = 1.0
    """Part that is exchanged, 0 to 1."""
    order: OrderText = "random"
    """Which ions go first where a part is exchanged, and what decides among equals, as
    "outermost first, spread"; see docs/nanocrystals.md."""
    lattice: Literal["keep", "product"] = "keep"
    """Keep the parent's lattice, or strain the domain to the product's about the interface."""

    @model_validator(mode="after")
    def _a_fraction(self) -> _ExchangeSpec:
        if not 0.0 <= self.fraction <= 1.0:
            raise ValueError(f"fraction {self.fraction:g} is not in 0 to 1")
        return self


class ReplaceSpec(_ExchangeSpec):
    """Ions exchanged on their sites."""

    action: Literal["replace"] = "replace"
    """Ions exchanged on their sites."""
    ions: Mapping[str, str] = Field(min_length=1)
    """New ion by old one, as { Cl = "Br" } or { halide = "Br" }; molecules by name, as
    { Cs = "MA" }, or by an XYZ file that tells its charge."""
    which: SelectionText = ""
    """Only ions this means, as "interior" or "interface within 6 Å"; the fraction is of these."""
    profile: ProfileTable | None = None
    """Instead of a fraction: one that changes with depth, radius or distance to the interface."""
    along: Direction | None = None
    """Lattice direction [uvw] molecules point along; default: turned at random."""


class TopotacticSpec(_ExchangeSpec):
    """Cations exchanged for others on interstitial sites of the anion sublattice, which stays."""

    action: Literal["topotactic"] = "topotactic"
    """Cations exchanged for those of a product; the anions stay."""
    product: str
    """Crystal whose cation sites are filled: a shipped name or a CIF file."""
    order: OrderText = "outermost first"
    """Which ions go first where a part is exchanged."""
    keep_planes: Count | None = None
    """Cation planes that stay next to the interface; default 5."""
    keep_thickness: Length | None = None
    """The same in Å."""
    contact: Length = 2.9
    """Shortest distance in Å of a cation that comes in to one that stays."""
    deficit: Number = 0.0
    """x of Cu(2-x)S: missing cations, taken out evenly."""

    @model_validator(mode="after")
    def _one_layer(self) -> TopotacticSpec:
        if self.keep_planes is not None and self.keep_thickness is not None:
            raise ValueError("give either keep_planes or keep_thickness")
        return self


class EtchSpec(_StepSpec):
    """A domain dissolved."""

    action: Literal["etch"] = "etch"
    """A domain dissolved."""
    shared: Literal["bonded", "keep", "drop"] = "bonded"
    """Shared cations that stay with the domain left: with three anions, all, or none."""


class ChangeSpec(_StepSpec):
    """Ions removed, swapped or added: vacancies, dopants, antisites, ions on vacant sites."""

    action: Literal["remove", "swap", "add"]
    """What is done to the ions chosen."""
    element: str
    """Element, or cation, anion, halide, chalcogen where the domain has one of that kind."""
    to: ElementText = ""
    """swap: the element that comes in."""
    count: Count | None = None
    """How many."""
    fraction: Number | None = Field(default=None, ge=0.0, le=1.0)
    """The same as a part of the places that are eligible, 0 to 1."""
    which: SelectionText = ""
    """Which ions or vacant sites are eligible, as "interior"; default: surface ions."""
    order: OrderText = "random"
    """Which go first and what decides among equals, as "lowest energy" or "spread"."""

    @model_validator(mode="after")
    def _how_many(self) -> ChangeSpec:
        if (self.action == "swap") != bool(self.to):
            raise ValueError("`to` belongs to action = 'swap', and only to it")
        if (self.count is None) == (self.fraction is None):
            raise ValueError("give either count or fraction")
        return self


class LigandsSpec(_StepSpec):
    """Molecules on the surface: in the place of ions of their charge, or on cations."""

    action: Literal["ligands"] = "ligands"
    """Molecules put on the surface."""
    domain: str = ""
    """Only this domain; default: wherever the selections say."""
    add: tuple[AddText, ...] = Field(min_length=1)
    """What and where, one after the other: "oleate on Cl, facet {1 1 1}", "24 oleate on Cl",
    "50% octylammonium on Cs, surface", or tables."""
    order: OrderText = "spread"
    """Which ions go first, and what decides among equals: "spread", "random", "symmetric" (whole
    orbits of the point group) or "lowest energy" (the ions that cost least to take out)."""
    clearance: Part = CLEARANCE
    """Part of the van der Waals sum that no contact may fall under, 0.3 to 1."""
    no_room: Literal["refuse", "skip"] = "refuse"
    """Where fewer find room than asked: refuse, or skip those that have none."""


StepSpec = Annotated[
    ReplaceSpec | TopotacticSpec | EtchSpec | ChangeSpec | LigandsSpec,
    Field(discriminator="action"),
]


STEPS: Mapping[str, type[_StepSpec]] = {
    "replace": ReplaceSpec,
    "topotactic": TopotacticSpec,
    "etch": EtchSpec,
    "remove": ChangeSpec,
    "swap": ChangeSpec,
    "add": ChangeSpec,
    "ligands": LigandsSpec,
}
"""Schema of a step by its action."""
