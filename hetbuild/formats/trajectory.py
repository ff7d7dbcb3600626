"""Frames of XYZ files that hold several, as CP2K's ``-pos-1.xyz`` of a relaxation."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from hetbuild.errors import InputError

MOST_ATOMS = 10**9
"""No file has a frame of more."""


@dataclass(frozen=True)
class Frame:
    """One frame as text."""

    text: str
    index: int
    """Counted from 1."""
    total: int
    """Whole frames in the file."""
    cut: bool
    """The file ends in a frame that is not whole, as while its program still writes."""


def read_frame(path: Path, wanted: int | None = None) -> Frame:
    """A frame of an XYZ file. wanted: counted from 1, or from the end if negative; default: last.

    Raises
    ------
    InputError
        The file cannot be read, is no XYZ file, or has no such whole frame.
    """
    try:
        with path.open("rb") as stream:
            starts, cut = _starts(path, stream)
            index = _index(path, len(starts), wanted)
            stream.seek(starts[index])
            head = stream.readline()
            text = head + b"".join(stream.readline() for _ in range(int(head) + 1))
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.") from None
    return Frame(text.decode("utf-8", "replace"), index + 1, len(starts), cut)


def _starts(path: Path, stream: BinaryIO) -> tuple[list[int], bool]:
    """Where each whole frame starts, and whether another follows that is not whole."""
    starts: list[int] = []
    while True:
        here = stream.tell()
        head = stream.readline().strip()
        if not head:
            return starts, False
        if not head.isdigit() or not 0 < int(head) < MOST_ATOMS:
            if starts:
                return starts, True
            raise _unreadable(path, f"it begins with {head[:40].decode('utf-8', 'replace')!r}")
        if not _passes(stream, int(head)):
            return starts, True
        starts.append(here)


def _passes(stream: BinaryIO, count: int) -> bool:
    """Whether the rest of a frame is there, its last line as long as the one before."""
    line = before = stream.readline()
    for _ in range(count):
        before, line = line, stream.readline()
        if not line:
            return False
    ended = line.endswith(b"\n") or count == 1 or len(line) >= len(before.rstrip())
    return ended and len(line.split()) >= 4


def _index(path: Path, total: int, wanted: int | None) -> int:
    if total == 0:
        raise _unreadable(path, "it has no whole frame, the first one is cut off")
    if wanted is None:
        return total - 1
    index = wanted - 1 if wanted > 0 else total + wanted
    if wanted == 0 or not 0 <= index < total:
        raise InputError(f"--frame {wanted}: {path} has {total} whole frames, 1 to {total}.")
    return index


def _unreadable(path: Path, why: str) -> InputError:
    return InputError(f"{path} cannot be read as a structure file: {why}.")
