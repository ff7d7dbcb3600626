"""The tables of `hetbuild xrd`."""

from __future__ import annotations

from collections.abc import Iterator

from hetbuild.cli.tables import table
from hetbuild.crystal.lattice import plane_label
from hetbuild.diffraction.fit import PatternFit
from hetbuild.diffraction.pdf import Pdf
from hetbuild.diffraction.peaks import Peak
from hetbuild.diffraction.xrd import Xrd

HEAD = ("2θ/°", "d/Å", "height/%", "nearest line", "off/°", "FWHM/°", "size/Å")

MOST = 12
"""Maxima of G(r) listed for a curve."""


def pattern_lines(found: Xrd) -> Iterator[str]:
    """Maxima of the total and of each domain's own pattern; sizes."""
    shown = {name: p for name, p in found.peaks.items() if len(found.sizes) > 1 or name != "total"}
    for name, peaks in shown.items():
        of = f", {found.lines[name].crystal} domain" if name in found.lines else ""
        yield f"{name}{of}, {found.pattern.instrument.radiation.name}"
        count = len(HEAD) if name in found.sizes else len(HEAD) - 2
        rows = [_row(peak)[:count] for peak in peaks]
        yield from table(rows, ">>><>>>"[:count], head=HEAD[:count])
        if not peaks:
            yield "  no maxima in this range"
        yield ""
    for name, size in found.sizes.items():
        by_width = "not resolved"
        if size.scherrer is not None:
            maxima = f"{size.peaks} resolved maxim{'um' if size.peaks == 1 else 'a'}"
            by_width = f"{size.scherrer:.1f} Å (median of {maxima})"
        yield f"{name:14s} size by Scherrer {by_width}, by its ions {size.known:.1f} Å"


def _row(peak: Peak) -> tuple[str, ...]:
    line, off, width, size = "none within 1°", "", "", ""
    if peak.line is not None:
        line = f"{peak.line.phase} {plane_label(peak.line.hkl)} {peak.line.two_theta:.2f}"
        off = f"{peak.two_theta - peak.line.two_theta:+.2f}"
        if peak.fwhm is not None and peak.size is not None:
            width, size = f"{peak.fwhm:.2f}", f"{peak.size:.1f}"
    place = (f"{peak.two_theta:.2f}", f"{peak.spacing:.3f}", f"{peak.height:.1f}")
    return (*place, line, off, width, size)


def pdf_lines(found: Pdf) -> Iterator[str]:
    """Maxima of G(r) and its partials."""
    low, high = found.q_range
    yield f"G(r) from q = {low:g} to {high:g} 1/Å; maxima, r/Å (height/Å⁻²)"
    for name, peaks in found.peaks.items():
        shown = " ".join(f"{r:.2f} ({height:.2g})" for r, height in peaks[:MOST])
        yield f"{name:24s} {shown}" + (" ..." if len(peaks) > MOST else "")


def comparison_line(found: PatternFit) -> str:
    """The residual and what was fitted."""
    return (
        f"{'measured':14s} Rwp {100 * found.rwp:.2f} % ({100 * found.rwp_background:.2f} % less "
        f"background) over {len(found.two_theta)} points, scale {found.scale:.4g}, measured "
        f"{found.shift:+.3f}° off"
    )
