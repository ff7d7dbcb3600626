"""Registry: the rigid displacement of one particle from coincidence with the other, searched."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from hetbuild.arguments import check_fields, checked
from hetbuild.arrays import FloatArray
from hetbuild.assemble.merge import Merging, merged_pair
from hetbuild.assemble.settle import Settling
from hetbuild.errors import ImpossibleError, InputError
from hetbuild.geometry.contacts import Floors, closest_contacts
from hetbuild.geometry.electrostatics import REACH, contact_energy
from hetbuild.model import Model
from hetbuild.rounding import ALIKE, DIGITS, NOTHING

COARSE = 0.2
"""Å, spacing of the grid on which registry is searched."""

FINE = 0.05
"""Å, to which the best point of the grid is refined."""

MOST_POINTS = 100_000
"""Registries tried: a window of 6 by 6 Å and 20 Å of gap."""


@dataclass(frozen=True, slots=True)
class Window:
    """Where registry is searched: shifts from coincidence, Å, and gaps.

    Examples
    --------
    >>> import hetbuild as hb
    >>> hb.Window(along=0.4, across=0.4, gap=(0, 3)).gap
    (0, 3)
    """

    along: float = 0.5
    """Largest shift along, either way, Å."""
    across: float = 0.5
    """Largest shift across, either way, Å."""
    gap: tuple[float, float] = (0.0, 2.0)
    """Smallest and largest distance from coincidence along the normal, Å."""

    def __post_init__(self) -> None:
        check_fields(self)
        for name in ("along", "across"):
            if not 0.0 <= getattr(self, name) < np.inf:
                raise InputError(
                    f"A window {name} of {getattr(self, name):g} Å: give how far to either side, 0 "
                    "or more."
                )


@dataclass(frozen=True, slots=True)
class Registry:
    """Rigid displacement of the second domain from coincidence, Å.

    Examples
    --------
    >>> import hetbuild as hb
    >>> hb.Registry(along=0.4, across=-0.4, gap=0.6).vector.tolist()
    [0.4, -0.4, -0.6]
    """

    along: float
    across: float
    gap: float

    def __post_init__(self) -> None:
        check_fields(self)

    @property
    def vector(self) -> FloatArray:
        """In interface axes (along, across, normal), shape (3,): the second domain lies below."""
        return np.array([self.along, self.across, -self.gap])


@checked
def search_registry(
    first: Model,
    second: Model,
    window: Window,
    floors: Floors,
    *,
    merging: Merging | None = None,
    settling: Settling | None = None,
) -> Registry:
    """The displacement of lowest ionic score inside a window that keeps every contact floor.

    A grid of 0.2 Å is screened for clashes, scored by `electrostatics.contact_energy`, and the best
    point refined to 0.05 Å. Equal scores go to the smaller displacement, so the result is
    deterministic. merging: ions that merging will remove do not count. settling: pairs below their
    floor are scored as settling will leave them, with what it costs to push them there; only what
    would move ions beyond its limit is a clash.

    Raises
    ------
    ImpossibleError
        Ions collide everywhere in the window; the text gives the contact that gets closest.

    Examples
    --------
    >>> import hetbuild as hb
    >>> cube = hb.carve("CsPbCl3", [hb.Facet((1, 0, 0), 1)], site="Pb", name="perovskite")
    >>> salt = hb.carve("PbS", [hb.Facet((1, 0, 0), 2)], site="Pb", name="sulfide")
    >>> upper = hb.cut(cube, (1, 0, 0), keep="above", at=0)
    >>> lower = hb.cut(salt, (1, 0, 0), keep="below", at=-1)
    >>> parallel = hb.Orientation(((1, 0, 0), (1, 0, 0)), along=((0, 1, 0), (0, 1, 0)))
    >>> upper, lower = hb.anchored(*hb.align(upper, lower, parallel), ((0, 0, 0), (-0.5, 0.5, 0)))
    >>> found = hb.search_registry(upper, lower, hb.Window(0.4, 0.4, (0, 3)), hb.Floors())
    >>> abs(found.along), abs(found.across), abs(found.gap)
    (0.4, 0.4, 0.0)
    """
    near = _facing(first, second, window)
    score = partial(_score, near, floors, merging, settling)
    best: tuple[float, Registry] | None = None
    for registry in _grid(window, COARSE):
        best = _better(best, registry, score)
    if best is None:
        raise ImpossibleError(_no_room(near, window, floors))
    return _refined(best, window, score)[1]


def _facing(first: Model, second: Model, window: Window) -> tuple[Model, Model]:
    """Ions of each particle that the other can feel anywhere in the window."""
    reach = REACH + np.hypot(window.along, window.across)
    a = first.where(first.positions[:, 2] <= second.positions[:, 2].max() + reach)
    b = second.where(second.positions[:, 2] >= first.positions[:, 2].min() - reach)
    return a, b


def _grid(window: Window, step: float) -> list[Registry]:
    """All points of the window, smallest displacement first."""
    axes = [_axis(-window.along, window.along, step), _axis(-window.across, window.across, step)]
    axes.append(_axis(*window.gap, step))
    count = float(np.prod([float(len(a)) for a in axes]))
    if count > MOST_POINTS:
        raise ImpossibleError(
            f"The registry window holds {count:.3g} points {step:g} Å apart ({MOST_POINTS} at "
            "most): make join.registry.window smaller; a cell of the interface is enough."
        )
    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    order = np.lexsort((*np.round(points.T, DIGITS), np.round((points**2).sum(axis=1), DIGITS)))
    return [Registry(*map(float, p)) for p in points[order]]


def _axis(low: float, high: float, step: float) -> FloatArray:
    """Multiples of the step in [low, high], zero among them where it is inside; else the ends."""
    first, last = np.ceil(low / step - NOTHING), np.floor(high / step + NOTHING)
    points = np.arange(first, last + 1) * step if first <= last else np.unique([low, high])
    return np.round(points, DIGITS)


def _score(
    near: tuple[Model, Model],
    floors: Floors,
    merging: Merging | None,
    settling: Settling | None,
    registry: Registry,
) -> float | None:
    """Ionic score in eV at a registry; None where ions collide."""
    first, second = near[0], near[1].moved(np.eye(3), registry.vector)
    if merging is not None:
        first, second = merged_pair(first, second, merging)
    contacts = closest_contacts(first.positions, first.charges, second.positions, second.charges)
    # Two ions below their floor share the way to it.
    slack = 0.0 if settling is None else 2.0 * settling.limit
    limits = floors.by_kind if settling is None else settling.floors.by_kind
    if any(c.distance < limits[c.kind] - slack for c in contacts):
        return None
    return contact_energy(
        (first.positions, first.numbers, first.charges),
        (second.positions, second.numbers, second.charges),
        settled=None if settling is None else settling.floors,
    )


def _better(
    best: tuple[float, Registry] | None,
    registry: Registry,
    score: Callable[[Registry], float | None],
) -> tuple[float, Registry] | None:
    found = score(registry)
    if found is None or (best is not None and found >= best[0] - ALIKE):
        return best
    return found, registry


def _refined(
    best: tuple[float, Registry], window: Window, score: Callable[[Registry], float | None]
) -> tuple[float, Registry]:
    """Pattern search from the best grid point with halved steps."""
    step = COARSE / 2
    while step >= FINE - NOTHING:
        centre = best[1]
        for move in np.vstack([np.eye(3), -np.eye(3)]) * step:
            point = np.array([centre.along, centre.across, centre.gap]) + move
            trial = Registry(*(float(x) for x in np.round(point, DIGITS)))
            if _inside(trial, window):
                best = _better(best, trial, score) or best
        if best[1] == centre:
            step /= 2
    return best


def _inside(registry: Registry, window: Window) -> bool:
    low, high = window.gap
    return (
        abs(registry.along) <= window.along + NOTHING
        and abs(registry.across) <= window.across + NOTHING
        and low - NOTHING <= registry.gap <= high + NOTHING
    )


def _no_room(near: tuple[Model, Model], window: Window, floors: Floors) -> str:
    first, second = near
    widest = second.positions + Registry(0.0, 0.0, window.gap[1]).vector
    contacts = closest_contacts(first.positions, first.charges, widest, second.charges)
    listing = ", ".join(f"{c.kind} {c.distance:.2f} Å" for c in contacts)
    return (
        f"No registry without collision for shifts up to {window.along:g}/{window.across:g} Å and "
        f"gaps {window.gap[0]:g} to {window.gap[1]:g} Å: at the widest gap the closest contacts "
        f"are {listing} (limits {floors.listed}). Widen the window, or cut the domains "
        "further apart."
    )
