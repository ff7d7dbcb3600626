"""What the steps of a recipe ask for that its domains cannot have by then.

Nothing is built: what each domain may hold is followed from its crystal through moves and steps.
What may be there counts as there, so that no recipe is refused that could be built.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from hetbuild.balancing.candidates import Move, repeated
from hetbuild.capping.add import Add
from hetbuild.capping.names import smiles_of
from hetbuild.crystal.crystal import Crystal, read_crystal
from hetbuild.elements import KINDS, counts, number, symbol, usual_charge
from hetbuild.errors import HetbuildError, nearest
from hetbuild.exchanging.molecule import is_molecule, read_molecule
from hetbuild.exchanging.same_site import product_crystal
from hetbuild.exchanging.topotactic import check_product
from hetbuild.exchanging.topotaxy import topotaxies
from hetbuild.library import check_file, find_structure
from hetbuild.recipe.schema import ChangeSpec, EtchSpec, LigandsSpec, ReplaceSpec, TopotacticSpec
from hetbuild.recipe.steps import Step, check_molecular, check_periodic, product_of
from hetbuild.selection.language import InDomain, Ion, NearInterface, OnSite, parse_selection

LIGAND_FILES = (".xyz", ".mol", ".sdf")


@dataclass
class Known:
    """What a domain may hold before a step."""

    crystal: Crystal
    elements: set[str]
    whole: bool = True
    """No step has changed it: it is still of its crystal."""

    def meant(self, word: str) -> list[str]:
        """The elements a word may mean: itself, or those of its kind that are there."""
        if word not in KINDS:
            number(word)
            return [word]
        others = np.array([number(e) for e in sorted(self.elements)], dtype=np.int64)
        charges = np.array([usual_charge(int(z)) or 0 for z in others], dtype=np.int64)
        z = np.concatenate([self.crystal.numbers, others])
        return list(counts(z[KINDS[word](z, np.concatenate([self.crystal.charges, charges]))]))

    def several(self, word: str) -> str:
        """The elements of its crystal that a kind means, where they are several; else nothing."""
        if word not in KINDS or not self.whole:
            return ""
        own = self.crystal.numbers[KINDS[word](self.crystal.numbers, self.crystal.charges)]
        return " or ".join(counts(own)) if len(set(own.tolist())) > 1 else ""


Domains = dict[str, Known]


def step_faults(
    steps: Sequence[Step], domains: Domains, beside: Path | None, periodic: bool
) -> Iterator[str]:
    """Each fault with the step it is in. domains: as balanced; they are changed as steps go."""
    for i, spec in enumerate(steps):
        if spec.domain and spec.domain not in domains:
            yield f"steps.{i}: {spec.domain} was dissolved by a step before."
            continue
        if periodic:
            yield from said(f"steps.{i}", partial(check_periodic, spec))
        unknown = [*_charge_faults(spec, domains)]
        faults = [*_faults(spec, domains, beside)]  # each follows what the step brings
        yield from (f"steps.{i}.{fault}" for fault in unknown or faults)
        yield from (f"steps.{i}.{f}" for f in move_faults("compensate", spec.compensate, domains))


def said(where: str, check: Callable[[], object]) -> Iterator[str]:
    """The text of what a check raises, with where."""
    try:
        check()
    except HetbuildError as error:
        yield f"{where}: {error}"


def move_faults(where: str, moves: Sequence[Move], domains: Domains) -> Iterator[str]:
    """Of moves: domains and ions that are not there, counting what the moves themselves bring."""
    yield from (f"{where}: {fault}" for fault in repeated(moves))
    for move in moves:
        if move.domain in domains:
            brought = {move.to, move.element if move.action == "add" else ""} - {"", *KINDS}
            domains[move.domain].elements |= brought
    for i, move in enumerate(moves):
        if move.domain not in domains:
            yield f"{where}.{i}: unknown domain {move.domain!r}; {nearest(move.domain, domains)}"
            continue
        here = domains[move.domain]
        adds = move.action == "add" and move.element not in KINDS
        for word in filter(None, (("" if adds else move.element), move.to)):
            if several := here.several(word):
                yield f"{where}.{i}: {word!r} is {several} in {move.domain}; name the element."
            elif not _there(word, here):
                yield (
                    f"{where}.{i}: there is no {word} to {move.action} in {move.domain}, which has "
                    f"{', '.join(sorted(here.elements))}."
                )
        yield from selection_faults(f"{where}.{i}.which", move.which, domains)


def selection_faults(where: str, text: str, domains: Domains) -> Iterator[str]:
    """Domains, sites and interfaces a selection names that are not there."""
    for condition in (t.condition for part in parse_selection(text).alternatives for t in part):
        match condition:
            case InDomain(name) if name not in domains:
                yield f"{where}: unknown domain {name!r}; {nearest(name, domains)}"
            case NearInterface() if len(domains) < 2:
                yield f"{where}: {text!r}: there is no interface to be near."
            case OnSite(label) if all(d.whole for d in domains.values()):
                crystals = [d.crystal for d in domains.values()]
                labels = {n for c in crystals for n in (*c.labels, *c.site_names)}
                if label not in labels:
                    yield f"{where}: no site is called {label!r}; {nearest(label, labels)}"


def _charge_faults(spec: Step, domains: Domains) -> Iterator[str]:
    """Charges stated for what is an ion of the crystal itself, or needed and not stated."""
    if not spec.domain:
        return
    here = domains[spec.domain]
    own = sorted(set(counts(here.crystal.numbers)) & set(spec.charges)) if here.whole else []
    if own:
        yield (
            f"charges: {', '.join(own)} is an ion of {here.crystal.name} itself; state its charge "
            f"in domains.{spec.domain}.charges."
        )
    comes = [*spec.ions.values()] if isinstance(spec, ReplaceSpec) else []
    if isinstance(spec, ChangeSpec):
        comes += [spec.to] if spec.to else [spec.element] if spec.action == "add" else []
    foreign = {**here.crystal.foreign_charges, **spec.charges}
    crystal = replace(here.crystal, foreign_charges=foreign)
    for ion in comes:
        if not is_molecule(ion) and ion not in KINDS:
            yield from said(ion, partial(crystal.charge_of, ion))


def _faults(spec: Step, domains: Domains, beside: Path | None) -> Iterator[str]:
    match spec:
        case ReplaceSpec():
            yield from selection_faults("which", spec.which, domains)
            yield from _replace_faults(spec, domains[spec.domain], beside)
        case TopotacticSpec():
            yield from _topotactic_faults(spec, domains, beside)
        case ChangeSpec():
            move = Move(spec.action, spec.element, spec.domain, spec.to, which=spec.which)
            for fault in move_faults(spec.action, [move], domains):
                yield fault.replace(f"{spec.action}.0", spec.action, 1)
            domains[spec.domain].whole &= spec.action != "swap"
        case LigandsSpec():
            yield from _ligand_faults(spec.add, domains, beside)
        case EtchSpec():
            yield from _etched(spec, domains)


def _there(word: str, here: Known) -> bool:
    return bool(set(here.meant(word)) & here.elements)


def _replace_faults(spec: ReplaceSpec, here: Known, beside: Path | None) -> Iterator[str]:
    yield from said("ions", partial(check_molecular, spec))
    single: dict[str, str] = {}
    for old, new in spec.ions.items():
        if is_molecule(old) or is_molecule(new):
            yield from _molecule_faults(old, new, here, beside)
            continue
        if several := here.several(old):
            yield f"ions: {old!r} is {several}; name the element."
        elif not any(_there(word, here) for word in (old, new)):
            yield (
                f"ions: {spec.domain} holds no {old} to exchange for {new}; it holds "
                f"{', '.join(sorted(here.elements))}."
            )
        else:
            single[here.meant(old)[0]] = new
    if here.whole and single and len(single) == len(spec.ions):
        yield from _product_faults(spec, single, here.crystal, beside)
    elif spec.product is not None:
        yield from said("product", partial(find_structure, spec.product, beside))
    here.elements |= {new for new in spec.ions.values() if not is_molecule(new)}
    here.whole = False


def _product_faults(
    spec: ReplaceSpec, single: Mapping[str, str], parent: Crystal, beside: Path | None
) -> Iterator[str]:
    try:
        product = product_of(parent, spec.product, single, beside)
        product_crystal(parent, single, product)
    except HetbuildError as error:
        yield f"product: {error}"
        return
    if product is None and spec.lattice == "product":
        yield f"lattice: no crystal is known whose lattice {spec.domain} could take; name a product"


def _molecule_faults(old: str, new: str, here: Known, beside: Path | None) -> Iterator[str]:
    """Of an exchange of which one or both sides are molecules."""
    elements: dict[str, set[str]] = {}
    for ion in (old, new):
        if not is_molecule(ion):
            elements[ion] = {ion}
            continue
        try:
            numbers = read_molecule(ion, beside).numbers
        except HetbuildError as error:
            yield f"ions: {error}"
            return
        elements[ion] = {symbol(int(z)) for z in numbers}
    if not any(elements[ion] <= here.elements for ion in (old, new)):
        yield f"ions: there is no {old} to exchange for {new} in {', '.join(sorted(here.elements))}"
    here.elements |= elements[new]


def _topotactic_faults(
    spec: TopotacticSpec, domains: Domains, beside: Path | None
) -> Iterator[str]:
    here = domains[spec.domain]
    if len(domains) < 2 and (spec.keep_planes or spec.keep_thickness):
        yield "keep_planes: there is no interface to keep a layer at: the model is one domain."
    try:
        product = read_crystal(find_structure(spec.product, beside))
        cation, _, _ = check_product(product, spec.deficit)
        if here.whole:
            topotaxies(here.crystal, product)
    except HetbuildError as error:
        yield f"product: {error}"
        return
    here.elements.add(cation)
    here.whole = False


def _ligand_faults(adds: Sequence[Add], domains: Domains, beside: Path | None) -> Iterator[str]:
    for add in adds:
        yield from selection_faults("add", add.on, domains)
        held = set().union(*(d.elements for d in domains.values()))
        named = [
            {t.condition.element for t in part if isinstance(t.condition, Ion) and t.holds} - {""}
            for part in parse_selection(add.on).alternatives
        ]
        if all(elements - held for elements in named):
            wanted = ", ".join(sorted(set().union(*named) - held))
            yield f"add: {add.on!r} means {wanted}, and there is {', '.join(sorted(held))}."
        if add.ligand.lower().endswith(LIGAND_FILES):
            path = Path(add.ligand) if beside is None else beside / add.ligand
            yield from said("add", partial(check_file, path))
        elif smiles_of(add.ligand) is None:
            from hetbuild.capping.molecule import read_ligand

            yield from said("add", partial(read_ligand, add.ligand, chain=add.chain))


def _etched(spec: EtchSpec, domains: Domains) -> Iterator[str]:
    if len(domains) < 2:
        yield f"domain: {spec.domain} is the only domain: etching it would leave nothing."
        return
    gone = domains.pop(spec.domain)
    for heir in domains.values():  # its shared layer stays
        heir.elements |= set(counts(gone.crystal.numbers[gone.crystal.charges > 0]))
