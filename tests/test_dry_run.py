"""`build --dry-run`: it refuses what cannot be built, and nothing that can."""

from __future__ import annotations

from typing import Any

import pytest

from hetbuild.errors import HetbuildError, InputError
from hetbuild.library import recipes
from hetbuild.recipe.check import check_ions
from hetbuild.recipe.read import read_recipe
from hetbuild.recipe.run import build

CUBE, DOT, SLABS = "cspbcl3-cube-1", "pbs-dot", "interface-cspbcl3-pb4s3cl2"
OF = {CUBE: "perovskite", DOT: "dot", SLABS: "perovskite"}


def replaced(ions: dict[str, str], **more: Any) -> dict[str, Any]:
    return {"action": "replace", "ions": ions, **more}


def changed(action: str, element: str, **more: Any) -> dict[str, Any]:
    return {"action": action, "element": element, "count": 1, "allow_charge": True, **more}


CL_BR = {"Cl": "Br"}
FAULTS: tuple[tuple[str, dict[str, Any], str], ...] = (
    (CUBE, replaced({"S": "Br"}), "steps.0.ions: perovskite holds no S to exchange for Br"),
    (CUBE, replaced({"Cl": "Xx"}), "'Xx' is no chemical element"),
    (CUBE, replaced({"Cl": "Fe"}), "No formal charge is known for Fe"),
    (CUBE, replaced({"chalcogen": "Br"}), "holds no chalcogen to exchange for Br"),
    (CUBE, replaced({"cation": "Rb"}), "'cation' is Cs or Pb; name the element"),
    (CUBE, replaced({"MA": "Rb"}), "there is no MA to exchange for Rb"),
    (CUBE, replaced({"Cs": "no.xyz"}), "There is no file"),
    (CUBE, replaced({"MA": "Cs"}, which="interior"), "molecules that leave are chosen by fraction"),
    (CUBE, replaced({"Cs": "MA"}, product="PbS"), "leave lattice and product out"),
    (CUBE, replaced(CL_BR, product="PbS"), "does not have the sites of CsPbCl3"),
    (CUBE, replaced(CL_BR, product="nope"), "No shipped crystal is called 'nope'"),
    (CUBE, replaced({"Cl": "F"}, lattice="product"), "no crystal is known whose lattice"),
    (CUBE, replaced(CL_BR, which="in sulfide"), "steps.0.which: unknown domain 'sulfide'"),
    (CUBE, replaced(CL_BR, which="site Q9"), "no site is called 'Q9'"),
    (CUBE, replaced(CL_BR, which="interface within 6"), "there is no interface to be near"),
    (CUBE, replaced(CL_BR, charges={"Pb": 4}), "Pb is an ion of CsPbCl3 itself"),
    (
        CUBE,
        replaced({"Cs": "Pb"}, compensate=["remove S in perovskite"]),
        "steps.0.compensate.0: there is no S to remove in perovskite, which has Cl, Cs, Pb",
    ),
    (
        CUBE,
        replaced({"Cs": "Pb"}, compensate=["remove Cl in sulfide"]),
        "steps.0.compensate.0: unknown domain 'sulfide'",
    ),
    (
        CUBE,
        replaced({"Cs": "Pb"}, compensate=["add Cl in perovskite"] * 200),
        "'add Cl in perovskite' is given 200 times",
    ),
    (CUBE, {"action": "topotactic", "product": "PbS"}, "anion sublattices of CsPbCl3"),
    (CUBE, {"action": "topotactic", "product": "CsPbBr3"}, "a product must have one"),
    (DOT, {"action": "topotactic", "product": "Cu2S", "deficit": 5}, "can lack 0 to 2 Cu"),
    (DOT, {"action": "topotactic", "product": "Cu2S", "keep_planes": 2}, "the model is one domain"),
    (CUBE, {"action": "etch"}, "is the only domain"),
    (SLABS, {"action": "etch"}, "of a periodic interface only ions on their sites"),
    (CUBE, changed("swap", "S", to="Cl"), "steps.0.swap: there is no S to swap"),
    (CUBE, changed("remove", "chalcogen"), "there is no chalcogen to remove"),
    (CUBE, changed("remove", "cation"), "'cation' is Cs or Pb in perovskite"),
    (CUBE, changed("add", "Fe"), "No formal charge is known for Fe"),
    (CUBE, {"action": "ligands", "add": ["oleate on Br"]}, "means Br, and there is Cl, Cs, Pb"),
    (CUBE, {"action": "ligands", "add": ["olate on Cl"]}, "did you mean 'oleate'?"),
    (CUBE, {"action": "ligands", "add": ["no.xyz on Cl"]}, "There is no file"),
)


@pytest.mark.parametrize(("name", "step", "text"), FAULTS)
def test_steps_that_cannot_be_done(name: str, step: dict[str, Any], text: str) -> None:
    """The run, which looks at the model itself, refuses each as well."""
    whole = {} if step["action"] == "ligands" else {"domain": OF[name]}
    recipe = read_recipe(
        name, {"steps": [step | whole]} | ({"size": "2 nm"} if name == DOT else {})
    )
    with pytest.raises(InputError, match="This recipe cannot be built") as refused:
        check_ions(recipe)
    assert text in str(refused.value)
    with pytest.raises(HetbuildError):
        build(recipe)


def test_what_a_step_brings_is_there_for_the_next() -> None:
    steps = [
        replaced(CL_BR, domain="perovskite"),
        replaced({"Br": "I"}, domain="perovskite", fraction=0.5),
        replaced({"Cs": "MA"}, domain="perovskite"),
        replaced({"MA": "FA"}, domain="perovskite"),
    ]
    recipe = read_recipe(CUBE, {"steps": steps})
    check_ions(recipe)
    assert build(recipe).charge == 0
    gone = read_recipe("cspbcl3-pbs", {"steps": [
        {"action": "etch", "domain": "perovskite"}, replaced({"S": "Se"}, domain="perovskite"),
    ]})  # fmt: skip
    with pytest.raises(InputError, match=r"steps\.1: perovskite was dissolved by a step before"):
        check_ions(gone)


def test_a_termination_that_the_crystal_has_not() -> None:
    """As of a recipe for PbS built of PbSe."""
    recipe = read_recipe(
        "cspbbr3-orthorhombic-pbs",
        {"domains.sulfide.crystal": "PbSe", "domains.sulfide.facets.0.outermost": "S"},
    )
    with pytest.raises(InputError, match=r"outermost: S is no ion of PbSe, which has Pb, Se"):
        check_ions(recipe)


@pytest.mark.parametrize("name", recipes())
def test_shipped_recipes_pass(name: str) -> None:
    check_ions(read_recipe(name))
