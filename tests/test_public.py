"""The public face: names, docstrings, examples, cost of the import, frozen results."""

from __future__ import annotations

import ast
import copy
import doctest
import json
import pickle
import pkgutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import FrozenInstanceError, fields, is_dataclass, replace
from pathlib import Path
from types import MappingProxyType

import ase
import click
import numpy as np
import pytest
from ase.build import molecule
from conftest import history, load
from pymatgen.core import Composition, Lattice, Molecule, Structure
from pymatgen.symmetry.analyzer import SpacegroupAnalyzer

import hetbuild as hb
from hetbuild.cli import VERBS, cli
from hetbuild.frozen import FrozenDict, frozen, own
from hetbuild.matching.matches import SHOWN
from hetbuild.model import PER_ATOM

PUBLIC = [name for name in hb.__all__ if name != "__version__"]
ERRORS = {name for name in PUBLIC if name.endswith(("Error", "Warning"))}
HEAVY = ("numpy", "scipy", "ase", "pymatgen", "gemmi", "spglib", "pydantic", "matplotlib", "click")


def python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_the_import_is_light() -> None:
    code = (
        "import sys, time; t = time.process_time(); import hetbuild as hb; dir(hb);"
        "print(time.process_time() - t, *sys.modules)"
    )
    seconds, *modules = python(code).split()
    assert float(seconds) < 0.1
    assert not set(HEAVY) & {m.partition(".")[0] for m in modules}


def test_the_help_reads_no_science() -> None:
    code = (
        "import sys; from hetbuild.cli import cli; cli.main(['--help'], standalone_mode=False);"
        "print(*sys.modules)"
    )
    modules = python(code).splitlines()[-1].split()
    assert not (set(HEAVY) - {"click"}) & {m.partition(".")[0] for m in modules}
    assert not {f"hetbuild.cli.{verb}" for verb in VERBS} & set(modules)


def test_every_verb_is_found_and_told_in_a_line_that_fits() -> None:
    context = click.Context(cli)
    found = {verb: cli.get_command(context, verb) for verb in VERBS}
    assert {verb: command.name for verb, command in found.items() if command} == {
        v: v for v in VERBS
    }
    assert max(map(len, cli.get_help(context).splitlines())) <= 80


def test_names_are_listed_once_and_alike_for_type_checkers() -> None:
    tree = ast.parse(Path(hb.__file__).read_text())
    typed = {
        (node.names[0].asname, (node.module or "").removeprefix("hetbuild."))
        for branch in tree.body
        if isinstance(branch, ast.If)
        for node in branch.body
        if isinstance(node, ast.ImportFrom) and node.module != "typing"
    }
    assert typed == set(hb._MODULES.items())
    assert dir(hb) == sorted(hb.__all__)
    assert len(set(hb.__all__)) == len(hb.__all__)
    with pytest.raises(AttributeError, match="did you mean 'carve'"):
        hb.crave  # type: ignore[attr-defined]  # noqa: B018 (looked up to see it fail)


def test_no_public_name_is_a_module() -> None:
    """Else importing below that module would put it in the place of the function."""
    modules = {m.name for m in pkgutil.iter_modules(hb.__path__)}
    assert not modules & set(PUBLIC)


@pytest.mark.parametrize("name", PUBLIC)
def test_example(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    thing = getattr(hb, name)
    assert thing.__doc__
    assert thing.__doc__[0].isupper()
    tests = doctest.DocTestFinder(recurse=True).find(thing, name, module=False)
    examples = [t for t in tests if t.examples]
    assert examples or name in ERRORS, f"{name} shows no example"
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    report: list[str] = []
    for test in examples:
        runner.run(test, out=report.append)
    assert not runner.failures, "".join(report)


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: hb.build(3), "build: recipe must be a text or a Path or a mapping"),
        (lambda: hb.build("cspbcl3-cub-2"), "did you mean 'cspbcl3-cube-2'"),
        (lambda: hb.build({"name": "x"}), "recipe is not a valid recipe"),
        (
            lambda: hb.build("cspbcl3-pbs", {"join.gap": 3, "vacuum": 9}),
            "cspbcl3-pbs with 'join.gap, vacuum' set is not a valid recipe",
        ),
        (lambda: hb.build(hb.read_recipe("cspbcl3-cube-2"), {"name": "x"}), "as it is read"),
        (lambda: hb.read_recipe("cspbcl3-cube-2", 5), "settings must be a mapping of texts or a"),
        (lambda: hb.read_recipe("cspbcl3-cube-2", [5]), "a list of texts; given [5]"),
        (
            lambda: hb.exchange(hb.carve("PbS", radius=5.0), ["S"]),
            "exchange: ions must be a mapping of texts to texts; given ['S'] (list)",
        ),
        (lambda: hb.read_model(3), "read_model: path must be a text or a Path"),
        (lambda: hb.carve(3, []), "carve: crystal must be a Crystal or a text or a Path"),
        (lambda: hb.carve("PbS", [(1, 1, 1)]), "carve: facets[0] must be a Facet; given"),
        (lambda: hb.carve("PbSS", []), "No shipped crystal is called 'PbSS'"),
        (lambda: hb.cut("cube", (1, 0, 0), keep="above", at=0), "cut: model must be a Model"),
        (lambda: hb.align("a", "b", None), "align: first must be a Model"),
        (lambda: hb.join("a", "b", None, None, floors=None), "join: first must be a Model"),
        (lambda: hb.balance("a", []), "balance: model must be a Model"),
        (lambda: hb.exchange("a", {"Cl": "Br"}), "exchange: model must be a Model"),
        (lambda: hb.exchange(cube()), "Say what to exchange"),
        (lambda: hb.etch("a", "b"), "etch: model must be a Model"),
        (lambda: hb.inspect("a"), "inspect: model must be a Model"),
        (lambda: hb.compare(3, 4), "What is compared must be of type"),
        (lambda: hb.xrd("a"), "xrd: model must be a Model"),
        (lambda: hb.pdf("a"), "pdf: model must be a Model"),
        (lambda: hb.match(3, "PbS"), "match: first must be a Crystal"),
        (lambda: hb.Crystal.from_cif(3), "from_cif: path must be a text or a Path; given 3 (int)"),
        (lambda: hb.Crystal.from_ase("PbS"), "The crystal must be of type Atoms"),
        (lambda: hb.Crystal.from_ase(molecule("H2O")), "needs atoms in a cell"),
        (lambda: hb.Crystal.from_pymatgen("PbS"), "The crystal must be of type Structure"),
        (lambda: hb.Crystal.named("PbSS"), "did you mean 'PbS'"),
        (lambda: hb.Model.from_ase("a"), "What a model is made from must be of type Atoms"),
        (lambda: hb.Model.from_ase(ase.Atoms("H")), "No hetbuild record"),
        (lambda: hb.Model.from_pymatgen(3), "must be of type Molecule or Structure"),
        (lambda: cube().to_ase(vacuum=-1), "cannot be negative"),
        (lambda: cube().write("cube.docx"), "no format is known by this ending; known are"),
        (lambda: replace(cube(), numbers=[1, 2]), "Model: numbers must be of type ndarray"),
        (lambda: replace(cube(), charges=cube().charges[1:]), "charges has shape (63,)"),
    ],
)  # fmt: skip
def test_wrong_types_and_values_are_named(call: Callable[[], object], text: str) -> None:
    with pytest.raises(hb.InputError) as error:
        call()
    assert text in str(error.value)


def cube() -> hb.Model:
    return history("cspbcl3-cube-2")["balanced"]


def test_models_and_crystals_are_short_in_words(main_model: hb.Model) -> None:
    assert repr(cube()) == "<Model Cs20Pb8Cl36: 64 atoms, formal charge 0 e, perovskite of CsPbCl3>"
    assert len(repr(main_model)) < 120
    assert repr(load("PbS")) == "<Crystal PbS: Pb4S4, Fm-3m, 5.936 x 5.936 x 5.936 Å>"
    assert repr(cube().domains[0]) == "<Domain perovskite of CsPbCl3>"


def test_a_notebook_shows_formula_charge_domains_and_a_picture(main_model: hb.Model) -> None:
    html = main_model._repr_html_()
    for text in (main_model.formula, "0 e, neutral", *main_model.formulas.values(), "<svg", "PbS"):
        assert text in html
    circles = html.count("<circle")
    assert 100 < circles <= len(main_model)
    assert len(html) < 80_000
    assert hb.Model.__len__(main_model.where(np.zeros(len(main_model), dtype=bool))) == 0
    assert "<svg" not in main_model.where(np.zeros(len(main_model), dtype=bool))._repr_html_()


@pytest.mark.parametrize("vacuum", [0.0, 10.0, 7.3])
def test_ase_atoms_have_a_cell_and_give_the_model_back(main_model: hb.Model, vacuum: float) -> None:
    atoms = main_model.to_ase(vacuum)
    inside = atoms.positions
    lengths = atoms.cell.lengths()
    assert (lengths > 0).all()
    np.testing.assert_allclose(inside.min(axis=0), vacuum, atol=1e-9)
    np.testing.assert_allclose(lengths - inside.max(axis=0), vacuum, atol=1e-9)
    assert not atoms.pbc.any()
    same(hb.Model.from_ase(atoms), main_model)


@pytest.mark.parametrize("recipe", ["cspbcl3-cube-2", "interface-cspbcl3-cspb2cl5"])
def test_pymatgen_gives_the_model_back(recipe: str) -> None:
    model = list(history(recipe).values())[-1]
    made = model.to_pymatgen()
    assert isinstance(made, Structure if model.cell is not None else Molecule)
    assert made.composition == Composition(model.formula)
    same(hb.Model.from_pymatgen(made), model)
    again = type(made).from_dict(json.loads(json.dumps(made.as_dict())))
    same(hb.Model.from_pymatgen(again), model)


def same(a: hb.Model, b: hb.Model) -> None:
    for name in PER_ATOM:
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
    assert (a.cell is None) == (b.cell is None)
    assert a.cell is None or (a.cell == b.cell).all()
    assert (a.periodic, a.ledger, a.provenance) == (b.periodic, b.ledger, b.provenance)
    for x, y in zip(a.domains, b.domains, strict=True):
        assert (x.name, x.crystal.name, x.datum) == (y.name, y.crystal.name, y.datum)
        # Records keep frames to 1e-10.
        np.testing.assert_allclose(x.vectors, y.vectors, rtol=0, atol=1e-10)
        np.testing.assert_allclose(x.origin, y.origin, rtol=0, atol=1e-10)


@pytest.mark.parametrize("name", ["PbS", "CsPbCl3", "Pb4S3Cl2", "CsPbBr3-orthorhombic", "ZnO"])
def test_crystals_from_ase_and_pymatgen_are_those_of_the_cif(name: str) -> None:
    crystal = load(name)
    for other in (
        hb.Crystal.from_ase(crystal.to_ase()),
        hb.Crystal.from_pymatgen(crystal.to_pymatgen()),
        hb.Crystal.from_pymatgen(
            SpacegroupAnalyzer(crystal.to_pymatgen()).get_primitive_standard_structure(),
            charges=dict(zip(crystal.to_ase().symbols, crystal.charges.tolist(), strict=True)),
        ),
    ):
        assert other.space_group == crystal.space_group
        np.testing.assert_array_equal(other.numbers, crystal.numbers)
        np.testing.assert_array_equal(other.charges, crystal.charges)
        np.testing.assert_allclose(other.vectors, crystal.vectors, atol=1e-4)
        apart = other.fractional - crystal.fractional
        np.testing.assert_allclose(apart - np.rint(apart), 0, atol=1e-3)


@pytest.mark.parametrize("name", ["PbS", "CsPbCl3", "Pb4S3Cl2", "ZnO", "CsPb2Cl5"])
def test_point_groups_are_those_of_pymatgen(name: str) -> None:
    crystal = load(name)
    found = SpacegroupAnalyzer(crystal.to_pymatgen(), symprec=5e-3)
    assert found.get_space_group_number() == crystal.space_group_number
    group = found.get_point_group_operations()
    assert len({op.rotation_matrix.round(3).tobytes() for op in group}) == len(crystal.rotations)


def test_a_charge_that_only_neutrality_leaves_is_taken_and_told() -> None:
    """In La2S3 neutrality leaves La +3, which pymatgen knows, and nothing else."""
    cell = Lattice.orthorhombic(8.0, 9.0, 4.0)
    places = [(0.1, 0.2, 0), (0.6, 0.4, 0.5), (0.3, 0.7, 0), (0.8, 0.9, 0.5), (0.9, 0.6, 0)]
    crystal = hb.Crystal.from_pymatgen(Structure(cell, ["La", "La", "S", "S", "S"], places))
    assert crystal.guessed == ("La",)
    assert set(crystal.charges[crystal.numbers == 57].tolist()) == {3}


def test_charges_that_are_no_whole_number_are_not_guessed() -> None:
    cell = Lattice.orthorhombic(8.0, 9.0, 7.0)
    rng = np.random.default_rng(1)
    mixed = Structure(cell, ["Fe"] * 3 + ["S"] * 4, rng.random((7, 3)))
    with pytest.raises(hb.InputError, match="no formal charge known for Fe; state it"):
        hb.Crystal.from_pymatgen(mixed)


def test_models_are_frozen_to_the_bottom(main_model: hb.Model) -> None:
    arrays = [getattr(main_model, name) for name in PER_ATOM]
    for d in main_model.domains:
        c = d.crystal
        arrays += [d.vectors, d.origin, c.vectors, c.numbers, c.fractional, c.charges, c.rotations]
        arrays += [c.bonds.site, c.bonds.partner, c.bonds.vector, c.bonds.length]
    for array in arrays:
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0
    with pytest.raises(FrozenInstanceError):
        main_model.numbers = main_model.numbers  # type: ignore[misc]  # to see it fail
    with pytest.raises(TypeError, match="cannot be changed"):
        main_model.provenance["recipe"] = {}  # type: ignore[index]  # to see it fail
    with pytest.raises(TypeError, match="cannot be changed"):
        main_model.provenance["recipe"]["domains"].clear()


def test_freezing_leaves_the_arrays_of_the_caller_alone() -> None:
    model = cube()
    mine = {name: getattr(model, name).copy() for name in PER_ATOM}
    tree = {"recipe": {"list": [1, {"a": 2}]}}
    made = replace(model, **mine, provenance=tree)
    for name, array in mine.items():
        assert array.flags.writeable
        array[...] = 1
        assert (getattr(made, name) == getattr(model, name)).all()
    tree["recipe"]["list"] = []
    assert made.provenance["recipe"]["list"] == (1, {"a": 2})
    view = np.arange(3.0)[:]
    assert not frozen(view).flags.writeable
    assert view.flags.writeable
    assert not own(view).flags.writeable
    assert frozen(view) is view


def test_frozen_models_can_be_copied_and_pickled() -> None:
    model = cube()
    same(pickle.loads(pickle.dumps(model)), model)
    same(copy.deepcopy(model), model)
    assert json.loads(json.dumps(model.provenance))["recipe"]["name"] == "cspbcl3-cube-2"
    assert isinstance(copy.deepcopy(model).provenance, FrozenDict)


def arrays_of(thing: object, seen: set[int]) -> Iterator[np.ndarray]:  # type: ignore[type-arg]
    """Every array in a result, however deep."""
    if id(thing) in seen:
        return
    seen.add(id(thing))
    if isinstance(thing, np.ndarray):
        yield thing
    elif is_dataclass(thing) and not isinstance(thing, type):
        held = [getattr(thing, f.name) for f in fields(thing)]
        for value in (*held, *getattr(thing, "__dict__", {}).values()):
            yield from arrays_of(value, seen)
    elif isinstance(thing, Mapping | list | tuple):
        for value in thing.values() if isinstance(thing, Mapping) else thing:
            yield from arrays_of(value, seen)


def results() -> dict[str, object]:
    model = history("cspbcl3-pbs-small")["balanced"]
    image = hb.image(cube(), sampling=0.3)
    assert model.domains[0].crystal.bonds  # kept with the crystal
    return {
        "model": model, "crystal": load("PbS"), "report": hb.inspect(model),
        "comparison": hb.compare(cube(), cube()), "matches": hb.match("PbS", "PbSe", max_index=1),
        "recipe": hb.read_recipe("cspbcl3-pbs"), "image": image, "spectrum": hb.spectrum(image),
        "xrd": hb.xrd(cube(), step=0.2), "pdf": hb.pdf(cube(), r_max=8.0),
        "change": hb.before_after(cube(), cube()), "interface": model.interface,
    }  # fmt: skip


def test_results_are_short_in_words_and_stay_read_only_in_copies() -> None:
    for name, result in results().items():
        assert len(repr(result)) < 250 * (1 + len(result) if name == "matches" else 1), name
        for same_again in (
            pickle.loads(pickle.dumps(result)),
            copy.deepcopy(result),
            copy.copy(result),
        ):
            assert type(same_again) is type(result)
            assert repr(same_again) == repr(result)
            before, after = list(arrays_of(result, set())), list(arrays_of(same_again, set()))
            assert len(before) == len(after)
            for a, b in zip(before, after, strict=True):
                assert not a.flags.writeable
                assert not b.flags.writeable, name
                np.testing.assert_array_equal(a, b)


def test_a_notebook_shows_results_as_tables() -> None:
    shown = results()
    for name, texts in {
        "crystal": ("PbS, Pb4S4", "Fm-3m (225)", "5.9362, 5.9362, 5.9362 Å", "Pb +2, S -2 e"),
        "report": ("Report of Cs17Pb46S28Cl53", "0 e, neutral", "Pb of interface", "sulfide"),
        "comparison": ("<th>rms</th><td>0.0000 Å</td>", "<th>Pb</th>"),
        "matches": ("<th>PbSe</th>", "(1 1 1)", "<td>+3.17 +3.17</td>", "<td>174</td>"),
        "recipe": ("cspbcl3-pbs: CsPbCl3 cube on a PbS", "<th>sulfide</th><td>PbS</td>", "Livakas"),
    }.items():
        html = shown[name]._repr_html_()  # type: ignore[attr-defined]  # each of these has it
        assert html.startswith("<div>"), name
        for text in texts:
            assert text in html, (name, text)
        assert len(html) < 8000


def test_matches_are_a_tuple_that_says_how_many_it_leaves_out() -> None:
    found = hb.match("CsPbCl3", "PbS", max_index=1, max_strain=0.06)
    assert isinstance(found, tuple)
    assert len(found) > SHOWN
    lines = repr(found).splitlines()
    assert lines[0] == f"<{len(found)} matches of CsPbCl3 and PbS"
    assert len(lines) == SHOWN + 2
    assert lines[-1].strip() == f"and {len(found) - SHOWN} more>"
    assert found._repr_html_().count("<tr>") == SHOWN + 1
    assert repr(found[:0]) == "()"


def test_a_recipe_knows_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own.cif").write_bytes(hb.structures()["CsPbCl3"].read_bytes())
    recipe = tmp_path / "mine.toml"
    recipe.write_text('extends = "cspbcl3-cube-2"\nname = "mine"\n[domains.perovskite]\n'
                      'crystal = "own.cif"\n')  # fmt: skip
    assert hb.build(recipe).formula == "Cs20Pb8Cl36"
    assert hb.build(str(recipe)).domains[0].crystal.name == "own"
    assert hb.read_recipe(recipe).folder == tmp_path
    monkeypatch.chdir(tmp_path)
    tree = hb.read_recipe("cspbcl3-cube-2").model_dump(mode="json")
    tree["domains"]["perovskite"]["crystal"] = "own.cif"
    assert hb.build(MappingProxyType(tree)).domains[0].crystal.name == "own"


@pytest.mark.parametrize("ending", [".xyz", ".extxyz", ".vesta", ".cif", ".poscar", ".gro", ".xsf"])
def test_models_are_written_by_the_ending_of_the_file(ending: str, tmp_path: Path) -> None:
    path = cube().write(tmp_path / f"cube{ending}")
    assert path.stat().st_size > 1000
    with pytest.raises(hb.InputError, match="In the way"):
        cube().write(path)
    assert cube().write(path, force=True) == path


def test_a_read_model_is_the_written_one(tmp_path: Path) -> None:
    same(hb.read_model(cube().write(tmp_path / "a.xyz")), cube())
    large = history("cspbcl3-cube-5")["balanced"]
    bare = hb.read_model(large.write(tmp_path / "a.cif"), "CsPbCl3")
    assert bare.formula == large.formula
    assert bare.domains[0].crystal.name == "CsPbCl3"


def test_poscar_by_its_usual_name(tmp_path: Path) -> None:
    from ase.io import read

    atoms = read(cube().write(tmp_path / "POSCAR"))
    assert not isinstance(atoms, list)
    assert len(atoms) == 64


def test_the_face_compares_models_atoms_and_files(tmp_path: Path) -> None:
    atoms = cube().to_ase()
    atoms.rattle(0.01, seed=1)
    found = hb.compare(cube(), atoms)
    assert 0.005 < found.rmsd < 0.03
    assert list(found.by_part) == ["perovskite"]
    assert hb.compare(cube().write(tmp_path / "a.xyz"), atoms).rmsd == pytest.approx(found.rmsd)
