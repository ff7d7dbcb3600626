"""The commands as a user runs them: output, exit codes, every error message."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path

import gemmi
import pytest
from conftest import ROOT, load


def run(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    code = "from hetbuild.cli import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, *words], cwd=cwd, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("built")
    result = run("build", "--stages", cwd=folder)
    assert result.returncode == 0, result.stderr
    (folder / "stdout.txt").write_text(result.stdout)
    return folder


def test_build_prints_the_verdict(built: Path) -> None:
    text = (built / "stdout.txt").read_text()
    for line in (
        "Cs216Pb125Cl450               +16 e",
        "Pb310S250Cl92                 +28 e",
        "perovskite     Cs126Pb80Cl276",
        "sulfide        Pb257S221Cl82",
        "merged               Cs144Pb337S222Cl361           +13 e",
        "remove 5 Cl in perovskite: sulfide has an ion of this sign in the same place",
        "remove 18 Cs in perovskite",
        "contact floors of the interface",
        "ions off their lattice sites",
        "interface      (-2 1 0) || (-4 -4 2)",
        "mismatch       +0.47 %  [1 2 0] 12.533 Å || 1/2[1 1 4] 12.593 Å",
        "mismatch       -0.15 %  3[0 0 1] 16.815 Å || 4 x 1/2[1 -1 0] 16.790 Å",
        "tilt           7.1° between [0 1 0] and [0 0 1]",
        "cspbcl3-pbs/cspbcl3-pbs.xyz",
    ):
        assert line in text
    assert len(list((built / "cspbcl3-pbs" / "stages").glob("*.xyz"))) == 8


def test_second_build_gives_the_same_bytes(built: Path, tmp_path: Path) -> None:
    assert run("build", "-q", "-o", str(tmp_path / "again"), cwd=tmp_path).returncode == 0
    for path in sorted((tmp_path / "again").iterdir()):
        assert path.read_bytes() == (built / "cspbcl3-pbs" / path.name).read_bytes()


def test_build_does_not_overwrite(built: Path) -> None:
    before = (built / "cspbcl3-pbs" / "cspbcl3-pbs.xyz").read_bytes()
    result = run("build", cwd=built)
    assert result.returncode == 2
    assert "Use --force to overwrite" in result.stderr
    assert (built / "cspbcl3-pbs" / "cspbcl3-pbs.xyz").read_bytes() == before


def test_inspect_measures_bare_positions(built: Path) -> None:
    bare = "cspbcl3-pbs/cspbcl3-pbs-cp2k.xyz"
    result = run("inspect", bare, "--crystals", "CsPbCl3,PbS", "--json", cwd=built)
    report = json.loads(result.stdout)
    assert report["interface"]["planes"] == ["(-2 1 0)", "(-4 -4 2)"]
    assert report["interface"]["tilt"]["angle"] == pytest.approx(7.09, abs=0.01)
    assert report["formulas"] == {"CsPbCl3": "Cs126Pb80Cl276", "PbS": "Pb257S221Cl82"}


def test_json_is_one_document(tmp_path: Path) -> None:
    result = run("build", "cspbcl3-cube-1", "--json", cwd=tmp_path)
    record = json.loads(result.stdout)
    assert record["report"]["formula"] == "Cs4PbCl6"
    assert [s["formula"] for s in record["stages"]] == ["Cs8PbCl6", "Cs4PbCl6"]
    assert all((tmp_path / f).is_file() for f in record["files"])


def test_dry_run_writes_nothing(tmp_path: Path) -> None:
    result = run("build", "--dry-run", cwd=tmp_path)
    assert "cut sulfide, keep planes <= 7 of (-4, -4, 2)" in result.stdout
    assert not list(tmp_path.iterdir())


def test_planes_takes_negative_indices(tmp_path: Path) -> None:
    result = run("planes", "PbS", "-4", "-4", "2", cwd=tmp_path)
    assert "1/2[1 -1 0] 4.198 Å, 1/2[1 1 4] 12.593 Å" in result.stdout
    assert "lattice planes: (-4 -4 2)" in run("planes", "PbS", "-2", "-2", "1", cwd=tmp_path).stdout


def test_carve_recipes_and_schema(tmp_path: Path) -> None:
    result = run(
        "carve", "PbS", "--form", "1 1 1:9", "--form", "1 0 0:9", "-o", "p.xyz", cwd=tmp_path
    )
    assert (result.returncode, result.stdout) == (0, "p.xyz\n")
    assert "cspbi3-cube-6" in run("recipes", cwd=tmp_path).stdout
    assert "domains" in json.loads(run("schema", cwd=tmp_path).stdout)["properties"]


def test_help_lists_the_commands(tmp_path: Path) -> None:
    text = run("--help", cwd=tmp_path).stdout
    for name in (
        "build",
        "carve",
        "compare",
        "etch",
        "exchange",
        "export",
        "inspect",
        "match",
        "planes",
        "recipes",
        "schema",
    ):
        assert f"  {name}" in text
        assert run(name, "--help", cwd=tmp_path).returncode == 0


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["build", "cspbcl3-pbz"], 2, "did you mean 'cspbcl3-pbs'?"),
        (["build", "none.toml"], 2, "There is no recipe file none.toml"),
        (["build", "--set", "join.sharde=1"], 2, "unknown key; did you mean 'shared'?"),
        (["build", "--set", "domains.sulfide.cut.at=x"], 2, "'x' is no number"),
        (["build", "--set", "gap"], 2, "write key=value"),
        (["build", "--set", "domains.sulfide.crystal=PbSS"], 2, "did you mean 'PbS'?"),
        (["build", "--set", "domains.sulfide.cut.plane=[0,0,0]"], 2, "(0 0 0) is no lattice plane"),
        (["build", "--set", "join.along.sulfide=[0,0,0]"], 2, "[0 0 0] is no direction"),
        (["build", "--set", "join.along.sulfide=[1,0,0]"], 2, "does not lie in the plane (-4 -4"),
        (["build", "--set", "join.across.sulfide=[1,-1,0]"], 2, "points opposite ways"),
        (["build", "--set", "join.settle=false"], 1, "domains collide"),
        (["build", "--set", "join.settle.limit=0.3"], 1, "the limit is 0.3 Å"),
        (["build", "--set", 'balance.target={formula="Cs126Br"}'], 1, "no allowed move changes"),
        (["build", "--set", 'balance.target={formula="Xx2"}'], 2, "'Xx' is no chemical element"),
        (["build", "-o", "/proc/none"], 2, "Cannot write"),
        (["build", "--set", "domains.perovskite.radius=9e5", "--set",
          "domains.perovskite.facets=[]"], 1, "GiB of memory"),
        (["planes", "PbS", "0", "0", "0"], 2, "(0 0 0) is no lattice plane"),
        (["planes", "PbS", "1", "x", "0"], 2, "'1 x 0': three whole numbers are wanted"),
        (["carve", "PbS", "--facet", "1 0 0:5", "-o", "p.xyz"], 1, "do not close"),
        (["carve", "PbS", "--form", "1 0 0", "-o", "p.xyz"], 2, "write a plane and its distance"),
        (["inspect", "none.xyz"], 2, "There is no file none.xyz"),
    ],
)  # fmt: skip
def test_errors_are_clear_and_write_nothing(
    tmp_path: Path, words: list[str], code: int, message: str
) -> None:
    result = run(*words, cwd=tmp_path)
    assert message in result.stderr
    assert result.returncode == code
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--replace", "Br=I"], 2, "No Br to exchange in Cs126Pb337S221Cl358"),
        (["--replace", "Br=I", "--in", "sulfide"], 2, "sulfide holds no Br to exchange for I"),
        (["--replace", "Pb=Sn"], 2, "Which domain is meant: perovskite, sulfide? Name it"),
        (["--product", "CdS-wurtzite", "--in", "sulfide"], 1, "differ by up to 18.2 %"),
        (["--cl-to-br", "--fraction", "1.2"], 2, "fraction 1.2 is not in 0 to 1"),
        (["--pb-to-cu", "--deficit", "0.1"], 1, "leaves the model with formal charge -19 e"),
        (["--pb-to-cu", "--cl-to-br"], 2, "One exchange at a time"),
        (["--cl-to-br", "--deficit", "0.1"], 2, "--deficit has no meaning with --replace"),
        (["--replace", "ClBr"], 2, "write OLD=NEW"),
        (["--replace", "Cl=Xx"], 2, "'Xx' is no chemical element"),
        (["--replace", "Cl=Br", "--in", "x"], 2, "No domain 'x' in this model; it has perovskite"),
        (["--product", "Cu3S"], 2, "did you mean 'Cu2S'?"),
        (["--pb-to-cu", "--compensate", "boil"], 2, "'boil' is no move; write 'add Cl in"),
        (["--replace", "Cs=MA", "--along", "a b"], 2, "three numbers are wanted, as"),
        ([], 2, "Say what to exchange"),
    ],
)  # fmt: skip
def test_exchange_errors_are_clear_and_write_nothing(
    built: Path, tmp_path: Path, words: list[str], code: int, message: str
) -> None:
    model = str(built / "cspbcl3-pbs" / "cspbcl3-pbs.xyz")
    result = run("exchange", model, *words, cwd=tmp_path)
    assert message in result.stderr
    assert (result.returncode, result.stdout) == (code, "")
    assert not list(tmp_path.iterdir())


def test_unlabelled_model_needs_its_crystals(built: Path, tmp_path: Path) -> None:
    bare = str(built / "cspbcl3-pbs" / "cspbcl3-pbs-cp2k.xyz")
    result = run("exchange", bare, "--cl-to-br", cwd=tmp_path)
    assert result.returncode == 2
    assert "name the crystals they are made of (--crystals A,B)" in result.stderr
    words = ("exchange", bare, "--crystals", "CsPbCl3,PbS", "--cl-to-br", "--json")
    record = json.loads(run(*words, cwd=tmp_path).stdout)
    assert record["report"]["formula"] == "Cs126Pb337S221Br276Cl82"
    assert record["report"]["interface"]["planes"] == ["(-2 1 0)", "(-4 -4 2)"]


def test_exchange_takes_the_model_of_build_or_builds_it(built: Path, tmp_path: Path) -> None:
    first = run("exchange", "--cl-to-br", cwd=built)
    assert (first.returncode, first.stderr) == (0, "")
    assert "exchange       perovskite: 276 Cl out, 276 Br in, charge +0 e" in first.stdout
    second = run("exchange", "--cl-to-br", "-q", cwd=tmp_path)
    assert "building cspbcl3-pbs first" in second.stderr
    name = "cspbbr3-pbs/cspbbr3-pbs.xyz"
    assert (built / name).read_bytes() == (tmp_path / name).read_bytes()
    before = (built / name).read_bytes()
    assert run("exchange", "--cl-to-br", cwd=built).returncode == 2
    assert (built / name).read_bytes() == before
    again = run("exchange", name, "--cl-to-br", "-o", "twice", cwd=built)
    assert "perovskite holds nothing more to exchange: unchanged" in again.stdout


def test_etch_reports_what_stays(built: Path, tmp_path: Path) -> None:
    model = str(built / "cspbcl3-pbs" / "cspbcl3-pbs.xyz")
    result = run("etch", model, "--remove", "perovskite", cwd=tmp_path)
    assert "of the shared layer Pb10 Pb3 stays; charge -4 e" in result.stdout
    assert "Pb260S221Cl78                  +0 e" in result.stdout
    assert run("etch", model, "--remove", "halide", cwd=tmp_path).returncode == 2


def test_charged_particle_is_built_when_nothing_asks_for_neutrality(tmp_path: Path) -> None:
    (tmp_path / "bare.toml").write_text(
        'name = "bare"\n[domains.p]\ncrystal = "PbS"\nradius = 8.0\ncentre = { site = "Pb" }\n'
    )
    assert run("build", "bare.toml", cwd=tmp_path).returncode == 0
    assert (tmp_path / "bare" / "bare.xyz").is_file()


def test_cif_beside_a_recipe(tmp_path: Path) -> None:
    block = gemmi.cif.read(str(ROOT / "structures" / "PbS.cif"))
    block.write_file(str(tmp_path / "mine.cif"))
    (tmp_path / "r.toml").write_text(
        'name = "r"\n[domains.p]\ncrystal = "mine.cif"\nradius = 8.0\ncentre = { site = "Pb" }\n'
    )
    assert run("build", "r.toml", "-q", cwd=tmp_path).returncode == 0
    assert load("PbS").space_group == "Fm-3m"


def test_failed_check_exits_with_3_and_keeps_the_files(tmp_path: Path) -> None:
    """Added ions may come closer than the interface's floors when the recipe lets them."""
    words = ("build", "-q", "--set", "balance.floors={anion_anion=2.0, cation_anion=1.5}")
    result = run(*words, "--set", "balance.target={charge=0}", cwd=tmp_path)
    assert result.returncode == 3, result.stderr
    assert "Built, but: " in result.stderr
    assert (tmp_path / "cspbcl3-pbs" / "cspbcl3-pbs.xyz").is_file()


def test_interrupt_exits_with_130_and_leaves_nothing(tmp_path: Path) -> None:
    code = (
        "import hetbuild.recipe.run, hetbuild.cli\n"
        "def stop(*a, **k): raise KeyboardInterrupt\n"
        "hetbuild.recipe.run.balance = stop\n"
        "hetbuild.cli.main()"
    )
    command = [sys.executable, "-c", code, "build"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, check=False)
    assert result.returncode == 130
    assert not list(tmp_path.iterdir())


def test_examples_run(tmp_path: Path) -> None:
    for example in sorted((ROOT / "examples").glob("*.py")):
        done = subprocess.run([sys.executable, str(example)], cwd=tmp_path, check=False)
        assert done.returncode == 0


def test_every_shipped_recipe_is_valid(tmp_path: Path) -> None:
    names = json.loads(run("recipes", "--json", cwd=tmp_path).stdout)
    assert {f"cspb{x}3-cube-{n}" for x in ("cl", "br", "i") for n in range(1, 7)} < set(names)


def test_commands_of_the_readme(built: Path) -> None:
    """Every `hetbuild ...` line of the README's shell blocks after the first two."""
    text = (ROOT / "README.md").read_text()
    lines = [line for line in text.splitlines() if line.startswith("hetbuild ")]
    assert lines
    for line in lines:
        words, _, redirect = line.partition(" > ")
        result = run(*shlex.split(words)[1:], cwd=built)
        assert result.returncode == 0, result.stderr
        if redirect:
            (built / redirect).write_text(result.stdout)
