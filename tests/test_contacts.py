"""Who is next to whom: shared layers, domains that meet, merging, kept layers, by brute force."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from itertools import product

import numpy as np
import pytest
from conftest import joined, load
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist
from scipy.spatial.transform import Rotation

import hetbuild as hb
from hetbuild.analyse.meetings import meetings, of_pair
from hetbuild.arrays import FloatArray, IntArray
from hetbuild.assemble.merge import Merging, merge, merged_pair
from hetbuild.crystal.lattice import Coincidence, Direction
from hetbuild.errors import ImpossibleError, InputError
from hetbuild.exchanging.interface_layer import _outermost, kept_layer
from hetbuild.geometry.contacts import Floors, closest_contacts, coordination, floors_of
from hetbuild.geometry.rigid import superposed
from hetbuild.geometry.shared import shared_between, shared_by
from hetbuild.geometry.view import _off, plane_of
from hetbuild.model import Interface, Model, Role

SEEDS = st.integers(0, 2**32 - 1)
FEW = settings(max_examples=12, deadline=None)


def ions(
    positions: object, charges: object, domain: object, role: object = 0, count: int = 0
) -> Model:
    """Bare ions in domains named a, b, c ...: Pb where positive, S where negative."""
    q, d = np.asarray(charges), np.asarray(domain)
    return Model(
        numbers=np.where(q > 0, 82, 16),
        positions=np.asarray(positions, float),
        charges=q,
        domain=d,
        role=np.broadcast_to(np.asarray(role), q.shape).copy(),
        domains=tuple(
            hb.Domain(name, load("PbS"), np.eye(3) * 6.0, np.zeros(3), 0)
            for name in "abcd"[: count or d.max() + 1]
        ),
    )


def scattered(seed: int, domains: int, edge: float = 9.0) -> Model:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(20, 40))
    return ions(
        rng.uniform(0, edge, (n, 3)), rng.choice([-2, -1, 1, 2], n), rng.integers(0, domains, n),
        rng.choice([Role.LATTICE, Role.SHARED, Role.SHARED, Role.LIGAND], n), domains,
    )  # fmt: skip


def nearest_other(model: Model, atom: int) -> int:
    """The domain of the nearest ion of another domain than the atom's own."""
    others = np.flatnonzero(model.domain != model.domain[atom])
    away = np.linalg.norm(model.positions[others] - model.positions[atom], axis=1)
    return int(model.domain[others[away.argmin()]])


# Shared layers


@FEW
@given(SEEDS)
def test_a_shared_ion_goes_with_the_nearest_other_domain(seed: int) -> None:
    model = scattered(seed, 3)
    shared = [i for i in range(len(model)) if model.role[i] == Role.SHARED]
    ends = {i: {int(model.domain[i]), nearest_other(model, i)} for i in shared}
    for a, b in product(range(3), repeat=2):
        if a != b:
            found = np.flatnonzero(shared_between(model, a, b)).tolist()
            assert found == [i for i in shared if ends[i] == {a, b}]
    for a in range(3):
        assert np.flatnonzero(shared_by(model, a)).tolist() == [i for i in shared if a in ends[i]]


def test_of_two_domains_every_shared_ion_is_of_both() -> None:
    model = scattered(4, 2)
    for found in (shared_between(model, 0, 1), shared_by(model, 0), shared_by(model, 1)):
        np.testing.assert_array_equal(found, model.role == Role.SHARED)
    none = replace(scattered(4, 3), role=np.zeros(len(scattered(4, 3)), dtype=int))
    assert not shared_between(none, 0, 1).any()
    assert not shared_by(none, 2).any()


@FEW
@given(SEEDS, st.sampled_from([(0, 1), (1, 0), (0, 2), (1, 2), (2, 1)]))
def test_two_of_three_domains_by_themselves(seed: int, pair: tuple[int, int]) -> None:
    model = scattered(seed, 3)
    edge = Direction.of(np.array([0.0, 1.0, 0.0]))
    along = Coincidence(edge, edge, (1, 1), (1.0, 1.0))
    met = [
        Interface(("abc"[i], "abc"[k]), ((1, 0, 0), (1, 0, 0)), along, None, (0.0, 0.0), 0.0)
        for i, k in [(0, 1), (2, 1)]
    ]
    found = of_pair(model.with_interfaces(met), pair)
    here = [i for i in range(len(model)) if model.domain[i] in pair]
    np.testing.assert_array_equal(found.positions, model.positions[here])
    assert found.domain.tolist() == [pair.index(int(model.domain[i])) for i in here]
    assert [d.name for d in found.domains] == ["abc"[i] for i in pair]
    between = set(np.flatnonzero(shared_between(model, *pair)).tolist())
    assert found.role.tolist() == [
        Role.LATTICE if model.role[i] == Role.SHARED and i not in between else model.role[i]
        for i in here
    ]
    assert found.interfaces == tuple(
        i for i in met if i.domains == ("abc"[pair[0]], "abc"[pair[1]])
    )


def test_a_pair_of_two_domains_is_the_model_or_the_model_turned_round() -> None:
    model = scattered(8, 2)
    assert of_pair(model, (0, 1)) is model
    turned = of_pair(model, (1, 0))
    np.testing.assert_array_equal(turned.domain, 1 - model.domain)
    assert [d.name for d in turned.domains] == ["b", "a"]


# Meetings


def ladder(rungs: dict[tuple[int, int], int], length: float, sign: int = -1) -> Model:
    """Domains of ions far apart but for so many pairs, one ion of each, `length` Å apart.

    sign: of the charge of the second ion of a pair over that of the first.
    """
    places, charges, domain = [], [], []
    for row, ((a, b), count) in enumerate(rungs.items()):
        for k in range(count):
            q = 2 if k % 2 else -2
            places += [(20.0 * k, 50.0 * row, 0.0), (20.0 * k, 50.0 * row, length)]
            charges += [q, sign * q]
            domain += [a, b]
    for d in range(3):
        places.append((-99.0, 0.0, 90.0 * d))
        charges.append(2)
        domain.append(d)
    return ions(places, charges, domain)


@pytest.mark.parametrize(
    ("rungs", "expected"),
    [
        ({(0, 1): 3, (1, 2): 2}, ((0, 1),)),
        ({(0, 1): 2, (1, 2): 4}, ((1, 2),)),
        ({(0, 2): 3, (1, 2): 3}, ((0, 2), (1, 2))),
        ({(0, 1): 2, (0, 2): 2}, ()),
    ],
)
def test_domains_meet_where_three_ions_touch(
    rungs: dict[tuple[int, int], int], expected: tuple[tuple[int, int], ...]
) -> None:
    assert meetings(ladder(rungs, 3.5)) == expected
    assert meetings(ladder(rungs, 3.7)) == ()
    assert meetings(ladder(rungs, 3.5, sign=1)) == ()


def test_two_domains_always_meet_one_never() -> None:
    far = ions([(0, 0, 0), (99, 0, 0)], [2, -2], [0, 1])
    assert meetings(far) == ((0, 1),)
    assert meetings(ions([(0, 0, 0), (2, 0, 0)], [2, -2], [0, 0])) == ()


# Merging


@FEW
@given(SEEDS, st.sampled_from([None, "b", "c"]), st.booleans())
def test_merging_takes_what_stands_where_the_kept_lattice_has_an_ion(
    seed: int, other: str | None, periodic: bool
) -> None:
    rng = np.random.default_rng(seed)
    grid = np.array(list(product(range(3), repeat=3))) * 4.0
    at = np.concatenate([grid, grid, grid]) + rng.normal(scale=0.55, size=(81, 3))
    charges = np.tile(rng.choice([-2, 1, 2], 27), 3)
    charges[27:] *= rng.choice([1, 1, -1], 54)
    model = ions(at, charges, np.repeat([0, 1, 2], 27), 0, 3)
    steps = np.zeros((1, 3))
    if periodic:
        cell = np.eye(3) * 12.0
        model = replace(
            model, cell=cell, periodic=(True, True, False),
            positions=np.column_stack([at[:, :2] % 12.0, at[:, 2]]),
        )  # fmt: skip
        steps = np.array(list(product((-1, 0, 1), repeat=2))) @ cell[:2]
    within = 1.2
    apart = np.min([cdist(model.positions, model.positions + s) for s in steps], axis=0)
    alike = np.sign(charges)[:, None] == np.sign(charges)[None]
    stays = model.domain == 0
    gives = ~stays if other is None else model.domain == "abc".index(other)
    close = alike & (apart < within) & gives[:, None] & stays[None]
    gone = close.any(axis=1)
    rule = Merging("a", within)
    if (close.sum(axis=0) > 1).any():
        with pytest.raises(InputError, match="several partners"):
            merge(model, rule, other)
        return
    left = merge(model, rule, other)
    np.testing.assert_array_equal(left.positions, model.positions[~gone])
    entries = left.ledger
    assert [e.domain for e in entries] == ["abc"[d] for d in model.domain[gone]]
    assert [e.position for e in entries] == [tuple(p) for p in model.positions[gone].tolist()]


@pytest.mark.parametrize(("keep", "sign"), list(product("ab", (-1, 1))))
def test_an_ion_between_two_has_no_one_partner(keep: str, sign: int) -> None:
    """One ion of b between two of a, whichever gives way."""
    at = [(0.0, 0, 0), (2.0, 0, 0), (1.0, 0, 0), (9.0, 0, 0)]
    model = ions(at, [2 * sign, 2 * sign, 2 * sign, -2 * sign], [0, 0, 1, 1])
    with pytest.raises(InputError, match="several partners"):
        merge(model, Merging(keep))
    assert len(merge(model, Merging(keep, 0.9))) == 4


def test_ions_within_the_usual_distance_are_one_place() -> None:
    def apart(x: float) -> Model:
        return ions([(0, 0, 0), (x, 0, 0)], [2, 2], [0, 1])

    assert [len(merge(apart(x), Merging("a"))) for x in (1.4, 1.6)] == [1, 2]
    for bad in (0.0, -1.0, np.inf, np.nan):
        with pytest.raises(InputError, match="distance above 0"):
            Merging("a", bad)


@pytest.mark.parametrize("sign", [-1, 1])
def test_merging_a_pair_takes_ions_of_the_one_that_gives_way(sign: int) -> None:
    """Three ions 1.0, 1.4 and 1.6 Å off those of the other, and one on an ion of other sign."""
    x = np.array([0.0, 10.0, 20.0, 30.0])
    rest = np.zeros((4, 2))
    first = ions(np.column_stack([x, rest]), 2 * sign * np.array([1, 1, 1, 1]), [0] * 4)
    near = np.column_stack([x + np.array([1.0, 1.4, 1.6, 0.1]), rest])
    second = ions(near, 2 * sign * np.array([1, 1, 1, -1]), [0] * 4)
    second = replace(second, domains=(replace(second.domains[0], name="b"),))
    a, b = merged_pair(first, second, Merging("a"))
    assert a is first
    np.testing.assert_array_equal(b.positions, second.positions[2:])
    a, b = merged_pair(first, second, Merging("b"))
    assert b is second
    np.testing.assert_array_equal(a.positions, first.positions[2:])


# Layers kept at an interface


@cache
def sandwich() -> Model:
    """A perovskite on a sulfide in a general orientation."""
    turn = Rotation.from_euler("xyz", [20, 50, -35], degrees=True).as_matrix()
    return joined(2).moved(turn, np.array([3.0, -20.0, 8.0]))


def depths(model: Model, index: int, atoms: IntArray) -> FloatArray:
    """Å of each atom below the outermost of them at the interface."""
    assert model.interface is not None
    normal, point = plane_of(model, model.interface)
    away = np.abs((model.positions[atoms] - point) @ normal)
    return np.asarray(away - away.min())


@pytest.mark.parametrize(("index", "element"), [(0, 82), (0, 55), (1, 82)])
def test_a_layer_to_keep_is_what_lies_so_deep_below_the_outermost(index: int, element: int) -> None:
    model = sandwich()
    atoms = np.flatnonzero((model.domain == index) & (model.numbers == element))
    deep = depths(model, index, atoms)
    assert np.ptp(deep) > 5.5
    for thickness in (0.0, 2.0, 3.2, 6.2, 99.0):
        kept = kept_layer(model, index, atoms, None, thickness)
        np.testing.assert_array_equal(kept, deep < thickness + 1e-3)
    edge = 5.605 if index == 0 else 5.936
    for planes in (0, 1, 2):
        if index == 1 and planes:  # planes of S lie half-way: at half an index, a tie
            continue
        kept = kept_layer(model, index, atoms, planes, None)
        np.testing.assert_array_equal(kept, deep < (planes - 0.5) * edge)
    rng = np.random.default_rng(index)
    shaken = replace(model, positions=model.positions + rng.normal(scale=0.4, size=(len(model), 3)))
    np.testing.assert_array_equal(
        kept_layer(shaken, index, atoms, 1, None), kept_layer(model, index, atoms, 1, None)
    )


def test_five_planes_are_kept_where_nothing_is_said() -> None:
    """Of a column of Pb, one on each (1 0 0) plane."""
    model = sandwich()
    perovskite = model.domains[0]
    steps = np.arange(12)
    where = perovskite.cartesian(np.column_stack([steps, 0 * steps, 0 * steps]))
    more = model.extended(
        numbers=np.full(12, 82), positions=where, charges=np.full(12, 2),
        domain=np.zeros(12, dtype=int), role=np.zeros(12, dtype=int),
    )  # fmt: skip
    atoms = np.arange(len(model), len(more))
    kept = kept_layer(more, 0, atoms, None, None)
    # The outermost is the mean of the three that are lowest within half a plane of the third.
    assert np.flatnonzero(kept).tolist() == list(range(7))
    assert np.flatnonzero(kept_layer(more, 0, atoms, 5, None)).tolist() == list(range(7))


@pytest.mark.parametrize(
    ("heights", "expected"),
    [
        ([], 0.0),
        ([-4.0], -4.0),
        ([2.0, 1.8], 1.9),
        ([5.0, 2.1, 2.0, 1.9, 1.0], 2.0),
        ([9.0, 7.0, 2.1, 2.0, 1.9, 1.0], 2.0),
        ([-1.0, -1.1, -1.2, -1.3, -2.0], -1.15),
    ],
)
def test_the_outermost_plane_is_one_of_three_atoms_or_more(
    heights: list[float], expected: float
) -> None:
    shuffled = np.random.default_rng(0).permutation(np.array(heights, float))
    assert _outermost(shuffled) == pytest.approx(expected)


def test_layers_that_cannot_be_kept_are_refused() -> None:
    model, one = sandwich(), joined(2).where(joined(2).domain == 0)
    atoms = np.flatnonzero(model.charges > 0)
    for planes, thickness in [(1, 2.0), (0, 0.0)]:
        with pytest.raises(InputError, match="not both"):
            kept_layer(model, 0, atoms, planes, thickness)
    for planes, thickness in [(-1, None), (None, -0.5)]:
        with pytest.raises(InputError, match="cannot be negative"):
            kept_layer(model, 0, atoms, planes, thickness)
    one = replace(one, domains=one.domains[:1], interface=None)
    for planes, thickness in [(1, None), (None, 0.5)]:
        with pytest.raises(InputError, match="the model is one domain"):
            kept_layer(one, 0, np.arange(4), planes, thickness)
    for planes in (0, None):
        assert kept_layer(one, 0, np.arange(4), planes, None).tolist() == [False] * 4
    apart = ladder({(0, 1): 3}, 3.5)
    with pytest.raises(ImpossibleError, match="No interface plane"):
        kept_layer(apart, 2, np.array([0]), 1, None)


# Contacts


@FEW
@given(SEEDS, st.floats(0.5, 6.0))
def test_coordination_counts_what_lies_within(seed: int, cutoff: float) -> None:
    rng = np.random.default_rng(seed)
    a, b = rng.uniform(0, 9, (7, 3)), rng.uniform(0, 9, (11, 3))
    expected: IntArray = (cdist(a, b) <= cutoff).sum(axis=1)
    assert coordination(a, b, cutoff).tolist() == expected.tolist()
    assert coordination(a, b[:0], cutoff).tolist() == [0] * 7
    assert coordination(a[:0], b, cutoff).tolist() == []


def test_contacts_are_found_however_far() -> None:
    """The closest first within 6 Å, else beyond: of two pairs of a kind the closer one."""
    a = np.array([(0.0, 0, 0), (0, 50.0, 0)])
    for near in (5.0, 7.0, 40.0):
        b = np.array([(near + 3.0, 0, 0), (near, 50.0, 0)])
        (found,) = closest_contacts(a, np.array([2, 2]), b, np.array([1, 1]))
        assert (found.kind, found.first, found.second) == ("cation-cation", 1, 1)
        assert found.distance == pytest.approx(near)


def test_floors_are_by_the_signs_of_both() -> None:
    floors = Floors(anion_anion=1.0, cation_anion=2.0, cation_cation=3.0)
    q = np.array([-2, -1, 1, 2])
    expected = [[1, 1, 2, 2], [1, 1, 2, 2], [2, 2, 3, 3], [2, 2, 3, 3]]
    np.testing.assert_array_equal(floors.between(q[:, None], q[None]), expected)
    assert (Floors().anion_anion, Floors().cation_anion, Floors().cation_cation) == (3.0, 2.6, 3.3)
    for name in ("anion_anion", "cation_anion", "cation_cation"):
        assert getattr(Floors(**{name: 0.0}), name) == 0.0
        for bad in (-0.1, np.inf, np.nan):
            with pytest.raises(InputError, match=name):
                Floors(**{name: bad})


def shortest(name: str, first: int, second: int) -> float:
    """Å, between ions of these signs by pymatgen."""
    crystal = load(name)
    structure = crystal.to_pymatgen()
    least = np.inf
    for i, site in enumerate(structure):
        for n in structure.get_neighbors(site, 8.0):
            signs = np.sign(crystal.charges[i]), np.sign(crystal.charges[n.index])
            if signs == (first, second):
                least = min(least, n.nn_distance)
    return least


@pytest.mark.parametrize("names", [("PbS",), ("ZnO",), ("PbS", "ZnS"), ("Cu2S", "CsPbCl3")])
def test_floors_of_crystals_are_the_usual_ones_or_95_percent_of_theirs(
    names: tuple[str, ...],
) -> None:
    found = floors_of(*map(load, names))
    for got, usual, signs in (
        (found.anion_anion, 3.0, (-1, -1)),
        (found.cation_anion, 2.6, (1, -1)),
        (found.cation_cation, 3.3, (1, 1)),
    ):
        assert got == pytest.approx(min(usual, *(0.95 * shortest(n, *signs) for n in names)))


# Superposition and angles


def test_few_points_are_laid_on_each_other_by_their_middles() -> None:
    x, y = np.array([[1.0, 2, 3]]), np.array([[4.0, 4, 4]])
    for one, other in ((x, y), (np.repeat(x, 3, axis=0), np.repeat(y, 3, axis=0))):
        rotation, shift = superposed(one, other)
        np.testing.assert_array_equal(rotation, np.eye(3))
        np.testing.assert_allclose(shift, [-3, -2, -1])
    two = np.array([[0.0, 0, 0], [0, 0, 2]])
    rotation, shift = superposed(two, np.array([[5.0, 5, 5], [7, 5, 5]]))
    laid = np.array([[5.0, 5, 5], [7, 5, 5]]) @ rotation.T + shift
    np.testing.assert_allclose(laid, two, atol=1e-9)
    # One set in a point, the other not: no turn can be told.
    rotation, _ = superposed(two, np.repeat(x, 2, axis=0))
    np.testing.assert_array_equal(rotation, np.eye(3))


@FEW
@given(SEEDS)
def test_lines_are_up_to_90_degrees_apart(seed: int) -> None:
    u, v = np.random.default_rng(seed).normal(size=(2, 3))
    angle = np.degrees(np.arctan2(np.linalg.norm(np.cross(u, v)), u @ v))
    assert _off(u, v) == pytest.approx(min(angle, 180 - angle), abs=1e-5)
    assert _off(u, -3 * u) == pytest.approx(0.0, abs=1e-5)
