"""Where a model is looked at from: the one convention of every picture.

A view is three unit vectors: right, up, and towards the viewer, a right-handed set. A zone axis
[u v w] points towards the viewer, against the electron beam, as microscopists define it. VESTA
files, images, their FFTs and the page of a report all take their axes from here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from hetbuild.arrays import FloatArray
from hetbuild.errors import InputError
from hetbuild.frozen import Frozen
from hetbuild.geometry.shared import shared_between
from hetbuild.model import Domain, Interface, Model
from hetbuild.rounding import DIGITS

PARALLEL = 1.0
"""Degrees below which a direction cannot point up because it points at the viewer."""


@dataclass(frozen=True, eq=False)
class View(Frozen):
    """Where the model is looked at from."""

    axes: FloatArray
    """Screen axes as rows in the model's axes: right, up, towards the viewer; shape (3, 3)."""
    plane: tuple[FloatArray, FloatArray] | None
    """Unit normal of the interface, to the first domain's side, and a point on it, Å, shapes (3,)
    in the model's axes."""

    def __post_init__(self) -> None:
        self.axes.flags.writeable = False

    def project(self, positions: FloatArray) -> FloatArray:
        """Screen coordinates right, up, towards the viewer of positions; both Å, shape (N, 3)."""
        return np.asarray(positions @ self.axes.T)

    def tilted(self, about_right: float, about_up: float) -> View:
        """After the model is turned about the right axis, then about the up axis, in degrees.

        Right-handed: a positive first angle tips the top of the model towards the viewer, a
        positive second one turns its right side away.
        """
        a, b = np.radians([about_right, about_up])
        right = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
        up = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
        return replace(self, axes=up @ right @ self.axes)


def view(model: Model) -> View:
    """Down [001], or another in-plane axis, of the first domain, its side of the interface up.

    That is the projection in which the interfaces of these heterostructures are drawn: an interface
    stands upright on the screen and its steps are seen end on. A model without an interface is seen
    down c.
    """
    plane = interface_plane(model)
    first = model.domains[0 if plane is None else _upper(model)]
    if plane is None:
        return View(_screen(first.vectors[1], first.vectors[2]), None)
    return View(_screen(plane[0], _towards(model, first, plane[0])), plane)


def zone_view(model: Model, domain: int, uvw: Sequence[float]) -> View:
    """Down a zone axis of one domain, which points towards the viewer.

    domain: index; uvw: in conventional axes. The first domain's side of the interface is up; where
    the interface is seen face on, or there is none, that of the domain's axes b, c, a is up that
    lies best in the plane of the screen.

    Raises
    ------
    InputError
        [0 0 0], or not three indices.
    """
    direction = np.asarray(uvw, dtype=float)
    if direction.shape != (3,) or not (np.isfinite(direction).all() and direction.any()):
        given = " ".join(f"{x:g}" for x in direction.ravel())
        raise InputError(
            f"[{given}] is no zone axis: a zone takes three indices u v w, not all zero, of the "
            f"conventional axes of {model.domains[domain].name}."
        )
    towards = direction @ model.domains[domain].vectors
    plane = interface_plane(model)
    if plane is not None and _off(plane[0], towards) > PARALLEL:
        return View(_screen(plane[0], towards), plane)
    a, b, c = model.domains[domain].vectors
    up = max((b, c, a), key=lambda v: round(_off(v, towards), DIGITS))
    return View(_screen(up, towards), plane)


def interface_plane(model: Model) -> tuple[FloatArray, FloatArray] | None:
    """Unit normal to the first domain's side, and a point on the plane, Å; None without one.

    Of several interfaces the first.
    """
    if model.interface is None or len(model.domains) < 2:
        return None
    return plane_of(model, model.interface)


def plane_of(model: Model, interface: Interface) -> tuple[FloatArray, FloatArray]:
    """Unit normal of an interface to its first domain's side, and a point on the plane, Å."""
    upper, lower = (model.domain_named(name) for name in interface.domains)
    first = model.domains[upper]
    normal = np.asarray(interface.planes[0], float) @ np.linalg.inv(first.vectors).T
    normal /= np.linalg.norm(normal)
    if _height(model, normal, upper) < _height(model, normal, lower):
        normal = -normal
    return normal, _middle(model, normal, upper, lower)


def _upper(model: Model) -> int:
    """The domain above the first interface."""
    assert model.interface is not None
    return model.domain_named(model.interface.domains[0])


def _off(u: FloatArray, v: FloatArray) -> float:
    """Degrees between the lines along two vectors, 0 to 90."""
    cosine = abs(float(u @ v)) / float(np.linalg.norm(u) * np.linalg.norm(v))
    return float(np.degrees(np.arccos(min(1.0, cosine))))


def _height(model: Model, normal: FloatArray, domain: int) -> float:
    return float((model.positions[model.domain == domain] @ normal).mean())


def _towards(model: Model, domain: Domain, normal: FloatArray) -> FloatArray:
    """The in-plane direction to look down: the coincidence with the plainest indices, positive."""
    assert model.interface is not None
    pairs = [p for p in (model.interface.across, model.interface.along) if p is not None]
    along = min((p.first.vector for p in pairs), key=lambda v: float(np.abs(v).sum()))
    if along.sum() < 0:
        along = -along
    direction = along @ domain.vectors
    return np.asarray(direction - (direction @ normal) * normal)


def _screen(up: FloatArray, towards: FloatArray) -> FloatArray:
    z = towards / np.linalg.norm(towards)
    y = up - (up @ z) * z
    y /= np.linalg.norm(y)
    return np.array([np.cross(y, z), y, z])


def _middle(model: Model, normal: FloatArray, upper: int, lower: int) -> FloatArray:
    """A point on the interface: in the shared layer, else half-way between the domains' cations."""
    shared = shared_between(model, upper, lower)
    if shared.any():
        return np.asarray(model.positions[shared].mean(axis=0))
    cations = model.charges > 0
    above = model.positions[cations & (model.domain == upper)]
    below = model.positions[cations & (model.domain == lower)]
    height = ((above @ normal).min() + (below @ normal).max()) / 2
    centre = model.positions[np.isin(model.domain, (upper, lower))].mean(axis=0)
    return np.asarray(centre + (height - centre @ normal) * normal)
