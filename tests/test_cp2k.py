"""Decks of CP2K, and CP2K itself on them where it is installed."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import history

from hetbuild.elements import USUAL_CHARGES, number
from hetbuild.errors import ImpossibleError, InputError
from hetbuild.exchanging.molecules import replace_molecules
from hetbuild.formats.catalogue import core, cp2k_files
from hetbuild.formats.cp2k import deck
from hetbuild.formats.cp2k_cell import cell
from hetbuild.formats.cp2k_electrons import VALENCE, electrons
from hetbuild.formats.cp2k_options import Cp2kOptions
from hetbuild.formats.cp2k_states import ranges
from hetbuild.formats.files import write_all
from hetbuild.model import Model, Role

CP2K = shutil.which("cp2k.psmp")
needs_cp2k = [pytest.mark.cp2k, pytest.mark.skipif(CP2K is None, reason="cp2k is not installed")]
RAN = "PROGRAM STOPPED IN"
POPULATIONS = """\
    &PRINT
      &MULLIKEN
        FILENAME __STD_OUT__
      &END MULLIKEN
    &END PRINT
  &END DFT
"""


def model_of(recipe: str) -> Model:
    return list(history(recipe).values())[-1]


def go(folder: Path, model: Model, options: Cp2kOptions, *words: str, core: float | None = None
       ) -> str:  # fmt: skip
    """Write a deck, run its script, return what CP2K printed."""
    write_all(cp2k_files(model, folder, "deck", replace(options, fixed_core=core)), force=True)
    return again(folder, *words)


def again(folder: Path, *words: str) -> str:
    environment = os.environ | {"OMP_NUM_THREADS": "2"}
    subprocess.run(
        [str(folder / "run.sh"), *words], cwd=folder, env=environment, check=True, timeout=280
    )
    return (folder / "deck.out").read_text(errors="replace")


def energy(output: str) -> float:
    return float(re.findall(r"ENERGY\| Total FORCE_EVAL.*?(-?\d+\.\d+)", output)[-1])


def test_deck_is_the_published_level(main_model: Model) -> None:
    text = deck(main_model, "m")["m.inp"]
    for line in (
        "RUN_TYPE ENERGY", "&XC_FUNCTIONAL PBE", "BASIS_SET DZVP-MOLOPT-SR-GTH-q4",
        "POTENTIAL GTH-PBE-q4", "MINIMIZER DIIS", "PRECONDITIONER FULL_SINGLE_INVERSE",
        "CHARGE 0", "MULTIPLICITY 1", "EPS_DEFAULT 1.0E-12", "COORD_FILE_FORMAT XYZ",
        "&CENTER_COORDINATES", "POISSON_SOLVER WAVELET",
    ):  # fmt: skip
        assert line in text
    assert text.count("&END") == len(re.findall(r"^ *&(?!END)", text, re.M))
    a, b, c = (
        float(re.findall(rf"^ *{axis} (.*)", text, re.M)[0].split()[i])
        for i, axis in enumerate("ABC")
    )
    assert a == b == c
    assert a >= np.ptp(main_model.positions, axis=0).max() + 10


def test_coordinates_stand_right_after_the_element(main_model: Model) -> None:
    lines = deck(main_model, "m")["m-cp2k.xyz"].splitlines()
    assert int(lines[0]) == len(main_model) == len(lines) - 2
    rows = [line.split() for line in lines[2:]]
    assert all(len(row) == 4 for row in rows)
    assert np.array_equal(np.array([r[1:] for r in rows], float), main_model.positions)


def test_every_usual_element_has_a_basis_set() -> None:
    assert set(VALENCE) == set(USUAL_CHARGES) | {"H", "C", "N"}


def test_electrons_and_multiplicity(main_model: Model) -> None:
    q = {"Cs": 9, "Pb": 4, "S": 6, "Cl": 7}
    n = {"Cs": 126, "Pb": 337, "S": 221, "Cl": 358}
    assert electrons(main_model) == sum(q[e] * n[e] for e in q)
    one = replace(main_model.where(np.arange(len(main_model)) > 0))
    assert one.charge != 0
    with pytest.raises(ImpossibleError, match=r"formal charge -\d e, and a deck is for a neutral"):
        deck(one, "m")
    text = deck(one, "m", Cp2kOptions(allow_charge=True))["m.inp"]
    assert f"CHARGE {one.charge}" in text
    assert "MULTIPLICITY 1" in text  # formal charges close every shell
    odd = replace(one, charges=np.where(np.arange(len(one)) == 0, one.charges + 1, one.charges))
    assert "UKS T" in deck(odd, "m", Cp2kOptions(allow_charge=True))["m.inp"]


def test_boxes(main_model: Model) -> None:
    extent = np.ptp(main_model.positions, axis=0)
    assert (cell(main_model, Cp2kOptions(poisson="mt")).diagonal() >= 2 * extent).all()
    with pytest.raises(InputError, match="needs a cube"):
        deck(main_model, "m", Cp2kOptions(box=(60, 60, 61)))
    with pytest.raises(
        InputError, match=r"too small for a particle of .* at least (5\d\.\d) x"
    ) as e:
        deck(main_model, "m", Cp2kOptions(box=(50, 50, 50)))
    least = float(str(e.value).split("at least ")[1].split(" x")[0])
    assert cell(main_model, Cp2kOptions(box=(least, least, least)))[0, 0] == least
    with pytest.raises(InputError, match="with the mt Poisson solver"):
        deck(main_model, "m", Cp2kOptions(box=(70, 70, 70), poisson="mt"))
    with pytest.raises(InputError, match="must be positive"):
        deck(main_model, "m", Cp2kOptions(cutoff=0))


def test_element_without_a_basis_set_is_named(main_model: Model) -> None:
    numbers = main_model.numbers.copy()
    numbers[0] = number("Fe")
    with pytest.raises(InputError, match="No basis set for Fe among those"):
        deck(replace(main_model, numbers=numbers), "m")


def test_fixed_core_and_densities_of_states(main_model: Model) -> None:
    inside = core(main_model, 8.0)
    text = deck(main_model, "m", Cp2kOptions(run="geo_opt", pdos="domains"), inside)["m.inp"]
    listed = re.findall(r"&FIXED_ATOMS\s+LIST (.*)", text)[0]
    assert unrolled(listed) == (inside + 1).tolist()
    lists = [unrolled(x) for x in re.findall(r"&LDOS\s+# .*\s+LIST (.*)", text)]
    assert lists[0] == (np.flatnonzero(main_model.domain == 0) + 1).tolist()
    assert lists[2] == (np.flatnonzero(main_model.role == Role.SHARED) + 1).tolist()
    assert "OPTIMIZER LBFGS" in text
    assert ranges(np.array([1, 2, 3, 7, 9, 10])) == "1..3 7 9..10"


def test_periodic_model_keeps_its_cell() -> None:
    model = model_of("interface-cspbcl3-cs2pbcl4")
    text = deck(model, "m")["m.inp"]
    for line in ("PERIODIC XYZ", "POISSON_SOLVER PERIODIC", "A 5.60500000 0.00000000 0.00000000"):
        assert line in text
    assert "CENTER_COORDINATES" not in text
    with pytest.raises(InputError, match="has a cell of its own"):
        deck(model, "m", Cp2kOptions(box=(60, 60, 60)))


def unrolled(text: str) -> list[int]:
    parts = [[int(x) for x in p.split("..")] for p in text.split()]
    return [i for p in parts for i in range(p[0], p[-1] + 1)]


def test_recipe_with_a_deck(tmp_path: Path) -> None:
    from hetbuild.analyse.report import inspect
    from hetbuild.recipe.output import model_files, paths
    from hetbuild.recipe.read import parse_recipe

    model = model_of("cspbcl3-cube-1")
    recipe = parse_recipe(
        model.provenance["recipe"] | {"output": {"cp2k": {"run": "geo_opt", "cutoff": 300}}}
    )
    files = model_files(tmp_path, recipe.name, model, inspect(model), spec=recipe.output)
    assert set(files) == set(paths(tmp_path, recipe.name, recipe.output))
    write_all(files, force=False)
    assert "RUN_TYPE GEO_OPT" in (tmp_path / f"{recipe.name}.inp").read_text()
    assert os.access(tmp_path / "run.sh", os.X_OK)


class TestWithCp2k:
    """CP2K 2023.1 reads and runs the decks."""

    pytestmark = needs_cp2k

    def test_smallest_cube_converges_with_both_solvers(self, tmp_path: Path) -> None:
        """-174.3877 Ha at 120 Ry; at 60 Ry the grid leaves some mHa."""
        model = model_of("cspbcl3-cube-1")
        for name, options in (
            ("wavelet", Cp2kOptions(cutoff=60, box=(16, 16, 16))),
            ("mt", Cp2kOptions(cutoff=60, poisson="mt")),
        ):
            output = go(tmp_path / name, model, options)
            assert "SCF run converged" in output
            assert "Density non-zero" not in output
            assert energy(output) == pytest.approx(-174.3877, abs=0.01)

    def test_every_basis_set_and_potential_exists(self, tmp_path: Path) -> None:
        """One atom of each element, far apart."""
        model = model_of("cspbcl3-cube-1")
        elements = sorted(VALENCE, key=number)
        n = len(elements)
        grid = 4.0 * np.array(list(np.ndindex(4, 4, 3)))[:n]
        atoms = Model(
            domains=model.domains,
            numbers=np.array([number(e) for e in elements], dtype=np.int16),
            positions=grid,
            charges=np.zeros(n, dtype=np.int8),
            domain=np.zeros(n, dtype=np.int8),
            role=np.zeros(n, dtype=np.int8),
        )
        assert RAN in go(tmp_path, atoms, Cp2kOptions(run="none", cutoff=30))

    @pytest.mark.parametrize("recipe", ["cspbcl3-pbs", "cspbbr3-pbs", "cspbi3-pbs", "cspbcl3-cu2s"])
    def test_reads_the_model_and_its_daughters(self, recipe: str, tmp_path: Path) -> None:
        output = go(tmp_path, model_of(recipe), Cp2kOptions(run="none", cutoff=30))
        assert RAN in output

    def test_reads_a_periodic_interface(self, tmp_path: Path) -> None:
        model = model_of("interface-cspbcl3-cs2pbcl4")
        assert RAN in go(tmp_path, model, Cp2kOptions(run="none", cutoff=60))

    def test_reads_molecular_cations(self, main_model: Model, tmp_path: Path) -> None:
        model, _ = replace_molecules(main_model, "perovskite", "Cs", "MA")
        assert RAN in go(tmp_path, model, Cp2kOptions(run="none", cutoff=30))

    def test_tight_binding_energy(self, tmp_path: Path) -> None:
        output = go(tmp_path, model_of("cspbcl3-cube-1"), Cp2kOptions(method="xtb"))
        assert "SCF run converged" in output
        assert -40 < energy(output) < -20

    def test_optimisation_resumes_and_keeps_the_core(self, tmp_path: Path) -> None:
        model = model_of("cspbcl3-cube-1")
        options = Cp2kOptions(run="geo_opt", method="xtb")
        write_all(
            cp2k_files(model, tmp_path, "deck", replace(options, fixed_core=1.0)), force=False
        )
        start = (tmp_path / "deck.inp").read_text()
        (tmp_path / "deck.inp").write_text(start.replace("MAX_ITER 500", "MAX_ITER 2"))
        first = again(tmp_path)
        assert "RESTART" in (tmp_path / "deck-1.restart").read_text()
        resumed = (tmp_path / "deck-1.restart").read_text()
        (tmp_path / "deck-1.restart").write_text(re.sub(r"MAX_ITER\s+2", "MAX_ITER  4", resumed))
        second = again(tmp_path)
        assert energy(second) < energy(first)
        assert re.search(r"STEP:\s+4", second)
        frames = (tmp_path / "deck-pos-1.xyz").read_text().splitlines()
        size = len(model) + 2
        first_frame, last = (
            np.array([x.split()[1:] for x in f[2:]], float) for f in (frames[:size], frames[-size:])
        )
        held = core(model, 1.0)
        moved = np.linalg.norm(last - first_frame, axis=1)
        assert moved[held].max() < 1e-6
        assert moved.max() > 1e-3

    def test_densities_of_states_by_domain(self, tmp_path: Path) -> None:
        model = model_of("cspbcl3-cube-1")
        output = go(tmp_path, model, Cp2kOptions(cutoff=40, box=(16, 16, 16), pdos="domains"))
        assert "SCF run converged" in output
        written = (tmp_path / "deck-list1-1.pdos").read_text().splitlines()
        occupied = [line for line in written if line.split()[2:3] == ["2.000000"]]
        assert len(occupied) == electrons(model) // 2


def manganese(recipe: str, ions: float) -> Model:
    """A cube in which so many Pb are Mn."""
    model = model_of(recipe)
    lead = np.flatnonzero(model.numbers == number("Pb"))
    numbers = model.numbers.copy()
    numbers[lead[: int(ions)]] = number("Mn")
    return replace(model, numbers=numbers)


def chloride() -> Model:
    """MnCl2, linear: an Mn of a cube with the two Cl on opposite sides."""
    model = manganese("cspbcl3-cube-1", 1)
    metal = model.positions[model.numbers == number("Mn")][0]
    around = np.abs(model.positions - metal).max(axis=1)
    along_x = np.abs(model.positions - metal)[:, 1:].max(axis=1) < 0.1
    return model.where(along_x & (around < 3.5))


@pytest.mark.parametrize(
    ("recipe", "ions", "spin"),
    [("cspbcl3-cube-1", 1, 6), ("cspbcl3-cube-2", 2, 11), ("cspbcl3-cube-4", 55, 276)],
)
def test_manganese_is_high_spin(recipe: str, ions: int, spin: int) -> None:
    text = deck(manganese(recipe, ions), "m")["m.inp"]
    assert f"MULTIPLICITY {spin}\n" in text
    assert "UKS T\n" in text
    assert f"# Open shells: {ions} Mn2+ d5 (5 unpaired); high spin, all parallel" in text
    guess = text[text.index("&BS") : text.index("&END BS")]
    assert "NEL +5 -2" in guess
    assert "NEL -5 -2" in guess


def test_closed_shells_stay_restricted(main_model: Model) -> None:
    text = deck(main_model, "m")["m.inp"]
    assert "UKS" not in text
    assert "Open shells" not in text


def test_another_multiplicity() -> None:
    model = manganese("cspbcl3-cube-2", 2)
    text = deck(model, "m", Cp2kOptions(multiplicity=1))["m.inp"]
    assert "MULTIPLICITY 1\n" in text
    assert "UKS T" in text
    assert "&END BS" not in text
    assert "multiplicity 1 as asked" in text
    with pytest.raises(InputError, match=r"A multiplicity of 2 with .* it must be odd"):
        deck(model, "m", Cp2kOptions(multiplicity=2))


def test_an_odd_electron_is_said() -> None:
    """It was called asked for, or not spoken of at all."""
    odd = [model_of("cspbcl3-cube-2"), manganese("cspbcl3-cube-2", 2)]
    last = [np.arange(len(m)) == np.flatnonzero(m.numbers == number("Pb"))[-1] for m in odd]
    odd = [replace(m, charges=m.charges + one) for m, one in zip(odd, last, strict=True)]
    plain, doped = (deck(m, "m", Cp2kOptions(allow_charge=True))["m.inp"] for m in odd)
    assert "MULTIPLICITY 2\n" in plain
    assert "multiplicity 2 of an odd number of electrons" in plain
    assert "MULTIPLICITY 12\n" in doped
    assert "high spin, all parallel, and the odd electron: multiplicity 12" in doped
    assert "as asked" not in doped
    even = deck(model_of("cspbcl3-cube-2"), "m", Cp2kOptions(multiplicity=3))["m.inp"]
    assert "No open shells by the formal charges; multiplicity 3 as asked" in even


@pytest.mark.cp2k
@pytest.mark.skipif(CP2K is None, reason="cp2k is not installed")
@pytest.mark.parametrize(("recipe", "ions"), [("cspbcl3-cube-2", 2), ("cspbcl3-cube-4", 55)])
def test_cp2k_takes_many_manganese(tmp_path: Path, recipe: str, ions: int) -> None:
    said = go(tmp_path, manganese(recipe, ions), Cp2kOptions(run="none", cutoff=60))
    assert RAN in said


@pytest.mark.cp2k
@pytest.mark.skipif(CP2K is None, reason="cp2k is not installed")
def test_cp2k_finds_the_sextet_of_mncl2(tmp_path: Path) -> None:
    """A real energy; five of the unpaired electrons' spins are on Mn, none to speak of on Cl."""
    options = Cp2kOptions(cutoff=150, box=(16.0, 16.0, 16.0))
    write_all(cp2k_files(chloride(), tmp_path, "deck", options), force=True)
    path = tmp_path / "deck.inp"
    path.write_text(path.read_text().replace("  &END DFT\n", POPULATIONS))
    said = again(tmp_path)
    assert RAN in said
    ideal, found = map(float, re.findall(r"S\*\*2 .*:\s+(\S+)\s+(\S+)", said)[-1])
    assert ideal == pytest.approx(5 / 2 * 7 / 2)
    assert found == pytest.approx(ideal, abs=0.1)
    assert "SCF run NOT converged" not in said
    assert energy(said) == pytest.approx(-134.0403, abs=1e-3)
    moments = dict(re.findall(r"^ +\d+ +(Mn|Cl) .* (\S+)$", said, re.M))
    assert float(moments["Mn"]) == pytest.approx(5.0, abs=0.4)
    assert abs(float(moments["Cl"])) < 0.3
    electrons_of = [int(n) for n in re.findall(r"Number of electrons: +(\d+)", said)]
    assert electrons_of[0] - electrons_of[1] == 5
