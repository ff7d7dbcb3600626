"""What can go wrong, each kind with the exit code the command line ends with."""

from __future__ import annotations

from collections.abc import Iterable


class HetbuildError(Exception):
    """Base of every error hetbuild raises on purpose."""

    exit_code = 1


class ImpossibleError(HetbuildError):
    """The input is valid, but what it asks for cannot be built."""

    exit_code = 1


class InputError(HetbuildError):
    """A file, a recipe or an argument is wrong as given."""

    exit_code = 2


class CheckError(HetbuildError):
    """The model was built, but fails a check it was asked to pass."""

    exit_code = 3


class FrameWarning(UserWarning):
    """A trajectory ends in a frame that is not whole, which was left out."""


class PhaseWarning(UserWarning):
    """A VESTA file holds several phases, of which the first was taken."""


LISTED = 24
"""A longer list of names in a message is cut to the half that resembles what was given most."""


def nearest(word: str, known: Iterable[str]) -> str:
    """Say which known word is meant, or list them all: the tail of an error text."""
    import difflib

    names = sorted(known)
    # Told apart by more than their case, names are compared without it: cspbcl3 means CsPbCl3.
    plain = {name.lower(): name for name in reversed(names)}
    close = difflib.get_close_matches(word[:80], names, n=1, cutoff=0.6)
    close = [plain[word.lower()]] if word.lower() in plain else close
    shown, rest = names, len(names) - LISTED // 2
    if len(names) > LISTED:
        given = word[:80].lower()
        alike = {n: difflib.SequenceMatcher(None, given, n.lower()).ratio() for n in names}
        shown = sorted(sorted(names, key=lambda n: -alike[n])[: LISTED // 2])
        shown.append(f"and {rest} more")
    listing = ", ".join(shown) or "none"
    return f"did you mean {close[0]!r}? Known: {listing}." if close else f"known are {listing}."
