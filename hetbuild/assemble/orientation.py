"""Orientation of two particles: planes and directions parallel, anchors at the origin."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hetbuild.arguments import check_fields, checked, shaped
from hetbuild.arrays import FloatArray, Plane
from hetbuild.crystal import lattice
from hetbuild.crystal.lattice import Coincidence, Direction, plane_label
from hetbuild.errors import InputError
from hetbuild.model import Domain, Model
from hetbuild.rounding import NOTHING

SAME_DIRECTION = 0.01
"""Degrees within which a lattice vector counts as along an interface axis."""

LONGEST = 6
"""Multiples of a net's own vectors that are looked through for it."""


@dataclass(frozen=True, slots=True)
class Orientation:
    """One plane pair and one or two direction pairs, parallel in the joined model.

    Examples
    --------
    >>> import hetbuild as hb
    >>> stepped = hb.Orientation(((-2, 1, 0), (-4, -4, 2)), along=((1, 2, 0), (0.5, 0.5, 2)))
    """

    planes: tuple[Plane, Plane]
    along: tuple[tuple[float, ...], tuple[float, ...]]
    """A direction [uvw] of each crystal, in its plane."""
    across: tuple[tuple[float, ...], tuple[float, ...]] | None = None
    """A second pair, only checked: it must agree in sign with the first."""

    def __post_init__(self) -> None:
        check_fields(self)


@checked
def align(
    first: Model, second: Model, orientation: Orientation, *, between: tuple[int, int] = (0, 0)
) -> tuple[Model, Model]:
    """Turn both particles to interface axes: x along, y across, z the common plane normal.

    The domains keep their own lattice constants. The datum of each comes to the origin. between:
    which domain of each is meant, where one has several.

    Raises
    ------
    InputError
        A direction is not in its plane, the second direction pair contradicts the first, or
        `between` means no domain.

    Examples
    --------
    >>> import hetbuild as hb
    >>> cube = hb.carve("CsPbCl3", [hb.Facet((1, 0, 0), 1)], site="Pb", name="perovskite")
    >>> salt = hb.carve("PbS", [hb.Facet((1, 0, 0), 2)], site="Pb", name="sulfide")
    >>> upper = hb.cut(cube, (1, 0, 0), keep="above", at=0)
    >>> lower = hb.cut(salt, (1, 0, 0), keep="below", at=-1)
    >>> parallel = hb.Orientation(((1, 0, 0), (1, 0, 0)), along=((0, 1, 0), (0, 1, 0)))
    >>> upper, lower = hb.align(upper, lower, parallel)
    >>> lower.domains[0].vectors.round(3).tolist()  # x along [0 1 0], z along the normal (1 0 0)
    [[0.0, 0.0, 5.936], [5.936, 0.0, 0.0], [0.0, 5.936, 0.0]]
    """
    check_between(first, second, between)
    turned = []
    for model, index, plane, along in zip(
        (first, second), between, orientation.planes, orientation.along, strict=True
    ):
        axes = _axes(model.domains[index], plane, along)
        turned.append(model.moved(axes, -axes @ model.domains[index].origin))
    if orientation.across is not None:
        upper, lower = (m.domains[i] for m, i in zip(turned, between, strict=True))
        _check_across(upper, lower, orientation)
    return turned[0], turned[1]


@checked
def anchored(
    first: Model,
    second: Model,
    anchor: tuple[Sequence[float], Sequence[float]],
    *,
    between: tuple[int, int] = (0, 0),
) -> tuple[Model, Model]:
    """Bring the point `anchor` of each aligned particle to the origin.

    anchor: offsets from each domain's datum in conventional axes, shape (3,) each. With both on a
    cation site, the cation rows of the two crystals coincide there. between: as for `align`.

    Raises
    ------
    InputError
        An anchor is not of three numbers, or `between` means no domain.

    Examples
    --------
    >>> import hetbuild as hb
    >>> salt = hb.carve("PbS", [hb.Facet((1, 0, 0), 2)], site="Pb")
    >>> first, second = hb.anchored(salt, salt, ((0, 0, 0), (0.5, 0.5, 0)))
    >>> (second.positions - first.positions)[0].round(3).tolist()
    [-2.968, -2.968, 0.0]
    """
    check_between(first, second, between)
    moved = []
    for model, index, offset in zip((first, second), between, anchor, strict=True):
        shaped(np.asarray(offset), (3,), "anchored: an anchor")
        point = model.domains[index].cartesian(np.asarray(offset, dtype=float))
        moved.append(model.moved(np.eye(3), -point))
    return moved[0], moved[1]


def check_between(first: Model, second: Model, between: tuple[int, int]) -> None:
    """Stop where `between` means a domain that is not there.

    Raises
    ------
    InputError
        It does.
    """
    for model, index in zip((first, second), between, strict=True):
        if not 0 <= index < len(model.domains):
            raise InputError(
                f"between: there is no domain {index}; {model.formula} has {len(model.domains)}, "
                "counted from 0."
            )


def _axes(domain: Domain, plane: Plane, along: Sequence[float]) -> FloatArray:
    """Rotation to interface axes, rows along, across, normal; shape (3, 3)."""
    _check_in_plane(domain, plane, along)
    normal = lattice.plane_normal(domain.vectors, plane)
    x = np.asarray(along, dtype=float) @ domain.vectors
    x /= np.linalg.norm(x)
    return np.array([x, np.cross(normal, x), normal])


def _check_in_plane(domain: Domain, plane: Plane, direction: Sequence[float]) -> None:
    lattice.check_plane(plane)
    if not np.any(direction):
        raise InputError(f"[0 0 0] of {domain.name} is no direction: give one in the plane.")
    product = float(np.dot(plane, direction))
    if abs(product) > NOTHING:
        name = Direction.of(list(direction))
        net = " and ".join(str(v) for v in domain.crystal.surface_net(plane))
        raise InputError(
            f"Direction {name} of {domain.name} does not lie in the plane {plane_label(plane)} "
            f"(hu + kv + lw = {product:g}, must be 0). Vectors of that plane: {net}."
        )


def _check_across(first: Domain, second: Domain, orientation: Orientation) -> None:
    assert orientation.across is not None
    vectors = []
    for domain, plane, uvw in zip(
        (first, second), orientation.planes, orientation.across, strict=True
    ):
        _check_in_plane(domain, plane, uvw)
        vectors.append(np.asarray(uvw, dtype=float) @ domain.vectors)
    apart = lattice.angle(vectors[0], vectors[1])
    if apart > 90.0:
        a, b = (Direction.of(list(uvw)) for uvw in orientation.across)
        raise InputError(
            f"The second direction pair {a} || {b} points opposite ways ({apart:.1f} degrees) once "
            "planes and first pair are parallel: change the sign of one of the two."
        )


def coincidences(
    first: Domain, second: Domain, orientation: Orientation
) -> tuple[Coincidence, Coincidence | None]:
    """Directions of two domains in one frame that are parallel: along, and across if there are."""
    u, v = (
        lattice.lattice_vector(d.crystal.primitive, uvw)
        for d, uvw in zip((first, second), orientation.along, strict=True)
    )
    return _coincide(first, u, second, v), _across(first, second, orientation)


def _across(first: Domain, second: Domain, orientation: Orientation) -> Coincidence | None:
    """The pair normal to the first, given or found in both surface nets."""
    if orientation.across is not None:
        u, v = (
            lattice.lattice_vector(d.crystal.primitive, uvw)
            for d, uvw in zip((first, second), orientation.across, strict=True)
        )
        return _coincide(first, u, second, v)
    found = [
        _net_direction(first, orientation.planes[0]),
        _net_direction(second, orientation.planes[1]),
    ]
    if found[0] is None or found[1] is None:
        return None
    return _coincide(first, found[0], second, found[1])


def _net_direction(domain: Domain, plane: Plane) -> Direction | None:
    """Shortest lattice vector of the plane along +y of the interface axes, if there is one."""
    u, v = (d.vector for d in domain.crystal.surface_net(plane))
    steps = np.arange(-LONGEST, LONGEST + 1)
    m, n = (g.ravel() for g in np.meshgrid(steps, steps))
    combos = m[:, None] * u + n[:, None] * v
    cartesian = combos @ domain.vectors
    length = np.linalg.norm(cartesian, axis=1)
    good = (length > 0) & (cartesian[:, 1] >= length * np.cos(np.radians(SAME_DIRECTION)))
    return Direction.of(combos[good][np.argmin(length[good])]) if good.any() else None


def _coincide(first: Domain, u: Direction, second: Domain, v: Direction) -> Coincidence:
    lengths = [float(np.linalg.norm(d.vector @ x.vectors)) for d, x in ((u, first), (v, second))]
    return lattice.coincidence((u, lengths[0]), (v, lengths[1]))
