"""Where `hetbuild` and `python -m hetbuild` begin: signals are heard before anything is read.

Half of a short run is reading libraries. A signal in that time ends it with the exit code it has
later, not with that of Python.
"""

from __future__ import annotations

import os
import signal

TYPE_CHECKING = False  # as in hetbuild itself
if TYPE_CHECKING:
    from types import FrameType
    from typing import NoReturn


def main() -> NoReturn:
    """Entry point: ends the process with the exit code of what was done."""
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)  # Windows has no SIGHUP
        if number and signal.getsignal(number) is not signal.SIG_IGN:  # as under nohup
            signal.signal(number, _end)
    from hetbuild.cli import main as run

    run()


def _end(number: int, frame: FrameType | None) -> NoReturn:
    """At once: nothing is there to clean up, and an import may turn an error into another."""
    os._exit(128 + number)


if __name__ == "__main__":
    main()
