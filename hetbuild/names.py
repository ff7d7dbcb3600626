"""The one rule for names: of recipes, domains and crystals, and of the files made from them.

Names go into file names, scripts, input decks and tables. What obeys the rule is safe in all of
them without quoting: it cannot leave a folder, end a line or begin an option.
"""

from __future__ import annotations

import re
import unicodedata

from hetbuild.errors import InputError

LONGEST = 64
"""Characters. CP2K cuts a project's name at 80, and file systems a file's at 255."""

PATTERN = rf"^[A-Za-z0-9][A-Za-z0-9._+-]{{0,{LONGEST - 1}}}$"
"""A letter or digit, then letters, digits, ``.``, ``_``, ``+`` and ``-``."""

LABEL = re.compile(r"[!-~]{1,32}")
"""What a site may be labelled: printed ASCII without spaces, as ``O1``, ``Pb(2)`` or ``S1'``."""

_RULE = re.compile(PATTERN.removeprefix("^").removesuffix("$"))

_DEVICE = re.compile(r"(con|prn|aux|nul|com[1-9]|lpt[1-9])(\..*)?", re.IGNORECASE)
"""What Windows takes for a device, whatever stands after the dot: no file is called so."""


def check_name(name: object, what: str) -> str:
    """The name, if it obeys the rule. what: whose it is, as ``domain``.

    Raises
    ------
    InputError
        It does not.
    """
    if isinstance(name, str) and _RULE.fullmatch(name):
        if not _DEVICE.fullmatch(name) and not name.endswith("."):
            return name
        raise InputError(
            f"{shown(name)} cannot be the name of a {what}: Windows has no files called so. Take "
            f"another, as {safe_name(name)}."
        )
    raise InputError(
        f"{shown(name)} cannot be the name of a {what}: names begin with a letter or digit and go "
        f"on with letters, digits and . _ + - only, {LONGEST} characters at most."
    )


def check_label(label: object, crystal: str) -> str:
    """The label of a site, if no file format stumbles over it.

    Raises
    ------
    InputError
        It is empty, too long, or has spaces or characters beyond ASCII.
    """
    if isinstance(label, str) and LABEL.fullmatch(label):
        return label
    raise InputError(
        f"{shown(label)} cannot be the label of a site of {crystal}: labels are 1 to 32 printed "
        "ASCII characters without spaces, as Pb1. Rename the site in the CIF."
    )


def safe_name(text: str, otherwise: str = "model") -> str:
    """A name made of any text, as that of a file: ``-`` for what is not allowed, accents dropped.

    otherwise: where nothing of the text is left.
    """
    plain = unicodedata.normalize("NFKD", text[: 4 * LONGEST]).encode("ascii", "ignore").decode()
    name = re.sub(r"[^A-Za-z0-9._+-]+", "-", plain).lstrip("._+-") or otherwise
    name = f"{otherwise}-{name}" if _DEVICE.fullmatch(name) else name
    return name[:LONGEST].rstrip("._+-")


def shown(value: object, most: int = 60) -> str:
    """A value in an error text: on one line, whatever it holds, and not without end."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # an integer of thousands of digits, or nested too deep
        text = f"a {type(value).__name__} too large to print"
    return text if len(text) <= most else f"{text[:most]}..."
