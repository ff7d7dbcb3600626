"""`hetbuild xrd`: the powder pattern of a particle, or its pair distribution function."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import click

from hetbuild.cli.console import document, emit, numbers, progress_bar
from hetbuild.cli.indices import Rows, several
from hetbuild.cli.models import read_model
from hetbuild.cli.options import MODEL, NUMBER, OUTPUT, Labels, as_json, force, label_options
from hetbuild.errors import InputError
from hetbuild.formats.figure import ENDINGS as FIGURES

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from hetbuild.arrays import FloatArray
    from hetbuild.diffraction.fit import PatternFit
    from hetbuild.diffraction.pdf import Pdf
    from hetbuild.diffraction.xrd import Xrd
    from hetbuild.model import Model

DATA = (".csv", ".xy", ".json")
OF_PATTERN = ("range", "step", "polarisation", "fwhm", "eta", "shape", "wavelength", "compare")
OF_PDF = ("q", "r_max", "by")
OF_COMPARISON = ("background", "max_shift")


@click.command(cls=Rows)
@click.argument("model", type=MODEL)
@click.option("--wavelength", metavar="X", help="Anode, with Kα1 and Kα2; Cu1: Kα1; or Å. [Cu]")
@click.option(
    "--range",
    type=several(2, "--range"),
    metavar="A B",
    help="2 theta in degrees. [10 80; of the measured file]",
)
@click.option("--step", type=NUMBER, metavar="°", help="Between points. [0.02]")
@click.option("--b", metavar="B", help="B factors in Å²: one, or as 'Pb=1.5 Cs=4'. [0; pdf: 1]")
@click.option(
    "--polarisation", metavar="P", help="tube, none, or a monochromator's 2 theta. [tube]"
)
@click.option("--fwhm", type=NUMBER, metavar="°", help="Width of the instrument's profile. [0]")
@click.option("--eta", type=NUMBER, help="Its Lorentzian part, 0 to 1. [0]")
@click.option("--shape", type=click.Choice(["cube", "sphere"]), help="For Scherrer's K. [cube]")
@click.option("--compare", type=MODEL, metavar="FILE", help="Measured: columns 2 theta, intensity.")
@click.option("--background", type=int, metavar="N", help="compare: polynomial's degree. [3]")
@click.option("--max-shift", type=NUMBER, metavar="°", help="compare: of 2 theta. [0.5]")
@click.option("--pdf", is_flag=True, help="G(r) in place of the pattern.")
@click.option(
    "--q", type=several(2, "--q"), metavar="A B", help="pdf: range transformed, 1/Å. [1 20]"
)
@click.option("--r-max", type=NUMBER, metavar="Å", help="pdf: up to this distance. [20]")
@click.option("--by", type=click.Choice(["domain", "element"]), help="pdf: partials. [domain]")
@click.option(
    "-o", "--output", multiple=True, type=OUTPUT, help="png, svg, pdf, csv, xy, json; repeatable."
)
@label_options
@as_json
@force
def xrd(
    model: Path,
    pdf: bool,
    output: tuple[Path, ...],
    labels: Labels,
    as_json: bool,
    force: bool,
    **options: Any,
) -> None:
    """Powder pattern of MODEL by the Debye sum, with partials, peaks, bulk lines and sizes.

    \b
    hetbuild xrd cspbcl3-pbs/cspbcl3-pbs.xyz -o xrd.png -o xrd.csv
    hetbuild xrd cspbcl3-pbs/cspbcl3-pbs.xyz --compare measured.xy --fwhm 0.1 -o fit.png
    hetbuild xrd cspbcl3-pbs/cspbcl3-pbs.xyz --pdf --by element -o pdf.png
    """
    from hetbuild.cli.xrd_text import comparison_line, pattern_lines, pdf_lines
    from hetbuild.formats.files import refuse_existing, write_all

    given = {k: v for k, v in options.items() if v is not None}
    _check_options(given, pdf)
    _check_files(output)
    refuse_existing(list(output), force)
    read = read_model(model, labels)
    fitted = None
    if pdf:
        g = _pdf(read, given)
        found: Xrd | Pdf = g
        lines, record = list(pdf_lines(g)), g.as_dict()
    else:
        pattern, fitted = _pattern(read, given)
        found = pattern
        lines, record = list(pattern_lines(pattern)), pattern.as_dict()
        if fitted is not None:
            lines.append(comparison_line(fitted))
            record["comparison"] = fitted.as_dict()
    if output:
        write_all({path: _writer(path, found, fitted, record) for path in output}, force)
    record["files"] = [str(p) for p in output]
    emit(record, "\n".join([*lines, *record["files"]]), as_json)


def _check_options(given: Mapping[str, Any], pdf: bool) -> None:
    """No option that would be passed over."""
    for names, wanted, what in (
        (OF_PATTERN, not pdf, "without --pdf"),
        (OF_PDF, pdf, "with --pdf"),
        (OF_COMPARISON, "compare" in given, "with --compare"),
    ):
        wrong = [] if wanted else [n for n in names if n in given]
        if wrong:
            named = ", ".join("--" + n.replace("_", "-") for n in wrong)
            raise InputError(f"{named} goes {what}.")


def _check_files(output: tuple[Path, ...]) -> None:
    for path in output:
        if path.suffix not in FIGURES + DATA:
            raise InputError(
                f"Cannot tell from {str(path)!r} what to write; its name must end in "
                f"{', '.join(FIGURES)} (figure), .csv (curves), .xy (the total) or .json."
            )
    if any(path.suffix in FIGURES for path in output):
        from hetbuild.formats.figure import new_figure

        new_figure((1.0, 1.0))  # refused before the work where there is no matplotlib


def _pattern(model: Model, given: Mapping[str, Any]) -> tuple[Xrd, PatternFit | None]:
    from hetbuild.diffraction.fit import MAX_SHIFT
    from hetbuild.diffraction.xrd import xrd as powder

    plain = ("step", "shape", "fwhm", "eta", "wavelength")
    settings: dict[str, Any] = {k: given[k] for k in plain if k in given}
    if "polarisation" in given:
        settings["polarisation"] = _polarisation(given["polarisation"])
    if "range" in given:
        settings["two_theta"] = given["range"]
    measured = None
    if "compare" in given:
        measured = _measured(given["compare"], settings.get("two_theta"))
        beyond = given.get("max_shift", MAX_SHIFT) + 0.1
        x = measured[0]
        settings["two_theta"] = (max(float(x[0]) - beyond, 0.05), float(x[-1]) + beyond)
    with progress_bar("distances") as progress:
        found = powder(
            model,
            b_factors=_b_factors(given.get("b"), model),
            progress=progress,
            **settings,
        )
    if measured is None:
        return found, None
    fit: dict[str, Any] = {"max_shift": given["max_shift"]} if "max_shift" in given else {}
    if "background" in given:
        fit["degree"] = given["background"]
    x, y, sigma = measured
    return found, found.compare(x, y, sigma=sigma, **fit)


def _measured(
    path: Path, limits: tuple[float, float] | None
) -> tuple[FloatArray, FloatArray, FloatArray | None]:
    """The measured pattern within the range asked for."""
    from hetbuild.formats.curve import read_curve

    x, y, sigma = read_curve(path)
    if limits is None:
        return x, y, sigma
    here = (x >= limits[0]) & (x <= limits[1])
    if here.sum() < 2:
        raise InputError(
            f"{path} has {here.sum()} points in --range {limits[0]:g} to {limits[1]:g}; it runs "
            f"from {x[0]:g} to {x[-1]:g} degrees."
        )
    return x[here], y[here], None if sigma is None else sigma[here]


def _pdf(model: Model, given: Mapping[str, Any]) -> Pdf:
    from hetbuild.diffraction.pdf import pdf

    settings: dict[str, Any] = {k: given[k] for k in ("r_max", "by") if k in given}
    if "q" in given:
        settings["q_range"] = given["q"]
    with progress_bar("distances") as progress:
        b_factors = _b_factors(given.get("b"), model)
        return pdf(model, b_factors=b_factors, progress=progress, **settings)


def _b_factors(text: str | None, model: Model) -> dict[str, float] | None:
    """One for all elements, or by element; None: not given."""
    from hetbuild.elements import counts

    elements = counts(model.numbers)
    if text is None:
        return None
    if "=" not in text:
        return dict.fromkeys(elements, numbers(text, 1, "--b")[0])
    found = {}
    for part in text.replace(",", " ").split():
        element, _, value = part.partition("=")
        if element not in elements:
            raise InputError(f"--b {part}: the model has {', '.join(elements)}.")
        if element in found:
            raise InputError(f"--b {text!r} names {element} twice.")
        (found[element],) = numbers(value, 1, f"--b {element}=")
    return found


def _polarisation(text: str) -> float:
    """A in (1 + A cos² 2 theta) / (1 + A)."""
    from math import cos, radians

    known: dict[str, float] = {"tube": 1.0, "none": 0.0}
    if text in known:
        return known[text]
    try:
        (angle,) = numbers(text, 1, "--polarisation")
    except InputError:
        angle = -1.0
    if not 0.0 <= angle < 180.0:
        raise InputError(
            f"--polarisation takes tube, none or the 2 theta of a monochromator, as 26.6 for "
            f"graphite and Cu Kα; given {text!r}."
        )
    return cos(radians(angle)) ** 2


def _writer(
    path: Path, found: Xrd | Pdf, fitted: PatternFit | None, record: dict[str, Any]
) -> Callable[[TextIO], None]:
    """What goes into a file, by its ending; figures are drawn before any file is opened."""
    if path.suffix == ".json":
        return lambda stream: print(document(record), file=stream)
    if path.suffix in DATA:
        return lambda stream: _write_columns(path.suffix, found, fitted, stream)
    from hetbuild.formats.figure import write_figure

    held = BytesIO()
    write_figure(_figure(found, fitted), held, path.suffix[1:])

    def write(stream: TextIO) -> None:
        stream.buffer.write(held.getvalue())

    return write


def _figure(found: Xrd | Pdf, fitted: PatternFit | None) -> Figure:
    from hetbuild.diffraction.xrd import Xrd

    return found.plot(fitted) if isinstance(found, Xrd) else found.plot()


def _write_columns(
    ending: str, found: Xrd | Pdf, fitted: PatternFit | None, stream: TextIO
) -> None:
    """All curves as csv, or the total, scaled to a measured pattern where there is one, as xy."""
    from hetbuild.diffraction.xrd import Xrd
    from hetbuild.formats.curve import write_curves, write_xy

    curves = found.curves
    if isinstance(found, Xrd):
        name, x = "2theta", found.pattern.two_theta
        title = f"{found.formula}, {found.pattern.instrument.radiation.name}, 2 theta, intensity"
    else:
        name, x = "r", found.r
        title = f"{found.formula}, r in Å, G(r) in 1/Å²"
    if fitted is not None:
        x = fitted.two_theta
        curves = {
            "calculated": fitted.calculated,
            "measured": fitted.measured,
            "background": fitted.background,
        }
    if ending == ".csv":
        write_curves((name, x), curves, stream)
    else:
        write_xy(title, x, next(iter(curves.values())), stream)
