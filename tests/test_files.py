"""What is written is read back, by us and by others; nothing is left behind or overwritten."""

from __future__ import annotations

import dataclasses
import io
import json
from pathlib import Path
from typing import TextIO

import numpy as np
import pytest

from hetbuild.errors import InputError
from hetbuild.formats.files import write_all
from hetbuild.formats.record import to_record
from hetbuild.formats.xyz import read_positions, read_xyz, write_plain_xyz, write_xyz
from hetbuild.model import Model

ARRAYS = ("numbers", "positions", "charges", "domain", "role")


def same(a: Model, b: Model) -> None:
    for name in ARRAYS:
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
        assert getattr(a, name).dtype == getattr(b, name).dtype
    one, two = (json.loads(json.dumps(to_record(m))) for m in (a, b))
    assert one == two


@pytest.mark.parametrize("stage", ["sulfide-carved", "joined", "balanced"])
def test_extended_xyz_loses_nothing(
    main_stages: dict[str, Model], stage: str, tmp_path: Path
) -> None:
    path = tmp_path / "model.xyz"
    with path.open("w") as stream:
        write_xyz(main_stages[stage], stream)
    same(read_xyz(path), main_stages[stage])


def test_ase_and_back(main_model: Model) -> None:
    same(Model.from_ase(main_model.to_ase()), main_model)


def test_pymatgen(main_model: Model) -> None:
    molecule = main_model.to_pymatgen()
    assert molecule.composition.formula.replace(" ", "") == "Cs126Pb337S221Cl358"
    np.testing.assert_allclose(molecule.cart_coords, main_model.positions)
    assert molecule.site_properties["domain"][0] == "perovskite"


def test_plain_xyz_has_positions_right_after_the_symbol(main_model: Model) -> None:
    stream = io.StringIO()
    write_plain_xyz(main_model, stream)
    count, comment, *rows = stream.getvalue().splitlines()
    assert int(count) == len(rows) == len(main_model)
    assert comment == "Cs126Pb337S221Cl358, formal charge +0 e"
    read = np.array([[float(x) for x in row.split()[1:]] for row in rows])
    np.testing.assert_allclose(read, main_model.positions, atol=1e-8)


def test_model_is_frozen(main_model: Model) -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        main_model.ledger = ()  # type: ignore[misc]
    for name in ARRAYS:
        with pytest.raises(ValueError, match="read-only"):
            getattr(main_model, name)[0] = 0


def test_foreign_and_damaged_files(main_model: Model, tmp_path: Path) -> None:
    foreign, cut, text = tmp_path / "a.xyz", tmp_path / "b.xyz", tmp_path / "c.xyz"
    foreign.write_text("1\nwater\nO 0 0 0\n")
    stream = io.StringIO()
    write_xyz(main_model, stream)
    cut.write_text(stream.getvalue()[:5000])
    text.write_text("no structure\n")
    with pytest.raises(InputError, match="No hetbuild record in these atoms"):
        read_xyz(foreign)
    for path in (cut, text):
        with pytest.raises(InputError, match=f"{path.name} cannot be read as a structure file"):
            read_positions(path)
    with pytest.raises(InputError, match="There is no file"):
        read_xyz(tmp_path / "none.xyz")


def test_failed_writing_leaves_nothing(tmp_path: Path) -> None:
    existing = tmp_path / "old.txt"
    existing.write_text("old")

    def fail(stream: TextIO) -> None:
        stream.write("half")
        raise RuntimeError("stop")

    new = tmp_path / "deep" / "new.txt"
    with pytest.raises(RuntimeError, match="stop"):
        write_all({existing: lambda s: None, new: fail}, force=True)
    assert existing.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["old.txt"]


def test_files_in_the_way_are_kept(tmp_path: Path) -> None:
    existing = tmp_path / "old.txt"
    existing.write_text("old")
    with pytest.raises(InputError, match=r"In the way: .*old\.txt\. Use --force"):
        write_all({existing: lambda s: None}, force=False)
    write_all({existing: lambda s: print("new", file=s)}, force=True)
    assert existing.read_text() == "new\n"
    with pytest.raises(InputError, match="Cannot write"):
        write_all({existing / "below.txt": lambda s: None}, force=False)
