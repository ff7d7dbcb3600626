"""The folder of a sweep: what is done, what failed, and the table of results.

A variant is done when its folder ``models/KEY`` stands; it is written elsewhere and renamed, so it
stands whole or not at all. A failure is one file, ``failed/KEY.json``.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from hetbuild.errors import InputError
from hetbuild.recipe.toml import toml_value

MANIFEST = "sweep.json"
MODELS, FAILED, STAGING = "models", "failed", ".staging"
ROW = "row.json"
"""A variant's line of the table, in its folder."""


NUMBER = re.compile(r"[+-]?[0-9.]+(e[+-]?[0-9]+)?(/[0-9]+)?")
"""Text that is a number or a fraction."""


@dataclass(frozen=True, slots=True)
class Store:
    """A folder that holds a sweep."""

    folder: Path

    def model(self, key: str) -> Path:
        """Folder of a variant that is done."""
        return self.folder / MODELS / key

    def failure(self, key: str) -> Path:
        """File of a variant that failed."""
        return self.folder / FAILED / f"{key}.json"

    def is_done(self, key: str) -> bool:
        """The variant was built, in this sweep or an earlier one."""
        return (self.model(key) / ROW).is_file()

    def has_failed(self, key: str) -> bool:
        """The variant was tried and failed."""
        return self.failure(key).is_file()

    def row(self, key: str) -> dict[str, Any] | None:
        """What is known of a variant, None where it was not tried."""
        for path in (self.model(key) / ROW, self.failure(key)):
            if path.is_file():
                found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
                return found
        return None


def open_store(folder: Path, name: str, *, make: bool = True) -> Store:
    """The folder of the sweep of this name, made if it is not there; leftovers of kills go.

    Raises
    ------
    InputError
        The folder holds something else, or another sweep.
    """
    manifest = folder / MANIFEST
    if manifest.is_file():
        try:
            held = json.loads(manifest.read_text(encoding="utf-8"))["name"]
        except (OSError, ValueError, KeyError, TypeError):
            raise InputError(f"{manifest} is damaged: choose another folder with -o.") from None
        if held != name:
            raise InputError(
                f"{folder} holds the sweep {held!r}, this one is {name!r}: choose another folder "
                "with -o, or give the sweep that name to add to it."
            )
    elif folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder} is there and holds no sweep: choose another folder with -o.")
    elif make:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            write_atomically(manifest, json.dumps({"name": name}) + "\n")
        except OSError as error:
            with suppress(OSError):  # as it was, unless somebody else has come
                folder.rmdir()
            raise InputError(f"Cannot make {folder}: {error.strerror}.") from None
    store = Store(folder)
    if make:
        _check_writable(folder)
        _clean(folder / STAGING)
    return store


def _check_writable(folder: Path) -> None:
    """Make the folders below and see that each can be written into, before anything is built."""
    try:
        for kind in (MODELS, FAILED):
            (folder / kind).mkdir(exist_ok=True)
    except OSError as error:
        raise InputError(f"Cannot write into {folder}: {error.strerror}.") from None
    for place in (folder, folder / MODELS, folder / FAILED):
        if not os.access(place, os.W_OK | os.X_OK):
            raise InputError(
                f"Cannot write into {place}: no permission, so nothing was built. `--status` reads."
            )


def _clean(staging: Path) -> None:
    """Remove what killed workers of this machine left; those that live keep theirs."""
    for left in staging.glob("*") if staging.is_dir() else ():
        host, _, rest = left.name.partition("~")
        process = rest.partition("~")[0]
        if host == os.uname().nodename and process.isdigit() and not _alive(int(process)):
            shutil.rmtree(left, ignore_errors=True)


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def write_atomically(path: Path, text: str) -> None:
    """A file that stands whole or not at all, also after a power cut."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("w", encoding="utf-8", newline="\n") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_table(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """The results as .csv, .json or .parquet, by suffix.

    Raises
    ------
    InputError
        Another suffix, or parquet without pyarrow.
    """
    columns = list(dict.fromkeys(key for row in rows for key in row))
    if path.suffix == ".parquet":
        _write_parquet(rows, columns, path)
    elif path.suffix == ".json":
        write_atomically(path, json.dumps(list(rows), indent=2, ensure_ascii=False) + "\n")
    elif path.suffix == ".csv":
        import io

        stream = io.StringIO()
        _write_csv(rows, columns, stream)
        write_atomically(path, stream.getvalue())
    else:
        raise InputError(f"A table of results is .csv, .json or .parquet; given {path}.")


def _write_csv(rows: Sequence[Mapping[str, Any]], columns: list[str], stream: TextIO) -> None:
    import csv

    writer = csv.DictWriter(stream, columns, restval="", lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({key: _inert(_plain(value)) for key, value in row.items()})


def _plain(value: Any) -> Any:
    """Tables and lists as a recipe writes them."""
    return toml_value(value) if isinstance(value, Mapping | list) else value


def _inert(value: Any) -> Any:
    """Spreadsheets run what begins so: it gets an apostrophe, which makes it a text for them."""
    formula = isinstance(value, str) and value.startswith(("=", "@", "+", "-", "\t", "\r"))
    return f"'{value}" if formula and not NUMBER.fullmatch(value) else value


def _write_parquet(rows: Sequence[Mapping[str, Any]], columns: list[str], path: Path) -> None:
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError:
        raise InputError(
            "Parquet needs pyarrow: pip install 'hetbuild[cluster]', or take .csv."
        ) from None
    # Axis values may be of any kind: those of mixed kinds are written as text.
    arrays = {}
    for column in columns:
        values = [row.get(column) for row in rows]
        kinds = {type(v) for v in values if v is not None}
        mixed = len(kinds) > 1 and kinds != {int, float}
        arrays[column] = [None if v is None else str(v) for v in values] if mixed else values
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        parquet.write_table(pa.table(arrays), temporary)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
