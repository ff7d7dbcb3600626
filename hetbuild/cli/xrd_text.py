"""The tables of `hetbuild xrd`."""

from __future__ import annotations

from collections.abc import Iterator

from hetbuild.crystal.lattice import plane_label
from hetbuild.diffraction.fit import PatternFit
from hetbuild.diffraction.pdf import Pdf
from hetbuild.diffraction.peaks import Peak
from hetbuild.diffraction.xrd import Xrd

MOST = 12
"""Maxima of G(r) listed for a curve."""


def pattern_lines(found: Xrd) -> Iterator[str]:
    """Maxima of the total and of each domain's own pattern; sizes."""
    shown = {name: p for name, p in found.peaks.items() if len(found.sizes) > 1 or name != "total"}
    for name, peaks in shown.items():
        of = f", {found.lines[name].crystal} domain" if name in found.lines else ""
        yield f"{name}{of}, {found.pattern.instrument.radiation.name}"
        yield f"{'2θ/°':>8}{'d/Å':>8}{'height/%':>10}  {'nearest line':24}{'off/°':>7}" + (
            f"{'FWHM/°':>9}{'size/Å':>9}" if name in found.sizes else ""
        )
        for peak in peaks:
            yield _row(peak)
        if not peaks:
            yield "  no maxima in this range"
        yield ""
    for name, size in found.sizes.items():
        by_width = "not resolved"
        if size.scherrer is not None:
            maxima = f"{size.peaks} resolved maxim{'um' if size.peaks == 1 else 'a'}"
            by_width = f"{size.scherrer:.1f} Å (median of {maxima})"
        yield f"{name:14s} size by Scherrer {by_width}, by its ions {size.known:.1f} Å"


def _row(peak: Peak) -> str:
    text = f"{peak.two_theta:8.2f}{peak.spacing:8.3f}{peak.height:10.1f}  "
    if peak.line is None:
        return (text + "none within 1°").rstrip()
    line = f"{peak.line.phase} {plane_label(peak.line.hkl)} {peak.line.two_theta:.2f}"
    text += f"{line:24}{peak.two_theta - peak.line.two_theta:+7.2f}"
    if peak.fwhm is not None and peak.size is not None:
        text += f"{peak.fwhm:9.2f}{peak.size:9.1f}"
    return text


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
