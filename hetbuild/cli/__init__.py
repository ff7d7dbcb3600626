"""The command line: verbs, options and tables; no science.

stdout carries the product, stderr the rest. Each verb has a file of its own, read when it is
called; heavy imports live inside the commands, so that `hetbuild --help` stays quick.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from contextlib import suppress
from importlib import import_module
from types import FrameType
from typing import NoReturn, TextIO

import click

from hetbuild import __version__
from hetbuild.errors import HetbuildError

VERBS = (
    "build",
    "recipes",
    "crystals",
    "exchange",
    "etch",
    "ligands",
    "relax",
    "export",
    "dos",
    "inspect",
    "angles",
    "xrd",
    "compare",
    "image",
    "report",
    "match",
    "sweep",
    "planes",
    "carve",
    "schema",
)
"""Commands in the order of the help; each is the function of its name in the module of its name."""


ENDING = tuple(getattr(signal, s) for s in ("SIGTERM", "SIGHUP") if hasattr(signal, s))
"""Signals that end a run as an interrupt does."""


class Verbs(click.Group):
    """Commands found by name, their modules imported when asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All verbs, in the order of the work."""
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The verb of this name, None where there is none."""
        if cmd_name not in VERBS:
            return None
        command = getattr(import_module(f"hetbuild.cli.{cmd_name}"), cmd_name)
        assert isinstance(command, click.Command)
        return command


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="hetbuild")
def cli() -> None:
    """Build atomistic models of colloidal nanocrystal heterostructures, ready for DFT.

    Start with `hetbuild build`: it makes the CsPbCl3/PbS model in a folder cspbcl3-pbs. Exit codes:
    0 done, 1 impossible as asked, 2 bad usage or input, 3 built but a check failed, 128 + n ended
    by signal n.
    """


class Stopped(BaseException):
    """A signal asked the process to end; files that wait to be placed are cleaned up on the way."""


def main() -> NoReturn:
    """Entry point: errors become one clear text on stderr and the exit code of their kind."""
    before = {}
    if threading.current_thread() is threading.main_thread():
        before = {s: signal.getsignal(s) for s in ENDING}
    try:
        for s, handler in before.items():
            if handler is not signal.SIG_IGN:  # as under nohup
                signal.signal(s, _stop)
        code = _run()
    except Stopped as stopped:
        code = 128 + int(stopped.args[0])
    except KeyboardInterrupt:
        code = 128 + signal.SIGINT
    finally:
        _release()
        for s, handler in before.items():
            signal.signal(s, handler)
    sys.exit(code)


def _release() -> None:
    """Let go of folders that files were staged in, where any were: the help stages none."""
    if staging := sys.modules.get("hetbuild.formats.staging"):
        staging.release_all()


def _run() -> int:
    try:
        code = cli.main(standalone_mode=False)
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
        _lose(sys.stdout)
        if not isinstance(error, BrokenPipeError):
            what = f"use {error.filename}" if error.filename else "write the output"
            click.echo(f"hetbuild: Cannot {what}: {error.strerror}.", err=True)
        return 1
    return code if isinstance(code, int) else 0


def _stop(number: int, frame: FrameType | None) -> NoReturn:
    raise Stopped(number)


def _lose(stream: TextIO) -> None:
    """What could not be written is not tried again when the interpreter ends."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
