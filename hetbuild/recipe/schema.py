"""The recipe: everything that defines a model, as TOML, validated as a whole before building.

The classes are the schema; `hetbuild schema` prints them as JSON Schema. Lengths are in Å, formal
charges in e, plane distances in units of d(hkl).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    ValidationError,
    WrapValidator,
    model_validator,
)

from hetbuild.assemble.join import Window
from hetbuild.assemble.merge import Merging
from hetbuild.assemble.settle import Settling
from hetbuild.assemble.size import parse_size
from hetbuild.balancing.candidates import ADDED_FLOORS, Move
from hetbuild.capping.attach import Add
from hetbuild.capping.room import CLEARANCE
from hetbuild.elements import parse_formula
from hetbuild.errors import HetbuildError, InputError, nearest
from hetbuild.formats.cp2k import Cp2kOptions
from hetbuild.geometry.contacts import Floors
from hetbuild.names import PATTERN, check_name, shown
from hetbuild.numerals import LARGEST_INDEX, MOST_CHARGE, limited, parse_number
from hetbuild.selection.language import parse_selection
from hetbuild.selection.order import parse_order
from hetbuild.selection.profile import Profile


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


def _selection(value: object) -> object:
    if isinstance(value, str):
        _as_fault(parse_selection, value)
    return value


def _order(value: object) -> object:
    if isinstance(value, str):
        _as_fault(parse_order, value)
    return value


def _as_fault(parse: Callable[[str], object], value: str) -> None:
    """What a parser refuses, as a fault of the recipe."""
    try:
        parse(value)
    except HetbuildError as error:
        raise ValueError(str(error)) from None


def _formula(value: object) -> object:
    if isinstance(value, str):
        _as_fault(parse_formula, value)
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


MOST_DOMAINS = 8
"""A core and as many shells as anyone has grown."""

VACUUM = 10.0
"""Å around a particle in its box, unless the recipe says otherwise."""

Number = Annotated[float, BeforeValidator(_number, json_schema_input_type=float | str)]
Miller = Annotated[int, Field(ge=-LARGEST_INDEX, le=LARGEST_INDEX)]
Plane = tuple[Miller, Miller, Miller]
Charge = Annotated[int, Field(ge=-MOST_CHARGE, le=MOST_CHARGE)]
Count = Annotated[int, Field(ge=0, le=1_000_000)]
Vector = tuple[Number, Number, Number]
Name = Annotated[str, BeforeValidator(_name), Field(json_schema_extra={"pattern": PATTERN})]
Line = Annotated[str, BeforeValidator(_line)]
SelectionText = Annotated[str, BeforeValidator(_selection)]
OrderText = Annotated[str, BeforeValidator(_order)]
FormulaText = Annotated[str, BeforeValidator(_formula)]


class _Spec(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


def _table(description: dict[str, Any]) -> None:
    """Of a docstring the schema takes what goes before the examples."""
    text = str(description.get("description", ""))
    description["description"] = text.partition("\n\nExamples\n")[0]


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


def _move(value: object, read: Callable[[object], Move]) -> Move:
    """A move as a table, or as text: "swap S to Cl in sulfide"."""
    try:
        return Move.parse(value) if isinstance(value, str) else read(value)
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


def _formula_or_charge(value: object) -> object:
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise ValueError('give a formula, as "Cs175Pb125Cl425", or a whole charge in e')
    return _formula(value)


def _size(value: object) -> object:
    """Å of "8 nm" or "80 Å"."""
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        try:
            return parse_size(value)
        except HetbuildError as error:
            raise ValueError(str(error)) from None
    return value


FormulaOrCharge = Annotated[
    str | int, BeforeValidator(_formula_or_charge, json_schema_input_type=str | int)
]
SizeText = Annotated[float, BeforeValidator(_size, json_schema_input_type=float | str)]


class Centre(_Spec):
    """Centre of a particle."""

    site: str | None = None
    """Element or CIF label of the site the centre and all plane indices are counted from."""
    offset: Vector = (0.0, 0.0, 0.0)
    """From that site, in conventional axes."""
    point: Vector | None = None
    """Instead of a site: a fractional point of the standardised conventional cell."""

    @model_validator(mode="after")
    def _one_way(self) -> Centre:
        if self.point is not None and (self.site is not None or any(self.offset)):
            raise ValueError("give either point, or site and offset")
        return self


class FacetSpec(_Spec):
    """A form {hkl} or one facet (hkl), at a distance from the centre."""

    form: Plane | None = None
    """{hkl}: all symmetry-equivalent facets."""
    facet: Plane | None = None
    """(hkl): this facet only."""
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
        if (self.form is None) == (self.facet is None):
            raise ValueError("give either form or facet")
        if (self.planes is None) == (self.distance is None):
            raise ValueError("give either planes or distance")
        return self


class BondedTo(_Spec):
    """Edge rule by bonds."""

    bonded_to: str
    """Cation: the ion stays only if every such cation it is bonded to stays."""


class CutSpec(_Spec):
    """One side of a lattice plane."""

    plane: Plane
    """(hkl) of the conventional cell; the plane index of an ion is h x + k y + l z."""
    keep: Literal["above", "below"]
    """Which side stays: plane indices at or above `at`, or at or below it."""
    at: Number
    """Plane index, counted from the centre's site."""
    edge: Mapping[str, Number | BondedTo] = Field(default_factory=dict)
    """Other rules for single elements: a plane index, or { bonded_to = "Pb" }."""


class TrimSpec(_Spec):
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


class SlabSpec(_Spec):
    """A slab of a periodic interface."""

    plane: Plane
    """(hkl); indices grow away from the interface in the first domain, to it in the second."""
    first: Number
    """Plane index of its lowest layer, counted from the centre's site."""
    last: Number
    """Plane index of its highest layer."""


class DomainSpec(_Spec):
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
    radius: Number | None = None
    """Radius of a sphere in Å, alone or together with facets."""
    size: SizeText | None = None
    """Size to bring the particle to before it is cut, as "8 nm" or "80 Å": its extent across the
    first of its facets, or the diameter of a sphere. Facets move in whole planes to the nearest
    size they reach; terminations, ligands, centre and cut stay."""
    cut: CutSpec | None = None
    """One side of a lattice plane is kept: the side that meets the other domain."""
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
    axes: Mapping[str, tuple[Vector, Vector]] | None = None
    """Shell with its own lattice: two directions [uvw] of each of the two domains, by name; the
    first become parallel, and the planes the two span. Left out: Cartesian axes as they are."""

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
        if self.slab and (self.facets or self.radius or self.size or self.cut or self.trim):
            raise ValueError("a slab takes no facets, radius, size, cut or trim")
        return self


class RegistrySpec(_Spec):
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


class PeriodicSpec(_Spec):
    """A coherent interface that repeats in its plane."""

    strained: str
    """Domain that takes the strain, or "shared"."""
    max_strain: Number = 0.05
    """Largest mismatch of the coincidence cell."""
    vacuum: Number | None = None
    """Å between the free faces; left out: a superlattice."""


class JoinSpec(_Spec):
    """How the two domains meet. The first lies above the plane, the second below."""

    along: Mapping[str, Vector]
    """A direction [uvw] in the cut plane of each domain, by name; they become parallel."""
    across: Mapping[str, Vector] | None = None
    """A second pair, checked to agree in sign."""
    anchor: Mapping[str, Vector]
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


class TargetSpec(_Spec):
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


class BalanceSpec(_Spec):
    """Charge balancing."""

    target: TargetSpec = TargetSpec()
    """Default: charge 0."""
    moves: tuple[MoveText, ...] = Field(min_length=1)
    """What may be changed to reach the target, as tables or as "remove Cs in perovskite"."""
    keep_symmetry: bool = False
    """Change whole orbits of the model's point group where the counts allow it."""
    floors: Floors = ADDED_FLOORS
    """Contacts an added ion must keep."""


class _StepSpec(_Spec):
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
    along: Vector | None = None
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
    keep_thickness: Number | None = None
    """The same in Å."""
    contact: Number = 2.9
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
    to: str = ""
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
    clearance: Number = CLEARANCE
    """Part of the van der Waals sum that no contact may fall under, 0.3 to 1."""
    no_room: Literal["refuse", "skip"] = "refuse"
    """Where fewer find room than asked: refuse, or skip those that have none."""


StepSpec = Annotated[
    ReplaceSpec | TopotacticSpec | EtchSpec | ChangeSpec | LigandsSpec,
    Field(discriminator="action"),
]


class OutputSpec(_Spec):
    """Files beside those every build writes."""

    cp2k: Cp2kOptions | None = None
    """A CP2K deck beside the model, with these options; left out: none."""


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


class Recipe(_Spec):
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
    vacuum: Number = VACUUM
    """Å between the particle and its box in CIF."""

    _folder: Path = PrivateAttr(Path())

    @property
    def folder(self) -> Path:
        """Where the recipe was read from; CIF files it names are relative to it."""
        return self._folder

    def kept_in(self, folder: Path) -> Recipe:
        """The same recipe as read from this folder."""
        copy = self.model_copy()
        copy._folder = folder
        return copy

    @model_validator(mode="after")
    def _consistent(self) -> Recipe:
        names = list(self.domains)
        _check_join(self, names)
        named = [] if self.balance is None else [m.domain for m in self.balance.moves]
        named += [] if self.balance is None else list(self.balance.target.domains)
        named += [s.domain for s in self.steps if s.domain]
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


def _check_shells(recipe: Recipe, names: list[str]) -> None:
    for i, (name, spec) in enumerate(recipe.domains.items()):
        if spec.around is None:
            continue
        if recipe.join is not None or any(recipe.domains[n].around is None for n in names[1:]):
            raise ValueError("shells go around one core: a recipe with a shell takes no [join]")
        if spec.around != names[i - 1]:
            raise ValueError(
                f"domain {name}: around must name the domain before it, {names[i - 1]!r}"
                if i
                else f"domain {name}: the first domain is the core, it has nothing inside"
            )
        if spec.axes is not None and set(spec.axes) != {names[0], name}:
            raise ValueError(f"domains.{name}.axes must name the domains {names[0]} and {name}")


def _check_join(recipe: Recipe, names: list[str]) -> None:
    if any(d.around is not None for d in recipe.domains.values()):
        _check_shells(recipe, names)
        return
    if len(names) > 2:
        raise ValueError("more than two domains are a core and its shells: say around")
    if len(names) == 2 and recipe.join is None:
        raise ValueError("two domains need a [join]")
    if recipe.join is None:
        return
    if len(names) != 2:
        raise ValueError("[join] needs two domains")
    for key in ("along", "across", "anchor"):
        given = getattr(recipe.join, key)
        if given is not None and set(given) != set(names):
            raise ValueError(f"join.{key} must name the domains {names[0]} and {names[1]}")
    if recipe.join.shared not in (None, *names):
        raise ValueError(f"join.shared: {nearest(str(recipe.join.shared), names)}")
    if recipe.join.merge is not None and recipe.join.merge.keep not in names:
        raise ValueError(f"join.merge: {nearest(recipe.join.merge.keep, names)}")
    if recipe.join.periodic is not None:
        _check_periodic(recipe, recipe.join.periodic, names)
        return
    for name, side in zip(names, ("above", "below"), strict=True):
        cut = recipe.domains[name].cut
        if cut is None or cut.keep != side:
            raise ValueError(
                f"domain {name} must be cut with keep = {side!r}: the first domain lies above the "
                "interface, the second below; to turn a domain over, negate its plane"
            )


def _check_periodic(recipe: Recipe, spec: PeriodicSpec, names: list[str]) -> None:
    if any(recipe.domains[name].slab is None for name in names):
        raise ValueError("join.periodic needs a slab in both domains")
    if spec.strained not in (*names, "shared"):
        raise ValueError(f"join.periodic.strained: {nearest(spec.strained, [*names, 'shared'])}")
    if recipe.join is not None and recipe.join.across is None:
        raise ValueError("join.periodic needs join.across, the second direction of the cell")
    if recipe.balance is not None:
        raise ValueError("a periodic interface is not balanced: choose neutral slabs")
