"""Names from files never become paths, commands or lines of a deck.

Every test tries what it forbids: if the guard were gone, a file would appear.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms
from conftest import ROOT, called, history, load
from hypothesis import given
from hypothesis import strategies as st

import hetbuild as hb
from hetbuild.assemble.carve import carve
from hetbuild.capping.molecule import read_ligand
from hetbuild.errors import InputError
from hetbuild.formats.cp2k import deck
from hetbuild.formats.cp2k_options import Cp2kOptions
from hetbuild.formats.xyz import read_xyz, write_xyz
from hetbuild.library import find_structure
from hetbuild.model import Model
from hetbuild.names import LONGEST, check_name, safe_name
from hetbuild.recipe.output import daughter_name, paths

HOSTILE = (
    "a$(touch PWNED)", "a`touch PWNED`", "a; touch PWNED;", "a' ; touch PWNED ; '",
    'a" ; touch PWNED ; "', "a b", "-rf", "..", "../../PWNED", "/tmp/PWNED", "a\nb", "a\0b", "",
    "é",
)  # fmt: skip


@pytest.fixture(scope="module")
def particle() -> Model:
    return carve(load("PbS"), [], radius=5.0, site="Pb", name="dot")


def text_of(model: Model, folder: Path) -> str:
    path = folder / "model.xyz"
    with path.open("w") as stream:
        write_xyz(model, stream)
    return path.read_text()


@pytest.mark.parametrize("name", HOSTILE)
def test_one_rule_refuses_and_mends(name: str) -> None:
    with pytest.raises(InputError, match="names begin with a letter or digit"):
        check_name(name, "domain")
    assert check_name(safe_name(name), "domain")


@pytest.mark.parametrize("name", ["CON", "nul", "aux.txt", "com1", "Lpt9.tar.gz", "a.", "a.."])
def test_names_that_windows_has_no_files_for(name: str, particle: Model, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="Windows has no files called so"):
        check_name(name, "domain")
    assert check_name(safe_name(name), "domain")
    particle.write(tmp_path / f"{name}.xyz")
    done = called("export", f"{name}.xyz", "--to", "cp2k", "--allow-charge", cwd=tmp_path)
    assert done.returncode == 0
    assert Path(done.stdout.split()[0]).stem == safe_name(f"{name}.xyz"[:-4])


@pytest.mark.parametrize("name", ["a" * 63 + "-b", "con." + "b" * 59 + ".c", "." * 300 + "con"])
def test_a_name_that_is_cut_obeys_the_rule(name: str) -> None:
    assert check_name(safe_name(name), "model") == safe_name(safe_name(name))


@given(st.text(max_size=300))
def test_any_text_gives_a_name(text: str) -> None:
    assert check_name(safe_name(text), "model") == safe_name(safe_name(text))


@pytest.mark.parametrize("stem", ["a$(touch PWNED)", "a b'c", "-rf", "a\ntouch PWNED\n"])
def test_a_model_file_runs_nothing(particle: Model, tmp_path: Path, stem: str) -> None:
    (tmp_path / f"{stem}.xyz").write_text(text_of(particle, tmp_path))
    done = called(
        "export", f"./{stem}.xyz", "--to", "cp2k", "-o", "deck", "--allow-charge", cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    # `echo` stands for CP2K: the script says which files it would run.
    said = subprocess.run(
        ["./deck/run.sh", "echo"], cwd=tmp_path, capture_output=True, text=True, check=True
    ).stdout
    assert said == f"-i {safe_name(stem)}.inp -o {safe_name(stem)}.out\n"
    assert (tmp_path / "deck" / f"{safe_name(stem)}.inp").is_file()
    assert not list(tmp_path.rglob("PWNED"))


def test_a_deck_takes_no_other_name(particle: Model) -> None:
    with pytest.raises(InputError, match="cannot be the name of a deck"):
        deck(particle, "a b", Cp2kOptions(allow_charge=True))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('\\"name\\": \\"PbS\\"', '\\"name\\": \\"../../PWNED\\"'),
        ('\\"name\\": \\"dot\\"', '\\"name\\": \\"x\\\\n&END\\\\n@INCLUDE PWNED\\"'),
        ('\\"name\\": \\"dot\\"', '\\"name\\": \\"a b\\"'),
        ("Pb1", "Pbé"),
    ],
)
def test_a_record_names_no_path(particle: Model, tmp_path: Path, old: str, new: str) -> None:
    text = text_of(particle, tmp_path)
    assert old in text
    folder = tmp_path / "deep" / "here"
    folder.mkdir(parents=True)
    (folder / "m.xyz").write_text(text.replace(old, new))
    before = sorted(tmp_path.rglob("*"))
    for words in (
        ["exchange", "m.xyz", "--replace", "S=Se", "--in", "dot"],
        ["export", "m.xyz", "--to", "cp2k", "--pdos", "--allow-charge"],
    ):
        done = called(*words, cwd=folder)
        assert done.returncode == 2, done.stdout
        assert "cannot be the" in done.stderr
    assert sorted(tmp_path.rglob("*")) == before


def test_daughters_are_named_inside_the_folder(particle: Model) -> None:
    for stem in HOSTILE:
        name = daughter_name(stem, particle, particle)
        assert check_name(name, "model")
        assert all(p.parent == Path("here") for p in paths(Path("here"), name))
    assert len(daughter_name("a" * 300, particle, particle)) <= LONGEST


@pytest.mark.parametrize("product", ["../../../PWNED/ZnS.cif", "x;touch PWNED/Zn S.cif"])
def test_a_product_is_no_path(tmp_path: Path, product: str) -> None:
    place = tmp_path / "a" / "b" / product
    place.parent.mkdir(parents=True)
    shutil.copy(find_structure("ZnS"), place)
    folder = tmp_path / "a" / "b" / "c"
    folder.mkdir()
    model = carve(load("PbS"), [], radius=9.0, site="Pb", name="dot")
    (folder / "dot.xyz").write_text(text_of(model, folder))
    before = {p for p in tmp_path.rglob("*") if folder not in p.parents}
    words = ("exchange", "dot.xyz", "--product", f"../{product}", "--in", "dot", "--allow-charge")
    done = called(*words, "--contact", "2.0", cwd=folder)
    assert done.returncode in (0, 1), done.stderr
    assert {p for p in tmp_path.rglob("*") if folder not in p.parents} == before
    for made in folder.iterdir():
        assert made.suffix == ".xyz" or check_name(made.name, "folder")


def test_a_crystal_is_called_by_its_file_within_the_rule(tmp_path: Path) -> None:
    from hetbuild.crystal.crystal import read_crystal

    path = tmp_path / "my PbS (2) $(touch PWNED).cif"
    shutil.copy(ROOT / "structures" / "PbS.cif", path)
    assert read_crystal(path).name == "my-PbS-2-touch-PWNED"


RECIPE = 'name = "r"\n[domains.p]\ncrystal = {}\nradius = 6.0\ncentre = {{ site = "Pb" }}\n'


@pytest.mark.parametrize("where", ["../secret.cif", "absolute", "link.cif", "sub/../../secret.cif"])
def test_a_recipe_reads_no_file_outside_its_folder(tmp_path: Path, where: str) -> None:
    secret = tmp_path / "secret.cif"
    shutil.copy(ROOT / "structures" / "PbS.cif", secret)
    folder = tmp_path / "given"
    (folder / "sub").mkdir(parents=True)
    (folder / "link.cif").symlink_to(secret)
    crystal = json.dumps(str(secret) if where == "absolute" else where)
    (folder / "r.toml").write_text(RECIPE.format(crystal))
    done = called("build", "r.toml", cwd=folder)
    assert done.returncode == 2
    assert "outside the folder of the recipe" in done.stderr
    assert not (folder / "r").exists()
    assert called("build", "r.toml", "--trust", "-q", "-o", "a", cwd=folder).returncode == 0
    (folder / "r.toml").write_text(RECIPE.format('"PbS"'))
    named = ("build", "r.toml", "-q", "-o", "b", "--set", f"domains.p.crystal={crystal}")
    assert called(*named, cwd=folder).returncode == 0


@pytest.mark.parametrize("base", ["../r", "/etc/passwd", "a\\u0000b", "..", ""])
def test_a_recipe_extends_only_its_neighbours(tmp_path: Path, base: str) -> None:
    (tmp_path / "r.toml").write_text(RECIPE.format('"PbS"'))
    folder = tmp_path / "given"
    folder.mkdir()
    (folder / "s.toml").write_text(f'extends = "{base}"\nname = "s"\n')
    done = called("build", "s.toml", cwd=folder)
    assert done.returncode == 2
    assert "cannot be the name of a recipe that s.toml extends" in done.stderr


@pytest.mark.parametrize("name", ["a b", "a\\nb", 'a\\"b', "../x"])
def test_recipes_call_domains_by_the_rule(tmp_path: Path, name: str) -> None:
    (tmp_path / "r.toml").write_text(
        RECIPE.format('"PbS"').replace("domains.p", f'domains."{name}"')
    )
    done = called("build", "r.toml", cwd=tmp_path)
    assert done.returncode == 2
    assert "cannot be the name of a recipe or domain" in done.stderr
    assert sorted(p.name for p in tmp_path.iterdir()) == ["r.toml"]


def test_labels_survive_the_files(particle: Model, tmp_path: Path) -> None:
    (tmp_path / "m.xyz").write_text(text_of(particle, tmp_path))
    assert (
        read_xyz(tmp_path / "m.xyz").domains[0].crystal.labels == particle.domains[0].crystal.labels
    )


@pytest.mark.parametrize("names", ["a=CsPbCl3,a=PbS", ","])
def test_crystals_of_a_file_are_named_each(tmp_path: Path, names: str) -> None:
    """Two domains of one name made a file that could not be read again."""
    history("cspbcl3-pbs-small")["balanced"].write(tmp_path / "model.xyz")
    words = ["export", "model.xyz", "--to", "xyz", "-o", "again.xyz", "--crystals", names]
    done = called(*words, cwd=tmp_path)
    assert done.returncode == 2
    assert ("Two domains are called a" if "a" in names else "name what the file") in done.stderr
    assert not (tmp_path / "again.xyz").exists()


def test_a_long_ligand_is_not_printed_whole() -> None:
    pytest.importorskip("rdkit")
    with pytest.raises(InputError) as caught:
        read_ligand("C" * 3000)
    assert len(str(caught.value)) < 600


def test_domains_of_one_crystal_are_numbered_unless_named(tmp_path: Path) -> None:
    dot = hb.carve("PbS", [hb.Facet((1, 0, 0), 2)])
    apart = np.concatenate([dot.positions, dot.positions + 40.0])
    path = tmp_path / "two.xyz"
    ase.io.write(path, Atoms(np.tile(dot.numbers, 2), apart), format="xyz")
    found = hb.read_model(path, ["PbS", "PbS"])
    assert found.formulas == {"PbS-1": dot.formula, "PbS-2": dot.formula}
    assert [d.name for d in hb.read_model(path, ["PbS", "PbS"], names=["a", ""]).domains] == [
        "a",
        "PbS",
    ]
    inspected = called("inspect", "two.xyz", "--crystals", "PbS,PbS", cwd=tmp_path)
    assert inspected.returncode == 0
    assert f"PbS-2          {dot.formula}" in inspected.stdout
    with pytest.raises(hb.InputError, match=r"names: 1 for 2 crystals \(PbS, PbS\)"):
        hb.read_model(path, ["PbS", "PbS"], names=["a"])
