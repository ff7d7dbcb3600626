"""How the group of a ligand sits on the ions of a surface.

A rigid head slides in along the surface normal until the first of its donors is as far from an ion
as the radii of the two say. Where it slides in, and how it is turned, decides how many bonds it
makes: one (monodentate), several to one cation (chelating), or to several (bridging).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np

from hetbuild.arrays import FloatArray, IntArray
from hetbuild.capping.molecule import Ligand
from hetbuild.elements import symbol
from hetbuild.errors import InputError
from hetbuild.geometry.electrostatics import SHANNON_RADII

Mode = Literal["any", "monodentate", "chelating", "bridging"]

AMMONIUM = 1.46
"""Å, radius of NH4+ beside a halide, Kieslich et al., doi 10.1039/c4sc02211d."""

BOND = 0.25
"""Å by which a donor may be farther from an ion than its radii say and be bonded to it."""

OFF = 3.0
"""Å by which the middle of the donors may stand off the place of the ion that left."""

ABOVE = OFF + 1.5
"""Å about a site: cations above which a head may slide in, half a bond beyond OFF."""

AROUND = 7.0
"""Å about a site: the ions within it are those that donors keep clear of, and say which way is
outward."""

PAIR = 6.0
"""Å: between two cations closer than this a head may bridge."""

TILTS = (0.0, 15.0, 30.0, 45.0, 60.0)
"""Degrees by which a head leans."""

TILT_STEP = 7.5
"""Degrees: a head that leans by so much more leans to one direction more, two at first."""

SPINS = 12
"""Rotations about the axis of the head."""

LIFTS = (0.0, 0.4, 0.8, 1.2, 1.6)
"""Å that an ammonium may stand above where it would touch: branched ones need the room."""


def bond_length(ligand: Ligand, donor: int, ion: int) -> float:
    """Å between a donor, index, and an ion, atomic number, by tabulated radii.

    Ionic radii of Shannon, doi 10.1107/S0567739476001551; for donors of no charge, as P of
    phosphines, covalent radii of Cordero et al., doi 10.1039/b801115j.

    Raises
    ------
    InputError
        A radius is not tabulated.
    """
    z = int(ligand.numbers[donor])
    own, other = symbol(z), symbol(ion)
    if ligand.charge > 0:
        first: float | None = AMMONIUM
    elif ligand.charge == 0 and own in ("N", "P"):
        return _covalent(z) + _covalent(ion)
    else:
        first = SHANNON_RADII.get(own)
    second = SHANNON_RADII.get(other)
    if first is None or second is None:
        raise InputError(f"No radius of {other if first else own} is tabulated: no bond to {own}.")
    return first + second


def _covalent(z: int) -> float:
    from ase.data import covalent_radii

    return float(covalent_radii[z])


@dataclass(frozen=True, eq=False)
class Heads:
    """Ways F in which the head of a ligand can sit on one site."""

    turns: FloatArray
    """Rotations of the ligand's frame, shape (F, 3, 3)."""
    places: FloatArray
    """Where the middle of the donors is, Å, shape (F, 3)."""
    bonds: IntArray
    """Bonds to ions, shape (F,)."""
    modes: IntArray
    """Index into MODES, shape (F,)."""


MODES = ("monodentate", "chelating", "bridging")


def heads(
    ligand: Ligand,
    site: FloatArray,
    normal: FloatArray,
    partners: FloatArray,
    numbers: IntArray,
    *,
    on_top: bool = False,
    off: float = OFF,
) -> Heads:
    """Ways to sit on a site: bonded to its partners, ions of the other sign around it.

    site, normal: Å and a unit vector, shape (3,); partners: Å, shape (P, 3); numbers: atomic
    numbers of them, shape (P,). on_top: the site is the ion that is bound to. off: Å that the
    donors may stand off the site.
    """
    turns = _turned(normal)
    offsets = np.einsum("fij,dj->fdi", turns, ligand.conformers[0][ligand.donors])
    length = np.array(
        [[bond_length(ligand, int(d), int(z)) for z in numbers] for d in ligand.donors]
    )
    lines = np.zeros((1, 3)) if on_top else _lines(ligand, site, partners)
    places, turn = [], []
    for line in lines + site:
        height = _touching(line + offsets[:, :, None] - partners, normal, length)
        for lift in LIFTS if ligand.charge > 0 else LIFTS[:1]:
            place = line + (height[:, None] + lift) * normal
            near = np.isfinite(height) & (np.linalg.norm(place - site, axis=1) < off)
            places.append(place[near])
            turn.append(np.flatnonzero(near))
    chosen = np.concatenate(turn)
    place = np.concatenate(places)
    at = place[:, None, None] + offsets[chosen][:, :, None] - partners
    bonded = np.linalg.norm(at, axis=-1) < length + BOND
    several = bonded.any(axis=1).sum(axis=1) > 1
    modes = np.where(several, 2, np.where(bonded.any(axis=2).sum(axis=1) > 1, 1, 0))
    return Heads(turns[chosen], place, bonded.sum(axis=(1, 2)), modes)


def _touching(away: FloatArray, normal: FloatArray, length: FloatArray) -> FloatArray:
    """How far along the normal the first donor touches a partner, Å, shape (F,); -inf: none does.

    away: from partners to donors, Å, shape (F, d, P, 3); length: of their bonds, Å, shape (d, P).
    """
    along = away @ normal
    inside = along**2 - (away**2).sum(axis=-1) + length**2
    touch = np.where(inside >= 0, np.sqrt(np.maximum(inside, 0)) - along, -np.inf)
    return np.asarray(touch.max(axis=(1, 2)))


def _lines(ligand: Ligand, site: FloatArray, partners: FloatArray) -> FloatArray:
    """Where heads slide in, from the site, shape (L, 3): there, above cations, and between two."""
    if ligand.charge > 0:
        return np.zeros((1, 3))
    near = partners[np.linalg.norm(partners - site, axis=1) < ABOVE] - site
    first, second = np.triu_indices(len(near), 1)
    close = np.linalg.norm(near[first] - near[second], axis=1) < PAIR
    middle = (near[first] + near[second])[close] / 2
    return np.concatenate([np.zeros((1, 3)), near, middle])


def _turned(normal: FloatArray) -> FloatArray:
    """Rotations that bring z to directions about the normal, spun about it, shape (F, 3, 3)."""
    from scipy.spatial.transform import Rotation

    x = np.cross(normal, np.eye(3)[np.abs(normal).argmin()])
    x /= np.linalg.norm(x)
    frame = np.stack([x, np.cross(normal, x), normal], axis=1)
    return np.asarray(frame @ Rotation.from_euler("ZYZ", _angles(), degrees=True).as_matrix())


@cache
def _angles() -> FloatArray:
    """Azimuth, tilt and spin of every turn in degrees, shape (F, 3)."""
    found = []
    for tilt in TILTS:
        azimuths = 1 if tilt == 0 else 2 + round(tilt / TILT_STEP)
        for a in range(azimuths):
            for spin in range(SPINS):
                turn = 360.0 * a / azimuths
                found.append((turn, tilt, 360.0 * spin / SPINS - turn))
    return np.array(found)
