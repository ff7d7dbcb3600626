"""Energies of point ions: the Coulomb sum, and a short-range score for joining surfaces."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from hetbuild.arrays import FloatArray, IntArray
from hetbuild.elements import symbol
from hetbuild.errors import InputError
from hetbuild.geometry.contacts import Floors
from hetbuild.geometry.mesh import inverse_distances
from hetbuild.rounding import ALIKE

COULOMB = 14.39964
"""e^2 / (4 pi epsilon_0) in eV Å."""

SHANNON_RADII: Mapping[str, float] = {
    "Li": 0.76, "Na": 1.02, "K": 1.38, "Rb": 1.52, "Cs": 1.67, "Cu": 0.77, "Ag": 1.15, "Tl": 1.50,
    "Mg": 0.72, "Ca": 1.00, "Sr": 1.18, "Ba": 1.35, "Zn": 0.74, "Cd": 0.95, "Hg": 1.02, "Sn": 1.22,
    "Sc": 0.745, "Y": 0.90, "La": 1.032, "Ce": 1.01, "Pr": 0.99, "Nd": 0.983, "Sm": 0.958,
    "Eu": 0.947, "Gd": 0.938, "Tb": 0.923, "Dy": 0.912, "Ho": 0.901, "Er": 0.89, "Tm": 0.88,
    "Yb": 0.868, "Lu": 0.861, "Ti": 0.605, "Zr": 0.72, "Hf": 0.71, "Fe": 0.78, "Co": 0.745,
    "Ni": 0.69, "Au": 1.37, "N": 1.46,
    "Pb": 1.19, "Ge": 0.73, "Mn": 0.83, "Al": 0.535, "Ga": 0.62, "In": 0.80, "Sb": 0.76, "Bi": 1.03,
    "O": 1.40, "S": 1.84, "Se": 1.98, "Te": 2.21, "F": 1.33, "Cl": 1.81, "Br": 1.96, "I": 2.20,
}  # fmt: skip
"""Six-coordinate ionic radii in Å of the usual charges, Shannon 1976, doi
10.1107/S0567739476001551; N four-coordinate, which is all there is. Sn2+, which is not there, is
eight-coordinate, Shannon & Prewitt 1969, doi 10.1107/S0567740869003220."""

SOFTNESS = 0.345
"""Born-Mayer range in Å, Born & Mayer 1932, doi 10.1007/BF01340511."""

REACH = 8.0
"""Å at which the damped pair energy is cut and shifted to zero."""

DAMPING = 0.25
"""1/Å, Wolf damping of the Coulomb term, doi 10.1063/1.478738."""

TETHER = 5.0
"""eV/Å^2, stiffness K that holds an ion on its lattice site: M w^2 of S at 6.2 THz, about the
longitudinal optical phonon of PbS."""

CHUNK = 4_000_000
"""Pair distances held at a time."""

MANY = 200_000_000
"""Pairs, a second's worth, from which a mesh sums them faster: four times at a billion."""


def potential(points: FloatArray, positions: FloatArray, charges: IntArray) -> FloatArray:
    """Coulomb potential in V at points, shape (P, 3), of charges in e at positions (N, 3) in Å.

    A charge at the point itself does not count. Pairs in their hundreds of millions are summed on a
    mesh, `mesh.inverse_distances`, within 1e-6 of the largest potential.
    """
    if len(points) * len(positions) > MANY:
        return COULOMB * inverse_distances(points, positions, charges)
    result = np.empty(len(points))
    rows = max(1, CHUNK // max(1, len(positions)))
    for start in range(0, len(points), rows):
        distance = _distances(points[start : start + rows], positions)
        with np.errstate(divide="ignore"):
            inverse = 1.0 / distance
        inverse[distance < ALIKE] = 0.0
        # Summed in one order, as BLAS does not: equals must be told apart alike on every processor.
        inverse *= charges
        result[start : start + rows] = COULOMB * inverse.sum(axis=1)
    return result


def coulomb_energy(positions: FloatArray, charges: IntArray) -> float:
    """Energy in eV of point charges in vacuum. positions: Å, shape (N, 3); charges: e, (N,)."""
    return 0.5 * float(charges @ potential(positions, positions, charges))


def pair_coulomb(positions: FloatArray, charges: IntArray) -> FloatArray:
    """Coulomb energy in eV between every two of these charges, shape (N, N), zero diagonal."""
    distance = _distances(positions, positions)
    # Two changes of one and the same ion exclude each other; their energy has no meaning.
    distance[distance < ALIKE] = np.inf
    return np.asarray(COULOMB * np.multiply.outer(charges, charges.astype(float)) / distance)


def contact_energy(
    first: tuple[FloatArray, IntArray, IntArray],
    second: tuple[FloatArray, IntArray, IntArray],
    settled: Floors | None = None,
) -> float:
    """Ionic score in eV between two particles, each (positions Å, atomic numbers, charges e).

    Every pair of ions closer than REACH repels as A_ij exp((R_ij - r)/s); a cation and an anion
    also attract as k q_i q_j [erfc(a r)/r - erfc(a R)/R]. R_ij is the sum of Shannon radii, s the
    Born-Mayer range and A_ij = s k |q_i q_j| / R_ij^2, which puts the minimum of an undamped
    cation-anion pair at R_ij. Like charges only feel the repulsion: cut faces lack the ions that
    balancing adds later, and the bare Coulomb term between two such faces would push them apart.

    settled: floors that settling will make hold. Then a pair that is too close by d counts at its
    floor, and costs 1/4 K d^2, what it takes to push two tethered ions d/2 each.
    """
    from scipy.spatial import cKDTree

    pairs = cKDTree(first[0]).sparse_distance_matrix(
        cKDTree(second[0]), REACH, output_type="coo_matrix"
    )
    i, j, r = pairs.row, pairs.col, np.maximum(pairs.data, 0.5)
    product = first[2][i].astype(float) * second[2][j]
    contact = radii(first[1])[i] + radii(second[1])[j]
    if settled is None:
        return float(_pair_energy(r, product, contact).sum())
    missing = np.maximum(settled.between(first[2][i], second[2][j]) - r, 0.0)
    energy = _pair_energy(r + missing, product, contact) + TETHER / 4 * missing**2
    return float(energy.sum())


def radii(numbers: IntArray) -> FloatArray:
    """Shannon radii in Å, shape (N,).

    Raises
    ------
    InputError
        An element is not tabulated.
    """
    kinds, index = np.unique(numbers, return_inverse=True)
    unknown = [symbol(z) for z in kinds if symbol(z) not in SHANNON_RADII]
    if unknown:
        raise InputError(
            f"No ionic radius is tabulated for {', '.join(unknown)}, so registry cannot be "
            "searched. Give it in the recipe: join.registry.shift and join.registry.gap."
        )
    return np.array([SHANNON_RADII[symbol(z)] for z in kinds])[index]


def _pair_energy(r: FloatArray, product: FloatArray, contact: FloatArray) -> FloatArray:
    from scipy.special import erfc

    shifted = erfc(DAMPING * r) / r - erfc(DAMPING * REACH) / REACH
    repulsion = SOFTNESS * np.abs(product) / contact**2 * np.exp((contact - r) / SOFTNESS)
    return np.asarray(COULOMB * (np.minimum(product, 0.0) * shifted + repulsion))


def _distances(a: FloatArray, b: FloatArray) -> FloatArray:
    from scipy.spatial.distance import cdist

    return np.asarray(cdist(a, b))
