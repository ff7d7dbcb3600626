"""Limited-memory BFGS (Nocedal, doi 10.1090/S0025-5718-1980-0572855-7) for soft, rough particles.

ASE's does without what such particles need, and takes two to four times the steps:

* The first guess of the Hessian is not a number but springs between neighbours, stiffer the shorter
  (Packwood et al., doi 10.1063/1.4947024): a long wave then relaxes as fast as a short one.
* That guess is scaled by the curvature of the last step, instead of 70 eV/Å² for good.
* A step that is too long is shortened on the atom that makes it, not on all of them: one loose ion
  does not hold up a thousand.

Everything follows from the positions of the start and the frames since, so that a relaxation that
was stopped goes on as if it had not been.
"""

from __future__ import annotations

from collections import deque

import numpy as np

from hetbuild.arrays import FloatArray, IntArray

MEMORY = 100
"""Steps remembered."""

DECAY, REACH, STABILISER = 3.0, 2.0, 0.1
"""Springs of the preconditioner (the values of its paper): weaker with distance as exp(-DECAY (r /
r0 - 1)), up to REACH r0, with r0 the largest distance between nearest neighbours; STABILISER, in
units of a spring of length r0, holds each atom to its place."""


class Lbfgs:
    """Positions to try next, out of those that were tried and their forces."""

    def __init__(self, start: FloatArray, longest_step: float, held: IntArray) -> None:
        """start: positions of the springs, shape (N, 3), Å. longest_step: of an atom, Å.
        held: indices of atoms that do not move."""
        self._atoms = len(start)
        self._free = np.setdiff1d(np.arange(len(start)), held)
        self._springs = _Springs(start[self._free])
        self._longest = longest_step
        self._steps: deque[tuple[FloatArray, FloatArray]] = deque(maxlen=MEMORY)
        self._last: tuple[FloatArray, FloatArray] | None = None

    def note(self, positions: FloatArray, forces: FloatArray) -> None:
        """Learn from a frame. positions in Å, forces in eV/Å, both of shape (N, 3)."""
        now = positions[self._free], forces[self._free]
        if self._last is not None:
            moved, change = now[0] - self._last[0], self._last[1] - now[1]
            if np.vdot(moved, change) > 0:  # along any other step the energy curves down
                self._steps.append((moved, change))
        self._last = now

    def step(self) -> FloatArray:
        """How far the atoms go from the frame noted last, shape (N, 3), Å."""
        assert self._last is not None
        q = -self._last[1]
        parts = []
        for moved, change in reversed(self._steps):
            part = np.vdot(moved, q) / np.vdot(moved, change)
            parts.append(part)
            q = q - part * change
        z = self._springs.solve(q)
        if self._steps:
            moved, change = self._steps[-1]
            z *= np.vdot(moved, change) / np.vdot(change, self._springs.solve(change))
        for (moved, change), part in zip(self._steps, reversed(parts), strict=True):
            z = z + moved * (part - np.vdot(change, z) / np.vdot(moved, change))
        length = np.linalg.norm(z, axis=1)
        z *= np.minimum(1.0, self._longest / np.maximum(length, 1e-12))[:, None]
        found = np.zeros((self._atoms, 3))
        found[self._free] = -z
        return found


class _Springs:
    """The first guess of the Hessian, in eV/Å², factored once."""

    def __init__(self, positions: FloatArray) -> None:
        from scipy.sparse import coo_matrix, diags
        from scipy.sparse.linalg import splu
        from scipy.spatial import cKDTree

        n = len(positions)
        tree = cKDTree(positions)
        nearest = float(tree.query(positions, k=2)[0][:, 1].max()) if n > 1 else 1.0
        i, j = tree.query_pairs(REACH * nearest, output_type="ndarray").T
        length = np.linalg.norm(positions[i] - positions[j], axis=1)
        stiffness = np.exp(-DECAY * (length / nearest - 1))
        pairs = coo_matrix((stiffness, (i, j)), shape=(n, n))
        pairs = pairs + pairs.T
        stay = diags(np.asarray(pairs.sum(axis=1)).ravel() + STABILISER)
        self._factors = splu((stay - pairs).tocsc())

    def solve(self, forces: FloatArray) -> FloatArray:
        """Displacements of shape (N, 3) in Å that such forces in eV/Å cause."""
        return np.asarray(self._factors.solve(np.ascontiguousarray(forces)))
