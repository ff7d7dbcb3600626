"""What a recipe asks of crystals that they do not have, found without building."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from hetbuild.crystal.crystal import Crystal, read_crystal
from hetbuild.crystal.subgroups import subgroup
from hetbuild.elements import KINDS, counts, parse_formula
from hetbuild.errors import HetbuildError, InputError
from hetbuild.library import find_structure
from hetbuild.recipe.frame import in_indices
from hetbuild.recipe.repeat import unfolded
from hetbuild.recipe.schema import BalanceSpec, BondedTo, DomainSpec, Recipe
from hetbuild.recipe.step_ions import Domains, Known, move_faults, step_faults


def check_ions(recipe: Recipe) -> None:
    """Refuse ions that no domain can have: the crystals are read, nothing is built.

    Raises
    ------
    InputError
        Ions named in facets, cuts, moves, targets or steps are none of the domain's crystal nor
        among those brought in, or a step's product or molecule does not fit; the text lists every
        one with where it is named.
    """
    faults = list(_faults(recipe))
    if faults:
        raise InputError("This recipe cannot be built:\n" + "\n".join("  " + f for f in faults))


def _faults(recipe: Recipe) -> Iterator[str]:
    faults = False
    for name, spec in recipe.domains.items():
        try:
            known = _known(spec, recipe.folder)
        except HetbuildError as error:
            faults = True
            yield f"domains.{name}: {error}"
            continue
        yield from _domain_faults(name, spec, known.crystal, known.elements)
    try:
        in_indices(recipe)
    except InputError as error:
        yield str(error)
    if faults:
        return
    try:
        recipe = unfolded(recipe)
    except HetbuildError as error:
        yield str(error)
        return
    yield from _later_faults(
        recipe, {n: _known(s, recipe.folder) for n, s in recipe.domains.items()}
    )


def _known(spec: DomainSpec, beside: Path) -> Known:
    """The crystal of a domain, and what may be on the particle carved of it."""
    crystal = read_crystal(find_structure(spec.crystal, beside), charges=spec.charges)
    crystal.datum(spec.centre.site)
    ligands = [f.ligands for f in spec.facets]
    ligands += [spec.truncate.ligands] if spec.truncate else []
    return Known(crystal, set(counts(crystal.numbers)) | {e for g in ligands for e in g.values()})


def _later_faults(recipe: Recipe, domains: Domains) -> Iterator[str]:
    """Of balancing and steps, when the domains are together."""
    if any(joint.merge for joint in (*recipe.meetings, recipe.join) if joint is not None):
        # The ion that stays where both lattices have one belongs to either.
        both = set().union(*(d.elements for d in domains.values()))
        domains = {name: Known(d.crystal, set(both)) for name, d in domains.items()}
    if recipe.balance is not None:
        yield from move_faults("balance.moves", recipe.balance.moves, domains)
        yield from _target_faults(recipe, recipe.balance, domains)
    periodic = recipe.join is not None and recipe.join.periodic is not None
    yield from step_faults(recipe.steps, domains, recipe.folder, periodic)


def _domain_faults(name: str, spec: DomainSpec, crystal: Crystal, held: set[str]) -> Iterator[str]:
    own = set(counts(crystal.numbers))
    if spec.point_group is not None:
        try:
            subgroup(crystal.rotations, spec.point_group, crystal.name)
        except InputError as error:
            yield f"domains.{name}.point_group: {error}"
    if spec.truncate is not None:
        t = spec.truncate
        ends = (t.outermost,) if isinstance(t.outermost, str) else t.outermost
        for key, words in (("outermost", ends), ("ligands", tuple(t.ligands))):
            yield from _missing(f"domains.{name}.truncate.{key}", words, own, crystal)
    for i, facet in enumerate(spec.facets):
        ends = (facet.outermost,) if isinstance(facet.outermost, str) else facet.outermost
        for key, words in (("outermost", ends), ("ligands", tuple(facet.ligands))):
            yield from _missing(f"domains.{name}.facets.{i}.{key}", words, own, crystal)
    for i, cut in enumerate(spec.cuts):
        place = f"cut.{i}" if len(spec.cuts) > 1 else "cut"
        yield from _missing(f"domains.{name}.{place}.edge", tuple(cut.edge), held, crystal)
        cations = tuple(r.bonded_to for r in cut.edge.values() if isinstance(r, BondedTo))
        yield from _missing(f"domains.{name}.{place}.edge.bonded_to", cations, held, crystal)


def _missing(
    where: str, words: tuple[str, ...], known: set[str], crystal: Crystal
) -> Iterator[str]:
    for word in words:
        if word in KINDS:
            try:
                crystal.ions(word)
            except InputError as error:
                yield f"{where}: {error}"
        elif word not in known:
            yield (
                f"{where}: {word} is no ion of {crystal.name}, which has "
                f"{', '.join(sorted(known))}; 'cation' or 'anion' fits every crystal."
            )


def _target_faults(recipe: Recipe, balance: BalanceSpec, domains: Domains) -> Iterator[str]:
    for name, text in balance.target.domains.items():
        wanted = set(parse_formula(text)) if isinstance(text, str) else set()
        foreign = wanted - domains[name].elements
        if foreign:
            yield (
                f"balance.target.domains.{name}: {text} has {', '.join(sorted(foreign))}, which "
                f"{name} of {recipe.domains[name].crystal} has not."
            )
