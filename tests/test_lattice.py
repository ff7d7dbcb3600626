"""Planes and directions against pymatgen, against identities, and against published numbers."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import load
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.core import Lattice

from hetbuild.arrays import Plane
from hetbuild.crystal import lattice
from hetbuild.crystal.lattice import Direction
from hetbuild.crystal.setting import CENTRING
from hetbuild.errors import InputError

CRYSTALS = ["PbS", "CsPbCl3", "Cs2PbI2Cl2", "Cs4PbBr6", "Pb4S3Br2", "Pb3S2Cl2", "CdS-wurtzite"]
planes = st.tuples(*3 * [st.integers(-5, 5)]).filter(any)


@given(st.sampled_from(CRYSTALS), planes)
def test_spacing_is_that_of_pymatgen(name: str, hkl: Plane) -> None:
    crystal = load(name)
    assert crystal.spacing(hkl) == pytest.approx(Lattice(crystal.vectors).d_hkl(hkl), rel=1e-10)


@given(st.sampled_from(CRYSTALS), planes)
def test_surface_net_is_primitive(name: str, hkl: Plane) -> None:
    """Area of the net times the spacing of lattice planes is the primitive volume."""
    crystal = load(name)
    u, v = (d.vector for d in crystal.surface_net(hkl))
    assert np.dot(u, hkl) == pytest.approx(0, abs=1e-9)
    assert np.dot(v, hkl) == pytest.approx(0, abs=1e-9)
    area = np.cross(u @ crystal.vectors, v @ crystal.vectors)
    assert area @ lattice.plane_normal(crystal.vectors, hkl) > 0
    volume = abs(np.linalg.det(crystal.primitive @ crystal.vectors))
    plane = lattice.primitive_plane(crystal.primitive, hkl)
    assert np.linalg.norm(area) * crystal.spacing(plane) == pytest.approx(volume, rel=1e-9)


@given(st.sampled_from(CRYSTALS), planes)
def test_net_vectors_are_lattice_vectors(name: str, hkl: Plane) -> None:
    crystal = load(name)
    for direction in crystal.surface_net(hkl):
        cells = np.linalg.solve(crystal.primitive.T, direction.vector)
        np.testing.assert_allclose(cells, np.rint(cells), atol=1e-9)
        assert lattice.lattice_vector(crystal.primitive, direction.uvw) == direction or (
            lattice.lattice_vector(crystal.primitive, direction.uvw).uvw == direction.uvw
        )


@given(
    st.sampled_from(sorted(CENTRING)),
    st.lists(st.floats(-1.5, 1.5), min_size=9, max_size=9),
    st.tuples(*3 * [st.integers(-60, 60)]).filter(any),
)
def test_surface_net_of_every_centring_in_skewed_cells(
    centring: str, skew: list[float], hkl: Plane
) -> None:
    """Also A, which no shipped crystal has, and high indices."""
    primitive = CENTRING[centring]
    vectors = 7.0 * np.eye(3) + np.reshape(skew, (3, 3))
    u, v = (d.vector @ vectors for d in lattice.surface_net(vectors, primitive, hkl))
    plane = lattice.primitive_plane(primitive, hkl)
    volume = np.linalg.det(primitive @ vectors)
    area = np.cross(u, v) @ lattice.plane_normal(vectors, hkl)
    assert area * lattice.spacing(vectors, plane) == pytest.approx(volume, rel=1e-7)
    assert u @ u <= v @ v * (1 + 1e-6)
    assert abs(u @ v) <= u @ u / 2 * (1 + 1e-6)


def test_interface_of_the_paper() -> None:
    """The vectors that tools matching conventional cells miss."""
    pbs, perovskite = load("PbS"), load("CsPbCl3")
    assert [str(d) for d in pbs.surface_net((-4, -4, 2))] == ["1/2[1 -1 0]", "1/2[1 1 4]"]
    assert [str(d) for d in perovskite.surface_net((-2, 1, 0))] == ["[0 0 1]", "[1 2 0]"]
    assert pbs.spacing((-4, -4, 2)) == pytest.approx(5.9362 / 6, rel=1e-9)
    assert lattice.primitive_plane(pbs.primitive, (-2, -2, 1)) == (-4, -4, 2)


def test_coincidence_takes_the_smallest_multiple() -> None:
    pair = lattice.coincidence(
        (Direction.of([0, 0, 1]), 5.605), (Direction.of([0.5, -0.5, 0]), 5.9362 / 2**0.5)
    )
    assert pair.labels == ("3[0 0 1]", "4 x 1/2[1 -1 0]")
    assert 100 * pair.mismatch == pytest.approx(-0.15, abs=0.005)


@given(st.tuples(*3 * [st.integers(-6, 6)]).filter(any), st.sampled_from([1, 2, 3, 4]))
@settings(max_examples=50)
def test_direction_keeps_its_vector(uvw: Plane, denominator: int) -> None:
    vector = np.array(uvw) / denominator
    direction = Direction.of(vector)
    np.testing.assert_allclose(direction.vector, vector, atol=1e-12)
    assert direction.multiplier > 0
    assert np.gcd.reduce(direction.uvw) == 1


def test_errors() -> None:
    with pytest.raises(InputError, match=r"\(0 0 0\) is no lattice plane"):
        load("PbS").spacing((0, 0, 0))
    with pytest.raises(InputError, match="not a lattice direction"):
        Direction.of([0.123456, 1, 0])
    with pytest.raises(InputError, match="three integers"):
        lattice.check_plane([1, 2])
