"""The page as a whole: what parts it has, and their order."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from string import Template
from typing import TYPE_CHECKING, Any

import numpy as np

from hetbuild import __version__
from hetbuild.analyse.interface import with_interface
from hetbuild.analyse.meetings import of_pair
from hetbuild.analyse.report import Report, inspect
from hetbuild.arrays import Progress
from hetbuild.errors import ImpossibleError, InputError, nearest
from hetbuild.formats.title import title
from hetbuild.geometry.images import finite
from hetbuild.microscopy.image import REPEATED
from hetbuild.page import sections
from hetbuild.page.html import Html, data, facts, figure, text
from hetbuild.page.scene import scene

if TYPE_CHECKING:
    from hetbuild.model import Model

PARTS = ("xrd", "image")
"""Parts that take a while, and matplotlib."""

WIDEST = 700
"""Pixels along the longest edge of the image in the page."""


def page(model: Model, *, parts: Sequence[str] = PARTS, progress: Progress = None) -> str:
    """One HTML document that shows the model and needs nothing beside itself.

    parts: which of ``xrd`` and ``image`` to include. Figures take matplotlib.

    Raises
    ------
    InputError
        An unknown part, no atoms, or matplotlib is not installed.
    """
    unknown = [p for p in parts if p not in PARTS]
    if unknown:
        raise InputError(f"A page has no part {unknown[0]!r}; {nearest(unknown[0], PARTS)}")
    if not len(model):
        raise InputError("The model has no atoms to be shown.")
    told = progress or (lambda fraction: None)
    report = inspect(model)
    seen = with_interface(model)
    piece = finite(seen, REPEATED)
    told(0.3)
    written = [sections.composition(model, report), _interface(model, piece, report)]
    written.append(sections.contacts(report))
    if "xrd" in parts:
        written.append(_diffraction(model))
        told(0.7)
    if "image" in parts:
        written.append(_microscopy(piece))
        told(0.9)
    written.append(sections.provenance(model, report))
    return document(title(model), _facts(seen, report), [w for w in written if w], scene(seen))


def document(
    title: str, known: Html, written: Sequence[Html], shown: dict[str, Any], extra: str = ""
) -> str:
    """The page of these sections. shown: the scene of the 3D view; extra: more of its controls."""
    folder = files("hetbuild.page")
    read = {
        name: folder.joinpath(*name.split("/")).read_text(encoding="utf-8")
        for name in (
            "page.html",
            "page.css",
            "page.js",
            "vendor/3Dmol-min.js",
            "vendor/LICENSE-3Dmol.txt",
        )
    }
    # An end tag inside a string would end the element.
    viewer = read["vendor/3Dmol-min.js"].replace("</script", "<\\/script")
    return Template(read["page.html"]).substitute(
        version=text(__version__),
        title=text(title),
        css=read["page.css"],
        facts=known,
        links="".join(_link(part) for part in written),
        extra=extra,
        sections="\n".join(written),
        scene=data(shown),
        viewer=viewer,
        script=read["page.js"],
        licence=text(read["vendor/LICENSE-3Dmol.txt"]),
    )


def _link(part: Html) -> str:
    """To a section by its id, called as its heading."""
    name = part.split('id="', 1)[1].split('"', 1)[0]
    title = part.split("<h2>", 1)[1].split("</h2>", 1)[0]
    return f'<li><a href="#{name}">{title}</a></li>'


def _facts(model: Model, report: Report) -> Html:
    return facts(
        {
            "Formula": report.formula,
            "Ions": len(model),
            "Formal charge": f"{sections.signed(report.charge)} e",
            "Size": sections.extent(model),
        }
    )


def _interface(model: Model, piece: Model, report: Report) -> Html | None:
    from hetbuild.page.sketch import interface_sketch

    several = len(report.interfaces) > 1
    sketches: list[Html | None] = []
    for k, meeting in enumerate(report.interfaces, 1):
        a, b = (piece.domain_named(name) for name in meeting.domains)
        try:
            drawn = interface_sketch(of_pair(piece, (a, b)), meeting.measured)
        except InputError:  # without matplotlib the numbers still stand
            drawn = None
        label = "The interface seen along it, with its steps"
        if several:
            label = (
                f"The interface of {' and '.join(meeting.domains)} seen along it, with its steps"
            )
        name = f"sketch-{k}" if several else "sketch"
        sketches.append(None if drawn is None else figure(drawn, name, label))
    return sections.interface(model, report, sketches)


def _diffraction(model: Model) -> Html | None:
    from hetbuild.diffraction.xrd import xrd

    try:
        return sections.diffraction(xrd(model))
    except ImpossibleError:  # a periodic model has no Debye sum
        return None


def _microscopy(model: Model) -> Html:
    from hetbuild.geometry.view import view
    from hetbuild.microscopy.drawing import draw
    from hetbuild.microscopy.fourier import spectrum
    from hetbuild.microscopy.image import SAMPLING, image

    size = float(np.ptp(view(model).project(model.positions)[:, :2], axis=0).max())
    made = image(model, sampling=max(SAMPLING, min(size / WIDEST, 0.3)))
    found = spectrum(made)
    return sections.microscopy(made, found, draw(made, found))
