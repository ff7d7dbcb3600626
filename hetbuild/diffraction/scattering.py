"""How atoms scatter X-rays: form factors, dispersion, the lines of laboratory tubes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from hetbuild.arrays import ComplexArray, FloatArray, IntArray
from hetbuild.elements import symbol
from hetbuild.errors import InputError, nearest

HC = 12398.4198
"""Planck constant times speed of light, eV Å (CODATA 2018): energy times wavelength."""

HEAVIEST = 92
"""Cromer and Liberman's dispersion is tabulated up to uranium."""

LARGEST_S = 2.0
"""1/Å; the form factors of International Tables C, 6.1.1.4, are fitted up to this sin(theta)/λ."""

WAVELENGTHS = (0.1, 3.0)
"""Å; X-rays of powder diffraction, from hard beams of synchrotrons to a Cr anode."""


@dataclass(frozen=True, slots=True)
class Radiation:
    """The spectral lines of a source."""

    name: str
    """As ``Cu Kα`` or ``1.54 Å``."""
    lines: tuple[tuple[float, float], ...]
    """Wavelength in Å and weight of each line; the weights sum to 1."""

    @property
    def mean(self) -> float:
        """Weighted mean wavelength, Å: where the maximum of an unresolved doublet lies."""
        return sum(length * weight for length, weight in self.lines)


K_ALPHA: Mapping[str, tuple[float, float]] = {
    "Cr": (2.2897260, 2.2936510),
    "Fe": (1.9360410, 1.9399730),
    "Co": (1.7889960, 1.7928350),
    "Cu": (1.5405929, 1.5444274),
    "Mo": (0.7093172, 0.7136070),
    "Ag": (0.5594218, 0.5638131),
}
"""Kα1 and Kα2 of tubes in Å by anode.

Cr, Fe, Co, Cu: Hölzer et al., Phys. Rev. A 56, 4554 (1997), doi 10.1103/PhysRevA.56.4554; Mo, Ag:
Deslattes et al., Rev. Mod. Phys. 75, 35 (2003), doi 10.1103/RevModPhys.75.35."""

WEIGHTS = (2 / 3, 1 / 3)
"""Intensities of Kα1 and Kα2: 2j + 1 = 4 and 2 electrons can fill the vacant level; 0.51 was
measured for copper."""


def radiation(text: str) -> Radiation:
    """A tube by its anode (``Cu``: Kα1 and Kα2; ``Cu1``: Kα1 alone), or one wavelength in Å.

    Raises
    ------
    InputError
        Neither; or a wavelength outside 0.1 to 3 Å.
    """
    if text in K_ALPHA:
        return Radiation(f"{text} Kα", tuple(zip(K_ALPHA[text], WEIGHTS, strict=True)))
    if text[-1:] == "1" and text[:-1] in K_ALPHA:
        return Radiation(f"{text[:-1]} Kα1", ((K_ALPHA[text[:-1]][0], 1.0),))
    try:
        wavelength = float(text)
    except ValueError:
        raise InputError(
            f"No radiation {text!r}: give a wavelength in Å, an anode, or an anode with 1 for its "
            f"Kα1 alone, as Cu1; {nearest(text, K_ALPHA)}"
        ) from None
    if not WAVELENGTHS[0] <= wavelength <= WAVELENGTHS[1]:
        raise InputError(f"A wavelength lies between 0.1 and 3 Å; given {text}.")
    return Radiation(f"{wavelength:g} Å", ((wavelength, 1.0),))


def form_factors(numbers: IntArray, s: FloatArray) -> FloatArray:
    """f0 of neutral atoms in electrons, shape (E, S).

    numbers: atomic numbers, shape (E,); s: sin(theta)/λ in 1/Å, shape (S,). International Tables C
    (1992), table 6.1.1.4, as gemmi has it. Neutral atoms also for ions: the table has no S2-, and
    above s = 0.2 1/Å outer electrons no longer count.

    Raises
    ------
    InputError
        An element without an entry.
    """
    import gemmi

    _refuse_heavy(numbers)
    squared = np.asarray(s, dtype=float) ** 2
    rows = []
    for z in numbers:
        table = gemmi.Element(int(z)).it92
        a, b = np.array(table.a), np.array(table.b)
        rows.append(a @ np.exp(-b[:, None] * squared) + table.c)
    return np.array(rows).reshape(len(numbers), len(squared))


def dispersion(numbers: IntArray, wavelength: float) -> ComplexArray:
    """f' + i f'' in electrons, shape (E,), at a wavelength in Å.

    Cromer and Liberman, J. Chem. Phys. 53, 1891 (1970), doi 10.1063/1.1674266, as gemmi has it.
    -3.9 + 8.5i for Pb at Cu Kα.

    Raises
    ------
    InputError
        An element beyond uranium.
    """
    import gemmi

    _refuse_heavy(numbers)
    pairs = [gemmi.cromer_liberman(z=int(z), energy=HC / wavelength) for z in numbers]
    return np.array([complex(*pair) for pair in pairs], dtype=np.complex128)


def _refuse_heavy(numbers: IntArray) -> None:
    heavy = sorted({symbol(int(z)) for z in numbers if z > HEAVIEST})
    if heavy:
        raise InputError(
            f"No X-ray form factor and dispersion for {', '.join(heavy)}: tables end at uranium."
        )
