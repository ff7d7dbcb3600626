"""`hetbuild --version`, and with -v the versions of what the program uses."""

from __future__ import annotations

import click

from hetbuild import __version__

USED = ("numpy", "scipy", "ase", "pymatgen", "spglib", "gemmi", "pydantic", "click")
"""Packages a result may depend on."""


def show(ctx: click.Context, version: bool, verbose: bool) -> None:
    """Print the version and leave, or ask for a verb where nothing else was said."""
    if version:
        click.echo(f"hetbuild {__version__}")
        for line in _used() if verbose else ():
            click.echo(line)
        ctx.exit(0)
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())
        ctx.exit(2)


def _used() -> list[str]:
    import platform
    from importlib.metadata import PackageNotFoundError
    from importlib.metadata import version as installed

    lines = [f"Python {platform.python_version()} on {platform.platform()}"]
    for name in USED:
        try:
            lines.append(f"{name} {installed(name)}")
        except PackageNotFoundError:
            lines.append(f"{name} is not installed")
    return lines
