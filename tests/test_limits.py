"""What would fill the memory or take hours is refused at once, by every verb."""

from __future__ import annotations

import shlex
import time
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from conftest import history

from hetbuild.assemble import carve
from hetbuild.cli import VERBS, cli
from hetbuild.errors import HetbuildError, ImpossibleError, InputError
from hetbuild.formats.files import write_all
from hetbuild.formats.xyz import write_xyz
from hetbuild.verbs import read_model

SECONDS = 2.0
"""Of processor time in which a refusal comes."""

CELL = "build interface-cspbcl3-cs2pbcl4 --set"
REFUSED = [
    ("build cspbcl3-pbs --size 2000nm", 1, "make the particle smaller"),
    ("build pb4s3br2-sphere --size 1000nm", 1, "make the particle smaller"),
    ("build cdse-cds --size 2000nm", 1, "make the particle smaller"),
    ("build cspbcl3-cube-2 --set domains.perovskite.facets.0.planes=1e7", 2, "facets.0.planes"),
    (f"{CELL} domains.perovskite.slab.last=999999", 1, "bring slab.first and slab.last nearer"),
    (f"{CELL} join.registry.window.along=1e5 --set join.registry.window.across=9", 1,
     "make join.registry.window smaller"),
    ("build cspbcl3-pbs --set join.settle.limit=1e4", 2, "up to 50"),
    ("build cspbcl3-pbs --set vacuum=1e300", 2, "vacuum"),
    ("carve PbS --form '1 0 0:1e5' -o x.xyz", 1, "make the particle smaller"),
    ("carve PbS --radius 5e3 -o x.xyz", 1, "make the particle smaller"),
    ("match CsPbCl3 PbS --max-area 9e5", 1, "lower the highest index, the area or the strain"),
    ("match CsPbCl3 PbS --max-index 500", 1, "lower the highest index"),
    ("planes PbS '100000 1 0'", 2, "-999 to 999"),
    ("image cube.xyz --sampling 1e-9", 2, "0.01 to 1 Å"),
    ("xrd cube.xyz --step 1e-12", 2, "200000 points"),
    ("xrd cube.xyz --pdf --r-max 9e5", 2, "500 Å"),
    ("angles cube.xyz --zone '1 0 0' --finest 1e-9", 2, "0.5 to 20 Å"),
    ("export cube.xyz --to cif --vacuum 1e300", 2, "--vacuum"),
    ("relax cube.xyz --calculator born_mayer:BornMayer --vacuum 1e300", 2, "--vacuum"),
    ("exchange cube.xyz --pb-to-cu --in perovskite --contact 1e9", 2, "--contact"),
    ("ligands cube.xyz --add '1000000000 oleate on Cs, surface'", 2, "do not fit"),
    ("dos . --window -1e9 1e9", 2, "window"),
    ("sweep many.toml --dry-run", 2, "give fewer values"),
    ("sweep long.toml --dry-run", 2, "more than 100000 values"),
    *((f"{verb} claims.xyz", 2, "claims.xyz") for verb in (
        "inspect", "compare cube.xyz", "report", "etch --remove perovskite")),
]  # fmt: skip
"""Words, exit code, and what the text names."""

NOTHING_GROWS = {"recipes", "crystals", "schema", "help"}

LONG = """
name = "many"
recipe = "cspbcl3-cube-1"
[[axes]]
key = "vacuum"
range = { first = 1, last = 50000 }
"""
MANY = LONG + '[[axes]]\nkey = "title"\nvalues = ["a", "b", "c"]\n'


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("limits")
    model = list(history("cspbcl3-cube-1").values())[-1]
    write_all({folder / "cube.xyz": lambda s: write_xyz(model, s)}, force=False)
    (folder / "claims.xyz").write_text("1000000000\n\nPb 0 0 0\n")
    (folder / "many.toml").write_text(MANY)
    (folder / "long.toml").write_text(LONG.replace("50000", "1e9"))
    return folder


@pytest.mark.parametrize(("words", "code", "names"), REFUSED, ids=lambda x: str(x)[:50])
def test_absurd_inputs_are_refused_at_once(
    words: str, code: int, names: str, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place)
    before = sorted(place.rglob("*"))
    start = time.process_time()
    result = CliRunner().invoke(cli, shlex.split(words))
    took = time.process_time() - start
    error = result.exception
    text = f"{result.stderr} {error}"
    assert (error.exit_code if isinstance(error, HetbuildError) else result.exit_code) == code, text
    assert isinstance(error, HetbuildError | SystemExit)
    assert names in text
    assert took < SECONDS
    assert sorted(place.rglob("*")) == before


def test_the_table_has_every_verb_that_makes_anything() -> None:
    assert {words.split()[0] for words, _, _ in REFUSED} | NOTHING_GROWS == set(VERBS)


@pytest.mark.parametrize("verb", VERBS)
def test_an_option_is_no_place_to_write(verb: str) -> None:
    """`-o --json` wrote a file called --json, and no JSON."""
    command = cli.get_command(click.Context(cli), verb)
    assert command is not None
    for option in command.params:
        if {"-o", "--output", "--map"} & set(option.opts):
            with pytest.raises(click.BadParameter, match="'--json' begins as an option does"):
                option.type.convert("--json", option, None)
            assert str(option.type.convert("./--json", option, None)).endswith("--json")


def test_a_file_of_too_many_atoms_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = list(history("cspbcl3-cube-1").values())[-1]
    path = tmp_path / "model.xyz"
    model.write(path)
    monkeypatch.setattr(carve, "available_memory", lambda: 5000)
    with pytest.raises(ImpossibleError, match=r"model of 11 atoms in .*model.xyz would take"):
        read_model(path)
    # A count that the file cannot hold is a fault of the file, whatever memory there is.
    monkeypatch.setattr(carve, "available_memory", lambda: 10**6)
    path.write_text("9" * 15 + path.read_text()[2:])
    with pytest.raises(InputError, match="xyz"):
        read_model(path)
