"""A crystal is the same whatever its CIF chose; what cannot be built from is refused."""

from __future__ import annotations

from pathlib import Path
from random import Random

import numpy as np
import pytest
from conftest import load
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hetbuild.assemble.carve import carve
from hetbuild.crystal.crystal import Crystal, read_crystal
from hetbuild.elements import symbol
from hetbuild.errors import InputError
from hetbuild.library import structures

STRUCTURES = Path(__file__).parent.parent / "structures"
# Bi is elemental: its charge of 0 is stated by its CIF alone, which p1_cif does not repeat.
NEUTRAL = sorted(p.stem for p in STRUCTURES.glob("*.cif") if p.stem != "Bi")
SHEARS = [np.eye(3, dtype=int)]
for i, j in [(0, 1), (1, 2), (2, 0), (0, 2)]:
    shear = np.eye(3, dtype=int)
    shear[i, j] = 1
    SHEARS.append(shear)


def p1_cif(
    crystal: Crystal, change: np.ndarray, shift: np.ndarray, order: list[int] | None = None
) -> str:
    """The crystal as P 1 CIF: axes from rows of `change`, origin moved, atoms in `order`."""
    vectors = change @ crystal.vectors
    fractional = ((crystal.fractional + shift) @ np.linalg.inv(change)) % 1.0
    lengths = np.linalg.norm(vectors, axis=1)
    unit = vectors / lengths[:, None]
    angles = np.degrees(np.arccos([unit[1] @ unit[2], unit[0] @ unit[2], unit[0] @ unit[1]]))
    lines = ["data_x", "_space_group_name_H-M_alt 'P 1'"]
    lines += [f"_cell_length_{a} {v:.10f}" for a, v in zip("abc", lengths, strict=True)]
    names = ("alpha", "beta", "gamma")
    lines += [f"_cell_angle_{a} {v:.10f}" for a, v in zip(names, angles, strict=True)]
    lines += ["loop_", "_space_group_symop_operation_xyz", "'x,y,z'", "loop_"]
    tags = ("label", "type_symbol", "fract_x", "fract_y", "fract_z", "occupancy")
    lines += [f"_atom_site_{t}" for t in tags]
    for n in order or range(len(fractional)):
        z = crystal.numbers[n]
        x, y, w = (f"{c:.10f}" for c in fractional[n])
        lines.append(f"{symbol(z)}{n} {symbol(z)} {x} {y} {w} 1.0")
    return "\n".join(lines) + "\n"


@given(
    st.sampled_from(NEUTRAL),
    st.tuples(st.sampled_from(SHEARS), st.sampled_from(SHEARS)).map(lambda s: s[0] @ s[1]),
    st.tuples(*3 * [st.floats(0, 1)]),
    st.randoms(use_true_random=False),
)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_cell_origin_and_order_of_the_cif_do_not_matter(
    tmp_path_factory: pytest.TempPathFactory,
    name: str,
    change: np.ndarray,
    shift: tuple[float, float, float],
    random: Random,
) -> None:
    original = load(name)
    order = random.sample(range(len(original.numbers)), len(original.numbers))
    path = tmp_path_factory.mktemp("cif") / "x.cif"
    path.write_text(p1_cif(original, change, np.array(shift), order))
    again = read_crystal(path)
    np.testing.assert_allclose(again.cell_parameters, original.cell_parameters, atol=1e-4)
    np.testing.assert_array_equal(again.numbers, original.numbers)
    away = (again.fractional - original.fractional + 0.5) % 1.0 - 0.5
    np.testing.assert_allclose(away, 0, atol=2e-4)
    pieces = [carve(c, radius=9.0, centre=(0.1, 0.2, 0.3)) for c in (original, again)]
    assert pieces[0].formula == pieces[1].formula
    np.testing.assert_array_equal(pieces[0].numbers, pieces[1].numbers)
    np.testing.assert_allclose(pieces[0].positions, pieces[1].positions, atol=5e-3)


def test_bonds_of_known_crystals() -> None:
    """Six S around Pb in PbS; in the perovskite Pb has 6 Cl and Cs 12."""
    assert np.bincount(load("PbS").bonds.site).tolist() == 8 * [6]
    assert np.bincount(load("CsPbCl3").bonds.site).tolist() == [6, 12, 6, 6, 6]


def test_equivalent_planes_have_the_multiplicity_of_the_point_group() -> None:
    assert len(load("PbS").equivalent_planes((1, 1, 1))) == 8
    assert len(load("ZnS").equivalent_planes((1, 1, 1))) == 4
    assert len(load("Pb4S3Br2").equivalent_planes((0, 1, 0))) == 2


def test_crystal_is_frozen() -> None:
    with pytest.raises(ValueError, match="read-only"):
        load("PbS").fractional[0, 0] = 1.0


def test_partly_occupied_cif_is_refused() -> None:
    path = Path(__file__).parent / "data" / "Cu1.8S.cif"
    with pytest.raises(InputError, match=r"partly occupied sites \(Cu1 0.9\)"):
        read_crystal(path)


def test_charged_formula_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "PbS.cif"
    path.write_text(p1_cif(load("PbS"), np.eye(3), np.zeros(3)))
    with pytest.raises(InputError, match=r"formal charge \+8 e .* must be neutral"):
        read_crystal(path, charges={"Pb": 4})


def test_cif_faults(tmp_path: Path) -> None:
    empty, text = tmp_path / "empty.cif", tmp_path / "text.cif"
    empty.write_text("data_x\n_cell_length_a 5\n")
    text.write_text("not a cif at all")
    with pytest.raises(InputError, match="holds no atoms"):
        read_crystal(empty)
    with pytest.raises(InputError, match="not a CIF of one crystal"):
        read_crystal(text)
    with pytest.raises(InputError, match="There is no crystal file"):
        read_crystal(tmp_path / "none.cif")


def test_sites_are_named() -> None:
    with pytest.raises(InputError, match="'Pb' is on 3 distinct sites of Pb4S3Br2"):
        load("Pb4S3Br2").datum("Pb")
    with pytest.raises(InputError, match="is no site of PbS; name one of its sites: Pb1, S1"):
        load("PbS").datum("Cl")


@pytest.mark.parametrize("name", sorted(structures()))
def test_centring_maps_the_crystal_onto_itself(name: str) -> None:
    """Obverse and reverse setting of a rhombohedral crystal differ by just this."""
    found = load(name)
    for shift in found.primitive:
        apart = found.fractional + shift - found.fractional[:, None]
        off = np.linalg.norm((apart - np.rint(apart)) @ found.vectors, axis=2).min(axis=1)
        assert off.max() < 1e-2
