"""About how long a sweep takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hetbuild.sweep.variants import Variant

START, PER_ION = 1.0, 2.5e-3
"""Seconds of one model and of each of its ions; the shipped recipes of 1,000 ions take 3 to 4."""

SAMPLES = 8
"""Variants that are carved to learn how many ions the rest has."""


def estimate(pending: Sequence[Variant], done: Sequence[Mapping[str, Any]]) -> float:
    """Seconds on one core: by what earlier variants took, else by the ions a few of them have."""
    took = [float(row["seconds"]) for row in done if "seconds" in row]
    if took:
        return sum(took) / len(took) * len(pending)
    step = max(1, len(pending) // SAMPLES)
    sizes = [_ions(v) for v in pending[::step]]
    mean = sum(sizes) / max(1, len(sizes))
    return (START + PER_ION * mean) * len(pending)


def _ions(variant: Variant) -> int:
    """Of the particles before cutting, which is at most twice what is left."""
    from hetbuild.recipe.read import parse_recipe
    from hetbuild.recipe.run import stages

    recipe = parse_recipe(variant.recipe).kept_in(Path(variant.beside))
    total = 0
    for name, model in stages(recipe):
        if not name.endswith(("-carved", "-slab")):
            continue
        total += len(model)
        if len(recipe.domains) == 1 or name.startswith(list(recipe.domains)[-1]):
            break
    return total
