"""One model laid on another, part by part: maps of vectors, orientations, motions, scores."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.interpolate import RegularGridInterpolator
from scipy.spatial.distance import cdist
from scipy.spatial.transform import Rotation

from hetbuild.analyse import alignment
from hetbuild.analyse.alignment import Motion, _Search
from hetbuild.arrays import FloatArray, IntArray

SEEDS = st.integers(0, 2**32 - 1)
EDGE = 4.0


def particle(seed: int = 0) -> tuple[IntArray, FloatArray]:
    """A shape without symmetry, of two elements on a rock-salt lattice of 4 Å."""
    cells = np.array(list(itertools.product(range(5), range(4), range(3)))) * EDGE / 2
    numbers = np.where(np.rint(cells.sum(axis=1) / (EDGE / 2)).astype(int) % 2, 82, 16)
    keep = np.random.default_rng(seed).permutation(len(cells))[:50]
    return numbers[keep], cells[keep].astype(float)


def motion(seed: int, angle: float = 180.0, far: float = 3.0) -> Motion:
    rng = np.random.default_rng(seed)
    axis = rng.normal(size=3)
    turn = Rotation.from_rotvec(np.radians(angle) * axis / np.linalg.norm(axis)).as_matrix()
    shift = rng.normal(size=3)
    return Motion(turn, far * shift / np.linalg.norm(shift))


@settings(max_examples=10)
@given(SEEDS)
def test_a_motion_and_back(seed: int) -> None:
    y = np.random.default_rng(seed).normal(size=(5, 3))
    there = motion(seed)
    assert there.of(y)[0] == pytest.approx(there.rotation @ y[0] + there.shift)
    np.testing.assert_allclose(there.back(there.of(y)), y, atol=1e-9)


def test_motions_near_a_better_one_go() -> None:
    """By angle or by 1 Å: each alone is enough to stay."""
    first = motion(1)
    cos, sin = np.cos(np.radians(alignment.DISTINCT)), np.sin(np.radians(alignment.DISTINCT))
    assert 0 < sin < cos
    tests = [(0.9, 0.9, False), (1.1, 0.9, True), (0.9, 1.1, True), (1.1, 1.1, True)]
    for angle, far, stays in tests:
        small = motion(2, angle * alignment.DISTINCT, far)
        other = Motion(small.rotation @ first.rotation, first.shift + small.shift)
        kept = alignment._apart([(0.5, first), (0.7, other)])
        assert kept[0] == (0.5, first)
        assert (len(kept) == 2) == stays
        turns = alignment._distinct(np.array([first.rotation, other.rotation]))
        assert len(turns) == (2 if angle > 1 else 1)
    many = Rotation.random(500, random_state=np.random.default_rng(0)).as_matrix()
    assert len(alignment._distinct(many)) == alignment.CANDIDATES
    assert np.array_equal(alignment._distinct(many)[0], many[0])


def test_the_map_counts_vectors_between_like_atoms() -> None:
    """Every vector longer than SHORTEST and within RADIUS once; peaks at lattice vectors."""
    numbers, x = particle()
    density = alignment._vector_map(numbers, x)
    expected, vectors = 0, []
    for z in (16, 82):
        mine = x[numbers == z]
        away = cdist(mine, mine)
        near = (away > alignment.SHORTEST) & (away <= alignment.RADIUS)
        expected += near.sum()
        vectors.append((mine[:, None] - mine[None])[near])
    assert density.sum() == pytest.approx(expected, rel=0.01)
    assert np.allclose(density, density[::-1, ::-1, ::-1])
    points, height = alignment._peaks(density)
    assert (np.diff(height) <= 0).all()
    known = np.unique(np.rint(np.concatenate(vectors) * 2) / 2, axis=0)
    assert cdist(points, known).min(axis=1).max() < alignment.VOXEL
    nearest = known[np.linalg.norm(known, axis=1) < EDGE + 0.1]
    assert cdist(nearest, points).min(axis=1).max() < alignment.VOXEL
    # As high as there are vectors: the shortest are the most frequent.
    count = [(np.abs(np.concatenate(vectors) - p).max(axis=1) < 1.0).sum() for p in points[:12]]
    assert (height[:12] / count).std() < 0.05 * (height[:12] / count).mean()


def test_a_crowd_is_sampled_by_its_centres(monkeypatch: pytest.MonkeyPatch) -> None:
    numbers, x = particle()
    whole = alignment._vector_map(numbers, x).sum()
    monkeypatch.setattr(alignment, "CENTRES", 25)
    assert alignment._vector_map(numbers, x).sum() == pytest.approx(whole / 2, rel=0.25)
    lone = alignment._vector_map(np.array([1, 2]), np.zeros((2, 3)))
    assert not lone.any()
    assert len(alignment._peaks(lone)[0]) == 0
    assert alignment._turns(alignment._peaks(lone), numbers, x) == []


def test_overlap_is_the_map_at_the_points_turned_back() -> None:
    numbers, x = particle()
    density = alignment._vector_map(numbers, x)
    half = density.shape[0] // 2
    axis = np.arange(-half, half + 1) * alignment.VOXEL
    read = RegularGridInterpolator((axis, axis, axis), density)
    points, weight = alignment._peaks(density)
    points, weight = points[:30], weight[:30]
    turns = Rotation.random(20, random_state=np.random.default_rng(1)).as_matrix()
    found = alignment._overlap(density, turns, points, weight)
    expected = [read(points @ turn) @ weight for turn in turns]
    np.testing.assert_allclose(found, expected, rtol=1e-9)
    more = np.tile(turns, (250, 1, 1))
    assert np.array_equal(alignment._overlap(density, more, points, weight)[-20:], found)


@pytest.mark.parametrize("seed", [3, 4])
def test_orientations_found_overlap_as_well_as_the_true_one(seed: int) -> None:
    numbers, x = particle()
    turn = motion(seed, 77.0).rotation
    y = x @ turn  # x = turn @ y
    peaks = alignment._peaks(alignment._vector_map(numbers, x))
    found = alignment._turns(peaks, numbers, y)
    density = alignment._vector_map(numbers, y)
    best, true = (alignment._overlap(density, np.array([t]), *peaks)[0] for t in (found[0], turn))
    assert best > 0.97 * true
    cosine = (np.einsum("kij,ij->k", np.array(found), turn).max() - 1) / 2
    assert cosine > np.cos(np.radians(5.0))


def search(seed: int, noise: float = 0.0) -> tuple[_Search, Motion]:
    """The particle, and a moved, shuffled copy of it with one atom of a third element."""
    rng = np.random.default_rng(seed)
    numbers, x = particle()
    there = motion(seed, 40.0)
    order = rng.permutation(len(x))
    y = (
        there.back(x[order] + rng.normal(scale=noise, size=x.shape))
        if noise
        else there.back(x[order])
    )
    others = np.append(numbers[order], 55)
    return _Search(numbers, x, others, np.vstack([y, [[50.0, 0, 0]]])), there


def test_nearest_atoms_are_of_the_same_element() -> None:
    looked, there = search(5, 0.3)
    off = Motion(there.rotation, there.shift + 0.7)
    atoms = np.array([0, 7, 30])
    found, away = looked.nearest(off, atoms)
    for k, atom in enumerate(atoms):
        like = looked.y[looked.others == looked.numbers[atom]]
        distance = np.linalg.norm(off.of(like) - looked.x[atom], axis=1)
        assert away[k] == pytest.approx(distance.min())
        assert np.array_equal(found[k], like[distance.argmin()])


def test_motions_are_ranked_by_distances_no_longer_than_far() -> None:
    looked, there = search(6, 0.2)
    tried = [Motion(there.rotation, there.shift + d) for d in (3.0, 0.0, 0.5, 90.0)]
    ranked = looked.ranked(tried)
    assert [m.shift[0] for _, m in ranked] == [tried[k].shift[0] for k in (1, 2, 0, 3)]
    for total, one in ranked:
        away = looked.nearest(one, looked.few)[1]
        assert total == pytest.approx(np.minimum(away, alignment.FAR).sum())
    assert looked.ranked([]) == []


@pytest.mark.parametrize("seed", [7, 8, 9])
def test_refining_brings_a_motion_to_rest(seed: int) -> None:
    looked, there = search(seed)
    near = Motion(motion(seed, 2.0).rotation @ there.rotation, there.shift + 0.2)
    before = np.minimum(looked.nearest(near, looked.all)[1], alignment.FAR).mean()
    score, rest = looked.refined(near, looked.all)
    assert score < 1e-6 < before
    np.testing.assert_allclose(rest.rotation, there.rotation, atol=1e-6)
    np.testing.assert_allclose(rest.shift, there.shift, atol=1e-5)
    # Where nothing is near there is nothing to go by: as it was, at FAR.
    lost = Motion(there.rotation, there.shift + 400.0)
    assert looked.refined(lost, looked.all) == (alignment.FAR, lost)


def test_centres_of_what_both_have_lie_on_each_other() -> None:
    """The third element does not count."""
    looked, there = search(10)
    centred = looked.centred(there.rotation)
    np.testing.assert_allclose(centred.shift, there.shift, atol=1e-9)
    shifts = np.array([m.shift for m in looked.shifted([(0.0, centred)])]) - centred.shift
    lengths = np.linalg.norm(shifts, axis=1)
    assert len(shifts) > 12
    assert lengths.max() < alignment.RADIUS - 1
    assert np.abs(lengths - EDGE / np.sqrt(2)).min() < alignment.VOXEL


@pytest.mark.parametrize("noise", [0.0, 0.25])
def test_a_model_is_laid_on_its_copy(noise: float) -> None:
    looked, there = search(11, noise)
    found = alignment.align(looked.numbers, looked.x, looked.others, looked.y)
    score = looked.refined(there, looked.all)[0]
    assert alignment._score((looked.refined(found, looked.all)[0], found)) <= score + 1e-9
    assert np.trace(found.rotation.T @ there.rotation) > 1 + 2 * np.cos(np.radians(3.0))
