"""The verdict on a model in words: tables of a report, and the checks a build must pass."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from hetbuild.analyse.interface import MeasuredInterface
from hetbuild.analyse.report import Meeting, Report
from hetbuild.crystal.lattice import plane_label
from hetbuild.model import Model


def report_lines(
    model: Model, report: Report, history: Sequence[tuple[str, Model]], verbose: bool
) -> list[str]:
    """The text of `build` and `inspect`. history: stages by name; verbose: the whole ledger."""
    lines = [f"{stage:20s} {m.formula:28s} {m.charge:+4d} e" for stage, m in history]
    lines += ["", *_ledger(model, verbose)] if history else []
    lines += ["", *_steps(model, verbose)] if "steps" in model.provenance else []
    lines += ["", f"{'formula':14s} {report.formula}", f"{'charge':14s} {report.charge:+d} e"]
    lines += [f"{name:14s} {text}" for name, text in report.formulas.items()]
    lines += list(_polarity(report))
    lines += list(_compositions(report))
    lines += list(_sizes(report))
    lines += [f"{'roles':14s} " + ", ".join(f"{n} {role}" for role, n in report.roles.items())]
    if report.off_site is not None:
        off = report.off_site
        lines.append(
            f"{'off site':14s} {off.count} of {off.total} ions off their lattice sites: "
            f"{off.rms:.2f} Å rms, {off.largest:.2f} Å at most"
        )
    across = report.interfaces or len(report.formulas) == 2
    for contact in report.contacts:
        where = "across" if across else "inside"
        lines.append(f"{'contact':14s} {contact.kind} {contact.distance:.3f} Å {where}")
    for region, histogram in report.coordination.items():
        text = ", ".join(f"{count} with {n}" for n, count in histogram.items())
        lines.append(f"{'Pb ' + region:14s} {text} anions within 3.6 Å")
    lines += list(_coordinations(report))
    lines += list(_uncertain(model))
    lines += list(_contact(model, report))
    lines += list(_continuity(report))
    if report.cell is None:
        lines.append(f"{'point group':14s} {report.point_group}")
    else:
        lines += list(
            _periodic(report, report.cell, {d.name: d.crystal.name for d in model.domains})
        )
    return lines if history else lines[1:]


def _polarity(report: Report) -> Iterator[str]:
    """Where the formal charges are: neutral in total is not non-polar."""
    if len(report.charges) > 1:
        each = ", ".join(f"{name} {charge:+d} e" for name, charge in report.charges.items())
        yield f"{'of domains':14s} {each}"
    if report.dipole is not None:
        yield f"{'dipole':14s} {report.dipole:.0f} D of the formal charges"


def _sizes(report: Report) -> Iterator[str]:
    for name, size in report.sizes.items():
        across = " x ".join(f"{x:.2f}" for x in size.across)
        yield (
            f"{'size':14s} {name} {across} nm across (1 0 0), (0 1 0), (0 0 1); "
            f"longest {size.longest:.2f} nm"
        )


def _contact(model: Model, report: Report) -> Iterator[str]:
    """How the domains meet: by an interface, or as shells."""
    if len(report.interfaces) > 1:
        for meeting in report.interfaces:
            yield from _meeting(meeting)
        return
    if report.interface is not None:
        yield from _interface(report.interface)
        return
    for name, shell in report.shells.items():
        strain = " ".join(f"{100 * s:+.2f}" for s in shell.strain)
        yield (
            f"{'shell':14s} {name} around {', '.join(shell.encloses)}; strain at the core "
            f"{strain} % of {model.domains[model.domain_named(name)].crystal.name}"
        )
    if not report.shells and len(model.domains) == 2:
        yield f"{'interface':14s} not measured: the ions of a domain do not show its lattice"


def _compositions(report: Report) -> Iterator[str]:
    """Atomic and mass per cent of the whole and, where there are several, of each domain."""
    parts = [("", report.composition)]
    parts += report.compositions.items() if len(report.formulas) > 1 else []
    for name, found in parts:
        for unit, values in (("at.%", found.atomic), ("mass %", found.mass)):
            text = ", ".join(f"{element} {value:.2f}" for element, value in values.items())
            yield f"{unit:14s} {text}" + (f" in {name}" if name else "")


def _ledger(model: Model, verbose: bool) -> Iterator[str]:
    """Changes by kind, or each with its place."""
    if verbose:
        for e in model.ledger:
            x, y, z = e.position
            yield f"{e.action} {e.element} in {e.domain} at {x:.3f} {y:.3f} {z:.3f}: {e.reason}"
        return
    kinds = Counter((e.action, e.element, e.domain, e.reason) for e in model.ledger)
    for (action, element, domain, reason), n in kinds.items():
        yield f"{action} {n} {element} in {domain}: {reason}"


def _steps(model: Model, verbose: bool) -> Iterator[str]:
    """What exchange and etching did."""
    for step in model.provenance["steps"]:
        for done in step["done"]:
            try:
                lines = list(_done(done, verbose))
            except (AttributeError, KeyError, TypeError, ValueError):
                lines = [f"{'step':14s} what it did cannot be read from this file"]
            yield from lines


def _done(done: Mapping[str, Any], verbose: bool) -> Iterator[str]:
    if "changed" in done:
        yield f"{'changed':14s} {done['changed']} x {done['move']}; charge {done['charge']:+d} e"
    elif "anchor" in done or "coverage" in done:
        yield from _ligands(done, verbose)
    else:
        yield from _etched(done) if "removed" in done else _exchanged(done, verbose)


def _ligands(done: Mapping[str, Any], verbose: bool) -> Iterator[str]:
    if "anchor" in done:
        modes = ", ".join(f"{n} {mode}" for mode, n in done["modes"].items()) or "none"
        modes += f"; {done['bent']} bent to fit" if done["bent"] else ""
        part = 100.0 * done["sites"] / done["available"]
        yield (
            f"{'ligand':14s} {done['placed']} {done['ligand']} by their {done['anchor']} on "
            f"{done['sites']} of {done['available']} sites ({part:.0f} %): {modes}"
        )
        failed = done["no_room"]
        if failed:
            yield f"{'':14s} no room on {len(failed)} of the sites tried" + ":" * verbose
        for ion, x, y, z in failed if verbose else ():
            yield f"{'':14s} {ion} {x:9.3f} {y:9.3f} {z:9.3f}"
        return
    found = done["coverage"]
    for facet in found["facets"]:
        held = ", ".join(f"{n} {name}" for name, n in facet["ligands"].items()) or "none"
        yield (
            f"{'coverage':14s} {facet['density']:.2f} per nm² on {facet['form']} of "
            f"{facet['domain']}, {facet['area']:.2f} nm²: {held}"
        )
    for contact in found["contacts"]:
        yield (
            f"{'contact':14s} {contact['kind']} {contact['elements']} {contact['distance']:.2f} Å, "
            f"{contact['part']:.2f} of the van der Waals sum"
        )
    yield (
        f"{'outer size':14s} {found['outer_size']:.2f} nm, {found['core_size']:.2f} nm without "
        f"ligands; {found['organic_mass']:.1f} mass % organic"
    )


def _etched(done: Mapping[str, Any]) -> Iterator[str]:
    stays = done["inherited"] or "nothing"
    layer = f"; of the shared layer {done['layer']} {stays} stays" if done["layer"] else ""
    yield f"{'etched':14s} {done['removed']} dissolved{layer}; charge {done['charge']:+d} e"


def _exchanged(done: Mapping[str, Any], verbose: bool) -> Iterator[str]:
    if not any(done["taken"].values()):
        yield f"{'exchange':14s} {done['domain']} holds nothing more to exchange: unchanged"
        return
    out, in_ = (", ".join(f"{n} {e}" for e, n in done[k].items()) for k in ("taken", "put"))
    yield f"{'exchange':14s} {done['domain']}: {out} out, {in_} in, charge {done['charge']:+d} e"
    strain = " ".join(f"{100 * s:+.2f}" for s in done["strain"])
    yield f"{'strain':14s} {strain} % of {done['product']} in the lattice it has here"
    details = done["details"]
    if "beside_site" in details:
        yield (
            f"{'off site':14s} {details['beside_site']} molecules stand beside their site, at most "
            f"{details['off_at_most']:.2f} Å: the interface leaves no room on it"
        )
    if "anions_around" not in details:
        return
    around = sorted(details["anions_around"].items(), key=lambda kn: -int(kn[0]))
    sites = details["interstitial_sites"]
    yield f"{'sites':14s} {sites} from an anion; {details['kept']} cations kept"
    yield f"{'':14s} " + ", ".join(f"{n} with {k} anions" for k, n in around)
    sites = "interstitial sites"
    if "off_centre" in details:
        off, sites = details["off_centre"], "such sites"
        yield (
            f"{'':14s} {off['count']} beside cations kept, up to {off['largest']:.2f} Å off the "
            "centre of their site, away from them"
        )
    yield (
        f"{'energy':14s} {details['below_random']:+.2f} eV per cation against the mean of random "
        f"choices of {sites}"
    )
    if details["missing"]:
        yield f"{'deficit':14s} {details['missing']} cations left out"
    places = details["at_surface"]
    if places:
        yield f"{'':14s} {len(places)} sit at the surface, with 2 anions" + ":" * verbose
        for x, y, z in places if verbose else ():
            yield f"{'':14s} {x:9.3f} {y:9.3f} {z:9.3f}"


def _continuity(report: Report) -> Iterator[str]:
    for c in report.continuity:
        yield (
            f"{'continuity':14s} {c.count} of {c.total} outermost {c.cation} of {c.domain} on "
            f"{c.site} sites of {c.lattice_of}, {c.rms:.2f} Å off (largest {c.largest:.2f})"
        )


def _periodic(
    report: Report, cell: tuple[float, ...], crystals: Mapping[str, str]
) -> Iterator[str]:
    yield (
        f"{'cell':14s} "
        + " ".join(f"{x:.3f}" for x in cell[:3])
        + " Å, "
        + " ".join(f"{x:.2f}" for x in cell[3:])
        + " degrees"
    )
    for name, (xx, yy, xy) in report.strain.items():
        yield (
            f"{'strain':14s} {name}, {crystals[name]}: {100 * xx:+.2f} % along, "
            f"{100 * yy:+.2f} % across, shear {100 * xy:+.2f} %"
        )
    yield f"{'space group':14s} {report.point_group}"


def _coordinations(report: Report) -> Iterator[str]:
    """Of the cations other than Pb, whose published limit stands above."""
    for element, found in report.coordinations.items():
        if element == "Pb":
            continue
        for region, histogram in found.regions.items():
            text = ", ".join(f"{count} with {n}" for n, count in histogram.items())
            yield f"{element + ' ' + region:14s} {text} anions within {found.within:.2f} Å"


def _uncertain(model: Model) -> Iterator[str]:
    """Ions of a foreign file whose domain its positions leave open."""
    listed = model.provenance.get("ambiguous", [])
    if listed:
        yield f"{'uncertain':14s} {len(listed)} ions could be in another domain:"
    for ion in listed:
        off = ", ".join(f"{r:.2f} Å from {name}" for name, r in ion["residuals"].items())
        yield f"{'':14s} {ion['element']}{ion['index'] + 1} taken for {ion['domain']}: {off}"


def _meeting(meeting: Meeting) -> Iterator[str]:
    """One interface of several, under the names of its domains."""
    first, second = meeting.domains
    yield f"{'between':14s} {first} and {second}"
    for contact in meeting.contacts:
        yield f"{'contact':14s} {contact.kind} {contact.distance:.3f} Å"
    if meeting.measured is None:
        yield f"{'interface':14s} not measured: the ions of a domain do not show its lattice"
    else:
        yield from _interface(meeting.measured)


def _interface(found: MeasuredInterface) -> Iterator[str]:
    a, b = (plane_label(p) for p in found.planes)
    yield f"{'interface':14s} {a} || {b}, normals {found.misalignment:.2f}° apart"
    for pair in found.coincidences:
        u, v = pair.labels
        yield (
            f"{'mismatch':14s} {100 * pair.mismatch:+.2f} %  {u} {pair.lengths[0]:.3f} Å || "
            f"{v} {pair.lengths[1]:.3f} Å"
        )
    if found.tilt is not None:
        u, v = ("[" + " ".join(map(str, t)) + "]" for t in (found.tilt.first, found.tilt.second))
        yield f"{'tilt':14s} {found.tilt.angle:.1f}° between {u} and {v}"
    yield f"{'lattice fit':14s} rms {found.spread[0]:.3f} and {found.spread[1]:.3f} Å"
