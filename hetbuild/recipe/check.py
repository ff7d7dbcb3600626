"""What a recipe asks of crystals that they do not have, found without building."""

from __future__ import annotations

from collections.abc import Iterator

from hetbuild.crystal.crystal import Crystal, read_crystal
from hetbuild.crystal.subgroups import subgroup
from hetbuild.elements import KINDS, counts, parse_formula
from hetbuild.errors import HetbuildError, InputError
from hetbuild.library import find_structure
from hetbuild.recipe.frame import in_indices
from hetbuild.recipe.schema import DomainSpec, Recipe


def check_ions(recipe: Recipe) -> None:
    """Refuse ions that no domain can have: the crystals are read, nothing is built.

    Raises
    ------
    InputError
        Ions named in facets, cuts, moves or targets are none of the domain's crystal nor among
        those brought in; the text lists every one with where it is named.
    """
    faults = list(_faults(recipe))
    if faults:
        raise InputError("This recipe cannot be built:\n" + "\n".join("  " + f for f in faults))


def _faults(recipe: Recipe) -> Iterator[str]:
    held: dict[str, set[str]] = {}
    for name, spec in recipe.domains.items():
        try:
            crystal = read_crystal(
                find_structure(spec.crystal, recipe.folder), charges=spec.charges
            )
            crystal.datum(spec.centre.site)
        except HetbuildError as error:
            yield f"domains.{name}: {error}"
            continue
        held[name] = set(counts(crystal.numbers)) | {
            ligand for f in spec.facets for ligand in f.ligands.values()
        }
        yield from _domain_faults(name, spec, crystal, held[name])
    try:
        in_indices(recipe)
    except InputError as error:
        yield str(error)
    yield from _balance_faults(recipe, held)
    for i, step in enumerate(recipe.steps):
        product = getattr(step, "product", None)
        if product is not None:
            try:
                find_structure(product, recipe.folder)
            except HetbuildError as error:
                yield f"steps.{i}.product: {error}"


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


def _balance_faults(recipe: Recipe, held: dict[str, set[str]]) -> Iterator[str]:
    if recipe.balance is None or set(held) != set(recipe.domains):
        return
    brought = {n: set(ions) for n, ions in held.items()}
    for move in recipe.balance.moves:
        brought[move.domain] |= {move.to} if move.to else set()
        brought[move.domain] |= {move.element} if move.action == "add" else set()
    for i, move in enumerate(recipe.balance.moves):
        known = brought[move.domain]
        if move.action != "add" and move.element not in KINDS and move.element not in known:
            yield (
                f"balance.moves.{i}: there is no {move.element} to {move.action} in "
                f"{move.domain}, which has {', '.join(sorted(known))}."
            )
    for name, text in recipe.balance.target.domains.items():
        foreign = set(parse_formula(text)) - brought[name] if isinstance(text, str) else set()
        if foreign:
            yield (
                f"balance.target.domains.{name}: {text} has {', '.join(sorted(foreign))}, which "
                f"{name} of {recipe.domains[name].crystal} has not."
            )
