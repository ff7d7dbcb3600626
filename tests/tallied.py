"""The calculator of tests, with a line in a file each time that one is made."""

from __future__ import annotations

import os
from typing import Any

from born_mayer import BornMayer


class Tallied(BornMayer):
    """As `BornMayer`. tally: the file; a line each is appended at once, whoever else writes."""

    def __init__(self, tally: str, **more: Any) -> None:
        super().__init__(**more)
        file = os.open(tally, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(file, f"{os.getpid()}\n".encode())
        os.close(file)
