"""The structures and recipes that travel with the package, and files beside them."""

from __future__ import annotations

import stat
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


def check_file(path: Path, what: str = "") -> None:
    """Stop where there is no such file, or something that could be read without end.

    what: kind of file, as ``recipe``.

    Raises
    ------
    InputError
        There is none; it is a folder, a pipe or a device; or the path cannot even be looked at: too
        long, not searchable, not a path.
    """
    kind = f"{what} file".lstrip()
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(f"There is no {kind} {path}.") from None
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise InputError(f"Cannot look at {shown(str(path))}: {why}.") from None
    if stat.S_ISDIR(mode):
        raise InputError(f"{path} is a folder, no {kind}: name a file in it.")
    if not stat.S_ISREG(mode):
        raise InputError(f"{path} is a pipe or device, no {kind}: save what it gives in a file.")


def read_file(path: Path, what: str, most: int) -> bytes:
    """The content of a file that is no larger than files of its kind are, `most` bytes.

    Raises
    ------
    InputError
        As `check_file`; or it is larger, or cannot be read.
    """
    check_file(path, what)
    try:
        with path.open("rb") as stream:
            content = stream.read(most + 1)
    except OSError as error:
        raise InputError(f"Cannot read {what} file {path}: {error.strerror}.") from None
    if len(content) > most:
        size = f"{most // 10**6} MB" if most >= 10**6 else f"{most // 1000} kB"
        raise InputError(f"{path} is no {what}: it is larger than {size}.")
    return content


def _find(name: str, suffix: str, shipped: dict[str, Path], beside: Path | None, what: str) -> Path:
    if name in shipped:
        return shipped[name]
    path = Path(name) if beside is None else beside / name
    if name.endswith(suffix) or "/" in name:
        check_file(path, what)
        return path
    raise InputError(f"No shipped {what} is called {shown(name)}; {nearest(name, shipped)}")


def _folder(name: str, source: Path) -> Path:
    """Inside the package when installed from a wheel, beside it in a source checkout."""
    installed = _PACKAGE / name
    return installed if installed.is_dir() else source


def _named(folder: Path, suffix: str) -> dict[str, Path]:
    return {p.stem: p for p in sorted(folder.glob(f"*{suffix}"), key=lambda p: p.stem)}
