"""From recipe to model: the only module that knows the order of the steps."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from hetbuild import __version__
from hetbuild.arguments import checked
from hetbuild.arrays import Plane, Progress
from hetbuild.assemble.carve import carve, check_whole, refuse_if_large
from hetbuild.assemble.coherent import Strained, coincidence_cell, join_slabs, slabs
from hetbuild.assemble.cut import cut
from hetbuild.assemble.join import check_contacts
from hetbuild.assemble.merge import merge
from hetbuild.assemble.orientation import Orientation
from hetbuild.assemble.polyhedron import Facet
from hetbuild.assemble.registry import Registry
from hetbuild.assemble.settle import settle
from hetbuild.assemble.shell import Layer, Shell, grow, grown_shape, strain_factor
from hetbuild.assemble.size import Shape, scaled, size_of
from hetbuild.assemble.tree import Joint, check_unjoined, grown, in_order, planted
from hetbuild.assemble.trim import loose_rules, trim
from hetbuild.assemble.truncate import Truncation, truncated
from hetbuild.balancing.balance import balance
from hetbuild.balancing.target import Target
from hetbuild.crystal.crystal import Crystal, read_crystal
from hetbuild.elements import parse_formula
from hetbuild.errors import InputError
from hetbuild.library import find_structure
from hetbuild.model import Domain, Model
from hetbuild.recipe.frame import in_indices
from hetbuild.recipe.read import Settings, read_recipe
from hetbuild.recipe.repeat import unfolded
from hetbuild.recipe.schema import (
    DomainSpec,
    FacetSpec,
    JoinSpec,
    JoinsSpec,
    MeetingSpec,
    PeriodicSpec,
    Recipe,
    RegistrySpec,
)
from hetbuild.recipe.steps import run_step, stage_name

BYTES_PER_ION = 1000
"""Peak memory of all that follows carving: settling, balancing, the report."""

Stage = tuple[str, Model]


@checked
def build(
    recipe: str | Path | Mapping[str, Any] | Recipe,
    settings: Settings = (),
    *,
    progress: Progress = None,
) -> Model:
    """The finished model of a recipe: a shipped name, a TOML file, a mapping, or one read before.

    settings: keys to override by their path, as {"join.registry.gap": 0.9}. progress: called with
    the fraction of the balancing done, 0 to 1. CIF files named in a recipe are relative to its
    folder. What the recipe asks of the result (composition, contacts) is built towards, not checked
    again; `hetbuild build` does.

    Raises
    ------
    InputError
        No such recipe, or not a valid one; the text lists every fault.
    ImpossibleError
        The recipe is valid, but cannot be built: the text says which step fails and why.

    Examples
    --------
    >>> import hetbuild as hb
    >>> hb.build("cspbcl3-cube-2")
    <Model Cs20Pb8Cl36: 64 atoms, formal charge 0 e, perovskite of CsPbCl3>
    >>> hb.build("cspbcl3-cube-2", {"domains.perovskite.crystal": "CsPbBr3"}).formula
    'Cs20Pb8Br36'
    """
    if not isinstance(recipe, Recipe):
        recipe = read_recipe(recipe, settings)
    elif settings:
        raise InputError("Settings go into a recipe as it is read: read_recipe(name, settings).")
    *_, (_, model) = stages(recipe, progress=progress)
    return model


def stages(recipe: Recipe, *, progress: Progress = None) -> Iterator[Stage]:
    """Each stage by name with the model it leaves; the last one is the finished model.

    progress: as for `build`.

    Raises
    ------
    InputError, ImpossibleError
        As the verbs do; nothing here adds its own.
    """
    beside = recipe.folder
    recipe = unfolded(in_indices(recipe).kept_in(beside))
    if recipe.join is not None and recipe.join.periodic is not None:
        made = _periodic_stages(recipe, recipe.join, recipe.join.periodic, beside)
    else:
        made = _particle_stages(recipe, beside, progress)
    for name, model in made:
        yield name, model
    for step in recipe.steps:
        model = run_step(model, step, beside=beside, progress=progress)
        yield stage_name(step), model


def _particle_stages(recipe: Recipe, beside: Path, progress: Progress) -> Iterator[Stage]:
    parts: list[Model] = []
    factor = _growth(recipe, beside)
    for name, spec in recipe.domains.items():
        if spec.around is not None:
            continue
        model = _carved(name, spec, beside, factor)
        yield f"{name}-carved", model
        verbs: list[tuple[str, Callable[[Model, DomainSpec], Model]]] = [
            ("cut", _cut),
            ("trimmed", _trimmed),
        ]
        if spec.trim is not None and spec.trim.before_cut:
            verbs.reverse()
        for verb, carry_out in verbs:
            if (spec.cut if verb == "cut" else spec.trim) is not None:
                model = carry_out(model, spec)
                yield f"{name}-{verb}", model
        parts.append(model)
    if recipe.meetings:
        yield from _joined_stages(recipe, parts, progress)
        return
    (model,) = parts
    for name, larger in _shells(recipe, model, beside, factor):
        model = larger
        yield f"{name}-grown", model
    model = _finished(recipe, model, progress)
    yield "balanced" if recipe.balance else "finished", model


def _joined_stages(recipe: Recipe, parts: list[Model], progress: Progress) -> Iterator[Stage]:
    """One join after the other, then balanced and settled as a whole."""
    named = {part.domains[0].name: part for part in parts}
    joints = [_joint(spec) for spec in recipe.meetings]
    model = named[joints[0].domains[0]]
    for joint, new in planted(joints):
        prefix = "" if len(joints) == 1 else f"{new}-"
        model = grown(model, named[new], joint)
        yield f"{prefix}joined", model
        if joint.merging is not None:
            model = merge(model, joint.merging, joint.yields)
            yield f"{prefix}merged", model
        if joint.settling is None:
            check_contacts(model, joint.floors, model.interfaces[-1])
    if joints[0].settling is None:
        check_unjoined(model, joints)
    model = _finished(recipe, in_order(model, list(named)), progress)
    yield "balanced" if recipe.balance else "finished", model
    if joints[0].settling is not None:
        model = settle(model, joints[0].settling)
        yield "settled", model


def provenance(recipe: Recipe, model: Model) -> dict[str, Any]:
    """What is needed to build the model again: recipe, crystal digests, versions.

    Steps enter themselves when they run; `titled` is how many of them the title tells of.
    """
    packages = ("numpy", "scipy", "spglib", "gemmi", "ase")
    return {
        "recipe": recipe.as_given.model_dump(mode="json") | {"steps": []},
        **({"titled": len(recipe.steps)} if recipe.steps else {}),
        "crystals": {d.crystal.name: d.crystal.sha256 for d in model.domains},
        "versions": {"hetbuild": __version__} | {p: version(p) for p in packages},
    }


def _growth(recipe: Recipe, beside: Path | None) -> float | None:
    """By what factor the size of the recipe enlarges its first domain; None: it states none.

    It is the factor that the domain's planes reach, so that the others keep their proportion.
    """
    if recipe.size is None:
        return None
    crystal, shape = _shape(next(iter(recipe.domains.values())), beside)
    return size_of(crystal, scaled(crystal, shape, recipe.size)) / size_of(crystal, shape)


def _carved(name: str, spec: DomainSpec, beside: Path | None, factor: float | None) -> Model:
    crystal, shape = _sized(spec, beside, factor)
    model = carve(
        crystal, shape.facets, centre=shape.centre, site=shape.site, radius=shape.radius, name=name
    )
    refuse_if_large(len(model) * BYTES_PER_ION, None, f"build with {len(model)} ions in {name}")
    return model


def _sized(spec: DomainSpec, beside: Path | None, factor: float | None) -> tuple[Crystal, Shape]:
    """The crystal of a domain and what it is carved by, at the size that is asked for."""
    crystal, shape = _shape(spec, beside)
    size = spec.size
    if size is None and factor is not None:
        size = factor * size_of(crystal, shape)
    shape = shape if size is None else scaled(crystal, shape, size)
    return crystal, _truncated(crystal, shape, spec)


def _shells(
    recipe: Recipe, model: Model, beside: Path | None, factor: float | None
) -> Iterator[Stage]:
    """The model with one shell after the other around its core."""
    core_name, core_spec = next(iter(recipe.domains.items()))
    crystal, shape = _sized(core_spec, beside, factor)
    inner, layers = shape, []
    for name, spec in recipe.domains.items():
        if spec.around is None:
            continue
        own, outer = _shape(spec, beside)
        if spec.lattice != "own":
            outer = replace(outer, centre=shape.centre, site=shape.site)
        if spec.thickness is not None:
            outer = grown_shape(crystal, inner, spec.thickness)
        outer = _truncated(own if spec.lattice == "own" else crystal, outer, spec)
        factor_ = strain_factor(crystal, own) if spec.lattice == "graded" else 1.0
        layers.append(Layer(inner, factor_))
        axes = None
        if spec.axes is not None:
            first, second = (np.array(spec.axes[n], dtype=float) for n in (core_name, name))
            axes = first, second
        model = grow(model, Shell(name, own, outer, spec.lattice, axes), layers)
        yield name, model
        inner = outer


def _truncated(crystal: Crystal, shape: Shape, spec: DomainSpec) -> Shape:
    t = spec.truncate
    if t is None:
        return shape
    ends = (t.outermost,) if isinstance(t.outermost, str) else t.outermost
    cut = Truncation(t.edges, t.vertices, ends, tuple(t.ligands.items()))
    return truncated(crystal, shape, cut)


def _shape(spec: DomainSpec, beside: Path | None) -> tuple[Crystal, Shape]:
    """The crystal of a domain and what it is carved by, at the size its facets state."""
    crystal = read_crystal(find_structure(spec.crystal, beside), charges=spec.charges)
    centre = spec.centre.offset
    if spec.centre.point is not None:
        datum = crystal.fractional[crystal.datum(None)]
        x, y, z = (float(a - b) for a, b in zip(spec.centre.point, datum, strict=True))
        centre = (x, y, z)
    facets = tuple(_facet(f, crystal, spec.point_group or "") for f in spec.facets)
    return crystal, Shape(facets, spec.radius, tuple(centre), spec.centre.site)


def _periodic_stages(
    recipe: Recipe, spec: JoinSpec, periodic: PeriodicSpec, beside: Path | None
) -> Iterator[Stage]:
    names = list(recipe.domains)
    specs = [recipe.domains[n] for n in names]
    first, second = (_frame(n, s, beside) for n, s in zip(names, specs, strict=True))
    assert specs[0].slab is not None  # the schema checks both
    assert specs[1].slab is not None
    planes = (specs[0].slab.plane, specs[1].slab.plane)
    orientation = _orientation(spec, names, planes)
    cell = coincidence_cell((first, second), orientation, periodic.max_strain)
    limits = tuple((s.slab.first, s.slab.last) for s in specs if s.slab is not None)
    parts = slabs((first, second), orientation, cell, (limits[0], limits[1]))
    for name, part in zip(names, parts, strict=True):
        yield f"{name}-slab", part
    which: dict[str, Strained] = {names[0]: "first", names[1]: "second", "shared": "shared"}
    model = join_slabs(
        *parts,
        orientation,
        cell,
        (np.asarray(spec.anchor[names[0]]), np.asarray(spec.anchor[names[1]])),
        strained=which[periodic.strained],
        vacuum=periodic.vacuum,
        registry=_given_registry(spec.registry),
        window=spec.registry.window,
        floors=spec.floors,
        merging=spec.merge,
        settling=spec.settle,
    )
    model = replace(model, provenance=provenance(recipe, model))
    yield "joined", model
    if spec.merge is not None:
        model = merge(model, spec.merge)
        yield "merged", model
    if spec.settle is not None:
        model = settle(model, spec.settle)
        yield "settled", model
    elif spec.merge is not None:
        check_contacts(model, spec.floors)


def _frame(name: str, spec: DomainSpec, beside: Path | None) -> Domain:
    """A crystal with its datum at the origin, not yet cut."""
    crystal = read_crystal(find_structure(spec.crystal, beside), charges=spec.charges)
    datum = crystal.datum(spec.centre.site)
    return Domain(name, crystal, crystal.vectors.copy(), np.zeros(3), datum)


def _orientation(spec: MeetingSpec, names: list[str], planes: tuple[Plane, Plane]) -> Orientation:
    across = None if spec.across is None else (spec.across[names[0]], spec.across[names[1]])
    return Orientation(planes, (spec.along[names[0]], spec.along[names[1]]), across)


def _facet(spec: FacetSpec, crystal: Crystal, point_group: str) -> Facet:
    hkl = spec.form or spec.facet
    assert hkl is not None  # a side has its indices by now, and the schema holds one
    planes = spec.planes
    if planes is None:
        assert spec.distance is not None
        planes = spec.distance / crystal.spacing(hkl)
    ends = (spec.outermost,) if isinstance(spec.outermost, str) else spec.outermost
    return Facet(hkl, planes, spec.form is None, ends, tuple(spec.ligands.items()), point_group)


def _cut(model: Model, spec: DomainSpec) -> Model:
    for c in spec.cuts:
        edge = {e: r if isinstance(r, float) else r.bonded_to for e, r in c.edge.items()}
        model = cut(model, c.plane, keep=c.keep, at=c.at, edge=edge)
    return model


def _trimmed(model: Model, spec: DomainSpec) -> Model:
    t = spec.trim
    assert t is not None
    rules = t.rules or loose_rules(t.fewer_than or 0, t.elements)
    return trim(model, model.domains[0].name, rules)


def _joint(spec: JoinsSpec) -> Joint:
    first, second = spec.domains
    return Joint(
        domains=spec.domains,
        orientation=_orientation(spec, [first, second], (spec.planes[first], spec.planes[second])),
        anchor=(spec.anchor[first], spec.anchor[second]),
        registry=_given_registry(spec.registry),
        window=spec.registry.window,
        floors=spec.floors,
        shared=spec.shared,
        merging=spec.merge,
        settling=spec.settle,
    )


def _given_registry(spec: RegistrySpec) -> Registry | None:
    if spec.shift is None or spec.gap is None:
        return None
    return Registry(*spec.shift, spec.gap)


def _finished(recipe: Recipe, model: Model, progress: Progress) -> Model:
    spec = recipe.balance
    if spec is not None:
        target = Target(
            charge=spec.target.charge or 0,
            formula=parse_formula(spec.target.formula) if spec.target.formula else None,
            domains={
                n: f if isinstance(f, int) else parse_formula(f)
                for n, f in spec.target.domains.items()
            },
        )
        model = balance(
            model,
            spec.moves,
            target,
            floors=spec.floors,
            keep_symmetry=spec.keep_symmetry,
            progress=progress,
        )
    check_whole(model)
    return replace(model, provenance=provenance(recipe, model))
