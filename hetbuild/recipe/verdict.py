"""Is the finished model what its recipe asked for?"""

from __future__ import annotations

from collections.abc import Mapping

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
        failed.append(f"composition is {report.formula}, must be {recipe.composition}")
    targets: Mapping[str, str | int] = wanted.domains if wanted and not recipe.steps else {}
    for name, text in targets.items():
        if isinstance(text, int):
            held = int(model.charges[model.domain == model.domain_named(name)].sum())
            if held != text:
                failed.append(f"{name} has formal charge {held:+d} e, target {text:+d} e")
        elif report.formulas[name] != formula(parse_formula(text)):
            failed.append(f"{name} is {report.formulas[name]}, target {text}")
    floors = recipe.join.floors.by_kind if recipe.join and not recipe.steps else {}
    for contact in report.contacts:
        limit = floors.get(contact.kind, 0.0)
        if contact.distance < limit - 1e-6:
            failed.append(f"{contact.kind} contact {contact.distance:.3f} Å, limit {limit:g} Å")
    return failed


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
