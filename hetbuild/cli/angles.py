"""`hetbuild angles`: between planes and directions of the domains, and what a zone shows."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hetbuild.cli.console import emit
from hetbuild.cli.indices import Rows
from hetbuild.cli.models import read_model
from hetbuild.cli.options import MODEL, NUMBER, Labels, as_json, label_options, zone_options
from hetbuild.cli.tables import table
from hetbuild.errors import InputError
from hetbuild.indices import parse_plane, parse_vector

if TYPE_CHECKING:
    from hetbuild.diffraction.orientation import Between, Feature
    from hetbuild.diffraction.zone import Spacing, Zone
    from hetbuild.model import Model

EXAMPLE = "'perovskite (-2 1 0)' for a plane, 'sulfide [0 0 1]' for a direction"


@click.command(cls=Rows)
@click.argument("model", type=MODEL)
@click.option(
    "--between",
    nargs=2,
    multiple=True,
    metavar="A B",
    help="Angle between two, as 'perovskite [0 1 0]' 'sulfide (0 0 2)'; repeatable.",
)
@zone_options("Planes seen edge on down this zone axis.")
@click.option("--finest", type=NUMBER, metavar="Å", help="Smallest spacing listed [1.5].")
@label_options
@as_json
def angles(
    model: Path,
    between: tuple[tuple[str, str], ...],
    zone: tuple[float, float, float] | None,
    of: str | None,
    finest: float | None,
    labels: Labels,
    as_json: bool,
) -> None:
    """Angles between planes and directions of MODEL's domains, and spacings of its planes.

    \b
    hetbuild angles cspbcl3-pbs/cspbcl3-pbs.xyz
    hetbuild angles cspbcl3-pbs/cspbcl3-pbs.xyz --between "perovskite [0 1 0]" "sulfide [0 0 1]"
    hetbuild angles cspbcl3-pbs/cspbcl3-pbs.xyz --zone "0 0 1" --of perovskite

    In the lattices fitted to the atoms: after a relaxation they are no longer those of the bulk.
    """
    if of is not None and zone is None:
        raise InputError("--of says whose zone axis --zone is; name the zone.")
    if finest is not None and not 0.5 <= finest <= 20.0:
        raise InputError(f"--finest must be 0.5 to 20 Å; given {finest:g}.")
    read = read_model(model, labels)
    record, lines = _asked(read, between, zone, of, finest)
    emit(record, "\n".join(lines), as_json)


def _asked(
    model: Model,
    pairs: tuple[tuple[str, str], ...],
    zone: tuple[float, float, float] | None,
    of: str | None,
    finest: float | None,
) -> tuple[dict[str, Any], list[str]]:
    """What was asked for; nothing in particular: what is parallel, and the spacings."""
    from hetbuild.diffraction import orientation
    from hetbuild.diffraction.zone import FINEST, spacings
    from hetbuild.diffraction.zone import zone as seen_down

    record: dict[str, Any] = {}
    lines: list[str] = []
    if pairs:
        asked = [(_feature(a, model), _feature(b, model)) for a, b in pairs]
        found = [orientation.between(model, a, b) for a, b in asked]
        record["between"] = [b.as_dict() for b in found]
        lines += [_angle(b) for b in found]
    if zone is not None:
        name = of or model.domains[0].name
        seen = seen_down(model, name, zone, finest or FINEST)
        record["zone"] = seen.as_dict()
        lines += [""] * bool(lines) + list(_zone(seen))
    if not pairs and zone is None:
        parallel = orientation.parallels(model)
        planes = spacings(model, finest or FINEST)
        record |= {"parallel": [b.as_dict() for b in parallel]}
        record |= {"spacings": [asdict(s) for s in planes]}
        lines += [_angle(b) for b in parallel]
        lines += [""] * bool(lines) + list(_spacings(planes))
    return record, lines


def _feature(text: str, model: Model) -> Feature:
    """A plane or direction with its domain, which may be left out where there is one only."""
    from hetbuild.diffraction.orientation import feature

    match = re.fullmatch(r"\s*(.*?)\s*(?:\(([^()\[\]]*)\)|\[([^()\[\]]*)\])\s*", text)
    if match is None:
        raise InputError(f"{text!r} is neither a plane nor a direction; write {EXAMPLE}.")
    name, plane, direction = match.groups()
    if not name and len(model.domains) > 1:
        known = ", ".join(d.name for d in model.domains)
        raise InputError(f"{text!r}: say of which domain, {known}; as {EXAMPLE}.")
    name = name or model.domains[0].name
    model.domain_named(name)
    try:
        if direction is None:
            return feature(name, "plane", parse_plane(plane))
        return feature(name, "direction", parse_vector(direction))
    except ValueError as error:
        raise InputError(f"{text!r}: {error}.") from None


def _angle(found: Between) -> str:
    return f"{found.angle:7.2f}°  {found.first!s:28} {found.second}"


def _zone(found: Zone) -> Iterator[str]:
    from hetbuild.crystal.lattice import plane_label

    u, v, w = found.uvw
    yield f"[{u} {v} {w}] of {found.domain} towards the viewer"
    for name, (a, b, c), tilt in found.tilts:
        yield f"{name}: [{a} {b} {c}] is {tilt:.2f}° from it"
    rows = [
        (
            p.domain,
            plane_label(p.hkl),
            *(f"{p.spacing:.3f}", f"{p.azimuth:.2f}", f"{round(p.off, 2) + 0.0:.2f}"),
        )
        for p in found.planes
    ]
    yield from table(rows, "<>>>>", head=("domain", "(h k l)", "d/Å", "normal/°", "off/°"))
    if not found.planes:
        yield "no planes edge on with spacings this large; try --finest"


def _spacings(planes: tuple[Spacing, ...]) -> Iterator[str]:
    from hetbuild.crystal.lattice import plane_label

    rows = [
        (s.domain, plane_label(s.hkl), f"{s.model:.3f}", f"{s.bulk:.3f}", f"{s.intensity:.1f}")
        for s in planes
    ]
    yield from table(rows, "<>>>>", head=("domain", "(h k l)", "d/Å", "bulk/Å", "line/%"))
