"""Schema of a recipe: one module for each noun, and here what the others use.

The classes are the schema; `hetbuild schema` prints them as JSON Schema. Lengths are in Å, formal
charges in e, plane distances in units of d(hkl).
"""

from hetbuild.recipe.schema.balance import BalanceSpec, TargetSpec
from hetbuild.recipe.schema.domain import (
    BondedTo,
    Centre,
    CutSpec,
    DomainSpec,
    FacetSpec,
    SlabSpec,
    TrimSpec,
)
from hetbuild.recipe.schema.join import (
    JoinSpec,
    JoinsSpec,
    MeetingSpec,
    PeriodicSpec,
    RegistrySpec,
)
from hetbuild.recipe.schema.recipe import REPLACES, VACUUM, OutputSpec, Recipe
from hetbuild.recipe.schema.steps import (
    STEPS,
    ChangeSpec,
    EtchSpec,
    LigandsSpec,
    ReplaceSpec,
    StepSpec,
    TopotacticSpec,
)

__all__ = [
    "REPLACES",
    "STEPS",
    "VACUUM",
    "BalanceSpec",
    "BondedTo",
    "Centre",
    "ChangeSpec",
    "CutSpec",
    "DomainSpec",
    "EtchSpec",
    "FacetSpec",
    "JoinSpec",
    "JoinsSpec",
    "LigandsSpec",
    "MeetingSpec",
    "OutputSpec",
    "PeriodicSpec",
    "Recipe",
    "RegistrySpec",
    "ReplaceSpec",
    "SlabSpec",
    "StepSpec",
    "TargetSpec",
    "TopotacticSpec",
    "TrimSpec",
]
