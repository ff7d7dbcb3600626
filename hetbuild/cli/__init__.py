"""The command line: verbs, options and tables; no science.

stdout carries the product, stderr the rest. Each verb has a file of its own, read when it is
called; heavy imports live inside the commands, and the help of all verbs reads none of them.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import NoReturn

import click

from hetbuild.cli.signals import ended
from hetbuild.cli.streams import prepare

VERBS = {
    "build": "Build the model of a recipe, shipped or your own.",
    "recipes": "List the shipped recipes.",
    "crystals": "List the shipped crystals.",
    "exchange": "Exchange ions of a model, on their sites or topotactically.",
    "etch": "Dissolve a domain and balance what is left.",
    "ligands": "Put ligand molecules on the surface of a model.",
    "relax": "Relax a model or a crystal, and say what changed.",
    "export": "Write a model or a crystal for another program.",
    "dos": "Densities of states by domain, region and element.",
    "inspect": "Measure composition, contacts, interface and symmetry.",
    "angles": "Angles between planes and directions of the domains.",
    "xrd": "Powder pattern by the Debye sum, with peaks and sizes.",
    "compare": "Lay one model on another and say what differs.",
    "image": "HAADF-STEM image, and its FFT with spots indexed.",
    "report": "Show a model as one HTML page.",
    "match": "Find the planes of two crystals that fit.",
    "sweep": "Build every variant of a recipe into one folder.",
    "planes": "Print the stacking of planes, to choose a cut by.",
    "carve": "Carve a bare particle out of a crystal.",
    "schema": "Print the JSON Schema of recipes.",
    "help": "Show the help of a verb.",
}
"""Commands in the order of the help; each is the function of its name in the module of its name."""


class Verbs(click.Group):
    """Commands found by name, their modules imported when they are called."""

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

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """What each verb does, without reading its module."""
        with formatter.section("Commands"):
            formatter.write_dl(list(VERBS.items()))


@click.group(
    cls=Verbs,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.option("--version", is_flag=True, help="Show the version and exit.")
@click.option("-v", "--verbose", is_flag=True, help="With --version: versions of what it uses.")
@click.pass_context
def cli(ctx: click.Context, version: bool, verbose: bool) -> None:
    """Build atomistic models of colloidal nanocrystal heterostructures, ready for DFT.

    Start with `hetbuild build`: it makes the CsPbCl3/PbS model in a folder cspbcl3-pbs. Exit codes:
    0 done, 1 impossible as asked, 2 bad usage or input, 3 built but a check failed, 130
    interrupted, 143 terminated.
    """
    from hetbuild.cli.version import show

    show(ctx, version, verbose)


def main() -> NoReturn:
    """Entry point: ends the process with the exit code of what was done."""
    prepare()
    sys.exit(ended(lambda: cli.main(standalone_mode=False)))
