"""Writing files so that a run's files appear together or not at all, and none is lost.

Files are written into a hidden folder beside their places and moved when all are on disk: see
`hetbuild.formats.staging`. A run that fails, is interrupted or killed leaves what was there before.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TextIO

from hetbuild.errors import InputError
from hetbuild.formats.staging import Staging, claim
from hetbuild.names import shown

Writers = Mapping[Path, Callable[[TextIO], None]]


def refuse_existing(paths: Sequence[Path], force: bool) -> None:
    """Stop before any work if a file is in the way.

    Raises
    ------
    InputError
        A path exists and `force` is false, or it is something else than a file, which nothing
        overwrites.
    """
    modes = {p: _mode(p) for p in paths}
    other = [str(p) for p, mode in modes.items() if mode is not None and not stat.S_ISREG(mode)]
    if other:
        raise InputError(
            f"{', '.join(other)}: a folder or device is in the way, which --force does not "
            "overwrite. Move it, or give another place with -o."
        )
    taken = [str(p) for p, mode in modes.items() if mode is not None]
    if taken and not force:
        raise InputError(f"In the way: {', '.join(taken)}. Use --force to overwrite.")


@contextmanager
def reserve(paths: Sequence[Path], force: bool) -> Iterator[Callable[[Writers], None]]:
    """Keep the place of a set of files from before the work until they are written.

    Gives the function that writes them, once: those of `paths` and others in the same folder.

    Raises
    ------
    InputError
        A file is in the way, a folder cannot be written, or another process writes there.
    """
    refuse_existing(paths, force)
    anchor, name = _where(paths)
    try:
        staging = claim(anchor, name)
    except OSError as error:
        raise InputError(f"Cannot write in {anchor}: {error.strerror}.") from None
    try:
        yield partial(_write, staging, force)
    finally:
        staging.release()


def write_all(files: Writers, force: bool) -> None:
    """Write every file, or leave everything as it was.

    Raises
    ------
    InputError
        A file is in the way, a folder cannot be written, or another process writes there.
    """
    with reserve(list(files), force) as write:
        write(files)


def _write(staging: Staging, force: bool, files: Writers) -> None:
    refuse_existing(list(files), force)
    anchor = staging.folder.parent
    path = anchor
    try:
        for path, write in files.items():
            waiting = staging.new / _absolute(path).relative_to(anchor)
            waiting.parent.mkdir(parents=True, exist_ok=True)
            with waiting.open("w", encoding="utf-8", newline="\n") as stream:
                write(stream)
                stream.flush()
                os.fsync(stream.fileno())
            if path.suffix == ".sh":
                waiting.chmod(waiting.stat().st_mode | 0o111 & ~_mask())
        staging.place()
    except OSError as error:
        raise InputError(f"Cannot write {path}: {error.strerror or error}.") from None


def _where(paths: Sequence[Path]) -> tuple[Path, str]:
    """The folder that receives a set of files, there already, and what to call their staging."""
    whole = {_absolute(p) for p in paths}
    anchor = Path(os.path.commonpath([p.parent for p in whole]))
    missing = ""
    while not anchor.is_dir():
        if anchor.exists():
            raise InputError(f"Cannot write {paths[0]}: {anchor} is a file, not a folder.")
        missing, anchor = anchor.name, anchor.parent
    if not missing:
        missing = next(iter(whole)).name if len(whole) == 1 else "folder"
    return anchor, missing


def _absolute(path: Path) -> Path:
    """Links to folders followed, one that stands in the file's place not: that is replaced."""
    try:
        return Path(os.path.realpath(path.parent)) / path.name
    except FileNotFoundError:
        raise InputError(
            f"Cannot write {shown(str(path), 200)}: the folder you work in has been removed. Go to "
            "another with cd, or say where by a path from /."
        ) from None


def _mode(path: Path) -> int | None:
    """Of what is there, links followed; None where nothing is, not even a link to nothing."""
    try:
        return path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return stat.S_IFREG if path.is_symlink() else None
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise InputError(f"Cannot write {shown(str(path), 200)}: {why}.") from None


def _mask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
