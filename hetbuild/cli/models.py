"""Models that commands read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hetbuild.model import Model


DEFAULT_RECIPE = "cspbcl3-pbs"
"""What `build` and `exchange` take when told nothing."""


def read_model(path: Path, crystals: str | None) -> Model:
    from hetbuild.formats.xyz import read_xyz

    if crystals is None:
        return read_xyz(path)
    from hetbuild.analyse.labels import model_of
    from hetbuild.crystal.crystal import read_crystal
    from hetbuild.formats.xyz import read_positions
    from hetbuild.library import find_structure

    bulk = [read_crystal(find_structure(name.strip())) for name in crystals.split(",")]
    atoms, positions, cell = read_positions(path)
    return model_of(atoms, positions, bulk, cell)
