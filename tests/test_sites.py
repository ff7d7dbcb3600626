"""Every ion knows its lattice site, through carving, joining, balancing, exchange and files."""

from __future__ import annotations

import io

import numpy as np
import pytest
from conftest import history

from hetbuild.formats.ase import from_ase
from hetbuild.formats.xyz import write_xyz
from hetbuild.model import Model

RECIPES = ("cspbcl3-pbs", "cspbbr3-pbs", "cspbcl3-cu2s", "pb4s3cl2-half", "cspbcl3-pb4s3cl2")


def _final(recipe: str) -> Model:
    return list(history(recipe).values())[-1]


def _off_site(model: Model) -> np.ndarray:
    off = np.zeros(len(model))
    for i, domain in enumerate(model.domains):
        mine = (model.domain == i) & (model.site >= 0)
        ideal = domain.site_positions(model.site[mine], model.site_cell[mine])
        off[mine] = np.linalg.norm(model.positions[mine] - ideal, axis=1)
    return off


@pytest.mark.parametrize("recipe", RECIPES)
def test_ions_of_unrelaxed_models_stand_on_their_sites(recipe: str) -> None:
    model = _final(recipe)
    # Settling moves ions at the interface, and nothing else does.
    settled = {e.position for e in model.ledger if e.step == "settle"}
    off = _off_site(model) >= 1e-6
    assert {tuple(x) for x in model.positions[off].tolist()} <= settled
    assert _off_site(model).max() <= 1.0
    # Only the PbS layer kept in Cu2S has no site of its domain's crystal.
    without = model.site < 0
    assert without.sum() == (
        0 if recipe != "cspbcl3-cu2s" else (model.numbers[without] == 82).sum()
    )


@pytest.mark.parametrize("recipe", RECIPES)
def test_no_two_ions_of_a_domain_share_a_site(recipe: str) -> None:
    model = _final(recipe)
    on = model.site >= 0
    key = np.column_stack([model.domain[on], model.site[on], model.site_cell[on]])
    assert len(np.unique(key, axis=0)) == on.sum()


def test_sites_survive_extended_xyz(main_model: Model) -> None:
    from ase.io import read

    stream = io.StringIO()
    write_xyz(main_model, stream)
    again = from_ase(read(io.StringIO(stream.getvalue()), format="extxyz"))
    assert np.array_equal(again.site, main_model.site)
    assert np.array_equal(again.site_cell, main_model.site_cell)


def test_sites_do_not_depend_on_where_displaced_ions_went(main_model: Model) -> None:
    from dataclasses import replace

    from hetbuild.exchanging.same_site import replace_ions

    noise = np.random.default_rng(1).normal(scale=0.4, size=main_model.positions.shape)
    moved = replace(main_model, positions=main_model.positions + noise)
    daughter, _ = replace_ions(moved, "perovskite", {"Cl": "Br"})
    ideal, _ = replace_ions(main_model, "perovskite", {"Cl": "Br"})
    assert np.array_equal(daughter.site, ideal.site)


@pytest.mark.parametrize("recipe", ["interface-cspbcl3-pb4s3cl2", "interface-cspbcl3-cs2pbcl4"])
def test_lattices_of_periodic_interfaces_are_measured_as_built(recipe: str) -> None:
    from hetbuild.analyse.report import inspect

    report = inspect(_final(recipe))
    assert report.interface is not None
    assert max(report.interface.spread) < 0.2  # settling moves a few ions
    assert report.interface.misalignment < 0.5
