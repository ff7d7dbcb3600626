"""What is done to a finished model: exchange and etching, then the charge set right."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from hetbuild.arrays import IntArray, Progress
from hetbuild.balancing.balance import balance, change
from hetbuild.balancing.candidates import Action, Move, eligible, resolved
from hetbuild.balancing.target import Target
from hetbuild.capping.attach import attach
from hetbuild.capping.coverage import coverage
from hetbuild.crystal.crystal import Crystal, read_crystal
from hetbuild.elements import (
    CHALCOGENS,
    HALIDES,
    counts,
    number,
    parse_formula,
    reduced,
    usual_charge,
)
from hetbuild.errors import HetbuildError, ImpossibleError, InputError
from hetbuild.exchanging.etch import etch
from hetbuild.exchanging.insertion import InsertionFloors
from hetbuild.exchanging.molecule import is_molecule
from hetbuild.exchanging.molecules import replace_molecules
from hetbuild.exchanging.same_site import product_crystal, replace_ions, same_sites
from hetbuild.exchanging.selection import share
from hetbuild.exchanging.topotactic import exchange_cations
from hetbuild.library import find_structure, structures
from hetbuild.model import Model
from hetbuild.names import safe_name
from hetbuild.recipe.read import parse_step
from hetbuild.recipe.schema import ChangeSpec, EtchSpec, LigandsSpec, ReplaceSpec, TopotacticSpec
from hetbuild.selection.places import meant

Step = ReplaceSpec | TopotacticSpec | EtchSpec | ChangeSpec | LigandsSpec
Done = list[dict[str, Any]]
"""What a step did, as plain values."""


def run_step(
    model: Model, spec: Step, *, beside: Path | None = None, progress: Progress = None
) -> Model:
    """The model after a step; provenance tells what was asked and what was done.

    beside: folder that CIF paths are relative to.

    Raises
    ------
    InputError, ImpossibleError
        As the step does; ImpossibleError also where it leaves a charge that nothing may restore.
    """
    model = _with_charges(model, spec)
    if model.cell is not None:
        check_periodic(spec)
    match spec:
        case ReplaceSpec():
            changed, done = _replaced(model, spec, beside)
        case TopotacticSpec():
            changed, done = _topotactic(model, spec, beside)
        case ChangeSpec():
            changed, done = _changed(model, spec, progress)
        case LigandsSpec():
            changed, done = _with_ligands(model, spec, beside, progress)
        case EtchSpec():
            changed, etched = etch(model, spec.domain, shared=spec.shared)
            done = [asdict(etched)]
    changed = _neutral(model, changed, spec, progress)
    return replace(changed, provenance=_provenance(changed, spec, done))


def _topotactic(
    model: Model, spec: TopotacticSpec, beside: Path | None
) -> tuple[Model, list[dict[str, Any]]]:
    changed, report = exchange_cations(
        model,
        spec.domain,
        read_crystal(find_structure(spec.product, beside)),
        keep_planes=spec.keep_planes,
        keep_thickness=spec.keep_thickness,
        fraction=spec.fraction,
        order=spec.order,
        deficit=spec.deficit,
        seed=spec.seed,
        lattice=spec.lattice,
        floors=InsertionFloors(kept=spec.contact),
    )
    return changed, [report.as_dict()]


def check_periodic(spec: Step) -> None:
    """Refuse what counts distances or energies without the images of a periodic model."""
    plain = isinstance(spec, ReplaceSpec) and not any(
        is_molecule(ion) for pair in spec.ions.items() for ion in pair
    )
    if not plain or spec.compensate:
        raise ImpossibleError(
            f"{stage_name(spec)}: of a periodic interface only ions on their sites can be "
            'exchanged, as { Cl = "Br" }, without moves that compensate. Molecules, topotactic '
            "products, etching and balancing are placed by energies and distances that leave its "
            "images out; build a particle, or the interface of the product."
        )


def _with_charges(model: Model, spec: Step) -> Model:
    """The charges a step states, known to the crystal of its domain."""
    if not spec.charges:
        return model
    index = model.domain_named(spec.domain)
    crystal = model.domains[index].crystal
    own = set(counts(crystal.numbers)) & set(spec.charges)
    if own:
        raise InputError(
            f"charges: {', '.join(sorted(own))} is an ion of {crystal.name} itself; state its "
            "charge where the crystal is read, in the charges of its domain."
        )
    known = replace(crystal, foreign_charges={**crystal.foreign_charges, **spec.charges})
    domains = list(model.domains)
    domains[index] = replace(domains[index], crystal=known)
    return replace(model, domains=tuple(domains))


def exchange_spec(
    model: Model,
    ions: Mapping[str, str],
    product: str | None,
    domain: str | None,
    options: Mapping[str, Any],
    *,
    shorthand: bool = False,
) -> ReplaceSpec | TopotacticSpec:
    """The step that exchanges ions on their sites or, without ions, a domain for a product.

    domain: default the one the exchange can only mean; a shorthand means the perovskite for halides
    and the sulfide for a product.

    Raises
    ------
    InputError
        An option that does not belong to the step or has a wrong value, or no single domain fits.
    """
    schema: type[ReplaceSpec] | type[TopotacticSpec] = ReplaceSpec if ions else TopotacticSpec
    given = {k: v for k, v in options.items() if v}
    given["fraction"] = options.get("fraction", 1.0)
    if "keep_planes" in options:
        given["keep_planes"] = options["keep_planes"]
    foreign = sorted(set(given) - set(schema.model_fields))
    if foreign:
        named = ", ".join("--" + k.replace("_", "-") for k in foreign)
        kind = "--replace" if ions else "a topotactic product"
        raise InputError(f"{named} has no meaning with {kind}.")
    given["domain"] = domain or _meant(model, ions, product, shorthand)
    if ions:
        given["ions"] = ions
    if product is not None:
        given["product"] = product
    return parse_step(ReplaceSpec, given) if ions else parse_step(TopotacticSpec, given)


def _meant(model: Model, ions: Mapping[str, str], product: str | None, shorthand: bool) -> str:
    """The only domain an exchange can mean."""
    held = {d.name: set(counts(d.crystal.numbers)) for d in model.domains}
    for old in ions:
        if not is_molecule(old) and number(old) not in model.numbers and not shorthand:
            raise InputError(f"No {old} to exchange in {model.formula}.")
    if product is not None and not ions:
        anions = set(counts(_anions(read_crystal(find_structure(product)))))
        fits = [n for n, e in held.items() if anions <= e]
        pure = [n for n in fits if not held[n] & HALIDES]
        fits = pure or fits
    else:
        fits = [n for n, e in held.items() if e & set(ions)] or list(held)
        if shorthand:  # exchanged already, or a halide of both domains: the perovskite is meant
            pure = [n for n, e in held.items() if e & HALIDES and not e & CHALCOGENS]
            fits = pure or fits
    if len(fits) != 1:
        among = ", ".join(fits or held)
        raise InputError(f"Which domain is meant: {among}? Name it with --in.")
    return fits[0]


def _anions(crystal: Crystal) -> IntArray:
    return crystal.numbers[crystal.charges < 0]


def stage_name(spec: Step) -> str:
    """What a stage that ran this step is called."""
    match spec:
        case ReplaceSpec():
            names = [(Path(old).stem, Path(new).stem) for old, new in spec.ions.items()]
            return safe_name("-".join(f"{old}-to-{new}".lower() for old, new in names))
        case TopotacticSpec():
            return f"{spec.domain}-to-{safe_name(Path(spec.product).stem, 'product')}".lower()
        case ChangeSpec():
            ion = spec.element if spec.action != "swap" else f"{spec.element}-to-{spec.to}"
            return f"{spec.domain}-{spec.action}-{ion}".lower()
        case EtchSpec():
            return f"{spec.domain}-etched"
        case LigandsSpec():
            return "ligands"


def _with_ligands(
    model: Model, spec: LigandsSpec, beside: Path | None, progress: Progress
) -> tuple[Model, Done]:
    changed, kinds = attach(
        model,
        [replace(add, on=_within(add.on, spec.domain)) for add in spec.add],
        order=spec.order,
        seed=spec.seed,
        clearance=spec.clearance,
        no_room=spec.no_room,
        beside=beside,
        progress=progress,
    )
    done = [asdict(kind) | {"placed": kind.placed} for kind in kinds]
    return changed, [*done, {"coverage": asdict(coverage(changed))}]


def _within(selection: str, domain: str) -> str:
    """The same selection of one domain's ions; no domain: as it is."""
    parts = re.split(r"\s+or\s+", selection)
    return " or ".join(f"{part}, in {domain}" for part in parts) if domain else selection


def _changed(model: Model, spec: ChangeSpec, progress: Progress) -> tuple[Model, Done]:
    wanted = Move(
        spec.action,
        spec.element,
        spec.domain,
        spec.to,
        which=spec.which,
        order=spec.order,
        seed=spec.seed,
    )
    (move,) = resolved(model, [wanted])
    count = spec.count
    if count is None:
        count = share(spec.fraction or 0.0, len(eligible(model, move)))
    changed = change(model, move, count, progress=progress)
    done: dict[str, Any] = {"changed": count, "move": str(move)}
    return changed, [done | {"charge": changed.charge - model.charge}]


def _replaced(model: Model, spec: ReplaceSpec, beside: Path | None) -> tuple[Model, Done]:
    done = []
    molecular = {o: n for o, n in spec.ions.items() if is_molecule(o) or is_molecule(n)}
    index = model.domain_named(spec.domain)
    single = {meant(o, model, index): n for o, n in spec.ions.items() if o not in molecular}
    check_molecular(spec)
    changed = model
    if single:
        parent = model.domains[index].crystal
        changed, report = replace_ions(
            changed,
            spec.domain,
            single,
            fraction=spec.fraction,
            order=spec.order,
            seed=spec.seed,
            which=spec.which,
            profile=spec.profile,
            product=product_of(parent, spec.product, single, beside),
            lattice=spec.lattice,
        )
        done.append(report.as_dict())
    for old, new in molecular.items():
        changed, report = replace_molecules(
            changed,
            spec.domain,
            old,
            new,
            fraction=spec.fraction,
            order=spec.order,
            which=spec.which,
            profile=spec.profile,
            seed=spec.seed,
            along=spec.along,
            beside=beside,
        )
        done.append(report.as_dict())
    return changed, done


def check_molecular(spec: ReplaceSpec) -> None:
    """Refuse keys that have no meaning where molecules come or go.

    Raises
    ------
    InputError
        There are such keys.
    """
    if not any(is_molecule(ion) for pair in spec.ions.items() for ion in pair):
        return
    if spec.lattice == "product" or spec.product:
        raise InputError("The lattice stays with molecules: leave lattice and product out.")
    if spec.which and any(is_molecule(old) for old in spec.ions):
        raise InputError(
            "which means ions by their bonds and sites: molecules that leave are chosen by "
            "fraction and order, or by a profile."
        )


def product_of(
    parent: Crystal, named: str | None, ions: Mapping[str, str], beside: Path | None
) -> Crystal | None:
    """The product named, else the shipped crystal with the new ions on the parent's sites."""
    if named is not None:
        return read_crystal(find_structure(named, beside))
    exchanged = product_crystal(parent, ions).numbers
    wanted = counts(exchanged)
    for name, path in structures().items():
        try:
            alike = reduced(parse_formula(name.partition("-")[0])) == reduced(wanted)
        except HetbuildError:  # a name that is no formula
            continue
        if alike:
            shipped = read_crystal(path)
            if same_sites(parent, exchanged, shipped) is not None:  # else it is a polymorph
                return shipped
    return None


def _neutral(before: Model, after: Model, spec: Step, progress: Progress) -> Model:
    """The model, balanced where the step allows it, refused where it stays charged."""
    if after.charge == 0 or spec.allow_charge:
        return after
    moves = list(spec.compensate)
    if not moves and isinstance(spec, EtchSpec):
        moves = _halide_moves(after, _beside(before, after, spec.domain))
    if moves:
        return balance(after, moves, Target(charge=0), progress=progress)
    raise ImpossibleError(
        f"This leaves the model with formal charge {after.charge:+d} e ({before.charge:+d} e "
        "before). Say what may restore neutrality, as --compensate 'remove Cl in "
        f"{after.domains[-1].name}', or accept the charge with --allow-charge."
    )


def _beside(before: Model, after: Model, etched: str) -> str:
    """The domain that a dissolved one was joined to, else the first that is left."""
    left = [d.name for d in after.domains]
    met = [n for i in before.interfaces if etched in i.domains for n in i.domains if n in left]
    return (met or left)[0]


def _halide_moves(model: Model, domain: str) -> list[Move]:
    """Halide comes or goes where a domain was dissolved, as ligands do in solution."""
    halides = [e for e in counts(model.numbers) if usual_charge(number(e)) == -1]
    action: Action = "add" if model.charge > 0 else "remove"
    return [Move(action, e, domain) for e in halides[:1]]


def _provenance(model: Model, spec: Step, done: Done) -> dict[str, Any]:
    known = dict(model.provenance)
    asked = spec.model_dump(mode="json")
    known["steps"] = [*known.get("steps", []), {"asked": asked, "done": done}]
    if "recipe" in known:
        recipe = dict(known["recipe"])
        recipe["steps"] = [*recipe.get("steps", []), asked]
        known["recipe"] = recipe
    if "crystals" in known:
        known["crystals"] = known["crystals"] | {
            d.crystal.name: d.crystal.sha256 for d in model.domains
        }
    return known
