"""Files as other programs read them: VESTA, CIF, XYZ, POSCAR, LAMMPS, GROMACS."""

from __future__ import annotations

import io
import re
import subprocess
import sys
from pathlib import Path

import ase.io
import gemmi
import numpy as np
import pytest
from ase import Atoms
from conftest import ROOT, history, load
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Lattice, Structure
from pymatgen.io.cif import CifParser
from pymatgen.io.lammps.data import LammpsData
from pymatgen.io.vasp import Poscar
from scipy.spatial import cKDTree
from test_cli import run
from vestacrystparser.parser import VestaFile, load_elements_data

from hetbuild.elements import symbol
from hetbuild.errors import InputError
from hetbuild.formats.box import box
from hetbuild.formats.catalogue import CP2K, FORMATS
from hetbuild.formats.cif import write_cif, write_crystal_cif
from hetbuild.formats.vesta import bond_limits, write_vesta
from hetbuild.formats.vesta_file import read_vesta
from hetbuild.formats.xyz import write_plain_xyz, write_xyz
from hetbuild.geometry.view import view
from hetbuild.library import structures
from hetbuild.model import Model, Role

VACUUM = 10.0


def text(write: object, *given: object) -> str:
    stream = io.StringIO()
    write(given[0], stream, *given[1:])  # type: ignore[operator]
    return stream.getvalue()


@pytest.fixture(scope="module")
def boxed(main_model: Model) -> tuple[np.ndarray, np.ndarray]:
    """Positions in the box and its edges."""
    cell, shift = box(main_model, VACUUM)
    return main_model.positions + shift, cell.diagonal()


@pytest.fixture(scope="module")
def vesta(main_model: Model, tmp_path_factory: pytest.TempPathFactory) -> VestaFile:
    path = tmp_path_factory.mktemp("vesta") / "model.vesta"
    path.write_text(text(write_vesta, main_model))
    return VestaFile(str(path))


# VESTA, read by vestacrystparser


def test_vesta_sites(vesta: VestaFile, main_model: Model, boxed: tuple[np.ndarray, ...]) -> None:
    places, edges = boxed
    assert vesta.get_cell() == pytest.approx([*edges, 90, 90, 90], abs=1e-6)
    sites = vesta.get_structure()
    assert [s[1] for s in sites] == [symbol(z) for z in main_model.numbers]
    read = np.array([s[3:6] for s in sites], dtype=float)
    assert np.abs(read @ np.array(vesta.get_cell_matrix()) - places).max() < 1e-4
    assert ((read >= 0) & (read < 1)).all()
    labels = [s[2] for s in sites]
    assert len(set(labels)) == len(labels)
    marked = {r: sum(x.endswith(f"_{r}") for x in labels) for r in ("shared", "ligand", "comp")}
    assert marked == {"shared": 10, "ligand": 82, "comp": 0}


def test_vesta_colours_are_vestas_own(vesta: VestaFile, main_model: Model) -> None:
    elements = {row[1]: row for row in vesta["ATOMT"].data[:-1]}
    assert set(elements) == {"Cs", "Pb", "S", "Cl"}
    for name, row in elements.items():
        known = load_elements_data(name)
        assert row[2] == pytest.approx(known[2])
        assert row[3:6] == known[5:8]
    colours = {}
    for row, role in zip(vesta["SITET"].data[:-1], main_model.role, strict=True):
        element = row[1].rstrip("_abcdefghijklmnopqrstuvwxyz").rstrip("0123456789")
        colours.setdefault((element, Role(role).label), set()).add(tuple(row[3:6]))
    assert all(len(c) == 1 for c in colours.values())
    of_cl = {role: next(iter(c)) for (e, role), c in colours.items() if e == "Cl"}
    assert len(set(of_cl.values())) == 2
    assert colours["Pb", "shared"] != colours["Pb", "lattice"]


def test_vesta_bonds_join_first_neighbours_only(vesta: VestaFile, main_model: Model) -> None:
    bonds = vesta.get_bonds()
    assert [(b["A1"], b["A2"]) for b in bonds] == [("Pb", "Cl"), ("Pb", "S")]
    for bond in bonds:
        assert bond["show_polyhedra"]
        assert bond["boundary_mode"] == 1  # a finite particle has nothing beyond its box
        assert bond["max_length"] == pytest.approx(bond_limits(main_model)[bond["A1"], bond["A2"]])
    # Not one Pb has more than its octahedron: no second shell.
    lead = main_model.numbers == 82
    count = np.zeros(lead.sum(), dtype=int)
    for bond in bonds:
        z = {"Cl": 17, "S": 16}[bond["A2"]]
        apart = np.linalg.norm(
            main_model.positions[lead][:, None] - main_model.positions[main_model.numbers == z],
            axis=2,
        )
        count += (apart < bond["max_length"]).sum(axis=1)
    assert count.min() >= 3
    # A Pb of the interface may reach one anion more, of the other crystal.
    assert count.max() <= 7
    assert (count == 7).sum() <= 4


def test_vesta_plane_and_view(vesta: VestaFile, main_model: Model, boxed: object) -> None:
    plane = vesta["SPLAN"].data[0]
    assert plane[1:4] == [0, 0, 1]
    places, _ = boxed  # type: ignore[misc]
    assert plane[4] == pytest.approx(places[main_model.role == Role.SHARED, 2].mean(), abs=1e-4)
    axes = np.array([row[:3] for row in vesta["SCENE"].data[:3]])
    assert axes @ axes.T == pytest.approx(np.eye(3), abs=1e-6)
    assert np.linalg.det(axes) == pytest.approx(1)
    perovskite, sulfide = main_model.domains
    for direction in (perovskite.vectors[2], np.array([-1, 1, 0]) @ sulfide.vectors):
        seen = axes @ direction / np.linalg.norm(direction)
        assert np.abs(seen) == pytest.approx([0, 0, 1], abs=1e-6)
    up = axes[1]
    heights = [(main_model.positions[main_model.domain == i] @ up).mean() for i in (0, 1)]
    assert heights[0] > heights[1]


def test_vesta_title_and_model_style(vesta: VestaFile) -> None:
    lines = [row[0] for row in vesta["TITLE"].data]
    assert "Cs126Pb337S221Cl358" in lines[0]
    assert any("Livakas" in line for line in lines)
    assert vesta["MODEL"].inline == [2, 1, 0]


def test_vesta_round_trip_of_every_kind_of_model(tmp_path: Path) -> None:
    for recipe in ("cspbcl3-cube-1", "cspbcl3-cu2s"):
        model = list(history(recipe).values())[-1]
        path = tmp_path / f"{recipe}.vesta"
        path.write_text(text(write_vesta, model))
        numbers, positions, _ = read_vesta(path)
        assert np.array_equal(numbers, model.numbers)
        assert np.ptp(positions - model.positions, axis=0).max() < 1e-6
        parsed = VestaFile(str(path))
        assert parsed.nsites == len(model)
        bonds = {(b["A1"], b["A2"]) for b in parsed.get_bonds()}
        assert ("Pb", "Cl") in bonds
        assert not any("Cs" in b for b in bonds)
    assert view(model).axes.shape == (3, 3)


def test_vesta_turned_model_is_seen_the_same_way(main_model: Model) -> None:
    from scipy.spatial.transform import Rotation

    turn = Rotation.random(random_state=np.random.default_rng(1)).as_matrix()
    turned = main_model.moved(turn, np.array([3.0, -2.0, 1.0]))
    a, b = view(main_model), view(turned)
    flat = [v.axes @ (m.positions - m.positions[0]).T for v, m in ((a, main_model), (b, turned))]
    assert np.allclose(flat[0], flat[1], atol=1e-6)
    assert a.plane is not None
    assert b.plane is not None
    assert b.plane[0] == pytest.approx(turn @ a.plane[0])


def test_vesta_file_of_the_program_with_symmetry(tmp_path: Path) -> None:
    """A rock-salt file as VESTA writes it, with the operations of Fm-3m."""
    crystal = load("PbS")
    group = gemmi.SpaceGroup("F m -3 m")
    rows = [
        " ".join(f"{t / op.DEN:.6f}" for t in op.tran)
        + "  "
        + " ".join(str(r // op.DEN) for row in op.rot for r in row)
        + "  1"
        for op in group.operations()
    ]
    source = text(write_vesta, list(history("cspbcl3-cube-1").values())[-1])
    head, rest = source.split("SYMOP\n")
    rest = rest[rest.index(" -1.0 -1.0 -1.0") :]
    start, end = rest.index("CELLP"), rest.index("SHAPE")
    struc = "STRUC\n 1 Pb Pb1 1.0 0 0 0 4a 1\n 0 0 0 0\n 2 S S1 1.0 0.5 0.5 0.5 4b 1\n 0 0 0 0\n"
    cell = f"CELLP\n {' '.join(f'{x}' for x in crystal.cell_parameters)}\n 0 0 0 0 0 0\n"
    whole = [head, "SYMOP\n", "\n".join(rows), "\n", rest[:start], cell, struc, "  0 0 0 0 0 0 0\n"]
    path = tmp_path / "pbs.vesta"
    path.write_text("".join(whole) + rest[end:])
    numbers, positions, vectors = read_vesta(path)
    assert sorted(numbers) == [16] * 4 + [82] * 4
    found = Structure(Lattice(vectors), numbers, positions, coords_are_cartesian=True)
    known = Structure(Lattice(crystal.vectors), crystal.numbers, np.array(crystal.fractional))
    assert StructureMatcher(primitive_cell=False).fit(found, known)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda s: s[: len(s) // 3], "list of sites is not closed"),
        (lambda s: s.replace(" -1.0 -1.0 -1.0", "-inf -1.0 -1.0 -1.0", 1), "symmetry is none"),
        (lambda s: re.sub(r"(CELLP\n(?: +\S+){3}) +\S+", r"\1 0.0", s), "is no cell"),
        (lambda s: re.sub(r"(CELLP\n(?: +\S+){5}) +\S+", r"\1 0.0", s), "is no cell"),
        (lambda s: s.replace("  0 0 0 0 0 0 0\nTHERI", "THERI"), "no complete VESTA file"),
        (lambda s: s.replace("CELLP", "CELLX"), "no complete VESTA file"),
        (lambda s: s.replace(" Pb ", " Qq "), "'Qq' is no chemical element"),
        (lambda s: "12\nxyz\n" + s, "must begin with #VESTA_FORMAT_VERSION"),
        (lambda s: "", "x.vesta is empty"),
    ],
)
def test_spoilt_vesta_files(spoil: object, message: str, tmp_path: Path) -> None:
    model = list(history("cspbcl3-cube-1").values())[-1]
    path = tmp_path / "x.vesta"
    path.write_text(spoil(text(write_vesta, model)))  # type: ignore[operator]
    with pytest.raises(InputError, match=message):
        read_vesta(path)


def test_ase_reads_what_hetbuild_registers(
    main_model: Model, tmp_path: Path, boxed: tuple[np.ndarray, ...]
) -> None:
    places, edges = boxed
    (tmp_path / "model.vesta").write_text(text(write_vesta, main_model))
    (tmp_path / "model.xyz").write_text(text(write_xyz, main_model))
    vesta = ase.io.read(tmp_path / "model.vesta")
    assert np.abs(vesta.positions - places).max() < 1e-4
    assert vesta.cell.lengths() == pytest.approx(edges, abs=1e-4)
    again = Model.from_ase(ase.io.read(tmp_path / "model.xyz"))
    assert np.array_equal(again.positions, main_model.positions)
    ase.io.write(tmp_path / "again.vesta", main_model.to_ase())
    assert (tmp_path / "again.vesta").read_bytes() == (tmp_path / "model.vesta").read_bytes()


# CIF, read by three


def test_cif_of_the_particle(
    main_model: Model, tmp_path: Path, boxed: tuple[np.ndarray, ...]
) -> None:
    places, edges = boxed
    path = tmp_path / "model.cif"
    path.write_text(text(write_cif, main_model))
    elements = [symbol(z) for z in main_model.numbers]
    block = gemmi.cif.read(str(path)).sole_block()
    small = gemmi.make_small_structure_from_block(block)
    by_gemmi = np.array([small.cell.orthogonalize(s.fract).tolist() for s in small.sites])
    assert [s.element.name for s in small.sites] == elements
    structure = CifParser(str(path), frac_tolerance=0).parse_structures(primitive=False)[0]
    atoms = ase.io.read(path)
    assert atoms.get_chemical_symbols() == elements
    labels = list(block.find_values("_atom_site_label"))
    assert labels == [s.label for s in small.sites]
    # pymatgen sorts sites by element; labels say which is which.
    order = [structure.labels.index(label) for label in labels]
    by_pymatgen = structure.cart_coords[order]
    assert [structure[i].specie.symbol for i in order] == elements
    assert list(block.find_values("_hetbuild_site_label")) == labels
    assert sum(int(q) for q in block.find_values("_hetbuild_site_formal_charge")) == 0
    roles = list(block.find_values("_hetbuild_site_role"))
    assert roles == [Role(r).label for r in main_model.role]
    for read in (by_gemmi, by_pymatgen, atoms.positions):
        assert np.abs(read - places).max() < 1e-4
    for cell in (small.cell.parameters[:3], structure.lattice.abc, atoms.cell.lengths()):
        assert cell == pytest.approx(edges, abs=1e-4)
    fractional = np.array(
        [[float(x) for x in block.find_values(f"_atom_site_fract_{a}")] for a in "xyz"]
    )
    assert ((fractional >= 0) & (fractional < 1)).all()


@pytest.mark.parametrize("name", sorted(structures()))
def test_cif_of_a_crystal_keeps_its_symmetry(name: str, tmp_path: Path) -> None:
    crystal = load(name)
    path = tmp_path / "c.cif"
    path.write_text(text(write_crystal_cif, crystal))
    known = Structure(Lattice(crystal.vectors), crystal.numbers, np.array(crystal.fractional))
    block = gemmi.cif.read(str(path)).sole_block()
    small = gemmi.make_small_structure_from_block(block)
    assert len(small.get_all_unit_cell_sites()) == len(crystal.numbers)
    assert len(small.sites) < len(crystal.numbers) or len(crystal.numbers) < 6
    atoms = ase.io.read(path)
    matcher = StructureMatcher(primitive_cell=False, scale=False, stol=0.01)
    by_ase = Structure(Lattice(atoms.cell[:]), atoms.numbers, atoms.get_scaled_positions())
    by_pymatgen = CifParser(str(path), frac_tolerance=0).parse_structures(primitive=False)[0]
    for found in (by_ase, by_pymatgen.remove_oxidation_states()):
        assert matcher.fit(found, known)


# The rest


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, main_model: Model) -> Path:
    made = tmp_path_factory.mktemp("export")
    (made / "model.xyz").write_text(text(write_xyz, main_model))
    (made / "plain.xyz").write_text(text(write_plain_xyz, main_model))
    return made


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_every_format_keeps_atoms_and_places(
    name: str, folder: Path, main_model: Model, boxed: tuple[np.ndarray, ...]
) -> None:
    out = folder / f"out{FORMATS[name].ending}"
    result = run("export", "model.xyz", "--to", name, "-o", str(out), cwd=folder)
    assert (result.returncode, result.stdout) == (0, f"{out}\n"), result.stderr
    if name == "lammps":
        read = LammpsData.from_file(str(out), atom_style="charge").structure
        assert sum(read.site_properties["charge"]) == pytest.approx(0, abs=1e-6)
        positions, elements = read.cart_coords, [s.symbol for s in read.species]
        del elements  # LAMMPS numbers its types by mass
        order = np.arange(len(positions))
    elif name == "poscar":
        read = Poscar.from_file(str(out)).structure
        positions = read.cart_coords
        # Sorted by element; places tell which atom is which.
        order = cKDTree(boxed[0]).query(positions)[1]
        assert [s.symbol for s in read.species] == [symbol(main_model.numbers[i]) for i in order]
        assert len(read.symbol_set) == len(Poscar.from_file(str(out)).site_symbols)
    elif name == "cif":
        small = gemmi.read_small_structure(str(out))  # ASE and pymatgen read it above
        positions = np.array([small.cell.orthogonalize(s.fract).tolist() for s in small.sites])
        order = np.arange(len(positions))
    elif name == "mol2":  # which ASE does not read
        from rdkit.Chem import MolFromMol2File

        graph = MolFromMol2File(str(out), sanitize=False, removeHs=False)
        assert [a.GetAtomicNum() for a in graph.GetAtoms()] == main_model.numbers.tolist()
        positions, order = graph.GetConformer().GetPositions(), np.arange(len(main_model))
    else:
        atoms = ase.io.read(out)
        assert isinstance(atoms, Atoms)
        assert np.array_equal(np.sort(atoms.numbers), np.sort(main_model.numbers))
        positions, order = atoms.positions, np.arange(len(atoms))
    free = name in ("xyz", "plain-xyz", "mol2", "pdb")
    expected = main_model.positions if free else boxed[0]
    # .gro has three decimals of a nanometre, .pdb of an Å.
    limit = {"gromacs": 6e-3, "pdb": 6e-4}.get(name, 1e-4)
    assert np.abs(positions - expected[order]).max() < limit


def test_crystal_goes_to_cif(folder: Path) -> None:
    assert run("export", "Cu2S", "--to", "cif", cwd=folder).stdout == "Cu2S.cif\n"
    assert ase.io.read(folder / "Cu2S.cif").get_chemical_formula() == "Cu8S4"


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["model.xyz", "--to", "vest"], 2, "No format is called 'vest'; did you mean 'vesta'?"),
        (["model.xyz", "--to", "cif", "--run", "md"], 2, "--run belongs to --to cp2k, not"),
        (["model.xyz", "--to", "cp2k", "--box", "20 20 20"], 2, "is too small for a particle of"),
        (["model.xyz", "--to", "cp2k", "--box", "90 90 80"], 2, "which needs a cube"),
        (["model.xyz", "--to", "cp2k", "--box", "20"], 2, "--box takes 3 numbers"),
        (["model.xyz", "--to", "cp2k", "--fixed-core", "99"], 2, "No atom is deeper than 99"),
        (["model.xyz", "--to", "cif", "--vacuum", "-1"], 2, "cannot be negative"),
        (["model.xyz", "--to", "cp2k", "--vacuum", "5"], 2, "say its edges with --box A B C"),
        (["PbS", "--to", "vesta"], 2, "PbS is a crystal, which goes to cif"),
        (["none.xyz", "--to", "cif"], 2, "There is no file none.xyz"),
        (["plain.xyz", "--to", "cif"], 2, "name the crystals they are made of"),
        (["cut.xyz", "--to", "cif"], 2, "cannot be read as a structure file"),
        (["binary.xyz", "--to", "cif"], 2, "cannot be read as a structure file"),
        (["record.xyz", "--to", "cif"], 2, "The hetbuild record is damaged"),
        (["model.xyz", "--to", "xyz", "-o", "model.xyz"], 2, "Use --force to overwrite"),
    ],
)
def test_export_errors(folder: Path, words: list[str], code: int, message: str) -> None:
    whole = (folder / "model.xyz").read_text()
    (folder / "cut.xyz").write_text(whole[: len(whole) // 2])
    (folder / "binary.xyz").write_bytes(b"\x00\xff\xfe" * 99)
    (folder / "record.xyz").write_text(whole.replace('\\"domains\\"', '\\"domainz\\"', 1))
    before = sorted(folder.iterdir())
    result = run("export", *words, cwd=folder)
    assert message in result.stderr
    assert (result.returncode, result.stdout) == (code, "")
    assert sorted(folder.iterdir()) == before


def test_truncated_and_foreign_files_everywhere(folder: Path) -> None:
    whole = (folder / "model.xyz").read_text()
    (folder / "short.xyz").write_text(whole[: len(whole) // 3])
    (folder / "foreign.txt").write_text("no structure here\n")
    for name in ("short.xyz", "foreign.txt"):
        for command in (["inspect", name], ["exchange", name, "--cl-to-br"]):
            result = run(*command, cwd=folder)
            assert result.returncode == 2
            assert name in result.stderr
            assert "Traceback" not in result.stderr


def test_help_lists_every_format(tmp_path: Path) -> None:
    shown = " ".join(run("export", "--help", cwd=tmp_path).stdout.split())
    assert all(name in shown for name in (*FORMATS, CP2K))


def test_picture_is_drawn_from_a_vesta_file(main_model: Model, tmp_path: Path) -> None:
    (tmp_path / "m.vesta").write_text(text(write_vesta, main_model))
    script = str(ROOT / "examples" / "render.py")
    words = [sys.executable, script, "m.vesta", "m.png"]
    subprocess.run(words, cwd=tmp_path, check=True)
    import matplotlib.image

    image = matplotlib.image.imread(tmp_path / "m.png")
    magenta = (image[:, :, 0] > 0.9) & (image[:, :, 1] < 0.2) & (image[:, :, 2] > 0.9)
    assert magenta.sum() > 300
    assert (ROOT / "examples" / "cspbcl3-pbs.png").is_file()


def test_output_may_be_a_folder(tmp_path: Path) -> None:
    assert run("export", "PbS", "--to", "cif", "-o", "new/", cwd=tmp_path).stdout == "new/PbS.cif\n"
    again = run("export", "PbS", "--to", "cif", "-o", "new", "--force", cwd=tmp_path)
    assert again.stdout == "new/PbS.cif\n"
    named = run("export", "PbS", "--to", "cif", "-o", "b.cif", cwd=tmp_path)
    assert named.stdout == "b.cif\n"
