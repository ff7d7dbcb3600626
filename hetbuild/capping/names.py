"""Names of ligands, turned into SMILES by rule: the alkyl root, and the group that binds.

A name is ROOT + GROUP, as octylammonium or hexylphosphonate; carboxylates have their usual names.
Nothing is listed molecule by molecule, so that any chain of 1 to 18 carbons can be asked for.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from hetbuild.errors import InputError, nearest

ROOTS: Mapping[str, str] = {
    name: "C" * n
    for n, name in enumerate(
        (
            "methyl", "ethyl", "propyl", "butyl", "pentyl", "hexyl", "heptyl", "octyl", "nonyl",
            "decyl", "undecyl", "dodecyl", "tridecyl", "tetradecyl", "pentadecyl", "hexadecyl",
            "heptadecyl", "octadecyl",
        ),
        1,
    )
} | {"oleyl": "CCCCCCCC/C=C\\CCCCCCCC"}  # fmt: skip
"""SMILES of alkyl groups; oleyl, the cis-9 chain of 18, reads the same from both ends."""

CARBOXYLATES: Mapping[str, str] = {
    "formate": "", "acetate": "C", "propionate": "CC", "butyrate": 3 * "C", "hexanoate": 5 * "C",
    "octanoate": 7 * "C", "decanoate": 9 * "C", "laurate": 11 * "C", "myristate": 13 * "C",
    "palmitate": 15 * "C", "stearate": 17 * "C", "oleate": "CCCCCCCC/C=C\\CCCCCCC",
}  # fmt: skip
"""What stands at the carboxyl carbon of each."""

RULES = (
    ("di([a-z]+)dimethylammonium", "C[N+](C)({0}){0}"),
    ("tri([a-z]+)phosphine", "P({0})({0}){0}"),
    ("tri([a-z]+)phosphine-oxide", "O=P({0})({0}){0}"),
    ("([a-z]+)ammonium", "{0}[NH3+]"),
    ("([a-z]+)amine", "{0}N"),
    ("([a-z]+)hydrogenphosphonate", "{0}P(=O)(O)[O-]"),
    ("([a-z]+)phosphonate", "{0}P(=O)([O-])[O-]"),
    ("([a-z]+)sulfonate", "{0}S(=O)(=O)[O-]"),
    ("([a-z]+)thiolate", "{0}[S-]"),
    ("([a-z]+)sulfobetaine", "{0}[N+](C)(C)CCCS(=O)(=O)[O-]"),
)
"""Names made of a root, and their SMILES with the root {0}."""

WHOLE: Mapping[str, str] = {
    "dimethylammonium": "C[NH2+]C",
    "MA": "C[NH3+]",
    "sulfobetaine": "octadecylsulfobetaine",
    "DMA": "C[NH2+]C",
    "DDA": "didodecyldimethylammonium",
    "TOP": "trioctylphosphine",
    "TOPO": "trioctylphosphine-oxide",
}
"""Other names, and those no rule makes."""

PATTERNS = (
    "oleate, acetate, formate or another carboxylate (" + ", ".join(CARBOXYLATES) + ")",
    "ROOTammonium, diROOTdimethylammonium, dimethylammonium, ROOTamine, ROOTphosphonate, "
    "ROOThydrogenphosphonate, ROOTsulfonate, ROOTthiolate, ROOTsulfobetaine, triROOTphosphine, "
    "triROOTphosphine-oxide, with ROOT methyl to octadecyl or oleyl",
)
"""What can be asked for by name, for error texts."""


def smiles_of(name: str, chain: int | None = None) -> str | None:
    """SMILES of a shipped ligand; None: no such name.

    chain: carbons of the n-alkyl group that stands in for the name's own, as 2 for ethyl.
    """
    text = WHOLE.get(name, name)
    if text in CARBOXYLATES:
        root = CARBOXYLATES[text]
        return f"{_shorter(root, chain)}C(=O)[O-]" if root else "C(=O)[O-]"
    for expression, pattern in RULES:
        found = re.fullmatch(expression, text)
        if found and found[1] in ROOTS:
            return pattern.format(_shorter(ROOTS[found[1]], chain))
    return text if text != name else None


def check_chain(chain: int | None) -> None:
    """Refuse a stand-in of no length.

    Raises
    ------
    InputError
        It is not in 1 to 18.
    """
    if chain is not None and not 1 <= chain <= len(ROOTS) - 1:
        raise InputError(f"A stand-in chain of {chain} carbons: give 1 to {len(ROOTS) - 1}.")


def suggestion(name: str) -> str:
    """What a mistyped name may mean, and what names there are."""
    roots = [re.sub(r"\(.*\)", root, expression) for expression, _ in RULES for root in ROOTS]
    hint = nearest(name, [*CARBOXYLATES, *roots, *WHOLE]).partition("Known")[0]
    return (hint if hint.startswith("did") else "") + "names are " + "; ".join(PATTERNS)


def _shorter(root: str, chain: int | None) -> str:
    return root if chain is None else "C" * chain
