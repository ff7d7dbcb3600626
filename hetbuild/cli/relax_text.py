"""The text of `relax`: what changed, in tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from hetbuild.relaxing.bulk import RelaxedCrystal
from hetbuild.relaxing.calculators import Chosen
from hetbuild.relaxing.coordination import Coordinated, Pair
from hetbuild.relaxing.report import BeforeAfter


def crystal_lines(found: RelaxedCrystal, chosen: Chosen) -> list[str]:
    """A crystal's cell before and after."""
    lines = [
        f"{'calculator':14s} {chosen.name} ({chosen.version})",
        f"{'crystal':14s} {found.crystal.name}, {found.crystal.space_group}",
    ]
    for axis, a, b in zip("abc", found.before, found.after, strict=False):
        lines.append(f"{axis:14s} {a:.4f} -> {b:.4f} Å, {100 * (b / a - 1):+.2f} %")
    angles = [" ".join(f"{x:.2f}" for x in p[3:]) for p in (found.before, found.after)]
    lines.append(f"{'angles':14s} {angles[0]} -> {angles[1]} degrees")
    lines.append(f"{'energy':14s} {found.energy:.6f} eV/atom, pressure {found.pressure:+.2f} GPa")
    lines.append(f"{'steps':14s} {found.steps}, fmax {found.fmax:.4f} eV/Å")
    if max(found.repeats) > 1:
        lines.append(f"{'cells':14s} {' x '.join(map(str, found.repeats))}, one k point")
    return lines


def before_after_lines(how: Mapping[str, Any], found: BeforeAfter, atoms: int) -> list[str]:
    """A model before and after."""
    gain = how["energy_after"] - how["energy_before"]
    lines = [
        f"{'calculator':14s} {how['calculator']} ({how['version']})",
        f"{'steps':14s} {how['steps']} {how['optimizer'].upper()}, fmax {how['fmax']:.4f} eV/Å"
        + (f", {how['held']} atoms held" if how["held"] else ""),
        f"{'energy':14s} {how['energy_before'] / atoms:.4f} -> {how['energy_after'] / atoms:.4f} "
        f"eV/atom, {gain:+.2f} eV in all",
    ]
    for name, m in found.domains.items():
        lines.append(
            f"{'moved':14s} {name}: rms {m.rms:.2f} Å, 90 % under {m.most:.2f}, largest "
            f"{m.largest:.2f} ({m.element}{m.atom + 1})"
        )
    for name, fit in found.lattices.items():
        edges = [" ".join(f"{x:.3f}" for x in cell[:3]) for cell in (fit.before, fit.after)]
        strain = " ".join(f"{100 * s:+.1f}" for s in fit.strain)
        lines.append(
            f"{'lattice':14s} {name}: {edges[0]} -> {edges[1]} Å, strain {strain} %, atoms "
            f"{fit.spread[0]:.2f} -> {fit.spread[1]:.2f} Å from it"
        )
    lines += list(_registries(found))
    lines += list(_coordination(found))
    lines += list(_open_cations(found))
    for where, kinds in found.contacts.items():
        text = ", ".join(f"{kind} {_pair(pair)}" for kind, pair in kinds.items())
        lines.append(f"{'contact':14s} {text} Å {where}")
    for k, text in enumerate(found.worse or ("nothing",)):
        lines.append(f"{'' if k else 'worse':14s} {text}")
    return lines


def _registries(found: BeforeAfter) -> Iterator[str]:
    for name, i in found.interfaces.items():
        which = f"{name}: " if len(found.interfaces) > 1 else ""
        yield (
            f"{'registry':14s} {which}along {_pair(i.along)} Å, across {_pair(i.across)} Å, gap "
            f"{_pair(i.gap)} Å"
        )


def _open_cations(found: BeforeAfter) -> Iterator[str]:
    """Cations of the interface with fewer anions than in their crystal."""
    for k, c in enumerate(c for c in found.interface_cations if c.open):
        following = " -> ".join("none" if r is None else f"{r:.2f}" for r in c.following)
        yield (
            f"{'' if k else 'open':14s} {c.element}{c.atom + 1} at the interface, "
            f"{c.depth:.1f} Å deep: {c.before} -> {c.after} anions of {c.crystal} in its crystal, "
            f"next at {following} Å"
        )


def _pair(pair: Pair) -> str:
    return f"{pair[0]:.2f} -> {pair[1]:.2f}"


def _coordination(found: BeforeAfter) -> Iterator[str]:
    for region, elements in found.coordination.items():
        for c in elements:
            yield (
                f"{f'{c.element} {region}':14s} {_histogram(c.before)} -> {_histogram(c.after)} "
                f"anions within {_reach(c)} Å"
            )


def _histogram(counts: Mapping[int, int]) -> str:
    return ", ".join(f"{times} with {n}" for n, times in sorted(counts.items()))


def _reach(c: Coordinated) -> str:
    return f"{c.cutoff:g}"
