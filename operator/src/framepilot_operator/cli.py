"""The command `framepilot`: its own commands, and those that other distributions add.

A distribution adds a command by an entry point of the group `framepilot.commands` that names a Typer app. It is
imported when it is called and not before: the rest starts fast, and works while one of them is broken.
"""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points
from typing import Final

import typer

from framepilot_operator.commands.explain import explain
from framepilot_operator.commands.plan import plan
from framepilot_operator.commands.runtime import app as runtime
from framepilot_operator.commands.set import set_module
from framepilot_operator.commands.status import status
from framepilot_operator.commands.top import top
from framepilot_operator.commands.up import up
from framepilot_operator.commands.validate import validate

GROUP: Final = "framepilot.commands"


class PluginError(Exception):
    """A command of another distribution that cannot be loaded: which, why, what to do."""


def main() -> None:
    """The script `framepilot`."""
    build(tuple(entry_points(group=GROUP)))()


def build(plugins: tuple[EntryPoint, ...]) -> typer.Typer:
    """The whole command line, with one command for each plugin."""
    app = typer.Typer(
        help="Video streams through models on one machine or many; batch size and model changed while they run.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )
    app.command("up")(up)
    app.command("set")(set_module)
    app.command("status")(status)
    app.command("top")(top)
    app.command("explain")(explain)
    app.add_typer(runtime, name="runtime")
    app.command("plan")(plan)
    app.command("validate")(validate)
    for plugin in sorted(plugins, key=lambda plugin: plugin.name):
        _add(app, plugin)
    return app


def _add(app: typer.Typer, plugin: EntryPoint) -> None:
    everything = {"allow_extra_args": True, "ignore_unknown_options": True, "allow_interspersed_args": False}
    origin = plugin.dist.name if plugin.dist else plugin.value

    @app.command(
        plugin.name,
        help=f"Commands of {origin}; see `framepilot {plugin.name} --help`.",
        context_settings=everything,
        add_help_option=False,
    )
    def run(context: typer.Context) -> None:
        try:
            command = load(plugin)
        except PluginError as error:
            typer.echo(str(error), err=True)
            raise typer.Exit(1) from error
        command(args=context.args, prog_name=context.command_path)


def load(plugin: EntryPoint) -> typer.Typer:
    """The Typer app that an entry point names.

    Raises:
        PluginError: it cannot be imported, or is something else.
    """
    origin = f"'{plugin.dist.name}'" if plugin.dist else "the distribution that provides it"
    try:
        app = plugin.load()
    except Exception as error:
        what = f"{type(error).__name__}: {error}"
        raise PluginError(f"framepilot {plugin.name}: cannot be loaded ({what}); install {origin} again") from error
    if not isinstance(app, typer.Typer):
        raise PluginError(f"framepilot {plugin.name}: '{plugin.value}' is not a Typer app; report it to {origin}")
    return app
