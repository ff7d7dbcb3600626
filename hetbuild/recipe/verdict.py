"""Is the finished model what its recipe asked for?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from hetbuild.analyse.report import Report
from hetbuild.elements import formula, parse_formula
from hetbuild.model import Model
from hetbuild.recipe.repeat import unfolded
from hetbuild.recipe.schema import Recipe


def verdict(model: Model, report: Report, recipe: Recipe) -> list[str]:
    """What the finished model fails of what its recipe asked for; empty when all is well."""
    failed = []
    recipe = unfolded(recipe)
    wanted = recipe.balance.target if recipe.balance else None
    charge = _charge(recipe)
    if charge is not None and model.charge != charge:
        failed.append(f"formal charge {model.charge:+d} e, target {charge:+d} e")
    if recipe.composition and report.formula != formula(parse_formula(recipe.composition)):
        failed.append(
            f"composition is {report.formula}, must be {recipe.composition} "
            "(composition in the recipe)"
        )
    targets: Mapping[str, str | int] = wanted.domains if wanted and not recipe.steps else {}
    for name, text in targets.items():
        if isinstance(text, int):
            held = int(model.charges[model.domain == model.domain_named(name)].sum())
            if held != text:
                failed.append(f"{name} has formal charge {held:+d} e, target {text:+d} e")
        elif report.formulas[name] != formula(parse_formula(text)):
            failed.append(f"{name} is {report.formulas[name]}, target {text}")
    if not recipe.steps:
        failed += _collisions(report, recipe)
    return failed


def _collisions(report: Report, recipe: Recipe) -> Iterator[str]:
    """Contacts below the floors of the join of their domains; of others the loosest join counts."""
    joins = [join for join in (recipe.join, *recipe.joins) if join is not None]
    if not joins:
        return
    kinds = joins[0].floors.by_kind
    loosest = {kind: min(j.floors.by_kind[kind] for j in joins) for kind in kinds}
    checked = [("", c, loosest) for c in report.contacts]
    for join in recipe.joins:
        meeting = next(m for m in report.interfaces if set(m.domains) == set(join.domains))
        name = " of " + " and ".join(join.domains)
        checked += [(name, c, join.floors.by_kind) for c in meeting.contacts]
    for name, contact, floors in checked:
        limit = floors[contact.kind]
        if contact.distance < limit - 1e-6:
            yield f"{contact.kind} contact{name} {contact.distance:.3f} Å, limit {limit:g} Å"


def _charge(recipe: Recipe) -> int | None:
    """Formal charge the finished model must have in e; None: any is right.

    A target that is a formula says the charge itself, and a step may accept one.
    """
    if recipe.balance is None or any(step.allow_charge for step in recipe.steps):
        return None
    target = recipe.balance.target
    if (target.formula or target.domains) and not recipe.steps:
        return None
    return 0 if recipe.steps else target.charge or 0
