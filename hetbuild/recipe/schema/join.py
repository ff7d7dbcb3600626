"""Join of a recipe: orientation, registry, merging, settling."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import model_validator

from hetbuild.assemble.join import Window
from hetbuild.geometry.contacts import Floors
from hetbuild.recipe.schema.tables import MergeText, SettleSwitch, Spec
from hetbuild.recipe.schema.values import Direction, Number, Point


class RegistrySpec(Spec):
    """Displacement of the second domain: given, or searched in a window."""

    shift: tuple[Number, Number] | None = None
    """Along and across, Å; with `gap`. Left out: registry is searched."""
    gap: Number | None = None
    """Away from coincidence along the normal, Å."""
    window: Window = Window()
    """Where it is searched, as { along = 0.5, across = 0.5, gap = [0, 2] }."""

    @model_validator(mode="after")
    def _both(self) -> RegistrySpec:
        if (self.shift is None) != (self.gap is None):
            raise ValueError("shift and gap go together; leave both out to search")
        return self


class PeriodicSpec(Spec):
    """A coherent interface that repeats in its plane."""

    strained: str
    """Domain that takes the strain, or "shared"."""
    max_strain: Number = 0.05
    """Largest mismatch of the coincidence cell."""
    vacuum: Number | None = None
    """Å between the free faces; left out: a superlattice."""


class JoinSpec(Spec):
    """How the two domains meet. The first lies above the plane, the second below."""

    along: Mapping[str, Direction]
    """A direction [uvw] in the cut plane of each domain, by name; they become parallel."""
    across: Mapping[str, Direction] | None = None
    """A second pair, checked to agree in sign."""
    anchor: Mapping[str, Point]
    """Offset from each domain's site, conventional axes, of the points brought together."""
    shared: str | None = None
    """Domain that owns the shared cation layer, the plane through the anchor."""
    registry: RegistrySpec = RegistrySpec()
    """How the second domain lies against the first; left out: searched."""
    floors: Floors = Floors()
    """Contacts across the interface that the joined model must keep, Å."""
    merge: MergeText = None
    """The domain whose ion stays where both lattices have one of the same sign: a name, or
    { keep = "sulfide", within = 1.5 }. Left out: nothing is merged."""
    settle: SettleSwitch = None
    """Settle the interface after balancing: true, or its options. Left out or false: ions stay on
    their sites, and a join whose ions collide is refused."""
    periodic: PeriodicSpec | None = None
    """Join slabs on a coincidence cell."""
