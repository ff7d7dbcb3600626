"""HAADF-STEM by multislice with frozen phonons, through abTEM (doi 10.12688/openreseurope.13015.2).

Minutes instead of a twentieth of a second: for those who want to see channelling, or to check the
projected image. The plane waves of PRISM (Ophus, doi 10.1186/s40679-017-0046-1) are interpolated.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from hetbuild.analyse.interface import with_interface
from hetbuild.arrays import FloatArray, Progress
from hetbuild.errors import InputError
from hetbuild.geometry.images import finite
from hetbuild.geometry.view import View
from hetbuild.microscopy.image import REPEATED, Image, blurred, chosen_view, frame, outlines
from hetbuild.model import Model

ANTIALIAS = 2.0 / 3.0
"""Fraction of the spatial frequencies of the grid kept in multislice, against aliasing."""

DEEP = 2.0
"""Å of vacuum before and behind the particle."""


@dataclass(frozen=True, slots=True)
class Microscope:
    """Settings of the calculation; the first two are those of Livakas et al. (2024)."""

    energy: float = 300e3
    """eV."""
    semiangle: float = 25.0
    """Half-angle of convergence, mrad."""
    detector: tuple[float, float] = (60.0, 90.0)
    """Inner and outer angle of the annular detector, mrad. Wider ones need finer potentials."""
    phonons: int = 4
    """Frozen configurations averaged."""
    vibration: float = 0.12
    """Rms displacement of every atom along each axis, Å; B near 1.1 Å²."""
    slice_thickness: float = 4.0
    """Å."""
    interpolation: int = 8
    """Factor of PRISM; a probe sees a window of the box that is this many times smaller."""
    source: float = 0.4
    """Standard deviation of the Gaussian source the image is blurred by, Å; 0 for a point."""
    seed: int = 0
    """Of the phonons."""

    def __post_init__(self) -> None:
        inner, outer = self.detector
        if not 0 < inner < outer <= 250:
            raise InputError(
                f"A detector from {inner:g} to {outer:g} mrad cannot be: give an inner and a "
                "larger outer angle, up to 250 mrad."
            )
        if self.phonons < 1 or self.interpolation < 1 or self.slice_thickness <= 0:
            raise InputError("Phonons, interpolation and slice thickness must be at least 1.")

    @property
    def wavelength(self) -> float:
        """Relativistic, Å."""
        return 12.2643 / float(np.sqrt(self.energy * (1 + 0.978476e-6 * self.energy)))

    @property
    def scan_step(self) -> float:
        """Å between probe positions: nine tenths of wavelength / (4 semiangle)."""
        return 0.9 * self.wavelength / (4e-3 * self.semiangle)

    @property
    def potential_step(self) -> float:
        """Å: fine enough for the detector's outer angle."""
        return ANTIALIAS * self.wavelength / (2e-3 * self.detector[1] * 1.02)


def multislice(
    model: Model,
    *,
    zone: Sequence[float] | None = None,
    of: str | None = None,
    tilt: tuple[float, float] = (0.0, 0.0),
    microscope: Microscope | None = None,
    progress: Progress = None,
) -> Image:
    """HAADF image by PRISM multislice with frozen phonons; zone, of and tilt as `image` takes them.

    Intensity is the fraction of the beam that meets the detector.

    Raises
    ------
    InputError
        abTEM, the extra ``hetbuild[stem]``, is not installed; or as `image`.
    """
    settings = microscope or Microscope()
    model = with_interface(finite(model, REPEATED))
    seen = chosen_view(model, zone, of, tilt)
    shape, corner = frame(seen.project(model.positions), settings.scan_step)
    pixels = np.zeros(shape)
    for k in range(settings.phonons):
        pixels += _scanned(model, seen, shape, corner, settings, settings.seed + k)
        if progress is not None:
            progress((k + 1) / settings.phonons)
    pixels /= settings.phonons
    if settings.source:
        pixels = blurred(pixels, settings.source / settings.scan_step)
    low, high = settings.detector
    method = (
        f"multislice, {settings.energy / 1e3:g} kV, {settings.semiangle:g} mrad, "
        f"HAADF {low:g} to {high:g} mrad, {settings.phonons} frozen phonons"
    )
    return Image(
        pixels, settings.scan_step, corner, seen, model, method, outlines(model, seen.project)
    )


def specimen(
    model: Model, seen: View, shape: tuple[int, int], corner: tuple[float, float], step: float
) -> Any:
    """ASE Atoms in abTEM's axes: x right, y down, z with the beam, away from the viewer."""
    from ase import Atoms

    screen = seen.project(model.positions)
    places = np.stack(
        [screen[:, 0] - corner[0], corner[1] - screen[:, 1], screen[:, 2].max() - screen[:, 2]],
        axis=1,
    )
    places[:, 2] += DEEP
    size = [shape[1] * step, shape[0] * step, float(places[:, 2].max()) + DEEP]
    return Atoms(numbers=model.numbers, positions=places, cell=size, pbc=True)


def _scanned(
    model: Model,
    seen: View,
    shape: tuple[int, int],
    corner: tuple[float, float],
    settings: Microscope,
    seed: int,
) -> FloatArray:
    """One configuration of phonons, shape (rows, columns)."""
    with _abtem() as abtem:
        step = settings.scan_step
        atoms = specimen(model, seen, shape, corner, step)
        shaken = abtem.FrozenPhonons(atoms, 1, settings.vibration, seed=(seed,))
        size = atoms.cell.lengths()[:2]
        potential = abtem.Potential(
            shaken,
            gpts=tuple(_points(x / settings.potential_step, settings.interpolation) for x in size),
            slice_thickness=settings.slice_thickness,
        )
        waves = abtem.SMatrix(
            potential=potential,
            energy=settings.energy,
            semiangle_cutoff=settings.semiangle,
            interpolation=settings.interpolation,
        )
        ends = ((shape[1] - 1) * step, (shape[0] - 1) * step)
        scan = abtem.GridScan((0, 0), ends, gpts=(shape[1], shape[0]), endpoint=True)
        detector = abtem.AnnularDetector(*settings.detector)
        measured = waves.scan(scan=scan, detectors=detector).compute(progress_bar=False)
        found = np.asarray(measured.array, dtype=float)
    return found.reshape(shape[1], shape[0]).T.copy()


def _points(least: float, factor: int) -> int:
    """Grid points, a multiple of the factor that a Fourier transform divides quickly."""
    n = factor * int(np.ceil(least / factor))
    while not _smooth(n):
        n += factor
    return n


def _smooth(n: int) -> bool:
    for prime in (2, 3, 5):
        while n % prime == 0:
            n //= prime
    return n == 1


@contextmanager
def _abtem() -> Iterator[Any]:
    try:
        import abtem
        import dask
    except ImportError:
        raise InputError(
            "Multislice needs abTEM, which is not installed: pip install 'hetbuild[stem]'. "
            "Without --multislice the image is projected, in well under a second."
        ) from None
    with abtem.config.set({"diagnostics.progress_bar": False}), dask.config.set(scheduler="sync"):
        yield abtem
