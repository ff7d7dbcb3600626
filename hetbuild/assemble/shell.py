"""Shells: a crystal that goes on where another ends, on all sides.

A coherent shell continues the sublattice that both crystals share, on the lattice of the core; it
may relax outwards to its own lattice. A shell with its own lattice leaves room for the core.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from hetbuild.arrays import BoolArray, FloatArray, IntArray
from hetbuild.assemble.carve import carve, gauge
from hetbuild.assemble.polyhedron import Facet
from hetbuild.assemble.size import Shape, repeat_of
from hetbuild.crystal.crystal import Crystal
from hetbuild.crystal.setting import lattice_rotations
from hetbuild.errors import ImpossibleError, InputError
from hetbuild.geometry.contacts import floors_of
from hetbuild.model import PER_ATOM, Domain, Model, kept_digits
from hetbuild.rounding import ALIKE, NOTHING

Lattice = Literal["core", "graded", "own"]

SAME_PLACE = 0.3
"""Å within which sites of the two crystals, on one lattice, are one site."""


@dataclass(frozen=True)
class Shell:
    """A shell to grow."""

    name: str
    crystal: Crystal
    shape: Shape
    """Its outside, its centre counted from the datum of the core for a coherent shell, from its own
    for one with its own lattice."""
    lattice: Lattice = "core"
    axes: tuple[FloatArray, FloatArray] | None = None
    """own: two directions [uvw] of core and shell as rows, shape (2, 3) each; the first become
    parallel, and so do the planes that each pair spans. Left out: Cartesian axes as they are."""


@dataclass(frozen=True)
class Layer:
    """A particle's outside, and how much larger the lattice is beyond it than on the core's."""

    shape: Shape
    factor: float = 1.0


def grown_shape(crystal: Crystal, inner: Shape, thickness: float) -> Shape:
    """The inner shape with each facet moved out by the whole planes nearest to `thickness` Å.

    crystal: the core's; its facets count planes of it.

    Raises
    ------
    ImpossibleError
        That is not even one plane of a facet.
    """
    facets = []
    for facet in inner.facets:
        repeat = repeat_of(crystal, facet)
        step = round(thickness / (repeat * crystal.spacing(facet.hkl))) * repeat
        if step <= 0:
            least = repeat * crystal.spacing(facet.hkl)
            raise ImpossibleError(
                f"A shell of {thickness:g} Å is less than one layer on {facet}, {least:.2f} Å."
            )
        facets.append(replace(facet, planes=facet.planes + step))
    radius = None if inner.radius is None else inner.radius + thickness
    return replace(inner, facets=tuple(facets), radius=radius)


def grow(model: Model, shell: Shell, layers: Sequence[Layer]) -> Model:
    """The model with a shell around it, a domain more.

    layers: outsides of the core and of the shells before, innermost first, counted from the datum
    of the core; a graded shell needs them.

    Raises
    ------
    ImpossibleError
        The crystals share no sublattice, or nothing of the shell is left beside the core.
    """
    core = model.domains[0]
    if shell.lattice == "own":
        part = _own(core, shell)
    else:
        part = _coherent(core, shell)
        if any(layer.factor != 1.0 for layer in layers):
            part = _relaxed(core, part, layers)
    part = part.where(_clear(model, part))
    if not len(part):
        raise ImpossibleError(
            f"Nothing of {shell.name} is outside the core: make its thickness or facets larger."
        )
    return _together(model, part)


def strain_factor(core: Crystal, shell: Crystal) -> float:
    """Mean linear ratio of the shell's lattice to the core's, cells of one kind."""
    volume = abs(np.linalg.det(shell.vectors) / np.linalg.det(core.vectors))
    return float(volume ** (1 / 3))


def _coherent(core: Domain, shell: Shell) -> Model:
    """Carved on the core's lattice, the shared sublattice in place."""
    turn, offset = _shared_sublattice(core, shell.crystal)
    strained = replace(shell.crystal, vectors=turn.T @ core.crystal.vectors)
    part = carve(
        strained,
        [_turned(f, turn) for f in _single(shell.shape.facets, core.crystal)],
        centre=np.linalg.solve(turn, np.asarray(shell.shape.centre) - offset).tolist(),
        radius=shell.shape.radius,
        name=shell.name,
    )
    axes = np.asarray(np.linalg.solve(core.crystal.vectors, core.vectors).T, dtype=np.float64)
    part = part.moved(axes, core.cartesian(offset))
    # The crystal is the real one; the frame of the domain tells the strain.
    return replace(part, domains=(replace(part.domains[0], crystal=shell.crystal),))


def _single(facets: Sequence[Facet], core: Crystal) -> Iterator[Facet]:
    """Forms of a point group of the core, facet by facet: its axes are not those of the shell."""
    for facet in facets:
        if not facet.point_group:
            yield facet
            continue
        for h, k, l in facet.planes_of(core).tolist():  # noqa: E741 (Miller index)
            yield replace(facet, hkl=(h, k, l), single=True, point_group="")


def _turned(facet: Facet, turn: IntArray) -> Facet:
    """A facet in the axes of the core, in those of the shell."""
    h, k, l = (int(i) for i in np.asarray(facet.hkl) @ turn)  # noqa: E741 (Miller index)
    return replace(facet, hkl=(h, k, l))


def _shared_sublattice(core: Domain, crystal: Crystal) -> tuple[IntArray, FloatArray]:
    """How the shell's axes lie in the core's, shape (3, 3), and where its datum goes, shape (3,).

    A site x of the shell comes to turn @ x + offset, from the core's datum in conventional axes.
    The anions of both crystals, else the cations, fall on one another; of several ways the one that
    brings most other sites together too. Crystals of one type may be described in axes turned
    against each other.
    """
    host = core.crystal
    ours, theirs = core.sites, crystal.fractional - crystal.fractional[crystal.datum(None)]
    turns = lattice_rotations(host.vectors, host.primitive)
    best: tuple[float, IntArray, FloatArray] | None = None
    for sign in (-1, 1):
        a, b = ours[np.sign(host.charges) == sign], theirs[np.sign(crystal.charges) == sign]
        for turn in turns if len(a) == len(b) else ():
            for shift in a[0] - b @ turn.T:
                if _apart(b @ turn.T + shift, a, host.vectors).max() > SAME_PLACE:
                    continue
                away = _apart(theirs @ turn.T + shift, ours, host.vectors)
                rest = float(np.minimum(away, 1.0).sum())
                if best is None or rest < best[0] - ALIKE:
                    best = rest, turn, shift
        if best is not None:
            return best[1], best[2] - np.floor(best[2] + NOTHING)
    raise ImpossibleError(
        f"{crystal.name} and {host.name} share no sublattice on the lattice of {host.name}, so the "
        "shell cannot be coherent: give it its own lattice with lattice = 'own'."
    )


def _apart(points: FloatArray, sites: FloatArray, vectors: FloatArray) -> FloatArray:
    """Å from each point to the nearest site, both in conventional coordinates, shape (P,)."""
    steps = points[:, None] - sites[None]
    return np.asarray(np.linalg.norm((steps - np.rint(steps)) @ vectors, axis=2).min(axis=1))


def _relaxed(core: Domain, part: Model, layers: Sequence[Layer]) -> Model:
    """Ions moved out or in along rays from the centre: beyond each layer the steps along the ray
    are `factor` times those of the core's lattice, across it they approach that outwards."""
    centre = core.cartesian(np.asarray(layers[0].shape.centre))
    ray = part.positions - centre
    # How often each surface's distance along its ray an ion is away: above 1 outside it.
    outside = [_gauge(core, layer.shape, part.positions) for layer in layers]
    scale = 1 / np.maximum(outside[0], 1.0)
    for i, layer in enumerate(layers):
        end = 1 / np.maximum(outside[i + 1], 1.0) if i + 1 < len(layers) else np.ones(len(part))
        start = 1 / np.maximum(outside[i], 1.0)
        scale = scale + layer.factor * (end - start)
    return replace(part, positions=kept_digits(centre + ray * scale[:, None]))


def _gauge(core: Domain, shape: Shape, positions: FloatArray) -> FloatArray:
    return gauge(core, shape.facets, shape.centre, shape.radius, positions)


def _own(core: Domain, shell: Shell) -> Model:
    """Carved on its own lattice, its centre where that of the core's axes is."""
    part = carve(
        shell.crystal,
        shell.shape.facets,
        centre=shell.shape.centre,
        site=shell.shape.site,
        radius=shell.shape.radius,
        name=shell.name,
    )
    turn = np.eye(3)
    if shell.axes is not None:
        first, second = (
            _basis(uvw @ d.vectors)
            for uvw, d in zip(shell.axes, (core, part.domains[0]), strict=True)
        )
        turn = first.T @ second
    middle = part.domains[0].cartesian(np.asarray(shell.shape.centre))
    return part.moved(turn, -turn @ middle)


def _basis(vectors: FloatArray) -> FloatArray:
    """Right-handed unit vectors as rows: the first along the first of two, the third normal."""
    normal = np.cross(*vectors)
    if np.linalg.norm(normal) < NOTHING:
        raise InputError("The two directions of a shell's axes must not be parallel.")
    x, z = vectors[0] / np.linalg.norm(vectors[0]), normal / np.linalg.norm(normal)
    return np.array([x, np.cross(z, x), z])


def _clear(model: Model, part: Model) -> BoolArray:
    """Which ions of the shell keep their distance from the core's, shape (N,)."""
    from scipy.spatial import cKDTree

    floors = floors_of(*(d.crystal for d in (*model.domains, *part.domains)))
    free = np.ones(len(part), dtype=bool)
    for sign, like in ((-1, floors.anion_anion), (1, floors.cation_cation)):
        mine = np.sign(part.charges) == sign
        for other, least in ((sign, like), (-sign, floors.cation_anion)):
            there = model.positions[np.sign(model.charges) == other]
            if len(there) and mine.any():
                near = cKDTree(there).query(part.positions[mine])[0]
                free[mine] &= near >= least
    return free


def _together(model: Model, part: Model) -> Model:
    """Both, the shell as the last domain."""
    merged: dict[str, Any] = {
        n: np.concatenate([getattr(model, n), getattr(part, n)]) for n in PER_ATOM
    }
    last = np.full(len(part), len(model.domains), dtype=model.domain.dtype)
    merged["domain"] = np.concatenate([model.domain, last])
    return replace(
        model,
        **merged,
        domains=(*model.domains, *part.domains),
        ledger=(*model.ledger, *part.ledger),
    )
