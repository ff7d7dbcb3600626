"""Arguments of the public face: whatever is given, it is taken for what it says or named."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from conftest import history, load

import hetbuild as hb
from hetbuild.arguments import taken
from hetbuild.arrays import BoolArray, FloatArray, IntArray, Plane

PUBLIC = {name: getattr(hb, name) for name in hb.__all__ if name != "__version__"}
MADE = {"Comparison", "Crystal", "Domain", "Match", "Model", "Recipe", "Report", "Role"}
"""Classes that functions return: nobody calls them."""


@pytest.mark.parametrize(
    ("value", "kind", "expected"),
    [
        (np.int64(3), float, 3),
        (np.float32(0.5), float, 0.5),
        (2.0, int, 2),
        (np.array([1.0, 0.0, -1.0]), Plane, (1, 0, -1)),
        ([[1, 0, 0], (0, 1, 0)], tuple[Plane, Plane], ((1, 0, 0), (0, 1, 0))),
        ((x for x in "ab"), Sequence[str], ("a", "b")),
        (np.array(["a"]), Sequence[str], ("a",)),
        (np.str_("keep"), Literal["keep", "drop"], "keep"),
        (np.True_, bool, True),
        ({"Cs": np.int64(2)}, Mapping[str, int], {"Cs": 2}),
        ({"a": {"Cs": 2}, "b": 1}, Mapping[str, Mapping[str, int] | int], {"a": {"Cs": 2}, "b": 1}),
        (None, float | None, None),
        ("Cu", str | float, "Cu"),
        (1.5, str | float, 1.5),
    ],
)
def test_what_means_the_same_is_taken(value: Any, kind: Any, expected: Any) -> None:
    found = taken(value, kind, "x")
    assert found == expected
    assert type(found) is type(expected)


def test_arrays_are_taken_from_lists_and_as_they_are() -> None:
    assert taken([1, 2], FloatArray, "x").dtype == np.float64
    for kind, value in ((FloatArray, 1.5), (IntArray, 2), (BoolArray, True)):
        array = np.array([value])
        assert taken(array, kind, "x") is array


@pytest.mark.parametrize(
    ("value", "kind", "text"),
    [
        (math.nan, float, "x must be a number; given nan (float). Numbers lie between"),
        (math.inf, float, "given inf (float). Numbers lie between -1,000,000 and 1,000,000."),
        (True, float, "x must be a number; given True (bool)"),
        (1e7, float | None, "x must be a number; given 10000000.0 (float). Numbers lie"),
        (2.5, int, "x must be a whole number; given 2.5 (float)"),
        ("keepp", Literal["keep", "drop"], "x must be 'keep' or 'drop'; given 'keepp' (str)"),
        ((1, 2), Plane, "x must be three whole numbers; given (1, 2) (tuple)"),
        ((1, 2, 0.5), Plane, "x[2] must be a whole number; given 0.5 (float)"),
        (3, tuple[Plane, Plane], "x must be two times three whole numbers; given 3 (int)"),
        (3, tuple[Sequence[float], Sequence[float]], "x must be two lists of numbers; given 3"),
        ({"S"}, Sequence[str], "x must be a list of texts; given {'S'} (set)"),
        ("add S", Sequence[str], "given 'add S' (str). Write it in a list: ['add S']."),
        ({"Cs": "a"}, Mapping[str, int], "x['Cs'] must be a whole number; given 'a' (str)"),
        ({1: 1}, Mapping[str, int], "a key of x must be a text; given 1 (int)"),
        (1, bool, "x must be True or False; given 1 (int)"),
        (1, Callable[[float], None] | None, "x must be a function; given 1 (int)"),
        (["a"], FloatArray, "x must be an array of numbers; given ['a'] (list)"),
        ([1j], FloatArray, "x must be an array of numbers"),
        ([0, 1], BoolArray | slice, "x must be an array of True and False or a slice"),
        ([0.5], IntArray, "x must be an array of whole numbers"),
        ([[1], [1, 2]], IntArray, "x must be an array of whole numbers"),
    ],
)
def test_what_does_not_is_named(value: Any, kind: Any, text: str) -> None:
    with pytest.raises(hb.InputError) as error:
        taken(value, kind, "x")
    assert text in str(error.value)


def test_python_says_which_arguments_there_are() -> None:
    with pytest.raises(TypeError, match=r"carve\(\) got an unexpected keyword argument 'raduis'"):
        hb.carve("PbS", raduis=5.0)  # type: ignore[call-arg]  # to see it fail
    with pytest.raises(TypeError, match=r"cut\(\) missing"):
        hb.cut()  # type: ignore[call-arg]  # to see it fail
    assert list(inspect.signature(hb.cut).parameters) == ["model", "hkl", "keep", "at", "edge"]


def test_every_public_function_that_takes_something_is_checked() -> None:
    for name, thing in PUBLIC.items():
        if inspect.isfunction(thing) and inspect.signature(thing).parameters:
            assert hasattr(thing, "__wrapped__"), name


def cases(folder: Path) -> Iterator[tuple[Callable[..., Any], dict[str, Any]]]:
    """Every public function, and classes that users make, with arguments that work."""
    cube, salt = history("cspbcl3-cube-2")["balanced"], load("PbS")
    two = list(history("cspbcl3-pbs-small").values())[-1]
    facets = [hb.Facet((1, 0, 0), 1)]
    a, b = (hb.carve(salt, facets, name=name) for name in "ab")
    turned = hb.Orientation(((1, 0, 0), (-1, 0, 0)), ((0, 1, 0), (0, 1, 0)))
    a, b = hb.align(a, b, turned)
    pair, move = {"first": a, "second": b}, "remove Cs in perovskite"
    window, floors = hb.Window(0.0, 0.0, (15.0, 15.2)), hb.Floors()
    file = cube.write(folder / "cube.xyz")
    yield hb.build, {"recipe": "cspbcl3-cube-1", "settings": ()}
    yield hb.read_recipe, {"recipe": "cspbcl3-cube-1", "settings": (), "trust": False}
    yield hb.carve, {"crystal": salt, "facets": facets, "centre": (0, 0, 0), "site": None,
                     "radius": None, "name": "a", "memory": None}  # fmt: skip
    yield hb.cut, {"model": a, "hkl": (1, 0, 0), "keep": "above", "at": 0, "edge": None}
    yield hb.align, {**pair, "orientation": turned, "between": (0, 0)}
    yield hb.anchored, {**pair, "anchor": ((0, 0, 0), (0, 0, 0)), "between": (0, 0)}
    yield hb.join, {**pair, "orientation": turned, "registry": hb.Registry(0, 0, 9.0),
                    "floors": None, "shared_with": None, "between": (0, 0)}  # fmt: skip
    yield hb.search_registry, {**pair, "window": window, "floors": floors, "merging": None,
                               "settling": None}  # fmt: skip
    yield hb.balance, {"model": cube, "moves": [move], "target": None, "floors": floors,
                       "keep_symmetry": False, "progress": None}  # fmt: skip
    yield hb.exchange, {"model": cube, "ions": {"Cl": "Br"}, "product": None, "domain": None,
                        "fraction": 1.0, "which": None, "order": None, "seed": 0,
                        "lattice": "keep", "along": None, "keep_planes": None,
                        "keep_thickness": None, "deficit": 0.0, "compensate": (),
                        "allow_charge": False, "progress": None}  # fmt: skip
    yield hb.etch, {"model": two, "domain": "sulfide", "shared": "bonded", "compensate": (),
                    "allow_charge": True, "progress": None}  # fmt: skip
    yield hb.ligands, {"model": cube, "add": "1 formate on Cl", "order": "spread", "seed": 0,
                       "clearance": 0.75, "no_room": "refuse", "progress": None}  # fmt: skip
    yield hb.inspect, {"model": cube, "cation": "Pb"}
    yield hb.compare, {"first": cube, "second": cube}
    yield hb.before_after, {"before": cube, "after": cube, "held": False}
    yield hb.match, {"first": salt, "second": salt, "planes": ((1, 0, 0), (1, 0, 0)),
                     "max_index": 1, "max_strain": 0.01, "max_area": 50.0,
                     "progress": None}  # fmt: skip
    yield hb.xrd, {"model": cube, "two_theta": (20, 25), "step": 0.5, "wavelength": "Cu",
                   "b_factors": None, "polarisation": 1.0, "fwhm": 0.0, "eta": 0.0,
                   "shape": "cube", "progress": None}  # fmt: skip
    yield hb.pdf, {"model": cube, "q_range": (1, 20), "r_max": 5.0, "b_factors": None,
                   "by": "domain", "progress": None}  # fmt: skip
    yield hb.image, {"model": cube, "zone": None, "of": None, "tilt": (0, 0), "exponent": 1.6,
                     "source": 0.5, "sampling": 0.5}  # fmt: skip
    yield hb.spectrum, {"image": hb.image(cube, sampling=0.5)}
    yield hb.report, {"model": cube, "path": folder / "a.html", "parts": (), "force": True,
                      "progress": None}  # fmt: skip
    yield hb.read_model, {"path": file, "crystals": (), "like": None, "formulas": None,
                          "names": None, "frame": None}  # fmt: skip
    yield hb.relax, {"model": cube, "calculator": "ase.calculators.lj:LennardJones",
                     "options": None, "optimizer": "lbfgs", "fmax": 1e5, "steps": 1,
                     "fixed_core": None, "only_interface": None, "vacuum": None}  # fmt: skip
    yield hb.Facet, {"hkl": (1, 0, 0), "planes": 1, "single": False, "outermost": (),
                     "ligands": (), "point_group": ""}  # fmt: skip
    yield hb.Floors, {"anion_anion": 3.0, "cation_anion": 2.6, "cation_cation": 3.3}
    yield hb.Window, {"along": 0.5, "across": 0.5, "gap": (0, 2)}
    yield hb.Registry, {"along": 0.0, "across": 0.0, "gap": 3.0}
    yield hb.Orientation, {"planes": ((1, 0, 0), (1, 0, 0)), "along": ((0, 1, 0), (0, 1, 0)),
                           "across": None}  # fmt: skip
    yield hb.Target, {"charge": 0, "formula": None, "domains": {}}
    yield hb.Move, {"action": "remove", "element": "Cs", "domain": "perovskite", "to": "",
                    "bonded_to": (), "facet": None, "role": "", "least_bonded_first": False,
                    "which": "", "order": "", "seed": 0}  # fmt: skip
    yield hb.Crystal.named, {"name": "PbS", "charges": None}
    yield hb.Crystal.from_cif, {"path": hb.structures()["PbS"], "charges": None, "name": None}
    yield hb.Crystal.from_ase, {"atoms": salt.to_ase(), "charges": None, "name": None}
    yield hb.Crystal.from_pymatgen, {"structure": salt.to_pymatgen(), "charges": None,
                                     "name": None}  # fmt: skip
    yield salt.charge_of, {"element": "Pb"}
    yield salt.datum, {"name": "Pb"}
    yield salt.equivalent_planes, {"hkl": (1, 0, 0), "point_group": ""}
    yield salt.ions, {"word": "anion"}
    yield salt.spacing, {"hkl": (1, 0, 0)}
    yield salt.surface_net, {"hkl": (1, 0, 0)}
    yield cube.domain_named, {"name": "perovskite"}
    yield cube.where, {"mask": slice(0, 3)}
    yield cube.moved, {"rotation": np.eye(3), "shift": np.zeros(3)}
    yield cube.to_ase, {"vacuum": 1.0}
    yield hb.Model.from_ase, {"atoms": cube.to_ase()}
    yield hb.Model.from_pymatgen, {"made": cube.to_pymatgen()}
    yield cube.write, {"path": folder / "a.vesta", "vacuum": 1.0, "force": True}
    yield cube.domains[0].plane_index, {"hkl": (1, 0, 0), "positions": cube.positions}
    yield cube.domains[0].cartesian, {"fractional": np.zeros((2, 3))}
    yield cube.domains[0].fractional, {"positions": np.zeros((2, 3))}


WRONG = (
    None, math.nan, -1, 10**30, "nonsense", b"PbS", [], {"a": None}, {1: 2}, (1, 0), [[1], [2, 3]],
    np.zeros((2, 2)), object(), [None, None, None],
)  # fmt: skip


def test_no_argument_ends_in_an_error_of_python(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    tried = {"recipes", "structures"}
    for call, given in cases(tmp_path):
        tried.add(call.__name__)
        assert set(given) | {"progress"} >= set(inspect.signature(call).parameters), call
        call(**given)
        for name in given:
            for wrong in WRONG:
                try:
                    call(**(given | {name: wrong}))
                except hb.HetbuildError as error:
                    assert str(error)  # noqa: PT017 (many arguments also work)
    errors = {name for name in PUBLIC if name.endswith("Error")}
    assert tried >= set(PUBLIC) - MADE - errors


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: hb.Target(charge=10**12), "No target is beyond 1,000,000,000 ions or e"),
        (lambda: hb.Target(domains={"a": {"Cs": -(10**12)}}), "given -1,000,000,000,000"),
        (lambda: hb.Crystal.named("PbS", charges={"Xx": 1}), "Xx"),
        (lambda: hb.read_model(__file__, names=["a"]), "Names of domains need crystals"),
        (lambda: hb.image(cube(), zone=(1, 0)), "[1 0] is no zone axis"),
        (lambda: cube().moved(np.eye(2), np.zeros(3)), "moved: rotation takes finite numbers of"),
        (lambda: cube().moved(np.eye(3), [0, 0, np.nan]), "moved: shift takes finite numbers of"),
        (lambda: cube().where(np.ones(3, dtype=bool)), "where: mask takes"),
        (lambda: cube().where(np.array([0, 64])), "indices of 64 atoms are 0 to 63"),
        (
            lambda: cube().domains[0].plane_index((1, 0), np.zeros((1, 3))),
            "A plane takes three integers",
        ),
        (lambda: cube().domains[0].fractional(np.zeros((3, 2))), "must have shape (N, 3)"),
        (
            lambda: hb.anchored(cube(), cube(), ((0, 0, 0), (0, 0))),
            "anchored: an anchor takes finite numbers of shape (3,)",
        ),
        (
            lambda: hb.anchored(cube(), cube(), ((0, 0, 0), (0, 0, 0)), between=(0, 1)),
            "there is no domain 1; Cs20Pb8Cl36 has 1, counted from 0",
        ),
    ],
)
def test_values_that_mean_nothing_are_named(call: Callable[[], object], text: str) -> None:
    with pytest.raises(hb.InputError) as error:
        call()
    assert text in str(error.value)


def cube() -> hb.Model:
    return history("cspbcl3-cube-2")["balanced"]
