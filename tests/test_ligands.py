"""Ligands: whole molecules in the place of ions, clear of everything, the charge unchanged."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from conftest import called, history
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

import hetbuild as hb
from hetbuild.capping.add import Add
from hetbuild.capping.attach import attach
from hetbuild.capping.binding import bond_length
from hetbuild.capping.coverage import coverage, kinds_of, near_donors
from hetbuild.capping.molecule import read_ligand
from hetbuild.capping.names import CARBOXYLATES, ROOTS, smiles_of
from hetbuild.capping.room import contact_radii
from hetbuild.errors import ImpossibleError, InputError
from hetbuild.formats.xyz import read_xyz
from hetbuild.model import Model, Role

MIXED = ("8 butylammonium on Cs, surface", "8 propionate on Cl, surface")


@pytest.fixture(scope="module")
def cube() -> Model:
    return history("cspbcl3-cube-2")["balanced"]


@pytest.fixture(scope="module")
def covered(cube: Model) -> Model:
    return hb.ligands(cube, MIXED)


@pytest.mark.parametrize(
    ("name", "formula", "charge"),
    [  # formulas and charges of textbooks, not of the rule
        ("oleate", "C18H33O2", -1),
        ("stearate", "C18H35O2", -1),
        ("formate", "CHO2", -1),
        ("oleylammonium", "C18H38N", 1),
        ("methylammonium", "CH6N", 1),
        ("dimethylammonium", "C2H8N", 1),
        ("DDA", "C26H56N", 1),
        ("octylphosphonate", "C8H17O3P", -2),
        ("octadecylhydrogenphosphonate", "C18H38O3P", -1),
        ("dodecylsulfonate", "C12H25O3S", -1),
        ("dodecylthiolate", "C12H25S", -1),
        ("TOP", "C24H51P", 0),
        ("TOPO", "C24H51OP", 0),
        ("sulfobetaine", "C23H49NO3S", 0),
        ("oleylamine", "C18H37N", 0),
    ],
)
def test_names_are_the_molecules_they_say(name: str, formula: str, charge: int) -> None:
    from rdkit import Chem
    from rdkit.Chem.rdMolDescriptors import CalcMolFormula

    smiles = smiles_of(name)
    assert smiles is not None
    graph = Chem.MolFromSmiles(smiles)
    assert (
        CalcMolFormula(graph)
        .rstrip("+-0123456789" if charge else "")
        .startswith(formula.rstrip("0123456789"))
    )
    assert Chem.GetFormalCharge(graph) == charge
    carbons = sum(a.GetSymbol() == "C" for a in graph.GetAtoms())
    hydrogens = sum(a.GetTotalNumHs() for a in graph.GetAtoms())
    told = Counter(dict(_parts(formula)))
    assert (carbons, hydrogens) == (told["C"], told["H"])


def _parts(formula: str) -> list[tuple[str, int]]:
    import re

    return [(e, int(n or 1)) for e, n in re.findall(r"([A-Z][a-z]?)(\d*)", formula)]


def test_oleyl_is_cis() -> None:
    from rdkit import Chem

    for name in ("oleate", "oleylammonium"):
        graph = Chem.MolFromSmiles(smiles_of(name))
        kinds = [b.GetStereo() for b in graph.GetBonds() if b.GetBondTypeAsDouble() == 2.0]
        assert Chem.BondStereo.STEREOZ in kinds


@pytest.mark.parametrize("chain", [1, 2, 5])
def test_stand_ins_keep_the_group(chain: int) -> None:
    short = read_ligand("oleylammonium", chain=chain)
    assert (short.numbers == 6).sum() == chain
    assert short.charge == 1
    assert (read_ligand("oleate", chain=chain).numbers == 6).sum() == chain + 1


def test_ions_leave_one_for_one_and_the_charge_stays(cube: Model, covered: Model) -> None:
    before, after = (Counter(m.numbers.tolist()) for m in (cube, covered))
    assert before[55] - after[55] == 8
    assert before[17] - after[17] == 8
    assert covered.charge == cube.charge == 0
    kinds = {name: len(molecules) for name, molecules, _ in kinds_of(covered)}
    assert kinds == {"butylammonium": 8, "propionate": 8}
    ligand = covered.molecule > 0
    assert (covered.role[ligand] == Role.LIGAND).all()
    assert (covered.site[ligand] == -1).all()
    swaps = [e.element for e in covered.ledger if e.step == "ligands"]
    assert Counter(swaps) == {"Cs>butylammonium": 8, "Cl>propionate": 8}


def test_ions_that_stay_do_not_move(cube: Model, covered: Model) -> None:
    kept = covered.positions[covered.molecule == 0]
    assert cdist(kept, cube.positions).min(axis=1).max() == 0.0


def test_contacts_keep_the_clearance_by_brute_force(covered: Model) -> None:
    """All pairs, not the trees that placed them: only bonds to donors may be shorter."""
    distance = cdist(covered.positions, covered.positions)
    radii = contact_radii(covered.numbers)
    part = distance / (radii[:, None] + radii)
    own = covered.molecule
    others = (own[:, None] != own) & ((own > 0)[:, None] | (own > 0))
    head, ion = near_donors(covered), own == 0
    bonded = (head[:, None] & ion) | (head & ion[:, None])
    assert part[others & ~bonded].min() >= 0.75 - 1e-6
    assert part[others].min() > 0.5
    found = {c.kind: c.part for c in coverage(covered).contacts}
    assert min(found.values()) == pytest.approx(part[others & ~bonded].min(), abs=1e-6)


def test_donors_stand_at_the_sum_of_the_radii(covered: Model) -> None:
    """O at r(Pb) + r(O) or r(Cs) + r(O) of Shannon, N at 1.46 Å + r(Cl); none nearer."""
    limits = {"butylammonium": {17: 1.46 + 1.81}, "propionate": {82: 1.19 + 1.40, 55: 1.67 + 1.40}}
    for name, molecules, donors in kinds_of(covered):
        for m in molecules:
            atoms = np.flatnonzero(covered.molecule == m)[donors]
            slack = []
            for z, limit in limits[name].items():
                ions = covered.positions[(covered.numbers == z) & (covered.molecule == 0)]
                slack.append(cdist(covered.positions[atoms], ions).min() - limit)
            assert min(slack) > -1e-6
            # Ammonium may be lifted; a carboxylate touches.
            assert min(slack) < (1.7 if name == "butylammonium" else 1e-6)


def test_tails_point_away_from_the_core(covered: Model) -> None:
    middle = covered.positions[covered.molecule == 0].mean(axis=0)
    for _, molecules, donors in kinds_of(covered):
        for m in molecules:
            atoms = covered.positions[covered.molecule == m]
            assert np.linalg.norm(atoms.mean(axis=0) - middle) > np.linalg.norm(
                atoms[donors].mean(axis=0) - middle
            )


def test_the_graph_of_every_molecule_reads_back(covered: Model) -> None:
    """RDKit finds the bonds from distances alone, and they are those of the SMILES."""
    from rdkit import Chem
    from rdkit.Chem import rdDetermineBonds

    expected = {k["name"]: k["smiles"] for k in covered.provenance["ligands"]}
    for name, molecules, _ in kinds_of(covered):
        for m in molecules[:3]:
            atoms = np.flatnonzero(covered.molecule == m)
            lines = [
                f"{Chem.GetPeriodicTable().GetElementSymbol(int(covered.numbers[i]))} "
                + " ".join(f"{x:.8f}" for x in covered.positions[i])
                for i in atoms
            ]
            graph = Chem.MolFromXYZBlock("\n".join([str(len(atoms)), "", *lines]) + "\n")
            charge = int(covered.charges[atoms].sum())
            rdDetermineBonds.DetermineBonds(graph, charge=charge)
            assert Chem.MolToSmiles(Chem.RemoveHs(graph)) == expected[name]


def test_the_same_seed_gives_the_same_atoms(cube: Model, covered: Model, tmp_path: Path) -> None:
    again = hb.ligands(cube, MIXED)
    paths = [m.write(tmp_path / f"{k}.xyz") for k, m in enumerate((covered, again))]
    assert paths[0].read_bytes() == paths[1].read_bytes()
    other = hb.ligands(cube, MIXED, order="random", seed=7)
    assert not np.array_equal(other.positions, covered.positions)


def test_every_format_keeps_the_molecules(covered: Model, tmp_path: Path) -> None:
    path = covered.write(tmp_path / "covered.xyz")
    for again in (
        read_xyz(path),
        Model.from_ase(covered.to_ase()),
        Model.from_pymatgen(covered.to_pymatgen()),
    ):
        np.testing.assert_array_equal(again.molecule, covered.molecule)
        assert again.provenance["ligands"] == covered.provenance["ligands"]
    from ase.io import read

    assert (read(path).get_array("molecule") == covered.molecule).all()


def test_files_without_molecules_are_as_before(cube: Model, tmp_path: Path) -> None:
    path = cube.write(tmp_path / "cube.xyz")
    assert b"molecule" not in path.read_bytes().split(b"\n")[1]
    assert not read_xyz(path).molecule.any()


@settings(max_examples=5)
@given(
    count=st.integers(0, 12), seed=st.integers(0, 99), order=st.sampled_from(["random", "spread"])
)
def test_counts_are_exact_whatever_the_order(count: int, seed: int, order: str) -> None:
    cube = history("cspbcl3-cube-2")["balanced"]
    model, (report,) = attach(
        cube, [Add.parse(f"{count} formate on Cl, surface")], order=order, seed=seed
    )
    assert report.placed == report.sites == count
    assert model.charge == 0
    assert len(model) == len(cube) + count * 3


def test_symmetric_takes_whole_orbits(main_model: Model) -> None:
    """Of the Cl on the faces of a cube: its full point group is left."""
    from hetbuild.geometry.point_group import point_group_symbol

    whole = hb.carve("CsPbCl3", [hb.Facet((1, 0, 0), 1.5)], site="Pb")
    group = point_group_symbol(whole)
    add = "24 formate on Cl, surface, facet {1 0 0}"
    model = hb.ligands(whole, add, order="symmetric")
    assert model.charge == whole.charge
    assert point_group_symbol(model.where(model.molecule == 0)) == group == "m-3m"
    other = hb.ligands(whole, add, order="random")
    assert point_group_symbol(other.where(other.molecule == 0)) != group
    with pytest.raises(InputError, match="one element in one domain"):
        hb.ligands(main_model, "3 formate on anion, surface", order="symmetric")


def test_lowest_energy_takes_what_balancing_takes(cube: Model) -> None:
    from hetbuild.balancing.balance import change
    from hetbuild.balancing.candidates import Move

    order = "least bonded first, lowest energy"
    model = hb.ligands(cube, "4 formate on Cl, surface", order=order)
    removed = change(cube, Move("remove", "Cl", "perovskite", which="surface", order=order), 4)
    left = model.positions[model.molecule == 0]
    assert cdist(left, removed.positions).min(axis=1).max() < 1e-6


def test_a_divalent_ion_gives_way_to_two(main_model: Model) -> None:
    """Two acetates for one S, one phosphonate for one S: the charge stays either way."""
    model, (two,) = attach(main_model, [Add.parse("3 acetate on S, surface, in sulfide")])
    assert (two.sites, two.placed) == (3, 6)
    assert model.charge == main_model.charge
    model, (one,) = attach(main_model, [Add.parse("3 ethylphosphonate on S, surface")])
    assert (one.sites, one.placed) == (3, 3)
    assert model.charge == main_model.charge


def test_neutral_donors_are_added(main_model: Model) -> None:
    model, (report,) = attach(
        main_model, [Add.parse("4 trimethylphosphine on Pb, in sulfide, surface, exposed")]
    )
    assert report.placed == 4
    assert len(model) == len(main_model) + 4 * 13
    assert model.charge == main_model.charge
    p = model.positions[model.numbers == 15]
    pb = model.positions[model.numbers == 82]
    # Cordero: 1.46 + 1.07 Å.
    np.testing.assert_allclose(cdist(p, pb).min(axis=1), 1.46 + 1.07, atol=1e-6)


def test_distances_are_those_of_tables() -> None:
    oleate = read_ligand("acetate")
    assert bond_length(oleate, int(oleate.donors[0]), 82) == pytest.approx(2.59)  # Pb-O
    thiolate = read_ligand("ethylthiolate")
    assert bond_length(thiolate, int(thiolate.donors[0]), 48) == pytest.approx(2.79)  # Cd-S


def test_a_ligand_from_a_file(cube: Model, tmp_path: Path) -> None:
    from rdkit import Chem
    from rdkit.Chem import rdDistGeom

    graph = Chem.AddHs(Chem.MolFromSmiles("CCC(=O)[O-]"))
    rdDistGeom.EmbedMolecule(graph, randomSeed=3)
    Chem.MolToMolFile(graph, str(tmp_path / "acid.mol"))
    Chem.MolToXYZFile(graph, str(tmp_path / "acid.xyz"))
    for add in (
        {"ligand": "acid.mol", "on": "Cl, surface", "count": 2},
        {"ligand": "acid.xyz", "on": "Cl, surface", "count": 2, "charge": -1},
        {"ligand": "acid.xyz", "on": "Cl, surface", "count": 2, "charge": -1, "anchors": (4,)},
    ):
        _, (report,) = attach(cube, [Add(**add)], beside=tmp_path)  # type: ignore[arg-type]  # mixed values
        assert report.placed == 2
        assert report.smiles == "CCC(=O)[O-]"


@pytest.mark.parametrize(
    ("add", "error", "words"),
    [
        ("oleat on Cl", InputError, ("cannot parse it as SMILES", "did you mean 'oleate'")),
        ("CCCC on Cl", InputError, ("no group that binds", "carboxylate", "anchors")),
        ("acetate on Cs, surface", InputError, ("Cs of +1 e", "acetate is of -1 e: one")),
        ("methylphosphonate on Cl", InputError, ("Cl of -1 e", "of -2 e")),
        ("TOP on Cl", InputError, ("neutral and binds to cations",)),
        ("CC(=O)[O-].[Na+] on Cl", InputError, ("not one molecule",)),
        ("nowhere.xyz on Cl", InputError, ("There is no file",)),
        ("acetate on Br", ImpossibleError, ("No ion is left", "0 'Br'")),
        ("999 acetate on Cl", ImpossibleError, ("999 acetate", "36 ions")),
        ("acetate", InputError, ("says no ligand and place",)),
        ("0.5 acetate on Cl", InputError, ("50%",)),
        ("acetate on Zz", InputError, ("Zz",)),
    ],
)
def test_errors_say_what_is_wrong(
    cube: Model, add: str, error: type[Exception], words: tuple[str, ...]
) -> None:
    with pytest.raises(error) as caught:
        attach(cube, [Add.parse(add)])
    for word in words:
        assert word in str(caught.value)


def test_no_room_says_how_many_fit_and_skips_if_asked(cube: Model) -> None:
    add = [Add.parse("tributylphosphine-oxide on Pb")]
    with pytest.raises(ImpossibleError, match=r"Room for \d of the 8 sites.*Pb at "):
        attach(cube, add)
    model, (report,) = attach(cube, add, no_room="skip")
    assert report.sites + len(report.no_room) == 8
    assert len(report.no_room) > 0
    assert model.charge == 0


def test_rdkit_missing_names_the_extra(cube: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rdkit", None)
    with pytest.raises(InputError, match=r"hetbuild\[ligands\]"):
        hb.ligands(cube, "acetate on Cl, surface")


def test_the_verb(cube: Model, tmp_path: Path) -> None:
    cube.write(tmp_path / "cube.xyz")
    done = called(
        "ligands", "cube.xyz", "--add", "6 oleylammonium on Cs, surface", "--add",
        "oleate on Cl, surface", "--count", "6", "--chain", "2", cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "6 oleate-C2 by their carboxylate on 6 of" in done.stdout
    model = read_xyz(tmp_path / "cube-ligands" / "cube-ligands.xyz")
    assert model.formula == "Cs14C30H78N6Pb8O12Cl30"
    again = called("inspect", "cube-ligands/cube-ligands.xyz", cwd=tmp_path)
    assert "mass % organic" in again.stdout
    failed = called("ligands", "cube.xyz", "--add", "C(C on Cl", cwd=tmp_path)
    assert failed.returncode == 2
    assert "SMILES" in failed.stderr


def test_a_step_of_a_recipe() -> None:
    recipe = hb.read_recipe(
        {
            "extends": "cspbcl3-cube-2",
            "name": "covered",
            "composition": "Cs14C12H42N6Pb8O12Cl30",
            "steps": [
                {
                    "action": "ligands",
                    "add": [
                        "6 methylammonium on Cs, surface",
                        {"ligand": "formate", "on": "Cl, surface", "count": 6, "mode": "bridging"},
                    ],
                }
            ],
        }
    )
    model = hb.build(recipe)
    assert model.formula == "Cs14C12H42N6Pb8O12Cl30"
    done = model.provenance["steps"][0]["done"]
    assert done[1]["modes"] == {"bridging": 6}
    assert done[2]["coverage"]["organic_mass"] == pytest.approx(
        100 * (6 * 32.066 + 6 * 45.017) / (14 * 132.905 + 8 * 207.2 + 30 * 35.45 + 6 * 77.083),
        abs=0.1,
    )


@pytest.mark.parametrize(
    "add", ['"../acid.mol on Cl"', '{ ligand = "../acid.mol", on = "Cl" }', '"2 /tmp/a.XYZ on Cl"']
)
def test_a_recipe_names_ligands_inside_its_folder_only(add: str, tmp_path: Path) -> None:
    folder = tmp_path / "given"
    folder.mkdir()
    step = f'[[steps]]\naction = "ligands"\nadd = [{add}]\n'
    (folder / "r.toml").write_text(f'extends = "cspbcl3-cube-2"\nname = "r"\n{step}')
    done = called("build", "r.toml", cwd=folder)
    assert done.returncode == 2
    assert "outside the folder of the recipe" in done.stderr


def test_all_roots_and_acids_have_the_length_of_their_names() -> None:
    assert [ROOTS[n].count("C") for n in ("methyl", "decyl", "octadecyl", "oleyl")] == [
        1,
        10,
        18,
        18,
    ]
    assert CARBOXYLATES["palmitate"].count("C") + 1 == 16


GROUPS = (
    "3 oleylammonium on Cs, surface",
    "3 oleate on Cl, surface",
    "2 propylsulfonate on Cl, surface",
    "2 butylthiolate on Cl, surface",
    "2 trimethylphosphine-oxide on Cs, surface",
)


@pytest.mark.parametrize("ending", ["mol2", "pdb"])
def test_rdkit_reads_the_graph_of_every_molecule_from_a_file(ending: str, tmp_path: Path) -> None:
    from rdkit import Chem

    model = hb.ligands(history("cspbcl3-cube-3")["balanced"], GROUPS)
    path = str(model.write(tmp_path / f"covered.{ending}"))
    if ending == "mol2":
        graph = Chem.MolFromMol2File(path, removeHs=False, sanitize=False)
    else:
        graph = Chem.MolFromPDBFile(path, removeHs=False, proximityBonding=False, sanitize=False)
    assert graph.GetNumAtoms() == len(model)
    found: Counter[str] = Counter()
    for part in Chem.GetMolFrags(graph, asMols=True, sanitizeFrags=False):
        if part.GetNumAtoms() > 1:
            Chem.SanitizeMol(part)
            Chem.AssignStereochemistryFrom3D(part)
            found[Chem.MolToSmiles(Chem.RemoveHs(part))] += 1
    expected = {
        k["smiles"]: k["molecules"][1] - k["molecules"][0] + 1 for k in model.provenance["ligands"]
    }
    assert found == expected


def test_a_broken_molecule_has_no_bonds_to_write(covered: Model, tmp_path: Path) -> None:
    broken = covered.where(np.arange(len(covered)) < len(covered) - 1)
    with pytest.raises(InputError, match="Molecule 16 is not whole"):
        broken.write(tmp_path / "broken.mol2")
    assert not (tmp_path / "broken.mol2").exists()


def test_vesta_bonds_every_pair_of_a_ligand(covered: Model) -> None:
    """Each bond of the graphs lies within the limit of its elements, and no contact does."""
    from hetbuild.elements import symbol
    from hetbuild.formats.vesta import bond_limits
    from hetbuild.geometry.bonds import molecule_bonds

    limits = bond_limits(covered)
    graph = {tuple(sorted(pair)) for pair in molecule_bonds(covered)[:, :2].tolist()}
    drawn = set()
    distance = cdist(covered.positions, covered.positions)
    names = np.array([symbol(int(z)) for z in covered.numbers])
    ligand = covered.molecule > 0
    for (a, b), limit in limits.items():
        close = (names == a)[:, None] & (names == b) & (distance < limit) & (distance > 0)
        close &= ligand[:, None] & ligand
        drawn |= {tuple(sorted(pair)) for pair in np.argwhere(close).tolist()}
    assert drawn == graph


def test_what_nearly_fits_is_bent_until_it_does() -> None:
    """MMFF takes a clash out of a molecule beside fixed points, its donors in their place."""
    from hetbuild.capping.cleaning import bent

    ligand = read_ligand("octanoate")
    start = ligand.conformers[0]
    tail = int(np.linalg.norm(start, axis=1).argmax())
    point = start[[tail]] + [[0.0, 0.0, 1.2]]
    limits = np.full((len(ligand), 1), 2.4)
    assert cdist(start, point).min() < 2.4
    moved = bent(ligand, start, point, limits)
    assert moved is not None
    assert cdist(moved, point).min() >= 2.4
    np.testing.assert_allclose(moved[ligand.donors], start[ligand.donors], atol=1e-6)
    a, b = ligand.bonds[:, 0], ligand.bonds[:, 1]
    before, after = (np.linalg.norm(x[a] - x[b], axis=1) for x in (start, moved))
    np.testing.assert_allclose(after, before, atol=0.06)
