"""What recipes mean: merging, steps of periodic interfaces, charges that are asked for."""

from __future__ import annotations

import builtins
import os
from pathlib import Path
from typing import Any

import pytest
from conftest import history

import hetbuild as hb
from hetbuild.analyse.report import inspect
from hetbuild.assemble.carve import available_memory
from hetbuild.errors import InputError
from hetbuild.recipe.read import parse_recipe, read_recipe
from hetbuild.recipe.verdict import verdict


def test_a_childs_formula_replaces_its_parents_charge(tmp_path: Path) -> None:
    child = tmp_path / "child.toml"
    child.write_text(
        'extends = "cspbcl3-cube-2"\n[balance.target]\nformula = "Cs20Pb8Cl36"\n', encoding="utf-8"
    )
    target = read_recipe(child).balance
    assert target is not None
    assert target.target.charge is None
    assert target.target.formula == "Cs20Pb8Cl36"


def test_settings_replace_what_they_exclude() -> None:
    recipe = read_recipe("cspbcl3-cube-2", {"balance.target.formula": "Cs20Pb8Cl36"})
    assert recipe.balance is not None
    assert recipe.balance.target.charge is None
    point = read_recipe("cspbcl3-cube-2", ["domains.perovskite.centre.point=[0.5,0.5,0.5]"])
    assert point.domains["perovskite"].centre.site is None


def test_a_file_beside_a_recipe_goes_before_the_shipped_one(tmp_path: Path) -> None:
    base = hb.recipes()["cspbcl3-cube-2"].read_text(encoding="utf-8")
    (tmp_path / "cspbcl3-cube-2.toml").write_text(base.replace("CsPbCl3", "CsPbBr3"))
    (tmp_path / "child.toml").write_text('extends = "cspbcl3-cube-2"\n')
    assert read_recipe(tmp_path / "child.toml").domains["perovskite"].crystal == "CsPbBr3"


def test_extending_nothing_names_what_there_is(tmp_path: Path) -> None:
    (tmp_path / "child.toml").write_text('extends = "cspbcl3-cub-2"\n')
    with pytest.raises(hb.InputError, match="did you mean 'cspbcl3-cube-2'"):
        read_recipe(tmp_path / "child.toml")


def test_a_fault_is_told_once() -> None:
    with pytest.raises(hb.InputError) as told:
        read_recipe("cspbcl3-pbs", ['balance.moves=["frob Cl"]'])
    (_, line) = str(told.value).splitlines()
    assert line.startswith("  balance.moves.0: 'frob Cl' is no move; write")
    with pytest.raises(hb.InputError, match=r"balance\.moves: nothing is given; give at least 1"):
        read_recipe("cspbcl3-pbs", ["balance.moves=[]"])


@pytest.mark.parametrize(
    ("step", "text"),
    [
        ({"action": "etchh"}, "steps.0.action: 'etchh' is not known; did you mean 'etch'?"),
        ({"domain": "perovskite"}, "steps.0.action: is missing; known are replace, topotactic,"),
    ],
)
def test_a_step_says_what_it_does(step: dict[str, str], text: str) -> None:
    with pytest.raises(InputError, match=text.replace("?", "[?]")):
        read_recipe({"extends": "cspbcl3-cube-2", "steps": [step]})


def test_the_window_of_a_recipe_is_the_engines() -> None:
    recipe = read_recipe("interface-cspbcl3-cspb2cl5")
    assert recipe.join is not None
    assert recipe.join.registry.window == hb.Window(0.0, 0.0, (-1.5, 2.0))
    recipe = read_recipe("cspbcl3-pbs", {"join.registry": {"window": {}}})
    assert recipe.join is not None
    assert recipe.join.registry.window == hb.Window()
    with pytest.raises(hb.InputError, match=r"window_along: unknown key; did you mean 'window'"):
        read_recipe("cspbcl3-pbs", {"join.registry": {"window_along": 1}})


def periodic(steps: list[dict[str, Any]]) -> hb.Recipe:
    tree = read_recipe("interface-cspbcl3-cspb2cl5").model_dump(mode="json", exclude_none=True)
    return parse_recipe(tree | {"steps": steps})


def test_steps_of_a_periodic_recipe_run() -> None:
    step = {"action": "replace", "domain": "perovskite", "ions": {"Cl": "Br"}}
    model = hb.build(periodic([step]))
    parent = history("interface-cspbcl3-cspb2cl5")["joined"]
    assert model.cell is not None
    assert len(model) == len(parent)
    chlorine = ((parent.numbers == 17) & (parent.domain == 0)).sum()
    assert (model.numbers == 35).sum() == chlorine > 0
    assert model.provenance["steps"][0]["done"][0]["taken"] == {"Cl": chlorine}


@pytest.mark.parametrize(
    "step",
    [
        {"action": "topotactic", "domain": "perovskite", "product": "Cu2S"},
        {"action": "replace", "domain": "perovskite", "ions": {"Cs": "MA"}},
        {"action": "etch", "domain": "perovskite"},
        {"action": "replace", "domain": "perovskite", "ions": {"Cl": "S"},
         "compensate": ["remove Cs in perovskite"]},
    ],
)  # fmt: skip
def test_steps_that_need_images_are_refused(step: dict[str, Any]) -> None:
    with pytest.raises(hb.ImpossibleError, match="only ions on their sites can be exchanged"):
        hb.build(periodic([step]))


def failures(recipe: hb.Recipe) -> list[str]:
    model = hb.build(recipe)
    return verdict(model, inspect(model), recipe)


def cube(**change: Any) -> hb.Recipe:
    tree = read_recipe("cspbcl3-cube-2").model_dump(mode="json", exclude_none=True)
    return parse_recipe(tree | change)


def test_a_charge_that_was_asked_for_is_no_failure() -> None:
    accepted = {"action": "replace", "domain": "perovskite", "ions": {"Cl": "S"},
                "allow_charge": True}  # fmt: skip
    assert failures(cube(steps=[accepted])) == []
    moves = read_recipe("cspbcl3-cube-2").model_dump(mode="json")["balance"]["moves"]
    charged = {"target": {"formula": "Cs21Pb8Cl36"}, "moves": moves}
    assert failures(cube(balance=charged)) == []
    by_domain = {"target": {"domains": {"perovskite": "Cs22Pb8Cl36"}}, "moves": moves}
    assert failures(cube(balance=by_domain)) == []
    assert failures(cube(balance={"target": {"charge": 3}, "moves": moves})) == []


def test_a_composition_that_was_missed_is_a_failure() -> None:
    assert failures(cube(composition="Cs21Pb8Cl36")) == [
        "composition is Cs20Pb8Cl36, must be Cs21Pb8Cl36 (composition in the recipe)"
    ]


def test_carving_needs_no_word_of_the_system_about_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """macOS knows no SC_AVPHYS_PAGES, Windows no sysconf; psutil is optional."""
    real = builtins.__import__

    def without_psutil(name: str, *args: Any, **options: Any) -> Any:
        if name == "psutil":
            raise ImportError(name)
        return real(name, *args, **options)

    monkeypatch.setattr(builtins, "__import__", without_psutil)
    assert 1e6 < available_memory() < 1e15
    monkeypatch.setattr(os, "sysconf", lambda name: (_ for _ in ()).throw(ValueError(name)))
    assert available_memory() == float("inf")
    monkeypatch.delattr(os, "sysconf")
    assert available_memory() == float("inf")
    assert len(hb.carve("PbS", radius=6.0)) > 20
