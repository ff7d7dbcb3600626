"""Extended XYZ of a million atoms, by hetbuild and by ASE: same columns, same run."""

from __future__ import annotations

from pathlib import Path

import ase.io
import numpy as np
import pytest

from hetbuild.assemble.carve import carve
from hetbuild.assemble.polyhedron import Facet
from hetbuild.crystal.crystal import read_crystal
from hetbuild.formats.xyz import read_xyz, write_xyz
from hetbuild.library import find_structure
from hetbuild.model import Model

EDGE = 300.0
"""Å of a PbS cube: 1.03 million atoms."""


ASE = ("numbers", "positions")


@pytest.fixture(scope="module")
def model() -> Model:
    crystal = read_crystal(find_structure("PbS"))
    planes = EDGE / 2 / crystal.spacing((1, 0, 0))
    return carve(crystal, [Facet((1, 0, 0), planes)])


def test_hetbuild(benchmark, model: Model, tmp_path: Path) -> None:
    def write() -> None:
        with (tmp_path / "a.xyz").open("w") as stream:
            write_xyz(model, stream)

    benchmark.pedantic(write, rounds=2)


def test_ase(benchmark, model: Model, tmp_path: Path) -> None:
    atoms = model.to_ase()

    columns = ["symbols", "positions", *(k for k in atoms.arrays if k not in ASE)]

    def write() -> None:
        ase.io.write(tmp_path / "b.xyz", atoms, format="extxyz", columns=columns)

    benchmark.pedantic(write, rounds=2)


def test_hetbuild_reads(benchmark, model: Model, tmp_path: Path) -> None:
    path = tmp_path / "a.xyz"
    with path.open("w") as stream:
        write_xyz(model, stream)
    again = benchmark.pedantic(read_xyz, [path], rounds=2)
    assert np.array_equal(again.positions, model.positions)


def test_ase_reads(benchmark, model: Model, tmp_path: Path) -> None:
    path = tmp_path / "a.xyz"
    with path.open("w") as stream:
        write_xyz(model, stream)
    again = benchmark.pedantic(ase.io.read, [path], rounds=2)
    assert np.array_equal(again.positions, model.positions)
