"""`hetbuild help`: the help of a verb, by its name alone."""

from __future__ import annotations

import click

from hetbuild.errors import InputError, nearest


@click.command()
@click.argument("verb", required=False)
@click.pass_context
def help(ctx: click.Context, verb: str | None) -> None:
    """Show the help of VERB; without one, that of all."""
    root = ctx.find_root()
    group = root.command
    assert isinstance(group, click.Group)
    if verb is None:
        click.echo(group.get_help(root))
        return
    command = group.get_command(root, verb)
    if command is None:
        known = group.list_commands(root)
        raise InputError(f"There is no verb {verb!r}; {nearest(verb, known)}")
    with click.Context(command, info_name=verb, parent=root) as inner:
        click.echo(command.get_help(inner))
