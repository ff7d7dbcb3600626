"""Domains of a recipe: crystal, shape, cut, trim, slab or shell."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Discriminator, Field, Tag, model_validator

from hetbuild.recipe.schema.tables import Spec
from hetbuild.recipe.schema.values import (
    Charge,
    Count,
    Direction,
    Form,
    Length,
    Number,
    Plane,
    Point,
    PointGroupText,
    SelectionText,
    SizeText,
)


class Centre(Spec):
    """Centre of a particle."""

    site: str | None = None
    """Element or CIF label of the site the centre and all plane indices are counted from."""
    offset: Point = (0.0, 0.0, 0.0)
    """From that site, in conventional axes."""
    point: Point | None = None
    """Instead of a site: a fractional point of the standardised conventional cell."""

    @model_validator(mode="after")
    def _one_way(self) -> Centre:
        if self.point is not None and (self.site is not None or any(self.offset)):
            raise ValueError("give either point, or site and offset")
        return self


class FacetSpec(Spec):
    """A form {hkl} or one facet (hkl), at a distance from the centre."""

    form: Form | None = None
    """{hkl}: all symmetry-equivalent facets."""
    facet: Plane | None = None
    """(hkl): this facet only."""
    side: Literal["away", "toward", "along", "-along", "across", "-across"] | None = None
    """One facet named in the frame of the join: away from the other domain or toward it, with the
    indices of the cut; or normal to the direction along or across."""
    planes: Number | None = None
    """Distance in units of d(hkl), of the indices as written."""
    distance: Number | None = None
    """Distance in Å."""
    outermost: tuple[str, ...] | str = ()
    """Termination: each facet ends at the last plane of these elements inside the distance."""
    ligands: Mapping[str, str] = Field(default_factory=dict)
    """Ions of the outermost plane and the ligand each becomes, as { S = "Cl" }."""

    @model_validator(mode="after")
    def _exactly_one(self) -> FacetSpec:
        if [self.form, self.facet, self.side].count(None) != 2:
            raise ValueError("give one of form, facet and side")
        if (self.planes is None) == (self.distance is None):
            raise ValueError("give either planes or distance")
        return self


class BondedTo(Spec):
    """Edge rule by bonds."""

    bonded_to: str
    """Cation: the ion stays only if every such cation it is bonded to stays."""


class CutSpec(Spec):
    """One side of a lattice plane."""

    plane: Plane
    """(hkl) of the conventional cell; the plane index of an ion is h x + k y + l z."""
    keep: Literal["above", "below"]
    """Which side stays: plane indices at or above `at`, or at or below it."""
    at: Number
    """Plane index, counted from the centre's site."""
    edge: Mapping[str, Number | BondedTo] = Field(default_factory=dict)
    """Other rules for single elements: a plane index, or { bonded_to = "Pb" }."""


def _how_many(value: object) -> str:
    return SEVERAL_CUTS if isinstance(value, list | tuple) else ONE_CUT


ONE_CUT, SEVERAL_CUTS = "cut", "cuts"
"""Tags of the two ways to write cuts; they are no part of a place in a recipe."""

Cuts = (
    Annotated[
        Annotated[CutSpec, Tag(ONE_CUT)] | Annotated[tuple[CutSpec, ...], Tag(SEVERAL_CUTS)],
        Discriminator(_how_many),
    ]
    | None
)


class TrimSpec(Spec):
    """Removal of loose ions, after the cut or before it."""

    fewer_than: Count | None = None
    """Ions with fewer neighbours of opposite charge go, repeatedly."""
    elements: tuple[str, ...] = ()
    """Only these; default: all."""
    rules: tuple[SelectionText, ...] = ()
    """Instead: which ions go, as ["halide, bonds <= 1", "cation, bonds <= 2"]; again and again the
    first rule that finds any, until none does."""
    before_cut: bool = False
    """Trim the whole particle: ions that the cut leaves loose stay, for the other domain to bond.
    """

    @model_validator(mode="after")
    def _one_way(self) -> TrimSpec:
        if (self.fewer_than is None) == (not self.rules):
            raise ValueError("give either fewer_than or rules")
        if self.rules and self.elements:
            raise ValueError("rules name their elements themselves; leave elements out")
        return self


class SlabSpec(Spec):
    """A slab of a periodic interface."""

    plane: Plane
    """(hkl); indices grow away from the interface in the first domain, to it in the second."""
    first: Number
    """Plane index of its lowest layer, counted from the centre's site."""
    last: Number
    """Plane index of its highest layer."""


class TruncateSpec(Spec):
    """Edges and corners taken off in whole lattice planes, after the particle has its size."""

    edges: Count = 0
    """Planes off each edge; the new facet's indices are the sum of those of the two that meet."""
    vertices: Count = 0
    """Planes off each corner; the new facet's indices are the sum of those of all that meet."""
    outermost: tuple[str, ...] | str = ()
    """Termination of the new facets: the last plane of these elements or kinds."""
    ligands: Mapping[str, str] = Field(default_factory=dict)
    """Ions of their outermost plane and the ligand each becomes, as { anion = "Cl" }."""

    @model_validator(mode="after")
    def _any(self) -> TruncateSpec:
        if not self.edges and not self.vertices:
            raise ValueError("give edges, vertices or both, in planes")
        return self


class DomainSpec(Spec):
    """One crystal of the model: how it is carved and cut."""

    crystal: str
    """Name of a shipped structure, or a CIF file (relative to the recipe)."""
    charges: Mapping[str, Charge] = Field(default_factory=dict)
    """Formal charges in e by element where they differ from those in the CIF or from the usual
    ones, of ligands and dopants too."""
    centre: Centre = Centre()
    """Where the middle of the particle is in the crystal; planes are counted from its site."""
    facets: tuple[FacetSpec, ...] = ()
    """What bounds the particle; together, or with `radius`, they must close."""
    radius: Length | None = None
    """Radius of a sphere in Å, alone or together with facets."""
    point_group: PointGroupText | None = None
    """Of the forms {hkl}: a subgroup of the crystal's, as "-43m", which tells {1 1 1} from
    {-1 -1 -1} in every cubic crystal; with an axis where there are several, as "4mm [0 0 1]"."""
    truncate: TruncateSpec | None = None
    """Edges and corners taken off, as { edges = 2, vertices = 3 } in whole planes."""
    size: SizeText | None = None
    """Size to bring the particle to before it is cut, as "8 nm" or "80 Å": its extent across the
    first of its facets, or the diameter of a sphere. Facets move in whole planes to the nearest
    size they reach; terminations, ligands, centre and cut stay."""
    cut: Cuts = None
    """One side of a lattice plane is kept: the side that meets the other domain. A list of cuts
    where several domains are met."""
    trim: TrimSpec | None = None
    """Loose ions that are removed, again and again until there are none."""
    slab: SlabSpec | None = None
    """Instead of facets, radius, cut and trim: layers of a periodic interface."""
    around: str | None = None
    """Name of the domain this one is a shell around: the core, or the shell before."""
    thickness: SizeText | None = None
    """Of a shell, as "2 nm": each facet of the domain inside moved out by the nearest whole planes.
    Instead: facets or a radius of its own, counted from the centre of the core."""
    lattice: Literal["core", "graded", "own"] = "core"
    """Of a shell: strained to the lattice of the core; the same at the core and relaxed outwards to
    its own lattice constant; or its own from the start, aligned by `axes`."""
    axes: Mapping[str, tuple[Direction, Direction]] | None = None
    """Shell with its own lattice: two directions [uvw] of each of the two domains, by name; the
    first become parallel, and the planes the two span. Left out: Cartesian axes as they are."""

    @property
    def cuts(self) -> tuple[CutSpec, ...]:
        """Every cut, in order."""
        return (self.cut,) if isinstance(self.cut, CutSpec) else self.cut or ()

    @model_validator(mode="after")
    def _shell(self) -> DomainSpec:
        shaped = bool(self.facets or self.radius)
        if self.around is None:
            if self.thickness or self.axes or self.lattice != "core":
                raise ValueError(
                    "thickness, lattice and axes belong to a shell: name its core with around"
                )
            return self
        if self.cut or self.slab or self.size:
            raise ValueError("a shell takes no cut, slab or size: its core does")
        if (self.thickness is None) != shaped:
            raise ValueError("a shell takes either a thickness, or facets or a radius")
        if self.lattice == "own" and not shaped:
            raise ValueError("a shell with its own lattice takes facets or a radius")
        if self.lattice != "own" and (self.axes or self.centre != Centre()):
            raise ValueError("axes and centre belong to a shell with lattice = 'own'")
        return self

    @model_validator(mode="after")
    def _slab_alone(self) -> DomainSpec:
        shaped = self.facets or self.radius or self.size or self.truncate
        if self.slab and (shaped or self.cut or self.trim):
            raise ValueError("a slab takes no facets, radius, size, truncate, cut or trim")
        if self.point_group and not any(f.form for f in self.facets):
            raise ValueError("point_group is that of forms {hkl}, and there is none in facets")
        return self
