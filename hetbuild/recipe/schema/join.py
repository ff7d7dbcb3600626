"""Joins of a recipe: orientation, registry, merging, settling."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import model_validator

from hetbuild.assemble.registry import Window
from hetbuild.errors import nearest
from hetbuild.geometry.contacts import Floors
from hetbuild.recipe.schema.tables import MergeText, SettleSwitch, Spec
from hetbuild.recipe.schema.values import Direction, Length, Number, Part, Plane, Point


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
    max_strain: Part = 0.05
    """Largest mismatch of the coincidence cell."""
    vacuum: Length | None = None
    """Å between the free faces; left out: a superlattice."""


class MeetingSpec(Spec):
    """How two domains meet. The first lies above the plane, the second below."""

    along: Mapping[str, Direction]
    """A direction [uvw] in the plane of each domain, by name; they become parallel."""
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


class JoinSpec(MeetingSpec):
    """How the two domains meet. The first lies above the plane, the second below."""

    periodic: PeriodicSpec | None = None
    """Join slabs on a coincidence cell."""


class JoinsSpec(MeetingSpec):
    """How two of several domains meet. The first named lies above the planes, the second below."""

    domains: tuple[str, str]
    """The two domains, the upper one first."""
    planes: Mapping[str, Plane]
    """Parallel planes (hkl), one of each domain by name; both point from the lower domain to the
    upper one."""
    repeat: str | None = None
    """The one of the two whose point group repeats the join: on each facet that its proper
    rotations make of the one named stands a copy of the other domain, called arm-1, arm-2 and so on
    where that is arm."""

    @model_validator(mode="after")
    def _names(self) -> JoinsSpec:
        a, b = self.domains
        if a == b:
            raise ValueError(f"domains: {a!r} cannot be joined to itself")
        for key in ("planes", "along", "across", "anchor"):
            given = getattr(self, key)
            if given is not None and set(given) != {a, b}:
                raise ValueError(f"{key} must name the domains {a} and {b}")
        for key in ("shared", "repeat"):
            if getattr(self, key) not in (None, a, b):
                raise ValueError(f"{key}: {nearest(str(getattr(self, key)), [a, b])}")
        if self.merge is not None and self.merge.keep not in (a, b):
            raise ValueError(f"merge: {nearest(self.merge.keep, [a, b])}")
        return self
