"""A cheap ionic calculator for tests: formal charges and Born-Mayer repulsion, any finite model."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from ase.calculators.calculator import Calculator, all_changes

from hetbuild.elements import symbol, usual_charge

COULOMB = 14.39964
"""eV Å."""

RADII = {"Cs": 1.7, "Pb": 1.2, "S": 1.7, "Cl": 1.7, "Br": 1.85, "Cu": 0.8}
"""Å."""


class BornMayer(Calculator):
    """E = sum of k q q' / r + b exp((R + R' - r) / rho) over pairs."""

    implemented_properties = ["energy", "forces"]  # noqa: RUF012 (ASE's own way)

    def __init__(self, b: float = 0.2, rho: float = 0.32, pause: float = 0.0, stop: int = 0,
                 **more: Any) -> None:  # fmt: skip
        """pause: seconds each evaluation waits. stop: evaluation at which Ctrl-C is pressed."""
        super().__init__(**more)
        self.b, self.rho, self.pause, self.stop, self.calls = b, rho, pause, stop, 0

    def calculate(self, atoms: Any = None, properties: Any = ("energy",),
                  system_changes: Any = all_changes) -> None:  # fmt: skip
        super().calculate(atoms, properties, system_changes)
        self.calls += 1
        time.sleep(self.pause)
        if self.calls == self.stop:
            raise KeyboardInterrupt
        symbols = [symbol(z) for z in self.atoms.numbers]
        q = np.array([usual_charge(z) for z in self.atoms.numbers], float)
        radius = np.array([RADII[s] for s in symbols])
        i, j = np.triu_indices(len(q), 1)
        apart = self.atoms.positions[i] - self.atoms.positions[j]
        r = np.linalg.norm(apart, axis=1)
        coulomb = COULOMB * q[i] * q[j] / r
        repulsion = self.b * np.exp((radius[i] + radius[j] - r) / self.rho)
        pull = ((coulomb / r + repulsion / self.rho) / r)[:, None] * apart
        forces = np.zeros((len(q), 3))
        for axis in range(3):
            forces[:, axis] += np.bincount(i, pull[:, axis], len(q))
            forces[:, axis] -= np.bincount(j, pull[:, axis], len(q))
        self.results = {"energy": float((coulomb + repulsion).sum()), "forces": forces}


class Faulty(BornMayer):
    """Right for a few steps, then as `fault` says."""

    def __init__(self, fault: str, after: int = 0) -> None:
        super().__init__()
        self.fault, self.after = fault, after

    def calculate(self, *given: Any, **named: Any) -> None:
        super().calculate(*given, **named)
        if self.calls <= self.after:
            return
        if self.fault == "raises":
            raise RuntimeError("out of memory")
        if self.fault == "shape":
            self.results["forces"] = self.results["forces"][:3]
        if self.fault == "nan":
            self.results["energy"] = float("nan")
