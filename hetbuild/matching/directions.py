"""Vectors of coincidence cells as lattice directions: of equivalent ones those that read best."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from hetbuild.arrays import FloatArray, IntArray
from hetbuild.crystal import lattice
from hetbuild.crystal.lattice import Direction
from hetbuild.crystal.planes import PlaneNet
from hetbuild.matching.nets import polar
from hetbuild.rounding import ALIKE


def upright(
    nets: tuple[PlaneNet, PlaneNet],
    n: IntArray,
    deformation: FloatArray,
) -> IntArray:
    """Of the second net's own rotations, the one whose cell reads best.

    The one that makes the axes of both crystals parallel, so that cube on cube reads
    [0 1 1] || [0 1 1]; where none does, that with most vectors that start positive.
    """
    turns = nets[1].symmetries[nets[1].handed > 0]
    turns = turns[np.argsort(-np.trace(turns, axis1=1, axis2=2), kind="stable")]
    flat = nets[1].flat
    images = np.linalg.inv(flat) @ turns @ flat
    rotation = np.zeros((len(n), len(turns), 3, 3))
    rotation[..., :2, :2] = polar(deformation)[1][:, None] @ images
    rotation[..., 2, 2] = 1.0
    turned = nets[0].frame.T @ rotation @ nets[1].frame
    parallel = np.trace(turned, axis1=2, axis2=3) > 3.0 - ALIKE
    bases = n[:, None] @ turns
    components = bases @ _in_24ths(nets[1])
    lead = np.take_along_axis(components, (components != 0).argmax(axis=3)[..., None], axis=3)
    best = (3 * parallel + (lead[..., 0] > 0).sum(axis=2)).argmax(axis=1)
    return np.asarray(bases[np.arange(len(n)), best])


def signed(net: PlaneNet, m: IntArray, n: IntArray) -> tuple[IntArray, IntArray]:
    """Both bases with cell vectors of the first crystal that start positive, right-handed."""
    components = m @ _in_24ths(net)
    lead = np.take_along_axis(components, (components != 0).argmax(axis=2)[..., None], axis=2)
    sign = np.sign(lead)
    m, n = m * sign, n * sign
    left = (sign.prod(axis=1) < 0)[..., None]
    return np.where(left, m[:, ::-1], m), np.where(left, n[:, ::-1], n)


def named(net: PlaneNet, cells: IntArray) -> list[list[tuple[Direction, int]]]:
    """Cell vectors as a primitive lattice vector and how often it is taken."""
    vectors = cells @ _in_24ths(net)
    content = np.gcd.reduce(vectors, axis=2)
    uvw = (vectors // content[..., None]).tolist()
    counts = np.gcd.reduce(cells, axis=2)
    return [
        [
            (Direction(Fraction(c, lattice.MAX_DENOMINATOR * t), (v[0], v[1], v[2])), t)
            for c, t, v in zip(*row, strict=True)
        ]
        for row in zip(content.tolist(), counts.tolist(), uvw, strict=True)
    ]


def _in_24ths(net: PlaneNet) -> IntArray:
    vectors = np.array([d.vector for d in net.net])
    return np.asarray(np.rint(lattice.MAX_DENOMINATOR * vectors).astype(np.int64))
