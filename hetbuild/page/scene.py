"""The atoms of a model for the page's 3D view, packed; and the directions it can be seen from."""

from __future__ import annotations

import base64
from itertools import product
from typing import Any

import numpy as np

from hetbuild.arrays import FloatArray, IntArray
from hetbuild.elements import symbol
from hetbuild.formats.vesta import bond_limits, style
from hetbuild.geometry.bonds import IONIC
from hetbuild.geometry.electrostatics import SHANNON_RADII
from hetbuild.geometry.view import View, view, zone_view
from hetbuild.model import Model, Role

STEP = 1e-4
"""Å: positions are whole multiples of this."""

DOMAIN_COLOURS = ("#d9822b", "#2b7fd9", "#4f9d4a", "#b04fa0")
"""In the order of the domains."""

ROLE_COLOURS = {
    Role.LATTICE: "#8f99a8",
    Role.SHARED: "#d6249f",
    Role.LIGAND: "#1b7f3b",
    Role.COMPENSATION: "#e0a800",
}


def scene(model: Model) -> dict[str, Any]:
    """Plain values for JSON; per-atom arrays as base64 of little-endian integers.

    Positions are 32-bit multiples of 1e-4 Å from `origin`, so that 100,000 ions take 1.6 MB.
    """
    kinds, element = np.unique(model.numbers, return_inverse=True)
    origin = model.positions.mean(axis=0)
    return {
        "count": len(model),
        "origin": origin.tolist(),
        "step": STEP,
        "position": packed((model.positions - origin) / STEP, "<i4"),
        "element": packed(element, "u1"),
        "domain": packed(model.domain, "u1"),
        "role": packed(model.role, "u1"),
        "charge": packed(model.charges, "i1"),
        "site": packed(model.site, "<i2"),
        "elements": [_element(symbol(int(z))) for z in kinds],
        "domains": [
            {
                "name": d.name,
                "crystal": d.crystal.name,
                "colour": DOMAIN_COLOURS[i % len(DOMAIN_COLOURS)],
                "sites": list(d.crystal.site_names),
            }
            for i, d in enumerate(model.domains)
        ],
        "roles": [{"name": r.label, "colour": ROLE_COLOURS[r]} for r in Role],
        "reach": neighbour_limits(model),
        "bonds": [list(pair) for pair in bond_limits(model)],
        "views": views(model),
        "cell": None if model.cell is None else model.cell.tolist(),
    }


def packed(values: FloatArray | IntArray, kind: str) -> str:
    """Rounded to integers of this kind, as base64."""
    return base64.b64encode(np.rint(values).astype(kind).tobytes()).decode("ascii")


def neighbour_limits(model: Model) -> list[tuple[str, str, float]]:
    """Cation, anion and the distance in Å up to which they are neighbours: as bonds are, A cations
    included."""
    limits = {pair: round(limit, 4) for pair, limit in bond_limits(model).items()}
    sign = {
        symbol(int(z)): int(np.sign(model.charges[model.numbers == z].sum()))
        for z in np.unique(model.numbers)
    }
    for cation, anion in product(sign, sign):
        known = cation in SHANNON_RADII and anion in SHANNON_RADII
        if known and sign[cation] > 0 > sign[anion]:
            reach = IONIC * (SHANNON_RADII[cation] + SHANNON_RADII[anion])
            limits.setdefault((cation, anion), round(reach, 4))
    return [(*pair, limit) for pair, limit in limits.items()]


def views(model: Model) -> list[dict[str, Any]]:
    """Named views with the quaternion x, y, z, w that turns the model's axes to the screen's."""
    found = [{"group": "", "name": "as in VESTA", "turn": _quaternion(view(model))}]
    for k, domain in enumerate(model.domains):
        for uvw in _directions(model, k):
            found.append(
                {
                    "group": domain.name,
                    "name": "[" + " ".join(map(str, uvw)) + "]",
                    "turn": _quaternion(zone_view(model, k, uvw)),
                }
            )
    return found


def _directions(model: Model, domain: int) -> list[tuple[int, ...]]:
    """<100>, <110>, <111> and those along the interface, both senses, plain ones first."""
    plain = [uvw for uvw in product((0, 1, -1), repeat=3) if any(uvw)]
    name = model.domains[domain].name
    along = [
        (c.first if held.domains[0] == name else c.second).uvw
        for held in model.interfaces
        if name in held.domains
        for c in (held.along, held.across)
        if c is not None
    ]
    more = [tuple(s * i for i in uvw) for uvw in along for s in (1, -1)]
    plain.sort(key=lambda uvw: (sum(map(abs, uvw)), [i < 0 for i in uvw]))
    return list(dict.fromkeys([*plain, *more]))


def _quaternion(seen: View) -> list[float]:
    from scipy.spatial.transform import Rotation

    return [round(float(q), 7) + 0.0 for q in Rotation.from_matrix(np.array(seen.axes)).as_quat()]


def _element(name: str) -> dict[str, Any]:
    radius, (r, g, b) = style(name)
    return {"symbol": name, "colour": f"#{r:02x}{g:02x}{b:02x}", "radius": round(radius, 3)}
