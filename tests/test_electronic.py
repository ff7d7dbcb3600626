"""Electronic structure: CP2K's projected densities of states read back with their model."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from conftest import history
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from hetbuild.analyse.regions import Region, regions
from hetbuild.arrays import FloatArray
from hetbuild.cli.dos import dos
from hetbuild.electronic.pdos import HARTREE, States, read_states
from hetbuild.electronic.shares import participation, shares
from hetbuild.electronic.structure import density, electronic_structure
from hetbuild.elements import symbol
from hetbuild.errors import CheckError, HetbuildError, InputError
from hetbuild.formats import slurm
from hetbuild.formats.catalogue import cp2k_files
from hetbuild.formats.cp2k import deck, outputs
from hetbuild.formats.cp2k_options import Cp2kOptions
from hetbuild.formats.cp2k_states import unrolled
from hetbuild.formats.files import write_all
from hetbuild.formats.xyz import write_xyz
from hetbuild.model import Model

CP2K = shutil.which("cp2k.psmp")
SMALL = "cspbcl3-pbs-small"


def small() -> Model:
    return list(history(SMALL).values())[-1]


def weights_of(model: Model, orbitals: int, seed: int = 0) -> FloatArray:
    """Random weights by atom that sum to one, shape (M, N)."""
    drawn = np.random.default_rng(seed).dirichlet(np.full(len(model), 0.05), size=orbitals)
    return np.asarray(drawn / drawn.sum(axis=1, keepdims=True))


def pdos_text(head: str, energies: FloatArray, occupied: int, weights: FloatArray) -> str:
    """A file as CP2K writes it, the weight split between s and p. energies: hartree."""
    lines = [f"# Projected DOS for {head}, at iteration step i = 0, E(Fermi) =    -0.1 a.u."]
    lines.append("#     MO Eigenvalue [a.u.]      Occupation                 s                 p")
    for k, (e, w) in enumerate(zip(energies, weights, strict=True)):
        lines.append(f"{k + 1:8d} {e:17.6f} {2.0 * (k < occupied):15.6f} {0.25 * w:17.10f} {0.75 * w:17.10f}")  # fmt: skip # noqa: E501
    return "\n".join(lines) + "\n"


ENERGIES = np.array([-0.30, -0.2800001, -0.28, -0.25, -0.10, -0.08, -0.05])
OCCUPIED = 4


def write_run(folder: Path, model: Model, weights: FloatArray, pdos: str = "atoms") -> None:
    """A run folder: deck, model, and the files that CP2K would leave."""
    options = Cp2kOptions(pdos=pdos, allow_charge=True)  # type: ignore[arg-type]  # literal
    files = cp2k_files(model, folder, "run", options)
    write_all(files | {folder / "run-model.xyz": lambda s: write_xyz(model, s)}, force=True)
    lists = [unrolled(x) - 1 for x in re.findall(r"LIST (.*)", (folder / "run.inp").read_text())]
    for k, atoms in enumerate(lists):
        text = pdos_text(f"list {k + 1} of {len(atoms)} atoms", ENERGIES, OCCUPIED,
                         weights[:, atoms].sum(axis=1))  # fmt: skip
        (folder / f"run-list{k + 1}-1.pdos").write_text(text)
    for k, z in enumerate(np.unique(model.numbers)):
        text = pdos_text(f"atomic kind {symbol(int(z))}", ENERGIES, OCCUPIED,
                         weights[:, model.numbers == z].sum(axis=1))  # fmt: skip
        (folder / f"run-k{k + 1}-1.pdos").write_text(text)


@pytest.fixture
def finished(tmp_path: Path) -> Path:
    model = small()
    write_run(tmp_path / "run", model, weights_of(model, len(ENERGIES)))
    return tmp_path / "run"


def test_weights_come_back_with_their_atoms(finished: Path) -> None:
    model, weights = small(), weights_of(small(), len(ENERGIES))
    states = read_states([finished], model)
    assert states.name == "run"
    assert np.allclose(states.energies, ENERGIES * HARTREE)
    assert np.array_equal(states.occupations, [2, 2, 2, 2, 0, 0, 0])
    assert states.by_atom is not None
    assert np.allclose(states.by_atom, weights, atol=1e-8)
    found = shares(states, model)
    for parts in (found.domains, found.regions, found.elements):
        assert np.allclose(sum(parts.values()), 1.0, atol=1e-6)
    where = regions(model)
    for i, d in enumerate(model.domains):
        assert np.allclose(found.domains[d.name], weights[:, model.domain == i].sum(axis=1), atol=1e-7)  # fmt: skip # noqa: E501
        for r in Region:
            mine = (model.domain == i) & (where == r)
            assert np.allclose(found.regions[f"{d.name} {r.label}"], weights[:, mine].sum(axis=1), atol=1e-7)  # fmt: skip # noqa: E501
    # The same of the files by name as of the folder.
    again = read_states(sorted(finished.glob("*.pdos")), model)
    assert np.array_equal(again.weights, states.weights)


def test_lists_of_domains_give_the_same_domains(tmp_path: Path) -> None:
    model, weights = small(), weights_of(small(), len(ENERGIES))
    write_run(tmp_path, model, weights, pdos="domains")
    found = electronic_structure(read_states([tmp_path], model), model)
    assert found.shares.ipr is None
    for i, d in enumerate(model.domains):
        expected = weights[:, model.domain == i].sum(axis=1)
        assert np.allclose(found.shares.domains[d.name], expected, atol=1e-7)
    assert set(found.shares.elements) == {"Cs", "Pb", "S", "Cl"}
    assert found.frontier[0].ipr is None


def test_degenerate_orbitals_are_one_group(finished: Path) -> None:
    """Mixing them, as an eigensolver may, changes nothing that is reported."""
    model, weights = small(), weights_of(small(), len(ENERGIES))
    found = electronic_structure(read_states([finished], model), model)
    assert np.array_equal(np.bincount(found.shares.group), [1, 2, 1, 1, 1, 1])
    both = weights[1:3].mean(axis=0)
    assert found.shares.ipr is not None
    assert found.shares.ipr[1] == found.shares.ipr[2] == pytest.approx((both**2).sum(), abs=1e-7)
    mixed = weights.copy()
    mixed[1], mixed[2] = 0.3 * weights[1] + 0.7 * weights[2], 0.7 * weights[1] + 0.3 * weights[2]
    write_run(finished, model, mixed)
    other = electronic_structure(read_states([finished], model), model)
    assert other.frontier == pytest.approx(found.frontier) or all(
        a.energy == b.energy and a.ipr == pytest.approx(b.ipr, abs=1e-7)
        for a, b in zip(found.frontier, other.frontier, strict=True)
    )


@given(st.integers(1, 50), st.integers(0, 10**6))
def test_participation_lies_between_one_atom_and_all(atoms: int, seed: int) -> None:
    weights = np.random.default_rng(seed).random((3, atoms)) + 1e-9
    ratio = participation(weights)
    assert (ratio >= 1 / atoms - 1e-12).all()
    assert (ratio <= 1 + 1e-12).all()
    assert np.allclose(participation(7.0 * weights), ratio)
    assert np.allclose(participation(np.ones((1, atoms))), 1 / atoms)
    assert np.allclose(participation(np.eye(atoms)), 1.0)


def test_frontier_gap_and_zero(finished: Path) -> None:
    model = small()
    states = read_states([finished], model)
    found = electronic_structure(states, model, frontier=2)
    assert found.homo == pytest.approx(-0.25 * HARTREE)
    assert found.gap == pytest.approx(0.15 * HARTREE)
    assert [f.label for f in found.frontier] == ["LUMO+1", "LUMO", "HOMO", "HOMO-1"]
    assert [f.orbitals for f in found.frontier] == [1, 1, 1, 2]
    assert found.frontier[2].energy == 0.0
    vacuum = electronic_structure(states, model, zero="vacuum", frontier=2)
    assert vacuum.frontier[2].energy == pytest.approx(-0.25 * HARTREE)
    assert vacuum.gap == found.gap


@pytest.mark.parametrize(
    ("own", "kind"),
    [
        # The domain of each of seven orbitals, p or s; the last three are empty.
        ("ppssspp", "straddling (type I)"),
        ("pppsspp", "straddling (type I)"),
        ("pppspss", "staggered (type II)"),
        ("pppsppp", ""),
    ],
)
def test_band_edges_and_their_alignment(own: str, kind: str, tmp_path: Path) -> None:
    model = small()
    weights = np.zeros((7, len(model)))
    for k, domain in enumerate(own):
        inside = model.domain == "ps".index(domain)
        weights[k] = np.where(inside, 0.8 / inside.sum(), 0.2 / (~inside).sum())
    write_run(tmp_path, model, weights)
    found = electronic_structure(read_states([tmp_path], model), model)
    for edge, domain in zip(found.edges, "ps", strict=True):
        mine = [k for k in range(7) if own[k] == domain]
        below = max(ENERGIES[k] for k in mine if k < OCCUPIED)
        assert edge.valence == pytest.approx((below + 0.25) * HARTREE, abs=1e-5)
        above = [ENERGIES[k] for k in mine if k >= OCCUPIED]
        if not above:
            assert edge.conduction is None
            assert edge.gap is None
            continue
        assert edge.conduction == pytest.approx((min(above) + 0.25) * HARTREE, abs=1e-5)
        assert edge.gap == pytest.approx((min(above) - below) * HARTREE, abs=1e-5)
    assert found.alignment == kind


def test_densities_sum_and_count_electrons(finished: Path) -> None:
    model = small()
    found = electronic_structure(read_states([finished], model), model)
    curves = density(found, width=0.2, window=(-4.0, 8.0))
    step = curves.energies[1] - curves.energies[0]
    assert curves.total.sum() * step == pytest.approx(2 * len(ENERGIES), abs=1e-6)
    for parts in curves.parts.values():
        assert np.allclose(sum(parts.values()), curves.total, atol=1e-5)
    with pytest.raises(InputError, match="A width of 0 eV"):
        density(found, width=0.0)
    with pytest.raises(InputError, match="from 3 to 1 eV is empty"):
        density(found, window=(3.0, 1.0))


def test_smeared_occupations(tmp_path: Path) -> None:
    """300 K about a small gap: an orbital of 1.3 electrons is occupied, one of 0.7 is empty."""
    model = small()
    write_run(tmp_path, model, weights_of(model, len(ENERGIES)))
    for path in list(tmp_path.glob("*.pdos")):
        lines = path.read_text().splitlines()
        for row, held in ((OCCUPIED + 1, "1.300000"), (OCCUPIED + 2, "0.700000")):
            lines[row] = re.sub(r"[02]\.000000", held, lines[row], count=1)
        path.write_text("\n".join(lines) + "\n")
    states = read_states([tmp_path], model)
    assert states.occupations[OCCUPIED - 1 :][:2] == pytest.approx([1.3, 0.7])
    found = electronic_structure(states, model)
    assert found.homo == pytest.approx(ENERGIES[OCCUPIED - 1] * HARTREE)
    assert found.gap == pytest.approx(0.15 * HARTREE)


def test_open_shells(tmp_path: Path) -> None:
    """Two spins, each with files of its own, one orbital occupied by one electron."""
    model = small()
    write_run(tmp_path, model, weights_of(model, len(ENERGIES)))
    for path in list(tmp_path.glob("*.pdos")):
        text = path.read_text().replace("2.000000", "1.000000")
        for spin in ("ALPHA", "BETA"):
            path.with_name(path.name.replace("run-", f"run-{spin}_")).write_text(text)
        path.unlink()
    states = read_states([tmp_path], model)
    assert np.array_equal(np.bincount(states.spin), [7, 7])
    found = electronic_structure(states, model)
    assert found.gap == pytest.approx(0.15 * HARTREE)
    curves = density(found, window=(-4.0, 8.0))
    assert curves.total.sum() * (curves.energies[1] - curves.energies[0]) == pytest.approx(14)


def test_command_writes_tables_and_picture(finished: Path) -> None:
    out = finished.parent / "out"
    found = CliRunner().invoke(dos, [str(finished), "-o", str(out)])
    assert found.exit_code == 0, found.output
    for text in ("weights sum to 1 within", "gap            4.082 eV", "HOMO-1 x2", "edges"):
        assert text in found.stdout
    table = (out / "run-states.csv").read_text().splitlines()
    head = table[0].split(",")
    assert head[:5] == ["energy_eV", "occupation", "spin", "group", "ipr"]
    values = np.array([line.split(",") for line in table[1:]], float)
    domains = [k for k, name in enumerate(head) if name.startswith("domain:")]
    assert np.allclose(values[:, domains].sum(axis=1), 1.0, atol=1e-6)
    record = json.loads((out / "run-dos.json").read_text())
    assert record["unit"] == "eV"
    assert record["zero"] == "the highest occupied orbital"
    assert (out / "run-dos.png").read_bytes().startswith(b"\x89PNG")
    assert (out / "run-dos.csv").read_text().startswith("energy_eV,total,domain:perovskite")
    again = CliRunner().invoke(dos, [str(finished), "-o", str(out)])
    assert "In the way" in str(again.exception)


def cut_short(folder: Path) -> None:
    path = folder / "run-list3-1.pdos"
    path.write_text(path.read_text()[:-20])


def row_lost(folder: Path) -> None:
    path = folder / "run-list3-1.pdos"
    path.write_text("\n".join(path.read_text().splitlines()[:-1]) + "\n")


def kind_cut_short(folder: Path) -> None:
    path = folder / "run-k1-1.pdos"
    path.write_text("\n".join(path.read_text().splitlines()[:-1]) + "\n")


def list_lost(folder: Path) -> None:
    (folder / "run-list3-1.pdos").unlink()


def emptied(folder: Path) -> None:
    for path in folder.glob("*.pdos"):
        path.unlink()


def by_element_only(folder: Path) -> None:
    for path in folder.glob("*list*.pdos"):
        path.unlink()


def two_runs(folder: Path) -> None:
    shutil.copy(folder / "run-k1-1.pdos", folder / "walk-k1-1.pdos")


def nonsense(folder: Path) -> None:
    (folder / "run-list3-1.pdos").write_text("nothing\n")


def no_model(folder: Path) -> None:
    (folder / "run-model.xyz").unlink()


def gone(folder: Path) -> None:
    shutil.rmtree(folder)


def swapped(folder: Path) -> None:
    path = folder / "run-cp2k.xyz"
    lines = path.read_text().splitlines()
    lines[2], lines[-1] = lines[-1], lines[2]
    path.write_text("\n".join(lines) + "\n")


def shuffled(folder: Path) -> None:
    """Each element's places in another order."""
    path = folder / "run-cp2k.xyz"
    lines = np.array(path.read_text().splitlines())
    elements = np.array([line.split()[0] for line in lines[2:]])
    for element in np.unique(elements):
        mine = 2 + np.flatnonzero(elements == element)
        lines[mine] = lines[np.random.default_rng(0).permutation(mine)]
    path.write_text("\n".join(lines) + "\n")


def no_number(folder: Path) -> None:
    path = folder / "run-cp2k.xyz"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:-1], lines[-1][:5]]) + "\n")


def fewer(folder: Path) -> None:
    path = folder / "run-cp2k.xyz"
    path.write_text("\n".join(path.read_text().splitlines()[:-1]) + "\n")


@pytest.mark.parametrize(
    ("spoil", "text"),
    [
        (cut_short, r"run-list3-1.pdos is cut off or damaged"),
        (row_lost, r"has 6 orbitals, .* 7, or other energies"),
        (kind_cut_short, r"run-k1-1.pdos has 6 orbitals, the lists 7"),
        (list_lost, "143 lists of one atom, the model has 144 atoms"),
        (emptied, "holds no PDOS files of CP2K. Write the deck with --pdos atoms"),
        (by_element_only, "densities of states by element only"),
        (two_runs, "of several runs: run, walk"),
        (nonsense, "is no PDOS file of CP2K"),
        (no_model, "Which model is .* name it with --model"),
        (gone, "There is no .*run: name the folder"),
        (swapped, "the run is of another model, or its atoms are in another order"),
        (shuffled, "lie nearer to another atom of their element in the model than to their own"),
        (no_number, "run-cp2k.xyz is damaged"),
        (fewer, "has 143 atoms, the model 144: the run is of another model"),
    ],
)
def test_bad_input_is_named(spoil: Callable[[Path], None], text: str, finished: Path) -> None:
    spoil(finished)
    out = finished.parent / "out"
    found = CliRunner().invoke(dos, [str(finished), "-o", str(out)])
    assert isinstance(found.exception, InputError)
    with pytest.raises(InputError, match=text):
        raise found.exception
    assert not out.exists()


def test_weights_that_do_not_sum_to_one_are_refused(tmp_path: Path) -> None:
    model = small()
    write_run(tmp_path, model, 0.999 * weights_of(model, len(ENERGIES)))
    with pytest.raises(CheckError, match=r"miss 1 by 1.0e-03"):
        electronic_structure(read_states([tmp_path], model), model)


def test_another_model_is_refused(finished: Path) -> None:
    model = list(history("cspbcl3-cube-2").values())[-1]
    for path in ("run-cp2k.xyz", "run-model.xyz"):
        (finished / path).unlink()
    with pytest.raises(InputError, match="reach atom 144, the model has 64"):
        read_states([finished], model)


def test_model_in_another_order_is_refused_without_coordinates(finished: Path) -> None:
    """The files of each kind tell: what the atoms of an element have must sum to its file."""
    (finished / "run-cp2k.xyz").unlink()
    model = small()
    assert electronic_structure(read_states([finished], model), model).gap is not None
    other = model.where(np.random.default_rng(0).permutation(len(model)))
    with pytest.raises(InputError, match=r"weights of S by its atoms .* in another order"):
        electronic_structure(read_states([finished], other), other)


def test_moved_turned_and_relaxed_model_is_that_of_its_run(finished: Path) -> None:
    model = small()
    rotation = Rotation.from_euler("xyz", [40, 100, 170], degrees=True)
    nudged = model.positions + 0.5 * np.random.default_rng(2).normal(size=(len(model), 3))
    turned = replace(model, positions=rotation.apply(nudged) + 7.0)
    assert np.array_equal(
        read_states([finished], turned).weights, read_states([finished], model).weights
    )


def test_cubes_of_tight_binding_have_a_grid_and_molden_is_refused() -> None:
    """CP2K 2023.1 with xTB: a point every 2.4 Å without one, and no molden file."""
    text = deck(small(), "m", Cp2kOptions(method="xtb", cubes=1, cutoff=300))["m.inp"]
    assert "CUTOFF 300" in text
    assert "MGRID" not in deck(small(), "m", Cp2kOptions(method="xtb"))["m.inp"]
    with pytest.raises(InputError, match="no molden file with GFN1-xTB: take cubes"):
        Cp2kOptions(method="xtb", molden=True)


def test_deck_lists_every_atom_and_says_its_size(main_model: Model) -> None:
    options = Cp2kOptions(pdos="atoms", nlumo=20, molden=True, cubes=2)
    text = deck(main_model, "m", options)["m.inp"]
    lists = [unrolled(x) for x in re.findall(r"&LDOS\s+# .*\s+LIST (.*)", text)]
    assert np.array_equal(np.concatenate(lists), np.arange(len(main_model)) + 1)
    assert "NLUMO 20" in text
    assert "&MO_MOLDEN" in text
    assert re.search(r"&MO_CUBES\s+NHOMO 2\s+NLUMO 2", text)
    sizes = {o.what: o for o in outputs(main_model, options)}
    # Measured for these 1042 atoms: 330 MB, and about 1 GB of molden.
    assert sizes["densities of states"].size == pytest.approx(330e6, rel=0.03)
    assert sizes["densities of states"].files == 1042 + 4
    assert sizes["orbitals for molden"].size == pytest.approx(1.1e9, rel=0.15)
    assert "about 332 MB in 1046 files" in str(sizes["densities of states"])
    plain = deck(main_model, "m")["m.inp"]
    assert "&PRINT" not in plain
    assert outputs(main_model, Cp2kOptions()) == []
    assert "&PDOS" in deck(main_model, "m", Cp2kOptions(method="xtb", pdos="domains"))["m.inp"]


def test_job_script(main_model: Model, tmp_path: Path) -> None:
    text = deck(main_model, "m", Cp2kOptions(slurm="nodes=4,tasks=32,time=24h,mem=180G"))["job.sh"]
    for line in ("--nodes=4", "--ntasks-per-node=32", "--time=24:00:00", "--mem=180G", "--job-name=m"):  # fmt: skip # noqa: E501
        assert f"#SBATCH {line}\n" in text
    assert "exec ./run.sh srun cp2k.psmp" in text
    path = tmp_path / "job.sh"
    path.write_text(text)
    subprocess.run(["bash", "-n", str(path)], check=True)
    # What it starts, with an srun that only says so.
    fake = tmp_path / "srun"
    fake.write_text('#!/bin/sh\necho "$OMP_NUM_THREADS $*" > started\n')
    fake.chmod(0o755)
    (tmp_path / "run.sh").write_text(deck(main_model, "m")["run.sh"])
    (tmp_path / "run.sh").chmod(0o755)
    environment = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}",
                                "SLURM_SUBMIT_DIR": str(tmp_path), "SLURM_CPUS_PER_TASK": "2"}  # fmt: skip # noqa: E501
    subprocess.run(["bash", str(path)], check=True, env=environment, cwd="/")
    assert (tmp_path / "started").read_text().startswith("2 cp2k.psmp -i m.inp -o m.out")


@pytest.mark.parametrize(
    ("given", "time"),
    [
        ("90m", "1:30:00"),
        ("2d12h", "2-12:00:00"),
        ("24:00:00", "24:00:00"),
        ("1-0:00:00", "1-0:00:00"),
    ],
)
def test_times_of_jobs(given: str, time: str) -> None:
    assert slurm.parse(f"time={given}").time == time


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ("node=4", r"no 'node'; did you mean 'nodes'"),
        ("nodes", "KEY=VALUE"),
        ("nodes=0", "a whole number above zero"),
        ("nodes=4\nrm", "a whole number above zero"),
        ("time=soon", "as 24h, 90m"),
        ("time=0h", "a time above zero"),
        ("time=0:00:00", "a time above zero"),
        ("", "nodes=4,tasks=32,time=24h"),
        ("partition=a b;rm", "letters, digits"),
        ("account=$(id)", "letters, digits"),
        ("mem=all", "as 180G"),
        ("launcher=sh", "srun or mpirun"),
        ("nodes=1,nodes=2", "once"),
    ],
)
def test_jobs_that_slurm_would_not_take(given: str, text: str) -> None:
    with pytest.raises(InputError, match=text):
        slurm.parse(given)


def test_results_are_frozen(finished: Path) -> None:
    states = read_states([finished], small())
    assert isinstance(states, States)
    with pytest.raises(ValueError, match="read-only"):
        states.weights[0, 0] = 1.0
    assert issubclass(CheckError, HetbuildError)


@pytest.mark.cp2k
@pytest.mark.skipif(CP2K is None, reason="cp2k is not installed")
class TestWithCp2k:
    """CP2K writes the files; its weights are those of its orbitals."""

    def test_weights_are_the_loewdin_populations(self, tmp_path: Path) -> None:
        """|(S^1/2 c)_a|^2 of PbCl2, from the coefficients and the overlap that CP2K prints."""
        model = lead_chloride()
        options = Cp2kOptions(cutoff=60, box=(14, 14, 14), pdos="atoms", nlumo=5)
        write_all(cp2k_files(model, tmp_path, "mol", options), force=False)
        text = (tmp_path / "mol.inp").read_text()
        more = "&PRINT\n&MO\nCOEFFICIENTS\nENERGIES\nOCCUPATION_NUMBERS\nNDIGITS 12\n&END MO\n&AO_MATRICES\nOVERLAP\nNDIGITS 12\n&END AO_MATRICES\n"  # noqa: E501
        (tmp_path / "mol.inp").write_text(text.replace("&PRINT\n", more, 1))
        run(tmp_path)
        output = (tmp_path / "mol.out").read_text()
        blocks = output.split("SPHERICAL EIGENVECTORS")
        atom, coefficients = matrix(blocks[-1], "MO|")
        _, overlap = matrix(output.split("OVERLAP MATRIX")[-1], "")
        vectors = overlap.shape[0]
        coefficients = coefficients[:vectors]
        values, axes = np.linalg.eigh(overlap)
        root = axes * np.sqrt(values) @ axes.T
        populations = (root @ coefficients) ** 2
        states = read_states([tmp_path], model)
        assert states.by_atom is not None
        for i in range(len(model)):
            own = populations[atom[:vectors] == i + 1].sum(axis=0)
            occupied = len(own)
            # Eight digits for each of s, p and d are in the file.
            assert np.abs(states.by_atom[:occupied, i] - own).max() < 3e-8
        mulliken = coefficients * (overlap @ coefficients)
        first = mulliken[atom[:vectors] == 1].sum(axis=0)
        assert np.abs(first - states.by_atom[: len(first), 0]).max() > 0.01

    def test_tight_binding_run_of_a_heterostructure(self, tmp_path: Path) -> None:
        model = list(history("cspbcl3-cube-1").values())[-1]
        write_all(
            cp2k_files(model, tmp_path, "cube", Cp2kOptions(method="xtb", pdos="atoms")),
            force=False,
        )
        run(tmp_path)
        found = electronic_structure(read_states([tmp_path], model), model)
        assert found.shares.error < 1e-6
        assert found.gap is not None
        assert found.gap > 0
        assert found.frontier[-1].elements["Cl"] > 0.5


def lead_chloride() -> Model:
    """Pb with two Cl at a right angle, out of a cube."""
    cube = list(history("cspbcl3-cube-1").values())[-1]
    lead = int(np.flatnonzero(cube.numbers == 82)[0])
    away = cube.positions - cube.positions[lead]
    two = [int(np.argmax(np.where(cube.numbers == 17, away @ axis, -9))) for axis in np.eye(3)[:2]]
    found = cube.where(np.isin(np.arange(len(cube)), [lead, *two]))
    assert found.charge == 0
    return replace(found)


def run(folder: Path) -> None:
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    subprocess.run([str(folder / "run.sh")], cwd=folder, env=environment, check=True, timeout=280)


def matrix(text: str, prefix: str) -> tuple[np.ndarray, FloatArray]:  # type: ignore[type-arg]
    """Atom of each row, and the columns of the first matrix printed in a text, put side by side."""
    pattern = re.compile(
        rf"^ *{re.escape(prefix)} +\d+ +(\d+) +[A-Z][a-z]? +\d\S+((?: +-?\d+\.\d+)+) *$"
    )
    rows: list[tuple[int, list[float]]] = []
    for line in text.splitlines():
        found = pattern.match(line)
        if found:
            rows.append((int(found[1]), [float(x) for x in found[2].split()]))
        elif rows and prefix and prefix not in line:
            break
    functions = next((k for k in range(1, len(rows)) if rows[k][0] < rows[k - 1][0]), len(rows))
    blocks = [rows[k : k + functions] for k in range(0, len(rows), functions)]
    whole = [b for b in blocks if len(b) == functions]
    return np.array([a for a, _ in whole[0]]), np.hstack([[v for _, v in b] for b in whole])


def test_states_of_a_run_that_did_not_converge_are_warned_of(
    finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from test_cp2k_output import STEP, output

    from hetbuild.cli.dos import dos

    monkeypatch.chdir(finished.parent)
    steps = {"run": output([-10.0]), "cut": output([-10.0], end=False)}
    steps["moving"] = output([-10.0], "GEO_OPT", end=False)
    steps["lost"] = output([], more=STEP.format(what="NOT converged", energy=-9.0))
    said = {}
    for name, text in steps.items():
        (finished / "run.out").write_text(text)
        done = CliRunner().invoke(dos, ["run", "-o", name, "-q"])
        assert done.exit_code == 0, done.output
        said[name] = done.stderr
    assert "warning" not in said["run"]
    assert "did not come to its end" in said["cut"]
    assert "the geometry is not converged" in said["moving"]
    assert "the density of the last step is not converged" in said["lost"]
