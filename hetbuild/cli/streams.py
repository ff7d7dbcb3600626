"""The standard streams of a run: there, whatever its caller closed, and lost where they end."""

from __future__ import annotations

import codecs
import os
import sys
from contextlib import suppress
from io import TextIOWrapper
from typing import TextIO


def prepare() -> None:
    """Streams that are there and that take any text."""
    _open_missing()
    codecs.register_error("hetbuild", _spelt)
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="hetbuild")


def _open_missing() -> None:
    """Give streams that the caller closed, as by ``>&-``, to the null device.

    Python has none of them then, and the next file that is opened, of a model perhaps, would take
    the number of stdout and whatever a library writes there.
    """
    if None not in (sys.stdin, sys.stdout, sys.stderr):
        return
    while (handle := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(handle, True)  # programs that are run write there too
    os.close(handle)
    sys.stdin = sys.stdin or open(0, encoding="utf-8")  # noqa: SIM115 - as long as the process
    sys.stdout = sys.stdout or open(1, "w", encoding="utf-8")  # noqa: SIM115
    sys.stderr = sys.stderr or open(2, "w", encoding="utf-8")  # noqa: SIM115


def _spelt(error: UnicodeError) -> tuple[bytes, int]:
    r"""What an encoding lacks, as ``\u03b2``, which JSON reads back; bytes of paths as they are."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    written = b""
    for sign in error.object[error.start : error.end]:
        if "\udc80" <= sign <= "\udcff":  # how Python keeps a byte of a path that is no text
            written += bytes([ord(sign) - 0xDC00])
        else:
            units = sign.encode("utf-16-be", "surrogatepass").hex()
            written += "".join(f"\\u{units[k : k + 4]}" for k in range(0, len(units), 4)).encode()
    return written, error.end


def lose(stream: TextIO) -> None:
    """What could not be written is not tried again when the interpreter ends."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
