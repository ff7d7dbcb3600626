"""The page of two models laid on each other: which ions moved, where to and how far."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from hetbuild.analyse.interface import with_interface
from hetbuild.arrays import BoolArray, FloatArray, IntArray
from hetbuild.elements import symbol
from hetbuild.errors import InputError
from hetbuild.page.document import document
from hetbuild.page.html import Html, Number, bar, facts, paragraph, section, table
from hetbuild.page.scene import packed, scene

if TYPE_CHECKING:
    from hetbuild.analyse.comparison import Comparison
    from hetbuild.model import Model

STEP = 1e-3
"""Å: displacements on the page are whole multiples of this, up to 32 Å."""

ARROWS = 2000
"""Most arrows drawn, of the ions that moved farthest."""

STILL = 0.05
"""Å: who moved less gets no arrow."""

BINS = 10
"""Of the histogram."""


def comparison_page(model: Model, found: Comparison, names: tuple[str, str]) -> str:
    """One HTML document: the first model with an arrow from each ion to where it is in the second.

    found: the comparison of the model with another; names: of both, as they are to be called.

    Raises
    ------
    InputError
        The comparison is of other models.
    """
    if found.displacement.shape != model.positions.shape:
        raise InputError(
            f"The comparison is of {len(found.displacement)} atoms, the model has {len(model)}."
        )
    first, second = names
    far = np.linalg.norm(found.displacement, axis=1)
    order = np.argsort(-far, kind="stable")
    arrows = order[far[order] > STILL][:ARROWS]
    shown = scene(with_interface(model)) | {
        "moved": packed(np.clip(found.displacement / STEP, -32767, 32767), "<i2"),
        "moved_step": STEP,
        "arrows": [int(i) for i in arrows],
    }
    extra = Html(
        '<label>Arrows times <input type="number" id="times" min="0" max="50" step="any" '
        'value="1"></label>'
    )
    known = facts(
        {"Formula": model.formula, "Ions": len(model), "Rms displacement": f"{found.rmsd:.4f} Å"}
    )
    written = [
        _summary(model, found, far, len(arrows)),
        _histogram(model, far),
        _farthest(model, found),
    ]
    return document(f"{first} to {second}", known, written, shown, extra)


def _summary(model: Model, found: Comparison, far: FloatArray, arrows: int) -> Html:
    head = ["", "ions", "rms / Å", "mean / Å", "largest / Å", "mean vector / Å"]
    rows = [_row(name, far, found.displacement, which) for name, which in _groups(model)]
    told = (
        f"Arrows go from each ion's place in the first model to its place in the second, laid on "
        f"the first by the best rigid motion. The {arrows} ions that moved farthest, and more than "
        f"{STILL:g} Å, have one."
    )
    return section("displacements", "Displacements", [paragraph(told), table(head, rows)])


def _groups(model: Model) -> Iterator[tuple[str, BoolArray]]:
    """All ions; each domain; each element of each domain."""
    yield "all", np.ones(len(model), dtype=bool)
    for i, domain in enumerate(model.domains):
        mine = model.domain == i
        yield domain.name, mine
        for z in np.unique(model.numbers[mine]):
            yield f"{symbol(int(z))} of {domain.name}", mine & (model.numbers == z)


def _row(name: str, far: FloatArray, moved: FloatArray, which: BoolArray) -> list[object]:
    d = far[which]
    if not len(d):
        return [name, 0, *4 * [Number("")]]
    vector = " ".join(f"{x:+.3f}" for x in moved[which].mean(axis=0))
    values = (float(np.sqrt((d**2).mean())), float(d.mean()), float(d.max()))
    return [name, len(d), *(Number(f"{x:.3f}") for x in values), Number(vector)]


def _histogram(model: Model, far: FloatArray) -> Html:
    count, edges = np.histogram(far, bins=BINS, range=(0.0, max(float(far.max()), 1e-3)))
    rows = [
        [Number(f"{a:.2f} to {b:.2f}"), int(n), bar(n / count.max())]
        for n, a, b in zip(count, edges, edges[1:], strict=False)
    ]
    return section("histogram", "How many moved how far", [table(["Å", "ions", ""], rows)])


def _farthest(model: Model, found: Comparison, most: int = 20) -> Html:
    far = np.linalg.norm(found.displacement, axis=1)
    order: IntArray = np.argsort(-far, kind="stable")[:most]
    rows = [
        [
            f"{symbol(int(model.numbers[i]))} {i + 1}",
            model.domains[model.domain[i]].name,
            int(found.partner[i]) + 1,
            Number(f"{far[i]:.3f}"),
            Number(" ".join(f"{x:+.3f}" for x in found.displacement[i])),
        ]
        for i in order
    ]
    head = ["ion", "domain", "number in the second", "moved / Å", "by / Å"]
    return section("farthest", "Moved farthest", [table(head, rows)])
