"""What a user of the package writes, checked by mypy in CI: the types must reach them."""

from __future__ import annotations

from pathlib import Path

import hetbuild as hb


def charges(names: list[str]) -> dict[str, int]:
    """Formal charge of each shipped recipe's model, e."""
    return {name: hb.build(name).charge for name in names}


def write(model: hb.Model, folder: Path) -> Path:
    """A file for VESTA."""
    return Path(model.write(folder / "model.vesta"))


crystal: hb.Crystal = hb.Crystal.named("PbS")
particle: hb.Model = hb.carve(crystal, [hb.Facet((1, 0, 0), 4)])
formula: str = particle.formula
