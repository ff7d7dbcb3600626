"""Any nanocrystal: crystals, charges, sizes, selections, roles, shells."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from conftest import ROOT, load
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import cKDTree

from hetbuild.assemble.carve import carve
from hetbuild.assemble.cut import cut
from hetbuild.assemble.polyhedron import Facet
from hetbuild.assemble.size import Shape, scaled, size_of
from hetbuild.balancing.balance import balance
from hetbuild.balancing.candidates import Move
from hetbuild.balancing.target import Target
from hetbuild.cli import cli
from hetbuild.cli.crystals import free_cell
from hetbuild.crystal.charges import formal_charges
from hetbuild.crystal.crystal import read_crystal
from hetbuild.elements import counts, parse_formula
from hetbuild.errors import HetbuildError, ImpossibleError, InputError
from hetbuild.exchanging.molecule import read_molecule
from hetbuild.exchanging.molecules import replace_molecules
from hetbuild.formats.xyz import read_xyz, write_xyz
from hetbuild.library import structures
from hetbuild.recipe.read import read_recipe
from hetbuild.recipe.run import build, stages
from hetbuild.selection.language import parse_selection
from hetbuild.selection.places import Places, chosen
from hetbuild.selection.profile import Profile

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


def test_no_guess_where_trying_all_states_would_take_minutes() -> None:
    """S has 5 states in the list of pymatgen: 800,000 ways to share them among 64."""
    long = {"Pb": 19, "S": 64}
    assert formal_charges(long, {}) == ({"Pb": 2, "S": -2}, ())
    with pytest.raises(InputError, match="no formal charge known for V"):
        formal_charges(long | {"V": 41}, {})


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


# Sizes

SHAPES = {
    "cube": ("CsPbBr3", Shape((Facet((1, 0, 0), 3.0),), None, (0, 0, 0), "Cs")),
    "dot": (
        "PbS",
        Shape(
            (
                Facet((2, 0, 0), 5.25),
                Facet((2, 2, 0), 7.25),
                Facet((2, 2, 2), 9, outermost=("anion",), ligands=(("anion", "Cl"),)),
                Facet((0, -2, 2), 4.75, single=True),
            ),
            None,
            (0, -0.125, 0.125),
            "Pb",
        ),
    ),
    "tetrahedron": (
        "CdSe", Shape((Facet((1, 1, 1), 3.25), Facet((-1, -1, -1), 4)), None, (0, 0, 0)),
    ),
    "ball": ("Pb4S3Cl2", Shape((), 19.739, (0, 0, 0))),
}  # fmt: skip


@pytest.mark.parametrize("name", SHAPES)
@given(size=st.floats(25, 120))
@settings(max_examples=12)
def test_the_nearest_size_is_reached_in_whole_planes(name: str, size: float) -> None:
    crystal, shape = load(SHAPES[name][0]), SHAPES[name][1]
    grown = scaled(crystal, shape, size)
    reached = size_of(crystal, grown)
    assert abs(reached - size) < 6.5  # half of twice the widest repeat
    again = scaled(crystal, grown, reached)
    assert size_of(crystal, again) == pytest.approx(reached)
    for before, after in zip(shape.facets, grown.facets, strict=True):
        # d(222) is half of the repeat d(111); all else repeats plane by plane.
        step = (after.planes - before.planes) / (2 if before.hkl == (2, 2, 2) else 1)
        assert step == pytest.approx(round(step), abs=1e-9)
    if name == "dot":  # the facet that was pulled in stays so
        assert grown.facets[1].planes - grown.facets[3].planes == pytest.approx(2.5)


def test_sizes_of_cubes_are_those_of_the_family() -> None:
    crystal, shape = load(SHAPES["cube"][0]), SHAPES["cube"][1]
    assert [scaled(crystal, shape, 10 * s).facets[0].planes for s in (3, 4, 8, 12)] == [3, 3, 7, 10]
    assert size_of(crystal, shape) == pytest.approx(6 * 5.874)


def test_terminations_and_ligands_stay() -> None:
    crystal, shape = load("PbS"), SHAPES["dot"][1]
    for size in (20, 31, 45):
        s = scaled(crystal, shape, size)
        dot = carve(crystal, s.facets, centre=s.centre, site=s.site)
        outer = chosen(parse_selection("facet {1 1 1}, not facet {1 0 0}"), Places.of(dot))
        assert set(dot.numbers[outer]) <= {17}
        assert (dot.numbers == 17).any()


def test_sizes_of_a_built_model(tmp_path: Path) -> None:
    folder = str(tmp_path / "out")
    found = json.loads(output("build", "pb3s2cl2-sphere", "--size", "2nm", "--json", "-o", folder))[
        "report"
    ]
    assert found["charge"] == 0
    assert found["sizes"]["chalcohalide"]["longest"] == pytest.approx(2, abs=0.15)
    text = output("build", "cspbcl3-cube-2", "--size", "2.1 nm", "-o", str(tmp_path / "cube"))
    assert "Cs112Pb64Cl240" in text
    assert "size           perovskite 2.24 x 2.24 x 2.24 nm across (1 0 0), (0 1 0)" in text
    again = output("inspect", str(tmp_path / "cube" / "cspbcl3-cube-2.xyz"))
    assert "2.24 x 2.24 x 2.24 nm" in again


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("cspbcl3-cube-2", "--size", "big"), "'big' is no size; write '8 nm' or '80 Å'"),
        (("cspbcl3-cube-2", "--size", "8"), "'8' is no size"),
        (("cspbcl3-cube-2", "--size", "0 nm"), "'0 nm' is no size"),
        (("cspbcl3-cube-2", "--size", "sulfide=8 nm"), "sulfide=8 nm.*known are perovskite"),
        (("cspbcl3-cube-2", "--size", "1 Å"), "grows by 1.12 nm and cannot be made 0.10 nm"),
        (("interface-cspbcl3-cspb2cl5", "--size", "8 nm"), "slabs have no size: change slab.first"),
        (
            ("cspbcl3-cube-2", "--set", "balance.target.formula=Cs20Pb8Cl36", "--size", "3 nm"),
            "hold for one size only: with size, say",
        ),
        (
            ("cspbcl3-cube-2", "--set", "balance.target.domains.perovskite=1.5"),
            "give a formula, as .Cs175Pb125Cl425., or a whole charge",
        ),
    ],
)
def test_errors_of_sizes(words: tuple[str, ...], text: str, tmp_path: Path) -> None:
    with pytest.raises(HetbuildError, match=text):
        raise HetbuildError(fault("build", *words, "-o", str(tmp_path / "out")))


@pytest.mark.parametrize(
    ("name", "size", "text"),
    [
        ("inp-dot", "1.2 nm", "Of dot InCl3 is left, less than one formula unit InP of InP"),
        ("pb4s3cl2-half", "1 nm", "less than one formula unit Pb4S3Cl2 of Pb4S3Cl2: make its size"),
        ("cdse-twin", "0.6 nm", "less than one formula unit CdSe of CdSe"),
    ],
)
def test_what_is_too_small_to_be_its_crystal_is_refused(name: str, size: str, text: str) -> None:
    with pytest.raises(ImpossibleError, match=text):
        build(read_recipe(name).without_formulas().with_size(size))


# Kinds of ion in place of elements


def test_kinds_mean_the_ions_of_the_crystal() -> None:
    assert load("PbSe").ions("anion") == ("Se",)
    assert load("CsPbCl3").ions("cation") == ("Cs", "Pb")
    assert load("CsPbCl3").ions("Cl") == ("Cl",)
    with pytest.raises(InputError, match="'chalcogen': CsPbCl3 has none; its ions are Cs, Pb, Cl"):
        load("CsPbCl3").ions("chalcogen")
    with pytest.raises(InputError, match="no chemical element"):
        load("CsPbCl3").ions("anions")


@pytest.mark.parametrize("name", ["PbS", "PbSe", "PbTe", "SnTe"])
def test_one_shape_for_every_crystal(name: str) -> None:
    shape = SHAPES["dot"][1]
    dot = carve(load(name), shape.facets, centre=shape.centre, site="cation", name="dot")
    half = cut(dot, (1, 1, 1), keep="below", at=0, edge={"anion": 0.5, "cation": 0.25})
    assert set(counts(half.numbers)) == {*counts(load(name).numbers), "Cl"}
    index = half.domains[0].plane_index((1, 1, 1), half.positions)
    assert index[half.charges < 0].max() == pytest.approx(0.5)


def test_the_main_recipe_with_another_sulfide_and_size(tmp_path: Path) -> None:
    """Same interface, contacts above the floors, neutral; the formulas of the recipe give way."""
    words = "build", "--set", "domains.sulfide.crystal=PbSe", "--size", "2 nm", "--json"
    text, said = run(*words, "-o", str(tmp_path / "out"))
    assert "formal charge 0 is asked for instead" in said
    report = json.loads(text)["report"]
    assert report["charge"] == 0
    assert set(parse_formula(report["formula"])) == {"Cs", "Pb", "Se", "Cl"}
    floors = {"anion-anion": 3.0, "cation-anion": 2.6, "cation-cation": 3.3}
    assert all(c["distance"] >= floors[c["kind"]] for c in report["contacts"])
    assert report["sizes"]["sulfide"]["across"][0] == pytest.approx(1.84, abs=0.1)


def test_a_dry_run_finds_ions_that_are_not_there() -> None:
    swap = "balance.moves.3: there is no Se to swap in sulfide, which has Br, Pb, S"
    given = ["build", "cspbbr3-orthorhombic-pbs", "--dry-run"]
    assert swap in fault(*given, "--set", "balance.moves.3.element=Se")
    wrong = fault(*given, "--set", 'domains.sulfide.facets.0.outermost="Se"')
    assert "Se is no ion of PbS, which has Pb, S; 'cation' or 'anion' fits every crystal" in wrong
    assert "'halide': PbS has none" in fault(*given, "--set", "domains.sulfide.cut.edge={halide=1}")
    assert "CsPbBr3-orthorhombic" in fault(*given, "--set", "domains.perovskite.centre.site=Rb")
    target = 'balance.target.domains={sulfide="Pb9Se9"}'
    assert "Pb9Se9 has Se, which sulfide of PbS has not" in fault(*given, "--set", target)
    step = 'steps=[{action="topotactic", domain="sulfide", product="Cu9S"}]'
    assert "steps.0.product: No shipped crystal is called 'Cu9S'" in fault(*given, "--set", step)
    assert "carve sulfide out of PbTe" in output(*given, "--set", "domains.sulfide.crystal=PbTe")


# The shipped recipes, small

DOTS = ["pbs-dot", "pbse-dot", "pbte-dot", "cdse-dot", "cds-dot", "cdse-tetrahedron", "inp-dot"]
CUBES = ["cspbbr3-mn", "cspbbr3-bi", "cspbbr-i-random", "cspbbr-i-radial", "cspbbr-i-layered"]
SMALL: dict[str, dict[str, object]] = {
    **{n: {"size": "2 nm"} for n in DOTS},
    **{f"cspbbr3-platelet-{n}": {} for n in (3, 4, 5)},
    "cdse-twin": {"domains.upper.radius": 9, "domains.lower.radius": 9},
    **{n: {"domains.perovskite.facets.0.planes": 1.5} for n in CUBES},
    "cspbbr3-vacancies": {},
}


@pytest.mark.parametrize("name", SMALL)
def test_shipped_nanocrystals_are_neutral_and_keep_their_bonds(name: str) -> None:
    model = build(read_recipe(name, SMALL[name]))
    assert model.charge == 0
    pairs = cKDTree(model.positions).query_pairs(4.0, output_type="ndarray")
    length = np.linalg.norm(np.diff(model.positions[pairs], axis=1)[:, 0], axis=1)
    signs = np.sign(model.charges[pairs]).sum(axis=1)
    shortest = min(float(d.crystal.bonds.length.min()) for d in model.domains)
    assert length[signs == 0].min() == pytest.approx(shortest, abs=1e-3)
    assert not len(length[signs == -2]) or length[signs == -2].min() > 3.0
    assert not len(length[signs == 2]) or length[signs == 2].min() > 3.3


def test_platelets_are_as_thick_as_they_say() -> None:
    for n in (3, 4, 5):
        model = next(iter(dict(stages(read_recipe(f"cspbbr3-platelet-{n}"))).values()))
        lead = model.positions[model.numbers == 82]
        assert len(np.unique(lead[:, 2].round(3))) == n
        assert len(np.unique(lead[:, 0].round(3))) == 6


def test_a_twin_is_a_mirror() -> None:
    """The plane of the twin maps the cations of one half on those of the other."""
    recipe = read_recipe("cdse-twin", SMALL["cdse-twin"])
    joined = dict(stages(recipe))["joined"]
    near = joined.positions[np.linalg.norm(joined.positions, axis=1) < 7]
    numbers = joined.numbers[np.linalg.norm(joined.positions, axis=1) < 7]
    cation = near[numbers == 48]
    mirrored = cation * np.array([1, 1, -1])
    assert cKDTree(cation).query(mirrored)[0].max() < 1e-6
    shared = np.abs(cation[:, 2]) < 1e-6
    assert shared.sum() >= 7


# Molecules from files

FORMATE = """4
{comment}
C  0.000  0.000  0.000
O  1.123  0.572  0.000
O -1.123  0.572  0.000
H  0.000 -1.110  0.000
"""


def test_molecules_from_files(tmp_path: Path) -> None:
    """A copy of a shipped file does what its name does; an anion takes the site of a halide."""
    cube = carve(load("CsPbBr3"), [Facet((1, 0, 0), 1.5)], site="Pb", name="cube")
    copied = tmp_path / "copy.xyz"
    copied.write_bytes((ROOT / "structures" / "molecules" / "MA.xyz").read_bytes())
    named, _ = replace_molecules(cube, "cube", "Cs", "MA", fraction=0.2, seed=1)
    read, report = replace_molecules(
        cube, "cube", "Cs", "copy.xyz", fraction=0.2, seed=1, beside=tmp_path
    )
    assert np.array_equal(named.positions, read.positions)
    assert np.array_equal(named.charges, read.charges)
    assert report.put == {"copy": 13}
    (tmp_path / "formate.xyz").write_text(FORMATE.format(comment="charge=-1"))
    mixed, report = replace_molecules(
        cube, "cube", "Br", "formate.xyz", fraction=0.05, order="outermost first", beside=tmp_path
    )
    assert report.put == {"formate": 5}
    assert mixed.charge == cube.charge
    oxygen = mixed.positions[mixed.numbers == 8]
    assert len(oxygen) == 10
    assert cKDTree(mixed.positions[mixed.numbers == 82]).query(oxygen)[0].min() > 2.2
    back, _ = replace_molecules(mixed, "cube", "formate.xyz", "Br", beside=tmp_path)
    assert back.formula == cube.formula


def test_molecules_where_a_selection_or_a_profile_says() -> None:
    cube = carve(load("CsPbBr3"), [Facet((1, 0, 0), 2.5)], site="Pb", name="cube")
    caesium = np.flatnonzero(cube.numbers == 55)
    inner = caesium[chosen(parse_selection("interior"), Places.of(cube, caesium))]
    mixed, report = replace_molecules(cube, "cube", "Cs", "MA", which="interior", fraction=0.5)
    assert report.put == {"MA": len(inner) // 2}
    kept = cKDTree(mixed.positions[mixed.numbers == 55])
    gone = caesium[kept.query(cube.positions[caesium])[0] > 1e-6]
    assert set(gone) < set(inner)
    assert len(gone) == len(inner) // 2
    profile = Profile("radius", near=1, far=0, at=8)
    core, report = replace_molecules(cube, "cube", "Cs", "MA", profile=profile)
    middle = cube.positions.mean(axis=0)
    within = np.linalg.norm(cube.positions[caesium] - middle, axis=1) < 8
    assert report.put == {"MA": int(within.sum())}
    left = np.linalg.norm(core.positions[core.numbers == 55] - middle, axis=1)
    assert left.min() > 8
    back, _ = replace_molecules(core, "cube", "MA", "Cs", profile=Profile("radius", 1, 0, 99))
    assert back.formula == cube.formula
    with pytest.raises(InputError, match="molecules that leave are chosen by fraction"):
        replace_molecules(core, "cube", "MA", "Cs", which="interior")
    with pytest.raises(InputError, match=r"cube holds no Cs that 'depth > 90 Å' means"):
        replace_molecules(cube, "cube", "Cs", "MA", which="depth > 90 Å")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (FORMATE.format(comment="formate"), "tells no charge of the molecule: write charge=1"),
        ("1\ncharge=1\nC 0 0 0\n", "it needs two atoms"),
        ("what", "cannot be read as a structure file"),
        (None, "There is no file"),
    ],
)
def test_errors_of_molecule_files(tmp_path: Path, text: str | None, words: str) -> None:
    if text is not None:
        (tmp_path / "ion.xyz").write_text(text)
    with pytest.raises(InputError, match=words):
        read_molecule("ion.xyz", tmp_path)


def test_a_recipe_names_no_molecule_outside_its_folder(tmp_path: Path) -> None:
    text = (
        'name = "x"\n[domains.a]\ncrystal = "CsPbBr3"\nradius = 9\n[[steps]]\naction = "replace"\n'
    )
    path = recipe(tmp_path, text + 'domain = "a"\nions = { Cs = "../ion.xyz" }\n')
    assert "outside the folder of the recipe" in fault("build", path)
