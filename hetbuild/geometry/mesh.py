"""Coulomb sums over very many ions: short range by neighbours, the rest on a mesh.

1/r = erfc(a r)/r + erf(a r)/r. The first is summed over ions within a cut-off. The second is
smooth: quintic splines interpolate it between the nodes of a mesh, and a convolution by Fourier
transforms sums it there, on a mesh twice as long with nothing in its other half, so that no image
counts (Hockney & Eastwood 1988, doi 10.1201/9780367806934; the splines as in Essmann et al. 1995,
doi 10.1063/1.470117). Time grows as N log N; `electrostatics.potential` asks for it where pairs
are many.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from hetbuild.arrays import FloatArray, IntArray

DEGREE = 5
"""Of the splines: an ion touches six nodes along each axis."""

OFFSETS = np.arange(-2, 4)
"""Those nodes, from the one below the ion."""

REACH = 4.3
"""Cut-off times a: erfc(4.3) = 1.2e-9 is what the short range leaves out."""

SPACING = 0.22
"""Of the mesh, times a; with REACH it keeps errors under 1e-6 of the largest potential."""

NEAREST, FARTHEST = 10.0, 60.0
"""Å between which the cut-off is chosen."""

AROUND = 10.0
"""Å around points in which ions are counted, to foresee the pairs."""

NODE, PAIR = 3e-7, 2e-7
"""Seconds that a node of the mesh and a pair of neighbours take; their ratio counts."""

SAMPLE = 100
"""Points at which they are counted."""

PAIRS = 4_000_000
"""Neighbour pairs held at a time."""

IONS = 32_768
"""Ions put on the mesh at a time."""

NODES, NODES_PER_ION = 4_000_000, 5
"""Of the mesh at most, 70 bytes each: the first, or with more ions so many for each of them."""

ROUNDED = 9
"""Decimals of the result, e/Å, so that rounding does not tell equals apart."""


def inverse_distances(points: FloatArray, positions: FloatArray, charges: IntArray) -> FloatArray:
    """Sum of q/r in e/Å at points, shape (P, 3), over charges in e at positions, (N, 3), in Å.

    Within 1e-6 of the largest; a charge at the point itself does not count.
    """
    from scipy.ndimage import map_coordinates
    from scipy.spatial import cKDTree

    tree = cKDTree(positions)
    low = np.minimum(points.min(axis=0), positions.min(axis=0))
    extent = np.maximum(points.max(axis=0), positions.max(axis=0)) - low
    sharpness = REACH / _cutoff(points, tree, extent)
    h = SPACING / sharpness
    corner = low - DEGREE * h
    shape = _lengths(extent / h + 2 * DEGREE + 1)
    values = _spread((positions - corner) / h, charges, shape)
    values = _convolved(values, _kernel(shape, h, sharpness))
    result: FloatArray = map_coordinates(
        values, ((points - corner) / h).T, order=DEGREE, prefilter=False, mode="constant"
    )
    del values
    for rows, near in _short_range(points, tree, charges, sharpness):
        result[rows] += near
    return np.round(result, ROUNDED)


def _cutoff(points: FloatArray, tree: Any, extent: FloatArray) -> float:
    """The cut-off in Å at which neighbours and mesh together cost least.

    Pairs grow with its third power, nodes fall with it; their memory sets a limit.
    """
    volume = float(np.prod(extent + 2 * AROUND))
    nodes = NODE * volume * (REACH / SPACING) ** 3
    pairs = PAIR * len(points) * max(1.0, float(_counts(points, tree, AROUND).mean())) / AROUND**3
    most = max(NODES, NODES_PER_ION * tree.n)
    fewest = (volume / most) ** (1 / 3) * REACH / SPACING
    return float(max(np.clip((nodes / pairs) ** (1 / 6), NEAREST, FARTHEST), fewest))


def _counts(points: FloatArray, tree: Any, radius: float) -> IntArray:
    """Ions within a radius of some of the points, evenly spread in their order."""
    some = points[np.linspace(0, len(points) - 1, min(SAMPLE, len(points))).astype(int)]
    return np.asarray(tree.query_ball_point(some, radius, return_length=True))


def _lengths(least: FloatArray) -> tuple[int, ...]:
    """Nodes along each axis, with small prime factors."""
    from scipy.fft import next_fast_len

    return tuple(int(next_fast_len(int(np.ceil(n)), real=True)) for n in least)


def _spread(places: FloatArray, charges: IntArray, shape: tuple[int, ...]) -> FloatArray:
    """Charges on the mesh by their splines. places: in nodes, shape (N, 3)."""
    mesh = np.zeros(int(np.prod(shape)))
    strides = np.array([shape[1] * shape[2], shape[2], 1])
    for start in range(0, len(places), IONS):
        part = places[start : start + IONS]
        below = np.floor(part).astype(np.int64)
        x, y, z = (_splines(f) for f in (part - below).T)
        x *= charges[start : start + IONS]
        node = below @ strides
        for i, a in enumerate(OFFSETS):
            for j, b in enumerate(OFFSETS):
                plane = x[i] * y[j]
                line = node + (a * strides[0] + b * strides[1])
                for k, c in enumerate(OFFSETS):
                    np.add.at(mesh, line + c, plane * z[k])
    return mesh.reshape(shape)


def _splines(fraction: FloatArray) -> FloatArray:
    """Weights of the six nodes around places this far behind one, shape (6, N)."""
    return _basis(fraction - OFFSETS[:, None])


def _basis(x: FloatArray) -> FloatArray:
    """The cardinal spline of degree 5, by truncated powers."""
    away = np.abs(x)
    terms = ((3.0, 1.0), (2.0, -6.0), (1.0, 15.0))
    return np.asarray(sum(w * np.maximum(e - away, 0.0) ** DEGREE for e, w in terms) / 120.0)


def _kernel(shape: tuple[int, ...], h: float, sharpness: float) -> FloatArray:
    """Transform of erf(a r)/r over the doubled mesh, one octant, less both splines'."""
    from scipy.fft import dctn
    from scipy.special import erf

    squares = [(np.arange(n + 1) * h) ** 2 for n in shape]
    r = np.sqrt(squares[0][:, None, None] + squares[1][:, None] + squares[2])
    r[0, 0, 0] = 1.0
    kernel = erf(sharpness * r)
    kernel /= r
    kernel[0, 0, 0] = 2 * sharpness / np.sqrt(np.pi)
    del r
    kernel = np.asarray(dctn(kernel, type=1, overwrite_x=True))
    nodes = np.arange(-2, 3)
    at_nodes = _basis(nodes.astype(float))
    for axis, n in enumerate(shape):
        waves = np.cos(np.pi / n * np.arange(n + 1)[:, None] * nodes)
        response = (waves * at_nodes).sum(axis=1) ** -2
        kernel *= np.expand_dims(response, [a for a in range(3) if a != axis])
    return kernel


def _convolved(mesh: FloatArray, kernel: FloatArray) -> FloatArray:
    """The potential's spline coefficients at the nodes; axis by axis, the empty halves left out."""
    from scipy import fft

    nx, ny, nz = mesh.shape
    waves = fft.fft(fft.rfft(mesh, 2 * nz, axis=2), 2 * ny, axis=1)
    along_x = np.minimum(np.arange(2 * nx), 2 * nx - np.arange(2 * nx))
    for j in range(2 * ny):
        row = fft.fft(waves[:, j], 2 * nx, axis=0)
        row *= kernel[along_x, min(j, 2 * ny - j)]
        waves[:, j] = fft.ifft(row, axis=0)[:nx]
    waves = fft.ifft(waves, axis=1, overwrite_x=True)[:, :ny]
    return np.ascontiguousarray(fft.irfft(waves, 2 * nz, axis=2)[:, :, :nz])


def _short_range(
    points: FloatArray, tree: Any, charges: IntArray, sharpness: float
) -> Iterator[tuple[slice, FloatArray]]:
    """Sums of q erfc(a r)/r over ions within the cut-off, some points at a time."""
    from scipy.spatial import cKDTree
    from scipy.special import erfc

    cutoff = REACH / sharpness
    step = max(1, PAIRS // max(1, int(_counts(points, tree, cutoff).max())))
    for start in range(0, len(points), step):
        rows = slice(start, start + step)
        part = cKDTree(points[rows])
        pairs = part.sparse_distance_matrix(tree, cutoff, output_type="ndarray")
        r = pairs["v"]
        with np.errstate(divide="ignore"):
            terms = erfc(sharpness * r) / r
        # What the mesh says of a charge at the point itself.
        terms[r < 1e-6] = -2 * sharpness / np.sqrt(np.pi)
        terms *= charges[pairs["j"]]
        yield rows, np.asarray(np.bincount(pairs["i"], terms, minlength=part.n), float)
