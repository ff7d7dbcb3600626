"""Calculators by name: what gives energies and forces.

Any ASE calculator works, as ``package.module:Class`` with its keyword options; those with a name
come with what they need: a box of the right kind, and the elements they know.
"""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np

from hetbuild.arrays import FloatArray, IntArray
from hetbuild.elements import symbol
from hetbuild.errors import ImpossibleError, InputError, nearest
from hetbuild.formats.cp2k import force_eval
from hetbuild.formats.cp2k_cell import cell as box_of
from hetbuild.formats.cp2k_electrons import VALENCE
from hetbuild.formats.cp2k_options import Cp2kOptions
from hetbuild.model import Model
from hetbuild.relaxing.classes import asked, by_path, installed, instance, unread

if TYPE_CHECKING:
    from ase import Atoms

APART = 16.0
"""Å between the images of a particle, for calculators that know only periodic cells; the graphs of
CHGNet and SevenNet-0 reach 6 and 5 Å."""

FEW = 60
"""Atoms up to which tblite is the faster way to GFN1-xTB: 160 ions take it over a minute."""

XTB_ELEMENTS = 86
"""GFN1-xTB has parameters up to radon."""

CHGNET_ELEMENTS = 89
"""CHGNet was fitted to the Materials Project's trajectories, which hold H to Ac and a few beyond,
without Po, At, Rn, Fr and Ra."""

Options = Mapping[str, Any]


@dataclass(frozen=True)
class Chosen:
    """A calculator ready for use, and how it was made."""

    calculator: Any
    """ASE calculator."""
    name: str
    """As asked for."""
    version: str
    """Of the package it comes from, with the model's where there is one."""
    options: Options
    """Keyword options it was made with."""
    box: Callable[[Model], tuple[FloatArray, FloatArray] | None] = field(default=lambda _: None)
    """Cell vectors, shape (3, 3), and the shift into it, shape (3,), Å, that it needs around a
    particle; None: it needs none."""
    periodic: bool = True
    """Whether that box repeats."""
    gamma_only: bool = False
    """Sees one point of reciprocal space: a crystal is given to it in several cells."""
    unread: tuple[str, ...] = ()
    """Options that its code never names, as misspelt ones."""


@dataclass(frozen=True)
class _Known:
    """A calculator that has a name."""

    what: str
    make: Callable[[Model | None, IntArray, dict[str, Any]], Chosen]


def known() -> dict[str, str]:
    """What each calculator with a name is."""
    return {name: kind.what for name, kind in _KNOWN.items()}


def calculator(
    name: str,
    options: Options | None = None,
    *,
    model: Model | None = None,
    numbers: IntArray,
    vacuum: float | None = None,
) -> Chosen:
    """Make a calculator. name: one of `known`, or ``package.module:Class``.

    options: keyword options of its class. model: what CP2K's input is written for. numbers: atomic
    numbers it will meet, shape (N,). vacuum: Å around the particle in a periodic box; default: as
    the calculator needs.

    Raises
    ------
    InputError
        It is not installed, takes no such option, or lacks an element.
    """
    given = dict(options or {})
    if name in _KNOWN:
        chosen = _KNOWN[name].make(model, numbers, given)
    elif ":" in name:
        chosen = _by_path(name, given)
    else:
        raise InputError(
            f"No calculator is called {name!r}; {nearest(name, _KNOWN)} Any other goes by "
            "package.module:Class, as ase.calculators.lj:LennardJones."
        )
    if vacuum is None:
        return chosen
    return replace(chosen, box=lambda particle: _centred(particle, vacuum), periodic=True)


def refuse_missing(name: str, numbers: IntArray, has: Callable[[int], bool]) -> None:
    """Stop where a calculator lacks an element, before any work.

    Raises
    ------
    InputError
        The text names the elements.
    """
    lacking = [symbol(int(z)) for z in np.unique(numbers) if not has(int(z))]
    if lacking:
        raise InputError(
            f"{name} has no parameters for {', '.join(lacking)}, which the model holds. "
            "Choose another --calculator."
        )


def _centred(model: Model, vacuum: float) -> tuple[FloatArray, FloatArray] | None:
    from hetbuild.formats.box import box

    return None if model.cell is not None else box(model, vacuum)


def _periodic_box(model: Model) -> tuple[FloatArray, FloatArray] | None:
    return _centred(model, APART / 2)


def _load(module: str, extra: str, what: str) -> Any:
    try:
        return import_module(module)
    except ImportError as error:
        raise InputError(
            f"--calculator {what} needs a package that is not installed ({error}). "
            f"Install it with: pip install 'hetbuild[{extra}]'"
        ) from None


def _chgnet(model: Model | None, numbers: IntArray, options: dict[str, Any]) -> Chosen:
    refuse_missing("CHGNet", numbers, lambda z: z <= CHGNET_ELEMENTS and not 84 <= z <= 88)
    module = _load("chgnet.model.dynamics", "relax", "chgnet")
    weights = options.get("model")
    if isinstance(weights, str | int | float):
        weights = _load_chgnet(str(weights))
    given = options | ({} if weights is None else {"model": weights})
    made = instance(module.CHGNetCalculator, "chgnet", given, use_device=None)
    if model is not None:
        # Stress and moments, which atoms in a fixed cell do not need, are a third of the time and
        # of the memory.
        made.calculate = partial(made.calculate, task="ef")
    version = f"{installed('chgnet')}, model {made.version}"
    return Chosen(
        made, "chgnet", version, _plain(options), _periodic_box, unread=unread(made, options)
    )


def _load_chgnet(name: str) -> Any:
    chgnet = _load("chgnet.model.model", "relax", "chgnet").CHGNet
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # it greets all the same
            return chgnet.load(model_name=name, verbose=False)
    except (ValueError, OSError) as error:
        raise InputError(f"--option model={name}: {error}") from None


def _sevennet(_: Model | None, numbers: IntArray, options: dict[str, Any]) -> Chosen:
    module = _load("sevenn.calculator", "sevennet", "sevennet")
    made = instance(module.SevenNetCalculator, "sevennet", options)
    refuse_missing("SevenNet", numbers, lambda z: z in made.type_map)
    version = f"{installed('sevenn')}, model {options.get('model', '7net-0')}"
    return Chosen(made, "sevennet", version, options, _periodic_box, unread=unread(made, options))


def _gfn1(model: Model | None, numbers: IntArray, options: dict[str, Any]) -> Chosen:
    refuse_missing("GFN1-xTB", numbers, lambda z: z <= XTB_ELEMENTS)
    periodic = model is None or model.cell is not None
    if model is not None and not periodic and len(numbers) > FEW:
        return _cp2k(model, numbers, {"method": "xtb", **options}, "gfn1")
    module = _load("tblite.ase", "gfn1", "gfn1")
    made = instance(module.TBLite, "gfn1", options, method="GFN1-xTB", verbosity=0)
    return Chosen(
        made, "gfn1", installed("tblite"), options, gamma_only=True, unread=unread(made, options)
    )


def _cp2k(
    model: Model | None, numbers: IntArray, options: dict[str, Any], name: str = "cp2k"
) -> Chosen:
    refuse_missing("CP2K's deck", numbers, lambda z: symbol(z) in VALENCE)
    if model is None:
        raise InputError("--calculator cp2k relaxes models; a crystal goes to another calculator.")
    command = options.pop("command", None) or os.environ.get("ASE_CP2K_COMMAND", "cp2k.psmp -s")
    try:
        settings = Cp2kOptions(**options)
    except TypeError:
        fields = ("command", *Cp2kOptions.__dataclass_fields__)
        wrong = next(o for o in options if o not in fields)
        raise InputError(
            f"--calculator {name} has no option {wrong!r}; {nearest(wrong, fields)}"
        ) from None
    made = _cp2k_shell(model, settings, command)
    vectors = box_of(model, settings)

    def box(particle: Model) -> tuple[FloatArray, FloatArray] | None:
        if particle.cell is not None:
            return None
        low, high = particle.positions.min(axis=0), particle.positions.max(axis=0)
        return vectors, vectors.sum(axis=0) / 2 - (low + high) / 2

    return Chosen(made, name, f"CP2K by {command}", options, box, periodic=False)


def _cp2k_shell(model: Model, settings: Cp2kOptions, command: str) -> Any:
    import shutil
    import tempfile
    import weakref

    from ase.calculators.cp2k import CP2K

    program = command.split()[0]
    if shutil.which(program) is None:
        raise InputError(
            f"There is no program {program!r} here. Install CP2K (on Debian: apt-get install cp2k "
            "cp2k-data), or name yours with --option command='cp2k.psmp -s'."
        )
    if hasattr(os, "geteuid") and os.geteuid() == 0:  # Open MPI refuses to start as root
        os.environ.setdefault("OMPI_ALLOW_RUN_AS_ROOT", "1")
        os.environ.setdefault("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1")
    from_deck = dict.fromkeys(
        ("basis_set", "basis_set_file", "cutoff", "force_eval_method", "max_scf",
         "potential_file", "pseudo_potential", "poisson_solver", "xc")
    )  # fmt: skip
    # Input, output and wave functions of a calculation are nothing to the user's folder.
    folder = tempfile.mkdtemp(prefix="hetbuild-")
    label = os.path.join(folder, "run")
    made = CP2K(
        command=command,
        label=label,
        inp=force_eval(model, label, settings),
        stress_tensor=False,
        **from_deck,
    )
    weakref.finalize(made, shutil.rmtree, folder, ignore_errors=True)
    return made


def _by_path(name: str, options: dict[str, Any]) -> Chosen:
    made = by_path(name, options)
    package = name.partition(":")[0].split(".")[0]
    return Chosen(made, name, installed(package), options, unread=unread(made, options))


def _plain(options: Options) -> dict[str, Any]:
    """Options a record can hold."""
    plain = (str, int, float, bool, type(None))
    return {k: v if isinstance(v, plain) else repr(v)[:80] for k, v in options.items()}


_KNOWN: Mapping[str, _Known] = {
    "chgnet": _Known("CHGNet, fitted to PBE; weights in its wheel", _chgnet),
    "sevennet": _Known("SevenNet-0, fitted to PBE; weights in its wheel", _sevennet),
    "gfn1": _Known(f"GFN1-xTB by tblite, above {FEW} atoms by CP2K", _gfn1),
    "cp2k": _Known("PBE, or method=xtb, with the settings of hetbuild's deck", _cp2k),
}


def evaluated(chosen: Chosen, atoms: Atoms, step: int = 0) -> tuple[float, FloatArray]:
    """Energy in eV and forces in eV/Å, shape (N, 3), of one step; 0 is the start.

    Raises
    ------
    InputError, ImpossibleError
        As `asked`; or energy and forces are not finite, or not of these atoms.
    """
    with asked(chosen.name, step):
        energy = float(atoms.get_potential_energy())
        forces = np.asarray(atoms.get_forces(), dtype=float)
        if forces.shape != (len(atoms), 3):
            raise ValueError(f"forces of shape {forces.shape} for {len(atoms)} atoms")
    if np.isfinite(energy) and np.isfinite(forces).all():
        return energy, forces
    if step == 0:
        raise InputError(
            f"{chosen.name} gives no finite energy and forces for this model: two atoms lie too "
            "near each other for it, or it lacks an element."
        )
    raise ImpossibleError(
        f"{chosen.name} gives no finite energy and forces at step {step}: atoms came too near each "
        "other for it. Take shorter steps (--max-step)."
    )
