"""The structures and recipes that travel with the package, and files beside them."""

from __future__ import annotations

from pathlib import Path

from hetbuild.errors import InputError, nearest
from hetbuild.names import shown

_PACKAGE = Path(__file__).parent


def structures() -> dict[str, Path]:
    """Shipped bulk crystals: CIF file by name.

    Examples
    --------
    >>> import hetbuild as hb
    >>> "CsPbCl3" in hb.structures()
    True
    """
    return _named(_folder("structures", _PACKAGE.parent / "structures"), ".cif")


def molecules() -> dict[str, Path]:
    """Shipped molecular ions: extended XYZ file by name."""
    folder = _folder("structures", _PACKAGE.parent / "structures")
    return _named(folder / "molecules", ".xyz")


def recipes() -> dict[str, Path]:
    """Shipped recipes: TOML file by name.

    Examples
    --------
    >>> import hetbuild as hb
    >>> "cspbcl3-pbs" in hb.recipes()
    True
    """
    return _named(_folder("recipes", _PACKAGE.parent / "examples" / "recipes"), ".toml")


def find_structure(name: str, beside: Path | None = None) -> Path:
    """The CIF file of a shipped structure's name or of a path, relative to `beside` if given.

    Raises
    ------
    InputError
        Neither a shipped structure nor a file.
    """
    return _find(name, ".cif", structures(), beside, "crystal")


def find_recipe(name: str) -> Path:
    """The TOML file of a shipped recipe's name or of a path.

    Raises
    ------
    InputError
        Neither a shipped recipe nor a file.
    """
    return _find(name, ".toml", recipes(), None, "recipe")


def is_file(path: Path) -> bool:
    """Whether there is such a file.

    Raises
    ------
    InputError
        The path cannot even be looked at: too long, not searchable, not a path.
    """
    try:
        return path.is_file()
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise InputError(f"Cannot look at {shown(str(path))}: {why}.") from None


def _find(name: str, suffix: str, shipped: dict[str, Path], beside: Path | None, what: str) -> Path:
    if name in shipped:
        return shipped[name]
    path = Path(name) if beside is None else beside / name
    if name.endswith(suffix) or "/" in name:
        if is_file(path):
            return path
        raise InputError(f"There is no {what} file {path}.")
    raise InputError(f"No shipped {what} is called {shown(name)}; {nearest(name, shipped)}")


def _folder(name: str, source: Path) -> Path:
    """Inside the package when installed from a wheel, beside it in a source checkout."""
    installed = _PACKAGE / name
    return installed if installed.is_dir() else source


def _named(folder: Path, suffix: str) -> dict[str, Path]:
    return {p.stem: p for p in sorted(folder.glob(f"*{suffix}"), key=lambda p: p.stem)}
