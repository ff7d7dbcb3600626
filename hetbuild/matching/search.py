"""Which planes of two crystals fit: coincidence cells, strain, true directions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hetbuild.arguments import checked
from hetbuild.arrays import FloatArray, Plane, Progress
from hetbuild.crystal import lattice
from hetbuild.crystal.crystal import Crystal, crystal_of
from hetbuild.crystal.lattice import Coincidence
from hetbuild.crystal.planes import (
    PlaneNet,
    distinct_pairs,
    plane_net,
)
from hetbuild.errors import InputError
from hetbuild.matching.cost import (
    estimate,
    net_area,
    refuse_if_large,
    refuse_if_long,
    search_bytes,
    search_seconds,
)
from hetbuild.matching.directions import named, signed, upright
from hetbuild.matching.matches import Match, Matches
from hetbuild.matching.nets import (
    LARGEST_STRAIN,
    CoincidenceCells,
    Supercells,
    coincidence_cells,
    polar,
    reduced_supercells,
    strained_supercells,
    stretches,
)
from hetbuild.rounding import ALIKE, DIGITS

MAX_STRAIN = 0.035
"""Default limit of principal strains: just above the 3.2 % of PbS and PbSe, cube on cube."""

MAX_AREA = 400.0
"""Default largest coincidence cell, Å²."""

LEAST_MISS = 0.005
"""Strain twice which is allowed at first in the search for the nearest miss, and doubled then."""

LOW: tuple[Plane, ...] = (
    (1, 0, 0),
    (0, 1, 0),
    (0, 0, 1),
    (1, 1, 0),
    (1, 0, 1),
    (0, 1, 1),
    (1, 1, 1),
)
"""Planes of low index, among which is the one with the smallest cell, which has the most
supercells."""


@dataclass(frozen=True, slots=True)
class _Side:
    """One crystal of a search: its nets and supercells by plane, made when first needed."""

    crystal: Crystal
    rotations: FloatArray
    """Proper point group in Cartesian axes, shape (g, 3, 3)."""
    net: dict[Plane, PlaneNet]
    cells: dict[Plane, Supercells]


_Search = tuple[tuple[_Side, _Side], list[tuple[Plane, Plane]]]
"""Both sides, and the pairs of planes to look at."""


@checked
def match(
    first: Crystal | str | Path,
    second: Crystal | str | Path,
    *,
    planes: tuple[Sequence[int], Sequence[int]] | None = None,
    max_index: int = 2,
    max_strain: float = MAX_STRAIN,
    max_area: float = MAX_AREA,
    progress: Progress = None,
) -> Matches:
    """All primitive coincidence cells of two crystals, best score first: a tuple of `Match`.

    first, second: crystals, shipped names or CIF files. planes: one pair (h k l), one of each
    crystal; default: every symmetry-distinct pair with coprime indices up to max_index. max_strain:
    largest principal strain, 0.035 is 3.5 %. max_area: largest cell in either crystal, Å².
    progress: called with the fraction done.

    Raises
    ------
    InputError
        A plane, index, strain or area that is not allowed.
    ImpossibleError
        The search would take more than an hour; the text gives the estimate.

    Examples
    --------
    >>> import hetbuild as hb
    >>> found = hb.match("PbS", "PbSe", max_index=1)
    >>> print(*found[0].planes, round(found[0].score, 1))
    (1 1 1) (1 1 1) 173.9
    """
    _check_limits(max_strain, max_area)
    first, second = crystal_of(first), crystal_of(second)
    if planes is None:
        sides, pairs = _of_all((first, second), max_index, max_strain, max_area)
    else:
        sides, pairs = _of_one((first, second), planes, max_strain, max_area)
    found: list[Match] = []
    for done, pair in enumerate(pairs):
        found += _matches(sides, pair, max_strain, max_area)
        if progress is not None:
            progress((done + 1) / len(pairs))
    order = sorted(found, key=lambda m: (round(m.score, DIGITS), m.area, m.principal))
    return Matches(order, names=(first.name, second.name))


def _of_all(
    crystals: tuple[Crystal, Crystal], max_index: int, max_strain: float, max_area: float
) -> _Search:
    """Every symmetry-distinct pair of planes up to an index, with the indices of lattice planes."""
    first, second = crystals
    refuse_if_long(estimate(first, second, max_index, max_strain, max_area))
    least = [min(net_area(c, h) for h in LOW) for c in crystals]
    refuse_if_large(search_bytes(least[0], least[1], max_strain, max_area))
    pairs = [
        (
            lattice.primitive_plane(first.primitive, p),
            lattice.primitive_plane(second.primitive, q),
        )
        for p, q in distinct_pairs(first, second, max_index)
    ]
    return (_side(first), _side(second)), pairs


def _of_one(
    crystals: tuple[Crystal, Crystal],
    planes: tuple[Sequence[int], Sequence[int]],
    max_strain: float,
    max_area: float,
) -> _Search:
    """One pair of planes, as asked for."""
    nets = a, b = plane_net(crystals[0], planes[0]), plane_net(crystals[1], planes[1])
    refuse_if_long(search_seconds(a.area, b.area, max_strain, max_area))
    refuse_if_large(search_bytes(a.area, b.area, max_strain, max_area))
    sides = _side(crystals[0]), _side(crystals[1])
    for side, net in zip(sides, nets, strict=True):
        side.net[net.label.asked] = net
    return sides, [(a.label.asked, b.label.asked)]


def nearest_miss(
    first: Crystal,
    second: Crystal,
    *,
    planes: tuple[Sequence[int], Sequence[int]] | None = None,
    max_index: int = 2,
    max_strain: float = MAX_STRAIN,
    max_area: float = MAX_AREA,
) -> Match | None:
    """The match of least strain where none is within max_strain; None if none is within 15 %."""
    limit = max(max_strain, LEAST_MISS)
    while limit < LARGEST_STRAIN:
        limit = min(2 * limit, LARGEST_STRAIN)
        found = match(
            first, second, planes=planes, max_index=max_index, max_strain=limit, max_area=max_area
        )
        if found:
            return min(found, key=lambda m: m.largest_strain)
    return None


def _check_limits(max_strain: float, max_area: float) -> None:
    if not 0 < max_strain <= LARGEST_STRAIN:
        raise InputError(
            f"The strain limit must be above 0 and at most {100 * LARGEST_STRAIN:g} %; given "
            f"{100 * max_strain:g} %."
        )
    if max_area <= 0:
        raise InputError(f"The largest area must be a number above 0 Å²; given {max_area:g}.")


def _side(crystal: Crystal) -> _Side:
    basis = crystal.vectors.T
    proper = crystal.rotations[np.linalg.det(crystal.rotations) > 0]
    return _Side(crystal, np.asarray(basis @ proper @ np.linalg.inv(basis)), {}, {})


def _matches(
    sides: tuple[_Side, _Side], pair: tuple[Plane, Plane], limit: float, max_area: float
) -> Iterator[Match]:
    for side, hkl in zip(sides, pair, strict=True):
        if hkl not in side.net:
            side.net[hkl] = plane_net(side.crystal, hkl)
    nets = sides[0].net[pair[0]], sides[1].net[pair[1]]
    if pair[0] not in sides[0].cells:
        sides[0].cells[pair[0]] = reduced_supercells(nets[0], max_area)
    if pair[1] not in sides[1].cells:
        sides[1].cells[pair[1]] = strained_supercells(nets[1], max_area, limit)
    cells = sides[0].cells[pair[0]], sides[1].cells[pair[1]]
    found = coincidence_cells(nets, cells, limit)
    if not len(found.first):
        return iter(())
    return _described(sides, nets, found)


def _described(
    sides: tuple[_Side, _Side], nets: tuple[PlaneNet, PlaneNet], cells: CoincidenceCells
) -> Iterator[Match]:
    """Matches in words: directions, lengths, strain."""
    m, n = signed(nets[0], cells.first, cells.second)
    straight, turned = (_misorientation(sides, nets, s * cells.deformation) for s in (1.0, -1.0))
    turn = np.where(turned < straight - ALIKE, -1, 1)
    n = upright(nets, n * turn[:, None, None], turn[:, None, None] * cells.deformation)
    strain = _strain(m @ nets[0].flat, cells.deformation)
    low, high = stretches(cells.deformation)
    vectors = m @ nets[0].flat, n @ nets[1].flat
    lengths = np.stack([np.linalg.norm(v, axis=2) for v in vectors])
    areas = np.stack([np.linalg.det(v) for v in vectors])
    cosine = np.stack([(v[:, 0] * v[:, 1]).sum(axis=1) for v in vectors]) / lengths.prod(axis=2)
    angles = np.degrees(np.arccos(np.clip(cosine, -1.0, 1.0)))
    names = named(nets[0], m), named(nets[1], n)
    for k in range(len(m)):
        pairs = [
            Coincidence(
                a, b, (times_a, times_b), (float(lengths[0, k, i]), float(lengths[1, k, i]))
            )
            for i in range(2)
            for (a, times_a), (b, times_b) in [(names[0][k][i], names[1][k][i])]
        ]
        (xx, xy), (_, yy) = strain[k].tolist()
        yield Match(
            planes=(nets[0].label, nets[1].label),
            cell=(pairs[0], pairs[1]),
            area=(float(areas[0, k]), float(areas[1, k])),
            angle=(float(angles[0, k]), float(angles[1, k])),
            strain=((xx, xy), (xy, yy)),
            principal=(float(low[k]) - 1.0, float(high[k]) - 1.0),
            misorientation=float(min(straight[k], turned[k])),
            half_turn=bool(cells.turned[k]),
            turned_misorientation=float(
                max(straight[k], turned[k]) if cells.turned[k] else min(straight[k], turned[k])
            ),
        )


def _strain(cell: FloatArray, deformation: FloatArray) -> FloatArray:
    """Stretch less one, in axes along the first cell vector, shape (k, 2, 2)."""
    x = cell[:, 0] / np.linalg.norm(cell[:, 0], axis=1)[:, None]
    axes = np.stack([x, np.stack([-x[:, 1], x[:, 0]], axis=1)], axis=1)
    return np.asarray(axes @ polar(deformation)[0] @ np.swapaxes(axes, 1, 2) - np.eye(2))


def _misorientation(
    sides: tuple[_Side, _Side], nets: tuple[PlaneNet, PlaneNet], deformation: FloatArray
) -> FloatArray:
    """Smallest angle of the rotation from first to second crystal, degrees, shape (k,)."""
    turn = np.zeros((len(deformation), 3, 3))
    turn[:, :2, :2] = polar(deformation)[1]
    turn[:, 2, 2] = 1.0
    rotation = nets[0].frame.T @ turn @ nets[1].frame
    images = rotation[:, None] @ sides[1].rotations
    # The trace of g x is the sum over all elements of g transposed times x.
    transposed = np.swapaxes(sides[0].rotations, 1, 2).reshape(-1, 9)
    traces = images.reshape(len(rotation), -1, 9) @ transposed.T
    cosine = (traces.max(axis=(1, 2)) - 1.0) / 2.0
    return np.asarray(np.degrees(np.arccos(np.clip(cosine, -1.0, 1.0))))
