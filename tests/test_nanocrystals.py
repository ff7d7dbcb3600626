"""Any nanocrystal: crystals, charges, sizes, selections, roles, shells."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from conftest import ROOT, load

from hetbuild.assemble.carve import Facet, carve
from hetbuild.balancing.balance import Target, balance
from hetbuild.balancing.candidates import Move
from hetbuild.cli import cli
from hetbuild.cli.crystals import free_cell
from hetbuild.crystal.charges import formal_charges
from hetbuild.crystal.crystal import read_crystal
from hetbuild.elements import parse_formula
from hetbuild.errors import HetbuildError, InputError
from hetbuild.formats.xyz import read_xyz, write_xyz
from hetbuild.library import structures

STO = ROOT / "tests" / "data" / "SrTiO3.cif"
"""As a database gives it: no oxidation numbers."""


def run(*words: str) -> tuple[str, str]:
    """What a command that succeeds prints on stdout and on stderr."""
    result = CliRunner().invoke(cli, words, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout, result.stderr


def output(*words: str) -> str:
    return run(*words)[0]


def fault(*words: str) -> str:
    """The error a command ends with."""
    result = CliRunner().invoke(cli, words)
    assert isinstance(result.exception, HetbuildError), result.output
    return str(result.exception)


def recipe(folder: Path, text: str) -> str:
    """A recipe file of this text."""
    path = folder / "own.toml"
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_crystals_lists_every_phase_with_its_source() -> None:
    listed = {c["name"]: c for c in json.loads(output("crystals", "--json"))}
    assert set(listed) == set(structures())
    assert all(c["source"] and c["status"] for c in listed.values())
    assert listed["CdSe-wurtzite"]["cell"] == [4.299, 4.299, 7.01, 90, 90, 120]
    assert free_cell(listed["CdSe-wurtzite"]) == "a 4.299 c 7.01"
    assert free_cell(listed["Pb3S2Cl2"]).endswith("β 124.73°")


def test_wurtzite_is_nearly_regular() -> None:
    """One bond of each ion lies along c and is u c long; u is near the ideal 3/8."""
    bonds = load("CdSe-wurtzite").bonds
    assert len(bonds.length) == 4 * 4  # four sites, four bonds each
    axial = abs(bonds.vector[:, :2]).max(axis=1) < 1e-6
    assert bonds.length[axial] == pytest.approx(0.37679 * 7.01)
    assert bonds.length.max() / bonds.length.min() < 1.01


# Charges


@pytest.mark.parametrize(
    ("formula", "charges", "guessed"),
    [
        ("SrTiO3", {"Sr": 2, "Ti": 4, "O": -2}, ("Ti",)),
        ("CeO2", {"Ce": 4, "O": -2}, ("Ce",)),
        ("CuFeS2", {"Cu": 1, "Fe": 3, "S": -2}, ("Fe",)),  # by Mössbauer: Fe3+
        ("Cs2SnCl6", {"Cs": 1, "Sn": 4, "Cl": -1}, ("Sn",)),
        ("PbS", {"Pb": 2, "S": -2}, ()),
        ("Cu2S", {"Cu": 1, "S": -2}, ()),
    ],
)
def test_charges_told_by_a_formula(
    formula: str, charges: dict[str, int], guessed: tuple[str, ...]
) -> None:
    assert formal_charges(parse_formula(formula), {}) == (charges, guessed)


def test_charges_a_formula_leaves_open() -> None:
    with pytest.raises(InputError, match=r"known for Fe; state it, for example .*--charge Fe=2"):
        formal_charges(parse_formula("Fe3O4"), {})
    assert formal_charges(parse_formula("FeS2"), {"Fe": 2, "S": -1})[0] == {"Fe": 2, "S": -1}


def test_a_broken_cif_is_not_made_neutral(tmp_path: Path) -> None:
    """CsPbCl4 for CsPbCl3: Pb would have to be +3."""
    text = STO.read_text().replace("Sr", "Cs").replace("Ti", "Pb").replace("O1", "Cl1")
    broken = tmp_path / "broken.cif"
    broken.write_text(text.replace("Cs1 0 0 0", "Cs1 0 0 0\nCl2 0.5 0 0.26"))
    assert "must be neutral. State the right charges" in fault("planes", str(broken), "1", "0", "0")


def test_foreign_cif_through_planes_match_and_recipe() -> None:
    text, said = run("planes", str(STO), "0", "0", "1")
    assert "TiO2" in text
    assert "SrTiO3: formal charge Ti +4 taken as the only one" in said
    assert run("planes", str(STO), "0", "0", "1", "--charge", "Ti=4") == (text, "")
    asked = ("match", str(STO), "CsPbBr3", "--planes", "0 0 1/0 0 1", "--recipe", "1")
    assert "charges = { Ti = 4 }" in output(*asked)
    assert "write element=charge" in fault("planes", str(STO), "0", "0", "1", "--charge", "Ti")
    assert "no chemical element" in fault("planes", str(STO), "0", "0", "1", "--charge", "Xx=1")


def test_stated_charges_hold_in_moves_and_steps(tmp_path: Path) -> None:
    """An ion stated as +3 on the site of one Cs adds 2 e."""
    text = """
name = "doped"
[domains.cube]
crystal = "CsPbBr3"
charges = { Fe = 3 }
centre = { site = "Pb" }
facets = [{ form = [1, 0, 0], planes = 1.5 }]
[balance]
target.charge = 12
moves = [{ action = "swap", element = "Cs", to = "Fe", domain = "cube" }]
"""
    path = recipe(tmp_path, text)
    found = json.loads(output("build", path, "--json", "-o", str(tmp_path / "out")))
    assert found["report"]["formula"] == "Cs63Pb27FeBr108"
    assert found["report"]["charge"] == 12
    unstated = path, "--set", "domains.cube.charges={}", "-o", str(tmp_path / "other")
    assert "known for Fe; state it" in fault("build", *unstated)
    text, _ = run("build", *unstated, "--charge", "Fe=3")
    assert "Cs63Pb27FeBr108" in text


def test_a_charged_model_that_nothing_balances_warns(tmp_path: Path) -> None:
    path = recipe(
        tmp_path,
        """
name = "bare"
[domains.cube]
crystal = "CsPbBr3"
centre = { site = "Pb" }
facets = [{ form = [1, 0, 0], planes = 1.5 }]
""",
    )
    _, said = run("build", path, "-o", str(tmp_path / "out"))
    assert "warning: the model has formal charge +10 e. Add [balance]" in said


def test_charges_survive_in_files(tmp_path: Path) -> None:
    """The record keeps stated and guessed charges, so that later steps know them."""
    crystal = read_crystal(STO, charges={"Fe": 3})
    assert (crystal.charge_of("Fe"), crystal.guessed) == (3, ("Ti",))
    cube = carve(crystal, [Facet((1, 0, 0), 1.5)], site="Ti")
    file = io.StringIO()
    write_xyz(cube, file)
    path = tmp_path / "cube.xyz"
    path.write_text(file.getvalue())
    again = read_xyz(path).domains[0].crystal
    assert (again.foreign_charges, again.guessed) == ({"Fe": 3}, ("Ti",))
    swapped = balance(cube, [Move("swap", "Sr", "particle", "Fe")], Target(charge=cube.charge + 2))
    assert (swapped.numbers == 26).sum() == 2
