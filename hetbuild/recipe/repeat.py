"""Joins that a point group repeats: one arm of a tetrapod stands for all four."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from hetbuild.arrays import FloatArray, IntArray
from hetbuild.balancing.candidates import Move
from hetbuild.crystal.crystal import Crystal, read_crystal
from hetbuild.crystal.lattice import plane_label
from hetbuild.errors import ImpossibleError
from hetbuild.library import find_structure
from hetbuild.recipe.schema import DomainSpec, JoinsSpec, Recipe

SAME_SITE = 1e-3
"""Fraction of a cell by which a turned site may miss another."""


def unfolded(recipe: Recipe) -> Recipe:
    """The recipe with every repeated join written out, domains, moves and steps with it.

    A domain NAME that a join repeats becomes NAME-1, NAME-2 and so on, with what is joined to it.
    What the recipe says of NAME holds for each copy.

    Raises
    ------
    ImpossibleError
        The centre of the domain whose point group repeats a join has not that symmetry.
    """
    while any(joint.repeat for joint in recipe.joins):
        index = next(i for i, joint in enumerate(recipe.joins) if joint.repeat)
        recipe = _without_repeat(recipe, index)
    return recipe


def _without_repeat(recipe: Recipe, index: int) -> Recipe:
    """With the join of this index written out."""
    joint = recipe.joins[index]
    core = joint.repeat
    assert core is not None
    branch = _branch(recipe, index)
    ways = _ways(recipe, joint, core)
    joins: list[JoinsSpec] = []
    for i, other in enumerate(recipe.joins):
        if not branch & set(other.domains):
            joins.append(other)
            continue
        for k, (turn, centre) in enumerate(ways, 1):
            copy = _turned(other, core, turn, centre) if i == index else other
            joins.append(_renamed(copy, branch, k))
    copies = {n: [f"{n}-{k}" for k in range(1, len(ways) + 1)] for n in branch}
    domains = _domains(recipe.domains, copies)
    moved = {"domains": domains, "joins": tuple(joins), "steps": tuple(_steps(recipe, copies))}
    return recipe.written_out(moved | _balance(recipe, copies))


def _branch(recipe: Recipe, index: int) -> set[str]:
    """Domains that hang on a repeated join: the other domain of it, and what is joined to that."""
    joint = recipe.joins[index]
    found = {n for n in joint.domains if n != joint.repeat}
    others = [set(j.domains) for i, j in enumerate(recipe.joins) if i != index]
    while more := [pair for pair in others if pair & found and not pair <= found]:
        found = found.union(*more)
    return found


def _ways(recipe: Recipe, joint: JoinsSpec, core: str) -> list[tuple[IntArray, FloatArray]]:
    """A proper rotation to each equivalent plane of the core, and the centre it is about."""
    spec = recipe.domains[core]
    crystal = read_crystal(find_structure(spec.crystal, recipe.folder), charges=spec.charges)
    centre = np.array(spec.centre.offset)
    datum = crystal.fractional[crystal.datum(spec.centre.site)]
    if spec.centre.point is not None:
        centre = np.array(spec.centre.point) - datum
    plane = np.array(joint.planes[core])
    found: dict[tuple[int, ...], IntArray] = {tuple(plane.tolist()): np.eye(3, dtype=np.int64)}
    for turn in crystal.rotations[np.linalg.det(crystal.rotations) > 0]:
        image = tuple(np.rint(plane @ np.linalg.inv(turn)).astype(int).tolist())
        if image in found:
            continue
        if not _maps(crystal, crystal.fractional - datum, turn, centre):
            raise ImpossibleError(
                f"joins: {core} has no symmetry about its centre that takes "
                f"{plane_label(plane.tolist())} to {plane_label(image)}, though {crystal.name} "
                f"has. Centre {core} on a site of full point symmetry, or write the joins one by "
                "one without repeat."
            )
        found[image] = turn
    return [(turn, centre) for turn in found.values()]


def _maps(crystal: Crystal, sites: FloatArray, turn: IntArray, centre: FloatArray) -> bool:
    """Whether a rotation about a point leaves the crystal as it is."""
    moved = (sites - centre) @ turn.T + centre
    apart = moved[:, None] - sites[None]
    same = (np.abs(apart - np.rint(apart)) < SAME_SITE).all(axis=2)
    return bool((same & (crystal.numbers[:, None] == crystal.numbers[None])).any(axis=1).all())


def _turned(joint: JoinsSpec, core: str, turn: IntArray, centre: FloatArray) -> JoinsSpec:
    """A join on another of the equivalent planes of the core."""
    plane = np.array(joint.planes[core]) @ np.linalg.inv(turn)
    anchor = turn @ (np.array(joint.anchor[core]) - centre) + centre
    update: dict[str, Any] = {
        "planes": {**joint.planes, core: tuple(np.rint(plane).astype(int).tolist())},
        "along": {**joint.along, core: tuple((turn @ np.array(joint.along[core])).tolist())},
        "anchor": {**joint.anchor, core: tuple(anchor.tolist())},
        "repeat": None,
    }
    if joint.across is not None:
        across = tuple((turn @ np.array(joint.across[core])).tolist())
        update["across"] = {**joint.across, core: across}
    return joint.model_copy(update=update)


def _renamed(joint: JoinsSpec, branch: set[str], k: int) -> JoinsSpec:
    """A join of the k-th copies of these domains."""

    def name(old: str) -> str:
        return f"{old}-{k}" if old in branch else old

    update: dict[str, Any] = {"domains": tuple(map(name, joint.domains))}
    for key in ("planes", "along", "across", "anchor"):
        given = getattr(joint, key)
        update[key] = None if given is None else {name(n): v for n, v in given.items()}
    if joint.shared is not None:
        update["shared"] = name(joint.shared)
    if joint.merge is not None:
        update["merge"] = replace(joint.merge, keep=name(joint.merge.keep))
    return joint.model_copy(update=update)


def _domains(
    domains: Mapping[str, DomainSpec], copies: Mapping[str, list[str]]
) -> dict[str, DomainSpec]:
    return {new: spec for name, spec in domains.items() for new in copies.get(name, [name])}


def _balance(recipe: Recipe, copies: Mapping[str, list[str]]) -> dict[str, Any]:
    balance = recipe.balance
    if balance is None:
        return {}
    moves: list[Move] = [
        replace(move, domain=name)
        for move in balance.moves
        for name in copies.get(move.domain, [move.domain])
    ]
    wanted = {
        new: value
        for name, value in balance.target.domains.items()
        for new in copies.get(name, [name])
    }
    target = balance.target.model_copy(update={"domains": wanted})
    return {"balance": balance.model_copy(update={"moves": tuple(moves), "target": target})}


def _steps(recipe: Recipe, copies: Mapping[str, list[str]]) -> Iterator[Any]:
    for step in recipe.steps:
        for name in copies.get(step.domain, [step.domain]):
            yield step.model_copy(update={"domain": name})
