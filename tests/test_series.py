"""Ten sizes of each family, 3 to 12 nm: some carved, small ones built; with -m series all."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from hetbuild.analyse.report import inspect
from hetbuild.model import Model
from hetbuild.recipe.check import check_ions
from hetbuild.recipe.read import read_recipe
from hetbuild.recipe.run import build, stages
from hetbuild.recipe.schema import Recipe
from hetbuild.recipe.verdict import verdict

FAMILIES = {
    "cspbbr3-cube-5": 11.8,
    "cspbbr3-cube-6": 11.8,
    "cspbcl3-pbs": 11.3,
    "pb4s3cl2-sphere": 2.0,
    "pbs-dot": 6.0,
    "cdse-dot": 13.0,
    "inp-dot": 13.0,
}
"""Shipped recipes, and Å that the next size of each is larger at most; a sphere takes any."""

SIZES = range(3, 13)
"""nm."""

FLOORS = {"anion-anion": 3.0, "cation-anion": 2.6, "cation-cation": 3.3}
"""Å; less where a bulk crystal has shorter contacts itself."""


def at(name: str, nm: float) -> Recipe:
    return read_recipe(name).without_formulas().with_size(f"{nm:g} nm")


def carved(recipe: Recipe) -> Model:
    """The first domain, carved and nothing else done to it."""
    return next(iter(stages(recipe)))[1]


def neutral_and_clear(recipe: Recipe) -> Model:
    """The built model, once its charge, floors and checks are as they must be."""
    model = build(recipe)
    report = inspect(model)
    assert model.charge == 0
    assert verdict(model, report, recipe) == []
    own = {d.crystal.name: d.crystal.bonds.length.min() for d in model.domains}
    for contact in report.contacts:
        floor = FLOORS[contact.kind]
        if contact.kind == "cation-anion":
            floor = min(floor, *(length - 1e-3 for length in own.values()))
        assert contact.distance >= floor, (contact, model.formula)
    return model


@pytest.mark.parametrize("name", FAMILIES)
def test_every_size_is_carved_as_near_as_planes_allow(name: str) -> None:
    step, reached = FAMILIES[name], []
    for nm in SIZES[::3]:
        recipe = at(name, nm)
        check_ions(recipe)
        model = carved(recipe)
        facets = next(iter(recipe.domains.values())).facets
        hkl = (facets[0].form or facets[0].facet) if facets else (1, 0, 0)
        assert hkl is not None
        domain = model.domains[0]
        extent = np.ptp(domain.plane_index(hkl, model.positions)) * domain.crystal.spacing(hkl)
        assert abs(extent - 10 * nm) <= step / 2 + 2.0  # the last ions lie within their facets
        reached.append((extent, len(model)))
    assert all(a <= b for a, b in pairwise(reached))
    assert reached[-1][1] > 20 * reached[0][1]


@pytest.mark.parametrize("name", FAMILIES)
def test_the_smallest_is_neutral_and_clear(name: str) -> None:
    neutral_and_clear(at(name, 3))


@pytest.mark.series
@pytest.mark.parametrize("nm", SIZES)
@pytest.mark.parametrize("name", ["cspbbr3-cube-6", "cspbcl3-pbs", "pb4s3cl2-sphere"])
def test_every_size_is_neutral_and_clear(name: str, nm: int) -> None:
    neutral_and_clear(at(name, nm))
