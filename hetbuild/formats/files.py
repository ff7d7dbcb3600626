"""Writing files so that a failure leaves nothing behind and nothing existing is lost."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TextIO

from hetbuild.errors import InputError


def refuse_existing(paths: Sequence[Path], force: bool) -> None:
    """Stop before any work if a file is in the way.

    Raises
    ------
    InputError
        A path exists and `force` is false, or it is a folder.
    """
    taken = [str(p) for p in paths if p.exists()]
    if taken and not force:
        raise InputError(f"In the way: {', '.join(taken)}. Use --force to overwrite.")


def write_all(files: Mapping[Path, Callable[[TextIO], None]], force: bool) -> None:
    """Write every file to a temporary one beside it, then rename all; or leave nothing.

    Raises
    ------
    InputError
        A file is in the way, or a folder cannot be written.
    """
    refuse_existing(list(files), force)
    made: list[Path] = []
    pending: dict[Path, Path] = {}
    try:
        for path, write in files.items():
            made += _make_folder(path.parent)
            pending[path] = _temporary(path)
            with pending[path].open("w", encoding="utf-8", newline="\n") as stream:
                write(stream)
        for path, temporary in pending.items():
            temporary.replace(path)
    except OSError as error:
        _clean(pending, made)
        raise InputError(f"Cannot write {error.filename or path}: {error.strerror}.") from None
    except BaseException:
        _clean(pending, made)
        raise


def _temporary(path: Path) -> Path:
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    os.close(handle)
    mask = os.umask(0)
    os.umask(mask)
    Path(name).chmod((0o777 if path.suffix == ".sh" else 0o666) & ~mask)
    return Path(name)


def _make_folder(folder: Path) -> list[Path]:
    """Create a folder and its parents; the ones created, innermost first."""
    missing = [p for p in (folder, *folder.parents) if not p.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    return missing


def _clean(pending: Mapping[Path, Path], made: Sequence[Path]) -> None:
    for temporary in pending.values():
        temporary.unlink(missing_ok=True)
    for folder in sorted(set(made), key=lambda p: -len(p.parts)):
        if not any(folder.iterdir()):
            folder.rmdir()
