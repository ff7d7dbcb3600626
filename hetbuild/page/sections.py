"""What the page says about a model, part by part."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from hetbuild.analyse.interface import MeasuredInterface
from hetbuild.analyse.report import Meeting, Report
from hetbuild.crystal.lattice import plane_label
from hetbuild.page.html import (
    Html,
    Number,
    bar,
    figure,
    folded,
    heading,
    paragraph,
    section,
    table,
    verbatim,
)

if TYPE_CHECKING:
    from hetbuild.diffraction.xrd import Xrd
    from hetbuild.microscopy.fourier import Spectrum
    from hetbuild.microscopy.image import Image
    from hetbuild.model import Model

MOST_ENTRIES = 500
"""Ions of the ledger listed one by one."""

MOST_PEAKS = 8

UNSEEN = "Not measured: the ions of a domain do not show its lattice."


def composition(model: Model, report: Report) -> Html:
    """Formula and charge of each domain, roles, and the ledger."""
    rows: list[list[object]] = []
    for i, domain in enumerate(model.domains):
        mine = model.domain == i
        formula, charge = report.formulas[domain.name], int(model.charges[mine].sum())
        rows.append([domain.name, domain.crystal.name, formula, int(mine.sum()), signed(charge)])
    if len(model.domains) > 1:
        rows.append(["whole", "", report.formula, len(model), signed(report.charge)])
    elements = list(report.composition.atomic)
    every = {**report.compositions, "whole": report.composition}
    shares = [
        [
            f"{name}, {kind} %",
            *(Number(f"{part[e]:.2f}" if e in part else "") for e in elements),
        ]
        for name, found in (every if len(model.domains) > 1 else {"whole": every["whole"]}).items()
        for kind, part in (("atomic", found.atomic), ("mass", found.mass))
    ]
    roles = ", ".join(f"{n} {role}" for role, n in report.roles.items())
    parts = [
        table(["domain", "crystal", "formula", "ions", "formal charge / e"], rows),
        table(["", *elements], shares),
        paragraph(f"Roles of the ions: {roles}."),
        *_ledger(model),
    ]
    return section("composition", "Composition and charge", parts)


def _ledger(model: Model) -> Iterator[Html]:
    if not model.ledger:
        return
    yield heading("Ledger: what came, went or changed, and why")
    kinds = Counter((e.step, e.action, e.element, e.domain, e.reason) for e in model.ledger)
    yield table(
        ["step", "action", "ion", "domain", "how many", "reason"],
        [[s, a, e, d, n, r] for (s, a, e, d, r), n in kinds.items()],
    )
    rows = [
        [e.step, e.action, e.element, e.domain, *(Number(f"{x:.3f}") for x in e.position)]
        for e in model.ledger[:MOST_ENTRIES]
    ]
    left = len(model.ledger) - len(rows)
    title = f"Each of them with its place, Å{f' (the first {len(rows)})' if left else ''}"
    yield folded(title, table(["step", "action", "ion", "domain", "x", "y", "z"], rows))


def interface(model: Model, report: Report, sketches: Sequence[Html | None]) -> Html | None:
    """How the domains meet: as asked and as measured from the positions.

    sketches: one of each of the report's interfaces.
    """
    if len(model.domains) != 2 and not report.interfaces:
        return None
    parts: list[Html] = []
    for meeting, sketch in zip(report.interfaces, sketches, strict=True):
        if len(report.interfaces) > 1:
            parts.append(heading(" and ".join(meeting.domains)))
        parts += _meeting(model, meeting, sketch)
    if not report.interfaces:
        parts.append(paragraph(UNSEEN))
    if report.continuity:
        rows = [
            [
                f"{c.cation} of {c.domain} on {c.site} sites of {c.lattice_of}",
                Number(f"{c.count} of {c.total}"),
                Number(f"{c.rms:.2f}"),
                Number(f"{c.largest:.2f}"),
            ]
            for c in report.continuity
        ]
        head = ["cation sublattice continued", "ions", "rms off / Å", "largest / Å"]
        parts.append(table(head, rows))
    return section("interface", "Interface", parts)


def _meeting(model: Model, meeting: Meeting, sketch: Html | None) -> Iterator[Html]:
    """One interface: its picture, what is measured, how it was built, its contacts."""
    if sketch is not None:
        yield sketch
    yield paragraph(UNSEEN) if meeting.measured is None else _measured(meeting.measured)
    for held in model.interfaces:
        if held.domains == meeting.domains:
            a, b = held.shift
            yield paragraph(
                f"Rigid shift of {held.domains[1]} from the coincidence, as built: {a:+.3f} Å "
                f"along, {b:+.3f} Å across, {held.gap:.3f} Å away."
            )
    if len(model.domains) > 2:
        closest = ", ".join(f"{c.kind} {c.distance:.3f} Å" for c in meeting.contacts)
        yield paragraph(f"Closest contacts: {closest}.")


def _measured(found: MeasuredInterface) -> Html:
    first, second = (plane_label(p) for p in found.planes)
    rows: list[list[object]] = [
        [
            "planes",
            f"{first} of {found.domains[0].name} || {second} of {found.domains[1].name}",
            f"normals {found.misalignment:.2f}° apart",
        ]
    ]
    for pair in found.coincidences:
        u, v = pair.labels
        rows.append(
            [
                "directions",
                f"{u} {pair.lengths[0]:.3f} Å || {v} {pair.lengths[1]:.3f} Å",
                f"mismatch {100 * pair.mismatch:+.2f} %",
            ]
        )
    if found.tilt is not None:
        u, v = (" ".join(map(str, t)) for t in (found.tilt.first, found.tilt.second))
        rows.append(["tilt", f"[{u}] to [{v}]", f"{found.tilt.angle:.1f}°"])
    a, b = found.spread
    rows.append(["lattice fit", "rms of the ions from each lattice", f"{a:.3f} and {b:.3f} Å"])
    return table(["", "measured from the positions", ""], rows)


def contacts(report: Report) -> Html:
    """Closest contacts, and the coordination of Pb."""
    where = "across the interface" if len(report.formulas) > 1 else "inside the particle"
    if len(report.interfaces) > 1:
        where = "between domains"
    parts = [
        table(
            ["closest contact " + where, "Å"],
            [[c.kind, Number(f"{c.distance:.3f}")] for c in report.contacts],
        )
    ]
    rows = []
    for region, histogram in report.coordination.items():
        most = max(histogram.values())
        rows += [[region, n, count, bar(count / most)] for n, count in histogram.items()]
    if rows:
        parts.append(table(["Pb", "anions within 3.6 Å", "ions", ""], rows))
    if report.off_site is not None:
        off = report.off_site
        told = (
            f"{off.count} of {off.total} ions off their lattice sites: {off.rms:.2f} Å rms, "
            f"{off.largest:.2f} Å at most."
        )
        parts.append(paragraph(told))
    return section("contacts", "Contacts and coordination", parts)


def diffraction(found: Xrd) -> Html:
    """The powder pattern and its maxima."""
    caption = "Debye sum of this particle, with the partials of its domains and their cross term."
    parts = [figure(found.plot(), "xrd", "Powder pattern of the particle and its domains", caption)]
    rows: list[list[object]] = []
    for name, peaks in found.peaks.items():
        for peak in sorted(peaks, key=lambda p: -p.height)[:MOST_PEAKS]:
            line = peak.line
            rows.append(
                [
                    name,
                    Number(f"{peak.two_theta:.2f}"),
                    Number(f"{peak.height:.0f}"),
                    "" if line is None else f"{line.phase} {plane_label(line.hkl)}",
                    Number("" if line is None else f"{line.two_theta:.2f}"),
                ]
            )
    head = ["of", "maximum 2θ / °", "height / %", "nearest line", "at / °"]
    parts.append(folded("Maxima", table(head, rows)))
    return section("diffraction", "X-ray powder pattern", parts)


def microscopy(image: Image, found: Spectrum, drawn: Any) -> Html:
    """The image, its FFT, and what was measured in it."""
    caption = (
        f"{image.method}. Circles and labels are the model's; each domain's spots were measured in "
        "the transform of its own part of the image."
    )
    parts = [figure(drawn, "haadf", "HAADF-STEM image and FFT with indexed spots", caption)]
    rows: list[list[object]] = []
    for p in found.patterns:
        for s in p.spots[:6]:
            rows.append(
                [
                    p.domain,
                    plane_label(s.hkl),
                    Number(f"{s.measured:.3f} ± {s.uncertainty:.3f}"),
                    Number(f"{s.spacing:.3f}"),
                ]
            )
    parts.append(folded("Spacings", table(["domain", "spot", "measured / Å", "model / Å"], rows)))
    return section("image", "Electron microscopy", parts)


def provenance(model: Model, report: Report) -> Html:
    """Where the model comes from, and how to make it again."""
    known: Mapping[str, Any] = model.provenance
    parts: list[Html] = []
    recipe = known.get("recipe")
    for reference in (recipe or {}).get("references", ()):
        parts.append(paragraph(f"After {reference}"))
    crystals = {d.crystal.name: d.crystal for d in model.domains}
    rows = [
        [name, c.space_group, _cell(c.cell_parameters), c.source, Html(_code(c.sha256[:16]))]
        for name, c in crystals.items()
    ]
    head = ["crystal", "space group", "cell / Å, °", "source", "SHA-256 of the file"]
    parts.append(table(head, rows))
    if "versions" in known:
        listed = ", ".join(f"{k} {v}" for k, v in known["versions"].items())
        parts.append(paragraph(f"Built with {listed}."))
    if report.cell is None:
        parts.append(paragraph(f"Point group of the particle: {report.point_group}."))
    parts += _recipe(recipe)
    return section("provenance", "Provenance and recipe", parts)


def _code(value: str) -> str:
    return f"<code>{Html(value) if value.isalnum() else ''}</code>"


def _cell(parameters: tuple[float, ...]) -> str:
    lengths = " ".join(f"{x:.4g}" for x in parameters[:3])
    return f"{lengths}, {' '.join(f'{x:.4g}' for x in parameters[3:])}"


def _recipe(record: Any) -> Iterator[Html]:
    from hetbuild.errors import InputError
    from hetbuild.names import safe_name
    from hetbuild.recipe.toml import recipe_toml

    if not record:
        yield paragraph("The file records no recipe: it was not built by hetbuild.")
        return
    try:
        written = recipe_toml(record)
    except InputError:
        yield paragraph("The recipe in the file is of another version of hetbuild.")
        return
    name = safe_name(str(record.get("name", "")))
    yield paragraph(f"Save this as {name}.toml and run hetbuild build {name}.toml")
    yield verbatim(written, "recipe")


def signed(charge: int) -> Number:
    """As ``+5``; 0 without a sign."""
    return Number(f"{charge:+d}" if charge else "0")


def extent(model: Model) -> str:
    """Largest lengths along the screen's axes of its own view, nm."""
    from hetbuild.geometry.view import view

    size = np.ptp(view(model).project(model.positions), axis=0) / 10
    return " x ".join(f"{x:.1f}" for x in size) + " nm"
