"""Which ions are meant, and in which order they go."""

from __future__ import annotations

from functools import cache
from typing import Literal

import numpy as np
import pytest
from conftest import load
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial import cKDTree

from hetbuild.arrays import IntArray
from hetbuild.assemble.carve import carve
from hetbuild.assemble.polyhedron import Facet
from hetbuild.assemble.trim import trim
from hetbuild.balancing.balance import balance, change
from hetbuild.balancing.candidates import Move
from hetbuild.balancing.target import Target
from hetbuild.elements import number
from hetbuild.errors import ImpossibleError, InputError
from hetbuild.geometry.point_group import point_group_symbol
from hetbuild.model import Model
from hetbuild.recipe.read import parse_recipe, parse_step
from hetbuild.recipe.schema import ChangeSpec, EtchSpec, ReplaceSpec
from hetbuild.recipe.steps import run_step
from hetbuild.selection.language import parse_selection
from hetbuild.selection.order import parse_order, split
from hetbuild.selection.places import Places, chosen, explained
from hetbuild.selection.profile import Profile, drawn


@cache
def cube() -> Model:
    """3 x 3 x 3 Pb, CsBr faces."""
    return carve(load("CsPbBr3"), [Facet((1, 0, 0), 1.5)], site="Pb", name="cube")


@cache
def dot() -> Model:
    """Truncated octahedron of PbS, S of its {111} replaced by Cl."""
    facets = [Facet((2, 0, 0), 4), Facet((2, 2, 2), 6, outermost=("S",), ligands=(("S", "Cl"),))]
    return carve(load("PbS"), facets, site="Pb", name="dot")


def meant(model: Model, text: str) -> IntArray:
    return np.flatnonzero(chosen(parse_selection(text), Places.of(model)))


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("Cs", 64),
        ("cation", 64 + 27),
        ("halide", 108),
        ("chalcogen", 0),
        ("Cs, corner", 8),
        ("Cs, edge", 12 * 2),
        ("Cs, facet", 6 * 4),
        ("Cs, surface", 64 - 8),
        ("Br, facet", 6 * 9),
        ("Br, bonds to Pb = 1", 6 * 9),
        ("Br, bonds = 5", 6 * 9),
        ("Pb, interior", 27),
        ("facet (1 0 0)", 16 + 9),
        ("facet {1 0 0}", 64 - 8 + 6 * 9),
        ("facet (1,0,0), facet (0 1 0)", 4),
        ("Pb, depth <= 3 Å", 27 - 1),
        ("Pb, depth 8 to 9", 1),
        ("at (0 0 0)", 1),
        ("at (0 0 1/2) or at (0 0 -1/2)", 2),
        ("site Cs1 and corner", 8),
        ("Pb in cube", 0),
        ("lattice, not Cs, not Br", 27),
        ("ligand", 0),
    ],
)
def test_selections_of_a_cube(text: str, count: int) -> None:
    if text == "Pb in cube":
        with pytest.raises(InputError, match="'Pb in cube' is no condition"):
            meant(cube(), text)
        text, count = "Pb, in cube", 27
    assert len(meant(cube(), text)) == count


WORDS = ["Cs", "anion", "corner", "edge", "surface", "bonds <= 3", "depth > 4", "facet {1 1 1}"]


@given(st.lists(st.sampled_from(WORDS), min_size=1, max_size=3), st.sampled_from(WORDS))
def test_selections_are_sets(words: list[str], other: str) -> None:
    every = set(range(len(cube())))
    sets = [set(meant(cube(), w)) for w in words]
    assert set(meant(cube(), ", ".join(words))) == every.intersection(*sets)
    assert set(meant(cube(), " or ".join(words))) == set().union(*sets)
    assert set(meant(cube(), f"not {other}")) == every - set(meant(cube(), other))


def test_bonds_are_those_within_the_bond_length() -> None:
    model = dot()
    lead = model.positions[model.numbers == number("Pb")]
    around = cKDTree(lead).query_ball_point(model.positions, 5.9362 / 2 * 1.2, return_length=True)
    anion = model.charges < 0
    for n in range(7):
        assert set(meant(model, f"anion, bonds = {n}")) == set(
            np.flatnonzero(anion & (around == n))
        )
    assert set(meant(model, "ligand")) == set(meant(model, "Cl"))
    assert len(meant(model, "ligand")) == (model.numbers == number("Cl")).sum() > 0


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("intrior", "did you mean 'interior'"),
        ("Qq", "is no condition; conditions are an element, cation"),
        ("bonds < two", "no condition"),
        ("facet (1 0)", "three whole numbers are wanted"),
        ("at (0 0)", "three numbers are wanted"),
        ("depth < 1/0", "is no number"),
        ("Cs,", "is no condition"),
        ("in here", "No domain 'here' in this model; it has cube"),
        ("site Pb9", "no site is called 'Pb9'; did you mean 'Pb1'"),
        ("interface within 5 Å", "no interface to be near"),
    ],
)
def test_errors_of_a_selection(text: str, words: str) -> None:
    with pytest.raises(InputError, match=words.replace("(", r"\(")):
        meant(cube(), text)


def test_orders() -> None:
    order = parse_order("corners first, least bonded first, spread", seed=3)
    assert (order.ranks, order.tie, order.seed) == (("corners", "least bonded"), "spread", 3)
    assert str(order) == "corners first, least bonded first, spread"
    assert parse_order("").tie == "lowest energy"
    with pytest.raises(
        InputError, match=r"'spread first' is none; say any of 'least bonded first'"
    ):
        parse_order("spread first")
    with pytest.raises(InputError, match="'random' is none"):  # what decides comes last
        parse_order("random, corners first")


def test_ranks_settle_all_but_equals() -> None:
    places = Places.of(cube(), meant(cube(), "Cs"))
    taken, tied = split(parse_order("corners first"), places, 10)
    assert (len(taken), len(tied)) == (8, 24)
    assert set(places.atom[taken]) == set(meant(cube(), "Cs, corner"))
    assert [len(x) for x in split(parse_order("corners first"), places, 0)] == [0, 0]
    deep, _ = split(parse_order("innermost first"), places, 9)
    assert set(places.atom[deep]) <= set(meant(cube(), "Cs, interior"))


@pytest.mark.parametrize("tie", ["spread", "random", "symmetric", "lowest energy"])
def test_a_cube_is_balanced_by_its_corners_then_edges(tie: str) -> None:
    """(n+1)^3 Cs less 3n+1: the published rule of the cubes."""
    move = Move("remove", "cation", "cube", which="Cs", order=f"corners first, {tie}")
    with pytest.raises(InputError, match="'cation' is Cs or Pb in cube; name the element"):
        balance(cube(), [move])
    move = Move("remove", "Cs", "cube", which="surface", order=f"corners first, {tie}")
    model = balance(cube(), [move])
    assert (model.formula, model.charge) == ("Cs54Pb27Br108", 0)
    assert not len(meant(model, "at (3/2 3/2 3/2) or at (-3/2 3/2 -3/2)"))
    if tie == "symmetric":
        assert point_group_symbol(model) != "1"
    assert f"corners first, then {tie} of 'surface'" == model.ledger[-1].reason


def test_random_follows_the_seed() -> None:
    def gone(seed: int) -> list[tuple[float, ...]]:
        move = Move("remove", "Br", "cube", which="Br", order="random", seed=seed)
        return sorted(e.position for e in change(cube(), move, 5).ledger)

    assert gone(1) == gone(1) != gone(2)


def test_a_vacancy_is_made_and_filled_again() -> None:
    step = {"action": "remove", "element": "Pb", "domain": "cube", "which": "at (0 0 0)",
            "count": 1, "allow_charge": True}  # fmt: skip
    holed = run_step(cube(), parse_step(ChangeSpec, step))
    assert holed.charge == cube().charge - 2
    filled = run_step(holed, parse_step(ChangeSpec, step | {"action": "add"}))
    assert set(map(tuple, filled.positions)) == set(map(tuple, cube().positions))
    assert filled.site[-1] == cube().site[meant(cube(), "at (0 0 0)")][0]
    with pytest.raises(ImpossibleError, match=r"0 are eligible: ions of cube: 26 Pb; of them 0"):
        run_step(holed, parse_step(ChangeSpec, step))


def test_dopants_and_antisites() -> None:
    swap = {"action": "swap", "element": "Pb", "to": "Mn", "domain": "cube", "which": "interior",
            "fraction": 0.1, "order": "spread", "allow_charge": True}  # fmt: skip
    doped = run_step(cube(), parse_step(ChangeSpec, swap))
    assert (doped.numbers == number("Mn")).sum() == 3
    # A dopant counts as its host: Br next to it keep their two bonds.
    assert len(meant(doped, "Br, bonds = 2")) == len(meant(cube(), "Br, bonds = 2"))
    part = {"domain": "cube", "ions": {"Br": "I"}, "fraction": 0.5, "which": "facet {1 0 0}"}
    mixed = run_step(cube(), parse_step(ReplaceSpec, part | {"allow_charge": True}))
    iodide = meant(mixed, "I")
    kind = run_step(
        cube(), parse_step(ReplaceSpec, part | {"ions": {"halide": "I"}, "allow_charge": True})
    )
    assert np.array_equal(kind.numbers, mixed.numbers)
    assert len(iodide) == 27
    assert set(iodide) <= set(meant(mixed, "facet {1 0 0}"))


def test_an_exchange_compares_no_energies() -> None:
    part = {"domain": "cube", "ions": {"Br": "I"}, "fraction": 0.5, "order": "lowest energy"}
    with pytest.raises(InputError, match="'lowest energy': an exchange decides among equals by"):
        run_step(cube(), parse_step(ReplaceSpec, part))


def test_trim_rules_until_nothing_changes() -> None:
    ball = carve(load("PbS"), radius=12.0, site="Pb", name="ball")
    rules = ("chalcogen, bonds <= 2", "Pb, bonds <= 2")
    model = trim(ball, "ball", rules)
    assert not len(meant(model, " or ".join(rules)))
    assert len(ball) - len(model) == len(model.ledger) > 0
    assert {e.reason for e in model.ledger} <= set(rules)
    with pytest.raises(ImpossibleError, match="'bonds <= 6' would remove all of ball"):
        trim(ball, "ball", ("bonds <= 6",))


def test_moves_as_text() -> None:
    text = "remove halide in sulfide where bonds <= 2, not corner by least bonded first, spread"
    tree = {
        "name": "x",
        "domains": {"sulfide": {"crystal": "PbS", "radius": 9}},
        "steps": [
            {"action": "etch", "domain": "sulfide", "compensate": [text, "swap S to Cl in sulfide"]}
        ],
    }
    first, second = parse_recipe(tree).steps[0].compensate
    assert (first.action, first.element, first.domain) == ("remove", "halide", "sulfide")
    assert (first.which, first.order) == ("bonds <= 2, not corner", "least bonded first, spread")
    assert (second.element, second.to, second.which) == ("S", "Cl", "")
    with pytest.raises(InputError, match="is no move; write 'add Cl in sulfide'"):
        parse_step(EtchSpec, {"domain": "sulfide", "compensate": ["swap S in sulfide"]})


@pytest.mark.parametrize(
    ("schema", "given", "words"),
    [
        (ChangeSpec, {"count": 1, "fraction": 0.5}, "give either count or fraction"),
        (ChangeSpec, {}, "give either count or fraction"),
        (ChangeSpec, {"count": 1, "to": "Mn"}, "`to` belongs to action = 'swap'"),
        (ChangeSpec, {"count": 1, "which": "nowhere"}, "'nowhere' is no condition"),
        (ChangeSpec, {"count": 1, "order": "soon"}, "Order: 'soon' is none"),
        (ChangeSpec, {"count": 1, "seed": -1}, "greater than or equal to 0"),
    ],
)
def test_errors_of_a_step(schema: type[ChangeSpec], given: dict[str, object], words: str) -> None:
    with pytest.raises(InputError, match=words):
        parse_step(schema, {"action": "remove", "element": "Pb", "domain": "cube"} | given)


def test_what_was_not_eligible_is_said() -> None:
    places = Places.of(cube(), meant(cube(), "Cs"))
    text = explained(parse_selection("surface, corner, bonds > 3 or interior"), places)
    assert text == (
        "64 Cs; of them 56 'surface', of these 8 'corner', of these 0 'bonds > 3'; "
        "or of them 8 'interior'"
    )


def test_two_moves_never_take_one_ion() -> None:
    """The loosest S may be removed or become Cl: here both moves are needed, on different ions."""
    moves = [
        Move("remove", "S", "dot", least_bonded_first=True),
        Move("swap", "S", "dot", to="Cl", least_bonded_first=True),
    ]
    before = carve(load("PbS"), [Facet((2, 0, 0), 3)], site="S", name="dot")
    wanted = {"Pb": (before.numbers == 82).sum(), "S": (before.numbers == 16).sum() - 4, "Cl": 2}
    model = balance(before, moves, Target(formula={e: int(n) for e, n in wanted.items()}))
    assert [e.action for e in model.ledger] == ["remove"] * 2 + ["swap"] * 2
    assert len({e.position for e in model.ledger}) == 4


# Composition profiles


@given(
    st.sampled_from(["step", "linear", "erf"]),
    st.floats(0, 1), st.floats(0, 1), st.floats(0, 9), st.floats(0.1, 6), st.integers(0, 99),
)  # fmt: skip
def test_a_profile_takes_exactly_its_sum(
    form: Literal["step", "linear", "erf"],
    near: float,
    far: float,
    at: float,
    width: float,
    seed: int,
) -> None:
    profile = Profile("depth", near, far, at, form, 0.0 if form == "step" else width)
    places = Places.of(cube(), meant(cube(), "Br"))
    fraction = profile.fraction(places.depth)
    taken = drawn(profile, places, seed)
    assert len(taken) == np.floor(fraction.sum() + 0.5)
    assert np.array_equal(taken, drawn(profile, places, seed))
    assert min(near, far) - 1e-9 <= fraction.min() <= fraction.max() <= max(near, far) + 1e-9
    certain = np.flatnonzero(fraction == 1)
    assert len(taken) < len(certain) or set(certain) <= set(taken)
    assert not set(np.flatnonzero(fraction == 0)) & set(taken) or fraction.sum() < len(taken)


def test_profiles_are_halfway_at_their_place() -> None:
    for form, width in (("linear", 4.0), ("erf", 2.0)):
        profile = Profile("depth", 0.2, 0.8, 5.0, form, width)  # type: ignore[arg-type]
        assert profile.fraction(np.array([5.0, -99.0, 99.0])) == pytest.approx([0.5, 0.2, 0.8])
    # One standard deviation from the middle the error function is at 0.8413 of its way.
    diffused = Profile("depth", 0, 1, 5, "erf", 2).fraction(np.array([7.0]))
    assert diffused == pytest.approx(0.84134, abs=1e-5)
    assert Profile("depth", 0, 1, 5, "linear", 4).fraction(np.array([4.0])) == pytest.approx(0.25)


def test_a_skin_of_iodide() -> None:
    """Ions within 1 Å of the surface, and no others."""
    step = {"domain": "cube", "ions": {"Br": "I"}, "allow_charge": True,
            "profile": {"of": "depth", "near": 1, "far": 0, "at": 1}}  # fmt: skip
    mixed = run_step(cube(), parse_step(ReplaceSpec, step))
    assert set(meant(mixed, "I")) == set(meant(cube(), "Br, depth <= 1 Å"))
    inside = {"of": "radius", "near": 1, "far": 0, "at": 6}
    mixed = run_step(cube(), parse_step(ReplaceSpec, step | {"profile": inside}))
    far = np.linalg.norm(cube().positions - cube().positions.mean(axis=0), axis=1)
    assert set(meant(mixed, "I")) == set(np.flatnonzero((far < 6) & (cube().numbers == 35)))


@pytest.mark.parametrize(
    ("profile", "words"),
    [
        ({"near": 0, "far": 2}, "from one fraction in 0 to 1 to another; given near 0 and far 2"),
        ({"near": 0, "far": 1, "form": "erf"}, "takes a width in Å above 0 unless it is a step"),
        ({"near": 0, "far": 1, "width": 3}, "takes a width in Å above 0 unless it is a step"),
        ({"near": 0, "far": 1, "of": "x"}, "'depth', 'radius' or 'interface'"),
    ],
)
def test_errors_of_a_profile(profile: dict[str, object], words: str) -> None:
    given = {"of": "depth", "at": 3} | profile
    with pytest.raises(InputError, match=words):
        parse_step(ReplaceSpec, {"domain": "cube", "ions": {"Br": "I"}, "profile": given})
