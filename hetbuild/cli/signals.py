"""How a run ends: by itself, by an error, by a signal; files that wait are cleaned up each time."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import NoReturn

import click

from hetbuild.cli.streams import lose
from hetbuild.errors import HetbuildError

ENDING = tuple(getattr(signal, s) for s in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, s))
"""Signals that end a run, with exit code 128 and their number."""


class Stopped(BaseException):
    """A signal asked the process to end; files that wait to be placed are cleaned up on the way."""


def ended(run: Callable[[], object]) -> int:
    """Exit code of a run; errors become one clear text on stderr and the code of their kind."""
    before = {}
    if threading.current_thread() is threading.main_thread():
        before = {s: signal.getsignal(s) for s in ENDING}
    try:
        for s, handler in before.items():
            if handler is not signal.SIG_IGN:  # as under nohup
                signal.signal(s, _stop)
        return _code(run)
    except Stopped as stopped:
        return 128 + int(stopped.args[0])
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except Exception as error:
        if number := _signalled(error):
            return 128 + number
        raise
    finally:
        _release()
        for s, handler in before.items():
            signal.signal(s, handler)


def _code(run: Callable[[], object]) -> int:
    try:
        code = run()
        sys.stdout.flush()
    except (click.exceptions.Abort, KeyboardInterrupt):
        return 128 + signal.SIGINT
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except HetbuildError as error:
        click.echo(f"hetbuild: {error}", err=True)
        return error.exit_code
    except MemoryError:
        click.echo("hetbuild: Out of memory: ask for something smaller.", err=True)
        return 1
    except OSError as error:  # files of a user are read and written with errors of their own
        lose(sys.stdout)
        if not isinstance(error, BrokenPipeError):
            what = f"use {error.filename}" if error.filename else "write the output"
            click.echo(f"hetbuild: Cannot {what}: {error.strerror}.", err=True)
        return 1
    return code if isinstance(code, int) else 0


def _release() -> None:
    """Let go of folders that files were staged in, where any were: the help stages none."""
    if staging := sys.modules.get("hetbuild.formats.staging"):
        staging.release_all()


def _stop(number: int, frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt if number == signal.SIGINT else Stopped(number)


def _signalled(error: BaseException | None) -> int:
    """The signal that an error came of, 0 if of none: Python 3.11 makes others of those in a class
    that is being read."""
    while error is not None:
        if isinstance(error, Stopped):
            return int(error.args[0])
        if isinstance(error, KeyboardInterrupt):
            return signal.SIGINT
        error = error.__cause__
    return 0
