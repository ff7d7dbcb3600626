"""`hetbuild image`: a model as an electron microscope shows it."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import click

from hetbuild.cli.console import emit, progress_bar
from hetbuild.cli.indices import Rows, several
from hetbuild.cli.models import read_model
from hetbuild.cli.options import (
    MODEL,
    NUMBER,
    OUTPUT,
    Labels,
    as_json,
    force,
    label_options,
    zone_options,
)
from hetbuild.errors import InputError
from hetbuild.formats.figure import ENDINGS as FIGURES

if TYPE_CHECKING:
    from hetbuild.microscopy.fourier import Spectrum
    from hetbuild.microscopy.image import Image
    from hetbuild.model import Model

DATA = (".npy", ".tif", ".tiff")


@click.command(cls=Rows)
@click.argument("model", type=MODEL)
@zone_options("Zone axis towards the viewer.")
@click.option(
    "--tilt",
    type=several(2, "--tilt"),
    metavar="A B",
    help="Then turn by A° about right and B° about up.",
)
@click.option("--source", type=NUMBER, metavar="Å", help="Gaussian blur, sigma [0.5].")
@click.option("--exponent", type=NUMBER, metavar="N", help="Atoms scatter as Z^N [1.6].")
@click.option("--sampling", type=NUMBER, metavar="Å", help="A pixel [0.1].")
@click.option("--no-fft", is_flag=True, help="Draw the image alone.")
@click.option("--multislice", is_flag=True, help="Frozen phonons through abTEM: minutes.")
@click.option("--phonons", type=int, help="multislice: configurations averaged [4].")
@click.option(
    "--detector",
    type=several(2, "--detector"),
    metavar="IN OUT",
    help="multislice: angles in mrad [60 90].",
)
@click.option("-o", "--output", type=OUTPUT, help="png, svg, pdf; npy or tif: the pixels alone.")
@label_options
@as_json
@force
def image(
    model: Path,
    output: Path | None,
    labels: Labels,
    no_fft: bool,
    as_json: bool,
    force: bool,
    **options: Any,
) -> None:
    """HAADF-STEM image of MODEL, and its FFT with spots indexed and measured.

    \b
    hetbuild image cspbcl3-pbs/cspbcl3-pbs.xyz
    hetbuild image cspbcl3-pbs/cspbcl3-pbs.xyz --zone "0 1 0" --of perovskite -o tilted.png

    The zone axis points towards the viewer; the first domain's side of the interface is up, as in
    the VESTA file.
    """
    from hetbuild.formats.files import refuse_existing, write_all

    path = output or Path(f"{model.stem}-haadf.png")
    if path.suffix not in FIGURES + DATA:
        raise InputError(
            f"Cannot tell from {str(path)!r} what to write; its name must end in "
            f"{', '.join(FIGURES)} (figure) or {', '.join(DATA)} (pixels)."
        )
    refuse_existing([path], force)
    made = _imaged(read_model(model, labels), options)
    found = None if no_fft else _spectrum(made)
    write_all({path: _writer(path, made, found)}, force)
    record = {"file": str(path), "image": made.as_dict()}
    if found is not None:
        record["fft"] = found.as_dict()
    emit(record, "\n".join([str(path), *_lines(made, found)]), as_json)


def _imaged(model: Model, options: dict[str, Any]) -> Image:
    """Projected, or by multislice; an option of the other is refused."""
    given = {k: v for k, v in options.items() if v is not None and v is not False}
    slices = given.pop("multislice", False)
    foreign = {"source", "exponent", "sampling"} if slices else {"phonons", "detector"}
    wrong = ", ".join(f"--{k}" for k in sorted(foreign & set(given)))
    if wrong:
        raise InputError(f"{wrong} goes {'without' if slices else 'with'} --multislice.")
    if not slices:
        from hetbuild.microscopy.image import image as projected

        return projected(model, **given)
    from hetbuild.microscopy.multislice import Microscope, multislice

    settings: dict[str, Any] = {}
    if "phonons" in given:
        settings["phonons"] = given.pop("phonons")
    if "detector" in given:
        settings["detector"] = given.pop("detector")
    with progress_bar("multislice") as progress:
        return multislice(model, microscope=Microscope(**settings), progress=progress, **given)


def _spectrum(image: Image) -> Spectrum:
    from hetbuild.microscopy.fourier import spectrum

    return spectrum(image)


def _writer(path: Path, image: Image, found: Spectrum | None) -> Callable[[TextIO], None]:
    """The content is made before any file is opened."""
    held = io.BytesIO()
    if path.suffix == ".npy":
        import numpy as np

        np.save(held, image.pixels)
    elif path.suffix in DATA:
        from hetbuild.microscopy.drawing import write_tiff

        write_tiff(image, held)
    else:
        from hetbuild.formats.figure import write_figure
        from hetbuild.microscopy.drawing import draw

        write_figure(draw(image, found), held, path.suffix[1:])

    def write(stream: TextIO) -> None:
        stream.buffer.write(held.getvalue())

    return write


def _lines(image: Image, found: Spectrum | None) -> list[str]:
    rows, columns = image.pixels.shape
    lines = [f"{'image':14s} {columns} x {rows} pixels of {image.sampling:.3g} Å, {image.method}"]
    for p in found.patterns if found else ():
        zone = "[" + " ".join(map(str, p.zone)) + "]"
        lines.append(f"{p.domain:14s} {zone} is {p.off_zone:.2f}° from the viewer")
        for s in p.spots[:6]:
            h, k, m = s.hkl
            lines.append(
                f"{'':14s} ({h} {k} {m}) d {s.measured:.3f} ± {s.uncertainty:.3f} Å, model "
                f"{s.spacing:.3f} ({100 * (s.measured / s.spacing - 1):+.1f} %)"
            )
        lines += [
            f"{'':14s} {a.first} to {a.second} {a.measured:.1f} ± {a.uncertainty:.1f}°, model "
            f"{a.model:.1f}°"
            for a in p.angles
        ]
    if found and found.tilt:
        t = found.tilt
        lines.append(
            f"{'tilt':14s} {t.first} to {t.second} {t.measured:.1f} ± {t.uncertainty:.1f}°, model "
            f"{t.model:.2f}°"
        )
    return lines
