"""What a model is called in one line: as its recipe says, or a daughter by what was done."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hetbuild.model import Model


def title(model: Model) -> str:
    """The recipe's title; after steps that it does not tell, the crystals and what was done.

    ``CsPbBr3/PbS, Cl to Br in perovskite (from CsPbCl3 cube on a PbS cuboctahedron)``.
    """
    recipe = model.provenance.get("recipe") or {}
    name = str(recipe.get("title") or recipe.get("name") or "hetbuild model")
    steps = model.provenance.get("steps", ())[model.provenance.get("titled", 0) :]
    if not steps:
        return name
    crystals = "/".join(d.crystal.name for d in model.domains)
    done = ", ".join(_done(step["asked"]) for step in steps)
    return f"{crystals}, {done} (from {name})"


def _done(asked: Mapping[str, Any]) -> str:
    """A step in a few words."""
    action, domain = str(asked["action"]), str(asked.get("domain") or "")
    where = f" in {domain}" if domain else ""
    if action == "etch":
        return f"{domain} etched"
    if action == "topotactic":
        return f"{domain} to {asked.get('product', 'another crystal')}"
    if action == "replace":
        pairs = (f"{old} to {new}" for old, new in asked.get("ions", {}).items())
        return (", ".join(pairs) or "ions replaced") + where
    if action == "ligands":
        kinds = (str(add.get("ligand", "")) for add in asked.get("add", ()))
        return " and ".join(dict.fromkeys(kinds)) + " on the surface" + (where and f" of {domain}")
    element = str(asked.get("element", "ions"))
    words = {"swap": f"{element} to {asked.get('to', '')}", "add": f"{element} added"}
    return words.get(action, f"{element} removed") + where
