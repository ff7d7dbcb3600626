"""What a CP2K run came to, out of what it printed; read by pymatgen's parser."""

from __future__ import annotations

import warnings
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hetbuild.errors import InputError
from hetbuild.library import check_file


@dataclass(frozen=True, slots=True)
class Cp2kRun:
    """Energies and convergence of a run, steps of an optimisation or of dynamics in order."""

    path: str
    version: str
    energies: tuple[float, ...]
    """eV, of each step whose energy was reached."""
    scf: tuple[bool, ...]
    """Whether the density of each step converged."""
    geometry: str
    """``converged``, ``not converged`` or, where none was asked for, empty."""
    finished: bool
    """The program came to its end."""

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}


def output_beside(path: Path) -> Path | None:
    """RUN.out beside ``RUN-pos-1.xyz``, None where there is none."""
    run, sign, rest = path.name.rpartition("-pos-")
    found = path.with_name(f"{run}.out")
    return found if sign and rest.endswith(".xyz") and found.is_file() else None


def read_run(path: Path) -> Cp2kRun:
    """The output of a run, one still going or killed included.

    Raises
    ------
    InputError
        It cannot be read, is no output of CP2K, or pymatgen is not installed.
    """
    try:
        from pymatgen.io.cp2k.outputs import Cp2kOutput
    except ImportError:
        raise InputError(
            "Reading CP2K's output takes pymatgen, which is not installed: "
            "pip install 'hetbuild[pymatgen]'."
        ) from None
    check_file(path)
    try:
        with warnings.catch_warnings():  # of what did not converge: it is said below
            warnings.simplefilter("ignore")
            found = Cp2kOutput(str(path))
            version = str(found.cp2k_version)
            found.convergence()
    except Exception as error:  # the parser raises whatever it stumbles over
        raise InputError(
            f"{path} is no output of CP2K: {_why(path, error)}. Move it away to go on without it."
        ) from None
    return Cp2kRun(
        path=str(path),
        version=version,
        energies=tuple(_energies(found)),
        # The parser reads from the end.
        scf=tuple(bool(x) for x in reversed(found.data.get("scf_converged", []))),
        geometry=_geometry(found),
        finished=_finished(found),
    )


def _geometry(found: Any) -> str:
    """Whether a relaxation converged; empty where the run is none."""
    if found.data.get("geo_opt_converged"):
        return "converged"
    relaxing = str(found.run_type).upper() == "GEO_OPT"
    return "not converged" if found.data.get("geo_opt_not_converged") or relaxing else ""


def _why(path: Path, error: Exception) -> str:
    if not path.stat().st_size:
        return "it is empty, as where a run has only begun"
    if isinstance(error, IndexError):  # of the first line looked for
        return "it does not say CP2K's version"
    return f"{type(error).__name__}: {error}"


def _finished(found: Any) -> bool:
    try:
        found.ran_successfully()
    except ValueError:  # killed, out of time, or still going
        return False
    return bool(found.completed)


def _energies(found: Any) -> list[float]:
    """eV of each step; none where the first was not reached."""
    try:
        found.parse_energies()
    except IndexError:
        return []
    return [float(e) for e in found.data["total_energy"]]
