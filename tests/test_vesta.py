"""VESTA files in depth: the reader on files of others, cut-offs, colours, titles, the picture."""

from __future__ import annotations

import importlib
import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import ase.io
import gemmi
import numpy as np
import pytest
from ase.data import covalent_radii
from ase.data.colors import jmol_colors
from ase.geometry import cellpar_to_cell
from conftest import ROOT, history, load
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Lattice, Structure
from vestacrystparser.parser import VestaFile, load_elements_data

from hetbuild.elements import number, symbol
from hetbuild.errors import InputError, PhaseWarning
from hetbuild.formats import ase_plugin as plugin
from hetbuild.formats.title import title
from hetbuild.formats.vesta import PALETTE, bond_limits, style, write_vesta
from hetbuild.formats.vesta_file import read_vesta
from hetbuild.formats.xyz import read_positions
from hetbuild.geometry.view import view
from hetbuild.library import structures
from hetbuild.model import Domain, Model, Role

TRICLINIC = (5.1, 6.2, 7.3, 81.0, 97.0, 112.0)


def written(model: Model) -> str:
    stream = io.StringIO()
    write_vesta(model, stream)
    return stream.getvalue()


@pytest.fixture(scope="module")
def cube() -> Model:
    return list(history("cspbcl3-cube-1").values())[-1]


def block(name: str) -> Model:
    """Cells of a shipped crystal as a particle of one domain."""
    crystal = load(name)
    cells = np.array(list(np.ndindex(2, 2, 2)))
    fractional = (crystal.fractional[None] + cells[:, None]).reshape(-1, 3)
    n = len(fractional)
    return Model(
        numbers=np.tile(crystal.numbers, 8),
        positions=fractional @ crystal.vectors,
        charges=np.tile(crystal.charges, 8),
        domain=np.zeros(n, dtype=int),
        role=np.zeros(n, dtype=int),
        domains=(Domain(name, crystal, crystal.vectors.copy(), np.zeros(3), 0),),
    )


# Colours


@pytest.mark.parametrize("element", sorted(PALETTE))
def test_palette_is_that_of_the_program(element: str) -> None:
    radius, colour = style(element)
    known = load_elements_data(element)
    assert radius == pytest.approx(known[2])
    assert list(colour) == known[5:8]


def test_palette_covers_what_recipes_build() -> None:
    crystals = {symbol(z) for name in structures() for z in load(name).numbers}
    molecules = {"H", "C", "N"}
    assert crystals | molecules | {"F", "O", "Zn", "Sn"} <= set(PALETTE)


@pytest.mark.parametrize("element", ["Fe", "Ni", "La", "U"])
def test_other_elements_look_as_in_jmol(element: str) -> None:
    radius, colour = style(element)
    z = number(element)
    assert radius == covalent_radii[z]
    assert np.array(colour) / 255 == pytest.approx(jmol_colors[z], abs=0.003)


def test_roles_of_an_element_never_look_alike() -> None:
    for element in PALETTE:
        assert len({style(element, role) for role in Role}) == len(Role)


# Bonds


@pytest.mark.parametrize(
    ("name", "neighbours"),
    [
        ("PbS", {"Pb": 6}),
        ("PbTe", {"Pb": 6}),
        ("ZnS", {"Zn": 4}),
        ("CdS-wurtzite", {"Cd": 4}),
        ("Cu2S", {"Cu": 4}),
        ("CsPbCl3", {"Pb": 6}),
        ("CsPbBr3-orthorhombic", {"Pb": 6}),
        ("CsPbI3", {"Pb": 6}),
        ("Cs4PbBr6", {"Pb": 6}),
        ("Cs2PbI2Cl2", {"Pb": 6}),
        ("CsPb2Br5", {"Pb": 8}),
    ],
)
def test_bonds_are_the_known_coordination(name: str, neighbours: dict[str, int]) -> None:
    limits = bond_limits(block(name))
    assert {c for c, _ in limits} == set(neighbours)
    crystal = load(name)
    structure = Structure(Lattice(crystal.vectors), crystal.numbers, crystal.fractional)
    for site in structure:
        cation = site.specie.symbol
        if cation in neighbours:
            found = [
                n
                for n in structure.get_neighbors(site, 5.0)
                if n.nn_distance < limits.get((cation, n.specie.symbol), 0.0)
            ]
            assert len(found) == neighbours[cation]


def test_shared_lead_is_bonded_to_both_sides(main_model: Model, tmp_path: Path) -> None:
    """Cl above and S, or the ligand in its place, below; read from the file alone."""
    path = tmp_path / "m.vesta"
    path.write_text(written(main_model))
    parsed = VestaFile(str(path))
    sites = parsed.get_structure()
    places = np.array([s[3:6] for s in sites]) @ np.array(parsed.get_cell_matrix())
    up = np.array(parsed["SCENE"].data[1][:3])
    limit = {b["A2"]: b["max_length"] for b in parsed.get_bonds() if b["A1"] == "Pb"}
    shared = [i for i, s in enumerate(sites) if s[2].endswith("_shared")]
    assert len(shared) == 10
    on_sulfur = 0
    for i in shared:
        offset = places - places[i]
        near = [
            (sites[j][1], float(offset[j] @ up))
            for j in np.flatnonzero(np.linalg.norm(offset, axis=1) < 4)
            if np.linalg.norm(offset[j]) < limit.get(sites[j][1], 0)
        ]
        assert any(e == "Cl" and h > 0.5 for e, h in near)
        on_sulfur += any(h < -0.5 for _, h in near)
    # At the rim of the interface some have none below.
    assert on_sulfur >= 5


# View


def test_rows_of_the_scene_are_screen_axes(tmp_path: Path) -> None:
    """In VESTA's own view down c, c points at the viewer: so it does in ours."""
    other = VestaFile()
    other.set_cell(*TRICLINIC)
    c = np.array(other.get_cell_matrix()[2])
    down_c = np.array(other.set_scene_view_direction("c"))
    assert down_c @ c == pytest.approx([0, 0, TRICLINIC[2]], abs=1e-9)
    model = block("CsPbBr3-orthorhombic")
    seen = view(model)
    assert seen.plane is None
    c = model.domains[0].vectors[2]
    assert seen.axes @ c == pytest.approx([0, 0, np.linalg.norm(c)], abs=1e-9)


def test_model_of_one_domain(tmp_path: Path) -> None:
    model = block("CsPb2Br5")
    path = tmp_path / "m.vesta"
    path.write_text(written(model))
    parsed = VestaFile(str(path))
    assert parsed["SPLAN"].data == [[0, 0, 0, 0]]
    assert [(b["A1"], b["A2"], b["show_polyhedra"]) for b in parsed.get_bonds()] == [
        ("Pb", "Br", True)
    ]
    places = np.array([s[3:6] for s in parsed.get_structure()]) @ np.array(parsed.get_cell_matrix())
    assert np.ptp(places - model.positions, axis=0).max() < 1e-4


def test_periodic_interface_has_whole_octahedra(tmp_path: Path) -> None:
    """Bonds of a cell that repeats are searched beyond it, those of a particle are not."""
    model = list(history("interface-cspbcl3-cs2pbcl4").values())[-1]
    path = tmp_path / "m.vesta"
    path.write_text(written(model))
    parsed = VestaFile(str(path))
    (bond,) = parsed.get_bonds()
    assert (bond["A1"], bond["A2"], bond["boundary_mode"]) == ("Pb", "Cl", 2)
    places = np.array([s[3:6] for s in parsed.get_structure()])
    cell = np.array(parsed.get_cell_matrix())
    assert cell == pytest.approx(model.cell, abs=1e-5)  # VESTA's axes are the model's
    whole = Structure(Lattice(cell), model.numbers, places)
    around = [
        sum(n.specie.Z == 17 for n in whole.get_neighbors(site, bond["max_length"]))
        for site in whole
        if site.specie.Z == 82
    ]
    assert max(around) == 6
    assert min(around) >= 5


def test_turned_cell_is_seen_the_same_way() -> None:
    """VESTA lays a along x whatever the model's axes are, so the view must not turn with them."""
    model = list(history("interface-cspbcl3-cs2pbcl4").values())[-1]
    turn = np.array([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    assert written(model.moved(turn, np.zeros(3))) == written(model)


# Title


@pytest.mark.parametrize(
    ("title", "shown"),
    [
        ("A cube", "A cube: "),
        ("GROUP 14 halides", "GROUP 14 halides: "),
        ("STRUC", "STRUC: "),
        ("two\nSTRUC\nlines", "two STRUC lines: "),
        ("", "cspbcl3-cube-1: "),
    ],
)
def test_no_title_spoils_the_file(cube: Model, title: str, shown: str, tmp_path: Path) -> None:
    recipe = {"title": title, "name": "cspbcl3-cube-1", "references": ["A\nSITET B"]}
    path = tmp_path / "m.vesta"
    path.write_text(written(replace(cube, provenance={"recipe": recipe})))
    parsed = VestaFile(str(path))
    assert len(parsed["TITLE"].data) == 1
    assert parsed.title.startswith(shown + cube.formula)
    assert "Cite: A SITET B" in parsed.title
    assert parsed.nsites == len(cube)
    assert np.array_equal(read_vesta(path)[0], cube.numbers)


def test_title_of_a_daughter_tells_the_step(cube: Model) -> None:
    steps = [{"asked": {"action": "etch", "domain": "perovskite"}}]
    text = written(replace(cube, provenance={"recipe": {"title": "Parent"}, "steps": steps}))
    assert f"\nCsPbCl3, perovskite etched (from Parent): {cube.formula} |" in text


@pytest.mark.parametrize(
    ("asked", "done"),
    [
        ({"action": "replace", "domain": "p", "ions": {"Cl": "Br", "Cs": "MA"}},
         "Cl to Br, Cs to MA in p"),
        ({"action": "topotactic", "domain": "p", "product": "Cu2S"}, "p to Cu2S"),
        ({"action": "swap", "domain": "p", "element": "Pb", "to": "Mn"}, "Pb to Mn in p"),
        ({"action": "remove", "domain": "p", "element": "Pb"}, "Pb removed in p"),
        ({"action": "add", "domain": "p", "element": "Cl"}, "Cl added in p"),
        ({"action": "ligands", "domain": "", "add": [{"ligand": "oleate"}]},
         "oleate on the surface"),
    ],
)  # fmt: skip
def test_a_title_tells_the_steps_after_it(cube: Model, asked: dict[str, Any], done: str) -> None:
    known = {"recipe": {"title": "Parent"}, "steps": [{"asked": asked}]}
    assert title(replace(cube, provenance=known)) == f"CsPbCl3, {done} (from Parent)"
    assert title(replace(cube, provenance={**known, "titled": 1})) == "Parent"


# Reader, on files of others


@pytest.fixture
def foreign(tmp_path: Path) -> Callable[[Callable[[str], str]], Path]:
    """A file that vestacrystparser wrote, changed."""
    source = VestaFile()
    source.set_cell(*TRICLINIC)
    source.add_site("Pb", "Pb1", 0.1, 0.2, 0.3)
    source.add_site("Cl", "Cl1", 0.6, 0.7, 0.95)
    path = tmp_path / "foreign.vesta"

    def change(edit: Callable[[str], str]) -> Path:
        path.write_text(edit(str(source)), encoding="latin-1")
        return path

    return change


def test_oblique_cell(foreign: Callable[..., Path]) -> None:
    path = foreign(lambda s: s)
    numbers, positions, vectors = read_vesta(path)
    assert [symbol(z) for z in numbers] == ["Pb", "Cl"]
    known = np.array(VestaFile(str(path)).get_cell_matrix())
    assert vectors == pytest.approx(known, abs=1e-9)
    assert positions == pytest.approx(np.array([[0.1, 0.2, 0.3], [0.6, 0.7, 0.95]]) @ known)


@pytest.fixture
def two_phases(foreign: Callable[..., Path], tmp_path: Path) -> Path:
    """Lead chloride, then caesium alone, as vestacrystparser writes them."""
    several = VestaFile(str(foreign(lambda s: s)))
    several.import_phases(VestaFile())
    several.set_current_phase(2)
    several.set_cell(9, 9, 9, 90, 90, 90)
    several.add_site("Cs", "Cs1", 0, 0, 0)
    several.save(tmp_path / "two.vesta")
    return tmp_path / "two.vesta"


def test_first_of_several_phases_is_taken_with_a_word(
    foreign: Callable[..., Path], two_phases: Path
) -> None:
    first = read_vesta(foreign(lambda s: s))
    with pytest.warns(PhaseWarning, match="holds 2 phases; the first is taken"):
        found = read_vesta(two_phases)
    for one, of_two in zip(first, found, strict=True):
        assert np.array_equal(one, of_two)


def test_a_phase_is_chosen(two_phases: Path) -> None:
    numbers, _, vectors = read_vesta(two_phases, 2)
    assert list(numbers) == [55]
    assert vectors == pytest.approx(9 * np.eye(3))
    assert list(read_positions(two_phases, -2)[0]) == [82, 17]
    for phase in (0, 3, -3):
        with pytest.raises(InputError, match=f"has no phase {phase}: it holds 2"):
            read_vesta(two_phases, phase)


def test_ase_chooses_a_phase(two_phases: Path) -> None:
    with pytest.warns(PhaseWarning, match="index=1"):
        assert str(ase.io.read(two_phases).symbols) == "PbCl"
    assert str(ase.io.read(two_phases, index=0).symbols) == "PbCl"
    assert str(ase.io.read(two_phases, index=1).symbols) == "Cs"
    assert [len(a) for a in ase.io.read(two_phases, index=":")] == [2, 1]
    assert [len(a) for a in ase.io.iread(two_phases)] == [2, 1]
    assert len(plugin.read_vesta(str(two_phases), index=1)) == 1
    with pytest.raises(InputError, match="holds 2 phases: none has the index"):
        ase.io.read(two_phases, index=2)


def test_ase_writes_one_model(cube: Model, tmp_path: Path) -> None:
    atoms = cube.to_ase()
    with pytest.raises(InputError, match="written of one model; given 2"):
        ase.io.write(tmp_path / "x.vesta", [atoms, atoms])
    assert not (tmp_path / "x.vesta").exists()


def test_without_a_style_section(foreign: Callable[..., Path]) -> None:
    """As scripts write them: the list of sites is closed, so all of it is there."""
    whole = read_vesta(foreign(lambda s: s))
    short = read_vesta(foreign(lambda s: s[: s.index("THERI")]))
    for one, other in zip(whole, short, strict=True):
        assert np.array_equal(one, other)


def importing(folder: Path, name: str, inline: bool = False) -> Path:
    path = folder / "importing.vesta"
    between = " " if inline else "\n"
    path.write_text(
        f"#VESTA_FORMAT_VERSION 3.3.0\n\n\nCRYSTAL\n\nTITLE\nPBS\n\n"
        f"IMPORT_STRUCTURE{between}{name}\n\nBOUND\n 0 1 0 1 0 1\n 0 0 0 0 0\n\n"
        "STYLE\nMODEL 0 1 0\n"
    )
    return path


@pytest.mark.parametrize("inline", [False, True])
@pytest.mark.parametrize("name", ["POSCAR", "x.vasp", "sub/x.cif", "sub\\x.cif"])
def test_a_structure_imported_from_beside(name: str, inline: bool, tmp_path: Path) -> None:
    crystal = load("PbS")
    known = Structure(Lattice(crystal.vectors), crystal.numbers, np.array(crystal.fractional))
    (tmp_path / "sub").mkdir()
    text = known.to(fmt="cif" if "cif" in name else "poscar")
    (tmp_path / name.replace("\\", "/")).write_text(text)
    numbers, positions, vectors = read_vesta(importing(tmp_path, name, inline))
    found = Structure(Lattice(vectors), numbers, positions, coords_are_cartesian=True)
    assert StructureMatcher(primitive_cell=False).fit(found, known)
    atoms = ase.io.read(tmp_path / "importing.vesta")
    assert atoms.pbc.all()
    assert atoms.cell.volume == pytest.approx(known.volume)


def test_an_imported_molecule_has_no_cell(tmp_path: Path) -> None:
    (tmp_path / "m.xyz").write_text("2\n\nPb 0 0 0\nS 0 0 2.9\n")
    numbers, positions, vectors = read_vesta(importing(tmp_path, "m.xyz"))
    assert list(numbers) == [82, 16]
    assert positions[1, 2] == 2.9
    assert not vectors.any()
    assert not ase.io.read(tmp_path / "importing.vesta").pbc.any()


PARTLY = """\
data_x
_cell_length_a 4
_cell_length_b 4
_cell_length_c 4
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
_symmetry_space_group_name_H-M 'P 1'
loop_
_atom_site_label
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
_atom_site_occupancy
Pb 0 0 0 0.5
S 0.5 0.5 0.5 1
"""


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("../outside.xyz", "which is not in its folder"),
        ("..\\outside.xyz", "which is not in its folder"),
        ("link.xyz", "which is not in its folder"),
        ("/etc/hosts", "which is not in its folder"),
        ("gone.vasp", "which is not there: put that file beside it"),
        ("a\0b", "no name of a file"),
        ("x" * 300, "no name of a file"),
        ("importing.vesta", "a VESTA file too"),
        ("junk.xyz", "cannot be read as a structure file"),
        ("partly.cif", "partly occupied sites"),
    ],
)
def test_what_is_not_imported(name: str, message: str, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (tmp_path / "outside.xyz").write_text("1\n\nPb 0 0 0\n")
    (folder / "link.xyz").symlink_to(tmp_path / "outside.xyz")
    (folder / "junk.xyz").write_text("junk")
    (folder / "partly.cif").write_text(PARTLY)
    with pytest.raises(InputError, match=message):
        read_vesta(importing(folder, name))


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_titles_in_the_local_encoding(foreign: Callable[..., Path], ending: str) -> None:
    path = foreign(lambda s: s.replace("New structure", "Phase des Kristalls, 5 Å"))
    path.write_bytes(path.read_bytes().replace(b"\n", ending.encode()))
    assert len(read_vesta(path)[0]) == 2


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda s: s.replace("Pb1 1.0", "Pb1 0.5"), "partly occupied sites, as Pb1"),
        (lambda s: s.replace("0.2 0.3", "nan 0.3"), "not finite numbers"),
        (lambda s: s.replace("0.2 0.3", "0.2"), "no complete VESTA file"),
        (lambda s: s.replace("112.0", "212.0"), "is no cell"),
        (lambda s: s.replace("5.1 ", "-5.1 "), "is no cell"),
        (lambda s: s.replace("81.0 97.0 112.0", "81.0"), "line of the cell is cut short"),
        (lambda s: s.replace("CELLP\n", ""), "it has no CELLP"),
        (lambda s: s[: s.index("1a 1") + 6], "list of sites is not closed"),
        (lambda s: s[: s.index("STRUC")], "it has no STRUC"),
        (lambda s: s.replace("1 Pb Pb1", "0 0 0 0\nTHERI\n1 Pb Pb1"), "list of sites is empty"),
        (lambda s: "\n \n", "foreign.vesta is empty"),
        (lambda s: s[1:], "must begin with #VESTA_FORMAT_VERSION"),
    ],
)
def test_what_cannot_be_read(
    foreign: Callable[..., Path], edit: Callable[[str], str], message: str
) -> None:
    path = foreign(edit)
    with pytest.raises(InputError, match=message) as caught:
        read_vesta(path)
    assert "foreign.vesta" in str(caught.value)


SPECIAL = {
    "P 63/m m c": (1 / 6, 1 / 3, 2 / 3),
    "P 63 m c": (1 / 3, 2 / 3, 3 / 8),
    "R -3 m:H": (1 / 3, 2 / 3, 1 / 6),
    "F d -3 m:2": (1 / 8, 1 / 8, 1 / 8),
    "P 31 2 1": (0.1, 0.2, 1 / 3),
}


@pytest.mark.parametrize("decimals", [4, 5, 6])
@pytest.mark.parametrize("name", sorted(SPECIAL))
def test_images_that_rounding_moves_apart_are_one_atom(
    name: str, decimals: int, foreign: Callable[..., Path]
) -> None:
    group = gemmi.SpaceGroup(name)
    place = np.array(SPECIAL[name])
    images = np.array([op.apply_to_xyz(place.tolist()) for op in group.operations()])
    rows = "\n".join(
        " ".join(f"{t / op.DEN:.6f}" for t in op.tran)
        + "  "
        + " ".join(str(r // op.DEN) for row in op.rot for r in row)
        + "  1"
        for op in group.operations()
    )
    at = " ".join(f"{x:.{decimals}f}" for x in place)
    text = foreign(lambda s: s).read_text(encoding="latin-1")
    start, end = text.index("STRUC"), text.index("THERI")
    first, rest = text[:start], text[end:]
    head, tail = first[: first.index("SYMOP")], first[first.index("-1.0 -1.0 -1.0") :]
    tail = tail[: tail.index("CELLP")]
    for a in np.arange(4.01, 7.0, 0.31):
        cell = (a, a, a, 90, 90, 90) if name.startswith("F") else (a, a, 2.7 * a, 90, 90, 120)
        vectors = cellpar_to_cell(cell)
        apart = images[:, None] - images
        same = np.linalg.norm((apart - np.rint(apart)) @ vectors, axis=2) < 0.01
        site = f"STRUC\n1 Pb Pb1 1.0 {at} 1a 1\n 0.0 0.0 0.0 0.0\n 0 0 0 0 0 0 0\n"
        size = " ".join(f"{x:.6f}" for x in cell)
        path = foreign(
            lambda s, size=size, site=site: (
                f"{head}SYMOP\n{rows}\n{tail}CELLP\n{size}\n0 0 0 0 0 0\n{site}{rest}"
            )
        )
        numbers, positions, _ = read_vesta(path)
        assert len(numbers) == len(set(same.argmax(axis=1)))
        # Each is one of the exact images.
        apart = (positions @ np.linalg.inv(vectors))[:, None] - images
        off = np.linalg.norm((apart - np.rint(apart)) @ vectors, axis=2).min(axis=1)
        assert off.max() < 5 * a * 10.0**-decimals


# Picture


@pytest.fixture
def render(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(ROOT / "examples")
    return importlib.import_module("render")


def test_picture_holds_what_the_file_says(
    render: ModuleType, main_model: Model, tmp_path: Path
) -> None:
    path = tmp_path / "m.vesta"
    path.write_text(written(main_model))
    scene = render.read_scene(path)
    assert (scene.roles == "_shared").sum() == (main_model.role == Role.SHARED).sum()
    axes = view(main_model).axes
    assert np.ptp(scene.places - main_model.positions @ axes.T, axis=0).max() < 1e-4
    normal, distance = scene.plane
    assert normal == pytest.approx([0, 1, 0], abs=1e-6)
    assert scene.places[scene.roles == "_shared", 1] == pytest.approx(distance, abs=1e-3)


@pytest.mark.parametrize("name", ["CsPb2Br5", "PbS"])
def test_picture_of_one_domain(render: ModuleType, name: str, tmp_path: Path) -> None:
    (tmp_path / "m.vesta").write_text(written(block(name)))
    render.draw(tmp_path / "m.vesta", tmp_path / "m.png")
    assert (tmp_path / "m.png").read_bytes().startswith(b"\x89PNG")


def test_shipped_picture_is_small() -> None:
    assert (ROOT / "examples" / "cspbcl3-pbs.png").stat().st_size < 300_000
