"""The page of a report: what is in it, and that nothing foreign is."""

from __future__ import annotations

import base64
import json
import sys
import tomllib
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from hetbuild.cli import cli
from hetbuild.errors import InputError
from hetbuild.formats.xyz import write_xyz
from hetbuild.library import find_recipe, recipes
from hetbuild.model import Domain, Model
from hetbuild.page.document import page
from hetbuild.page.html import data
from hetbuild.page.scene import scene
from hetbuild.recipe.read import read_recipe
from hetbuild.recipe.toml import recipe_toml, to_toml


class Elements(HTMLParser):
    """Elements with their attributes, and the text outside scripts and styles."""

    def __init__(self, document: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.inside = ""
        self.scripts: list[str] = []
        self.feed(document)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        self.inside = tag

    def handle_endtag(self, tag: str) -> None:
        self.inside = ""

    def handle_data(self, text: str) -> None:
        if self.inside == "script":
            self.scripts.append(text)
        elif self.inside != "style":
            self.words.append(text)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


@pytest.fixture(scope="module")
def written(main_model: Model) -> str:
    return page(main_model)


def unpacked(text: str, kind: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), dtype=kind)


# The atoms


def test_the_scene_holds_every_ion_to_a_ten_thousandth(main_model: Model) -> None:
    shown = json.loads(data(scene(main_model)))
    position = unpacked(shown["position"], "<i4").reshape(-1, 3) * shown["step"] + shown["origin"]
    np.testing.assert_allclose(position, main_model.positions, atol=0.51e-4)
    symbols = np.array([e["symbol"] for e in shown["elements"]])
    from hetbuild.elements import symbol

    assert symbols[unpacked(shown["element"], "u1")].tolist() == [
        symbol(z) for z in main_model.numbers
    ]
    for name, kind in (("domain", "u1"), ("role", "u1"), ("charge", "i1"), ("site", "<i2")):
        held = getattr(main_model, {"charge": "charges"}.get(name, name))
        np.testing.assert_array_equal(unpacked(shown[name], kind), held)
    sites = shown["domains"][0]["sites"]
    assert sites == list(main_model.domains[0].crystal.site_names)


def test_neighbours_reach_as_far_as_bonds_and_cs_has_some(main_model: Model) -> None:
    reach = {(a, b): limit for a, b, limit in scene(main_model)["reach"]}
    assert reach["Pb", "S"] == pytest.approx(3.636)
    assert reach["Cs", "Cl"] == pytest.approx(1.2 * (1.67 + 1.81))
    assert ["Cs", "Cl"] not in scene(main_model)["bonds"]


def test_named_views_have_their_zone_axis_to_the_viewer(main_model: Model) -> None:
    found = scene(main_model)["views"]
    domains = {d.name: d for d in main_model.domains}
    zones = [v for v in found if v["group"]]
    assert len({(v["group"], v["name"]) for v in zones}) == len(zones) > 52
    for v in zones:
        uvw = np.array([int(i) for i in v["name"].strip("[]").split()])
        along = Rotation.from_quat(v["turn"]).apply(uvw @ domains[v["group"]].vectors)
        np.testing.assert_allclose(along / np.linalg.norm(along), [0, 0, 1], atol=1e-5)
    assert {"[1 1 4]", "[-1 1 0]"} <= {v["name"] for v in zones if v["group"] == "sulfide"}


# The document


def test_a_page_says_what_the_model_is(written: str, main_model: Model) -> None:
    said = Elements(written).text
    for words in (
        main_model.formula,
        *main_model.formulas.values(),
        "(-2 1 0) of perovskite || (-4 -4 2) of sulfide",
        "[1 2 0] 12.533 Å || 1/2[1 1 4]",
        "7.1°",
        "closest contact across the interface",
        "X-ray powder pattern",
        "Electron microscopy",
        'name = "cspbcl3-pbs"',
        "3Dmol.js incorporates code",
    ):
        assert words in said, words


def test_nothing_is_loaded_from_elsewhere(written: str) -> None:
    found = Elements(written).found
    assert ("Content-Security-Policy") in {a.get("http-equiv") for t, a in found if t == "meta"}
    policy = next(a["content"] for _, a in found if a.get("http-equiv"))
    assert policy is not None
    assert policy.startswith("default-src 'none'")
    for tag, attributes in found:
        assert tag not in ("iframe", "object", "embed", "link", "base", "form")
        for name in ("src", "href", "xlink:href", "data", "action"):
            value = attributes.get(name) or "#"
            assert value.startswith(("#", "data:image/png")), (tag, name, value[:60])


def test_ids_are_unique_and_links_lead_somewhere(written: str) -> None:
    found = Elements(written).found
    ids = [a["id"] for _, a in found if "id" in a]
    assert len(ids) == len(set(ids))
    targets = {(a["href"] or "")[1:] for tag, a in found if tag == "a"}
    assert targets <= set(ids)
    assert len(targets) >= 6


def test_a_page_is_under_two_megabytes_and_the_same_every_time(
    written: str, main_model: Model
) -> None:
    assert len(written.encode()) < 2e6
    assert page(main_model) == written


def test_a_hundred_thousand_ions_take_under_six_megabytes(crystal) -> None:
    n = 100_000
    rng = np.random.default_rng(0)
    bulk = crystal("PbS")
    model = Model(
        rng.choice([82, 16, 17], n),
        rng.uniform(0, 170, (n, 3)),
        rng.choice([2, -1], n),
        np.zeros(n, dtype=np.int64),
        np.zeros(n, dtype=np.int64),
        (Domain("d", bulk, bulk.vectors.copy(), np.zeros(3), 0),),
    )
    rest = len(page(model.where(np.arange(n) < 2000), parts=()).encode())
    assert len(data(scene(model)).encode()) + rest < 6e6


HOSTILE = "</script><script>window.hacked=1</script><img src=x onerror=alert(1)>\u2028'\"&$title"


def hostile(model: Model) -> Model:
    """With markup in every text that the rule for names leaves free."""
    label = "<img/src=x/onerror=alert(1)>"
    domains = tuple(
        replace(
            d,
            crystal=replace(
                d.crystal, source=HOSTILE, labels=tuple(label for _ in d.crystal.labels)
            ),
        )
        for d in model.domains
    )
    recipe = {**model.provenance["recipe"], "title": HOSTILE, "references": [HOSTILE]}
    ledger = tuple(replace(e, reason=HOSTILE, domain=HOSTILE) for e in model.ledger[:3])
    provenance = {"recipe": recipe, "versions": {HOSTILE: HOSTILE}}
    return replace(model, domains=domains, ledger=ledger, provenance=provenance)


def test_hostile_text_stays_text(main_model: Model) -> None:
    read = Elements(page(hostile(main_model)))
    tags = [tag for tag, _ in read.found]
    assert tags.count("script") == 3
    assert not any(name.startswith("on") for _, a in read.found for name in a)
    assert sum(tag == "img" for tag in tags) == 1  # the one that is printed
    assert HOSTILE.split("\u2028")[0] in read.text
    shown = json.loads(read.scripts[0])
    assert shown["domains"][0]["sites"][0].startswith("<img/src=x")


@settings(max_examples=40)
@given(st.recursive(st.text() | st.integers() | st.none(), st.lists, max_leaves=5))
def test_json_in_a_script_cannot_end_it(value: object) -> None:
    held = data([value, "</script>", "<!--"])
    assert "<" not in held
    assert json.loads(held) == [value, "</script>", "<!--"]


def test_parts_can_be_left_out_and_need_no_matplotlib_then(
    main_model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    bare = Elements(page(main_model, parts=())).text
    assert "Electron microscopy" not in bare
    assert "Interface" in bare
    with pytest.raises(InputError, match=r"hetbuild\[plot\]"):
        page(main_model, parts=("image",))
    with pytest.raises(InputError, match="no part 'xdr'; did you mean 'xrd'"):
        page(main_model, parts=("xdr",))
    with pytest.raises(InputError, match="no atoms"):
        page(main_model.where(np.zeros(len(main_model), dtype=bool)))


def test_a_model_of_one_domain_and_no_recipe_has_a_page(main_model: Model) -> None:
    alone = replace(
        main_model.where(main_model.domain == 0),
        domains=main_model.domains[:1],
        interface=None,
        provenance={},
        ledger=(),
    )
    said = Elements(page(alone, parts=())).text
    assert "records no recipe" in said
    assert "inside the particle" in said


def test_the_command(main_model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from click.testing import CliRunner

    monkeypatch.chdir(tmp_path)
    with Path("m.xyz").open("w", encoding="utf-8") as stream:
        write_xyz(main_model, stream)
    done = CliRunner().invoke(cli, ["report", "m.xyz", "--with", "none"])
    assert done.stdout == "m.html\n"
    assert Path("m.html").read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    again = CliRunner().invoke(cli, ["report", "m.xyz", "--with", "none"])
    assert "--force" in str(again.exception)
    wrong = CliRunner().invoke(cli, ["report", "m.xyz", "--with", "stem", "-o", "n.html"])
    assert "known are image, xrd" in str(wrong.exception)
    assert not Path("n.html").exists()


# The recipe in it


@pytest.mark.parametrize("name", sorted(recipes()))
def test_recipes_come_back_from_their_records(name: str, tmp_path: Path) -> None:
    recipe = read_recipe(find_recipe(name))
    path = tmp_path / "again.toml"
    path.write_text(recipe_toml(recipe.model_dump(mode="json")), encoding="utf-8")
    assert read_recipe(path).model_dump() == recipe.model_dump()


@settings(max_examples=60)
@given(
    st.dictionaries(
        st.text(min_size=1),
        st.recursive(
            st.text()
            | st.integers(-(2**63), 2**63 - 1)
            | st.booleans()
            | st.floats(allow_nan=False),
            lambda inner: (
                st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3)
            ),
            max_leaves=8,
        ),
        max_size=4,
    )
)
def test_toml_is_read_as_it_was_written(tree: dict[str, object]) -> None:
    assert tomllib.loads(to_toml(tree)) == tree


def test_the_recipe_on_the_page_is_the_models(written: str, main_model: Model) -> None:
    words = written.split('<pre id="recipe">')[1].split("</pre>")[0]
    import html

    held = tomllib.loads(html.unescape(words))
    assert held["name"] == main_model.provenance["recipe"]["name"]


# Two models


def test_displacements_lead_from_the_first_model_to_the_second(main_model: Model) -> None:
    import hetbuild as hb

    rng = np.random.default_rng(3)
    moved = rng.normal(0, 0.1, (len(main_model), 3))
    turn = Rotation.from_euler("zyx", [20, -40, 65], degrees=True).as_matrix()
    atoms = main_model.to_ase()
    atoms.positions = (main_model.positions + moved) @ turn.T + [3, 4, 5]
    found = hb.compare(main_model, atoms)
    # The best rigid motion takes away what of the noise is one.
    np.testing.assert_allclose(found.displacement, moved, atol=0.03)
    assert found.rmsd == pytest.approx(np.sqrt((found.displacement**2).sum(axis=1).mean()))
    with pytest.raises(ValueError, match="read-only"):
        found.displacement[0] = 0.0


def test_displacements_of_periodic_models_take_the_nearest_image() -> None:
    from hetbuild.analyse.compare import compare_periodic

    rng = np.random.default_rng(1)
    cell = np.diag([9.0, 10.0, 11.0])
    a = rng.uniform(0, 1, (12, 3)) @ cell
    moved = rng.normal(0, 0.05, (12, 3))
    moved -= moved.mean(axis=0)
    b = (a + moved + [8.9, 0.2, 0]) % [9, 10, 11]
    numbers = np.array([82] * 4 + [16] * 8)
    found = compare_periodic((numbers, a), (numbers, b), (cell, cell))
    np.testing.assert_allclose(found.displacement, moved, atol=1e-9)


def test_the_command_compares_with_a_page(
    main_model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from click.testing import CliRunner

    monkeypatch.chdir(tmp_path)
    atoms = main_model.to_ase()
    atoms.positions[7] += [0.4, 0, 0]
    for name, held in (("a.xyz", main_model.to_ase()), ("b.xyz", atoms)):
        with Path(name).open("w", encoding="utf-8") as stream:
            write_xyz(Model.from_ase(held), stream)
    done = CliRunner().invoke(cli, ["compare", "a.xyz", "b.xyz", "--report"])
    assert done.stdout.startswith("a-b.html\nrmsd"), done.output
    read = Elements(Path("a-b.html").read_text(encoding="utf-8"))
    assert "a.xyz to b.xyz" in read.text
    shown = json.loads(read.scripts[0])
    moved = unpacked(shown["moved"], "<i2").reshape(-1, 3) * shown["moved_step"]
    assert shown["arrows"] == [7]
    np.testing.assert_allclose(moved[7], [0.4, 0, 0], atol=2e-3)
    wrong = CliRunner().invoke(cli, ["compare", "a.xyz", "b.xyz", "-o", "c.html"])
    assert "--report" in str(wrong.exception)
