"""A comparison of two models in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from hetbuild.analyse.comparison import Comparison, Unmatched

NOTED = 5e-4
"""Strain that is worth a line."""

LISTED = 24
"""Atoms without counterpart named in one line unless all are asked for."""


def comparison_lines(found: Comparison, verbose: bool = False) -> list[str]:
    """The text of `compare`. verbose: every atom without counterpart is named."""
    lines = [
        f"{'rmsd':14s} {found.rmsd:.4f} Å, median {found.median:.4f} Å, 90 % within "
        f"{found.ninety:.4f} Å"
    ]
    if found.missing:
        lines[0] += ", of atoms with a counterpart"
        lines.append(f"{'':14s} {found.rmsd_all:.4f} Å if the others are paired as well")
    for name, rms in found.by_part.items():
        atoms = ", ".join(f"{d.element}{d.index + 1} {d.distance:.3f}" for d in found.largest[name])
        lines.append(f"{name:14s} {rms:.4f} Å, moved most: {atoms}")
    for name, (size, left) in found.expansion.items():
        if abs(size) > NOTED and set(found.by_element) != set(found.by_part):
            word = "larger" if size > 0 else "smaller"
            lines.append(
                f"{'lattice':14s} {name} {100 * abs(size):.2f} % {word} in the second; "
                f"{left:.4f} Å rms without that strain"
            )
    if set(found.by_element) != set(found.by_part):
        text = ", ".join(f"{e} {rms:.4f}" for e, rms in found.by_element.items())
        lines.append(f"{'by element':14s} {text} Å")
    for which, surplus in zip(("first", "second"), found.surplus, strict=True):
        if surplus:
            text = ", ".join(f"{n} {e}" for e, n in surplus.items())
            lines.append(f"{'surplus':14s} {text} more in the {which}")
    counts = Counter((old.domain, old.element, new.element) for old, new in found.replaced)
    for (domain, old, new), n in sorted(counts.items()):
        lines.append(f"{'in its place':14s} {n} {new} for {old}" + f" in {domain}" * bool(domain))
    told = {(which, atom.index) for both in found.replaced for which, atom in enumerate(both)}
    for k, alone in enumerate((found.missing, found.added)):
        rest = [atom for atom in alone if verbose or (k, atom.index) not in told]
        lines += _without_counterpart(("first", "second")[k], rest, verbose)
    return lines


def _without_counterpart(which: str, alone: Sequence[Unmatched], verbose: bool) -> Iterator[str]:
    """Atoms of one model with none of the other within 2 Å, by domain and part of the particle."""
    groups: dict[tuple[str, str], list[Unmatched]] = {}
    for atom in alone:
        groups.setdefault((atom.domain, atom.group), []).append(atom)
    for (domain, group), atoms in sorted(groups.items()):
        place = " ".join(word for word in (domain, group) if word)
        shown = atoms if verbose else atoms[:LISTED]
        names = ", ".join(
            f"{a.element}{a.index + 1}" + (f" at {a.site}" if a.site else "") for a in shown
        )
        names += f" and {len(atoms) - len(shown)} more (-v)" if len(shown) < len(atoms) else ""
        head = f"{len(atoms)} of {place}" if place else f"{len(atoms)}"
        yield f"{'only in ' + which:14s} {head}: {names}"
