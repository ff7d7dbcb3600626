"""Calculators by the path of their class: made from any ASE package, and asked with care."""

from __future__ import annotations

import contextlib
import inspect
import io
import os
import sys
from collections.abc import Iterator, Mapping
from importlib import import_module, metadata
from typing import Any

from hetbuild.errors import ImpossibleError, InputError, nearest


def by_path(name: str, options: Mapping[str, Any]) -> Any:
    """An instance of ``package.module:Class``, made with these keyword options.

    Raises
    ------
    InputError
        The module cannot be imported, has no such class, or the class takes no such option or is
        no calculator.
    """
    module_name, _, class_name = name.partition(":")
    if not all(part.isidentifier() for part in (*module_name.split("."), class_name)):
        raise InputError(
            f"--calculator {name}: write package.module:Class, as ase.calculators.lj:LennardJones."
        )
    module = _imported(module_name, name)
    found = getattr(module, class_name, None)
    if not callable(found):
        named = [n for n, v in vars(module).items() if isinstance(v, type) and _calculates(v)]
        others = nearest(class_name, named) if named else "nor any calculator."
        raise InputError(
            f"--calculator {name}: {module_name} has no class {class_name!r}; {others}"
        )
    calculator = instance(found, name, options)
    if not _calculates(calculator):
        raise InputError(f"--calculator {name}: {class_name} is no ASE calculator.")
    return calculator


def _calculates(found: object) -> bool:
    return hasattr(found, "calculate")


def _imported(module: str, name: str) -> Any:
    # A calculator of one's own often lies beside the model.
    here = os.getcwd()
    sys.path.insert(0, here)
    try:
        return import_module(module)
    except ImportError as error:
        raise InputError(
            f"--calculator {name}: the module {module!r} cannot be imported ({error}). "
            "Install its package in this environment, or run where the module lies."
        ) from None
    except Exception as error:  # a module of one's own may fail in any way
        raise InputError(
            f"--calculator {name}: the module {module!r} cannot be imported "
            f"({type(error).__name__}: {error})."
        ) from None
    finally:
        sys.path.remove(here)


def instance(cls: Any, name: str, options: Mapping[str, Any], **fixed: Any) -> Any:
    """An instance, its constructor's chatter dropped. fixed: options that may be overruled.

    Raises
    ------
    InputError
        It cannot be made with these options.
    """
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            return cls(**fixed | dict(options))
    except Exception as error:  # as in the code of any package
        shown = ", ".join(f"{k}={v!r}" for k, v in options.items()) or "no options"
        raise InputError(f"--calculator {name} cannot be made with {shown}: {error}") from None


def unread(calculator: Any, options: Mapping[str, Any]) -> tuple[str, ...]:
    """Options that an ASE calculator took and that its code never names, as misspelt ones.

    ASE's `Calculator` keeps any keyword without complaint. Those that write an input file for
    another program may pass all of them on, and are not judged.
    """
    from ase.calculators.calculator import Calculator, FileIOCalculator

    if not isinstance(calculator, Calculator) or isinstance(calculator, FileIOCalculator):
        return ()
    own = [c for c in type(calculator).__mro__ if c.__module__ != Calculator.__module__]
    known = {p for c in type(calculator).__mro__ for p in _parameters(c)}
    known |= set(calculator.default_parameters)
    code = "\n".join(_source(c.__module__) for c in own if c is not object)
    return tuple(o for o in options if o not in known and o not in code)


def _parameters(cls: type) -> list[str]:
    try:
        return list(inspect.signature(cls.__init__).parameters)  # type: ignore[misc]  # of a class
    except (TypeError, ValueError):
        return []


def _source(module: str) -> str:
    try:
        return inspect.getsource(sys.modules[module])
    except (KeyError, OSError, TypeError):
        return ""


def installed(package: str) -> str:
    """Name and version of an installed package, as ``ase 3.29.0``."""
    try:
        return f"{package} {metadata.version(package)}"
    except metadata.PackageNotFoundError:
        return package


@contextlib.contextmanager
def asked(name: str, step: int) -> Iterator[None]:
    """Drop what a calculator prints, and say what it raises. step: that it is asked for.

    Raises
    ------
    InputError
        It cannot do the start.
    ImpossibleError
        It fails later.
    """
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    except Exception as error:  # calculators raise whatever they like
        why = f"{type(error).__name__}: {error}"
        if step == 0:
            raise InputError(f"{name} cannot evaluate this model: {why}") from None
        raise ImpossibleError(f"{name} failed at step {step}: {why}") from None
