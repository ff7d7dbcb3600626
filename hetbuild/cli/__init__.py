"""The command line: verbs, options and tables; no science.

stdout carries the product, stderr the rest. Each verb has a file of its own, read when it is
called; heavy imports live inside the commands, so that `hetbuild --help` stays quick.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import NoReturn

import click

from hetbuild import __version__
from hetbuild.errors import HetbuildError

VERBS = (
    "build",
    "recipes",
    "crystals",
    "exchange",
    "etch",
    "export",
    "inspect",
    "compare",
    "image",
    "match",
    "planes",
    "carve",
    "schema",
)
"""Commands in the order of the help; each is the function of its name in the module of its name."""


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
    0 done, 1 impossible as asked, 2 bad usage or input, 3 built but a check failed.
    """


def main() -> NoReturn:
    """Entry point: errors become one clear text on stderr and the exit code of their kind."""
    try:
        code = cli.main(standalone_mode=False)
    except click.exceptions.Abort:
        code = 130
    except KeyboardInterrupt:
        code = 130
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except HetbuildError as error:
        click.echo(f"hetbuild: {error}", err=True)
        code = error.exit_code
    except BrokenPipeError:
        code = 1
    sys.exit(code if isinstance(code, int) else 0)
