"""Join two particles on a shared cation layer: orientation, registry, gap."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from hetbuild.arguments import expect
from hetbuild.arrays import FloatArray, Plane
from hetbuild.assemble.merge import Merging, merged_pair
from hetbuild.assemble.settle import Settling
from hetbuild.crystal import lattice
from hetbuild.crystal.lattice import Coincidence, Direction, plane_label
from hetbuild.errors import ImpossibleError, InputError
from hetbuild.geometry.contacts import Floors, closest_contacts
from hetbuild.geometry.electrostatics import REACH, contact_energy
from hetbuild.geometry.images import finite
from hetbuild.model import DECIMALS, Domain, Interface, Model, Role

COARSE = 0.2
"""Å, spacing of the grid on which registry is searched."""
FINE = 0.05
"""Å, to which the best point of the grid is refined."""

MOST_POINTS = 100_000
"""Registries tried: a window of 6 by 6 Å and 20 Å of gap."""

ROUNDED = 1e-3
"""Å by which a contact may miss its floor, or an ion its plane: cells and positions are rounded."""

SAME_DIRECTION = 0.01
"""Degrees within which a lattice vector counts as along an interface axis."""


@dataclass(frozen=True, slots=True)
class Orientation:
    """One plane pair and one or two direction pairs, parallel in the joined model.

    Examples
    --------
    >>> import hetbuild as hb
    >>> stepped = hb.Orientation(((-2, 1, 0), (-4, -4, 2)), along=((1, 2, 0), (0.5, 0.5, 2)))
    """

    planes: tuple[Plane, Plane]
    along: tuple[tuple[float, ...], tuple[float, ...]]
    """A direction [uvw] of each crystal, in its plane."""
    across: tuple[tuple[float, ...], tuple[float, ...]] | None = None
    """A second pair, only checked: it must agree in sign with the first."""


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

    @property
    def vector(self) -> FloatArray:
        """In interface axes (along, across, normal), shape (3,): the second domain lies below."""
        return np.array([self.along, self.across, -self.gap])


def align(
    first: Model, second: Model, orientation: Orientation, *, between: tuple[int, int] = (0, 0)
) -> tuple[Model, Model]:
    """Turn both particles to interface axes: x along, y across, z the common plane normal.

    The domains keep their own lattice constants. The datum of each comes to the origin. between:
    which domain of each is meant, where one has several.

    Raises
    ------
    InputError
        A direction is not in its plane, or the second direction pair contradicts the first.

    Examples
    --------
    >>> import hetbuild as hb
    >>> cube = hb.carve("CsPbCl3", [hb.Facet((1, 0, 0), 1)], site="Pb", name="perovskite")
    >>> salt = hb.carve("PbS", [hb.Facet((1, 0, 0), 2)], site="Pb", name="sulfide")
    >>> upper = hb.cut(cube, (1, 0, 0), keep="above", at=0)
    >>> lower = hb.cut(salt, (1, 0, 0), keep="below", at=-1)
    >>> parallel = hb.Orientation(((1, 0, 0), (1, 0, 0)), along=((0, 1, 0), (0, 1, 0)))
    >>> upper, lower = hb.align(upper, lower, parallel)
    >>> lower.domains[0].vectors.round(3).tolist()  # x along [0 1 0], z along the normal (1 0 0)
    [[0.0, 0.0, 5.936], [5.936, 0.0, 0.0], [0.0, 5.936, 0.0]]
    """
    for model in (first, second):
        expect(model, Model, "What is joined", "Build one, or read it with read_model.")
    expect(orientation, Orientation, "The orientation")
    turned = []
    for model, index, plane, along in zip(
        (first, second), between, orientation.planes, orientation.along, strict=True
    ):
        axes = _axes(model.domains[index], plane, along)
        turned.append(model.moved(axes, -axes @ model.domains[index].origin))
    if orientation.across is not None:
        upper, lower = (m.domains[i] for m, i in zip(turned, between, strict=True))
        _check_across(upper, lower, orientation)
    return turned[0], turned[1]


def anchored(
    first: Model,
    second: Model,
    anchor: tuple[Sequence[float], Sequence[float]],
    *,
    between: tuple[int, int] = (0, 0),
) -> tuple[Model, Model]:
    """Bring the point `anchor` of each aligned particle to the origin.

    anchor: offsets from each domain's datum in conventional axes, shape (3,) each. With both on a
    cation site, the cation rows of the two crystals coincide there. between: as for `align`.

    Examples
    --------
    >>> import hetbuild as hb
    >>> salt = hb.carve("PbS", [hb.Facet((1, 0, 0), 2)], site="Pb")
    >>> first, second = hb.anchored(salt, salt, ((0, 0, 0), (0.5, 0.5, 0)))
    >>> (second.positions - first.positions)[0].round(3).tolist()
    [-2.968, -2.968, 0.0]
    """
    moved = []
    for model, index, offset in zip((first, second), between, anchor, strict=True):
        point = model.domains[index].cartesian(np.asarray(offset, dtype=float))
        moved.append(model.moved(np.eye(3), -point))
    return moved[0], moved[1]


def join(
    first: Model,
    second: Model,
    orientation: Orientation,
    registry: Registry,
    *,
    floors: Floors | None = None,
    shared_with: str | None = None,
    between: tuple[int, int] = (0, 0),
) -> Model:
    """One model of two aligned, anchored particles; the second displaced by `registry`.

    shared_with: name of the domain that owns the shared layer, the cations of the plane through the
    anchor. Joining with an empty particle gives the other one. floors: refuse a model whose domains
    collide; without them ions may, for `merge` and `settle` to resolve. between: as for `align`.

    Raises
    ------
    ImpossibleError
        Ions of the two domains are closer than `floors`.

    Examples
    --------
    >>> import hetbuild as hb
    >>> cube = hb.carve("CsPbCl3", [hb.Facet((1, 0, 0), 1)], site="Pb", name="perovskite")
    >>> salt = hb.carve("PbS", [hb.Facet((1, 0, 0), 2)], site="Pb", name="sulfide")
    >>> upper = hb.cut(cube, (1, 0, 0), keep="above", at=0)
    >>> lower = hb.cut(salt, (1, 0, 0), keep="below", at=-1)
    >>> parallel = hb.Orientation(((1, 0, 0), (1, 0, 0)), along=((0, 1, 0), (0, 1, 0)))
    >>> upper, lower = hb.anchored(*hb.align(upper, lower, parallel), ((0, 0, 0), (-0.5, 0.5, 0)))
    >>> hb.join(upper, lower, parallel, hb.Registry(0.4, 0.4, 0.0), floors=hb.Floors()).formulas
    {'perovskite': 'Cs4Pb18Cl33', 'sulfide': 'Pb122S121'}
    """
    for model in (first, second):
        expect(model, Model, "What is joined", "Build one, or read it with read_model.")
    expect(registry, Registry, "The registry")
    placed = second.moved(np.eye(3), registry.vector)
    joined = Model(
        numbers=np.concatenate([first.numbers, placed.numbers]),
        positions=np.round(np.concatenate([first.positions, placed.positions]), DECIMALS),
        charges=np.concatenate([first.charges, placed.charges]),
        domain=np.concatenate([first.domain, placed.domain + len(first.domains)]).astype(np.int8),
        role=np.concatenate([first.role, placed.role]),
        site=np.concatenate([first.site, placed.site]),
        site_cell=np.concatenate([first.site_cell, placed.site_cell]),
        molecule=np.concatenate(
            [
                first.molecule,
                placed.molecule + (placed.molecule > 0) * first.molecule.max(initial=0),
            ]
        ),
        domains=first.domains + placed.domains,
        ledger=first.ledger + placed.ledger,
    )
    ends = first.domains[between[0]], placed.domains[between[1]]
    met = interface_of(*ends, orientation, registry)
    joined = joined.with_interfaces((*first.interfaces, *placed.interfaces, met))
    if floors is not None:
        check_contacts(joined, floors, met)
    return joined if shared_with is None else _mark_shared(joined, shared_with, met)


def interface_of(
    first: Domain, second: Domain, orientation: Orientation, registry: Registry
) -> Interface:
    """What the two frames share: planes, coincident directions, mismatches."""
    u, v = (
        lattice.lattice_vector(d.crystal.primitive, uvw)
        for d, uvw in zip((first, second), orientation.along, strict=True)
    )
    along = _coincide(first, u, second, v)
    return Interface(
        domains=(first.name, second.name),
        planes=orientation.planes,
        along=along,
        across=_across(first, second, orientation),
        shift=(registry.along, registry.across),
        gap=registry.gap,
    )


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


def _axes(domain: Domain, plane: Plane, along: Sequence[float]) -> FloatArray:
    """Rotation to interface axes, rows along, across, normal; shape (3, 3)."""
    _check_in_plane(domain, plane, along)
    normal = lattice.plane_normal(domain.vectors, plane)
    x = np.asarray(along, dtype=float) @ domain.vectors
    x /= np.linalg.norm(x)
    return np.array([x, np.cross(normal, x), normal])


def _check_in_plane(domain: Domain, plane: Plane, direction: Sequence[float]) -> None:
    lattice.check_plane(plane)
    product = float(np.dot(plane, direction))
    if abs(product) > 1e-9:
        name = Direction.of(list(direction))
        net = " and ".join(str(v) for v in domain.crystal.surface_net(plane))
        raise InputError(
            f"Direction {name} of {domain.name} does not lie in the plane {plane_label(plane)} "
            f"(hu + kv + lw = {product:g}, must be 0). Vectors of that plane: {net}."
        )


def _check_across(first: Domain, second: Domain, orientation: Orientation) -> None:
    assert orientation.across is not None
    vectors = []
    for domain, plane, uvw in zip(
        (first, second), orientation.planes, orientation.across, strict=True
    ):
        _check_in_plane(domain, plane, uvw)
        vectors.append(np.asarray(uvw, dtype=float) @ domain.vectors)
    apart = lattice.angle(vectors[0], vectors[1])
    if apart > 90.0:
        a, b = (Direction.of(list(uvw)) for uvw in orientation.across)
        raise InputError(
            f"The second direction pair {a} || {b} points opposite ways ({apart:.1f} degrees) once "
            "planes and first pair are parallel: change the sign of one of the two."
        )


def _across(first: Domain, second: Domain, orientation: Orientation) -> Coincidence | None:
    """The pair normal to the first, given or found in both surface nets."""
    if orientation.across is not None:
        u, v = (
            lattice.lattice_vector(d.crystal.primitive, uvw)
            for d, uvw in zip((first, second), orientation.across, strict=True)
        )
        return _coincide(first, u, second, v)
    found = [
        _net_direction(first, orientation.planes[0]),
        _net_direction(second, orientation.planes[1]),
    ]
    if found[0] is None or found[1] is None:
        return None
    return _coincide(first, found[0], second, found[1])


def _net_direction(domain: Domain, plane: Plane) -> Direction | None:
    """Shortest lattice vector of the plane along +y of the interface axes, if there is one."""
    u, v = (d.vector for d in domain.crystal.surface_net(plane))
    m, n = (g.ravel() for g in np.meshgrid(np.arange(-6, 7), np.arange(-6, 7)))
    combos = m[:, None] * u + n[:, None] * v
    cartesian = combos @ domain.vectors
    length = np.linalg.norm(cartesian, axis=1)
    good = (length > 0) & (cartesian[:, 1] >= length * np.cos(np.radians(SAME_DIRECTION)))
    return Direction.of(combos[good][np.argmin(length[good])]) if good.any() else None


def _coincide(first: Domain, u: Direction, second: Domain, v: Direction) -> Coincidence:
    lengths = [float(np.linalg.norm(d.vector @ x.vectors)) for d, x in ((u, first), (v, second))]
    return lattice.coincidence((u, lengths[0]), (v, lengths[1]))


def _mark_shared(model: Model, owner: str, met: Interface) -> Model:
    """Cations of the owner on the plane through the anchor, at z = 0 of the first domain."""
    index = model.domain_named(owner)
    level = 0.0 if owner == met.domains[0] else -met.gap
    role = model.role.copy()
    on_plane = np.abs(model.positions[:, 2] - level) < ROUNDED
    role[on_plane & (model.domain == index) & (model.charges > 0)] = Role.SHARED
    return replace(model, role=role)


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
    order = np.lexsort((*np.round(points.T, 6), np.round((points**2).sum(axis=1), 6)))
    return [Registry(*map(float, p)) for p in points[order]]


def _axis(low: float, high: float, step: float) -> FloatArray:
    """Multiples of the step in [low, high], zero among them where it is inside; else the ends."""
    first, last = np.ceil(low / step - 1e-9), np.floor(high / step + 1e-9)
    points = np.arange(first, last + 1) * step if first <= last else np.unique([low, high])
    return np.round(points, 6)


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
    if found is None or (best is not None and found >= best[0] - 1e-6):
        return best
    return found, registry


def _refined(
    best: tuple[float, Registry], window: Window, score: Callable[[Registry], float | None]
) -> tuple[float, Registry]:
    """Pattern search from the best grid point with halved steps."""
    step = COARSE / 2
    while step >= FINE - 1e-9:
        centre = best[1]
        for move in np.vstack([np.eye(3), -np.eye(3)]) * step:
            point = np.array([centre.along, centre.across, centre.gap]) + move
            trial = Registry(*(float(x) for x in np.round(point, 6)))
            if _inside(trial, window):
                best = _better(best, trial, score) or best
        if best[1] == centre:
            step /= 2
    return best


def _inside(registry: Registry, window: Window) -> bool:
    low, high = window.gap
    return (
        abs(registry.along) <= window.along + 1e-9
        and abs(registry.across) <= window.across + 1e-9
        and low - 1e-9 <= registry.gap <= high + 1e-9
    )


def check_contacts(model: Model, floors: Floors, met: Interface | None = None) -> None:
    """Refuse a joined model whose domains collide, over the images of a periodic one.

    met: the interface that is looked at; default: that of the model.

    Raises
    ------
    ImpossibleError
        Ions of two domains are closer than `floors`.
    """
    met = met or model.interface
    if met is None:
        return
    around = finite(model, 6.0)
    ends = [model.domain_named(name) for name in met.domains]
    first, second = model.domain == ends[0], around.domain == ends[1]
    contacts = closest_contacts(
        model.positions[first],
        model.charges[first],
        around.positions[second],
        around.charges[second],
    )
    bad = [c for c in contacts if c.distance < floors.by_kind[c.kind] - ROUNDED]
    if bad:
        listing = ", ".join(f"{c.kind} {c.distance:.2f} Å" for c in bad)
        along, across = met.shift
        raise ImpossibleError(
            f"{' and '.join(met.domains)}: at shift {along:g}/{across:g} Å and gap {met.gap:g} Å "
            f"the domains collide: {listing} (limits {_limits(floors)}). Use a wider gap or "
            "another shift, let the registry be searched, or merge and settle the interface "
            "(join.merge, join.settle)."
        )


def _no_room(near: tuple[Model, Model], window: Window, floors: Floors) -> str:
    first, second = near
    widest = second.positions + Registry(0.0, 0.0, window.gap[1]).vector
    contacts = closest_contacts(first.positions, first.charges, widest, second.charges)
    listing = ", ".join(f"{c.kind} {c.distance:.2f} Å" for c in contacts)
    return (
        f"No registry without collision for shifts up to {window.along:g}/{window.across:g} Å and "
        f"gaps {window.gap[0]:g} to {window.gap[1]:g} Å: at the widest gap the closest contacts "
        f"are {listing} (limits {_limits(floors)}). Widen the window, or cut the domains "
        "further apart."
    )


def _limits(floors: Floors) -> str:
    return ", ".join(f"{kind} {limit:g}" for kind, limit in floors.by_kind.items())
