"""Where each atom of a model is, in words: its domain, its site, and the part of the particle."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from hetbuild.analyse.regions import Region, regions
from hetbuild.model import Model
from hetbuild.selection.places import Places

Words = npt.NDArray[np.str_]


@dataclass(frozen=True, eq=False)
class Whereabouts:
    """One word of each kind for each atom, shape (N,)."""

    domain: Words
    group: Words
    """``interface``, ``facet``, ``edge``, ``corner`` or ``inside``."""
    site: Words
    """Site label and cell, as ``Cs1 (2 0 -1)``; empty where an atom has none."""


def whereabouts(model: Model) -> Whereabouts:
    """By the lattice sites of the atoms, so that relaxed models read like the ideal ones."""
    names = np.array([d.name for d in model.domains])[model.domain]
    return Whereabouts(names, _groups(model), _sites(model))


def _groups(model: Model) -> Words:
    region = regions(model)
    ideal = replace(model, positions=_ideal(model))
    faces = Places.of(ideal).flat_faces if len(model) > 4 else np.zeros(len(model), dtype=int)
    outer = np.array(["facet", "edge", "corner"])[np.clip(faces, 1, 3) - 1]
    named = np.where(region == Region.CORE, "inside", outer)
    return np.where(region == Region.INTERFACE, "interface", named)


def _ideal(model: Model) -> Any:
    places = model.positions.copy()
    for k, domain in enumerate(model.domains):
        mine = (model.domain == k) & (model.site >= 0)
        places[mine] = domain.site_positions(model.site[mine], model.site_cell[mine])
    return places


def _sites(model: Model) -> Words:
    label = np.full(len(model), "", dtype=object)
    for k, domain in enumerate(model.domains):
        mine = np.flatnonzero((model.domain == k) & (model.site >= 0))
        labels = np.array(domain.crystal.site_names)[model.site[mine]]
        cells = [" ".join(map(str, c)) for c in model.site_cell[mine].tolist()]
        label[mine] = [f"{a} ({c})" for a, c in zip(labels, cells, strict=True)]
    return label.astype(str)
