"""What the domains and the joins of a recipe must agree on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hetbuild.errors import nearest

if TYPE_CHECKING:
    from hetbuild.recipe.schema.join import PeriodicSpec
    from hetbuild.recipe.schema.recipe import Recipe


def check_domains(recipe: Recipe, names: list[str]) -> None:
    """Refuse domains that the join or their shells leave alone, or name wrongly."""
    if any(d.around is not None for d in recipe.domains.values()):
        _check_shells(recipe, names)
        return
    if recipe.joins:
        _check_joins(recipe, names)
        return
    if len(names) > 2:
        raise ValueError(
            "more than two domains are a core and its shells (say around), or meet by [[joins]]"
        )
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
        cuts = recipe.domains[name].cuts
        if len(cuts) != 1 or cuts[0].keep != side:
            raise ValueError(
                f"domain {name} must be cut with keep = {side!r}: the first domain lies above the "
                "interface, the second below; to turn a domain over, negate its plane"
            )


def _check_joins(recipe: Recipe, names: list[str]) -> None:
    """Refuse joins that are no tree over all domains, or cannot be done together."""
    if recipe.join is not None:
        raise ValueError("give either [join] or [[joins]]; one join may stand in either")
    if any(d.slab for d in recipe.domains.values()):
        raise ValueError("slabs are joined by [join] with periodic, not by [[joins]]")
    tree = {name: {name} for name in names}
    for i, joint in enumerate(recipe.joins):
        for name in joint.domains:
            if name not in tree:
                raise ValueError(f"joins.{i}.domains: unknown {name!r}; {nearest(name, names)}")
        a, b = joint.domains
        if b in tree[a]:
            raise ValueError(
                f"joins.{i} closes a circle: {a} and {b} are connected already. Domains are joined "
                "as a tree; leave one of the joins out"
            )
        both = tree[a] | tree[b]
        tree |= dict.fromkeys(both, both)
    alone = [name for name in names if name not in tree[names[0]]]
    if alone:
        raise ValueError(
            f"no join connects {', '.join(alone)} with {names[0]}: every domain needs a way to the "
            "first one through [[joins]]"
        )
    if len({repr(joint.settle) for joint in recipe.joins}) > 1:
        raise ValueError(
            "joins are settled together, after balancing: give all of them the same settle"
        )


def _check_shells(recipe: Recipe, names: list[str]) -> None:
    for i, (name, spec) in enumerate(recipe.domains.items()):
        if spec.around is None:
            continue
        joined = recipe.join is not None or recipe.joins
        if joined or any(recipe.domains[n].around is None for n in names[1:]):
            raise ValueError("shells go around one core: a recipe with a shell takes no [join]")
        if spec.around != names[i - 1]:
            raise ValueError(
                f"domain {name}: around must name the domain before it, {names[i - 1]!r}"
                if i
                else f"domain {name}: the first domain is the core, it has nothing inside"
            )
        if spec.axes is not None and set(spec.axes) != {names[0], name}:
            raise ValueError(f"domains.{name}.axes must name the domains {names[0]} and {name}")


def _check_periodic(recipe: Recipe, spec: PeriodicSpec, names: list[str]) -> None:
    if any(recipe.domains[name].slab is None for name in names):
        raise ValueError("join.periodic needs a slab in both domains")
    if spec.strained not in (*names, "shared"):
        raise ValueError(f"join.periodic.strained: {nearest(spec.strained, [*names, 'shared'])}")
    if recipe.join is not None and recipe.join.across is None:
        raise ValueError("join.periodic needs join.across, the second direction of the cell")
    if recipe.balance is not None:
        raise ValueError("a periodic interface is not balanced: choose neutral slabs")
