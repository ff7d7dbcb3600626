"""Inputs that used to crash, hang or fill the memory: each gives one clear text and exit code."""

from __future__ import annotations

import ctypes
import importlib
import math
import os
import re
import shlex
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from ase import Atoms
from conftest import ROOT, called
from hypothesis import given
from hypothesis import strategies as st

from hetbuild.crystal.crystal import Crystal, read_crystal
from hetbuild.errors import InputError
from hetbuild.formats.atoms import UNPACK
from hetbuild.numerals import LARGEST, parse_number

PBS = (ROOT / "structures" / "PbS.cif").read_text()
SPHERE = """\
name = "r"
references = ["a"]
[domains.p]
crystal = "PbS"
radius = 6
centre = { site = "Pb" }
"""


def refused(folder: Path, *words: str, code: int = 2) -> str:
    before = sorted(folder.rglob("*"))
    done = called(*words, cwd=folder)
    assert done.returncode == code, (done.stdout, done.stderr)
    assert done.stdout == ""
    assert sorted(folder.rglob("*")) == before
    return done.stderr


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("_cell_length_a", "_cell_length_a nan #", "is no cell. A crystal needs three lengths"),
        ("_cell_length_a", "_cell_length_a 0 #", "is no cell"),
        ("_cell_length_b", "_cell_length_b 1e308 #", "is no cell"),
        ("_cell_angle_alpha", "_cell_angle_alpha 180 #", "is no cell"),
        ("_cell_angle_alpha", "_cell_angle_alpha inf #", "is no cell"),
        (" 0.5 ", " nan ", "fractional coordinates of S1 are not numbers"),
        (" 0.5 ", " 1e300 ", "fractional coordinates of S1 are not numbers"),
        (PBS, "", "is empty: a CIF has a data_ block"),
        (PBS, "# only a comment\n", "is empty"),
        (PBS, "data_x\n", "holds no atoms"),
        (PBS, "data_x\nloop_\n_atom_site_label\n_atom_site_fract_x\nPb1 0\n", "is no cell"),
    ],
)
def test_a_cif_that_is_none(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in PBS
    (tmp_path / "x.cif").write_text(PBS.replace(old, new))
    assert message in refused(tmp_path, "planes", "x.cif", "1", "0", "0")


@pytest.mark.parametrize(
    ("number", "ok"),
    [("?", True), (".", True), ("2+", True), ("+2", True), ("2.0", True), ("nan", False),
     ("99999999999", False), ("2.5", False), ("-2+", False), ("9", False)],
)  # fmt: skip
def test_oxidation_numbers(tmp_path: Path, number: str, ok: bool) -> None:
    loop = f"\nloop_\n_atom_type_symbol\n_atom_type_oxidation_number\nPb {number}\n"
    kept = [line for line in PBS.splitlines() if "_atom_type" not in line]
    body = "\n".join(line for line in kept if line.split()[:1] not in (["Pb"], ["S"]))
    body = body.replace("loop_\nloop_", "loop_")
    (tmp_path / "x.cif").write_text(body.rstrip() + loop)
    if ok:
        assert called("planes", "x.cif", "1", "0", "0", cwd=tmp_path).returncode == 0
    else:
        text = refused(tmp_path, "planes", "x.cif", "1", "0", "0")
        assert "is no oxidation number of 'Pb'" in text or "must be neutral" in text


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("balance=3", "balance: a table is needed (given 3)"),
        ("domains.p.facets=3", "domains.p.facets: a list is needed (given 3)"),
        ("composition=5", "composition: a text is needed (given 5)"),
        ('domains.p.radius="1e400"', "'1e400' is no number between -1,000,000 and 1,000,000"),
        ('domains.p.radius="1e9999999"', "'1e9999999' is no number"),
        ("domains.p.radius=1e308", "1e+308 is no number"),
        ("domains.p.radius=nan", "nan is no number"),
        ("domains.p.radius=" + "9" * 5000, "is no number"),
        ("vacuum=" + "[" * 9000, "vacuum"),
        ("references.²=1", "'²' is not one of 0 to 0"),
        ("references.99999999999999999999999=1", "is not one of 0 to 0"),
        (".".join("a" * 50) + "=1", "write key=value"),
        ("steps=[{action='replace',domain='p',ions={S='Se'},along=[inf,0,0]}]", "inf is no number"),
        ("domains.p.facets=[{form=[9223372036854775808,0,0],planes=2}]", "is no number between"),
        ("domains.p.facets=[{form=[1,0,0],planes=9223372036854775808}]", "is no number"),
        ("domains.p.charges={Pb=300}", "less than or equal to 9"),
    ],
)
def test_settings(tmp_path: Path, setting: str, message: str) -> None:
    (tmp_path / "r.toml").write_text(SPHERE)
    assert message in refused(tmp_path, "build", "r.toml", "--set", setting)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("".join(f"k{i} = 1\n" for i in range(200_000)), "larger than 200 kB"),
        (SPHERE + "".join(f"k{i} = 1\n" for i in range(9000)), "and 8980 more faults"),
        ("name = " + "[" * 50_000, "nested too deep"),
        ("name = " + "9" * 5000, "is not TOML: Exceeds the limit"),
        ("\xff\x00", "is not TOML"),
    ],
    ids=["large", "faults", "deep", "digits", "binary"],
)
def test_recipes_that_are_none(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "r.toml").write_text(content, encoding="latin-1")
    assert message in refused(tmp_path, "build", "r.toml")


@given(st.text(max_size=50))
def test_any_text_is_a_number_or_none(text: str) -> None:
    try:
        assert -LARGEST <= parse_number(text) <= LARGEST
    except ValueError as error:
        assert "no number between" in str(error)  # noqa: PT017 (either is right)


@given(st.floats(-LARGEST, LARGEST))
def test_numbers_are_read_as_python_reads_them(value: float) -> None:
    assert parse_number(repr(value)) == value


@pytest.fixture(scope="module")
def dot(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("dot")
    assert called("carve", "PbS", "--radius", "6", "-o", "dot.xyz", cwd=folder).returncode == 0
    return (folder / "dot.xyz").read_text()


IDENTITY = "[[1, 0, 0], [0, 1, 0], [0, 0, 1]]"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('\\"name\\": \\"particle\\", ', "", "its domains lack 'name'"),
        ('\\"vectors\\": [[5.9', '\\"vectors\\": [[1e400, 5.9', "damaged"),
        ('\\"foreign_charges\\": {}', '\\"foreign_charges\\": \\"Br\\"', "no whole numbers"),
        ('\\"datum\\": 0', '\\"datum\\": 99', "the frame of PbS is none"),
        ('\\"datum\\": 0', '\\"datum\\": Infinity', "damaged"),
        # The same operation twice, which `inspect` took gigabytes over where it was 248 times.
        ('\\"rotations\\": [', f'\\"rotations\\": [{IDENTITY}, ', "point group of PbS is none"),
        ("[[5.9362, 0.0, 0.0]", "[[0.0, 0.0, 0.0]", "lie in a plane"),
        ("[[5.9362, 0.0, 0.0]", "[[NaN, 0.0, 0.0]", "damaged"),
        ('\\"version\\": 1', '\\"version\\": 9', "Record of version 9"),
        ("-5.93620000", "       -inf", "positions are not numbers"),
        (" particle lattice ", " other lattice ", "labels of atoms do not fit it"),
        (" lattice ", " latice ", "labels of atoms do not fit it"),
    ],
)
def test_damaged_records(dot: str, tmp_path: Path, old: str, new: str, message: str) -> None:
    text = dot.replace(old, new)
    assert text != dot
    (tmp_path / "m.xyz").write_text(text)
    assert message in refused(tmp_path, "inspect", "m.xyz")


def test_a_cif_without_its_cell_says_not_where_its_atoms_are(dot: str, tmp_path: Path) -> None:
    (tmp_path / "m.xyz").write_text(dot)
    assert called("export", "m.xyz", "--to", "cif", cwd=tmp_path).returncode == 0
    whole = (tmp_path / "m.cif").read_text()
    (tmp_path / "m.cif").write_text(re.sub(r"_cell_length_a .*\n", "", whole))
    assert "fractional coordinates but not the whole cell" in refused(
        tmp_path, "compare", "m.cif", "m.xyz"
    )


def test_crystals_are_named_as_often_as_there_are_particles(dot: str, tmp_path: Path) -> None:
    (tmp_path / "m.xyz").write_text(dot)
    text = refused(tmp_path, "inspect", "m.xyz", "--crystals", "PbS, PbS", code=1)
    assert "The lattice of PbS was not found" in text


def test_paths_that_cannot_be_looked_at(tmp_path: Path) -> None:
    long, deep = "a" * 300, "a/" * 2500
    for words in (
        ["inspect", f"{long}.xyz"], ["inspect", f"{deep}x.xyz"], ["build", f"{long}.toml"],
        ["planes", f"{long}.cif", "1", "0", "0"], ["compare", f"{long}.xyz", "b.xyz"],
    ):  # fmt: skip
        assert "File name too long" in refused(tmp_path, *words)
    words = ("carve", "PbS", "--radius", "6", "-o")
    for output in (f"{long}.xyz", f"{deep}x.xyz", f"{long}/x.xyz"):
        assert "File name too long" in refused(tmp_path, *words, output)
    assert "is a file, not a folder" in refused(tmp_path, *words, "/dev/full/x.xyz")


def as_others_do() -> None:
    """Permissions hold for root too, as they do for users: two capabilities less."""
    if os.geteuid() == 0 and sys.platform == "linux":
        for capability in (1, 2):  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
            ctypes.CDLL(None).prctl(24, capability)  # PR_CAPBSET_DROP


def test_folders_that_cannot_be_searched_or_written(tmp_path: Path, dot: str) -> None:
    closed, fixed = tmp_path / "closed", tmp_path / "fixed"
    for folder in (closed, fixed):
        folder.mkdir()
        (folder / "m.xyz").write_text(dot)
    closed.chmod(0)
    fixed.chmod(stat.S_IRUSR | stat.S_IXUSR)
    try:
        for words in (
            ["inspect", "closed/m.xyz"],
            ["export", "fixed/m.xyz", "--to", "cif", "-o", "closed/m.cif"],
            ["export", "fixed/m.xyz", "--to", "cif", "-o", "fixed/m.cif"],
            ["export", "fixed/m.xyz", "--to", "xyz", "-o", "fixed/m.xyz", "--force"],
        ):
            done = subprocess.run(
                [sys.executable, "-m", "hetbuild", *words],
                cwd=tmp_path, capture_output=True, text=True, preexec_fn=as_others_do,
            )  # fmt: skip
            assert done.returncode in (1, 2)
            assert re.fullmatch(r"hetbuild: Cannot .*: Permission denied\.\n", done.stderr)
    finally:
        for folder in (closed, fixed):
            folder.chmod(stat.S_IRWXU)
    for folder in (closed, fixed):
        assert [p.name for p in folder.iterdir()] == ["m.xyz"]
        assert (folder / "m.xyz").read_text() == dot


def test_a_search_that_would_fill_the_memory(tmp_path: Path) -> None:
    words = ("match", "PbS", "PbSe", "--planes", "1 0 0/1 0 0", "--max-area", "10000")
    text = refused(tmp_path, *words, code=1)
    assert "GB of memory (limit 2): lower the area or the strain" in text


def test_a_particle_beyond_the_limit_of_the_process(tmp_path: Path) -> None:
    """`ulimit -d` counts, not only what is free: 100 nm hold 29 million ions."""
    code = (
        "import resource; from hetbuild.cli import main\n"
        "resource.setrlimit(resource.RLIMIT_DATA, (2**31, 2**31)); main()"
    )
    words = ["build", "cspbbr3-cube-3", "--size", "100nm", "-o", "large"]
    done = subprocess.run(
        [sys.executable, "-c", code, *words], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "GiB of memory and 2.0 GiB are free: make the particle smaller" in done.stderr


@pytest.mark.parametrize(
    "words",
    [
        "build ./PLACE", "sweep PLACE", "planes ./PLACE 1 0 0", "match ./PLACE PbS",
        "inspect PLACE",
        "compare dot.xyz PLACE", "compare PLACE dot.xyz", "inspect dot.xyz --like PLACE",
        "xrd dot.xyz --compare PLACE", "image PLACE", "export PLACE --to cif", "dos PLACE",
        "report PLACE", "angles PLACE", "inspect dot.xyz --crystals ./PLACE",
        "relax PLACE", "etch PLACE --remove pbs", "exchange PLACE --pb-to-cu",
        "exchange dot.xyz --in particle --product ./PLACE", "ligands PLACE --add 'oleate on Pb'",
        "ligands dot.xyz --add 'PLACE on Pb'",
    ],
)  # fmt: skip
@pytest.mark.parametrize("ending", [".xyz", ".vesta", ".cif", ".mol"])
def test_what_would_never_end_is_not_read(
    dot: str, tmp_path: Path, words: str, ending: str
) -> None:
    """A pipe that nobody writes into kept every reader of models waiting; so did /dev/zero."""
    if words.startswith("ligands dot"):
        pytest.importorskip("rdkit")
    (tmp_path / "dot.xyz").write_text(dot)
    os.mkfifo(tmp_path / f"pipe{ending}")
    said = refused(tmp_path, *shlex.split(words.replace("PLACE", f"pipe{ending}")))
    assert f"pipe{ending}" in said
    if not words.startswith(("dos", "exchange dot", "ligands dot")):
        assert "is a pipe or device" in said or f"called './pipe{ending}'" in said


@pytest.mark.parametrize("verb", ["inspect", "sweep", "xrd"])
def test_a_folder_is_no_file(tmp_path: Path, verb: str) -> None:
    assert ". is a folder, no" in refused(tmp_path, verb, ".")


def test_a_file_is_as_large_as_its_kind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hetbuild.crystal.read.LARGEST_FILE", 1000)
    (tmp_path / "x.cif").write_text(PBS + "#" * 1000)
    assert "is no crystal: it is larger than 1 kB" in refused(
        tmp_path, "planes", "x.cif", "1", "0", "0"
    )


ROCK_SALT = """\
data_x
_cell_length_a 5.936
_cell_length_b 5.936
_cell_length_c 5.936
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
SYMMETRY
loop_
_atom_site_label
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
Pb1 0 0 0
S1 0.5 0.5 0.5
"""


def operations(*lines: str) -> str:
    return "\n".join(["loop_", "_space_group_symop_operation_xyz", *(f"'{x}'" for x in lines)])


@pytest.mark.parametrize(
    ("symmetry", "sites"),
    [
        ("_space_group_name_H-M_alt 'F m -3 m'", "Pb4S4"),
        ("_space_group_IT_number 225", "Pb4S4"),
        (operations("x,y,z", "x+1/2,y+1/2,z", "x+1/2,y,z+1/2", "x,y+1/2,z+1/2"), "Pb4S4"),
        (operations("x,y,z"), "PbS"),
        ("", "PbS"),
    ],
)
def test_symmetry_however_it_is_stated(tmp_path: Path, symmetry: str, sites: str) -> None:
    """With a number alone, the cell held the listed atoms only."""
    (tmp_path / "x.cif").write_text(ROCK_SALT.replace("SYMMETRY", symmetry))
    assert read_crystal(tmp_path / "x.cif").formula == sites


@pytest.mark.parametrize(
    ("symmetry", "message"),
    [
        (operations("x,y,z", "x+1/2,y+1/2,foo"), "its 2 symmetry operations are no space group"),
        (operations("x,y,z", "-x,\ufeff-y,z"), "none of 0-9, x, y, z"),
        (operations("x,y,z", "-y,x,z"), "no space group ('symops list is incomplete"),
        (operations("x,y,z", "999*x,y,z"), "are no space group"),
        ("_space_group_name_H-M_alt 'Quatsch'", "there is no space group 'Quatsch'"),
        ("_space_group_IT_number 999", "there is no space group 999"),
    ],
)
def test_symmetry_that_is_none(tmp_path: Path, symmetry: str, message: str) -> None:
    """It was passed over, and most of the cell was empty."""
    (tmp_path / "x.cif").write_text(ROCK_SALT.replace("SYMMETRY", symmetry))
    assert message in refused(tmp_path, "planes", "x.cif", "1", "0", "0")


@pytest.mark.parametrize("place", ["0.02 0 0", "0.0001 1 -1", "0.999 0.001 0"])
def test_two_atoms_in_one_place(tmp_path: Path, place: str) -> None:
    twice = ROCK_SALT.replace("SYMMETRY", "") + f"Pb2 {place}\nS2 0.25 0.25 0.25\n"
    (tmp_path / "x.cif").write_text(twice)
    assert "x: the sites Pb1 and Pb2 are 0." in refused(tmp_path, "planes", "x.cif", "1", "0", "0")


def test_a_crystal_of_numbers_that_are_none() -> None:
    cell = Atoms("PbS", cell=[5.0] * 3, scaled_positions=[[0, 0, 0], [math.nan, 0.5, 0.5]])
    with pytest.raises(InputError, match="those of site 1 are not"):
        Crystal.from_ase(cell)
    cell = Atoms("PbS", cell=[5.0] * 3, scaled_positions=[[0, 0, 0], [0.5, 0.5, 0.5]])
    for charge in ("2", math.nan, 1.5, 10**9):
        with pytest.raises(InputError, match=r"is no formal charge of Pb|\['Pb'\] must be a whole"):
            Crystal.from_ase(cell, charges={"Pb": charge})  # type: ignore[dict-item]
    with pytest.raises(InputError, match="charges must be a mapping of texts to whole numbers"):
        Crystal.from_ase(cell, charges=5)  # type: ignore[arg-type]


@pytest.mark.parametrize("ending", ["xyz", "extxyz"])
@pytest.mark.parametrize("columns", ["pos:R:3:q:R:999999999", "pos:R:99999999"])
def test_columns_that_are_not_there(tmp_path: Path, ending: str, columns: str) -> None:
    """ASE makes room for all of them first: minutes, and all memory."""
    head = f"2\nProperties=species:S:1:{columns}\n"
    (tmp_path / f"x.{ending}").write_text(f"{head}Pb 0 0 0\nS 0 0 3\n")
    said = refused(tmp_path, "inspect", f"x.{ending}", "--crystals", "PbS")
    assert "columns, which its rows do not have" in said


@pytest.mark.parametrize("ending", ["gz", "bz2", "xz"])
def test_packed_files(
    dot: str, tmp_path: Path, ending: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    packed = tmp_path / f"dot.xyz.{ending}"
    with importlib.import_module(UNPACK[f".{ending}"]).open(packed, "wt") as stream:
        stream.write(dot)
    assert called("inspect", packed.name, cwd=tmp_path).returncode == 0
    monkeypatch.setattr("hetbuild.formats.atoms.LARGEST_UNPACKED", 1000)
    assert "unpack it, and read the file" in refused(tmp_path, "inspect", packed.name)


def test_the_file_that_is_named_is_read(dot: str, tmp_path: Path) -> None:
    """ASE takes what follows an @ for a frame, and reads the file called by what stands before."""
    (tmp_path / "dot.xyz").write_text(dot)
    assert called("export", "dot.xyz", "--to", "poscar", cwd=tmp_path).returncode == 0
    (tmp_path / "dot.poscar").rename(tmp_path / "POSCAR@0")
    done = called("compare", "dot.xyz", "POSCAR@0", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("setting", "key"),
    [("vacuum=true", "vacuum"), ("domains.p.radius=true", "domains.p.radius"),
     ("domains.p.charges={Pb=true}", "domains.p.charges.Pb"),
     ("domains.p.anything=true", "unknown")],
)  # fmt: skip
def test_true_is_no_number(tmp_path: Path, setting: str, key: str) -> None:
    """It was taken for 1: a vacuum of 1 Å."""
    (tmp_path / "r.toml").write_text(SPHERE)
    assert key in refused(tmp_path, "build", "r.toml", "--set", setting)


def test_recipes_that_extend_without_end(tmp_path: Path) -> None:
    for i in range(1500):
        (tmp_path / f"r{i}.toml").write_text(f'name = "r"\nextends = "r{i + 1}"\n')
    assert "extends more than 12 recipes" in refused(tmp_path, "build", "./r0.toml")


def test_what_editors_of_other_systems_write_is_read(tmp_path: Path) -> None:
    """A mark before the first byte; names of authors in Latin 1, as in many CIFs."""
    (tmp_path / "PbS.cif").write_bytes(b"\xef\xbb\xbf# by M\xfcller\n" + PBS.encode())
    text = "\ufeff" + SPHERE.replace('crystal = "PbS"', 'crystal = "./PbS.cif"')
    (tmp_path / "r.toml").write_text(text)
    done = called("build", "r.toml", "--dry-run", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
