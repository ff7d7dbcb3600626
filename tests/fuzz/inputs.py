"""Inputs nobody would write: mutations of good recipes, crystals, models and command lines.

`case(seed)` is the same on every machine. What mutates is the tree of a recipe or of a model's
record, the tokens of a file, or its bytes; what goes in are values that break careless readers.
"""

from __future__ import annotations

import copy
import json
import random
import re
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ROOT = HERE.parent.parent

VALUES: tuple[Any, ...] = (
    0, 1, -1, 2, 7, 1000, -(2**31), 2**31, 2**53, 2**63, 2**64, -(2**63), 10**40, 0.0, -0.0, 0.5,
    1e-300, 1e-9, 1e10, 1e308, -1e308, float("inf"), float("-inf"), float("nan"), True, False, "",
    " ", "0", "1", "x", "Pb", "Cs", "Cl", "Xx", "PbS", "CsPbCl3", "1/2", "1/0", "1e400",
    "1e9999999", "-1e9999999", "nan", "inf", "9" * 5000, "../x", "../../etc/passwd", "/etc/passwd",
    "/dev/zero", "a\0b", "a\nb", "é²", "²", "\u202e", "𝔛", "'; DROP", "$(touch PWNED)",
    "a" * 300, "x" * 5000, "perovskite", "sulfide", "add Cl in sulfide", "p.cif", [], {}, [[]],
    [0, 0, 0], [1, 0, 0], [1, -1, 0], [1, 2, 3], [10**6, 1, 0], [2**63, 0, 0], [1e308, 0, 0],
    ["1/8", "1/8", 0], [0.1, 0.2, 0.3], [float("nan")] * 3, [1, 2], ["Cl"], ["Cl"] * 50,
    {"Cl": "Br"},
    "-43m", "4mm [0 0 1]", "m-3m [9 9 9]", "away", "-across", {"edges": 1}, {"vertices": 10**9},
    {"S": "Cl"}, {"Pb": 2}, {"x": {}}, {"Cl": {"bonded_to": "Pb"}}, {"Cl": {"bonded_to": "Xx"}},
)  # fmt: skip
"""Put in the place of others in trees."""

TOKENS = (
    "", "0", "-1", "1", "1.5", "nan", "-nan", "inf", "-inf", "1e400", "1e308", "1e-320", "9" * 400,
    "?", ".", "2+", "-", "+", "Xx", "Pb", "Cl", "Pb0+", "X", "loop_", "data_", "data_x", "'", '"',
    "''", ";", "#", "_cell_length_a", "90", "180", "0.0001", "1e10", "x,y,z", "'-x,-y,-z'",
    "'x+1/0,y,z'", "\t", "\r\n", "\0", "é", "\ufeff", "T", "F", "Lattice=", "pbc=", "Properties=",
    "species:S:1:pos:R:3", "lattice", "shared", "Pb1.1", "255", "70000", "-129", "1_000", "0x10",
    "IMPORT_STRUCTURE", "STRUC", "STYLE", "CELLP", "SYMOP",
)  # fmt: skip
"""Put in the place of words in files."""

PLANES = ("0 0 0", "1 0 0", "-1 1 0", "1 1 1", "9 9 8", "9999999999999999999 0 0", "x y z", "1 0")
TEXTS = (
    "1 0 0:6", "1 1 1:6", "1 0 0:1e308", "1 0 0:nan", "1 0 0:-3", "0 0 0:5", "1 0 0:1/0", ":", "",
    "1 0 0/1 0 0", "1 0 0/", "0 0 0/1 1 1", "Cl=Br", "Cl=Cl", "Cs=MA", "S=Se", "Pb=Sn", "=",
    "A=B=C",
    "Cl=Xx", "remove Cl in perovskite", "add Cl in dot", "boil", "CsPbCl3", "PbS", "PbS,PbS",
    "CsPbCl3,PbS", "PbS,", ",", "nope", "Pb,Pb", "Cs,Pb", "30", "30,nan", "1,2", "2", "0 0 1",
    "1e400 0 0", "nan nan nan", "inf", "nan", "1e308", "-1", "0", "0.5", "3", "1/8 0 0",
    "name=x", "name=a/b", "vacuum=nan", "vacuum=1e308", "vacuum=-5", "domains.particle.radius=9",
    "references.²=1", "references.9999999999999999999=1", "references.0=1", "=", "a.b.c.d=1", ".=.",
    "balance.target={charge=1}", "balance.target={charge=9223372036854775808}", "composition=5",
    "domains.particle.facets=[]", "domains.particle.centre.offset=[nan,0,0]",
    "domains.particle.facets.0.planes=2.5", "domains.particle.facets.0.planes=9223372036854775808",
    "steps=[{action='etch',domain='particle'}]", "title=" + "x" * 5000, "x=" + "[" * 3000,
)  # fmt: skip
"""Values of options."""

RECIPES = ("pair.toml", "dot.toml", "cspbcl3-cube-1", "cspbcl3-cube-2")
KEYS = sorted((ROOT / "docs" / "keys").glob("*.toml"))
"""Recipes that state every key there is, new ones too."""

COMPARED = 0.03
"""Part of models and command lines that goes to compare, which takes half a second."""

MODEL_VERBS = ("exchange", "etch", "ligands", "export", "inspect", "angles", "xrd")
OTHER_VERBS = ("build", "match", "planes", "carve", "recipes", "schema", "help", "dos")
DOT = """\
name = "dot"
title = "A sphere"
composition = "Pb19S14"
[domains.dot]
crystal = "p.cif"
charges = { Pb = 2, S = -2 }
centre = { point = [0, 0, 0] }
radius = 6.0
trim = { fewer_than = 1, elements = ["S"], before_cut = true }
"""


@dataclass(frozen=True)
class Case:
    """Files in an empty folder, and what is called in it."""

    files: dict[str, bytes]
    words: list[str]


@cache
def corpus() -> dict[str, bytes]:
    """Good files by name, made by hetbuild itself where it writes them."""
    import sys

    sys.path.insert(0, str(HERE.parent))
    from conftest import called

    files: dict[str, bytes] = {}
    for name in ("PbS", "CsPbCl3", "Cu2S", "Pb4S3Cl2"):
        files[f"{name}-x.cif"] = (ROOT / "structures" / f"{name}.cif").read_bytes()
    files["p.cif"] = files["PbS-x.cif"]
    files["pair.toml"] = (HERE / "pair.toml").read_bytes()
    files["dot.toml"] = DOT.encode()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        (folder / "pair.toml").write_bytes(files["pair.toml"])
        called("build", "pair.toml", "-o", ".", cwd=folder)
        called("build", str(KEYS[0].with_name("caps.toml")), "-o", ".", cwd=folder)
        called("build", "cspbcl3-cube-1", "-o", ".", "--set", "name=cube", cwd=folder)
        called("carve", "PbS", "--radius", "6", "-o", "dot.xyz", cwd=folder)
        for to in ("vesta", "cif", "poscar", "gromacs", "xsf", "lammps"):
            called("export", "dot.xyz", "--to", to, cwd=folder)
        for path in sorted(folder.iterdir()):
            if path.suffix not in (".toml", ".json", ".inp", ".sh"):
                files[path.name] = path.read_bytes()
    return files


def case(seed: int) -> Case:
    """The input of a seed."""
    rng = random.Random(seed)
    kinds: tuple[Callable[[random.Random], Case], ...] = (_recipe, _crystal, _model, _words)
    return kinds[seed % 4](rng)


def _recipe(rng: random.Random) -> Case:
    import tomllib

    name = rng.choice((*RECIPES, *(path.name for path in KEYS)))
    files = {"p.cif": corpus()["p.cif"]}
    if name in corpus():
        text = corpus()[name].decode()
    elif name.endswith(".toml"):
        text = (ROOT / "docs" / "keys" / name).read_text(encoding="utf-8")
    else:
        text = (ROOT / "examples" / "recipes" / f"{name}.toml").read_text()
    how = rng.random()
    if how < 0.75:
        tree = tomllib.loads(text)
        for _ in range(rng.choice((1, 1, 1, 2, 3))):
            _mutate_tree(rng, tree)
        content = toml(tree).encode(errors="replace")
    elif how < 0.97:
        content = _mutate_bytes(rng, text.encode())
    else:
        content = rng.choice(BULK)(rng)
    files["r.toml"] = content
    words = [
        "build",
        "r.toml",
        *rng.choice(([], [], ["--dry-run"], ["--json"], ["-q", "--stages"])),
    ]
    if rng.random() < 0.3:
        words += ["--set", rng.choice(TEXTS)]
    return Case(files, words)


BULK: tuple[Callable[[random.Random], bytes], ...] = (
    lambda rng: b"\n".join(b"k%d = 1" % i for i in range(200_000)),
    lambda rng: b"name = " + b"[" * rng.choice((100, 5000, 100_000)),
    lambda rng: b"name = " + b"{a=" * rng.choice((100, 5000)) + b"1",
    lambda rng: b"a." * rng.choice((100, 5000)) + b"b = 1",
    lambda rng: b"vacuum = " + b"9" * rng.choice((400, 5000, 100_000)),
    lambda rng: b"vacuum = 0x" + b"f" * 5000,
    lambda rng: rng.randbytes(2000),
    lambda rng: (
        b'extends = "' + rng.choice((b"r", b"../r", b"cspbcl3-cube-1", b"/x", b"")) + b'"\n'
    ),
    lambda rng: b"[domains]\n" + b"".join(b'd%d = { crystal = "PbS" }\n' % i for i in range(2000)),
)
"""Recipes that are large, deep, or none."""


def _crystal(rng: random.Random) -> Case:
    name = rng.choice(
        ["PbS-x.cif", "PbS-x.cif", "CsPbCl3-x.cif", "Cu2S-x.cif", "Pb4S3Cl2-x.cif", "dot.cif"]
    )
    content = corpus()[name]
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        content = (
            _mutate_tokens(rng, content) if rng.random() < 0.8 else _mutate_bytes(rng, content)
        )
    words = rng.choice((
        ["planes", "c.cif", *rng.choice(PLANES[1:4]).split()],
        ["carve", "c.cif", "--radius", "6", "-o", "o.xyz"],
        ["carve", "c.cif", "--form", "1 0 0:5", "--form", "1 1 1:5", "-o", "o.xyz"],
        ["match", "c.cif", "PbS", "--max-index", "1", "--max-area", "60"],
        ["export", "dot.xyz", "--to", "cif", "--crystals", "c.cif"],
        ["exchange", "dot.xyz", "--product", "c.cif", "--allow-charge"],
        ["build", "dot.toml", "--set", "domains.dot.crystal=c.cif"],
    ))  # fmt: skip
    kept = {n: corpus()[n] for n in ("dot.xyz", "dot.toml", "p.cif")}
    return Case({"c.cif": content, **kept}, list(words))


def _model(rng: random.Random) -> Case:
    known = corpus()
    names = [n for n in known if not n.endswith((".toml", "-x.cif")) and n != "p.cif"]
    name = rng.choice(
        [*names, "pair.xyz", "pair.xyz", "cube.xyz", "caps.xyz", "dot.xyz", "dot.vesta"]
    )
    content = known[name]
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        how = rng.random()
        if how < 0.5 and name in ("pair.xyz", "caps.xyz", "cube.xyz", "dot.xyz"):
            content = _mutate_record(rng, content)
        elif how < 0.85:
            content = _mutate_tokens(rng, content)
        else:
            content = _mutate_bytes(rng, content)
    asked = f"m{Path(name).suffix}" if Path(name).suffix else "m"
    crystals = rng.choice(([], [], ["--crystals", "CsPbCl3,PbS"], ["--crystals", "PbS"]))
    to = rng.choice(
        ("vesta", "cif", "xyz", "plain-xyz", "poscar", "lammps", "gromacs", "xsf", "cp2k")
    )
    words = rng.choice((
        ["inspect", asked, *crystals],
        ["inspect", asked, "--json", *crystals],
        ["export", asked, "--to", to, "-o", "out/", *crystals],
        ["export", asked, "--to", "cp2k", "--pdos", "--allow-charge", "-o", "out", *crystals],
        ["exchange", asked, "--replace", "Cl=Br", "--allow-charge", *crystals],
        ["exchange", asked, "--replace", "S=Se", *crystals],
        ["exchange", asked, "--product", "ZnS", "--allow-charge", *crystals],
        ["etch", asked, "--remove", rng.choice(("perovskite", "sulfide", "PbS", "x")), *crystals],
    ))  # fmt: skip
    if rng.random() < COMPARED:
        words = ["compare", *rng.sample([asked, "dot.xyz"], 2)]
    return Case({asked: content, "dot.xyz": known["dot.xyz"]}, list(words))


def _words(rng: random.Random) -> Case:
    import click

    from hetbuild.cli import cli

    context = click.Context(cli)
    name = rng.choice((*MODEL_VERBS, *OTHER_VERBS))
    name = "compare" if rng.random() < COMPARED else name
    command = cli.get_command(context, name)
    assert command is not None
    words = [name]
    for parameter in command.params:
        if isinstance(parameter, click.Argument):
            count = max(parameter.nargs, 1)
            words += [_argument(rng, parameter) for _ in range(count)]
        elif isinstance(parameter, click.Option) and (parameter.required or rng.random() < 0.2):
            words += _option(rng, parameter)
    if rng.random() < 0.1:
        words.insert(rng.randrange(len(words) + 1), rng.choice(TEXTS))
    if name == "match":
        words += ["--max-index", "1", *([] if rng.random() < 0.1 else ["--max-area", "80"])]
    files = (
        "dot.xyz",
        "dot.cif",
        "pair.xyz",
        "pair-cp2k.xyz",
        "cube.vesta",
        "p.cif",
        "dot.toml",
        "pair.toml",
    )
    return Case({n: corpus()[n] for n in files}, [w.replace("\0", "") for w in words])


def _argument(rng: random.Random, parameter: Any) -> str:
    good = {
        "model": ("dot.xyz", "pair.xyz", "pair-cp2k.xyz", "cube.vesta", "PbS"),
        "first": ("PbS", "p.cif", "dot.xyz", "pair.xyz"),
        "second": ("PbSe", "CsPbCl3", "dot.xyz", "cube.vesta"),
        "crystal": ("PbS", "p.cif", "CsPbBr3"),
        "recipe": ("dot.toml", "pair.toml", "cspbcl3-cube-1"),
        "hkl": ("0", "1", "-1", "2", "99999999999", "x"),
    }.get(parameter.name, TEXTS)
    return rng.choice(good if rng.random() < 0.85 else (*TEXTS, "/dev/null", "/", ".", "a" * 300))


def _option(rng: random.Random, option: Any) -> list[str]:
    import click

    flag = rng.choice(option.opts)
    if option.is_flag or option.flag_value is not None:
        return [flag]
    if isinstance(option.type, click.Choice) and rng.random() < 0.9:
        return [flag, rng.choice([str(c) for c in option.type.choices])]
    if option.name == "output":
        return [
            flag,
            rng.choice(
                (
                    "out",
                    "o.xyz",
                    "o.cif",
                    "",
                    ".",
                    "a/b/c.xyz",
                    "/dev/full",
                    "/proc/x",
                    "dot.xyz",
                    "b" * 300,
                    "x\n.xyz",
                    "dot.xyz/x",
                )
            ),
        ]
    if option.name == "to":
        return [
            flag,
            rng.choice(
                (
                    "vesta",
                    "cif",
                    "xyz",
                    "plain-xyz",
                    "poscar",
                    "lammps",
                    "gromacs",
                    "xsf",
                    "cp2k",
                    "nope",
                    "",
                )
            ),
        ]
    return [flag, rng.choice(TEXTS)]


def _mutate_record(rng: random.Random, content: bytes) -> bytes:
    """The record in the header of an extended XYZ, as a tree."""
    text = content.decode(errors="replace")
    found = re.search(r'hetbuild="((?:[^"\\]|\\.)*)"', text)
    if found is None:
        return _mutate_tokens(rng, content)
    try:
        tree = json.loads(found[1].replace('\\"', '"').replace("\\\\", "\\"))
    except ValueError:
        return _mutate_tokens(rng, content)
    _mutate_tree(rng, tree)
    quoted = json.dumps(tree).replace("\\", "\\\\").replace('"', '\\"')
    return (text[: found.start(1)] + quoted + text[found.end(1) :]).encode(errors="replace")


def _mutate_tree(rng: random.Random, tree: Any) -> None:
    """One change somewhere in nested mappings and lists."""
    places = list(_places(tree))
    if not places:
        return
    node, key = rng.choice(places)
    how = rng.random()
    if how < 0.7:
        node[key] = copy.deepcopy(rng.choice(VALUES))
    elif how < 0.8:
        del node[key]
    elif how < 0.9:
        other, there = rng.choice(places)
        if key in node if isinstance(node, dict) else key < len(node):
            with_ = other[there] if there in other or not isinstance(other, dict) else 0
            node[key] = json.loads(json.dumps(with_))
    elif isinstance(node, dict):
        node[rng.choice(("x", "", "²", "a b", "a\nb", "name", "facets", str(key) + "s"))] = (
            node.pop(key)
        )
    else:
        node.extend(node[:1] * rng.choice((1, 3, 200)))


def _places(tree: Any, depth: int = 0) -> Any:
    items = tree.items() if isinstance(tree, dict) else enumerate(tree)
    for key, value in items:
        yield tree, key
        if isinstance(value, dict | list) and depth < 20:
            yield from _places(value, depth + 1)


def _mutate_tokens(rng: random.Random, content: bytes) -> bytes:
    lines = content.decode(errors="replace").split("\n")
    # Heads and ends decide more than the hundredth atom.
    n = len(lines)
    i = (
        rng.randrange(n)
        if rng.random() < 0.5
        else rng.choice((0, 1, 2, 3, 4, 8, 12, n - 2, n - 1)) % n
    )
    how = rng.random()
    if how < 0.7:
        words = re.split(r"(\s+)", lines[i])
        words[rng.randrange(len(words))] = rng.choice(TOKENS)
        lines[i] = "".join(words)
    elif how < 0.8:
        del lines[i : i + rng.choice((1, 1, 3, 20))]
    elif how < 0.9:
        lines[i:i] = lines[i : i + 1] * rng.choice((1, 2, 50))
    else:
        lines = lines[: i + 1] if rng.random() < 0.5 else lines[i:]
    return "\n".join(lines).encode(errors="replace")


def _mutate_bytes(rng: random.Random, content: bytes) -> bytes:
    data = bytearray(content)
    for _ in range(rng.choice((1, 2, 8))):
        if not data:
            return b""
        i = rng.randrange(len(data))
        how = rng.random()
        if how < 0.4:
            data[i] = rng.randrange(256)
        elif how < 0.6:
            del data[i : i + rng.choice((1, 5, 200))]
        elif how < 0.8:
            data[i:i] = rng.choice(TOKENS).encode()
        elif how < 0.95:
            data[i:i] = data[i : i + rng.choice((1, 40))]
        else:
            del data[i:]
    return bytes(data)


def toml(tree: Any) -> str:
    """A tree as TOML, inline tables throughout."""
    return "".join(f"{_key(k)} = {_value(v)}\n" for k, v in tree.items())


def _key(key: Any) -> str:
    return json.dumps(str(key))


def _value(value: Any) -> str:
    match value:
        case bool():
            return str(value).lower()
        case dict():
            return "{ " + ", ".join(f"{_key(k)} = {_value(v)}" for k, v in value.items()) + " }"
        case list():
            return "[" + ", ".join(map(_value, value)) + "]"
        case str():
            return json.dumps(value)
        case float():
            return repr(value) if value == value else "nan"
        case _:
            return str(value)
