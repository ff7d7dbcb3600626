"""What the shipped recipes and some commands gave: the atoms a cited recipe must go on giving.

    python tests/references.py [CASE ...]     writes tests/data/references/CASE.json anew

A change of these files is a change of models that somebody may have published: CHANGELOG.md says
what became of them and why. Kept are numbers of ions, mean positions and radii by domain and
element at every stage, and the reports, to the digits that every supported library agrees on.
"""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Iterable
from functools import cache
from math import fsum
from pathlib import Path
from typing import Any

import numpy as np
from conftest import called, history

import hetbuild as hb
from hetbuild.elements import symbol
from hetbuild.library import recipes
from hetbuild.model import Model

FOLDER = Path(__file__).parent / "data" / "references"

SLOW = {"cspbbr3-cube-6-oleyl", "pbs-oleate"}
"""15 s of the 40 that all take: the ligands of smaller particles stand for theirs."""

CAPPED = {"cdse-phosphonate", "cspbcl3-pbs-oleate"}
"""With molecules that RDKit embeds, as its releases from RDKIT on do."""
RDKIT = "2025.03.1"

BUILT = sorted(recipes().keys() - SLOW)

REPORTED = (
    "cspbcl3-pbs-small", "cspbcl3-pbs", "cspbcl3-cu2s", "cspbbr-i-layered", "cspbbr3-cs4pbbr6",
    "cspbbr3-orthorhombic-pbs", "cdse-tetrapod", "inp-znse-zns", "interface-cspbcl3-cs2pbcl4",
    "interface-cspbcl3-pb4s3cl2", "pbse-cdse-pbse", "pb4s3cl2-half", "cdse-phosphonate",
    "cspbbr3-bi", "cspbbr3-vacancies", "pbs-cds",
)  # fmt: skip
"""Recipes whose report is kept as well: interfaces, shells, joins, slabs, dopants, ligands."""

COMMANDS = {
    "carve-sphere": "carve PbS --radius 12 -o {out}.xyz",
    "carve-forms": "carve CsPbBr3 --form '1 0 0:9' --form '1 1 1:10' -o {out}.xyz",
    "carve-truncated": "carve CsPbCl3 --form '1 0 0:10' --truncate-edges 1 --truncate-vertices 1"
    " --site Pb -o {out}.xyz",
    "carve-polar": "carve CdSe --form '1 1 1:9' --point-group -43m -o {out}.xyz",
    "match-plane": "match CsPbCl3 PbS --planes '2 -1 0/4 4 -2'",
    "match-1": "match CsPbCl3 PbS --max-index 1 --max-area 200",
    "match-strain": "match CsPbBr3 PbSe --max-index 1 --sort strain",
    "match-orthorhombic": "match CsPbBr3-orthorhombic PbSe --max-index 1 --max-strain 5",
    "match-registry": "match CsPbCl3 PbS --max-index 1 --max-area 200 --registry 1",
    "match-recipe": "match CsPbCl3 PbS --planes '2 -1 0/4 4 -2' --recipe 1",
    "planes-chalcohalide": "planes Pb4S3Cl2 1 0 0",
    "planes-perovskite": "planes CsPbCl3 2 -1 0",
    "etch-perovskite": "etch main.xyz --remove perovskite -o {out}",
    "etch-sulfide": "etch main.xyz --remove sulfide -o {out}",
    "etch-dropped": "etch main.xyz --remove sulfide --shared drop --allow-charge -o {out}",
    "exchange-cl-to-br": "exchange main.xyz --cl-to-br -o {out}",
    "exchange-half": "exchange main.xyz --cl-to-br --fraction 0.5"
    " --order 'outermost first, spread' -o {out}",
    "exchange-interior": "exchange main.xyz --cl-to-i --which interior -o {out}",
    "exchange-pb-to-cu": "exchange main.xyz --pb-to-cu -o {out}",
    "exchange-pb-to-cd": "exchange main.xyz --pb-to-cd --contact 2.5 -o {out}",
    "exchange-deficit": "exchange main.xyz --pb-to-cu --keep-planes 3 --deficit 0.1"
    " --compensate 'remove Cl in sulfide' -o {out}",
    "exchange-ma": "exchange cube.xyz --replace Cs=MA --in perovskite -o {out}",
    "angles-main": "angles main.xyz",
    "angles-zone": "angles main.xyz --zone 0 0 1",
    "compare-daughter": "compare main.xyz main-br/main-br.xyz",
    "compare-shaken": "compare main.xyz shaken.xyz",
    "labels-shaken": "inspect bare.xyz --crystals CsPbCl3,PbS",
    "xrd-small": "xrd small.xyz --range 20 50 --step 0.1",
    "ligands-acetate": "ligands small.xyz --add '4 acetate on Cl, surface' -o {out}",
}
"""Commands by name, run with --json in a folder where `prepare` has put the files they read."""

MOST = 40
"""Longer lists of numbers are kept as how many there are, their mean, size and extremes."""


def summary(model: Model) -> dict[str, Any]:
    """Of each element in each domain: how many, where on average and how far from there, Å."""
    found: dict[str, Any] = {"formula": model.formula, "charge": model.charge}
    for d, domain in enumerate(model.domains):
        inside = model.domain == d
        for z in np.unique(model.numbers[inside]):
            of = inside & (model.numbers == z)
            centre = model.positions[of].mean(axis=0)
            radius = np.sqrt(((model.positions[of] - centre) ** 2).sum(axis=1).mean())
            roles, counts = np.unique(model.role[of], return_counts=True)
            found[f"{domain.name} {symbol(int(z))}"] = [
                int(of.sum()), *centre.tolist(), float(radius), int(model.site[of].sum()),
                int(np.abs(model.site_cell[of]).sum()),
                {str(int(role)): int(count) for role, count in zip(roles, counts, strict=True)},
            ]  # fmt: skip
    found["ledger"] = ledger(model)
    return found


def ledger(model: Model) -> dict[str, Any]:
    """Of each kind of entry: how many there are, and where on average, Å."""
    places: dict[str, list[tuple[float, float, float]]] = {}
    for entry in model.ledger:
        kind = " ".join((entry.step, entry.action, entry.element, entry.domain))
        places.setdefault(kind, []).append(entry.position)
    return {kind: [len(p), *np.mean(p, axis=0).tolist()] for kind, p in sorted(places.items())}


def short(tree: Any) -> Any:
    """A JSON document without paths and long lists, floats to six digits."""
    if isinstance(tree, dict):
        return {key: short(value) for key, value in tree.items() if key not in ("version", "file")}
    if isinstance(tree, list | tuple):
        if len(tree) > MOST and all(isinstance(v, int | float) for v in tree):
            square = fsum(v * v for v in tree) / len(tree)
            return short([len(tree), fsum(tree) / len(tree), square**0.5, min(tree), max(tree)])
        if len(tree) > MOST:
            return [len(tree), *map(short, tree[:: len(tree) // MOST + 1])]
        return [short(value) for value in tree]
    return float(f"{tree:.6g}") if isinstance(tree, float) else tree


@cache
def daughter() -> Model:
    return hb.exchange(history("cspbcl3-pbs")["settled"], {"Cl": "Br"})


def prepare(folder: Path) -> None:
    """Files that commands read: models, one shaken, turned and shuffled, and one without labels."""
    main, small = history("cspbcl3-pbs")["settled"], list(history("cspbcl3-pbs-small").values())[-1]
    cube = list(history("cspbcl3-cube-2").values())[-1]
    for name, model in (("main", main), ("small", small), ("cube", cube), ("main-br", daughter())):
        path = folder / name if name == "main-br" else folder
        path.mkdir(exist_ok=True)
        model.write(path / f"{name}.xyz")
    random = np.random.default_rng(7)
    turn = np.linalg.qr(random.normal(size=(3, 3)))[0]
    turn *= np.linalg.det(turn)
    shaken = main.where(np.ones(len(main), dtype=bool)).moved(turn, np.array([3.0, -2.0, 5.0]))
    atoms = shaken.to_ase()
    atoms.positions += random.normal(scale=0.08, size=atoms.positions.shape)
    atoms = atoms[random.permutation(len(atoms))]
    hb.Model.from_ase(atoms).write(folder / "shaken.xyz")
    lines = [f"{s} {x:.6f} {y:.6f} {z:.6f}" for s, (x, y, z) in zip(
        atoms.get_chemical_symbols(), atoms.positions.tolist(), strict=True)]  # fmt: skip
    (folder / "bare.xyz").write_text("\n".join([str(len(lines)), "", *lines, ""]))


def made(case: str, folder: Path) -> Any:
    """What a case gives now."""
    kind, _, name = case.partition(".")
    if kind == "built":
        return short({stage: summary(model) for stage, model in history(name).items()})
    if kind == "report":
        return short(hb.inspect(list(history(name).values())[-1]).as_dict())
    run = called(*shlex.split(COMMANDS[name].format(out=name)), "--json", cwd=folder)
    assert run.returncode == 0, run.stderr
    said = json.loads(run.stdout)
    wrote = [path for path in said.get("files", ()) if path.endswith(".xyz")]
    return short([said, *(summary(hb.read_model(folder / path)) for path in wrote[:1])])


CASES = [
    *(f"built.{name}" for name in BUILT),
    *(f"report.{name}" for name in REPORTED),
    *(f"command.{name}" for name in COMMANDS),
]


def write(cases: Iterable[str]) -> None:
    import tempfile

    FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        prepare(Path(folder))
        for case in cases:
            text = json.dumps(made(case, Path(folder)), ensure_ascii=False)
            (FOLDER / f"{case}.json").write_text(text + "\n", encoding="utf-8")
            print(case, len(text))


if __name__ == "__main__":
    write(sys.argv[1:] or CASES)
