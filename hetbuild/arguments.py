"""Arguments of the public functions: of the kind they take, or an error that says so."""

from __future__ import annotations

from hetbuild.errors import InputError
from hetbuild.names import shown


def expect(value: object, kind: type | tuple[type, ...], what: str, remedy: str = "") -> None:
    """Stop where an argument is of another kind than a function takes.

    Raises
    ------
    InputError
        The value is no `kind`; the text shows it and says what to do.
    """
    if isinstance(value, kind):
        return
    kinds = kind if isinstance(kind, tuple) else (kind,)
    known = " or ".join(k.__name__ for k in kinds)
    given = f"{shown(value)} ({type(value).__name__})"
    raise InputError(f"{what} must be of type {known}; given {given}. {remedy}".rstrip())
