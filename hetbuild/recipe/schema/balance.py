"""Balancing of a recipe: targets and moves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import Field, model_validator

from hetbuild.balancing.candidates import ADDED_FLOORS
from hetbuild.geometry.contacts import Floors
from hetbuild.recipe.schema.tables import MoveText, Spec
from hetbuild.recipe.schema.values import FormulaOrCharge, FormulaText


class TargetSpec(Spec):
    """What balancing reaches: a charge, a formula, or a formula or charge per domain."""

    charge: Annotated[int, Field(ge=-1_000_000, le=1_000_000)] | None = None
    """Formal charge of the whole model, e."""
    formula: FormulaText | None = None
    """Formula of the whole model, as Cs126Pb337S221Cl358."""
    domains: Mapping[str, FormulaOrCharge] = Field(default_factory=dict)
    """Formula, or formal charge in e, of each domain."""

    @model_validator(mode="after")
    def _at_most_one(self) -> TargetSpec:
        if sum([self.charge is not None, self.formula is not None, bool(self.domains)]) > 1:
            raise ValueError("give one of charge, formula and domains")
        return self


class BalanceSpec(Spec):
    """Charge balancing."""

    target: TargetSpec = TargetSpec()
    """Default: charge 0."""
    moves: tuple[MoveText, ...] = Field(min_length=1)
    """What may be changed to reach the target, as tables or as "remove Cs in perovskite"."""
    keep_symmetry: bool = False
    """Change whole orbits of the model's point group where the counts allow it."""
    floors: Floors = ADDED_FLOORS
    """Contacts an added ion must keep."""
