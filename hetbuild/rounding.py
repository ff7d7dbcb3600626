"""Rounding: below which difference two numbers of a model are one."""

from __future__ import annotations

NOTHING = 1e-9
"""What the arithmetic of doubles may leave of zero, whether a length in Å, an area in Å² or a
fraction of a cell: no two places or lengths of a model differ by so little."""

ALIKE = 1e-6
"""Å, eV, degrees or fraction of a cell: results that differ by less are one. Which of them is taken
is settled by something else than the last digits, which differ between processors."""

DIGITS = 6
"""Decimals of ALIKE, to which numbers are rounded before things are put in order by them."""
