"""Types of arrays and of what is made of three integers, written once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.integer[Any]]
BoolArray = npt.NDArray[np.bool_]
ComplexArray = npt.NDArray[np.complex128]

Plane = tuple[int, int, int]
"""Miller indices (hkl) of conventional axes."""

Index = Sequence[int]
"""Miller indices as a caller may give them."""

Progress = Callable[[float], None] | None
"""Called with the fraction of the work done, 0 to 1."""
